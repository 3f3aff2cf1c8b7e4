//! How fast one worker stage is: a unit of scalars, and a unit of images, through one node.
//!
//! `cargo bench -p ami-graph --bench stage`; an iteration is a unit, 4096 events or 4 frames.

use ami_graph::data::batch::{ArrayRef, Batch, Column, Dims};
use ami_graph::data::schema::{Field, Kind, Schema};
use ami_graph::data::value::DType;
use ami_graph::graph::spec::{GraphSet, GraphSpec};
use ami_graph::plan::Plan;
use ami_graph::plan::limits::Limits;
use ami_graph::worker::WorkerStage;
use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};
use std::sync::{Arc, LazyLock};

const EVENTS: usize = 4096;
/// Frames in a unit, as 8 MiB hold.
const FRAMES: usize = 4;
const FRAME_BYTES: usize = 2 << 20;
/// Frames that differ: more than caches hold.
const POOL: usize = 64;

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

/// Nodes over images.
const IMAGES: &[&str] = &[
    r#"{"op": "sum", "in": "img"}"#,
    r#"{"op": "sum", "in": "flt"}"#,
    r#"{"op": "mean", "in": "dbl"}"#,
    r#"{"op": "max", "in": "img"}"#,
    r#"{"op": "stats", "in": "img"}"#,
    r#"{"op": "hist", "in": "img", "bins": 100, "range": [0, 65536]}"#,
    r#"{"op": "last", "in": "img"}"#,
    r#"{"op": "roi", "in": "img", "x": [100, 600], "y": [100, 600]}"#,
    r#"{"op": "array_stat", "in": "img"}"#,
    r#"{"op": "array_stat", "in": "img", "stat": "max"}"#,
    r#"{"op": "project", "in": "img"}"#,
    r#"{"op": "project", "in": "dbl"}"#,
    r#"{"op": "threshold", "in": "img", "below": 100}"#,
    // Nodes that read the same frames take them together.
    r#"{"op": "mean", "in": "dbl"}, "p": {"op": "project", "in": "dbl"}"#,
    r#"{"op": "sum", "in": "img"}, "p": {"op": "project", "in": "img"}"#,
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

fn main() {
    divan::main();
}

/// Columns of a unit of scalars: x, k and y.
static COLUMNS: LazyLock<(Vec<f64>, Vec<u16>, Vec<f64>)> = LazyLock::new(|| {
    let x: Vec<f64> = (0..EVENTS).map(|i| ((i * 7919) % 4001) as f64 / 800.0 - 1.0).collect();
    let k: Vec<u16> = (0..EVENTS).map(|i| (i % 50) as u16).collect();
    let y: Vec<f64> = x.iter().map(|x| x * x).collect();
    (x, k, y)
});

#[divan::bench(args = SCALARS)]
fn scalars(bencher: Bencher<'_, '_>, node: &str) {
    let (x, k, y) = &*COLUMNS;
    let times: Vec<u64> = (0..EVENTS as u64).collect();
    let column = |data, dtype| Column::Scalars { dtype, data, present: None };
    let batch = Batch {
        host: 0,
        belonging: Default::default(),
        first_sequence: 0,
        timestamps: &times,
        columns: vec![
            column(bytemuck::cast_slice(x), DType::F64),
            column(bytemuck::cast_slice(k), DType::U16),
            column(bytemuck::cast_slice(y), DType::F64),
            Column::Absent,
            Column::Absent,
            Column::Absent,
        ],
    };
    let mut stage = stage(node);
    bencher.counter(ItemsCount::new(EVENTS)).bench_local(|| stage.absorb(&batch));
}

/// What the compiler makes of `a*2 + sqrt(b)`: the limit of expressions.
#[divan::bench]
fn scalars_native_expression(bencher: Bencher<'_, '_>) {
    let (a, _, b) = &*COLUMNS;
    let mut out = vec![0.0; EVENTS];
    bencher.counter(ItemsCount::new(EVENTS)).bench_local(|| {
        for ((out, a), b) in out.iter_mut().zip(a).zip(b) {
            *out = a * 2.0 + b.sqrt();
        }
        divan::black_box(&mut out);
    });
}

/// Frames of 2 MiB, more than caches hold, as in a ring: u16, f32 and f64.
static FRAMES_OF: LazyLock<(Vec<u16>, Vec<f32>, Vec<f64>)> = LazyLock::new(|| {
    let pixels = POOL * FRAME_BYTES / 2;
    (
        (0..pixels).map(|i| (i * 31) as u16).collect(),
        (0..pixels / 2).map(|i| (i % 65_521) as f32).collect(),
        (0..pixels / 4).map(|i| (i % 65_521) as f64).collect(),
    )
});

/// One unit after the other is absorbed.
#[divan::bench(args = IMAGES)]
fn images(bencher: Bencher<'_, '_>, node: &str) {
    let (whole, floats, doubles) = &*FRAMES_OF;
    let pools = [
        ("img", DType::U16, bytemuck::cast_slice::<_, u8>(whole)),
        ("flt", DType::F32, bytemuck::cast_slice(floats)),
        ("dbl", DType::F64, bytemuck::cast_slice(doubles)),
    ];
    let times: Vec<u64> = (0..FRAMES as u64).collect();
    let unit = |unit: usize| {
        let mut columns = vec![Column::Absent, Column::Absent, Column::Absent];
        columns.extend(pools.iter().map(|&(name, dtype, pool)| match node.contains(name) {
            true => column(dtype, shape(name), &pool[unit * FRAMES * FRAME_BYTES..]),
            false => Column::Absent,
        }));
        Batch {
            host: 0,
            belonging: Default::default(),
            first_sequence: 0,
            timestamps: &times,
            columns,
        }
    };
    let units: Vec<Batch<'_>> = (0..POOL / FRAMES).map(unit).collect();
    let mut turn = units.iter().cycle();
    let mut stage = stage(node);
    bencher.counter(BytesCount::new(FRAMES * FRAME_BYTES)).bench_local(|| {
        turn.next().into_iter().for_each(|unit| stage.absorb(unit));
    });
}

/// How fast one core reads the frames: the limit of everything that looks at all pixels.
#[divan::bench]
fn images_native_read(bencher: Bencher<'_, '_>) {
    let words: &[u64] = bytemuck::cast_slice(&FRAMES_OF.2);
    let mut turn = words.chunks_exact(FRAMES * FRAME_BYTES / 8).cycle();
    bencher.counter(BytesCount::new(FRAMES * FRAME_BYTES)).bench_local(|| {
        let unit = turn.next().unwrap_or_default();
        unit.as_chunks::<32>().0.iter().fold([0u64; 32], |mut sums, chunk| {
            sums.iter_mut().zip(chunk).for_each(|(sum, x)| *sum = sum.wrapping_add(*x));
            sums
        })
    });
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
