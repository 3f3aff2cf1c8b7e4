//! What AMI2 gets wrong, each with the right answer.

#![allow(clippy::unwrap_used)] // a test that panics is a test that fails

mod support;

use ami_graph::plan::Plan;
use ami_graph::root::{Published, RootStage};
use ami_graph::wire::partial::Partial;
use serde_json::{Value as Json, json};
use std::sync::Arc;
use support::*;

/// One event of every field from one number.
fn event(time: u64, x: f64) -> Event {
    let n = x as i32;
    Event {
        time,
        scalar: Some(x),
        flag: Some((n % 2 != 0).into()),
        waveform: Some(vec![n, 2 * n, 3 * n]),
        image: Some([n as u16; 6]),
    }
}

/// Runs heartbeats of numbers, dealt in turn to so many workers that take them in one by one, and
/// gives what the last heartbeat published of the only node.
fn run(node: &Json, beats: &[&[f64]], workers: usize) -> Published {
    all(node, beats, workers).pop().unwrap()
}

fn all(node: &Json, beats: &[&[f64]], workers: usize) -> Vec<Published> {
    let plan = good_plan(&json!({"name": "g", "nodes": {"n": node}}).to_string());
    let mut root = RootStage::new(plan.clone());
    let mut sequence = 0;
    let mut published = Vec::new();
    for (h, beat) in beats.iter().enumerate() {
        let frame = frame(h as u64, beat.len() as u64);
        let merged = heartbeat(&plan, h as u64, beat, &mut sequence, workers);
        published.extend(root.close(&frame, merged));
    }
    published
}

fn heartbeat(
    plan: &Arc<Plan>,
    h: u64,
    beat: &[f64],
    sequence: &mut u64,
    workers: usize,
) -> Partial {
    let mut parts: Vec<Partial> = (0..workers).map(|_| Partial::empty()).collect();
    for (i, &x) in beat.iter().enumerate() {
        let one = partial(plan, 0, *sequence, &[event(h * PERIOD + i as u64, x)]);
        parts[i % workers].merge(one).unwrap();
        *sequence += 1;
    }
    // Workers report in any order.
    parts.into_iter().rev().fold(Partial::empty(), |mut all, part| {
        all.merge(carried(part)).unwrap();
        all
    })
}

fn of(published: &Published, name: &str) -> Vec<f64> {
    numbers(&output(std::slice::from_ref(published), "g/n", name))
}

#[test]
fn the_moving_average_of_a_constant_is_the_constant() {
    // AMI2: three events of 10 with f = 0.9 give 9.19.
    for workers in [1, 2, 3] {
        for constant in [10.0, 0.1, -1e6] {
            let beats: [&[f64]; 3] = [&[constant; 3], &[constant; 4], &[constant; 50]];
            let node = json!({"op": "ewma", "in": "scalar", "tau": 0.15});
            assert_eq!(of(&run(&node, &beats, workers), "value"), [constant]);
        }
    }
    let node = json!({"op": "ewma", "in": "image", "tau": 0.15});
    assert_eq!(of(&run(&node, &[&[7.0; 9], &[7.0; 5]], 2), "value"), [7.0; 6]);
}

#[test]
fn the_moving_average_weights_by_age_not_by_batch() {
    // AMI2 starts over every heartbeat and then averages the averages for ever.
    let node = json!({"op": "ewma", "in": "scalar", "tau": 0.1});
    let old = (-1.0f64).exp();
    for workers in [1, 2] {
        let found = of(&run(&node, &[&[4.0], &[8.0]], workers), "value")[0];
        assert!((found - (8.0 + 4.0 * old) / (1.0 + old)).abs() < 1e-14, "{found}");
    }
}

#[test]
fn every_event_of_a_heartbeat_counts_in_sums() {
    // AMI2 keeps the last batch of each worker only.
    let beats: [&[f64]; 2] = [&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0], &[8.0, 9.0]];
    for workers in [1, 2, 4] {
        for (op, sum) in [("sum", 45.0), ("mean", 5.0)] {
            let last = run(&json!({"op": op, "in": "scalar"}), &beats, workers);
            assert_eq!((of(&last, "value"), of(&last, "count")), (vec![sum], vec![9.0]));
            let last = run(&json!({"op": op, "in": "image"}), &beats, workers);
            assert_eq!((of(&last, "value"), of(&last, "count")), (vec![sum; 6], vec![9.0]));
        }
    }
}

#[test]
fn a_buffer_of_four_workers_counts_4_8_12() {
    let node = json!({"op": "buffer", "in": "scalar", "n": 100});
    let beats: [&[f64]; 3] =
        [&[1.0, 2.0, 3.0, 4.0], &[5.0, 6.0, 7.0, 8.0], &[9.0, 10.0, 11.0, 12.0]];
    let lengths: Vec<usize> = all(&node, &beats, 4).iter().map(|p| of(p, "value").len()).collect();
    assert_eq!(lengths, [4, 8, 12]);
    let order: Vec<f64> = (1..=12).map(f64::from).collect();
    assert_eq!(of(&run(&node, &beats, 4), "value"), order, "in event order");
}

#[test]
fn n_of_last_is_n_whatever_the_number_of_workers() {
    // AMI2 rounds N = 9 of 4 workers down to 8.
    let numbers: Vec<f64> = (0..20).map(f64::from).collect();
    for workers in 1..=5 {
        let node = json!({"op": "last", "in": "scalar", "n": 9});
        let last = run(&node, &[&numbers[..7], &numbers[7..]], workers);
        assert_eq!(of(&last, "value"), numbers[11..], "{workers} workers");
    }
}

#[test]
fn a_bin_has_its_own_label_and_the_ends_are_not_lost() {
    // AMI2 labels a bin with its right edge, drops overflow and the last edge's own values.
    let node = json!({"op": "profile", "in": ["scalar", "scalar"], "bins": 4, "range": [0, 8]});
    let beats: [&[f64]; 1] = [&[-1.0, 0.0, 1.0, 2.0, 7.0, 8.0, 9.0]];
    let last = run(&node, &beats, 3);
    assert_eq!(of(&last, "edges"), [0.0, 2.0, 4.0, 6.0, 8.0]);
    assert_eq!(of(&last, "count"), [2.0, 1.0, 0.0, 2.0]);
    assert_eq!(of(&last, "outside"), [2.0]);
    let mean = of(&last, "mean");
    assert_eq!((mean[0], mean[1], mean[3]), (0.5, 2.0, 7.5));
    assert!(mean[2].is_nan(), "an empty bin has no mean; it is not 0");
}

#[test]
fn overflow_of_a_histogram_is_counted() {
    let node = json!({"op": "hist", "in": "scalar", "bins": 2, "range": [0, 2]});
    let last = run(&node, &[&[-1.0, 0.0, 2.0, 3.0, 4.0]], 2);
    assert_eq!(of(&last, "counts"), [1.0, 1.0]);
    assert_eq!((of(&last, "underflow"), of(&last, "overflow")), (vec![1.0], vec![2.0]));
}

#[test]
fn an_automatic_range_keeps_what_was_counted() {
    // AMI2: [0, 1] then [10, 20] gives counts [2, 0, 0, 2] on edges from 10 to 20.
    let node = json!({"op": "hist", "in": "scalar", "bins": 32, "range": "auto"});
    for workers in [1, 2] {
        let last = run(&node, &[&[0.0, 1.0], &[10.0, 20.0]], workers);
        let (edges, counts) = (of(&last, "edges"), of(&last, "counts"));
        assert_eq!(counts.iter().sum::<f64>(), 4.0);
        for x in [0.0, 1.0, 10.0, 20.0] {
            let bin = edges.iter().rposition(|&edge| edge <= x).unwrap();
            assert_eq!(counts[bin], 1.0, "{x} is in its bin");
        }
    }
}

#[test]
fn two_dimensional_histograms_give_something() {
    // AMI2 publishes nothing at all.
    let node = json!({"op": "hist2d", "in": {"x": "scalar", "y": "flag"}, "bins": [3, 2],
                      "range": [[0, 3], [0, 1]]});
    let last = run(&node, &[&[0.0, 1.0, 1.0], &[2.0, 3.0, 9.0]], 2);
    assert_eq!(of(&last, "counts"), [1.0, 0.0, 0.0, 2.0, 1.0, 1.0]);
    assert_eq!(of(&last, "outside"), [1.0]);
}

#[test]
fn time_means_and_rms_of_waveforms_and_images() {
    // AMI2 fails on both and purges the graph.
    let beats: [&[f64]; 2] = [&[1.0, 2.0, 3.0], &[6.0]];
    let rms = (50.0f64 / 4.0).sqrt();
    for (input, factors) in [("waveform", vec![1.0, 2.0, 3.0]), ("image", vec![1.0; 6])] {
        let last = run(&json!({"op": "stats", "in": input}), &beats, 2);
        assert_eq!(of(&last, "mean"), factors.iter().map(|f| 3.0 * f).collect::<Vec<_>>());
        for (found, factor) in of(&last, "rms").iter().zip(&factors) {
            assert!((found - rms * factor).abs() < 1e-12, "{found}");
        }
    }
}

#[test]
fn the_mean_by_key_holds_every_value_once() {
    // The error is std / sqrt(n) of the sample, and the keys need no list of all values.
    let node = json!({"op": "by_key", "in": {"key": "flag", "value": "scalar"}});
    for workers in [1, 3] {
        let last = run(&node, &[&[1.0, 2.0, 3.0, 4.0], &[5.0, 6.0]], workers);
        assert_eq!(of(&last, "keys"), [0.0, 1.0]);
        assert_eq!((of(&last, "mean"), of(&last, "count")), (vec![4.0, 3.0], vec![3.0, 3.0]));
        let sem = 2.0 / 3.0f64.sqrt();
        assert!(of(&last, "sem").iter().all(|e| (e - sem).abs() < 1e-15));
    }
}

#[test]
fn the_mean_of_an_image_is_one_number_unless_an_axis_is_asked_for() {
    // AMI2's Average of an image is a waveform by default.
    let last = run(&json!({"op": "array_stat", "in": "image", "stat": "mean"}), &[&[3.0]], 1);
    assert_eq!(of(&last, "value"), [3.0]);
    let node = json!({"op": "array_stat", "in": "image", "stat": "mean", "axis": 0});
    assert_eq!(of(&run(&node, &[&[3.0]], 1), "value"), [3.0; 3]);
}

#[test]
fn a_region_is_half_open_and_knows_no_display() {
    // AMI2's extent is an end in one dimension and a length in two, of the image as it is shown.
    let node = json!({"op": "roi", "in": "waveform", "x": [1, 3]});
    assert_eq!(of(&run(&node, &[&[1.0]], 1), "value"), [2.0, 3.0]);
    let node = json!({"op": "roi", "in": "image", "x": [1, 3], "y": [0, 1]});
    assert_eq!(of(&run(&node, &[&[5.0]], 1), "value"), [5.0; 2]);
}

#[test]
fn a_partial_heartbeat_says_so() {
    let plan = good_plan(r#"{"name": "g", "nodes": {"n": {"op": "count", "in": "scalar"}}}"#);
    let mut root = RootStage::new(plan.clone());
    let mut partial_frame = frame(1, 2);
    partial_frame.truth.expected = Some(5);
    let merged = heartbeat(&plan, 1, &[1.0, 2.0], &mut 0, 2);
    let published = root.close(&partial_frame, merged);
    assert!(!published[0].window_truth.complete());
    assert_eq!(of(&published[0], "value"), [2.0]);
}

#[test]
fn a_node_that_fails_leaves_the_others_alone() {
    // In AMI2 an exception anywhere purges the whole graph for everybody.
    let graph = r#"{"name": "g", "nodes": {
        "bad": {"op": "expr", "in": {"w": "waveform", "x": "scalar"}, "expr": "w[2] + x"},
        "lost": {"op": "count", "in": "bad"},
        "n": {"op": "count", "in": "scalar"}}}"#;
    let plan = good_plan(graph);
    let mut short = event(1, 1.0);
    short.waveform = Some(vec![1]);
    let merged = partial(&plan, 0, 0, &[short, event(2, 1.0)]);
    let published = RootStage::new(plan).close(&frame(0, 2), merged);
    assert_eq!(output(&published, "g/n", "value"), int(2));
    assert_eq!(output(&published, "g/lost", "value"), int(1));
}
