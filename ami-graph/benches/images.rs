//! How fast the ops of detector images are, on 1024×1024 and one thread, and beside them in the
//! same run a loop that reads the image: what memory allows.
//!
//! `cargo bench -p ami-graph --bench images`; an iteration is an image, an item a pixel.

use ami_graph::data::batch::{ArrayRef, Batch, Column, Dims};
use ami_graph::data::schema::{Field, Kind, Schema};
use ami_graph::data::value::{Array, DType};
use ami_graph::graph::spec::{GraphSet, GraphSpec};
use ami_graph::plan::Plan;
use ami_graph::plan::limits::Limits;
use ami_graph::worker::WorkerStage;
use divan::Bencher;
use divan::counter::ItemsCount;
use std::sync::{Arc, LazyLock};

const SIDE: usize = 1024;

/// Nodes over an image, whose name is its element type.
const NODES: &[&str] = &[
    r#"{"op": "peakfinder8", "in": "float32", "center": [511.5, 511.5], "adc_threshold": 200}"#,
    r#"{"op": "peakfinder8", "in": "uint16", "center": [511.5, 511.5], "adc_threshold": 200}"#,
    r#"{"op": "azimuthal", "in": "float32", "center": [511.5, 511.5]}"#,
    r#"{"op": "azimuthal", "in": "uint16", "center": [511.5, 511.5]}"#,
    r#"{"op": "azimuthal", "in": "float32", "center": [511.5, 511.5], "split": "bbox"}"#,
    r#"{"op": "azimuthal", "in": "uint16", "center": [511.5, 511.5], "sectors": 8}"#,
];

/// A background that falls off, with 100 peaks; the same numbers every time.
static PIXELS: LazyLock<Vec<u16>> = LazyLock::new(|| {
    let mut state = 1u32;
    let mut noise = move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state >> 16
    };
    let at = |i: usize| (i as f64 - 511.5) / 512.0;
    let mut image: Vec<u16> = (0..SIDE * SIDE)
        .map(|i| {
            let falling = 100.0 * (-at(i / SIDE).powi(2) - at(i % SIDE).powi(2)).exp();
            (falling + f64::from(noise() % 32)) as u16
        })
        .collect();
    for _ in 0..100 {
        let (y, x) = (noise() as usize % 1000 + 10, noise() as usize % 1000 + 10);
        for (dy, dx) in (0..9).map(|k| (k / 3, k % 3)) {
            image[(y + dy) * SIDE + x + dx] += 2000;
        }
    }
    image
});

static FLOATS: LazyLock<Vec<f32>> =
    LazyLock::new(|| PIXELS.iter().map(|&p| f32::from(p)).collect());

fn stage(dtype: DType, node: &str) -> WorkerStage {
    let image = Field {
        name: dtype.name().into(),
        aliases: Vec::new(),
        dtype,
        rank: 2,
        shape: Some(vec![SIDE, SIDE]),
        kind: Kind::Event,
        labels: Default::default(),
    };
    let text = format!(r#"{{"name": "g", "nodes": {{"n": {node}}}}}"#);
    let spec = GraphSpec::parse(&text).expect("the graphs here are good");
    let schema = Arc::new(Schema { fields: vec![image] });
    let plan = Plan::new(Arc::new(GraphSet::of(spec)), schema, &Limits::default());
    assert!(plan.errors().is_empty(), "{}", plan.errors()[0]);
    WorkerStage::new(Arc::new(plan))
}

fn main() {
    divan::main();
}

#[divan::bench(args = NODES)]
fn node(bencher: Bencher<'_, '_>, node: &str) {
    let (dtype, array) = match node.contains("uint16") {
        true => (DType::U16, Array::from_elements(&[SIDE, SIDE], &PIXELS[..])),
        false => (DType::F32, Array::from_elements(&[SIDE, SIDE], &FLOATS[..])),
    };
    let dims = Dims::new(&[SIDE, SIDE]).expect("two axes");
    let items = vec![Some(ArrayRef { dims, data: array.bytes() })];
    let columns = vec![Column::Arrays { dtype, items }];
    let batch = Batch {
        host: 0,
        belonging: Default::default(),
        first_sequence: 0,
        timestamps: &[0],
        columns,
    };
    let mut stage = stage(dtype, node);
    bencher.counter(ItemsCount::new(SIDE * SIDE)).bench_local(|| stage.absorb(&batch));
}

#[divan::bench]
fn native_sum_u16(bencher: Bencher<'_, '_>) {
    let pixels = &PIXELS[..];
    bencher
        .counter(ItemsCount::new(SIDE * SIDE))
        .bench(|| divan::black_box(pixels).iter().map(|&p| u32::from(p)).sum::<u32>());
}

#[divan::bench]
fn native_sum_f32(bencher: Bencher<'_, '_>) {
    let floats = &FLOATS[..];
    bencher.counter(ItemsCount::new(SIDE * SIDE)).bench(|| {
        // Eight sums, so that the loop is one of loads and not a chain of additions.
        let mut sums = [0.0f32; 8];
        for row in divan::black_box(floats).chunks_exact(8) {
            sums.iter_mut().zip(row).for_each(|(sum, x)| *sum += x);
        }
        sums
    });
}
