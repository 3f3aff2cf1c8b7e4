//! A reduction tried before it goes live: on made-up events of the types that its inputs have, split in
//! several ways. What its `merge` says must not depend on the split.

use crate::python::Python;
use ami_graph::data::batch::{Column, Dims};
use ami_graph::data::owned_column::OwnedColumn;
use ami_graph::data::types::Type;
use ami_graph::data::value::DType;
use ami_graph::op::foreign::{Call, UserCode};
use serde_json::Value as Json;
use std::sync::Arc;

/// How many: not a multiple of any number of lanes.
const EVENTS: usize = 23;
const LANES: [u32; 4] = [1, 2, 3, 7];
/// Length of an axis whose length is not known.
const AXIS: usize = 8;
/// Most elements of one made-up array; inputs with larger ones are not tried.
const MAX_ELEMENTS: usize = 1 << 22;

/// Tries a reduction.
///
/// # Errors
/// The output and the two numbers, where they depend on the split. Code that fails on made-up events is
/// not refused for it: real ones may be otherwise.
pub(crate) fn prove(python: &Python, code: &Arc<UserCode>, inputs: &[Type]) -> Result<(), String> {
    let Some(columns) = inputs.iter().map(made_up).collect::<Option<Vec<OwnedColumn>>>() else {
        return Ok(());
    };
    let views: Vec<Column<'_>> = columns.iter().map(OwnedColumn::view).collect();
    let views: Vec<&Column<'_>> = views.iter().collect();
    let call = Call { events: EVENTS, mask: None, columns: &views };
    let report = match python.check(code, call, &LANES) {
        Ok(report) => report,
        Err(reason) => {
            tracing::info!("{}:{} could not be tried: {reason}", code.file, code.name);
            return Ok(());
        }
    };
    let differences = report["split"]["differences"].as_array().cloned().unwrap_or_default();
    differences.first().map_or(Ok(()), |difference| Err(told(difference)))
}

/// A difference for people.
fn told(difference: &Json) -> String {
    let text = |key: &str| match &difference[key] {
        Json::String(text) => text.clone(),
        other => other.to_string(),
    };
    let lanes = format!("with {} lanes, merged {}", text("lanes"), text("order"));
    if !difference["error"].is_null() {
        return format!("its result depends on the split: {lanes}, it fails: {}", text("error"));
    }
    let place = match difference["index"].as_array() {
        Some(index) if !index.is_empty() => format!(" at {}", text("index")),
        _ => String::new(),
    };
    format!(
        "its result depends on the split: output {:?}{place} is {} with one lane and {} {lanes}; merge \
         must give the same in any order",
        text("output"),
        text("one"),
        text("other"),
    )
}

/// Values of a type, the same every time. None where one would be too large.
fn made_up(input: &Type) -> Option<OwnedColumn> {
    let mut column = OwnedColumn::new();
    if input.dtype == DType::Str {
        column.start_strings();
        (0..EVENTS).for_each(|i| column.push_str(["a", "b", "LaB6"][i % 3]));
        return Some(column);
    }
    let mut number = numbers();
    if input.rank.unwrap_or(0) == 0 {
        column.start_pushed_scalars(input.dtype);
        // Integers are often numbers of shots: no two alike.
        for i in 0..EVENTS {
            let value = if input.dtype.is_float() { number() } else { (3 * i + 1) as f64 };
            column.push_scalar_bytes(&element(input.dtype, value));
        }
        return Some(column);
    }
    let shape = input.shape.clone().unwrap_or_else(|| vec![AXIS; input.rank.unwrap_or(1)]);
    let elements: usize = shape.iter().product();
    if elements > MAX_ELEMENTS {
        return None;
    }
    column.start_arrays(input.dtype);
    for _ in 0..EVENTS {
        let bytes: Vec<u8> = (0..elements).flat_map(|_| element(input.dtype, number())).collect();
        column.push_array(Dims::new(&shape)?, &bytes);
    }
    Some(column)
}

/// Numbers that do not repeat soon, some of them negative, of very different size.
fn numbers() -> impl FnMut() -> f64 {
    let mut state = 20_261_129u64;
    move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let (unit, power) = ((state >> 40) as f64 / f64::from(1 << 24) - 0.25, (state >> 33) % 9);
        unit * f64::from(1u32 << power)
    }
}

/// A number as an element's bytes; integers are cut, unsigned ones by their magnitude.
fn element(dtype: DType, x: f64) -> Vec<u8> {
    match dtype {
        DType::Bool => vec![u8::from(x > 0.0)],
        DType::U8 => vec![x.abs() as u8],
        DType::I8 => (x as i8).to_le_bytes().to_vec(),
        DType::U16 => (x.abs() as u16).to_le_bytes().to_vec(),
        DType::I16 => (x as i16).to_le_bytes().to_vec(),
        DType::U32 => (x.abs() as u32).to_le_bytes().to_vec(),
        DType::I32 => (x as i32).to_le_bytes().to_vec(),
        DType::U64 => (x.abs() as u64).to_le_bytes().to_vec(),
        DType::I64 => (x as i64).to_le_bytes().to_vec(),
        DType::F32 => (x as f32).to_le_bytes().to_vec(),
        DType::F64 => x.to_le_bytes().to_vec(),
        DType::Str => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_difference_names_the_output_and_both_numbers() {
        let difference = json!({"lanes": 3, "order": "backward", "output": "mean", "index": [],
                                "one": 1.5, "other": 2.5, "allowed": 0.0});
        let text = told(&difference);
        assert!(
            text.contains("output \"mean\" is 1.5 with one lane and 2.5 with 3 lanes"),
            "{text}"
        );
    }

    #[test]
    fn every_type_can_be_made_up() {
        for dtype in DType::ALL {
            let view = made_up(&Type::scalar(dtype)).is_some();
            let image = dtype == DType::Str || made_up(&Type::array(dtype, 2)).is_some();
            assert!(view && image, "{dtype}");
        }
        assert!(made_up(&Type::shaped(DType::F64, &[1 << 12, 1 << 12])).is_none());
    }
}
