//! Texts and enumerations: compared in expressions, and keys.

#![allow(clippy::unwrap_used)] // a test that panics is a test that fails

mod support;

use ami_graph::data::batch::{Batch, Column};
use ami_graph::data::schema::Schema;
use ami_graph::data::value::{Array, DType, Value};
use ami_graph::plan::Plan;
use ami_graph::root::{Published, RootStage};
use ami_graph::worker::WorkerStage;
use serde_json::{Value as Json, json};
use std::sync::Arc;
use support::*;

const NAMES: [Option<&str>; 7] =
    [Some("LaB6"), Some("Ag"), None, Some("LaB6"), Some(""), Some("Ä"), Some("Ag")];
/// 0 closed, 1 open, and 7, which has no label.
const SHUTTER: [i32; 7] = [1, 0, 1, 1, 0, 7, 1];

fn schema() -> Schema {
    let mut shutter = field("shutter", DType::I32, None, 0);
    shutter.labels = [("closed".to_owned(), 0), ("open".to_owned(), 1)].into();
    Schema {
        fields: vec![field("name", DType::Str, None, 0), shutter, field("x", DType::F64, None, 0)],
    }
}

/// Seven events on so many workers, in units of two.
fn published(nodes: Json, workers: usize) -> Vec<Published> {
    let graph = json!({"name": "g", "nodes": nodes}).to_string();
    let plan = plan_with(&graph, schema());
    assert!(plan.errors().is_empty(), "{}", plan.errors()[0]);
    let mut stages: Vec<WorkerStage> =
        (0..workers).map(|_| WorkerStage::new(plan.clone())).collect();
    let numbers: Vec<f64> = (0..7).map(f64::from).collect();
    let times: Vec<u64> = (0..7).collect();
    for (unit, first) in (0..7).step_by(2).enumerate() {
        let events = first..(first + 2).min(7);
        let columns = vec![
            Column::Strings(NAMES[events.clone()].to_vec()),
            Column::Scalars {
                dtype: DType::I32,
                data: bytemuck::cast_slice(&SHUTTER[events.clone()]),
                present: None,
            },
            Column::Scalars {
                dtype: DType::F64,
                data: bytemuck::cast_slice(&numbers[events.clone()]),
                present: None,
            },
        ];
        stages[unit % workers].absorb(&Batch {
            host: 0,
            belonging: Default::default(),
            first_sequence: first as u64,
            timestamps: &times[events],
            columns,
        });
    }
    close(&plan, stages)
}

fn close(plan: &Arc<Plan>, stages: Vec<WorkerStage>) -> Vec<Published> {
    let mut merged = ami_graph::wire::partial::Partial::empty();
    for mut stage in stages.into_iter().rev() {
        merged.merge(carried(stage.take())).unwrap();
    }
    RootStage::new(plan.clone()).close(&frame(0, 7), merged)
}

fn whole(numbers: &[i64]) -> Value {
    Value::Array(Array::from_elements(&[numbers.len()], numbers))
}

fn floats(numbers: &[f64]) -> Value {
    Value::Array(Array::from_elements(&[numbers.len()], numbers))
}

#[test]
fn texts_and_labels_are_compared_in_expressions() {
    let nodes = json!({
        "lab6": {"op": "gate", "in": "x", "with": {"name": "name"}, "when": "name == \"LaB6\""},
        "n": {"op": "count", "in": "lab6"},
        "open": {"op": "gate", "in": "x", "with": {"s": "shutter"}, "when": "s == \"open\""},
        "o": {"op": "sum", "in": "open"},
        "not": {"op": "expr", "in": ["shutter"], "expr": "shutter != \"open\""},
        "r": {"op": "rate", "in": "not"},
        "passed": {"op": "gate", "in": "shutter", "with": {"x": "x"}, "when": "x > 0"},
        "again": {"op": "gate", "in": "passed", "with": {"p": "passed"}, "when": "p == \"closed\""},
        "c": {"op": "count", "in": "again"},
        "now": {"op": "last", "in": "shutter"},
        "is_open": {"op": "expr", "in": {"s": "now"}, "expr": "s == \"open\""}
    });
    for workers in [1, 2, 3] {
        let found = published(nodes.clone(), workers);
        assert_eq!(output(&found, "g/n", "value"), int(2));
        assert_eq!(output(&found, "g/o", "value"), real(0.0 + 2.0 + 3.0 + 6.0));
        assert_eq!(output(&found, "g/r", "fraction"), real(3.0 / 7.0));
        assert_eq!(output(&found, "g/c", "value"), int(2));
        assert_eq!(numbers(&output(&found, "g/is_open", "value")), [1.0]);
    }
}

#[test]
fn texts_are_keys_in_the_order_of_bytes() {
    let nodes = json!({
        "u": {"op": "unique", "in": "name"},
        "k": {"op": "by_key", "in": {"key": "name", "value": "x"}},
        "few": {"op": "by_key", "in": {"key": "name", "value": "x"}, "limit": 2, "stat": "sum"}
    });
    for workers in [1, 2, 3] {
        let found = published(nodes.clone(), workers);
        let labels = Value::Str(r#"["","Ag","LaB6","Ä"]"#.into());
        assert_eq!(output(&found, "g/u", "labels"), labels);
        assert_eq!(output(&found, "g/u", "values"), whole(&[0, 1, 2, 3]));
        assert_eq!(output(&found, "g/u", "counts"), whole(&[1, 2, 2, 1]));
        assert_eq!(output(&found, "g/k", "labels"), labels);
        assert_eq!(output(&found, "g/k", "mean"), floats(&[4.0, 3.5, 1.5, 5.0]));
        assert_eq!(output(&found, "g/few", "labels"), Value::Str(r#"["","Ag"]"#.into()));
        assert_eq!(output(&found, "g/few", "sum"), floats(&[4.0, 7.0]));
        assert_eq!(output(&found, "g/few", "overflowed"), int(3));
    }
}

#[test]
fn codes_are_keys_shown_by_their_labels() {
    let nodes = json!({
        "u": {"op": "unique", "in": "shutter"},
        "passed": {"op": "gate", "in": "shutter", "with": {"x": "x"}, "when": "x < 5"},
        "k": {"op": "by_key", "in": {"key": "passed", "value": "x"}}
    });
    let found = published(nodes, 2);
    assert_eq!(numbers(&output(&found, "g/u", "values")), [0.0, 1.0, 7.0]);
    let labels = Value::Str(r#"["closed","open","7"]"#.into());
    assert_eq!(output(&found, "g/u", "labels"), labels);
    let labels = Value::Str(r#"["closed","open"]"#.into());
    assert_eq!(output(&found, "g/k", "labels"), labels);
    assert_eq!(output(&found, "g/k", "count"), whole(&[2, 3]));
}

#[test]
fn a_label_that_there_is_not_is_refused() {
    let graph = r#"{"name": "g", "nodes": {
        "n": {"op": "gate", "in": "x", "with": {"s": "shutter"}, "when": "s == \"opn\""}}}"#;
    let error = plan_with(graph, schema()).errors()[0].to_string();
    assert!(error.contains("opn") && error.contains("open"), "{error}");
}
