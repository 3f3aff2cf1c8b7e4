//! Law 1 over real processes: every reduction of the table in every window, on data of known
//! content in ragged units, gives the same with 1, 2, 3 and 7 workers.

use ami_graph::ops::{Class, OPS};
use ami_tests::System;
use ami_tests::client::Feature;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

const EVENTS: i64 = 3300;

/// Two whole runs of five steps and a piece of a third; runs and steps end inside heartbeats.
const SOURCE: &str = r#"
seed = 11
rate_hz = 1000.0
pace = "max"
events = 3300
events_per_step = 290
steps = 5

[[held]]
name = "motor"
kind = "scan"
values = [10.0, 0.0, 2.5, 7.5, 5.0]

[[held]]
name = "shutter"
kind = "enum"
labels = { closed = 0, open = 1 }
values = ["open", "closed"]

[[field]]
name = "n"
kind = "counter"

[[field]]
name = "x"
kind = "normal"
mean = 3.0
absent = 0.1

[[field]]
name = "y"
kind = "normal"
follow = "x"
gain = 2.0
sigma = 0.5

[[field]]
name = "flag"
kind = "cycle"
values = [0, 1, 1]
dtype = "bool"
absent = 0.05

[[field]]
name = "code"
kind = "cycle"
values = [5, -3, 0, 5, 7]
dtype = "i16"

[[field]]
name = "sample"
kind = "string"
values = ["LaB6", "Ag", "empty"]

[[field]]
name = "wave"
kind = "waveform"
length = 6
baseline = 2.0
noise = 1.0
absent = 0.2

[[field]]
name = "list"
kind = "ragged"
min = 0
max = 5

[[field]]
name = "image"
kind = "image"
shape = [4, 6]
pedestal = 20.0
noise = 3.0
absent = 0.1
"#;

/// Uses of reductions beside the examples in the table.
fn variants() -> Vec<Value> {
    vec![
        json!({"op": "count", "in": "sample"}),
        json!({"op": "sum", "in": "code"}),
        json!({"op": "stats", "in": "x"}),
        json!({"op": "hist", "in": "image", "bins": 16, "range": [0, 64]}),
        json!({"op": "hist", "in": "list"}),
        json!({"op": "hist", "in": {"value": "code", "weights": "x"}, "bins": 5, "range": [-5, 5]}),
        json!({"op": "hist2d", "in": ["x", "y"], "bins": [9, 4], "range": [[0, 6], [0, 12]]}),
        json!({"op": "profile", "in": {"key": "x", "value": "image"}, "bins": 3, "range": [0, 6]}),
        json!({"op": "by_key", "in": ["sample", "x"]}),
        json!({"op": "by_key", "in": ["shutter", "wave"], "stat": "std"}),
        json!({"op": "by_key", "in": ["n", "x"], "limit": 7}),
        json!({"op": "by_key", "in": ["code", "image"], "stat": "max"}),
        json!({"op": "scan", "in": "n"}),
        json!({"op": "scan", "in": "image", "by": "motor", "stat": "sum"}),
        json!({"op": "unique", "in": "sample"}),
        json!({"op": "unique", "in": "shutter"}),
        json!({"op": "quantile", "in": "list", "q": [0, 0.3, 1]}),
        json!({"op": "last", "in": ["n", "x", "sample"]}),
        json!({"op": "last", "in": ["n", "x"], "n": 11}),
        json!({"op": "sample", "in": ["n", "wave"], "n": 20}),
        json!({"op": "buffer", "in": ["code", "flag"], "n": 6, "unique": true, "with_time": true}),
        json!({"op": "ewma", "in": "image", "tau": 0.2}),
        json!({"op": "correlate", "in": ["x", "y"]}),
        json!({"op": "covariance", "in": {"x": "wave", "partial": "y"}}),
        json!({"op": "rate", "in": "list"}),
    ]
}

/// An example of the table on this source's fields.
fn on_this_source(example: &str) -> Value {
    let names = [("scalar", "x"), ("flag", "flag"), ("waveform", "wave"), ("image", "image")];
    let renamed = |value: &mut Value| {
        if let Some((_, name)) = names.iter().find(|(name, _)| value == name) {
            *value = json!(name);
        }
    };
    let mut node: Value = serde_json::from_str(example).unwrap();
    match &mut node["in"] {
        Value::Object(inputs) => inputs.values_mut().for_each(renamed),
        Value::Array(inputs) => inputs.iter_mut().for_each(renamed),
        one => renamed(one),
    }
    node
}

fn graph() -> Value {
    let windows = [
        json!("heartbeat"),
        json!("run"),
        json!("step"),
        json!({"heartbeats": 3}),
        json!({"seconds": 0.45}),
        json!({"events": 333}),
    ];
    let reductions = OPS.iter().map(|op| op.doc()).filter(|doc| doc.class == Class::Reduction);
    let mut uses: Vec<Value> = reductions.map(|doc| on_this_source(doc.example)).collect();
    uses.extend(variants());
    let mut nodes = Map::new();
    for (u, mut node) in uses.into_iter().enumerate() {
        for (w, window) in windows.iter().enumerate() {
            node["window"] = window.clone();
            let op = node["op"].as_str().unwrap();
            nodes.insert(format!("{op}_{u}_{w}"), node.clone());
        }
    }
    nodes.insert("all".into(), json!({"op": "count", "in": "n", "window": {"events": 1_000_000}}));
    nodes.insert(
        "open".into(),
        json!({"op": "gate", "in": "n", "with": {"s": "shutter"}, "when": "s == \"open\""}),
    );
    nodes.insert("opened".into(), json!({"op": "count", "in": "open"}));
    json!({"name": "g", "nodes": nodes})
}

/// Every feature's last value.
fn last_values(workers: usize) -> BTreeMap<String, Feature> {
    let file = tempfile::Builder::new().suffix(".toml").tempfile().unwrap();
    std::fs::write(file.path(), SOURCE).unwrap();
    let source = format!("sim:{}", file.path().display());
    // Units of a prime number of events: no heartbeat and no step is a whole number of them.
    let system = System::of(&source).workers(workers).set("ventilator.chunk_events=23").start();
    system.apply(&graph());
    system.drained();
    let all = system.get_when("g/all", |f| f.value("value") == EVENTS as f64);
    let heartbeat = all.int("heartbeat");
    let marker = system.get_when("g/@heartbeat", |f| f.int("heartbeat") == heartbeat);
    let topics = marker.header["topics"].as_object().unwrap().keys();
    let values = topics.map(|topic| (topic.clone(), system.get(topic))).collect();
    assert!(system.stop());
    values
}

/// 1e-12 of the magnitudes that were added (those here are below 30), or of the number.
fn assert_close(a: f64, b: f64, events: i64, what: &str) {
    let tolerance = 1e-12 * (30.0 * events as f64).max(a.abs());
    let same = a == b || (a.is_nan() && b.is_nan());
    assert!(same || (a - b).abs() <= tolerance, "{what}: {a} and {b}");
}

fn assert_same(one: &Feature, other: &Feature, what: &str) {
    let events = one.int("window_events");
    assert_eq!(one.header["arrays"], other.header["arrays"], "{what}");
    let (a, b) = (&one.header["values"], &other.header["values"]);
    for (name, value) in a.as_object().into_iter().flatten() {
        match (value.as_f64().filter(|_| value.is_f64()), b[name].as_f64()) {
            (Some(x), Some(y)) => assert_close(x, y, events, &format!("{what} {name}")),
            _ => assert_eq!(value, &b[name], "{what} {name}"),
        }
    }
    for array in one.header["arrays"].as_array().into_iter().flatten() {
        let name = array["name"].as_str().unwrap();
        if array["dtype"] == "<f8" {
            for (x, y) in one.f64s(name).into_iter().zip(other.f64s(name)) {
                assert_close(x, y, events, &format!("{what} {name}"));
            }
        } else {
            assert!(one.arrays[name] == other.arrays[name], "{what} {name}");
        }
    }
    for key in ["run", "step", "heartbeat", "window", "window_events", "window_complete"] {
        assert_eq!(one.header[key], other.header[key], "{what} {key}");
    }
    assert_eq!(one.header.get("error"), other.header.get("error"), "{what}");
}

/// The third run: events 2900 to 3299, steps of 290 and 110.
fn assert_known(values: &BTreeMap<String, Feature>) {
    let of = |op: &str, input: Value, window: usize| {
        let graph = graph();
        let nodes = graph["nodes"].as_object().unwrap();
        let suffix = format!("_{window}");
        let found = nodes.iter().find(|(name, node)| {
            node["op"] == op && node["in"] == input && name.ends_with(&suffix)
        });
        values[&format!("g/{}", found.unwrap().0)].clone()
    };
    let scan = of("scan", json!("n"), 1);
    assert_eq!(scan.f64s("keys"), [0.0, 10.0]);
    assert_eq!(scan.i64s("count"), [110, 290]);
    let mean = |first: f64, count: f64| first + (count - 1.0) / 2.0;
    assert_eq!(scan.f64s("mean"), [mean(3190.0, 110.0), mean(2900.0, 290.0)]);
    let samples = of("unique", json!("sample"), 1);
    assert_eq!(samples.header["values"]["labels"], r#"["Ag","LaB6","empty"]"#);
    assert_eq!(samples.i64s("counts").iter().sum::<i64>(), 400);
    let shutter = of("unique", json!("shutter"), 1);
    assert_eq!(shutter.header["values"]["labels"], r#"["open"]"#);
    assert_eq!(values["g/opened"].value("value"), 400.0);
    let codes = of("sum", json!("code"), 2);
    assert_eq!(codes.value("value"), f64::from(110 / 5 * 14));
}

#[test]
fn every_reduction_in_every_window_is_the_same_for_any_number_of_workers() {
    let one = last_values(1);
    assert!(one.len() > 250, "{}", one.len());
    assert_known(&one);
    for workers in [2, 3, 7] {
        let other = last_values(workers);
        assert_eq!(one.keys().collect::<Vec<_>>(), other.keys().collect::<Vec<_>>());
        for (topic, feature) in &one {
            assert_same(feature, &other[topic], &format!("{topic} with {workers} workers"));
        }
    }
}
