//! Bad parameters of every reduction: refused, with node, parameter and what is accepted.

#![allow(clippy::unwrap_used)] // a test that panics is a test that fails

mod support;

use ami_graph::ops::{Class, OPS, OpDoc, ParamDoc};
use serde_json::{Value as Json, json};
use support::*;

/// Values out of range of a parameter. Every parameter of a reduction must be here.
fn out_of_range(op: &str, parameter: &str) -> Vec<Json> {
    match (op, parameter) {
        ("hist", "bins") => {
            vec![json!(0), json!(1e9), json!([1]), json!([2, 1]), json!([0, "a"]), json!(2.5)]
        }
        ("profile", "bins") => vec![json!(0), json!(-3), json!(1e9), json!([0, 0])],
        ("hist2d", "bins") => {
            vec![json!(0), json!([0, 5]), json!([5]), json!([5, 5, 5]), json!([4096, 4096])]
        }
        ("hist" | "profile", "range") => {
            vec![json!([1, 1]), json!([2, 1]), json!([0, "NaN"]), json!([0]), json!("all")]
        }
        ("hist2d", "range") => vec![json!([0, 1]), json!([[0, 1]]), json!([[1, 0], [0, 1]])],
        ("last" | "buffer" | "sample", "n") => vec![json!(0), json!(-1), json!(1_000_001)],
        ("buffer", "unique" | "with_time") => vec![json!(2)],
        ("by_key" | "scan" | "unique", "limit") => vec![json!(0), json!(100_001), json!(0.5)],
        ("by_key" | "scan", "stat") => vec![json!("median")],
        ("scan", "by") => vec![json!(3)],
        ("quantile", "q") => vec![json!(1.01), json!(-0.1), json!([]), json!([0.5, "NaN"])],
        ("quantile", "accuracy") => vec![json!(0), json!(1e-9), json!(0.5), json!("NaN")],
        ("ewma", "tau") => vec![json!(0), json!(-1), json!("Infinity"), json!("NaN")],
        ("covariance", "limit") => vec![json!(0), json!(1u64 << 40)],
        other => panic!("say in out_of_range() what {other:?} does not accept"),
    }
}

fn refused(doc: &OpDoc, param: &ParamDoc, value: &Json) {
    let mut node: Json = serde_json::from_str(doc.example).unwrap();
    node[param.name] = value.clone();
    if param.name == "bins" && doc.name != "hist2d" && value.is_array() {
        // A list of edges goes without a range.
        node.as_object_mut().unwrap().remove("range");
    }
    let graph = json!({"name": "g", "nodes": {"here": node}}).to_string();
    let plan = plan(&graph);
    let Some(error) = plan.errors().first() else {
        panic!("{} accepts {} = {value}", doc.name, param.name)
    };
    let text = error.to_string();
    assert!(text.contains("here"), "{text}");
    assert_eq!(error.parameter.as_deref(), Some(param.name), "{} {text}", doc.name);
    assert!(!error.hint.is_empty(), "{} {text}: what is accepted?", doc.name);
}

fn reductions() -> impl Iterator<Item = &'static OpDoc> {
    OPS.iter().map(|op| op.doc()).filter(|doc| doc.class == Class::Reduction)
}

#[test]
fn a_value_of_a_wrong_type_is_refused() {
    for doc in reductions() {
        for param in doc.params {
            for wrong in [json!({"no": "such"}), json!("no such"), json!([[[]]])] {
                if param.name == "by" && wrong.is_string() {
                    continue; // any text may be a variable's name
                }
                refused(doc, param, &wrong);
            }
        }
    }
}

#[test]
fn a_value_out_of_range_is_refused() {
    for doc in reductions() {
        for param in doc.params {
            out_of_range(doc.name, param.name).iter().for_each(|value| refused(doc, param, value));
        }
    }
}

#[test]
fn a_parameter_without_a_default_must_be_given() {
    for doc in reductions() {
        for param in doc.params.iter().filter(|param| param.default.is_empty()) {
            refused(doc, param, &Json::Null);
        }
    }
}

#[test]
fn an_unknown_parameter_is_refused_with_the_nearest() {
    let graph = r#"{"name": "g", "nodes": {"here": {"op": "by_key", "in": ["flag", "scalar"], "limt": 3}}}"#;
    let error = plan(graph).errors()[0].to_string();
    assert!(error.contains("limt") && error.contains("limit"), "{error}");
}

#[test]
fn inputs_that_do_not_fit_are_refused() {
    let nodes = [
        json!({"op": "by_key", "in": ["image", "scalar"]}),
        json!({"op": "unique", "in": "waveform"}),
        json!({"op": "covariance", "in": "image"}),
        json!({"op": "covariance", "in": {"x": "waveform", "partial": "image"}}),
        json!({"op": "correlate", "in": "scalar"}),
        json!({"op": "hist2d", "in": {"x": "scalar", "z": "flag"}, "range": [[0, 1], [0, 1]]}),
        json!({"op": "by_key", "in": ["flag", "image"], "limit": 100000, "window": {"heartbeats": 900}}),
    ];
    for node in nodes {
        let graph = json!({"name": "g", "nodes": {"here": node}}).to_string();
        let plan = plan(&graph);
        assert!(!plan.errors().is_empty(), "{node} is accepted");
        assert!(!plan.errors()[0].hint.is_empty(), "{node}");
    }
}
