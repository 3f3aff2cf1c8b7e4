//! Checking of operators: which type they compute in, and what is refused.

use crate::data::types::Type;
use crate::data::value::DType;
use crate::expr::arithmetic::operation::Op;
use crate::expr::arithmetic::operation::{Binary, Comparison};
use crate::expr::arithmetic::promote::{Py, fold, int_range, int_scalar, signed};
use crate::expr::arithmetic::shape::{Failure, Shape};
use crate::expr::check::ir::{Id, Kind, Text};
use crate::expr::check::{Checker, Val, failed};
use crate::expr::error::ExprError;
use crate::expr::syntax::ast;
use crate::expr::syntax::functions;

impl Checker<'_> {
    /// `a operator b`.
    pub fn binary(
        &mut self,
        operator: Binary,
        a: &Val,
        b: &Val,
        at: usize,
    ) -> Result<Val, ExprError> {
        if matches!((a, b), (Val::Text(_), _) | (_, Val::Text(_))) {
            return self.text(operator, a, b, at);
        }
        if let (Val::Py(a), Val::Py(b)) = (a, b) {
            return fold(operator, *a, *b)
                .map(Val::Py)
                .map_err(|message| ExprError::new(at, message, ""));
        }
        let id = match operator {
            Binary::Compare(comparison) => self.compare(comparison, a, b, at)?,
            Binary::Pow => self.power(a, b, at)?,
            _ => self.arithmetic(operator, a, b, at)?,
        };
        Ok(Val::Node(id))
    }

    fn arithmetic(
        &mut self,
        operator: Binary,
        a: &Val,
        b: &Val,
        at: usize,
    ) -> Result<Id, ExprError> {
        let common = self.common(&[a, b], at)?;
        let bits = matches!(operator, Binary::BitAnd | Binary::BitOr | Binary::BitXor);
        if bits && common.is_float() {
            let message = format!("{} of {common} has no meaning", operator.symbol());
            let hint = "compare first: (a > 1) & (b > 1); for powers write **";
            return Err(ExprError::new(at, message, hint));
        }
        let bool = common == DType::Bool;
        let (op, of) = match operator {
            Binary::Add => (Op::Add, common),
            Binary::Sub if bool => {
                let message = "minus of bool has no meaning";
                return Err(ExprError::new(at, message, "write a ^ b, or a and not b"));
            }
            Binary::Sub => (Op::Sub, common),
            Binary::Mul => (Op::Mul, common),
            Binary::Div if common == DType::F32 => (Op::Div, common),
            Binary::Div => (Op::Div, DType::F64),
            Binary::FloorDiv => (Op::FloorDiv, if bool { DType::I8 } else { common }),
            Binary::Mod => (Op::Mod, if bool { DType::I8 } else { common }),
            Binary::BitAnd => (Op::BitAnd, common),
            Binary::BitOr => (Op::BitOr, common),
            _ => (Op::BitXor, common),
        };
        let args = vec![self.convert(a, of, at)?, self.convert(b, of, at)?];
        self.elem(op, args, of, at)
    }

    fn power(&mut self, a: &Val, b: &Val, at: usize) -> Result<Id, ExprError> {
        let common = self.common(&[a, b], at)?;
        let square = matches!(b, Val::Py(Py::Int(2))) || matches!(b, Val::Py(Py::Float(2.0)));
        let of = if common == DType::Bool { DType::I8 } else { common };
        if let (Val::Py(Py::Int(v)), false) = (b, of.is_float())
            && *v < 0
        {
            let message = "an integer to a negative integer power";
            return Err(ExprError::new(at, message, format!("write x**{v}.0 for a float")));
        }
        let base = self.convert(a, of, at)?;
        if square {
            return self.elem(Op::Square, vec![base], of, at);
        }
        let exponent = self.convert(b, of, at)?;
        self.elem(Op::Pow, vec![base, exponent], of, at)
    }

    fn compare(
        &mut self,
        comparison: Comparison,
        a: &Val,
        b: &Val,
        at: usize,
    ) -> Result<Id, ExprError> {
        if let (Val::Py(_), Val::Node(_)) = (a, b) {
            return self.compare(comparison.mirrored(), b, a, at);
        }
        let common = self.common(&[a, b], at)?;
        if let (Val::Node(id), Val::Py(Py::Int(v))) = (a, b)
            && let (least, most) = int_range(common)
            && common.is_integer()
            && !(least..=most).contains(v)
        {
            // Decided by the bounds of the type; written as a comparison to keep the shape.
            let always = comparison.holds(Some(0.cmp(v)));
            let trivial = if always { Comparison::Ge } else { Comparison::Lt };
            let dtype = self.ty(*id).dtype;
            let bound = int_scalar(int_range(dtype).0, dtype).expect("the bound is in bounds");
            let bound = self.push(Kind::Const(bound), Type::scalar(dtype), true, at);
            return self.elem(Op::Compare(trivial), vec![*id, bound], DType::Bool, at);
        }
        if let (Val::Node(left), Val::Node(right)) = (a, b) {
            let types = (self.ty(*left).dtype, self.ty(*right).dtype);
            if types.0 == DType::U64 && signed(types.1) {
                let right = self.convert(b, DType::I64, at)?;
                let op = Op::CompareMixed(comparison);
                return self.elem(op, vec![*left, right], DType::Bool, at);
            }
            if types.1 == DType::U64 && signed(types.0) {
                return self.compare(comparison.mirrored(), b, a, at);
            }
        }
        let args = vec![self.convert(a, common, at)?, self.convert(b, common, at)?];
        self.elem(Op::Compare(comparison), args, DType::Bool, at)
    }

    fn text(&mut self, operator: Binary, a: &Val, b: &Val, at: usize) -> Result<Val, ExprError> {
        let equal = match operator {
            Binary::Compare(Comparison::Eq) => true,
            Binary::Compare(Comparison::Ne) => false,
            _ => {
                let message = format!("{} of text has no meaning", operator.symbol());
                return Err(ExprError::new(at, message, "text can be compared with == and !="));
            }
        };
        match (a, b) {
            (Val::Text(Text::Literal(a)), Val::Text(Text::Literal(b))) => {
                Ok(Val::Py(Py::Bool((a == b) == equal)))
            }
            (Val::Text(left), Val::Text(right)) => {
                let (left, right) = (left.clone(), right.clone());
                let kind = Kind::TextEqual { left, right, equal };
                Ok(Val::Node(self.push(kind, Type::scalar(DType::Bool), true, at)))
            }
            (Val::Text(Text::Literal(label)), Val::Node(id))
            | (Val::Node(id), Val::Text(Text::Literal(label))) => {
                let code = self.code_of(*id, label, at)?;
                let code = Val::Py(Py::Int(i128::from(code)));
                self.binary(operator, &Val::Node(*id), &code, at)
            }
            _ => Err(ExprError::new(at, "text compared with a number", "it is never equal")),
        }
    }

    /// The code of a label of an enumeration.
    pub fn code_of(&self, id: Id, label: &str, at: usize) -> Result<i64, ExprError> {
        let Some(labels) = self.labels_of(id) else {
            let message = format!("text compared with a value of type {}", self.ty(id));
            return Err(ExprError::new(at, message, "it is no text and has no labels"));
        };
        labels.get(label).copied().ok_or_else(|| {
            let near = functions::nearest(label, labels.keys().map(String::as_str));
            let known: Vec<&str> = labels.keys().take(20).map(String::as_str).collect();
            let hint =
                if near.is_empty() { format!("labels are {}", known.join(", ")) } else { near };
            ExprError::new(at, format!("unknown label {label:?}"), hint)
        })
    }

    /// Refuses what cannot have a truth value in any event.
    fn truth_value(&self, id: Id, at: usize) -> Result<(), ExprError> {
        let Some(shape) = &self.ty(id).shape else { return Ok(()) };
        match Shape::new(shape) {
            Ok(shape) if shape.count() != 1 => Err(failed(Failure::Ambiguous(shape), at)),
            _ => Ok(()),
        }
    }

    /// A node as bool, for nodes that are scalars.
    fn truth(&mut self, id: Id, at: usize) -> Result<Id, ExprError> {
        if self.ty(id).dtype == DType::Bool {
            return Ok(id);
        }
        self.elem(Op::Truth, vec![id], DType::Bool, at)
    }

    /// `not a`.
    pub fn not(&mut self, value: &Val, at: usize) -> Result<Val, ExprError> {
        if let Val::Py(py) = value {
            return Ok(Val::Py(Py::Bool(!py.truth())));
        }
        let id = self.strong(value, at)?;
        if self.nodes[id].pure {
            return self.elem(Op::Not, vec![id], DType::Bool, at).map(Val::Node);
        }
        self.truth_value(id, at)?;
        Ok(Val::Node(self.push(Kind::Not(id), Type::scalar(DType::Bool), false, at)))
    }

    /// `left and right`, `left or right`; the parts are left, mark and right.
    pub fn junction(
        &mut self,
        and: bool,
        parts: [ast::Id; 3],
        at: usize,
    ) -> Result<Val, ExprError> {
        let [left, mark, right] = parts.map(|p| self.value(p));
        if let Val::Py(py) = &left {
            return Ok(if py.truth() == and { right } else { left });
        }
        let of = self.common(&[&left, &right], at)?;
        let cond = self.strong(&left, at)?;
        let pure = |c: &Self, v: &Val| !matches!(v, Val::Node(id) if !c.nodes[*id].pure);
        if pure(self, &left) && pure(self, &right) {
            let cond = self.truth(cond, at)?;
            let left = self.convert(&left, of, at)?;
            let right = self.convert(&right, of, at)?;
            let (op, args) = match (of, and) {
                (DType::Bool, true) => (Op::BitAnd, vec![left, right]),
                (DType::Bool, false) => (Op::BitOr, vec![left, right]),
                (_, true) => (Op::Select, vec![cond, right, left]),
                (_, false) => (Op::Select, vec![cond, left, right]),
            };
            return self.elem(op, args, of, at).map(Val::Node);
        }
        self.truth_value(cond, at)?;
        let right = self.strong_of(&right, of, at)?;
        let mark = self.strong(&mark, at)?;
        let ty = self.either(cond, right, of);
        let kind = Kind::Junction { and, left: cond, mark, right };
        Ok(Val::Node(self.push(kind, ty, false, at)))
    }

    /// `yes if cond else no`; the parts in order of evaluation.
    pub fn choice(&mut self, parts: [ast::Id; 5], at: usize) -> Result<Val, ExprError> {
        let [cond, then_mark, yes, else_mark, no] = parts.map(|p| self.value(p));
        if let Val::Py(py) = cond {
            return Ok(if py.truth() { yes } else { no });
        }
        let of = self.common(&[&yes, &no], at)?;
        let cond = self.strong(&cond, at)?;
        let (yes, no) = (self.strong_of(&yes, of, at)?, self.strong_of(&no, of, at)?);
        if [cond, yes, no].iter().all(|&id| self.nodes[id].pure) {
            let cond = self.truth(cond, at)?;
            let yes = self.convert(&Val::Node(yes), of, at)?;
            let no = self.convert(&Val::Node(no), of, at)?;
            return self.elem(Op::Select, vec![cond, yes, no], of, at).map(Val::Node);
        }
        self.truth_value(cond, at)?;
        let ty = self.either(yes, no, of);
        let then_mark = self.strong(&then_mark, at)?;
        let else_mark = self.strong(&else_mark, at)?;
        let kind = Kind::If { cond, then_mark, yes, else_mark, no };
        Ok(Val::Node(self.push(kind, ty, false, at)))
    }

    /// A literal in this type, a node as it is: it is converted where it is taken, so that
    /// nothing is computed for the branch not taken.
    fn strong_of(&mut self, value: &Val, of: DType, at: usize) -> Result<Id, ExprError> {
        if matches!(value, Val::Py(_)) {
            self.convert(value, of, at)
        } else {
            self.strong(value, at)
        }
    }

    /// The type of one or the other.
    fn either(&self, a: Id, b: Id, dtype: DType) -> Type {
        let (a, b) = (self.ty(a), self.ty(b));
        Type {
            dtype,
            rank: a.rank.filter(|_| a.rank == b.rank),
            shape: a.shape.clone().filter(|_| a.shape == b.shape),
        }
    }
}
