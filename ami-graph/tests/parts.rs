//! Parts of a detector: what is made of those that came.

#![allow(clippy::unwrap_used)] // a test that panics is a test that fails

mod support;

use ami_graph::data::batch::Batch;
use ami_graph::data::schema::Schema;
use ami_graph::data::value::{Array, DType};
use ami_graph::graph::spec::{GraphSet, GraphSpec};
use ami_graph::plan::{Plan, limits::Limits};
use ami_graph::root::{Published, RootStage};
use ami_graph::worker::WorkerStage;
use serde_json::{Value as Json, json};
use std::sync::Arc;
use support::*;

/// Three segments of [2]; one letter for each event: which came.
fn published(node: Json, events: &[&str]) -> Vec<Published> {
    let fields = ["a", "b", "c"].map(|name| field(name, DType::U16, Some(&[2]), 1)).to_vec();
    let nodes = json!({"n": node, "kept": {"op": "buffer", "in": "n.present", "n": 9}});
    let graph = json!({"name": "g", "nodes": nodes, "publish": ["n", "kept"]}).to_string();
    let plan = plan_with(&graph, Schema { fields });
    assert!(plan.errors().is_empty(), "{}", plan.errors()[0]);
    let segment = |letter: char, number: u16| -> Vec<Option<Array>> {
        let one = |event: &&str| {
            event.contains(letter).then(|| Array::from_elements(&[2], &[number, number + 1]))
        };
        events.iter().map(one).collect()
    };
    let segments = [segment('a', 10), segment('b', 20), segment('c', 30)];
    let timestamps: Vec<u64> = (0..events.len() as u64).collect();
    let mut worker = WorkerStage::new(plan.clone());
    worker.absorb(&Batch {
        host: 0,
        belonging: Default::default(),
        first_sequence: 0,
        timestamps: &timestamps,
        columns: segments.iter().map(|s| arrays(DType::U16, s)).collect(),
    });
    RootStage::new(plan).close(&frame(1, events.len() as u64), worker.take())
}

fn stack(more: Json) -> Json {
    let mut node = json!({"op": "stack", "in": ["a", "b", "c"]});
    node.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    node
}

#[test]
fn parts_that_never_come_are_waited_for_filled_or_left_out() {
    let events = ["abc", "ac", "", "c"];
    let of = |more: Json| {
        let published = published(stack(more), &events);
        let value = numbers(&output(&published, "g/n", "value"));
        (value, numbers(&output(&published, "g/kept", "value")))
    };
    let all = vec![10.0, 11.0, 20.0, 21.0, 30.0, 31.0];
    assert_eq!(of(json!({})), (all, vec![3.0]));
    let filled = vec![7.0, 7.0, 7.0, 7.0, 30.0, 31.0];
    assert_eq!(of(json!({"missing": "fill", "fill": 7})), (filled, vec![3.0, 2.0, 1.0]));
    assert_eq!(of(json!({"missing": "skip"})), (vec![30.0, 31.0], vec![3.0, 2.0, 1.0]));
}

#[test]
fn filled_places_are_those_of_the_parts_along_any_axis() {
    let node = stack(json!({"missing": "fill", "fill": 0, "axis": 1}));
    let published = published(node, &["ac"]);
    let value = numbers(&output(&published, "g/n", "value"));
    assert_eq!(value, [10.0, 0.0, 30.0, 11.0, 0.0, 31.0]);
}

#[test]
fn what_cannot_be_filled_is_refused() {
    let fields = ["a", "b", "c"].map(|name| field(name, DType::U16, Some(&[2]), 1)).to_vec();
    let refused = |more: Json| {
        let graph = json!({"name": "g", "nodes": {"n": stack(more)}}).to_string();
        let set = GraphSet::of(GraphSpec::parse(&graph).unwrap());
        let schema = Arc::new(Schema { fields: fields.clone() });
        let plan = Plan::new(Arc::new(set), schema, &Limits::default());
        plan.errors()[0].to_string()
    };
    assert!(refused(json!({"missing": "fill", "fill": -1})).contains("not a value of uint16"));
    assert!(refused(json!({"fill": 1})).contains("for missing"));
    let zeros = refused(json!({"missing": "zeros"}));
    assert!(zeros.contains("wait") && zeros.contains("skip"), "{zeros}");
}
