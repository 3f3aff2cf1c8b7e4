//! How fast one worker stage is: ns per event of scalars, GB/s of images.
//!
//! `cargo bench -p ami-graph`; each line is the best of several rounds.

use ami_graph::batch::{ArrayRef, Batch, Column, Dims};
use ami_graph::limits::Limits;
use ami_graph::plan::Plan;
use ami_graph::run::WorkerStage;
use ami_graph::schema::{Field, Kind, Schema};
use ami_graph::spec::{GraphSet, GraphSpec};
use ami_graph::value::DType;
use std::sync::Arc;
use std::time::Instant;

const EVENTS: usize = 4096;
/// Frames in a unit, as 8 MiB hold.
const FRAMES: usize = 4;
const FRAME_BYTES: usize = 2 << 20;
/// Frames that differ: more than caches hold.
const POOL: usize = 64;
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

/// Nodes over images, and the field of these.
const IMAGES: &[(&str, &str)] = &[
    (r#"{"op": "sum", "in": "img"}"#, "img"),
    (r#"{"op": "sum", "in": "flt"}"#, "flt"),
    (r#"{"op": "mean", "in": "dbl"}"#, "dbl"),
    (r#"{"op": "max", "in": "img"}"#, "img"),
    (r#"{"op": "stats", "in": "img"}"#, "img"),
    (r#"{"op": "hist", "in": "img", "bins": 100, "range": [0, 65536]}"#, "img"),
    (r#"{"op": "last", "in": "img"}"#, "img"),
    (r#"{"op": "roi", "in": "img", "x": [100, 600], "y": [100, 600]}"#, "img"),
    (r#"{"op": "array_stat", "in": "img"}"#, "img"),
    (r#"{"op": "array_stat", "in": "img", "stat": "max"}"#, "img"),
    (r#"{"op": "project", "in": "img"}"#, "img"),
    (r#"{"op": "project", "in": "dbl"}"#, "dbl"),
    (r#"{"op": "threshold", "in": "img", "below": 100}"#, "img"),
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
            field("img", DType::U16, &shape("img")),
            field("flt", DType::F32, &shape("flt")),
            field("dbl", DType::F64, &shape("dbl")),
        ],
    };
    let text = format!(r#"{{"name": "g", "nodes": {{"n": {node}}}}}"#);
    let spec = GraphSpec::parse(&text).expect("the graphs here are good");
    let plan = Plan::new(Arc::new(GraphSet::of(spec)), Arc::new(schema), &Limits::default());
    assert!(plan.errors().is_empty(), "{}", plan.errors()[0]);
    WorkerStage::new(Arc::new(plan))
}

/// Best time of several, in seconds.
#[allow(clippy::disallowed_methods)] // measuring is what this file is for
fn best_of(rounds: usize, mut work: impl FnMut()) -> f64 {
    let round = |_| {
        let begin = Instant::now();
        work();
        begin.elapsed().as_secs_f64()
    };
    (0..rounds).map(round).fold(f64::INFINITY, f64::min)
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
            Column::Absent,
        ],
    };
    for node in SCALARS {
        let mut stage = stage(node);
        let seconds = best_of(ROUNDS, || stage.absorb(&scalar_batch));
        println!("{:7.2} ns/event  {node}", seconds * 1e9 / EVENTS as f64);
    }
    native(&x, &y);
}

/// What the compiler makes of `a*2 + sqrt(b)`: the limit of expressions.
fn native(a: &[f64], b: &[f64]) {
    let mut out = vec![0.0; a.len()];
    let seconds = best_of(ROUNDS, || {
        for ((out, a), b) in out.iter_mut().zip(a).zip(b) {
            *out = a * 2.0 + b.sqrt();
        }
        std::hint::black_box(&mut out);
    });
    println!("{:7.2} ns/event  a*2 + sqrt(b) as a loop in Rust", seconds * 1e9 / EVENTS as f64);
}

/// Frames of 2 MiB, of which one unit after the other is absorbed: more than caches hold, as in a
/// ring.
fn images() {
    let pixels = FRAME_BYTES / 2;
    let whole: Vec<u16> = (0..POOL * pixels).map(|i| (i * 31) as u16).collect();
    let floats: Vec<f32> = (0..POOL * pixels / 2).map(|i| (i % 65_521) as f32).collect();
    let doubles: Vec<f64> = (0..POOL * pixels / 4).map(|i| (i % 65_521) as f64).collect();
    native_read(&doubles);
    let pools = [
        ("img", DType::U16, bytemuck::cast_slice::<_, u8>(&whole)),
        ("flt", DType::F32, bytemuck::cast_slice(&floats)),
        ("dbl", DType::F64, bytemuck::cast_slice(&doubles)),
    ];
    let times: Vec<u64> = (0..FRAMES as u64).collect();
    for (node, field) in IMAGES {
        let units = pools[0].2.len() / FRAME_BYTES / FRAMES;
        let batches: Vec<Batch<'_>> = (0..units)
            .map(|unit| {
                let mut columns = vec![Column::Absent, Column::Absent, Column::Absent];
                columns.extend(pools.iter().map(|&(name, dtype, pool)| match name == *field {
                    true => column(dtype, shape(name), &pool[unit * FRAMES * FRAME_BYTES..]),
                    false => Column::Absent,
                }));
                Batch { host: 0, first_sequence: 0, timestamps: &times, columns }
            })
            .collect();
        let mut stage = stage(node);
        let seconds = best_of(5, || batches.iter().for_each(|batch| stage.absorb(batch)));
        report(seconds, node);
    }
}

fn report(seconds: f64, what: &str) {
    let frame = seconds / POOL as f64;
    println!("{:7.2} GB/s  {:7.3} ms/frame  {what}", FRAME_BYTES as f64 / frame / 1e9, frame * 1e3);
}

/// How fast one core reads the frames: the limit of everything that looks at all pixels.
fn native_read(pool: &[f64]) {
    let words: &[u64] = bytemuck::cast_slice(pool);
    let seconds = best_of(5, || {
        let sums = words.as_chunks::<32>().0.iter().fold([0u64; 32], |mut sums, chunk| {
            sums.iter_mut().zip(chunk).for_each(|(sum, x)| *sum = sum.wrapping_add(*x));
            sums
        });
        std::hint::black_box(sums);
    });
    report(seconds, "reading them, as a loop in Rust");
}

/// Shape of the frames of a field.
fn shape(name: &str) -> [usize; 2] {
    match name {
        "img" => [1024, 1024],
        "flt" => [512, 1024],
        _ => [512, 512],
    }
}

fn column<'a>(dtype: DType, shape: [usize; 2], data: &'a [u8]) -> Column<'a> {
    let dims = Dims::new(&shape).expect("two axes");
    let frames = data.chunks_exact(FRAME_BYTES).take(FRAMES);
    let items = frames.map(|data| Some(ArrayRef { dims, data })).collect();
    Column::Arrays { dtype, items }
}
