//! The table of operations as JSON.

use crate::op::doc::{Class, Form, OpDoc};
use crate::ops::OPS;
use serde_json::json;

/// The table as JSON, for `ami-ctl ops --json`, dashboards and stubs.
pub fn ops_json() -> serde_json::Value {
    OPS.iter().map(|op| op_json(op.doc())).collect()
}

fn op_json(doc: &OpDoc) -> serde_json::Value {
    let inputs = match doc.form {
        Form::None => json!([]),
        Form::Fixed(inputs) => inputs
            .iter()
            .map(|i| json!({"name": i.name, "doc": i.doc, "required": i.required}))
            .collect(),
        Form::Values => {
            json!([{"name": "value…", "doc": "one or more, any names", "required": true}])
        }
        Form::Named => {
            json!([{"name": "…", "doc": "named as the expression uses them", "required": true}])
        }
    };
    let params: Vec<serde_json::Value> = doc
        .params
        .iter()
        .map(|p| {
            json!({"name": p.name, "type": p.kind, "default": p.default, "unit": p.unit,
                   "range": p.range, "doc": p.doc, "required": p.default.is_empty()})
        })
        .collect();
    let outputs: Vec<serde_json::Value> =
        doc.outputs.iter().map(|o| json!({"name": o.name, "doc": o.doc})).collect();
    let kind = match doc.class {
        Class::PerEvent => "per-event",
        Class::Reduction => "reduction",
        Class::UserCode => "user-code",
    };
    let example: serde_json::Value = serde_json::from_str(doc.example).unwrap_or_default();
    json!({"name": doc.name, "summary": doc.summary, "doc": doc.text, "kind": kind,
           "inputs": inputs, "with": doc.with, "params": params,
           "window": doc.class != Class::PerEvent, "outputs": outputs, "example": example})
}
