//! Whole graphs: names, stages, publishing, errors, edits.

#![allow(clippy::unwrap_used)] // a test that panics is a test that fails

mod support;

use ami_graph::data::batch::{Batch, Belonging, Column};
use ami_graph::data::schema::Schema;
use ami_graph::data::value::{Array, DType, Scalar, Value};
use ami_graph::graph::spec::{GraphSet, GraphSpec, VersionedGraph};
use ami_graph::op::doc::{Class, Form};
use ami_graph::ops::{OPS, ops_json};
use ami_graph::plan::described::Stage;
use ami_graph::plan::limits::Limits;
use ami_graph::plan::{Plan, check};
use ami_graph::root::RootStage;
use ami_graph::wire::partial::Partial;
use ami_graph::worker::WorkerStage;
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::Arc;
use support::*;

fn events(n: u64) -> Vec<Event> {
    let one = |i: u64| Event {
        time: i * 1000,
        scalar: Some(i as f64),
        flag: Some((i % 2) as u8),
        waveform: Some((0..=(i as i32 % 3)).collect()),
        image: Some([i as u16; 6]),
    };
    (0..n).map(one).collect()
}

/// The same with waveforms of one length.
fn even_events(n: u64) -> Vec<Event> {
    let mut events = events(n);
    for (i, event) in events.iter_mut().enumerate() {
        event.waveform = Some((0..4).map(|k| i as i32 * k - 3).collect());
    }
    events
}

#[test]
fn the_table_is_complete_and_its_examples_run() {
    for doc in engine_ops() {
        assert!(doc.summary.len() > 10 && doc.text.len() > 40, "{}", doc.name);
        assert!(!doc.outputs.is_empty(), "{}", doc.name);
        assert_eq!(OPS.iter().filter(|o| o.doc().name == doc.name).count(), 1);
        let node: serde_json::Value = serde_json::from_str(doc.example).unwrap();
        assert_eq!(node["op"], doc.name);
        assert_eq!(node.get("in").is_none(), doc.form == Form::None, "{}", doc.name);
        let graph = json!({"name": "g", "nodes": {"n": node}}).to_string();
        let published = once(&graph, &even_events(10));
        assert_eq!(published.len(), 1, "{}", doc.name);
        assert_eq!(published[0].op, doc.name);
        assert_eq!(published[0].error, None, "{}", doc.name);
        for param in doc.params {
            assert!(!param.doc.is_empty() && !param.range.is_empty(), "{}", doc.name);
        }
    }
    let table = ops_json();
    assert_eq!(table.as_array().unwrap().len(), OPS.len());
    assert!(OPS.iter().any(|op| op.doc().class == Class::PerEvent));
}

#[test]
fn features_say_beforehand_what_is_published() {
    for doc in engine_ops() {
        let node: serde_json::Value = serde_json::from_str(doc.example).unwrap();
        let graph = json!({"name": "g", "nodes": {"n": node}}).to_string();
        let features = good_plan(&graph).features();
        let published = once(&graph, &even_events(10));
        // Labels are there for texts and enumerations only.
        for info in features[0].outputs.iter().filter(|info| info.name != "labels") {
            let value = output(&published, "g/n", &info.name);
            assert_eq!(info.dtype, Some(value.dtype()), "{} {}", doc.name, info.name);
            let shape = if let Value::Array(a) = &value { a.shape().to_vec() } else { Vec::new() };
            assert!(info.rank.is_none_or(|r| r == shape.len()), "{} {}", doc.name, info.name);
            assert!(info.shape.as_ref().is_none_or(|s| *s == shape), "{} {}", doc.name, info.name);
        }
    }
}

#[test]
fn names_mean_nodes_outputs_or_fields() {
    let mut schema = schema();
    schema.fields.push(field("roi.bounds", DType::F64, None, 0));
    let graph = r#"{"name": "g", "nodes": {
        "roi": {"op": "roi", "in": "image", "x": [0, 2]},
        "scalar": {"op": "sum", "in": "scalar"},
        "a": {"op": "sum", "in": "roi"},
        "b": {"op": "sum", "in": "roi.bounds"},
        "c": {"op": "sum", "in": "det:raw:x"},
        "d": {"op": "max", "in": "event.timestamp"}},
        "publish": ["scalar", "a.value", "c", "d", "roi.bounds"]}"#;
    let plan = plan_with(graph, schema);
    assert!(plan.errors().is_empty(), "{:?}", plan.errors());
    // The field of that name goes before the node's output.
    assert_eq!(plan.wanted(), [true, false, false, true, true]);
    let plan = good_plan(graph);
    let published =
        RootStage::new(plan.clone()).close(&frame(1, 4), partial(&plan, 0, 0, &events(4)));
    let topics: Vec<&str> = published.iter().map(|p| p.topic.as_str()).collect();
    assert_eq!(topics, ["g/scalar", "g/a.value", "g/c", "g/d", "g/roi.bounds"]);
    assert_eq!(output(&published, "g/scalar", "value"), real(6.0));
    assert_eq!(output(&published, "g/c", "value"), real(6.0));
    assert_eq!(output(&published, "g/d", "value"), real(3e-6));
    assert_eq!(numbers(&output(&published, "g/a.value", "value")), [6.0; 4]);
    assert_eq!(published[1].arrays.len() + published[1].values.len(), 1);
    assert_eq!(numbers(&output(&published, "g/roi.bounds", "bounds")), [0.0, 2.0, 0.0, 2.0]);
}

/// A node that is wrong, and part of what is said about it.
const MISTAKES: &[(&str, &str)] = &[
    (r#"{"op": "men", "in": "scalar"}"#, "there is no op \"men\"; did you mean \"mean\""),
    (r#"{"op": "mean", "in": "scalr"}"#, "no field and no node \"scalr\"; did you mean \"scalar\""),
    (r#"{"op": "mean", "in": "scalar", "widow": 3}"#, "no such parameter; did you mean \"window\""),
    (
        r#"{"op": "mean", "in": "scalar", "window": "week"}"#,
        "unknown window \"week\"; write \"heartbeat\"",
    ),
    (r#"{"op": "mean", "in": "scalar", "window": {"heartbeats": 0}}"#, "at least 1"),
    (
        r#"{"op": "mean", "in": "scalar", "window": {"seconds": 1e30}}"#,
        "seconds is 1e+30, not a number above 0 and at most 1e9 (31 years)",
    ),
    (
        r#"{"op": "hist", "in": "scalar", "bins": 1000, "range": [1e16, 10000000000000002]}"#,
        "\"bins\": too many bins for the range: in float64 there are no 1000 different edges from 1e16 to",
    ),
    (
        r#"{"op": "profile", "in": ["scalar", "scalar"], "bins": 5, "range": [1e16, 10000000000000004]}"#,
        "give fewer bins or a wider range",
    ),
    (
        r#"{"op": "hist2d", "in": ["scalar", "scalar"], "bins": 9, "range": [[0, 1], [1e16, 10000000000000004]]}"#,
        "too many bins for the range",
    ),
    (
        r#"{"op": "expr", "in": "scalar", "expr": "scalar", "window": "run"}"#,
        "works event by event",
    ),
    (r#"{"op": "hist", "in": "scalar", "bins": 0, "range": [0, 1]}"#, "from 1 to 4194304"),
    (r#"{"op": "hist", "in": "scalar", "bins": 5, "range": [1, 0]}"#, "low below high"),
    (r#"{"op": "profile", "in": "scalar", "range": [0, 1]}"#, "input \"value\" is missing"),
    (
        r#"{"op": "profile", "in": {"key": "scalar", "valu": "flag"}, "range": [0, 1]}"#,
        "did you mean \"value\"",
    ),
    (r#"{"op": "profile", "in": ["scalar", "flag"]}"#, "parameter \"range\": is missing"),
    (
        r#"{"op": "profile", "in": ["image", "flag"], "range": [0, 1]}"#,
        "the key is uint16[2×3], not a scalar",
    ),
    (
        r#"{"op": "roi", "in": "image", "x": [0, 9]}"#,
        "9 lies beyond the input, which is uint16[2×3]",
    ),
    (r#"{"op": "roi", "in": "scalar", "x": [0, 1]}"#, "not an array of 1 to 4 axes"),
    (r#"{"op": "roi", "in": "image"}"#, "give `x`, `y` or `slices`"),
    (r#"{"op": "project", "in": "waveform"}"#, "the input has 1 axes, not 2"),
    (r#"{"op": "array_stat", "in": "image", "stat": "men"}"#, "did you mean \"mean\""),
    (
        r#"{"op": "threshold", "in": "image", "below": 1, "fill": -1}"#,
        "-1 is not a value of uint16",
    ),
    (r#"{"op": "buffer", "in": "image", "n": 2000000}"#, "from 1 to 1000000"),
    (
        r#"{"op": "buffer", "in": "image", "n": 1000000, "window": {"heartbeats": 100}}"#,
        "MiB are left",
    ),
    (r#"{"op": "const", "value": {}}"#, "give a number"),
    (r#"{"op": "const", "in": "scalar", "value": 1}"#, "takes no inputs"),
    (r#"{"op": "mean", "in": "n"}"#, "the node is its own input"),
    (r#"{"op": "mean"}"#, "input \"value\" is missing"),
    (r#"{"op": "mean", "in": ["scalar", "flag"]}"#, "2 inputs are given, 1 taken"),
    (r#"{"op": "mean", "in": "scalar", "with": {"a": "flag"}}"#, "takes no further inputs"),
];

#[test]
fn mistakes_name_the_thing_the_reason_and_the_next_step() {
    for (node, wanted) in MISTAKES {
        let plan = plan(&format!(r#"{{"name": "g", "nodes": {{"n": {node}}}}}"#));
        let errors: Vec<String> = plan.errors().iter().map(ToString::to_string).collect();
        assert_eq!(errors.len(), 1, "{node}: {errors:?}");
        assert!(errors[0].contains(wanted), "{node}: {}", errors[0]);
        assert!(errors[0].starts_with("graph \"g\", node \"n\""), "{}", errors[0]);
        assert!(plan.nodes()[0].off.is_some());
        assert!(plan.features().is_empty());
    }
}

#[test]
fn unreadable_graphs_say_where() {
    let cases = [
        ("{\"name\": \"g\",\n \"nodes\": {]}", "line 2 column"),
        (r#"{"name": "g", "nodes": {}}"#, "no nodes"),
        (
            r#"{"name": "a/b", "nodes": {"n": {"op": "count", "in": "x"}}}"#,
            "not a name for a graph",
        ),
        (r#"{"name": "g", "nodes": {"a.b": {"op": "count", "in": "x"}}}"#, "not a name for a node"),
        (r#"{"name": "g", "nodes": {"n": {"in": "x"}}}"#, "missing field `op`"),
        (r#"{"name": "g", "node": {}}"#, "unknown field `node`"),
        (r#"{"name": "g", "nodes": {"n": {"op": "count", "in": 5}}}"#, "`in` as one name"),
        (
            r#"{"name": "g", "nodes": {"n": {"op": "count", "in": "x"}, "n": {"op": "sum", "in": "x"}}}"#,
            "\"n\" is written twice at line 1 column 60; rename or remove one of the two",
        ),
        (
            r#"{"name": "g", "nodes": {"n": {"op": "count", "in": "x"}}, "name": "h"}"#,
            "\"name\" is written twice",
        ),
        (
            r#"{"name": "g", "nodes": {"n": {"op": "hist", "in": "x", "bins": 5, "range": [0, 1], "bins": 6}}}"#,
            "\"bins\" is written twice",
        ),
        (
            r#"{"name": "g", "nodes": {"n": {"op": "sum", "in": "x", "window": {"events": 5, "events": 6}}}}"#,
            "\"events\" is written twice",
        ),
        (
            r#"{"name": "g", "nodes": {"n": {"op": "expr", "in": {"a": "x", "a": "y"}, "expr": "a"}}}"#,
            "\"a\" is written twice",
        ),
        (
            "\u{feff}{\"name\": \"g\", \"nodes\": {}}",
            "the text begins with a byte order mark; save it as UTF-8 without a byte order mark",
        ),
    ];
    for (text, wanted) in cases {
        let error = GraphSpec::parse(text).unwrap_err().to_string();
        assert!(error.contains(wanted), "{text}: {error}");
    }
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let deep = format!(r#"{{"name": "g", "nodes": {{"n": {{"op": "const", "value": {deep}}}}}}}"#);
    assert!(GraphSpec::parse(&deep).is_err());
    assert!(GraphSpec::json_schema()["properties"]["nodes"].is_object());
}

#[test]
fn a_node_that_is_off_takes_its_dependents_with_it_and_nothing_else() {
    let graph = r#"{"name": "g", "nodes": {
        "bad": {"op": "roi", "in": "gone", "x": [0, 1]},
        "behind": {"op": "mean", "in": "bad"},
        "loop1": {"op": "array_stat", "in": "loop2"},
        "loop2": {"op": "array_stat", "in": "loop1"},
        "good": {"op": "count", "in": "scalar"}}}"#;
    let plan = plan(graph);
    let off: BTreeMap<String, Option<String>> =
        plan.nodes().into_iter().map(|n| (n.node, n.off)).collect();
    assert!(off["bad"].as_ref().unwrap().contains("\"gone\""));
    assert!(off["behind"].as_ref().unwrap().contains("depends on node \"bad\""));
    assert!(off["loop1"].as_ref().unwrap().contains("loop1 → loop2 → loop1"), "{off:?}");
    assert_eq!(off["good"], None);
    assert_eq!(plan.errors().len(), 3);
    let published =
        RootStage::new(plan.clone()).close(&frame(1, 3), partial(&plan, 0, 0, &events(3)));
    assert_eq!(published.len(), 1);
    assert_eq!(output(&published, "g/good", "value"), int(3));
}

#[test]
fn results_are_worked_on_at_the_root() {
    let graph = r#"{"name": "g", "nodes": {
        "mean": {"op": "mean", "in": "image", "window": "heartbeat"},
        "row": {"op": "project", "in": "mean", "axis": 0},
        "two": {"op": "const", "value": 2},
        "high": {"op": "threshold", "in": "row", "below": 5},
        "chart": {"op": "buffer", "in": ["row", "mean.count"], "n": 2, "with_time": true},
        "most": {"op": "max", "in": "mean.count"},
        "mixed": {"op": "profile", "in": {"key": "scalar", "value": "mean"}, "range": [0, 1]}},
        "publish": ["high", "chart", "most", "two"]}"#;
    let plan = plan(graph);
    assert_eq!(plan.errors().len(), 1);
    let error = plan.errors()[0].to_string();
    assert!(error.contains("\"op\": \"last\", \"in\": \"scalar\""), "{error}");
    let stages: BTreeMap<String, Stage> =
        plan.nodes().into_iter().map(|n| (n.node, n.stage)).collect();
    assert_eq!((stages["mean"], stages["row"]), (Stage::Worker, Stage::Root));
    let mut root = RootStage::new(plan.clone());
    let mut published = Vec::new();
    for (beat, n) in [(1, 5), (2, 8), (3, 3)] {
        let part = partial(&plan, 0, 0, &events(n));
        published = root.close(&frame(beat, n), carried(part));
    }
    // Means of 0..n: 2, 3.5, 1; rows add two pixels of a column.
    assert_eq!(numbers(&output(&published, "g/high", "value")), [0.0, 0.0, 0.0]);
    assert_eq!(numbers(&output(&published, "g/chart", "value0")), [7.0, 7.0, 7.0, 2.0, 2.0, 2.0]);
    assert_eq!(numbers(&output(&published, "g/chart", "value1")), [8.0, 3.0]);
    assert_eq!(numbers(&output(&published, "g/chart", "time")), [0.2, 0.3]);
    assert_eq!(output(&published, "g/most", "value"), int(8));
    assert_eq!(output(&published, "g/two", "value"), int(2));
    let most = published.iter().find(|p| p.topic == "g/most").unwrap();
    assert_eq!((most.window.clone(), most.window_truth.events), (json!("run"), 16));
    let high = published.iter().find(|p| p.topic == "g/high").unwrap();
    assert_eq!((high.window.clone(), high.window_truth.events), (json!("heartbeat"), 3));
}

#[test]
fn per_event_nodes_publish_their_newest_event() {
    let graph = r#"{"name": "g", "nodes": {
        "gate": {"op": "gate", "in": {"x": "scalar", "img": "image"}, "with": {"f": "flag"}, "when": "f == 1"},
        "stat": {"op": "array_stat", "in": "waveform"}}}"#;
    let plan = good_plan(graph);
    let mut part = partial(&plan, 0, 3, &events(6)[3..]);
    part.merge(partial(&plan, 0, 0, &events(6)[..3])).unwrap();
    let published = RootStage::new(plan).close(&frame(1, 6), part);
    assert_eq!(output(&published, "g/gate", "x"), real(5.0));
    assert_eq!(numbers(&output(&published, "g/gate", "img")), [5.0; 6]);
    assert_eq!(output(&published, "g/stat", "value"), int(3));
    assert_eq!(published[0].window, json!("heartbeat"));
}

#[test]
fn a_failing_event_is_absent_and_counted() {
    let graph = r#"{"name": "g", "nodes": {
        "third": {"op": "roi", "in": "waveform", "slices": [1]},
        "n": {"op": "count", "in": "third"},
        "all": {"op": "count", "in": "waveform"}}}"#;
    let plan = good_plan(graph);
    let mut root = RootStage::new(plan.clone());
    for beat in 1..=2 {
        let published = root.close(&frame(beat, 6), carried(partial(&plan, 0, 0, &events(6))));
        // Waveforms of 1, 2, 3, 1, 2, 3 elements.
        assert_eq!(output(&published, "g/n", "value"), int(4 * beat as i64));
        assert_eq!(output(&published, "g/all", "value"), int(6 * beat as i64));
    }
    let reports = root.reports();
    assert_eq!(reports.len(), 1);
    assert_eq!(plan.set().ordinals()[reports[0].ordinal as usize], ("g", "third"));
    assert_eq!(reports[0].errors, 4);
    assert!(reports[0].message.contains("index 1 is out of range for an axis of 1"));
}

#[test]
fn narrow_bins_of_float32_are_refused_where_its_edges_repeat() {
    let schema = |dtype| Schema { fields: vec![field("x", dtype, None, 0)] };
    let graph = r#"{"name": "g", "nodes": {
        "n": {"op": "hist", "in": "x", "bins": 100, "range": [100000000, 100000100]}}}"#;
    assert!(plan_with(graph, schema(DType::F64)).errors().is_empty());
    let plan = plan_with(graph, schema(DType::F32));
    let error = plan.errors()[0].to_string();
    assert!(error.contains("in float32 there are no 100 different edges"), "{error}");
}

#[test]
fn types_that_change_are_a_type_conflict() {
    let graph = r#"{"name": "g", "nodes": {
        "kept": {"op": "last", "in": "w", "n": 2}, "n": {"op": "sum", "in": "w"}}}"#;
    let part = |dtype, shape: &[usize], value: Value| {
        let plan = plan_with(graph, Schema { fields: vec![field("w", dtype, None, shape.len())] });
        let mut worker = WorkerStage::new(plan.clone());
        let columns = vec![Column::Constant(&value)];
        worker.absorb(&Batch {
            host: 0,
            belonging: Default::default(),
            first_sequence: 0,
            timestamps: &[1],
            columns,
        });
        (plan, worker.take())
    };
    let whole = |n: usize| Value::Array(Array::from_elements(&[n], &vec![1i32; n]));
    let float = Value::Array(Array::from_elements(&[2], &[1.0f64; 2]));
    let told = |other: usize| {
        let (plan, mut all) = part(DType::I32, &[0], whole(other));
        all.merge(part(DType::F64, &[0], float.clone()).1).unwrap();
        let published = RootStage::new(plan).close(&frame(1, 2), carried(all));
        let error = |topic: &str| published.iter().find(|p| p.topic == topic)?.error.clone();
        [error("g/n").unwrap(), error("g/kept").unwrap()]
    };
    assert_eq!(
        told(2)[0],
        "type conflict: the input changed within the window (int32 [2] and float64 [2]); give it one type \
         by an expr before, as x + 0.0, or reset the node"
    );
    // `last` keeps items of any shape.
    assert!(told(3)[1].starts_with("type conflict: "), "{}", told(3)[1]);
    assert!(told(3)[0].starts_with("type and shape conflict: "), "{}", told(3)[0]);
}

#[test]
fn shapes_that_change_are_a_conflict_until_they_leave() {
    let graph = r#"{"name": "g", "nodes": {
        "run": {"op": "mean", "in": "waveform"},
        "two": {"op": "mean", "in": "waveform", "window": {"heartbeats": 2}},
        "newest": {"op": "last", "in": "waveform"},
        "after": {"op": "array_stat", "in": "two"}}, "publish": ["run", "two", "newest", "after"]}"#;
    let plan = good_plan(graph);
    let mut root = RootStage::new(plan.clone());
    let mut wave = |beat: u64, lengths: &[usize]| {
        let event = |&n: &usize| Event { waveform: Some(vec![1; n]), ..only(beat * PERIOD, 0.0) };
        let events: Vec<Event> = lengths.iter().map(event).collect();
        root.close(&frame(beat, 1), carried(partial(&plan, 0, beat * 10, &events)))
    };
    let error = |published: &[ami_graph::root::Published], topic: &str| {
        published.iter().find(|p| p.topic == topic).and_then(|p| p.error.clone())
    };
    assert_eq!(error(&wave(1, &[2, 2]), "g/run"), None);
    let published = wave(2, &[2, 3]);
    for topic in ["g/run", "g/two"] {
        let reason = error(&published, topic).unwrap();
        assert!(reason.contains("shape conflict") && reason.contains("int32 [2] and int32 [3]"));
    }
    assert_eq!(numbers(&output(&published, "g/newest", "value")), [1.0; 3]);
    assert!(!published.iter().any(|p| p.topic == "g/after"));
    wave(3, &[4]);
    let published = wave(4, &[4]);
    assert_eq!(numbers(&output(&published, "g/two", "value")), [1.0; 4]);
    assert_eq!(output(&published, "g/after", "value"), real(4.0));
    assert!(error(&published, "g/run").unwrap().contains("int32 [4]"));
}

fn set(version: u64, graphs: &[(&str, u64)], resets: &[(&str, u64)]) -> Arc<GraphSet> {
    let one = |(text, version): &(&str, u64)| {
        let spec = GraphSpec::parse(text).unwrap();
        let resets = resets.iter().map(|(n, c)| ((*n).to_owned(), *c)).collect();
        (spec.name.clone(), VersionedGraph { version: *version, spec, resets })
    };
    let graphs = graphs.iter().map(one).collect();
    Arc::new(GraphSet { version, graphs, files: BTreeMap::new() })
}

const BEFORE: &str = r#"{"name": "g", "nodes": {
    "x": {"op": "threshold", "in": "scalar", "below": 0},
    "kept": {"op": "sum", "in": "scalar"},
    "upstream": {"op": "sum", "in": "x"},
    "reset": {"op": "sum", "in": "scalar"}}}"#;
const AFTER: &str = r#"{"name": "g", "nodes": {
    "x": {"op": "threshold", "in": "scalar", "below": 1},
    "a_new_one": {"op": "count", "in": "flag"},
    "kept": {"op": "sum", "in": "scalar"},
    "upstream": {"op": "sum", "in": "x"},
    "reset": {"op": "sum", "in": "scalar"}}}"#;

#[test]
fn edits_keep_the_state_of_what_stays_the_same() {
    let schema = Arc::new(schema());
    let limits = Limits::default();
    let first = Arc::new(Plan::new(set(1, &[(BEFORE, 1)], &[]), schema.clone(), &limits));
    let mut root = RootStage::new(first.clone());
    root.close(&frame(1, 4), partial(&first, 0, 0, &events(4)));
    let second = Arc::new(Plan::new(set(2, &[(AFTER, 2)], &[("reset", 1)]), schema, &limits));
    root.update(second.clone());
    let published = root.close(&frame(2, 4), partial(&second, 0, 4, &events(4)));
    assert_eq!(output(&published, "g/kept", "value"), real(12.0));
    assert_eq!(output(&published, "g/upstream", "value"), real(6.0));
    assert_eq!(output(&published, "g/reset", "value"), real(6.0));
    assert_eq!(output(&published, "g/a_new_one", "value"), int(4));
    assert_eq!(published[0].version, 2);
    let kept = published.iter().find(|p| p.topic == "g/kept").unwrap();
    let reset = published.iter().find(|p| p.topic == "g/reset").unwrap();
    assert_eq!((kept.window_truth.events, reset.window_truth.events), (8, 4));
    // The same through a checkpoint.
    let mut again = RootStage::restore(second.clone(), &root.save().concat()).unwrap();
    let published = again.close(&frame(3, 0), Partial::empty());
    assert_eq!(output(&published, "g/kept", "value"), real(12.0));
}

/// A host that lags is still at the version before when the others are past the change.
#[test]
fn late_data_of_the_version_before_join_what_stayed_the_same() {
    let schema = Arc::new(schema());
    let plan = |set| Arc::new(Plan::new(set, schema.clone(), &Limits::default()));
    let first = plan(set(1, &[(BEFORE, 1)], &[]));
    let mut root = RootStage::new(first.clone());
    root.close(&frame(1, 4), partial(&first, 0, 0, &events(4)));
    let second = plan(set(2, &[(AFTER, 2)], &[("reset", 1)]));
    root.update(second.clone());
    root.close(&frame(3, 4), partial(&second, 0, 4, &events(4)));
    assert!(root.late(1, &frame(2, 4), partial(&first, 0, 8, &events(4))));
    assert!(!root.late(7, &frame(2, 4), partial(&first, 0, 12, &events(4))), "of no version known");
    let published = root.close(&frame(4, 0), Partial::empty());
    let said =
        ["kept", "upstream", "reset"].map(|n| output(&published, &format!("g/{n}"), "value"));
    assert_eq!(said, [18.0, 6.0, 6.0].map(real));
    assert_eq!(output(&published, "g/a_new_one", "value"), int(4));
    let events = |topic| published.iter().find(|p| p.topic == topic).unwrap().window_truth.events;
    assert_eq!((events("g/upstream"), events("g/a_new_one")), (4, 4));
}

#[test]
fn equal_nodes_are_computed_once_but_keep_their_own_state() {
    let a = r#"{"name": "a", "nodes": {"r": {"op": "roi", "in": "image", "x": [0, 2]}, "s": {"op": "sum", "in": "r"}}}"#;
    let b = r#"{"name": "b", "nodes": {"q": {"op": "roi", "x": [0, 2], "in": "image"}, "s": {"op": "sum", "in": "q"}}}"#;
    let plan =
        Arc::new(Plan::new(set(1, &[(a, 1), (b, 1)], &[]), Arc::new(schema()), &Limits::default()));
    assert!(plan.errors().is_empty());
    assert!(format!("{plan:?}").matches("Step { ordinals").count() == 1);
    let mut root = RootStage::new(plan.clone());
    let published = root.close(&frame(1, 3), partial(&plan, 0, 0, &events(3)));
    for topic in ["a/s", "b/s"] {
        assert_eq!(numbers(&output(&published, topic, "value")), [3.0; 4]);
    }
}

#[test]
fn the_set_travels_as_json() {
    let text = r#"{"name": "g", "nodes": {"n": {"op": "gate", "in": {"b": "scalar", "a": "flag"}, "when": "a", "window": null}}, "publish": ["n.a"]}"#;
    let mut sent = (*set(3, &[(text, 2)], &[("n", 4)])).clone();
    sent.files.insert("ab12".into(), (0..=255).collect());
    assert_eq!(GraphSet::from_json_bytes(&sent.to_json_bytes()).unwrap(), sent);
    assert!(GraphSet::from_json_bytes(b"{").is_err());
}

#[test]
fn checking_needs_no_schema() {
    let good = r#"{"name": "g", "nodes": {
        "a": {"op": "mean", "in": "some:unknown:field"}, "b": {"op": "array_stat", "in": "a.value"}}}"#;
    assert!(check(&GraphSpec::parse(good).unwrap()).is_empty());
    let bad = r#"{"name": "g", "nodes": {
        "a": {"op": "mean", "in": "some:unknown:field"},
        "b": {"op": "expr", "in": {"x": "a.valu", "y": "z"}, "expr": "x"}}, "publish": ["c"]}"#;
    let errors = check(&GraphSpec::parse(bad).unwrap());
    let text: Vec<String> = errors.iter().map(ToString::to_string).collect();
    assert_eq!(text.len(), 2, "{text:?}");
    assert!(text[0].contains("no output \"valu\"; did you mean \"value\""));
    assert!(text[1].contains("parameter \"publish\"") && text[1].contains("no node \"c\""));
}

#[test]
fn large_graphs_plan() {
    let mut nodes = serde_json::Map::new();
    nodes.insert("n0".into(), json!({"op": "threshold", "in": "image", "below": 1}));
    for i in 1..100 {
        let input = format!("n{}", i - 1);
        nodes.insert(format!("n{i}"), json!({"op": "threshold", "in": input, "below": i}));
        nodes.insert(format!("s{i}"), json!({"op": "sum", "in": format!("n{i}")}));
    }
    let graph = json!({"name": "big", "nodes": nodes}).to_string();
    let published = once(&graph, &events(5));
    assert_eq!(published.len(), 99);
}

#[test]
fn memory_is_refused_beforehand_and_in_total() {
    let limits = Limits { state_bytes: 10_000, ..Limits::default() };
    let text = r#"{"name": "g", "nodes": {
        "a": {"op": "hist", "in": "scalar", "bins": 300, "range": [0, 1]},
        "b": {"op": "hist", "in": "scalar", "bins": 300, "range": [0, 1]}}}"#;
    let plan = Plan::new(set(1, &[(text, 1)], &[]), Arc::new(schema()), &limits);
    let off: Vec<bool> = plan.nodes().iter().map(|n| n.off.is_some()).collect();
    assert_eq!(off, [false, true]);
    assert!(plan.nodes()[0].state_bytes > 7000);
    assert!(plan.errors()[0].to_string().contains("MiB"), "{}", plan.errors()[0]);
}

#[test]
fn tables_are_charged_as_states_are() {
    let image = || Schema { fields: vec![field("image", DType::U16, Some(&[1000, 1000]), 2)] };
    let (center, bins) = (json!([500, 500]), json!([10, 10]));
    let corner = json!([{"x": [0, 2], "y": [0, 2]}]);
    let nodes = [
        (json!({"op": "azimuthal", "center": center}), 4),
        (json!({"op": "azimuthal", "center": center, "split": "bbox"}), 4 + 8 * 5),
        (json!({"op": "polar", "center": center, "radius": [0, 9], "bins": bins}), 4),
        (json!({"op": "mask", "rectangles": corner}), 1),
        (json!({"op": "calibrate", "common_mode": "rows"}), 4),
        (json!({"op": "assemble"}), 4),
        (json!({"op": "peakfinder8", "center": center}), 25),
    ];
    for (mut node, per_pixel) in nodes {
        node["in"] = json!("image");
        let text = json!({"name": "g", "nodes": {"n": node}}).to_string();
        let plan = |state_bytes| {
            let limits = Limits { state_bytes, ..Limits::default() };
            Plan::new(set(1, &[(&text, 1)], &[]), Arc::new(image()), &limits)
        };
        let bytes = plan(1 << 30).nodes()[0].state_bytes;
        let least = per_pixel * 1_000_000;
        assert!((least..least + 200_000).contains(&bytes), "{text}: {bytes}");
        assert!(plan(bytes).errors().is_empty());
        let refused = plan(bytes - 1);
        assert!(refused.errors()[0].to_string().contains("MiB"), "{}", refused.errors()[0]);
    }
}

#[test]
fn what_is_known_only_when_events_come_is_held_to_what_is_left() {
    // Shapes are unknown beforehand: nothing is charged, the second is switched off while running.
    let limits = Limits { state_bytes: 10_000, ..Limits::default() };
    let text = r#"{"name": "g", "nodes": {
        "a": {"op": "sum", "in": "waveform"}, "b": {"op": "sum", "in": "waveform"}}}"#;
    let plan = Arc::new(Plan::new(set(1, &[(text, 1)], &[]), Arc::new(schema()), &limits));
    assert!(plan.errors().is_empty() && plan.nodes().iter().all(|n| n.state_bytes == 0));
    let event = |time| Event { waveform: Some(vec![1; 500]), ..only(time, 0.0) };
    let mut root = RootStage::new(plan.clone());
    for beat in 1..4 {
        let part = carried(partial(&plan, 0, beat * 10, &[event(beat * PERIOD)]));
        let published = root.close(&frame(beat, 1), part);
        let error =
            |topic: &str| published.iter().find(|p| p.topic == topic).unwrap().error.clone();
        assert_eq!(error("g/a"), None);
        assert!(error("g/b").unwrap().contains("too large"), "{:?}", error("g/b"));
    }
}

#[test]
fn a_list_is_charged_what_it_can_grow_to() {
    // With one event in it a list of ten takes little.
    let limits = Limits { state_bytes: 100_000, ..Limits::default() };
    let nodes: Vec<String> =
        (0..4).map(|n| format!(r#""n{n}": {{"op": "last", "in": "waveform", "n": 10}}"#)).collect();
    let text = format!(r#"{{"name": "g", "nodes": {{{}}}}}"#, nodes.join(", "));
    let plan = Arc::new(Plan::new(set(1, &[(&text, 1)], &[]), Arc::new(schema()), &limits));
    assert!(plan.errors().is_empty() && plan.nodes().iter().all(|n| n.state_bytes == 0));
    let event = |time| Event { waveform: Some(vec![1; 500]), ..only(time, 0.0) };
    let part = carried(partial(&plan, 0, 0, &[event(PERIOD)]));
    let published = RootStage::new(plan.clone()).close(&frame(1, 1), part);
    let off =
        published.iter().filter(|p| p.error.as_ref().is_some_and(|e| e.contains("too large")));
    let off = off.count();
    assert!((1..4).contains(&off), "{off} of {} are off", published.len());
}

#[test]
fn costs_are_measured_with_the_clock_given() {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NOW: AtomicU64 = AtomicU64::new(0);
    let plan = good_plan(r#"{"name": "g", "nodes": {"m": {"op": "mean", "in": "scalar"}}}"#);
    let mut worker = WorkerStage::new(plan.clone());
    worker.set_clock(|| NOW.fetch_add(7, Ordering::Relaxed));
    assert!(worker.is_empty());
    worker.absorb(&Unit::new(0, 0, &events(3)).batch());
    worker.absorb(&Unit::new(0, 3, &events(3)).batch());
    assert!(!worker.is_empty());
    let part = worker.take();
    assert!(worker.is_empty());
    assert_eq!((part.reports[0].cost_ns, part.reports[0].errors), (14, 0));
}

#[test]
fn held_fields_are_constant_columns() {
    let mut schema = Schema::default();
    schema.fields.push(field("motor", DType::F64, None, 0));
    schema.fields.push(field("x", DType::I32, None, 0));
    let graph = r#"{"name": "g", "nodes": {
        "mean": {"op": "mean", "in": "motor"},
        "scan": {"op": "profile", "in": {"key": "motor", "value": "x"}, "bins": 2, "range": [0, 2]},
        "pair": {"op": "buffer", "in": {"m": "motor", "x": "x"}}}}"#;
    let plan = plan_with(graph, schema);
    assert!(plan.errors().is_empty());
    let motor = Value::Scalar(Scalar::F64(1.5));
    let x = [1i32, 2, 3, 4];
    let mut worker = WorkerStage::new(plan.clone());
    worker.absorb(&Batch {
        host: 0,
        belonging: Default::default(),
        first_sequence: 0,
        timestamps: &[1, 2, 3, 4],
        columns: vec![
            Column::Constant(&motor),
            Column::Scalars {
                dtype: DType::I32,
                data: bytemuck::cast_slice(&x),
                present: Some(&[1, 1, 0, 1]),
            },
        ],
    });
    let published = RootStage::new(plan).close(&frame(1, 4), worker.take());
    assert_eq!(output(&published, "g/mean", "value"), real(1.5));
    assert_eq!(output(&published, "g/mean", "count"), int(4));
    assert_eq!(numbers(&output(&published, "g/scan", "count")), [0.0, 3.0]);
    assert_eq!(numbers(&output(&published, "g/pair", "m")), [1.5; 3]);
    assert_eq!(numbers(&output(&published, "g/pair", "x")), [1.0, 2.0, 4.0]);
}

#[test]
fn sums_of_integers_are_exact_beyond_their_type() {
    let mut schema = Schema::default();
    schema.fields.push(field("u", DType::U64, None, 0));
    schema.fields.push(field("img", DType::U64, Some(&[2]), 1));
    let plan = plan_with(
        r#"{"name": "g", "nodes": {"u": {"op": "sum", "in": "u"}, "img": {"op": "mean", "in": "img"}}}"#,
        schema,
    );
    let big = [u64::MAX, u64::MAX, u64::MAX - 1];
    let image = ami_graph::data::value::Array::from_elements(&[2], &[u64::MAX, 1]);
    let images = vec![Some(image); 3];
    let close = |n: usize| {
        let mut worker = WorkerStage::new(plan.clone());
        worker.absorb(&Batch {
            host: 0,
            belonging: Default::default(),
            first_sequence: 0,
            timestamps: &[1, 2, 3][..n],
            columns: vec![
                Column::Scalars {
                    dtype: DType::U64,
                    data: bytemuck::cast_slice(&big[..n]),
                    present: None,
                },
                arrays(DType::U64, &images[..n]),
            ],
        });
        RootStage::new(plan.clone()).close(&frame(1, n as u64), carried(worker.take()))
    };
    assert_eq!(output(&close(1), "g/u", "value"), Value::Scalar(Scalar::U64(u64::MAX)));
    let sum = 3.0 * 18446744073709551615.0;
    assert_eq!(output(&close(3), "g/u", "value"), real(sum));
    assert_eq!(numbers(&output(&close(3), "g/img", "value")), [18446744073709551615.0, 1.0]);
}

/// What every event is, beside its fields; integers exactly.
#[test]
fn events_know_when_they_happened_and_what_they_belong_to() {
    let mut schema = Schema::default();
    schema.fields.push(field("timing:raw:pulseId", DType::U64, None, 0));
    let graph = json!({"name": "g", "nodes": {
        "all": {"op": "last", "in": {
            "ns": "event.timestamp_ns", "heartbeat": "event.heartbeat", "run": "event.run",
            "host": "event.host", "pulse": "event.pulse_id", "seconds": "event.timestamp"}},
        "step": {"op": "last", "in": "event.step"},
        "by_host": {"op": "by_key", "in": ["event.host", "event.timestamp"], "stat": "max"},
        "apart": {"op": "expr", "in": {"a": "event.timestamp_ns", "b": "event.pulse_id"}, "expr": "a - b"},
        "least": {"op": "min", "in": "apart"}}});
    let plan = plan_with(&graph.to_string(), schema);
    assert!(plan.errors().is_empty(), "{}", plan.errors()[0]);
    let first = 1_790_000_000_123_456_789u64;
    let pulses = [first - 7, first - 5];
    let close = |step: Option<u32>| {
        let mut worker = WorkerStage::new(plan.clone());
        worker.absorb(&Batch {
            host: 9,
            belonging: Belonging { heartbeat: 17_900_000_001, run: 12, step, host: "daq1" },
            first_sequence: 0,
            timestamps: &[first, first + 1],
            columns: vec![Column::Scalars {
                dtype: DType::U64,
                data: bytemuck::cast_slice(&pulses),
                present: None,
            }],
        });
        RootStage::new(plan.clone()).close(&frame(1, 2), carried(worker.take()))
    };
    let published = close(Some(4));
    let of = |name: &str| output(&published, "g/all", name);
    assert_eq!(of("ns"), Value::Scalar(Scalar::U64(first + 1)));
    assert_eq!(of("pulse"), Value::Scalar(Scalar::U64(first - 5)));
    assert_eq!(of("heartbeat"), Value::Scalar(Scalar::U64(17_900_000_001)));
    assert_eq!((of("run"), of("host")), (int(12), Value::Str("daq1".into())));
    assert_eq!(of("seconds"), real((first + 1) as f64 / 1e9));
    assert_eq!(output(&published, "g/step", "value"), int(4));
    assert_eq!(output(&published, "g/least", "value"), Value::Scalar(Scalar::U64(6)));
    assert_eq!(output(&published, "g/by_host", "labels"), Value::Str("[\"daq1\"]".into()));
    // Before the first step there is none.
    assert!(!has_output(&close(None), "g/step", "value"));
}

#[test]
fn a_source_without_a_pulse_id_says_so() {
    let graph = r#"{"name": "g", "nodes": {"n": {"op": "max", "in": "event.pulse_id"}, "m": {"op": "max", "in": "event.runs"}}}"#;
    let plan = plan(graph);
    let texts: Vec<String> = plan.errors().iter().map(ToString::to_string).collect();
    assert!(
        texts.iter().any(|t| t.contains("no pulse id") && t.contains("event.timestamp_ns")),
        "{texts:?}"
    );
    assert!(texts.iter().any(|t| t.contains("did you mean \"event.run\"")), "{texts:?}");
}

/// Names that ops had before still work, and the editor is told.
#[test]
fn former_names_of_ops_are_accepted_with_a_warning() {
    let parse = |op: &str| {
        let text =
            format!(r#"{{"name": "g", "nodes": {{"n": {{"op": "{op}", "in": ["x", "y"]}}}}}}"#);
        GraphSpec::parse(&text).unwrap()
    };
    for (old, new) in ami_graph::ops::RENAMED {
        assert!(OPS.iter().all(|op| op.doc().name != old), "{old} is still in the table");
        assert_eq!(ami_graph::ops::find(old).unwrap().doc().name, new);
        assert_eq!(parse(new).outdated(), [""; 0]);
        let told = parse(old).outdated();
        assert!(told.len() == 1 && told[0].contains(old) && told[0].contains(new), "{told:?}");
    }
    assert!(check(&parse("correlate")).is_empty());
}

/// An edit that only writes the new name keeps what was accumulated.
#[test]
fn a_new_name_of_an_op_keeps_the_state() {
    let text = |op: &str| {
        format!(
            r#"{{"name": "g", "nodes": {{"n": {{"op": "{op}", "in": ["scalar", "scalar"]}}}}}}"#
        )
    };
    let plan = |version, op: &str| {
        let set = set(version, &[(&text(op), version)], &[]);
        Arc::new(Plan::new(set, Arc::new(schema()), &Limits::default()))
    };
    let (before, after) = (plan(1, "correlate"), plan(2, "linregress"));
    let mut root = RootStage::new(before.clone());
    root.close(&frame(1, 4), partial(&before, 0, 0, &events(4)));
    root.update(after.clone());
    let published = root.close(&frame(2, 4), partial(&after, 0, 4, &events(4)));
    assert_eq!(output(&published, "g/n", "count"), int(8));
}
