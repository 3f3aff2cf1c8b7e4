//! Law 1 over real processes: every reduction of the table in every window, on data of known
//! content, gives the same with 1, 2, 3 and 7 workers, however the events are cut into units, and
//! while workers stand still and die.

use ami_graph::op::doc::Class;
use ami_graph::ops::OPS;
use ami_tests::client::Feature;
use ami_tests::{System, client};
use rustix::process::Signal;
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
name = "step_value"
kind = "scan"
values = [3, 1, 1, 2, 3]

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
        json!({"op": "scan", "in": "n", "by": "motor"}),
        json!({"op": "scan", "in": "image", "by": "motor", "stat": "sum"}),
        json!({"op": "unique", "in": "sample"}),
        json!({"op": "unique", "in": "shutter"}),
        json!({"op": "quantile", "in": "list", "q": [0, 0.3, 1]}),
        json!({"op": "last", "in": ["n", "x", "sample"]}),
        json!({"op": "last", "in": ["n", "x"], "n": 11}),
        json!({"op": "sample", "in": ["n", "wave"], "n": 20}),
        json!({"op": "buffer", "in": ["code", "flag"], "n": 6, "unique": true, "with_time": true}),
        json!({"op": "ewma", "in": "image", "tau": 0.2}),
        json!({"op": "linregress", "in": ["x", "y"]}),
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

/// One way to share the work.
struct Split {
    workers: usize,
    /// Most events of a unit: with a prime number no heartbeat and no step is whole units.
    unit: usize,
    /// Units that a worker may have on hand.
    credits: usize,
}

impl Split {
    fn system(&self, source: &str, set: &[&str]) -> System {
        let mut builder = System::of(source)
            .workers(self.workers)
            .set(&format!("ventilator.chunk_events={}", self.unit))
            .set(&format!("ventilator.credits={}", self.credits))
            // Hundreds of windows; what the planner charges is the worst case.
            .set("manager.state_bytes=8589934592");
        for member in ["worker", "collector", "root"] {
            builder = builder.set(&format!("{member}.memory_max=34359738368"));
        }
        set.iter().fold(builder, |builder, set| builder.set(set)).start()
    }
}

/// What was published: by topic, oldest first.
type Published = BTreeMap<String, Vec<Feature>>;

fn source() -> tempfile::NamedTempFile {
    let file = tempfile::Builder::new().suffix(".toml").tempfile().unwrap();
    std::fs::write(file.path(), SOURCE).unwrap();
    file
}

fn all_at(system: &System, events: i64) {
    system.get_when("g/all", |f| f.value("value") >= events as f64);
}

/// All values of all features, when all events are in them.
fn published(system: System, events: i64) -> Published {
    system.drained();
    all_at(&system, events);
    let heartbeat = system.get("g/all").int("heartbeat");
    system.get_when("g/@heartbeat", |f| f.int("heartbeat") == heartbeat);
    let address = system.address("store.query");
    let markers = client::history(&address, "g/@heartbeat");
    let mut published = Published::new();
    for marker in &markers {
        for topic in marker.header["topics"].as_object().unwrap().keys() {
            published.entry(topic.clone()).or_default();
        }
    }
    for (topic, values) in &mut published {
        *values = client::history(&address, topic);
        let frames = markers.iter().filter_map(|m| m.header["topics"][topic].as_i64());
        let seqs: Vec<i64> = values.iter().map(|f| f.int("seq")).collect();
        assert_eq!(seqs, frames.collect::<Vec<_>>(), "{topic}");
    }
    published.insert("g/@heartbeat".into(), markers);
    assert!(system.stop());
    published
}

/// Whether all bits are the same for any split; float sums are to 1e-12 of what was added.
fn is_exact(op: &str) -> bool {
    match op {
        "count" | "min" | "max" | "last" | "buffer" | "sample" | "unique" | "quantile" | "rate"
        | "per_frame" => true,
        "sum" | "mean" | "stats" | "profile" | "hist" | "hist2d" | "by_key" | "scan" | "ewma"
        | "linregress" | "covariance" => false,
        other => panic!("say in is_exact() which law holds for {other:?}"),
    }
}

/// 1e-12 of the magnitudes that were added (those here are below 30), or of the number.
fn assert_close(a: f64, b: f64, events: i64, what: &str) {
    let tolerance = 1e-12 * (30.0 * events as f64).max(a.abs());
    let same = a == b || (a.is_nan() && b.is_nan());
    assert!(same || (a - b).abs() <= tolerance, "{what}: {a} and {b}");
}

fn assert_same(one: &Feature, other: &Feature, split: &str) {
    let what = format!("{} of heartbeat {} {split}", one.header["topic"], one.header["heartbeat"]);
    let without = |feature: &Feature| {
        let mut header = feature.header.as_object().unwrap().clone();
        header.retain(|key, _| !["values", "units"].contains(&key.as_str()));
        header
    };
    assert_eq!(without(one), without(other), "{what}");
    let exact = one.header["op"].as_str().is_none_or(is_exact);
    if exact {
        assert_eq!(one.header["values"], other.header["values"], "{what}");
        assert!(one.arrays == other.arrays, "{what}");
        return;
    }
    let events = one.int("window_events");
    let (a, b) = (&one.header["values"], &other.header["values"]);
    assert_eq!(a.as_object().unwrap().len(), b.as_object().unwrap().len(), "{what}");
    for (name, value) in a.as_object().unwrap() {
        match (value.as_f64().filter(|_| value.is_f64()), b[name].as_f64()) {
            (Some(x), Some(y)) => assert_close(x, y, events, &format!("{what} {name}")),
            _ => assert_eq!(value, &b[name], "{what} {name}"),
        }
    }
    for array in one.header["arrays"].as_array().unwrap() {
        let name = array["name"].as_str().unwrap();
        if array["dtype"] == "<f8" {
            for (x, y) in one.f64s(name).into_iter().zip(other.f64s(name)) {
                assert_close(x, y, events, &format!("{what} {name}"));
            }
        } else {
            assert!(one.arrays[name] == other.arrays[name], "{what} {name}");
        }
    }
}

fn assert_all_same(one: &Published, other: &Published, split: &str) {
    assert_eq!(one.keys().collect::<Vec<_>>(), other.keys().collect::<Vec<_>>(), "{split}");
    for (topic, values) in one {
        assert_eq!(values.len(), other[topic].len(), "{topic} {split}");
        values.iter().zip(&other[topic]).for_each(|(a, b)| assert_same(a, b, split));
    }
}

/// Workers that did at least one unit.
fn busy(system: &System) -> usize {
    let status = system.status();
    let members = status["members"].as_array().unwrap();
    let units = |m: &&Value| m["metrics"]["ami_units_total"].as_f64().is_some_and(|n| n > 0.0);
    members.iter().filter(|m| m["role"] == "worker").filter(units).count()
}

/// The third run: events 2900 to 3299, steps of 290 and 110.
fn assert_known(published: &Published) {
    let graph = graph();
    let last = |node: Value, window: usize| {
        let suffix = format!("_{window}");
        let found = graph["nodes"].as_object().unwrap().iter().find(|(name, other)| {
            let given = node.as_object().unwrap();
            name.ends_with(&suffix) && given.iter().all(|(key, value)| other[key] == *value)
        });
        published[&format!("g/{}", found.unwrap().0)].last().unwrap()
    };
    let mean = |first: f64, count: f64| first + (count - 1.0) / 2.0;
    let (first, second) = (mean(2900.0, 290.0), mean(3190.0, 110.0));
    for (by, keys) in [(Value::Null, [1.0, 3.0]), (json!("motor"), [0.0, 10.0])] {
        let scan = last(json!({"op": "scan", "in": "n", "by": by}), 1);
        assert_eq!(scan.f64s("keys"), keys);
        assert_eq!(scan.i64s("count"), [110, 290]);
        assert_eq!(scan.f64s("mean"), [second, first]);
    }
    let samples = last(json!({"op": "unique", "in": "sample"}), 1);
    assert_eq!(samples.header["values"]["labels"], r#"["Ag","LaB6","empty"]"#);
    assert_eq!(samples.i64s("counts").iter().sum::<i64>(), 400);
    let shutter = last(json!({"op": "unique", "in": "shutter"}), 1);
    assert_eq!(shutter.header["values"]["labels"], r#"["open"]"#);
    assert_eq!(published["g/opened"].last().unwrap().value("value"), 400.0);
    let codes = last(json!({"op": "sum", "in": "code"}), 2);
    assert_eq!(codes.value("value"), f64::from(110 / 5 * 14));
}

#[test]
fn every_reduction_in_every_window_is_the_same_for_any_split() {
    let file = source();
    let url = format!("sim:{}", file.path().display());
    let run = |split: &Split| {
        let system = split.system(&url, &[]);
        system.apply(&graph());
        system.drained();
        all_at(&system, EVENTS);
        let least = split.workers.min(2);
        ami_tests::until("work for several workers", || (busy(&system) >= least).then_some(()));
        published(system, EVENTS)
    };
    let one = run(&Split { workers: 1, unit: 1024, credits: 8 });
    let graph = graph();
    let nodes = graph["nodes"].as_object().unwrap().keys().filter(|node| *node != "open");
    let missing: Vec<&String> = nodes.filter(|n| !one.contains_key(&format!("g/{n}"))).collect();
    assert!(missing.is_empty(), "{missing:?}");
    let events: i64 = one["g/@heartbeat"].iter().map(|f| f.int("events")).sum();
    assert_eq!(events, EVENTS);
    assert_known(&one);
    for split in [
        Split { workers: 2, unit: 23, credits: 1 },
        Split { workers: 3, unit: 7, credits: 2 },
        Split { workers: 7, unit: 41, credits: 1 },
    ] {
        assert_all_same(&one, &run(&split), &format!("with {} workers", split.workers));
    }
    assert_all_same(&one, &disturbed(file.path()), "with workers that stand still and die");
}

/// What was published live, with the recording of it replayed.
fn replayed(options: &str, events: i64) {
    let file = source();
    let split = Split { workers: 2, unit: 23, credits: 2 };
    let live = split.system(&format!("sim:{}{options}", file.path().display()), &[]);
    let dir = tempfile::tempdir().unwrap();
    let recording = dir.path().join("run.xtc2");
    let mut recorder = live.record(&recording, &[]);
    live.apply(&graph());
    let live = published(live, events);
    assert!(recorder.wait().unwrap().success());
    let replay = split.system(&format!("xtc2:{}", recording.display()), &[]);
    replay.apply(&graph());
    assert_all_same(&live, &published(replay, events), &format!("in the replay {options}"));
}

#[test]
fn every_reduction_in_every_window_is_the_same_in_a_replay() {
    replayed("", EVENTS);
}

#[test]
fn every_reduction_in_every_window_is_the_same_in_a_replay_of_loops() {
    replayed("?loop=2", 2 * EVENTS);
}

/// Two hosts, each with a source of its own; the root waits for both.
fn of_two_hosts(sources: &[String; 2], recordings: Option<&[std::path::PathBuf; 2]>) -> Published {
    let split = Split { workers: 2, unit: 23, credits: 2 };
    let set = ["root.hosts=[\"testhost\",\"other\"]", "root.late_after_ms=600000"];
    let mut system = split.system(&sources[0], &set);
    system.spawn_host("other", &sources[1]);
    let recorders = recordings.map(|[a, b]| [system.record(a, &[]), system.record_at("other", b)]);
    system.apply(&graph());
    let published = published(system, 2 * EVENTS);
    for mut recorder in recorders.into_iter().flatten() {
        assert!(recorder.wait().unwrap().success());
    }
    published
}

#[test]
fn every_reduction_in_every_window_is_the_same_in_a_replay_on_two_hosts() {
    let file = source();
    let dir = tempfile::tempdir().unwrap();
    let recordings = ["a", "b"].map(|name| dir.path().join(format!("{name}.xtc2")));
    let sim = format!("sim:{}", file.path().display());
    let live = of_two_hosts(&[sim.clone(), format!("{sim}?seed=7")], Some(&recordings));
    let files = recordings.map(|recording| format!("xtc2:{}", recording.display()));
    assert_all_same(&live, &of_two_hosts(&files, None), "in the replay on two hosts");
}

/// Three workers, of which one stands still for a third of the data and one is killed meanwhile.
fn disturbed(file: &std::path::Path) -> Published {
    let split = Split { workers: 3, unit: 13, credits: 3 };
    let url = format!("sim:{}?pace=2000", file.display());
    let mut system = split.system(&url, &["ventilator.lane_deadline_ms=1000"]);
    system.apply(&graph());
    all_at(&system, 300);
    system.signal("worker-1", Signal::STOP);
    all_at(&system, 800);
    system.kill("worker-2");
    all_at(&system, 1600);
    system.signal("worker-1", Signal::CONT);
    published(system, EVENTS)
}
