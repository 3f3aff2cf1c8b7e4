//! float32 fields: one grid of bins whether there are values or not, and windows that hold what
//! was asked for, whatever the values are.

#![allow(clippy::unwrap_used)] // a test that panics is a test that fails

mod support;

use ami_graph::data::batch::{Batch, Column};
use ami_graph::data::schema::Schema;
use ami_graph::data::value::DType;
use ami_graph::root::{Published, RootStage};
use ami_graph::wire::partial::Partial;
use ami_graph::worker::WorkerStage;
use serde_json::json;
use support::*;

/// Heartbeats of float32 scalars through one node.
fn published(node: serde_json::Value, beats: &[&[f32]]) -> Vec<Vec<Published>> {
    let graph = json!({"name": "g", "nodes": {"n": node}}).to_string();
    let plan = plan_with(&graph, Schema { fields: vec![field("x", DType::F32, None, 0)] });
    assert!(plan.errors().is_empty(), "{}", plan.errors()[0]);
    let mut root = RootStage::new(plan.clone());
    let mut close = |(h, beat): (usize, &&[f32])| {
        let mut worker = WorkerStage::new(plan.clone());
        let mut merged = Partial::empty();
        if !beat.is_empty() {
            let data = bytemuck::cast_slice(beat);
            let columns = vec![Column::Scalars { dtype: DType::F32, data, present: None }];
            let timestamps: Vec<u64> = (0..beat.len() as u64).collect();
            worker.absorb(&Batch {
                host: 0,
                belonging: Default::default(),
                first_sequence: 0,
                timestamps: &timestamps,
                columns,
            });
            merged.merge(worker.take()).unwrap();
        }
        root.close(&frame(h as u64 + 10, beat.len() as u64), merged)
    };
    beats.iter().enumerate().map(&mut close).collect()
}

#[test]
fn bins_are_the_same_with_and_without_values() {
    let node = json!({"op": "hist", "in": "x", "bins": 10, "range": [0, 1], "window": "heartbeat"});
    let beats = published(node, &[&[], &[0.7], &[]]);
    let edges: Vec<Vec<f64>> = beats.iter().map(|b| numbers(&output(b, "g/n", "edges"))).collect();
    assert_eq!(edges[0], edges[1]);
    assert_eq!(edges[0], edges[2]);
    // numpy's for float32 data.
    assert_eq!(edges[0][7], f64::from(0.7f32));
}

#[test]
fn an_infinity_does_not_shorten_a_window_of_quantiles() {
    let node = json!({"op": "quantile", "in": "x", "accuracy": 0.001, "q": [0, 0.5, 1], "window": {"heartbeats": 3}});
    let many: Vec<f32> = (1..40).map(|i| i as f32).collect();
    let beats = published(node, &[&many, &[-f32::INFINITY, 1e-45, f32::INFINITY], &many, &many]);
    let count = |b: &Vec<Published>| numbers(&output(b, "g/n", "count"))[0];
    assert_eq!(beats.iter().map(count).collect::<Vec<_>>(), [39.0, 42.0, 81.0, 81.0]);
    let ends = numbers(&output(&beats[3], "g/n", "values"));
    assert_eq!((ends[0], ends[2]), (f64::NEG_INFINITY, f64::INFINITY));
}
