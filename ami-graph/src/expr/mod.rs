//! The expression language of graph files: numpy's meaning, checked and compiled once per graph.
//!
//! ```text
//!   text → lex → parse → check → code → Program → a column per batch
//!                 ast     ir
//! ```
//!
//! ```
//! use ami_graph::batch::Column;
//! use ami_graph::column::{EventErrors, OwnedColumn};
//! use ami_graph::expr::Expr;
//! use ami_graph::types::Type;
//! use ami_graph::value::DType;
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
//! - Every input an expression mentions must be there, also one in a branch that is not taken.
//! - What fails in every event is refused beforehand, also in a branch that is not taken; so are
//!   literals out of the bounds of the type they meet, also in `where`.
//! - A bool to the power 2 is int64, as to every other power (int8 in numpy, for arrays).
//! - Text is only compared; index arrays and masks as indices are not there.
//! - `pi` and `e` are constants and cannot be input names.

mod array;
mod ast;
mod calls;
mod check;
mod code;
mod exec;
mod functions;
mod fused;
mod index;
mod ir;
mod kernel;
mod lex;
mod number;
mod operators;
mod parse;
mod program;
mod promote;
mod real;
mod reduce;
mod shape;
mod slots;
mod sums;

pub use functions::{FUNCTIONS, Function};
pub use program::Program;
pub(crate) use promote::promote;

use crate::types::Type;
use crate::value::DType;
use program::{Declared, Mode};
use std::collections::BTreeMap;
use std::fmt;

/// Longest text of an expression, in bytes.
pub const MAX_TEXT: usize = 64 * 1024;
/// Deepest nesting of brackets, calls and the like.
pub const MAX_DEPTH: usize = 64;
/// Largest array an expression makes, in bytes.
pub const MAX_BYTES: usize = 256 << 20;

/// Codes of an enumeration by label, as in [`Field::labels`](crate::schema::Field::labels).
pub type Labels = BTreeMap<String, i64>;

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
        let declared = inputs.iter().map(|(name, ty)| Declared {
            name: name.clone(),
            used: self.names().contains(name),
            dtype: ty.dtype,
            rank: ty.rank,
        });
        Ok(Program {
            output: root.ty.clone(),
            mode,
            inputs: declared.collect(),
            scratch: Vec::new(),
            constants: Vec::new(),
            code: code::generate(&checked),
        })
    }
}

/// A mistake in an expression: where, what, and what would help.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExprError {
    /// Character of the text, counted from 1.
    pub column: usize,
    /// What is wrong.
    pub message: String,
    /// What to write instead; may be empty.
    pub hint: String,
}

impl ExprError {
    fn new(column: usize, message: impl Into<String>, hint: impl Into<String>) -> ExprError {
        ExprError { column, message: message.into(), hint: hint.into() }
    }
}

impl fmt::Display for ExprError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "column {}: {}", self.column, self.message)?;
        if self.hint.is_empty() { Ok(()) } else { write!(f, "; {}", self.hint) }
    }
}

impl std::error::Error for ExprError {}
