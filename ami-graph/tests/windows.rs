//! Windows against a model that keeps every event and recomputes: gaps, runs, steps, late data.

#![allow(clippy::unwrap_used)] // a test that panics is a test that fails

mod support;

use ami_graph::plan::Plan;
use ami_graph::root::{Frame, Published, RootStage, Truth};
use ami_graph::wire::partial::Partial;
use proptest::prelude::*;
use serde_json::json;
use std::sync::Arc;
use support::*;

/// A heartbeat as the model keeps it.
#[derive(Debug, Clone)]
struct Beat {
    frame: Frame,
    events: Vec<f64>,
    /// Events that come late, after so many further heartbeats.
    late: Option<(usize, Vec<f64>)>,
    /// How many events there were was not known when it was published.
    unknown: bool,
}

const WINDOWS: [&str; 8] =
    ["heartbeat", "run", "reset", "step", "steps", "beats", "seconds", "events"];

fn graph() -> String {
    let windows = [
        json!("heartbeat"),
        json!("run"),
        json!("reset"),
        json!("step"),
        json!({"steps": 2}),
        json!({"heartbeats": 3}),
        json!({"seconds": 0.35}),
        json!({"events": 6}),
    ];
    let nodes: serde_json::Map<_, _> = WINDOWS
        .iter()
        .zip(windows)
        .map(|(n, w)| ((*n).to_owned(), json!({"op": "sum", "in": "scalar", "window": w})))
        .collect();
    json!({"name": "w", "nodes": nodes}).to_string()
}

fn beats() -> impl Strategy<Value = Vec<Beat>> {
    let values = || prop::collection::vec((0..1000i32).prop_map(f64::from), 0..5);
    let beat = (
        1..4u64,
        values(),
        prop::option::weighted(0.3, (0..4usize, values())),
        prop::bool::weighted(0.15),
        prop::bool::weighted(0.2),
        prop::bool::weighted(0.1),
        0..3u64,
    );
    prop::collection::vec(beat, 1..25).prop_map(|rows| {
        let (mut number, mut run, mut step, mut segment) = (100, 1, None, 1);
        let one = |(gap, events, late, next_run, next_step, unknown, lost): (
            u64,
            Vec<f64>,
            _,
            bool,
            bool,
            bool,
            u64,
        )| {
            // A boundary may fall inside a heartbeat: the number stays, the segment does not.
            if next_run || next_step {
                segment += 1;
                run += u32::from(next_run);
                step = if next_run { None } else { Some(step.map_or(0, |s: u32| s + 1)) };
                number += gap - 1;
            } else {
                number += gap;
            }
            let mut frame = frame(number, events.len() as u64);
            (frame.run, frame.step, frame.segment) = (run, step, segment);
            frame.truth.expected = (!unknown).then_some(events.len() as u64 + lost);
            if lost > 0 {
                frame.truth.dropped.insert("overload".into(), lost);
            }
            Beat { frame, events, late, unknown }
        };
        rows.into_iter().map(one).collect()
    })
}

fn events(values: &[f64], time: u64) -> Vec<Event> {
    values.iter().map(|&x| only(time, x)).collect()
}

/// What the model says: the heartbeats inside a window at heartbeat `now`.
fn inside<'b>(window: &str, beats: &'b [Beat], now: usize) -> Vec<&'b Beat> {
    let at = &beats[now].frame;
    let past = beats[..=now].iter();
    match window {
        "heartbeat" => vec![&beats[now]],
        "run" => past.filter(|b| b.frame.run == at.run).collect(),
        "step" => past.filter(|b| (b.frame.run, b.frame.step) == (at.run, at.step)).collect(),
        "reset" => past.collect(),
        "steps" => {
            let number = |frame: &Frame| frame.step.map_or(0, |step| step + 1);
            let near = |b: &&Beat| number(&b.frame) + 2 > number(at);
            past.filter(|b| b.frame.run == at.run).filter(near).collect()
        }
        "beats" => past.filter(|b| b.frame.heartbeat + 3 > at.heartbeat).collect(),
        "seconds" => {
            past.filter(|b| b.frame.timestamp_ns + 350_000_000 > at.timestamp_ns).collect()
        }
        _ => {
            let mut newest: Vec<&Beat> = Vec::new();
            let mut count = 0;
            for beat in past.rev() {
                if count >= 6 {
                    break;
                }
                count += beat.frame.truth.events;
                newest.push(beat);
            }
            newest
        }
    }
}

/// Compares a heartbeat's published sums and truths with the model.
fn compare(published: &[Published], beats: &[Beat], now: usize) {
    for window in WINDOWS {
        let inside = inside(window, beats, now);
        let values: Vec<f64> = inside.iter().flat_map(|b| b.events.iter().copied()).collect();
        let topic = format!("w/{window}");
        let found = published.iter().find(|p| p.topic == topic);
        assert_eq!(found.is_some(), !values.is_empty(), "{topic} at {now}");
        let Some(found) = found else { continue };
        let one = std::slice::from_ref(found);
        assert_eq!(output(one, &topic, "value"), real(values.iter().sum()), "{topic} at {now}");
        assert_eq!(output(one, &topic, "count"), int(values.len() as i64), "{topic} at {now}");
        let mut truth = Truth { expected: Some(0), ..Truth::default() };
        for beat in inside {
            let t = &beat.frame.truth;
            truth.events += t.events;
            // A step does not remember its heartbeats: what was unknown of one stays so.
            let expected = t.expected.filter(|_| window != "steps" || !beat.unknown);
            truth.expected = truth.expected.zip(expected).map(|(a, b)| a + b);
            for (reason, count) in &t.dropped {
                *truth.dropped.entry(reason.clone()).or_default() += count;
            }
        }
        assert_eq!(found.window_truth, truth, "{topic} at {now}");
    }
}

fn late_truth(values: &[f64], expected: Option<u64>) -> Truth {
    Truth { events: values.len() as u64, expected, ..Truth::default() }
}

fn check(plan: &Arc<Plan>, mut beats: Vec<Beat>) {
    let mut root = RootStage::new(plan.clone());
    for current in 0..beats.len() {
        let beat = beats[current].clone();
        let part =
            partial(plan, 0, current as u64 * 100, &events(&beat.events, beat.frame.timestamp_ns));
        let published = root.close(&beat.frame, carried(part));
        compare(&published, &beats, current);
        root = RootStage::restore(plan.clone(), &root.save().concat()).unwrap();
        for (earlier, beat) in beats[..=current].iter_mut().enumerate() {
            let Some((after, values)) = beat.late.clone() else { continue };
            if earlier + after != current {
                continue;
            }
            // What was known to be missing comes; or what was unknown is known now.
            let all = beat.events.len() as u64;
            let (expected, more) = beat.frame.truth.expected.map_or((all, all), |known| (known, 0));
            let frame = Frame { truth: late_truth(&values, Some(more)), ..beat.frame.clone() };
            let first = earlier as u64 * 100 + 50;
            root.late(1, &frame, partial(plan, 0, first, &events(&values, frame.timestamp_ns)));
            beat.frame.truth.events += values.len() as u64;
            beat.frame.truth.expected = Some(expected);
            beat.events.extend(values);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn every_window_is_what_recomputing_gives(mut beats in beats()) {
        // Late data of a heartbeat that left an {events: N} window stay out of it, while the
        // model would count it again: checked below on its own.
        beats.iter_mut().for_each(|b| {
            if let Some((after, _)) = &mut b.late {
                *after = 0;
            }
        });
        check(&good_plan(&graph()), beats);
    }

    #[test]
    fn late_data_join_where_their_heartbeat_still_is(beats in beats()) {
        let plan = {
            let mut json: serde_json::Value = serde_json::from_str(&graph()).unwrap();
            json["nodes"]["events"]["window"] = json!({"events": 1_000_000});
            good_plan(&json.to_string())
        };
        let mut root = RootStage::new(plan.clone());
        let mut kept: Vec<Beat> = Vec::new();
        for (current, beat) in beats.iter().enumerate() {
            let part = partial(&plan, 0, current as u64 * 100, &events(&beat.events, beat.frame.timestamp_ns));
            let published = root.close(&beat.frame, part);
            kept.push(beat.clone());
            let all: f64 = kept.iter().flat_map(|b| &b.events).sum();
            for window in ["run", "reset", "steps", "beats", "seconds"] {
                let sum: f64 = inside(window, &kept, current).iter().flat_map(|b| &b.events).sum();
                if let Some(found) = published.iter().find(|p| p.topic == format!("w/{window}")) {
                    let value = output(std::slice::from_ref(found), &found.topic, "value");
                    prop_assert_eq!(value, real(sum), "{} at {}", window, current);
                }
            }
            if let Some(found) = published.iter().find(|p| p.topic == "w/events") {
                let value = output(std::slice::from_ref(found), "w/events", "value");
                prop_assert_eq!(value, real(all));
            }
            for (earlier, beat) in kept.iter_mut().enumerate() {
                let Some((after, values)) = beat.late.clone() else { continue };
                if earlier + after != current {
                    continue;
                }
                let frame = Frame { truth: late_truth(&values, None), ..beat.frame.clone() };
                let first = earlier as u64 * 100 + 50;
                root.late(1, &frame, partial(&plan, 0, first, &events(&values, frame.timestamp_ns)));
                beat.events.extend(values);
            }
        }
    }
}

#[test]
fn a_clock_set_back_does_not_wedge_sliding_windows() {
    let plan = good_plan(&graph());
    let mut root = RootStage::new(plan.clone());
    let mut published = Vec::new();
    for (k, (segment, heartbeat)) in [(1, 1000), (1, 1001), (2, 5), (2, 6)].into_iter().enumerate()
    {
        let mut frame = frame(heartbeat, 1);
        frame.segment = segment;
        let part = partial(&plan, 0, k as u64, &[only(frame.timestamp_ns, 1.0)]);
        published = root.close(&frame, part);
    }
    for window in ["beats", "seconds"] {
        assert_eq!(output(&published, &format!("w/{window}"), "value"), real(2.0));
    }
    assert_eq!(output(&published, "w/run", "value"), real(4.0));
}

#[test]
fn a_window_until_a_reset_goes_on_when_the_source_begins_anew() {
    let plan = good_plan(&graph());
    let mut root = RootStage::new(plan.clone());
    let mut published = Vec::new();
    for (generation, run, segment, heartbeat) in [(1, 7, 4, 1000), (1, 8, 5, 1001), (2, 7, 1, 1000)]
    {
        let mut frame = frame(heartbeat, 1);
        (frame.generation, frame.run, frame.segment) = (generation, run, segment);
        let part = partial(&plan, 0, 0, &[only(frame.timestamp_ns, 1.0)]);
        published = root.close(&frame, part);
    }
    for (window, sum) in [("reset", 3.0), ("run", 1.0), ("steps", 1.0), ("events", 1.0)] {
        assert_eq!(output(&published, &format!("w/{window}"), "value"), real(sum), "{window}");
    }
}

#[test]
fn an_empty_heartbeat_publishes_counts_of_zero_and_no_mean() {
    let graph = r#"{"name": "e", "nodes": {
        "n": {"op": "count", "in": "scalar", "window": "heartbeat"},
        "h": {"op": "hist", "in": "scalar", "bins": 2, "range": [0, 1], "window": "heartbeat"},
        "m": {"op": "mean", "in": "scalar", "window": "heartbeat"}}}"#;
    let published = RootStage::new(good_plan(graph)).close(&frame(1, 0), Partial::empty());
    assert_eq!(output(&published, "e/n", "value"), int(0));
    assert_eq!(numbers(&output(&published, "e/h", "counts")), [0.0, 0.0]);
    assert!(!published.iter().any(|p| p.topic == "e/m"));
}
