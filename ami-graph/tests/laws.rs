//! The laws of `docs/testing.md` for every reduction in the table, in every window: any split of the
//! events over lanes and hosts gives the single-process answer, merging is a commutative monoid,
//! states survive the wire, and garbage crashes nothing.

#![allow(clippy::unwrap_used)] // a test that panics is a test that fails

mod support;

use ami_graph::data::value::{DType, Value};
use ami_graph::op::doc::Class;
use ami_graph::ops::OPS;
use ami_graph::plan::Plan;
use ami_graph::root::{Published, RootStage};
use ami_graph::wire::partial::Partial;
use ami_graph::worker::WorkerStage;
use proptest::prelude::*;
use serde_json::{Value as Json, json};
use std::sync::Arc;
use support::*;

/// Uses of reductions beside the examples in the table: every parameter and kind of input.
fn variants() -> Vec<Json> {
    vec![
        json!({"op": "count", "in": "image"}),
        json!({"op": "sum", "in": "scalar"}),
        json!({"op": "sum", "in": "flag"}),
        json!({"op": "mean", "in": "waveform3"}),
        json!({"op": "sum", "in": "waveform"}),
        json!({"op": "stats", "in": "image"}),
        json!({"op": "min", "in": "scalar"}),
        json!({"op": "max", "in": "flag"}),
        json!({"op": "hist", "in": "scalar"}),
        json!({"op": "hist", "in": "image", "bins": [0, 10, 100, 65535]}),
        json!({"op": "hist", "in": {"value": "scalar", "weights": "flag"}, "bins": 7, "range": [-9, 9]}),
        json!({"op": "hist", "in": {"value": "waveform", "weights": "scalar"}, "bins": 16}),
        json!({"op": "hist2d", "in": ["scalar", "scalar"], "bins": [[-50, 0, 1, 70], 4], "range": [null, [-9, 9]]}),
        json!({"op": "hist2d", "in": {"x": "waveform", "y": "scalar", "weights": "flag"}, "bins": 5, "range": [[-9, 9], [-50, 50]]}),
        json!({"op": "by_key", "in": {"key": "scalar", "value": "scalar"}, "limit": 3}),
        json!({"op": "by_key", "in": ["flag", "image"], "stat": "std"}),
        json!({"op": "by_key", "in": ["flag", "waveform"], "stat": "min"}),
        json!({"op": "by_key", "in": ["scalar", "image"], "stat": "sum", "limit": 2}),
        json!({"op": "by_key", "in": ["flag", "scalar"], "stat": "max"}),
        json!({"op": "scan", "in": "image", "stat": "sum"}),
        json!({"op": "per_frame", "in": ["scalar", "flag"], "n": 5, "max_values": 7}),
        json!({"op": "per_frame", "in": ["flag", "image"], "max_values": 500, "first": "keep", "nan": "skip"}),
        json!({"op": "per_frame", "in": ["scalar", "waveform"], "max_values": 500}),
        json!({"op": "quantile", "in": "waveform", "q": 0.25, "accuracy": 0.2}),
        json!({"op": "quantile", "in": "image", "q": [0, 0.1, 1]}),
        json!({"op": "quantile", "in": "scalar", "nan": "propagate"}),
        json!({"op": "ewma", "in": "image", "tau": 0.05}),
        json!({"op": "ewma", "in": "scalar", "tau": 1e-5}),
        json!({"op": "linregress", "in": ["scalar", "scalar"]}),
        json!({"op": "covariance", "in": "pair"}),
        json!({"op": "covariance", "in": {"x": "pair", "y": "waveform3", "partial": "scalar"}}),
        json!({"op": "covariance", "in": {"x": "pair"}, "limit": 3}),
        json!({"op": "rate", "in": "waveform"}),
        json!({"op": "sample", "in": "waveform", "n": 1}),
        json!({"op": "sample", "in": ["scalar", "image"], "n": 5}),
        json!({"op": "unique", "in": "scalar", "limit": 4}),
        json!({"op": "unique", "in": "scalar"}),
        json!({"op": "profile", "in": {"key": "scalar", "value": "image"}, "bins": 3, "range": [-50, 50]}),
        json!({"op": "profile", "in": ["scalar", "scalar"], "bins": [-100, 0, 5]}),
        json!({"op": "stats", "in": "holes"}),
        json!({"op": "by_key", "in": ["flag", "holes"], "stat": "std"}),
        json!({"op": "profile", "in": ["scalar", "holes"], "bins": 3, "range": [-50, 50]}),
        json!({"op": "last", "in": "waveform"}),
        json!({"op": "last", "in": ["scalar", "flag"], "n": 3}),
        json!({"op": "last", "in": "waveform", "n": 2}),
        json!({"op": "buffer", "in": "scalar", "n": 4}),
        json!({"op": "buffer", "in": {"a": "flag", "b": "scalar"}, "n": 3, "unique": true, "with_time": true}),
        json!({"op": "buffer", "in": "image", "n": 2}),
    ]
}

/// Uses that leave NaN out: scalars, arrays with and without, integers.
fn skipping() -> Vec<Json> {
    let ops = ["sum", "mean", "stats", "min", "max"];
    let values = ["scalar", "holes", "image", "waveform"];
    let each = |op| values.map(|value| json!({"op": op, "in": value, "nan": "skip"}));
    let mut uses: Vec<Json> = ops.into_iter().flat_map(each).collect();
    for stat in ["mean", "sum", "min", "max", "std"] {
        for value in ["scalar", "holes", "image"] {
            let with = json!({"stat": stat, "nan": "skip", "limit": 3});
            uses.push(merged(&with, json!({"op": "by_key", "in": ["flag", value]})));
            uses.push(merged(&with, json!({"op": "scan", "in": value})));
        }
    }
    for value in ["scalar", "holes", "image"] {
        uses.push(json!({"op": "profile", "in": ["scalar", value], "bins": 3, "range": [-50, 50], "nan": "skip"}));
    }
    uses.push(json!({"op": "quantile", "in": "scalar", "nan": "skip"}));
    uses
}

fn merged(some: &Json, more: Json) -> Json {
    let (mut all, more) = (some.clone(), more);
    all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    all
}

fn windows() -> Vec<Json> {
    vec![
        json!("heartbeat"),
        json!("run"),
        json!("step"),
        json!({"steps": 2}),
        json!({"heartbeats": 2}),
        json!({"seconds": 0.25}),
        json!({"events": 7}),
    ]
}

/// One graph with every use in every window.
fn graph() -> String {
    let examples = OPS.iter().map(|op| op.doc()).filter(|doc| doc.class == Class::Reduction);
    let mut uses: Vec<Json> =
        examples.map(|doc| serde_json::from_str(doc.example).unwrap()).collect();
    uses.extend(variants());
    uses.extend(skipping());
    let mut nodes = serde_json::Map::new();
    nodes.insert("waveform3".into(), json!({"op": "const", "value": [1, 2, 3]}));
    let pair = json!({"op": "expr", "in": {"w": "waveform"}, "expr": "w[:2] * 1.5"});
    nodes.insert("pair".into(), pair);
    // The image in float64; NaN where it can be divided by 3, now and then infinite.
    let holes = "img % 3 / (img % 3) * img / (img % 64 > 0)";
    nodes.insert("holes".into(), json!({"op": "expr", "in": {"img": "image"}, "expr": holes}));
    for (i, mut node) in uses.into_iter().enumerate() {
        for (w, window) in windows().into_iter().enumerate() {
            node["window"] = window;
            nodes.insert(format!("n{i:02}w{w}"), node.clone());
        }
    }
    json!({"name": "laws", "nodes": nodes}).to_string()
}

fn event() -> impl Strategy<Value = Event> {
    let number = prop_oneof![
        8 => -100.0..100.0f64,
        2 => (-8i32..8).prop_map(f64::from),
        1 => prop::sample::select(vec![f64::NAN, f64::INFINITY, -0.0, 1e-300, 1e15]),
    ];
    (
        0..4u64,
        prop::option::weighted(0.9, number),
        prop::option::weighted(0.9, 0..2u8),
        prop::option::weighted(0.7, prop::collection::vec(any::<i32>(), 2..4)),
        prop::option::weighted(0.8, any::<[u16; 6]>()),
    )
        .prop_map(|(time, scalar, flag, waveform, image)| Event {
            time,
            scalar,
            flag,
            waveform,
            image,
        })
}

/// Heartbeats of events; times within a heartbeat go up, with ties.
fn heartbeats() -> impl Strategy<Value = Vec<Vec<Event>>> {
    prop::collection::vec(prop::collection::vec(event(), 0..12), 1..6).prop_map(|mut beats| {
        for (h, events) in beats.iter_mut().enumerate() {
            let mut time = (h as u64 + 10) * PERIOD;
            for event in events {
                time += event.time;
                event.time = time;
            }
        }
        beats
    })
}

/// Runs heartbeats, each cut into units of `unit` events given to lanes by `lane`.
fn run(plan: &Arc<Plan>, beats: &[Vec<Event>], split: Option<(usize, &[usize])>) -> Vec<Published> {
    let mut root = RootStage::new(plan.clone());
    let mut all = Vec::new();
    let mut sequence = 0;
    for (h, events) in beats.iter().enumerate() {
        let mut merged = Partial::empty();
        match split {
            None => {
                if !events.is_empty() {
                    merged = partial(plan, 0, sequence, events);
                }
            }
            Some((unit, lanes)) => {
                let count = lanes.iter().max().unwrap() + 1;
                let mut workers: Vec<WorkerStage> =
                    (0..count).map(|_| WorkerStage::new(plan.clone())).collect();
                for (u, chunk) in events.chunks(unit).enumerate() {
                    let first = sequence + (u * unit) as u64;
                    let lane = lanes[(u + h) % lanes.len()];
                    workers[lane].absorb(&Unit::new(0, first, chunk).batch());
                }
                for worker in workers.iter_mut().rev() {
                    merged.merge(carried(worker.take())).unwrap();
                }
            }
        }
        sequence += events.len() as u64;
        let mut frame = frame(h as u64 + 10, events.len() as u64);
        frame.run = 1 + h as u32 / 4;
        frame.step = (h as u32 / 3).checked_sub(1);
        all.extend(root.close(&frame, carried(merged)));
        // A checkpoint changes nothing.
        let saved = root.save().concat();
        root = RootStage::restore(plan.clone(), &saved).unwrap();
    }
    all
}

/// What law 1 asks of an op's float64 outputs.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Law {
    /// The same bits for any split.
    Exact,
    /// Sums of floats: to 1e-12 of the sum of magnitudes, or of the number itself, which may be a
    /// ratio of sums.
    Adds,
    /// Sums of products: to 1e-12 of the square of that.
    Multiplies,
}

/// Every reduction of the table must be here: an op without a law fails the tests.
fn law_of(op: &str) -> Law {
    match op {
        "count" | "min" | "max" | "last" | "buffer" | "sample" | "unique" | "quantile" | "rate"
        | "per_frame" => Law::Exact,
        "sum" | "mean" | "stats" | "profile" | "hist" | "hist2d" | "by_key" | "scan" | "ewma"
        | "linregress" => Law::Adds,
        "covariance" => Law::Multiplies,
        other => panic!("say in law_of() which law holds for {other:?}"),
    }
}

#[test]
fn every_reduction_has_its_law() {
    let reductions = OPS.iter().map(|op| op.doc()).filter(|doc| doc.class == Class::Reduction);
    for doc in reductions {
        law_of(doc.name);
    }
}

/// Bit for bit, except float64 of ops that add floats: to 1e-12 of the sum of magnitudes.
fn assert_same(plan: &Plan, one: &[Published], other: &[Published], scale: Scale) {
    assert_eq!(one.len(), other.len());
    for (a, b) in one.iter().zip(other) {
        assert_eq!((&a.topic, &a.error, &a.window_truth), (&b.topic, &b.error, &b.window_truth));
        assert_eq!(a.values.len(), b.values.len(), "{}", a.topic);
        assert_eq!(a.arrays.len(), b.arrays.len(), "{}", a.topic);
        let names = a.values.iter().map(|(n, _)| n).chain(a.arrays.iter().map(|(n, _)| n));
        for name in names {
            let pick = |p: &Published| output(std::slice::from_ref(p), &p.topic, name);
            let (x, y) = (pick(a), pick(b));
            let tolerance = match law_of(&a.op) {
                Law::Adds if x.dtype() == DType::F64 => 1e-12 * scale.of(plan, &a.node),
                Law::Multiplies if x.dtype() == DType::F64 => {
                    1e-12 * (scale.elements + scale.scalars).powi(2)
                }
                Law::Adds | Law::Multiplies | Law::Exact => 0.0,
            };
            assert_close(&x, &y, tolerance, &format!("{} {name}", a.topic));
        }
    }
}

fn assert_close(x: &Value, y: &Value, tolerance: f64, what: &str) {
    assert_eq!(x.dtype(), y.dtype(), "{what}");
    if let (Value::Array(x), Value::Array(y)) = (x, y) {
        assert_eq!(x.shape(), y.shape(), "{what}");
    }
    for (x, y) in numbers(x).into_iter().zip(numbers(y)) {
        let same = x.to_bits() == y.to_bits() || (x.is_nan() && y.is_nan());
        let tolerance = tolerance.max(if tolerance > 0.0 { 1e-12 * x.abs() } else { 0.0 });
        assert!(same || (x - y).abs() <= tolerance, "{what}: {x:e} and {y:e}");
    }
}

/// Sums of magnitudes of what float ops add up: the scalars, the pixels of images, and the
/// elements of waveforms, which are integers where they are only weighted by scalars.
#[derive(Debug, Clone, Copy)]
struct Scale {
    scalars: f64,
    pixels: f64,
    elements: f64,
}

impl Scale {
    fn of(&self, plan: &Plan, node: &str) -> f64 {
        let inputs = plan.set().graphs["laws"].spec.nodes[node].inputs.clone();
        match inputs.sources().as_slice() {
            sources if sources.contains(&"image") || sources.contains(&"holes") => self.pixels,
            _ => self.scalars,
        }
    }
}

fn magnitude(beats: &[Vec<Event>]) -> Scale {
    let finite = |x: f64| if x.is_finite() { x.abs() } else { 0.0 };
    let events = || beats.iter().flatten();
    Scale {
        // Three elements of a waveform share their event's weight.
        scalars: 1.0 + events().map(|e| 3.0 * finite(e.scalar.unwrap_or(0.0))).sum::<f64>(),
        elements: 1.0
            + events()
                .filter_map(|e| e.waveform.as_ref())
                .flatten()
                .map(|&x| f64::from(x).abs())
                .sum::<f64>(),
        pixels: 1.0 + events().filter_map(|e| e.image).flatten().map(f64::from).sum::<f64>(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_split_gives_the_single_process_answer(
        beats in heartbeats(),
        unit in 1..6usize,
        lanes in prop::collection::vec(0..7usize, 1..9),
    ) {
        let plan = good_plan(&graph());
        let whole = run(&plan, &beats, None);
        let split = run(&plan, &beats, Some((unit, &lanes)));
        assert_same(&plan, &whole, &split, magnitude(&beats));
    }

    #[test]
    fn merging_is_commutative_and_associative_with_zero(beats in heartbeats()) {
        let plan = good_plan(&graph());
        let mut first = 0;
        let parts: Vec<Partial> = beats.iter().map(|events| {
            let part = partial(&plan, 0, first, events);
            first += events.len() as u64;
            part
        }).collect();
        let close = |partial: Partial| RootStage::new(plan.clone()).close(&frame(1, 1), partial);
        let sum = |parts: Vec<&Partial>| {
            let mut total = Partial::empty();
            parts.into_iter().for_each(|p| total.merge(p.clone()).unwrap());
            total
        };
        let scale = magnitude(&beats);
        let forward = close(sum(parts.iter().collect()));
        assert_same(&plan, &forward, &close(sum(parts.iter().rev().collect())), scale);
        let (left, right) = parts.split_at(parts.len() / 2);
        let mut grouped = sum(left.iter().collect());
        grouped.merge(sum(right.iter().collect())).unwrap();
        grouped.merge(Partial::empty()).unwrap();
        assert_same(&plan, &forward, &close(grouped), scale);
    }

    #[test]
    fn damaged_bytes_crash_nothing(
        beats in heartbeats(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in prop::option::weighted(0.2, any::<prop::sample::Index>()),
    ) {
        let plan = good_plan(&graph());
        let events: Vec<Event> = beats.into_iter().flatten().collect();
        let good = partial(&plan, 0, 0, &events);
        let mut root = RootStage::new(plan.clone());
        root.close(&frame(1, 1), good.clone());
        let mut checkpoint = root.save().concat();
        let (mut header, mut frames) = good.encode();
        for (place, byte) in &damage {
            let at = place.index(header.len());
            header[at] = *byte;
            if let Some(frame) = frames.first_mut() {
                let at = place.index(frame.len());
                frame[at] = *byte;
            }
            let at = place.index(checkpoint.len());
            checkpoint[at] = *byte;
        }
        if let Some(cut) = cut {
            header.truncate(cut.index(header.len()));
            checkpoint.truncate(cut.index(checkpoint.len()));
        }
        let frames: Vec<&[u8]> = frames.iter().map(Vec::as_slice).collect();
        if let Ok(partial) = Partial::decode(&header, &frames) {
            let mut twice = partial.clone();
            let _ = twice.merge(partial);
            root.close(&frame(2, 1), twice.clone());
            root.late(1, &frame(1, 1), twice);
            root.close(&frame(3, 1), Partial::empty());
        }
        if let Ok(mut root) = RootStage::restore(plan.clone(), &checkpoint) {
            root.close(&frame(2, 1), Partial::empty());
            root.save();
        }
    }
}

/// States with and without NaN are of different things; what is there stays as it was.
#[test]
fn states_that_leave_nan_out_merge_with_none_that_do_not() {
    let event = Event { flag: Some(1), image: Some([1, 2, 3, 4, 5, 6]), ..only(PERIOD, 2.5) };
    for mut node in skipping() {
        if node["in"] == "waveform" {
            continue; // absent here
        }
        let mut of = |nan: &str| {
            node["nan"] = json!(nan);
            let holes = json!({"op": "expr", "in": {"img": "image"}, "expr": "img * 1.5"});
            let nodes = json!({"n": node, "holes": holes});
            let plan =
                good_plan(&json!({"name": "laws", "nodes": nodes, "publish": ["n"]}).to_string());
            let partial = partial(&plan, 0, 0, std::slice::from_ref(&event));
            (plan, partial)
        };
        let both = [of("skip"), of("propagate")];
        for ((plan, mine), (_, theirs)) in both.iter().zip(both.iter().rev()) {
            let mut merged = mine.clone();
            assert!(merged.merge(carried(theirs.clone())).is_err(), "{node}");
            let close = |partial| RootStage::new(plan.clone()).close(&frame(1, 1), partial);
            assert_same(plan, &close(mine.clone()), &close(merged), magnitude(&[]));
        }
    }
}

#[test]
fn every_use_runs() {
    let plan = good_plan(&graph());
    assert_eq!(plan.nodes().len(), plan.set().graphs["laws"].spec.nodes.len());
}
