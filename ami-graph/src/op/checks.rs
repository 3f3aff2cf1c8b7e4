//! Which inputs an operation refuses.

use crate::data::types::Type;
use crate::data::value::DType;
use crate::error::Fault;

/// Refuses text, which most ops cannot work on.
pub fn numbers_only(inputs: &[Type], names: &[&str]) -> Result<(), Fault> {
    match inputs.iter().zip(names).find(|(t, _)| t.dtype == DType::Str) {
        Some((_, name)) => Err(Fault::of("in", format!("{name} is text"), "give numbers")),
        None => Ok(()),
    }
}
