//! The parameter `fill` of ops that put a value where there is none to keep.

use crate::data::types::Type;
use crate::data::value::Scalar;
use crate::error::Fault;
use crate::op::doc::{ParamDoc, param};
use crate::op::parameters::Args;

/// Its row in a table of parameters; `doc` says what becomes it.
pub const fn fill(doc: &'static str) -> ParamDoc {
    param("fill", "number", "0", "of the input", "a value of the input's element type", doc)
}

/// What a node's `fill` says; 0 where it says nothing.
///
/// # Errors
/// When it is no number.
pub fn read(args: &Args<'_>) -> Result<f64, Fault> {
    Ok(args.number("fill")?.unwrap_or(0.0))
}

/// The fill value as an element of the input.
///
/// # Errors
/// When the input's type has no such value.
pub fn element(input: &Type, fill: f64) -> Result<Scalar, Fault> {
    Scalar::from_f64(input.dtype, fill).ok_or_else(|| {
        let reason = format!("{fill} is not a value of {}, the input's type", input.dtype);
        Fault::of("fill", reason, "give one that is, or convert by an `expr` first")
    })
}
