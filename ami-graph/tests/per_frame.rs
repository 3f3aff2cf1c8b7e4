//! `per_frame` against a model that keeps every event: frames that are missing or late, values that
//! are absent, boundaries of runs and steps, hosts that take turns.

#![allow(clippy::unwrap_used)] // a test that panics is a test that fails

mod support;

use ami_graph::data::batch::{Batch, Column};
use ami_graph::data::schema::Schema;
use ami_graph::data::value::{DType, Value};
use ami_graph::plan::Plan;
use ami_graph::root::{Frame, Published, RootStage};
use ami_graph::wire::partial::Partial;
use ami_graph::worker::WorkerStage;
use proptest::prelude::*;
use serde_json::{Value as Json, json};
use std::sync::Arc;
use support::*;

/// An event: its time, and what the two detectors gave.
#[derive(Debug, Clone, Copy)]
struct Shot {
    time: u64,
    value: Option<f64>,
    frame: Option<u16>,
}

/// What is given with a frame.
#[derive(Debug, Clone, PartialEq)]
struct Given {
    frame: u16,
    values: Vec<f64>,
}

/// The newest n frames with the values since the frame before.
fn model(shots: &[Shot], n: usize, keep_first: bool) -> Vec<Given> {
    let mut shots = shots.to_vec();
    shots.sort_by_key(|shot| shot.time);
    let (mut given, mut since) = (Vec::new(), Vec::new());
    let mut first = true;
    for shot in shots {
        since.extend(shot.value);
        if let Some(frame) = shot.frame {
            let values = std::mem::take(&mut since);
            if !first || keep_first {
                given.push(Given { frame, values });
            }
            first = false;
        }
    }
    given.split_off(given.len().saturating_sub(n))
}

fn per_frame(more: Json) -> Arc<Plan> {
    let mut node = json!({"op": "per_frame", "in": {"value": "fast", "frame": "slow"}, "n": 50});
    node.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let graph = json!({"name": "g", "nodes": {"n": node}}).to_string();
    let fields = vec![field("fast", DType::F64, None, 0), field("slow", DType::U16, None, 0)];
    let plan = plan_with(&graph, Schema { fields });
    assert!(plan.errors().is_empty(), "{}", plan.errors()[0]);
    plan
}

/// One lane's partial, over the wire; the shots of each unit lie side by side.
fn partial(plan: &Arc<Plan>, host: u32, first_sequence: u64, shots: &[Shot]) -> Partial {
    let times: Vec<u64> = shots.iter().map(|shot| shot.time).collect();
    let fast: Vec<f64> = shots.iter().map(|shot| shot.value.unwrap_or(-1.0)).collect();
    let slow: Vec<u16> = shots.iter().map(|shot| shot.frame.unwrap_or(0)).collect();
    let fast_here: Vec<u8> = shots.iter().map(|shot| shot.value.is_some().into()).collect();
    let slow_here: Vec<u8> = shots.iter().map(|shot| shot.frame.is_some().into()).collect();
    // A column of which no event has a value is not there at all.
    fn column<'a>(dtype: DType, data: &'a [u8], here: &'a [u8]) -> Column<'a> {
        match here.contains(&1) {
            true => Column::Scalars { dtype, data, present: Some(here) },
            false => Column::Absent,
        }
    }
    let mut worker = WorkerStage::new(plan.clone());
    worker.absorb(&Batch {
        host,
        belonging: Default::default(),
        first_sequence,
        timestamps: &times,
        columns: vec![
            column(DType::F64, bytemuck::cast_slice(&fast), &fast_here),
            column(DType::U16, bytemuck::cast_slice(&slow), &slow_here),
        ],
    });
    carried(worker.take())
}

fn given(published: &[Published]) -> Vec<Given> {
    if !has_output(published, "g/n", "frame") {
        return Vec::new();
    }
    let list = |name: &str| numbers(&output(published, "g/n", name));
    let (frames, sums, counts) = (list("frame"), list("sum"), list("count"));
    let newest = list("values");
    let last = frames.len() - 1;
    let one = |k: usize| {
        let frame = frames[k] as u16;
        // Of older frames only sum and count are told: whole numbers below 2^20, so the sum tells.
        let values = if k == last { newest.clone() } else { vec![sums[k], counts[k]] };
        Given { frame, values }
    };
    assert_eq!(sums[last], newest.iter().sum::<f64>());
    assert_eq!(counts[last] as usize, newest.len());
    (0..frames.len()).map(one).collect()
}

/// As [`given`] can tell it.
fn told(model: Vec<Given>) -> Vec<Given> {
    let last = model.len().saturating_sub(1);
    let one = |(k, Given { frame, values }): (usize, Given)| match k == last {
        true => Given { frame, values },
        false => Given { frame, values: vec![values.iter().sum(), values.len() as f64] },
    };
    model.into_iter().enumerate().map(one).collect()
}

fn shots() -> impl Strategy<Value = Vec<Shot>> {
    let one = (
        1..20u64,
        prop::option::weighted(0.8, 0..1_000_000u32),
        prop::option::weighted(0.15, 0..1000u16),
    );
    prop::collection::vec(one, 1..120).prop_map(|rows| {
        let mut time = 0;
        let shot = |(gap, value, frame): (u64, Option<u32>, _)| {
            time += gap;
            Shot { time, value: value.map(f64::from), frame }
        };
        rows.into_iter().map(shot).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_split_over_lanes_hosts_and_heartbeats_gives_what_one_list_gives(
        shots in shots(),
        unit in 1usize..9,
        lanes in 1usize..8,
        beats in 1usize..5,
        n in 1usize..8,
        keep: bool,
        seed: u64,
    ) {
        let plan = per_frame(json!({"n": n.max(2), "first": if keep { "keep" } else { "skip" }}));
        let mut root = RootStage::new(plan.clone());
        let mut published = Vec::new();
        let per_beat = shots.len().div_ceil(beats);
        for (k, beat) in shots.chunks(per_beat).enumerate() {
            // Units go to lanes in an order of their own, and two hosts take turns.
            let mut units: Vec<(usize, &[Shot])> = beat.chunks(unit).enumerate().collect();
            let turn = seed as usize % units.len();
            units.rotate_left(turn);
            let mut merged = Partial::empty();
            for (place, shots) in units {
                let host = ((place + lanes) % 2) as u32;
                merged.merge(partial(&plan, host, (k * 1000 + place * unit) as u64, shots)).unwrap();
            }
            published = root.close(&frame(1 + k as u64, beat.len() as u64), merged);
        }
        prop_assert_eq!(given(&published), told(model(&shots, n.max(2), keep)));
    }
}

/// 120 Hz over 10 Hz: events of 8 ms, a frame every twelfth.
fn regular(count: u64) -> Vec<Shot> {
    let shot = |i: u64| Shot {
        time: i * 8_000_000,
        value: Some(i as f64),
        frame: (i % 12 == 11).then_some(i as u16 / 12),
    };
    (0..count).map(shot).collect()
}

#[test]
fn a_slow_camera_gets_the_twelve_values_of_a_fast_monitor() {
    let plan = per_frame(json!({"n": 2}));
    let published =
        RootStage::new(plan.clone()).close(&frame(1, 60), partial(&plan, 0, 0, &regular(60)));
    let list = |name: &str| numbers(&output(&published, "g/n", name));
    assert_eq!(list("frame"), [3.0, 4.0]);
    assert_eq!(list("sum"), [(36..48).sum::<u64>() as f64, (48..60).sum::<u64>() as f64]);
    assert_eq!(list("mean"), [41.5, 53.5]);
    assert_eq!(list("count"), [12.0, 12.0]);
    assert_eq!(list("time"), [0.376, 0.472]);
    assert_eq!(list("values"), (48..60).map(|i| i as f64).collect::<Vec<_>>());
}

#[test]
fn one_frame_is_given_as_it_is() {
    let plan = per_frame(json!({"n": 1}));
    let published =
        RootStage::new(plan.clone()).close(&frame(1, 30), partial(&plan, 0, 0, &regular(30)));
    assert!(matches!(output(&published, "g/n", "frame"), Value::Scalar(_)));
    assert_eq!(numbers(&output(&published, "g/n", "sum")), [(12..24).sum::<u64>() as f64]);
}

#[test]
fn a_frame_that_comes_late_is_put_in_its_place() {
    let plan = per_frame(json!({}));
    let mut root = RootStage::new(plan.clone());
    let (late, on_time): (Vec<Shot>, Vec<Shot>) =
        regular(60).into_iter().partition(|shot| shot.frame == Some(2));
    let beat = frame(1, on_time.len() as u64);
    root.close(&beat, partial(&plan, 0, 0, &on_time));
    let before = root.close(&frame(2, 0), Partial::empty());
    let counts = |published: &[Published]| numbers(&output(published, "g/n", "count"));
    assert_eq!(counts(&before), [12.0, 23.0, 12.0], "its values went to the next one");
    root.late(plan.version(), &beat, partial(&plan, 1, 0, &late));
    let after = root.close(&frame(3, 0), Partial::empty());
    assert_eq!(counts(&after), [12.0, 12.0, 12.0, 12.0]);
    assert_eq!(given(&after), told(model(&regular(60), 50, false)));
}

/// Two heartbeats; the frame whose exposure spans both belongs to the second.
fn over_a_boundary(window: &str, second: Frame) -> Vec<f64> {
    let plan = per_frame(json!({"window": window, "first": "keep"}));
    let mut root = RootStage::new(plan.clone());
    let shots = regular(48);
    root.close(&frame(1, 30), partial(&plan, 0, 0, &shots[..30]));
    let published = root.close(&second, partial(&plan, 0, 30, &shots[30..]));
    numbers(&output(&published, "g/n", "count"))
}

#[test]
fn values_go_over_the_boundary_of_a_step_unless_the_window_is_the_step() {
    let next_step = || Frame { step: Some(1), segment: 2, ..frame(2, 18) };
    assert_eq!(over_a_boundary("run", next_step()), [12.0, 12.0, 12.0, 12.0]);
    assert_eq!(over_a_boundary("step", next_step()), [6.0, 12.0], "the first since the step began");
}

#[test]
fn values_never_go_over_the_boundary_of_a_run_but_in_a_window_over_runs() {
    let next_run = || Frame { run: 2, segment: 2, ..frame(2, 18) };
    assert_eq!(over_a_boundary("run", next_run()), [6.0, 12.0]);
    assert_eq!(over_a_boundary("reset", next_run()), [12.0, 12.0, 12.0, 12.0]);
}

#[test]
fn frames_with_more_values_than_are_kept_are_left_out() {
    let plan = per_frame(json!({"max_values": 20}));
    let published =
        RootStage::new(plan.clone()).close(&frame(1, 60), partial(&plan, 0, 0, &regular(60)));
    assert_eq!(numbers(&output(&published, "g/n", "frame")), [4.0], "of frame 3 some are gone");
    let plan = per_frame(json!({"max_values": 11}));
    let published =
        RootStage::new(plan.clone()).close(&frame(1, 60), partial(&plan, 0, 0, &regular(60)));
    assert!(!has_output(&published, "g/n", "frame"));
}

#[test]
fn an_array_as_the_fast_value_is_refused() {
    let graph = r#"{"name": "g", "nodes": {
        "n": {"op": "per_frame", "in": {"value": "image", "frame": "scalar"}}}}"#;
    let error = plan(graph).errors()[0].to_string();
    assert!(error.contains("value is an array"), "{error}");
}

#[test]
fn nothing_is_given_before_the_second_frame() {
    let plan = per_frame(json!({"n": 1}));
    let published =
        RootStage::new(plan.clone()).close(&frame(1, 20), partial(&plan, 0, 0, &regular(20)));
    assert!(!has_output(&published, "g/n", "frame"));
}
