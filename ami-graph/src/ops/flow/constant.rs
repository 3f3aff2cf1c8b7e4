//! `const`: a value written in the graph.

use crate::data::batch::Column;
use crate::data::owned_column::{EventErrors, OwnedColumn};
use crate::data::types::Type;
use crate::data::value::{Array, DType, MAX_RANK, Scalar, Value};
use crate::error::Fault;
use crate::op::doc::{Class, Form, OpDoc, OutputDoc, ParamDoc};
use crate::op::kind::{OpKind, Prepared};
use crate::op::parameters::Args;
use crate::op::per_event::{Kernel, PerEvent};
use serde_json::Value as Json;

static DOC: OpDoc = OpDoc {
    name: "const",
    summary: "a value written in the graph",
    text: "A number, true or false, text, or a nested list of numbers. Whole numbers are int64 \
           (uint64 above its range), others float64; a list with any fraction is float64. A \
           constant can be used by nodes on workers and at the root alike.",
    example: r#"{"op": "const", "value": [[1, 2], [3, 4]]}"#,
    class: Class::PerEvent,
    form: Form::None,
    with: false,
    params: &[ParamDoc {
        name: "value",
        kind: "number, bool, text or nested list",
        default: "",
        unit: "",
        range: "lists of equal length on each level, at most 5 levels",
        doc: "the value",
    }],
    outputs: &[OutputDoc { name: "value", doc: "the value" }],
};

/// The op.
pub struct Const;

impl OpKind for Const {
    fn doc(&self) -> &'static OpDoc {
        &DOC
    }

    fn prepare(&self, args: &Args<'_>) -> Result<Prepared, Fault> {
        let json = args.require("value", "a number, true or false, text, or a nested list")?;
        Ok(Prepared::per_event(Fixed(value(json)?)))
    }
}

fn value(json: &Json) -> Result<Value, Fault> {
    let scalar = |json: &Json| match json {
        Json::Bool(b) => Some(Scalar::Bool(*b)),
        Json::Number(n) => Some(match (n.as_i64(), n.as_u64()) {
            (Some(i), _) => Scalar::I64(i),
            (None, Some(u)) => Scalar::U64(u),
            (None, None) => Scalar::F64(n.as_f64()?),
        }),
        _ => None,
    };
    match json {
        Json::String(text) => Ok(Value::Str(text.clone())),
        Json::Array(_) => {
            let (mut shape, mut leaves) = (Vec::new(), Vec::new());
            measure(json, 0, &mut shape)?;
            collect(json, &shape, &scalar, &mut leaves)?;
            Ok(Value::Array(array(&shape, &leaves)))
        }
        other => scalar(other).map(Value::Scalar).ok_or_else(|| not_accepted(other)),
    }
}

fn not_accepted(json: &Json) -> Fault {
    let hint = "give a number, true or false, text, or a nested list of numbers";
    Fault::of("value", format!("{json} is not accepted"), hint)
}

/// Axis lengths along the first items.
fn measure(json: &Json, depth: usize, shape: &mut Vec<usize>) -> Result<(), Fault> {
    let Json::Array(items) = json else { return Ok(()) };
    if depth == MAX_RANK {
        let reason = format!("lists are nested more than {MAX_RANK} deep");
        return Err(Fault::of("value", reason, "flatten it"));
    }
    shape.push(items.len());
    items.first().map_or(Ok(()), |first| measure(first, depth + 1, shape))
}

fn collect(
    json: &Json,
    shape: &[usize],
    scalar: &impl Fn(&Json) -> Option<Scalar>,
    leaves: &mut Vec<Scalar>,
) -> Result<(), Fault> {
    match (json, shape.split_first()) {
        (Json::Array(items), Some((&length, rest))) if items.len() == length => {
            items.iter().try_for_each(|item| collect(item, rest, scalar, leaves))
        }
        (Json::Array(_), _) | (_, Some(_)) => {
            let reason = "lists on one level differ in length or depth";
            Err(Fault::of("value", reason, "make them equal, as the rows of an array"))
        }
        (leaf, None) => {
            leaves.push(scalar(leaf).ok_or_else(|| not_accepted(leaf))?);
            Ok(())
        }
    }
}

/// As numpy's `array()` chooses the type.
fn array(shape: &[usize], leaves: &[Scalar]) -> Array {
    let all = |dtype: DType| leaves.iter().all(|s| s.dtype() == dtype || s.dtype() == DType::Bool);
    let whole = |s: &Scalar| match *s {
        Scalar::I64(i) => i,
        Scalar::Bool(b) => i64::from(b),
        other => other.as_f64() as i64,
    };
    if !leaves.is_empty() && leaves.iter().all(|s| s.dtype() == DType::Bool) {
        let bytes: Vec<u8> = leaves.iter().map(|s| whole(s) as u8).collect();
        return Array::from_bytes(DType::Bool, shape, &bytes)
            .unwrap_or_else(|| Array::zeros(DType::Bool, shape));
    }
    if !leaves.is_empty() && all(DType::I64) {
        return Array::from_elements(shape, &leaves.iter().map(whole).collect::<Vec<_>>());
    }
    Array::from_elements(shape, &leaves.iter().map(|s| s.as_f64()).collect::<Vec<_>>())
}

#[derive(Debug, Clone)]
struct Fixed(Value);

impl PerEvent for Fixed {
    fn bind(&self, _: &[Type]) -> Result<(Vec<Type>, Box<dyn Kernel>), Fault> {
        let output = match &self.0 {
            Value::Array(array) => Type::shaped(array.dtype(), array.shape()),
            other => Type::scalar(other.dtype()),
        };
        Ok((vec![output], Box::new(self.clone())))
    }
}

impl Kernel for Fixed {
    fn run(
        &mut self,
        _: usize,
        _: &[&Column<'_>],
        outputs: &mut [OwnedColumn],
        _: &mut EventErrors,
    ) {
        // Set once; the column keeps it from batch to batch.
        if !matches!(outputs[0].view(), Column::Constant(_)) {
            outputs[0].set_constant(self.0.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_chosen_as_numpy_does() {
        let of = |text: &str| value(&serde_json::from_str(text).unwrap());
        assert_eq!(of("3").unwrap(), Value::Scalar(Scalar::I64(3)));
        assert_eq!(of("3.0").unwrap(), Value::Scalar(Scalar::F64(3.0)));
        assert_eq!(of("18446744073709551615").unwrap(), Value::Scalar(Scalar::U64(u64::MAX)));
        assert_eq!(of("\"on\"").unwrap(), Value::Str("on".into()));
        let Value::Array(a) = of("[[1, 2.5], [3, 4]]").unwrap() else { panic!() };
        assert_eq!((a.dtype(), a.shape()), (DType::F64, &[2, 2][..]));
        assert_eq!(a.elements::<f64>().unwrap(), [1.0, 2.5, 3.0, 4.0]);
        let Value::Array(a) = of("[true, false]").unwrap() else { panic!() };
        assert_eq!((a.dtype(), a.bytes()), (DType::Bool, &[1, 0][..]));
        for bad in ["[[1], [2, 3]]", "[1, [2]]", "[\"a\"]", "{}", "[[[[[[1]]]]]]"] {
            assert!(of(bad).is_err(), "{bad}");
        }
    }
}
