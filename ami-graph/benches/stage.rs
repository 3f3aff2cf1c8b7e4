//! How fast one worker stage is: ns per event of scalars, GB/s of images.
//!
//! `cargo bench -p ami-graph`; each line is the best of several rounds.

use ami_graph::batch::{ArrayRef, Batch, Column, Dims};
use ami_graph::limits::Limits;
use ami_graph::plan::Plan;
use ami_graph::run::WorkerStage;
use ami_graph::schema::{Field, Kind, Schema};
use ami_graph::spec::{GraphSet, GraphSpec};
use ami_graph::value::{Array, DType};
use std::sync::Arc;
use std::time::Instant;

const EVENTS: usize = 4096;
const FRAMES: usize = 4;
const SHAPE: [usize; 2] = [1024, 1024];
const ROUNDS: usize = 40;

/// Nodes over scalars.
const SCALARS: &[&str] = &[
    r#"{"op": "count", "in": "x"}"#,
    r#"{"op": "sum", "in": "k"}"#,
    r#"{"op": "mean", "in": "x"}"#,
    r#"{"op": "stats", "in": "x"}"#,
    r#"{"op": "min", "in": "x"}"#,
    r#"{"op": "hist", "in": "x", "bins": 100, "range": [-1, 4]}"#,
    r#"{"op": "hist", "in": "x", "bins": 100}"#,
    r#"{"op": "profile", "in": {"key": "x", "value": "k"}, "bins": 50, "range": [-1, 4]}"#,
    r#"{"op": "last", "in": "x"}"#,
    r#"{"op": "buffer", "in": ["x", "k"]}"#,
    r#"{"op": "gate", "in": "x", "with": {"k": "k"}, "when": "k == 1"}"#,
    r#"{"op": "threshold", "in": "x", "below": 0}"#,
    r#"{"op": "expr", "in": {"a": "x", "b": "y"}, "expr": "a*2 + sqrt(b)"}"#,
];

/// Nodes over images, and bytes of one pixel.
const IMAGES: &[(&str, usize)] = &[
    (r#"{"op": "sum", "in": "img"}"#, 2),
    (r#"{"op": "sum", "in": "flt"}"#, 4),
    (r#"{"op": "max", "in": "img"}"#, 2),
    (r#"{"op": "stats", "in": "img"}"#, 2),
    (r#"{"op": "hist", "in": "img", "bins": 100, "range": [0, 65536]}"#, 2),
    (r#"{"op": "last", "in": "img"}"#, 2),
    (r#"{"op": "roi", "in": "img", "x": [100, 600], "y": [100, 600]}"#, 2),
    (r#"{"op": "array_stat", "in": "img"}"#, 2),
    (r#"{"op": "array_stat", "in": "img", "stat": "max"}"#, 2),
    (r#"{"op": "project", "in": "img"}"#, 2),
    (r#"{"op": "threshold", "in": "img", "below": 100}"#, 2),
];

fn field(name: &str, dtype: DType, shape: &[usize]) -> Field {
    Field {
        name: name.into(),
        aliases: Vec::new(),
        dtype,
        rank: shape.len(),
        shape: Some(shape.to_vec()),
        kind: Kind::Event,
        labels: Default::default(),
    }
}

fn stage(node: &str) -> WorkerStage {
    let schema = Schema {
        fields: vec![
            field("x", DType::F64, &[]),
            field("k", DType::U16, &[]),
            field("y", DType::F64, &[]),
            field("img", DType::U16, &SHAPE),
            field("flt", DType::F32, &SHAPE),
        ],
    };
    let text = format!(r#"{{"name": "g", "nodes": {{"n": {node}}}}}"#);
    let spec = GraphSpec::parse(&text).expect("the graphs here are good");
    let plan = Plan::new(Arc::new(GraphSet::of(spec)), Arc::new(schema), &Limits::default());
    assert!(plan.errors().is_empty(), "{}", plan.errors()[0]);
    WorkerStage::new(Arc::new(plan))
}

/// Best time of one batch, in seconds.
#[allow(clippy::disallowed_methods)] // measuring is what this file is for
fn best(stage: &mut WorkerStage, batch: &Batch<'_>) -> f64 {
    (0..ROUNDS)
        .map(|_| {
            let begin = Instant::now();
            stage.absorb(batch);
            begin.elapsed().as_secs_f64()
        })
        .fold(f64::INFINITY, f64::min)
}

fn main() {
    scalars();
    images();
}

fn scalars() {
    let x: Vec<f64> = (0..EVENTS).map(|i| ((i * 7919) % 4001) as f64 / 800.0 - 1.0).collect();
    let k: Vec<u16> = (0..EVENTS).map(|i| (i % 50) as u16).collect();
    let y: Vec<f64> = x.iter().map(|x| x * x).collect();
    let times: Vec<u64> = (0..EVENTS as u64).collect();
    let column = |data, dtype| Column::Scalars { dtype, data, present: None };
    let scalar_batch = Batch {
        host: 0,
        first_sequence: 0,
        timestamps: &times,
        columns: vec![
            column(bytemuck::cast_slice(&x), DType::F64),
            column(bytemuck::cast_slice(&k), DType::U16),
            column(bytemuck::cast_slice(&y), DType::F64),
            Column::Absent,
            Column::Absent,
        ],
    };
    for node in SCALARS {
        let seconds = best(&mut stage(node), &scalar_batch);
        println!("{:7.2} ns/event  {node}", seconds * 1e9 / EVENTS as f64);
    }
    native(&x, &y);
}

/// What the compiler makes of `a*2 + sqrt(b)`: the limit of expressions.
#[allow(clippy::disallowed_methods)] // measuring is what this file is for
fn native(a: &[f64], b: &[f64]) {
    let mut out = vec![0.0; a.len()];
    let round = |_| {
        let begin = Instant::now();
        for ((out, a), b) in out.iter_mut().zip(a).zip(b) {
            *out = a * 2.0 + b.sqrt();
        }
        std::hint::black_box(&mut out);
        begin.elapsed().as_secs_f64()
    };
    let seconds = (0..ROUNDS).map(round).fold(f64::INFINITY, f64::min);
    println!("{:7.2} ns/event  a*2 + sqrt(b) as a loop in Rust", seconds * 1e9 / EVENTS as f64);
}

fn images() {
    let times: Vec<u64> = (0..FRAMES as u64).collect();
    let pixels = SHAPE[0] * SHAPE[1];
    let frames: Vec<Array> = (0..FRAMES)
        .map(|f| {
            let pixels: Vec<u16> = (0..pixels).map(|i| (i * 31 + f) as u16).collect();
            Array::from_elements(&SHAPE, &pixels)
        })
        .collect();
    let floats: Vec<Array> = (0..FRAMES)
        .map(|f| {
            let pixels: Vec<f32> = (0..pixels).map(|i| (i * 31 + f) as f32).collect();
            Array::from_elements(&SHAPE, &pixels)
        })
        .collect();
    let dims = Dims::new(&SHAPE).expect("two axes");
    let column = |dtype, frames: &'static [Array]| Column::Arrays {
        dtype,
        items: frames.iter().map(|a| Some(ArrayRef { dims, data: a.bytes() })).collect(),
    };
    let image_batch = Batch {
        host: 0,
        first_sequence: 0,
        timestamps: &times,
        columns: vec![
            Column::Absent,
            Column::Absent,
            Column::Absent,
            column(DType::U16, frames.leak()),
            column(DType::F32, floats.leak()),
        ],
    };
    for (node, size) in IMAGES {
        let seconds = best(&mut stage(node), &image_batch);
        let bytes = (FRAMES * pixels * *size) as f64;
        println!(
            "{:7.2} GB/s  {:7.3} ms/frame  {node}",
            bytes / seconds / 1e9,
            seconds * 1e3 / FRAMES as f64
        );
    }
}
