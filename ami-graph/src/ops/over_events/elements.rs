//! What reductions of scalars or arrays of one shape, element by element, share.

use crate::data::types::Type;
use crate::data::value::DType;
use crate::error::DecodeError;
use crate::op::doc::{Form, InputDoc};
use crate::op::signature::Signature;

/// Their input.
pub const VALUE: Form = Form::Fixed(&[InputDoc {
    name: "value",
    doc: "scalar or array of numbers or bools; arrays of one shape",
    required: true,
}]);

/// Element type and shape that a state was started with.
///
/// # Errors
/// When the bytes of a state came with no signature.
pub fn element(signature: &Signature) -> Result<(DType, Vec<usize>), DecodeError> {
    let (dtype, axes) =
        signature.first().ok_or_else(|| DecodeError::invalid("signature of a state", "none"))?;
    Ok((*dtype, axes.iter().map(|&a| a as usize).collect()))
}

/// Type of an output `count`: one for all elements, or, where NaN is left out, one for each.
pub fn count_type(skip: bool, value: &Type) -> Type {
    if skip { Type { dtype: DType::I64, ..value.clone() } } else { Type::scalar(DType::I64) }
}
