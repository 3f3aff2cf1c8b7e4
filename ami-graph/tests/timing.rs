//! Timing ops on synthetic truth: pulses and edges whose place is known. What `ami-ctl ops` says
//! of their errors is what is asserted here.

#![allow(clippy::unwrap_used)] // a test that panics is a test that fails

mod support;

use ami_graph::data::batch::Batch;
use ami_graph::data::schema::Schema;
use ami_graph::data::value::{Array, DType};
use ami_graph::root::RootStage;
use ami_graph::worker::WorkerStage;
use support::*;

const SAMPLES: usize = 200;

/// A small generator with a fixed seed (SplitMix64), normal by the sum of twelve.
struct Noise(u64);

impl Noise {
    fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }

    fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.uniform()).sum::<f64>() - 6.0
    }
}

/// What an output gives for each waveform.
fn each(node: &str, output_name: &str, waveforms: &[Vec<f64>]) -> Vec<f64> {
    let graph = format!(
        r#"{{"name": "g", "nodes": {{"n": {node}, "all": {{"op": "buffer", "in": "n.{output_name}", "n": 100000}}}}}}"#
    );
    let values = run(&graph, waveforms);
    assert_eq!(values.len(), waveforms.len(), "every event has a value");
    values
}

/// Mean and standard deviation of the differences.
fn errors(found: &[f64], truth: &[f64]) -> (f64, f64) {
    let n = found.len() as f64;
    let differences: Vec<f64> = found.iter().zip(truth).map(|(a, b)| a - b).collect();
    let mean = differences.iter().sum::<f64>() / n;
    (mean, (differences.iter().map(|d| (d - mean).powi(2)).sum::<f64>() / n).sqrt())
}

fn pulses(count: usize, noise: f64, height: impl Fn(f64) -> f64) -> (Vec<f64>, Vec<Vec<f64>>) {
    let mut random = Noise(7);
    let mut truth = Vec::new();
    let waveforms = (0..count).map(|_| {
        let (center, height) = (80.0 + 20.0 * random.uniform(), height(random.uniform()));
        truth.push(center);
        let v = |i: usize| height * (-0.5 * ((i as f64 - center) / 5.0).powi(2)).exp();
        (0..SAMPLES).map(|i| v(i) + noise * height * random.normal()).collect()
    });
    let waveforms = waveforms.collect();
    (truth, waveforms)
}

#[test]
fn centroids_of_pulses() {
    let (truth, waveforms) = pulses(20_000, 0.01, |_| 1.0);
    let counts = each(r#"{"op": "peaks", "in": "w", "lo": 0.1, "hi": 0.5}"#, "count", &waveforms);
    assert!(counts.iter().all(|&n| n == 1.0));
    let found = first_centroids(&waveforms);
    let (mean, spread) = errors(&found, &truth);
    println!("peaks: {mean:.4} ± {spread:.4}");
    assert!(mean.abs() < 0.01 && spread < 0.08, "{mean} ± {spread}");
}

fn first_centroids(waveforms: &[Vec<f64>]) -> Vec<f64> {
    let graph = r#"{"name": "g", "nodes": {
        "p": {"op": "peaks", "in": "w", "lo": 0.1, "hi": 0.5},
        "first": {"op": "expr", "in": {"c": "p.centroid"}, "expr": "c[0]"},
        "all": {"op": "buffer", "in": "first", "n": 100000}}}"#;
    run(graph, waveforms)
}

/// What the node `all` buffered.
fn run(graph: &str, waveforms: &[Vec<f64>]) -> Vec<f64> {
    let schema = Schema { fields: vec![field("w", DType::F64, Some(&[SAMPLES]), 1)] };
    let plan = plan_with(graph, schema);
    assert!(plan.errors().is_empty(), "{}", plan.errors()[0]);
    let events: Vec<Option<Array>> =
        waveforms.iter().map(|w| Some(Array::from_elements(&[w.len()], w))).collect();
    let times: Vec<u64> = (0..events.len() as u64).collect();
    let columns = vec![arrays(DType::F64, &events)];
    let mut worker = WorkerStage::new(plan.clone());
    worker.absorb(&Batch {
        host: 0,
        belonging: Default::default(),
        first_sequence: 0,
        timestamps: &times,
        columns,
    });
    let published = RootStage::new(plan).close(&frame(1, events.len() as u64), worker.take());
    numbers(&output(&published, "g/all", "value"))
}

#[test]
fn constant_fraction_does_not_depend_on_the_height() {
    let node = r#"{"op": "cfd", "in": "w", "delay": 5, "fraction": 0.5, "threshold": 60}"#;
    let (truth, waveforms) = pulses(2_000, 0.0, |u| 100.0 + 900.0 * u);
    let found = each(node, "time", &waveforms);
    let (shift, spread) = errors(&found, &truth);
    println!("cfd: {shift:.4} ± {spread:.6}");
    // The exact place: exp(-(t-5)²/50) = 0.5 exp(-t²/50) at t = (25 - 50 ln 2) / 10; the rest is
    // what a straight line between two samples misses.
    assert!((shift - (25.0 - 50.0 * 2f64.ln()) / 10.0).abs() < 0.03, "{shift}");
    assert!(spread < 0.015, "{spread}");
    let (truth, waveforms) = pulses(20_000, 0.01, |u| 100.0 + 900.0 * u);
    let (mean, spread) = errors(&each(node, "time", &waveforms), &truth);
    println!("cfd with noise: {mean:.4} ± {spread:.4}");
    assert!((mean - shift).abs() < 0.01 && spread < 0.17, "{mean} ± {spread}");
    // Negative pulses, and times in other units.
    let turned: Vec<Vec<f64>> = waveforms.iter().map(|w| w.iter().map(|v| -v).collect()).collect();
    let node = r#"{"op": "cfd", "in": "w", "delay": 5, "fraction": 0.5, "threshold": -60, "sample_interval": 0.25}"#;
    let four: Vec<f64> = each(node, "time", &turned).iter().map(|t| 4.0 * t).collect();
    assert_eq!(errors(&four, &truth), (mean, spread));
}

/// The error function, by Abramowitz and Stegun 7.1.26: good to 1.5e-7.
fn erf(x: f64) -> f64 {
    let t = 1.0 / (1.0 + 0.327_591_1 * x.abs());
    let poly = [1.061_405_429, -1.453_152_027, 1.421_413_741, -0.284_496_736, 0.254_829_592];
    let sum = poly.iter().fold(0.0, |sum, c| (sum + c) * t);
    (1.0 - sum * (-x * x).exp()).copysign(x)
}

#[test]
fn edges_of_a_timing_tool() {
    let mut random = Noise(11);
    let mut truth = Vec::new();
    let waveforms: Vec<Vec<f64>> = (0..20_000)
        .map(|_| {
            let place = 90.0 + 20.0 * random.uniform();
            truth.push(place);
            let v = |i: usize| 0.5 + 0.5 * erf((i as f64 - place) / (10.0 * 2f64.sqrt()));
            (0..SAMPLES).map(|i| v(i) + 0.05 * random.normal()).collect()
        })
        .collect();
    let node = r#"{"op": "edge", "in": "w", "kernel": 50}"#;
    let (mean, spread) = errors(&each(node, "position", &waveforms), &truth);
    println!("edge: {mean:.4} ± {spread:.4}");
    assert!(mean.abs() < 0.03 && spread < 1.2, "{mean} ± {spread}");
    // A sharp step is found exactly, and a falling one as well.
    let step: Vec<f64> = (0..SAMPLES).map(|i| if i > 70 { 3.0 } else { 1.0 }).collect();
    let fall: Vec<f64> = step.iter().map(|v| -v).collect();
    let sharp = r#"{"op": "edge", "in": "w", "kernel": 8}"#;
    assert_eq!(each(sharp, "position", std::slice::from_ref(&step)), [70.5]);
    assert_eq!(each(sharp, "amplitude", &[step]), [2.0]);
    let falling = r#"{"op": "edge", "in": "w", "kernel": 8, "direction": "fall"}"#;
    assert_eq!(each(falling, "position", std::slice::from_ref(&fall)), [70.5]);
    let either = r#"{"op": "edge", "in": "w", "kernel": 8, "direction": "either"}"#;
    assert_eq!(each(either, "fwhm", &[fall]), [8.0]);
}
