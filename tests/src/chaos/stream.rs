//! The stream of known content, the graph over it, and what an undisturbed system makes of it.

use super::Options;
use crate::client::{self, Feature};
use crate::{Builder, System, python_with_numpy, until};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;

/// A place in the stream, and the feature there.
pub type Place = (String, i64, i64, i64);

/// Everything that an undisturbed system publishes of the graph `g`.
pub struct Reference {
    /// By topic, run, step and heartbeat.
    pub features: BTreeMap<Place, Feature>,
    /// The last marker.
    pub last: Feature,
}

/// Where a feature belongs.
pub fn place(feature: &Feature) -> Place {
    let topic = feature.header["topic"].as_str().unwrap_or_default().to_string();
    (topic, feature.int("run"), feature.step(), feature.int("heartbeat"))
}

/// The stream's description, written to a file: two runs of two steps.
pub fn describe(options: &Options, dir: &Path) -> std::path::PathBuf {
    let per_step = (options.rate * options.seconds / 4).max(1);
    let (rate, events) = (options.rate, per_step * 4);
    let file = dir.join("chaos.toml");
    let text = format!(
        r#"seed = 11
rate_hz = {rate}.0
events = {events}
events_per_step = {per_step}
steps = 2

[[held]]
name = "motor"
kind = "scan"
values = [0.5, 1.0]

[[field]]
name = "gauss"
kind = "normal"

[[field]]
name = "number"
kind = "counter"
dtype = "i64"

[[field]]
name = "spread"
kind = "uniform"
low = -100.0
high = 100.0
dtype = "i32"

[[field]]
name = "seldom"
kind = "normal"
sigma = 3.0
every = 7
absent = 0.3

[[field]]
name = "frame"
kind = "image"
shape = [8, 8]
noise = 2.0
pedestal = 100.0
pool = 64
every = 50
"#
    );
    std::fs::write(&file, text).unwrap();
    file
}

/// User code in the stream's graph: per event, and reductions whose states are added or merged by code.
const CODE: &str = r#"
import numpy as np
from ami_node import Reduction, per_event


@per_event(outputs={"value": "i8"})
def twice(x):
    return 2 * int(x)


class Total(Reduction):
    outputs = {"sum": "i8", "image": "i8[8, 8]"}

    def start(self):
        return {"sum": 0, "image": np.zeros((8, 8), np.int64)}

    def absorb(self, state, frame):
        state["sum"] += int(frame.sum())
        state["image"] += frame

    def finish(self, state):
        return state["sum"], state["image"]


class Range(Reduction):
    outputs = {"low": "i8", "high": "i8"}

    def start(self):
        return {"low": 10**9, "high": -(10**9)}

    def absorb_batch(self, state, x):
        state["low"] = min(state["low"], int(x.min()))
        state["high"] = max(state["high"], int(x.max()))

    def merge(self, state, other):
        return {"low": min(state["low"], other["low"]), "high": max(state["high"], other["high"])}

    def finish(self, state):
        return state["low"], state["high"]
"#;

/// Reductions and windows of every kind of state; with user code where an interpreter has numpy.
pub fn graph(dir: &Path) -> Value {
    let mut graph = builtin();
    if python_with_numpy().is_some() {
        let file = dir.join("code.py");
        std::fs::write(&file, CODE).unwrap();
        let code = |name: &str, input: &str| json!({"op": "python", "in": input, "code": format!("{}:{name}", file.display())});
        graph["nodes"]["user_twice"] = code("twice", "seldom_whole");
        graph["nodes"]["seldom_whole"] =
            json!({"op": "expr", "in": {"x": "seldom"}, "expr": "floor(x * 10)"});
        graph["nodes"]["user_event"] = json!({"op": "sum", "in": "user_twice"});
        graph["nodes"]["user_total"] = code("Total", "frame");
        graph["nodes"]["user_range"] = code("Range", "spread");
        graph["nodes"]["user_range"]["window"] = json!({"heartbeats": 4});
    }
    graph
}

/// The same without user code.
pub fn builtin() -> Value {
    json!({"name": "g", "nodes": {
        "n": {"op": "count", "in": "number"},
        "sum": {"op": "sum", "in": "number"},
        "step": {"op": "sum", "in": "spread", "window": "step"},
        "now": {"op": "sum", "in": "spread", "window": "heartbeat"},
        "mean": {"op": "mean", "in": "gauss"},
        "stats": {"op": "stats", "in": "seldom", "window": {"heartbeats": 5}},
        "hist": {"op": "hist", "in": "gauss", "bins": 40, "range": [-4, 4]},
        "auto": {"op": "hist", "in": "seldom", "bins": 32, "range": "auto"},
        "scan": {"op": "profile", "in": {"key": "spread", "value": "gauss"}, "bins": 20, "range": [-100, 100]},
        "last": {"op": "last", "in": ["number", "seldom"], "n": 3},
        "image": {"op": "sum", "in": "frame"},
        "trend": {"op": "buffer", "in": "mean.value", "n": 20}
    }})
}

/// A graph that may change at any time without a word to the other.
pub fn edited(variant: u64) -> Value {
    json!({"name": "edited", "nodes": {
        "hist": {"op": "hist", "in": "gauss", "bins": 10 + variant, "range": [-4, 4]}
    }})
}

/// A system over the stream, not yet started.
pub fn system(options: &Options, file: &Path, pace: &str) -> Builder {
    let python = python_with_numpy().map_or(String::new(), |path| path.display().to_string());
    System::of(&format!("sim:{}?pace={pace}&overload=block", file.display()))
        .workers(options.workers)
        .set("python.enabled=true")
        .set(&format!("python.envs.default={python}"))
        .set("ventilator.chunk_events=256")
        .set("ventilator.lane_deadline_ms=700")
        .set("collector.ask_after_ms=200")
        .set("store.history=1000000")
        .set("store.client_queue=1000000")
        .set("store.client_bytes=1000000000000")
        .set("root.hosts=[\"testhost\"]")
}

/// What an undisturbed system of one worker publishes.
pub fn reference(options: &Options, dir: &Path) -> Reference {
    let file = describe(options, dir);
    let alone = Options { workers: 1, ..options.clone() };
    let system = system(&alone, &file, "max").start();
    system.apply(&graph(dir));
    system.drained();
    let query = system.address("store.query");
    let taken = system.metric("ventilator", "ami_events_total");
    let last = until("every event in a result", || {
        let markers = client::history(&query, "g/@heartbeat");
        let events: i64 = markers.iter().map(|m| m.int("events")).sum();
        (Some(events as f64) == taken).then(|| markers.last().cloned()).flatten()
    });
    let mut features = BTreeMap::new();
    let topics = last.header["topics"].as_object().unwrap();
    for topic in topics.keys().map(String::as_str).chain(["g/@heartbeat"]) {
        for feature in client::history(&query, topic) {
            assert!(feature.complete(), "undisturbed, but {}", feature.header);
            features.insert(place(&feature), feature);
        }
    }
    assert!(system.stop(), "every daemon stops cleanly");
    Reference { features, last }
}
