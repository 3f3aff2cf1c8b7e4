//! What ops that keep something by key share: the parameter `limit`, which inputs are keys, and the
//! labels of keys that are codes of an enumeration.

use crate::data::bytes::scalar_from_bytes;
use crate::data::schema::Labels;
use crate::data::types::Type;
use crate::data::value::{DType, Value};
use crate::error::Fault;
use crate::merge::keyed::MAX_KEYS;
use crate::op::doc::ParamDoc;
use crate::op::parameters::Args;
use crate::op::reduction::Outputs;
use serde_json::json;

/// The parameter `limit` of ops that keep something by key.
pub const LIMIT: ParamDoc = ParamDoc {
    name: "limit",
    kind: "integer",
    default: "1000",
    unit: "",
    range: "1 to 100000",
    doc: "most keys kept: the smallest",
};

/// The parameter `limit` of a node.
///
/// # Errors
/// When it is none.
pub fn limit(args: &Args<'_>) -> Result<usize, Fault> {
    args.whole("limit", Some(1000), 1..=MAX_KEYS).map(|n| n as usize)
}

/// Refuses arrays, which are no keys.
///
/// # Errors
/// Says which input, and what to do.
pub fn scalar_only(name: &str, input: &Type) -> Result<(), Fault> {
    if input.rank.is_some_and(|rank| rank > 0) {
        let reason = format!("the {name} is {input}, not a scalar");
        return Err(Fault::of("in", reason, "name a scalar, or reduce it by `array_stat`"));
    }
    Ok(())
}

/// Type of the keys as an output.
pub fn type_of(input: &Type) -> Type {
    Type::array(if input.dtype == DType::Str { DType::I64 } else { input.dtype }, 1)
}

/// Adds the labels of an enumeration to outputs of which the first are the keys, the last their
/// labels.
pub fn dress(labels: Option<&Labels>, outputs: &mut Outputs) {
    let Some(labels) = labels.filter(|labels| !labels.is_empty()) else { return };
    if let Some(Some(keys)) = outputs.first()
        && let names @ Some(_) = labelled(keys, labels)
        && let Some(last) = outputs.last_mut()
    {
        *last = names;
    }
}

/// The labels of an enumeration's keys as a JSON list; a code without a label stays a number.
/// None for arrays that are no codes.
fn labelled(keys: &Value, labels: &Labels) -> Option<Value> {
    let Value::Array(keys) = keys else { return None };
    let size = keys.dtype().size();
    let name = |bytes: &[u8]| {
        let code = scalar_from_bytes(keys.dtype(), bytes).as_f64();
        let label = labels.iter().find(|(_, known)| **known as f64 == code);
        label.map_or_else(|| code.to_string(), |(label, _)| label.clone())
    };
    let names: Vec<String> = keys.bytes().chunks_exact(size).map(name).collect();
    Some(Value::Str(json!(names).to_string()))
}
