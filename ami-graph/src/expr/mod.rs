//! The expression language of graph files: numpy's meaning, checked and compiled once per graph.
//!
//! ```text
//!   text → lex → parse → check → code → Program → a column per batch
//!                 ast     ir
//! ```
//!
//! ```
//! use ami_graph::data::batch::Column;
//! use ami_graph::data::owned_column::{EventErrors, OwnedColumn};
//! use ami_graph::expr::Expr;
//! use ami_graph::data::types::Type;
//! use ami_graph::data::value::DType;
//!
//! let expr = Expr::parse("a * 2 + 1").unwrap();
//! let mut program = expr.compile(&[("a".into(), Type::scalar(DType::F64))]).unwrap();
//! let data = [1.0f64, 2.0];
//! let a = Column::Scalars { dtype: DType::F64, data: bytemuck::cast_slice(&data), present: None };
//! let (mut out, mut errors) = (OwnedColumn::new(), EventErrors::default());
//! program.eval(2, &[&a], &mut out, &mut errors);
//! assert_eq!(out.scalars_mut::<f64>().unwrap(), [3.0, 5.0]);
//! ```
//!
//! Names, types and corner cases are numpy 2's. Where it is not numpy:
//!
//! - There is no float16: where numpy gives one (`sqrt` of 8-bit integers) this gives float32.
//! - Results depend on types, never on values: `a if c else b`, `and` and `or` give the type both
//!   sides promote to, where Python gives the side it takes; `len` is int64.
//! - Sums of float32 are carried in float64 and rounded once, as are its means and variances.
//!   Means of 64-bit integers are exact before the division.
//! - Every input an expression mentions must be there, also one in a branch that is not taken;
//!   except one that only `present(x)` and the first argument of `default(x, y)` mention.
//! - What fails in every event is refused beforehand, also in a branch that is not taken; so are
//!   literals out of the bounds of the type they meet, also in `where`.
//! - A bool to the power 2 is int64, as to every other power (int8 in numpy, for arrays).
//! - Text is only compared; index arrays and masks as indices are not there.
//! - `pi` and `e` are constants and cannot be input names.

mod arithmetic;
mod check;
pub mod error;
mod run;
mod syntax;

pub(crate) use arithmetic::promote::promote;
pub use run::program::Program;
pub use syntax::functions::{FUNCTIONS, Function};

use crate::data::schema::Labels;
use crate::data::types::Type;
use crate::data::value::DType;
use arithmetic::order;
use arithmetic::shape::Shape;
use check::{Checked, ir};
use error::ExprError;
use run::code;
use run::inputs::Declared;
use run::program::Mode;
use syntax::{ast, parse};

/// The median of numbers without NaN, which are reordered; NaN of none.
pub(crate) fn median(numbers: &mut [f64]) -> f64 {
    order::median(numbers)
}

/// What stands at a place from 0 to 1 of numbers without NaN, interpolated; they are reordered.
pub(crate) fn quantile(numbers: &mut [f64], place: f64) -> f64 {
    order::quantile(numbers, place)
}

/// An expression as written: parsed, its names known, its types not yet.
#[derive(Debug, Clone)]
pub struct Expr {
    ast: ast::Ast,
}

impl Expr {
    /// Parses the text of an expression.
    pub fn parse(text: &str) -> Result<Expr, ExprError> {
        parse::parse(text).map(|ast| Expr { ast })
    }

    /// The input names it mentions, each once, in the order of first mention.
    pub fn names(&self) -> &[String] {
        &self.ast.names
    }

    /// Checks the types and compiles. `inputs` may hold more than [`names`](Self::names).
    pub fn compile(&self, inputs: &[(String, Type)]) -> Result<Program, ExprError> {
        self.compile_labelled(inputs, &[])
    }

    /// As [`compile`](Self::compile), with the labels of inputs that are enumerations: these may
    /// be compared with text.
    pub fn compile_labelled(
        &self,
        inputs: &[(String, Type)],
        labels: &[(String, Labels)],
    ) -> Result<Program, ExprError> {
        let checked = check::check(&self.ast, inputs, labels)?;
        let root = &checked.nodes[checked.root];
        let mode = match root.kind {
            ir::Kind::Const(scalar) if self.names().is_empty() => Mode::Constant(scalar),
            _ if root.ty.dtype == DType::Str => Mode::Text,
            _ if root.pure => Mode::Columns,
            _ => Mode::Events,
        };
        let declared: Vec<Declared> =
            inputs.iter().enumerate().map(|(k, input)| self.declare(k, input, &checked)).collect();
        let filler = declared.iter().map(Declared::filler_bytes).max().unwrap_or(0);
        Ok(Program {
            output: root.ty.clone(),
            mode,
            inputs: declared,
            scratch: Vec::new(),
            constants: Vec::new(),
            zeros: vec![0; filler.div_ceil(8)],
            presence: self.ast.asks_presence().then(Vec::new),
            code: code::generate(&checked),
        })
    }

    fn declare(&self, k: usize, (name, ty): &(String, Type), checked: &Checked) -> Declared {
        let place = self.names().iter().position(|n| n == name);
        let replaced = ty.shape.as_ref().filter(|_| checked.replaced.contains(&k));
        Declared {
            name: name.clone(),
            used: place.is_some(),
            required: place.is_some_and(|place| self.ast.requires(place)),
            filler: replaced.and_then(|s| Shape::new(s).ok()).unwrap_or(Shape::SCALAR),
            dtype: ty.dtype,
            rank: ty.rank,
        }
    }
}
