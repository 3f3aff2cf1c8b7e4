//! How fast the ops of detector images are, on 1024×1024 and one thread, and beside them in the
//! same run a loop that reads the image: what memory allows.
//!
//! `cargo bench -p ami-graph --bench images`; each line is the best of several rounds.

use ami_graph::batch::{ArrayRef, Batch, Column, Dims};
use ami_graph::limits::Limits;
use ami_graph::plan::Plan;
use ami_graph::run::WorkerStage;
use ami_graph::schema::{Field, Kind, Schema};
use ami_graph::spec::{GraphSet, GraphSpec};
use ami_graph::value::{Array, DType};
use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

const SIDE: usize = 1024;
const ROUNDS: usize = 40;

/// Nodes over an image, and its element type.
const NODES: &[(DType, &str)] = &[
    (
        DType::F32,
        r#"{"op": "peakfinder8", "in": "img", "center": [511.5, 511.5], "adc_threshold": 200}"#,
    ),
    (
        DType::U16,
        r#"{"op": "peakfinder8", "in": "img", "center": [511.5, 511.5], "adc_threshold": 200}"#,
    ),
    (DType::F32, r#"{"op": "azimuthal", "in": "img", "center": [511.5, 511.5]}"#),
    (DType::U16, r#"{"op": "azimuthal", "in": "img", "center": [511.5, 511.5]}"#),
    (DType::F32, r#"{"op": "azimuthal", "in": "img", "center": [511.5, 511.5], "split": "bbox"}"#),
    (DType::U16, r#"{"op": "azimuthal", "in": "img", "center": [511.5, 511.5], "sectors": 8}"#),
];

/// A background that falls off, with 100 peaks; the same numbers every time.
fn pixels() -> Vec<u16> {
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
}

fn stage(dtype: DType, node: &str) -> WorkerStage {
    let img = Field {
        name: "img".into(),
        aliases: Vec::new(),
        dtype,
        rank: 2,
        shape: Some(vec![SIDE, SIDE]),
        kind: Kind::Event,
        labels: Default::default(),
    };
    let text = format!(r#"{{"name": "g", "nodes": {{"n": {node}}}}}"#);
    let spec = GraphSpec::parse(&text).expect("the graphs here are good");
    let schema = Arc::new(Schema { fields: vec![img] });
    let plan = Plan::new(Arc::new(GraphSet::of(spec)), schema, &Limits::default());
    assert!(plan.errors().is_empty(), "{}", plan.errors()[0]);
    WorkerStage::new(Arc::new(plan))
}

/// Best time of one call, in ns per pixel.
#[allow(clippy::disallowed_methods)] // measuring is what this file is for
fn best(mut call: impl FnMut()) -> f64 {
    let round = |_| {
        let begin = Instant::now();
        call();
        begin.elapsed().as_secs_f64()
    };
    (0..ROUNDS).map(round).fold(f64::INFINITY, f64::min) * 1e9 / (SIDE * SIDE) as f64
}

fn main() {
    let pixels = pixels();
    let floats: Vec<f32> = pixels.iter().map(|&p| f32::from(p)).collect();
    let whole = Array::from_elements(&[SIDE, SIDE], &pixels);
    let float = Array::from_elements(&[SIDE, SIDE], &floats);
    let read = best(|| {
        black_box(black_box(&pixels).iter().map(|&p| u32::from(p)).sum::<u32>());
    });
    println!("{read:7.3} ns/pixel  native loop that sums uint16");
    let read = best(|| {
        // Eight sums, so that the loop is one of loads and not a chain of additions.
        let mut sums = [0.0f32; 8];
        for row in black_box(&floats).chunks_exact(8) {
            sums.iter_mut().zip(row).for_each(|(sum, x)| *sum += x);
        }
        black_box(sums);
    });
    println!("{read:7.3} ns/pixel  native loop that sums float32");
    let dims = Dims::new(&[SIDE, SIDE]).expect("two axes");
    for (dtype, node) in NODES {
        let array = if *dtype == DType::U16 { &whole } else { &float };
        let items = vec![Some(ArrayRef { dims, data: array.bytes() })];
        let columns = vec![Column::Arrays { dtype: *dtype, items }];
        let batch = Batch { host: 0, first_sequence: 0, timestamps: &[0], columns };
        let mut stage = stage(*dtype, node);
        let each = best(|| stage.absorb(&batch));
        let ms = each * (SIDE * SIDE) as f64 / 1e6;
        println!("{each:7.3} ns/pixel  {ms:7.3} ms/frame  {dtype}  {node}");
    }
}
