//! Checking of `present` and `default`: what an expression makes of inputs that are absent.

use crate::data::types::Type;
use crate::data::value::DType;
use crate::expr::arithmetic::operation::Op;
use crate::expr::arithmetic::promote::Py;
use crate::expr::check::ir::{Id, Kind, Text};
use crate::expr::check::{Checker, Val};
use crate::expr::error::ExprError;

impl Checker<'_> {
    /// `present(x)`: a bool in every event.
    pub fn present(&mut self, x: &Val, at: usize) -> Result<Id, ExprError> {
        let input = match x {
            Val::Node(id) => match self.nodes[*id].kind {
                Kind::Input(input) => Some(input),
                _ => None,
            },
            Val::Text(Text::Input(input)) => Some(*input),
            _ => None,
        };
        let Some(input) = input else {
            return Err(ExprError::new(at, "present takes an input", "write present(x)"));
        };
        let kind = Kind::Input(self.inputs.len() + input);
        Ok(self.push(kind, Type::scalar(DType::Bool), true, at))
    }

    /// `default(x, y)`: where x is absent, what is there in its place is not taken.
    pub fn default_to(&mut self, x: &Val, y: &Val, at: usize) -> Result<Id, ExprError> {
        let Val::Node(input) = *x else {
            let hint = "ask present(...) of it; text can only be compared";
            return Err(ExprError::new(at, "default of text is not there", hint));
        };
        let code = match y {
            Val::Text(Text::Literal(label)) => Some(self.code_of(input, label, at)?),
            _ => None,
        };
        let code = code.map(|code| Val::Py(Py::Int(i128::from(code))));
        let y = code.as_ref().unwrap_or(y);
        let there = self.present(x, at)?;
        let of = self.common(&[x, y], at)?;
        let (taken, other) = (self.convert(x, of, at)?, self.convert(y, of, at)?);
        self.one_shape(self.ty(input), self.ty(other), at)?;
        if let Kind::Input(input) = self.nodes[input].kind {
            self.replaced.push(input);
        }
        self.elem(Op::Select, vec![there, taken, other], of, at)
    }

    /// Refuses a default that would change the shape from event to event.
    fn one_shape(&self, x: &Type, y: &Type, at: usize) -> Result<(), ExprError> {
        let same = match (&x.shape, &y.shape) {
            (Some(x), Some(y)) => x == y,
            _ => x.rank.zip(y.rank).is_none_or(|(x, y)| x == y),
        };
        if same || (y.is_scalar() && x.shape.is_some()) {
            return Ok(());
        }
        let message = format!("default would be {x} in one event and {y} in another");
        let hint = match y.is_scalar() {
            true => {
                "how long the axes are only events tell: give an array of that shape, or reduce first"
            }
            false => "give a number, or an array of the same shape",
        };
        Err(ExprError::new(at, message, hint))
    }

    /// The input that `default` may have replaced by this value; else the value itself.
    pub fn replaced_by(&self, id: Id) -> Id {
        match &self.nodes[id].kind {
            Kind::Elem { op: Op::Select, args } if self.is_presence(args[0]) => args[1],
            _ => id,
        }
    }

    fn is_presence(&self, id: Id) -> bool {
        matches!(self.nodes[id].kind, Kind::Input(input) if input >= self.inputs.len())
    }
}
