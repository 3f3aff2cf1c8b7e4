//! User code in a whole system: the numbers of an undisturbed run whatever dies, failures that stay
//! with their event and node, and no process left behind.

use ami_tests::client::{self, Feature};
use ami_tests::{Builder, System, python_with_numpy, until};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const CODE: &str = r#"
import os
import time
import numpy as np
from ami_node import PerEvent, Reduction, Root, per_event


@per_event(outputs={"twice": "i8", "square": "f8"})
def numbers(n, *, factor=2):
    return n * factor, float(n) ** 2


class Batched(PerEvent):
    outputs = {"sum": "f8"}

    def batch(self, image):
        return image.sum(axis=(1, 2)).astype(np.float64)


class Added(Reduction):
    """Merged by adding."""

    outputs = {"sum": "i8", "count": "i8"}

    def start(self):
        return {"sum": 0, "count": 0}

    def absorb(self, state, n):
        state["sum"] += int(n)
        state["count"] += 1

    def finish(self, state):
        return state["sum"], state["count"]


class Greatest(Reduction):
    """Merged by code of its own."""

    outputs = {"value": "i8"}

    def start(self):
        return {"greatest": -1}

    def absorb(self, state, n):
        state["greatest"] = max(state["greatest"], int(n))

    def merge(self, state, other):
        return {"greatest": max(state["greatest"], other["greatest"])}

    def finish(self, state):
        return state["greatest"]


class MeanOfMeans(Reduction):
    """Its merge depends on the split."""

    outputs = {"mean": "f8"}

    def start(self):
        return {"mean": 0.0, "n": 0}

    def absorb(self, state, n):
        state["n"] += 1
        state["mean"] += (float(n) - state["mean"]) / state["n"]

    def merge(self, state, other):
        return {"mean": (state["mean"] + other["mean"]) / 2, "n": state["n"] + other["n"]}

    def finish(self, state):
        return state["mean"]


@per_event(outputs={"n": "i8"})
def seventh(n):
    if n % 7 == 0:
        raise ValueError(f"{n} is one of seven")
    return n


@per_event(outputs={"n": "i8"})
def stuck(n):
    while n == 100:
        time.sleep(1)
    return n


@per_event(outputs={"n": "i8"})
def gone(n):
    if n == 100:
        os._exit(3)
    return n


class Report(Root):
    every = None
    outputs = {"text": "str", "of": "i8"}

    def update(self, frame, count):
        return f"run {frame.run}: {int(count)}", frame.heartbeat
"#;

const SOURCE: &str = r#"
rate_hz = 1000.0
events = 4000
events_per_step = 900

[[field]]
name = "n"
kind = "counter"
dtype = "i64"

[[field]]
name = "image"
kind = "image"
shape = [8, 8]
noise = 2.0
pedestal = 100.0
every = 5
"#;
const EVENTS: f64 = 4000.0;

/// Source and code, in a directory.
struct Bench {
    dir: tempfile::TempDir,
    python: std::path::PathBuf,
}

impl Bench {
    /// None, with a word, where no interpreter has numpy.
    fn new() -> Option<Bench> {
        let python = python_with_numpy()?;
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("source.toml"), SOURCE).unwrap();
        std::fs::write(dir.path().join("code.py"), CODE).unwrap();
        Some(Bench { dir, python })
    }

    fn system(&self, options: &str, workers: usize) -> Builder {
        System::of(&format!("sim:{}{options}", self.dir.path().join("source.toml").display()))
            .workers(workers)
            .set("python.enabled=true")
            .set(&format!("python.envs.default={}", self.python.display()))
            .set("ventilator.chunk_events=64")
            .set("store.history=1000000")
            .set("manager.prepare_timeout_ms=30000")
    }

    fn node(&self, name: &str, input: &str) -> Value {
        let code = format!("{}:{name}", self.dir.path().join("code.py").display());
        json!({"op": "python", "in": input, "code": code})
    }

    /// User code beside operations that give the same.
    fn graph(&self) -> Value {
        let mut nodes = json!({
            "numbers": self.node("numbers", "n"),
            "twice": {"op": "sum", "in": "numbers.twice"},
            "images": self.node("Batched", "image"),
            "image_sum": {"op": "sum", "in": "images"},
            "added": self.node("Added", "n"),
            "greatest": self.node("Greatest", "n"),
            "step": self.node("Added", "n"),
            "now": self.node("Greatest", "n"),
            "sliding": self.node("Greatest", "n"),
            "sum": {"op": "sum", "in": "n"},
            "max": {"op": "max", "in": "n"},
            "sum_step": {"op": "sum", "in": "n", "window": "step"},
            "pixels": {"op": "expr", "in": {"img": "image"}, "expr": "sum(img) + 0.0"},
            "pixel_sum": {"op": "sum", "in": "pixels"}});
        nodes["step"]["window"] = json!("step");
        nodes["now"]["window"] = json!("heartbeat");
        nodes["sliding"]["window"] = json!({"heartbeats": 3});
        json!({"name": "g", "nodes": nodes})
    }
}

/// Topics of user code, each with an output, and what gives the same.
const SAME: [(&str, &str, &str, &str, f64); 5] = [
    ("g/twice", "value", "g/sum", "value", 2.0),
    ("g/added", "sum", "g/sum", "value", 1.0),
    ("g/greatest", "value", "g/max", "value", 1.0),
    ("g/step", "sum", "g/sum_step", "value", 1.0),
    ("g/image_sum", "value", "g/pixel_sum", "value", 1.0),
];

/// All values of user code are those of the operations beside it, heartbeat by heartbeat.
fn assert_same(system: &System) {
    system.get_when("g/sum", |f| f.int("window_events") == EVENTS as i64);
    let last = system.get("g/sum").int("heartbeat");
    system.get_when("g/@heartbeat", |f| f.int("heartbeat") == last);
    let address = system.address("store.query");
    for (topic, output, other, value, factor) in SAME {
        let (own, builtin) = (client::history(&address, topic), client::history(&address, other));
        assert_eq!(own.len(), builtin.len(), "{topic}");
        for (a, b) in own.iter().zip(&builtin) {
            assert!(a.complete(), "{}", a.header);
            assert_eq!(a.value(output), factor * b.value(value), "{topic} {}", a.header);
        }
    }
    let newest = |topic: &str| client::history(&address, topic).last().unwrap().value("value");
    assert_eq!((newest("g/now"), newest("g/sliding")), (EVENTS - 1.0, EVENTS - 1.0));
}

#[test]
fn numbers_of_user_code_are_the_same_for_any_split() {
    let Some(bench) = Bench::new() else { return };
    for workers in [1, 2, 3, 7] {
        let system = bench.system("?pace=max", workers).start();
        system.apply(&bench.graph());
        system.drained();
        assert_same(&system);
    }
}

#[test]
fn whatever_dies_no_number_changes() {
    let Some(bench) = Bench::new() else { return };
    let mut system = bench
        .system("?pace=400&overload=block", 3)
        .set("ventilator.lane_deadline_ms=1000")
        .set("collector.ask_after_ms=200")
        .start();
    system.apply(&bench.graph());
    let start = Instant::now();
    let mut turn = 0;
    while start.elapsed() < Duration::from_secs(7) {
        std::thread::sleep(Duration::from_millis(350));
        match turn % 3 {
            0 => system.kill_code(turn),
            1 => {
                system.kill(&format!("worker-{}", turn / 3 % 3));
                system.spawn(&format!("worker-{}", turn / 3 % 3));
            }
            _ => {
                system.kill("collector");
                system.spawn("collector");
            }
        }
        turn += 1;
    }
    system.drained();
    assert_same(&system);
}

#[test]
fn a_failure_is_its_events_and_its_nodes_only() {
    let Some(bench) = Bench::new() else { return };
    let system = bench.system("?pace=max&events=500", 2).start();
    let count = |node: &str| json!({"op": "count", "in": format!("{node}.n")});
    let mut nodes = json!({"all": {"op": "sum", "in": "n"}});
    for name in ["seventh", "stuck", "gone"] {
        nodes[name] = bench.node(name, "n");
        nodes[name]["timeout_ms"] = json!(300);
        nodes[format!("{name}_n")] = count(name);
    }
    system.apply(&json!({"name": "g", "nodes": nodes}));
    system.drained();
    let last = |topic: &str| system.get_when(topic, |f| f.int("window_events") == 500);
    assert_eq!(last("g/all").value("value"), (0..500).sum::<i64>() as f64);
    assert_eq!(last("g/seventh_n").value("value"), (0..500).filter(|n| n % 7 != 0).count() as f64);
    assert_eq!(last("g/stuck_n").value("value"), 499.0);
    assert_eq!(last("g/gone_n").value("value"), 499.0);
    let status = until("the failures in the status", || {
        let status = system.status().to_string();
        ["is one of seven (code.py:", "longer than 300 ms", "exited with code 3"]
            .iter()
            .all(|text| status.contains(text))
            .then_some(status)
    });
    assert!(status.contains("ValueError"), "{status}");
}

#[test]
fn no_process_is_left_when_a_daemon_is_killed() {
    let Some(bench) = Bench::new() else { return };
    let mut system = bench.system("?pace=200", 1).start();
    system.apply(&bench.graph());
    system.get_when("g/added", |f| f.value("count") > 0.0);
    assert!(system.code_processes().len() >= 4, "a process and its keeper each");
    for member in ["worker-0", "root", "manager"] {
        system.kill(member);
    }
    until("the end of all processes", || system.code_processes().is_empty().then_some(()));
}

#[test]
fn code_on_results_says_of_which_heartbeat_it_speaks() {
    let Some(bench) = Bench::new() else { return };
    let system = bench.system("?pace=max&events=300", 1).start();
    let report = bench.node("Report", "count");
    let nodes = json!({"count": {"op": "count", "in": "n"}, "report": report});
    system.apply(&json!({"name": "g", "nodes": nodes, "publish": ["report", "count"]}));
    system.drained();
    let heartbeat = system.get_when("g/count", |f| f.value("value") == 300.0).int("heartbeat");
    let whole = |f: &Feature| f.header["values"]["text"].as_str() == Some("run 1: 300");
    let report = system.get_when("g/report", whole);
    assert_eq!(report.value("of") as i64, heartbeat, "{}", report.header);
}

#[test]
fn code_is_refused_where_it_is_not_switched_on() {
    let Some(bench) = Bench::new() else { return };
    let system = bench.system("?pace=max", 1).set("python.enabled=false").start();
    let apply = json!({"cmd": "graph.apply", "spec": bench.graph(), "who": "test"});
    let answer = system.manager(apply);
    let error = answer["error"].as_str().unwrap_or_default();
    assert!(error.contains("python.enabled = true"), "{answer:#}");
}

#[test]
fn a_merge_that_depends_on_the_split_is_refused_with_both_numbers() {
    let Some(bench) = Bench::new() else { return };
    let system = bench.system("?pace=200", 1).start();
    system.apply(&bench.graph());
    let wrong = json!({"name": "w", "nodes": {"m": bench.node("MeanOfMeans", "n")}});
    let apply = json!({"cmd": "graph.apply", "spec": wrong, "who": "test"});
    let error = system.manager(apply)["error"].as_str().unwrap_or_default().to_owned();
    let parts = ["output \"mean\"", "with one lane and", "in any order"];
    assert!(parts.iter().all(|part| error.contains(part)), "{error}");
    assert!(system.manager(json!({"cmd": "graph.list"})).to_string().find("\"w\"").is_none());
}

#[test]
fn code_that_cannot_be_loaded_changes_nothing() {
    let Some(bench) = Bench::new() else { return };
    let system = bench.system("?pace=200", 1).start();
    system.apply(&bench.graph());
    let code = bench.dir.path().join("code.py");
    for (source, expected) in [
        ("def broken(:\n", "SyntaxError"),
        ("import nothing_of_that_name\n", "nothing_of_that_name"),
        ("x = 1\n", "code.py"),
    ] {
        std::fs::write(&code, source).unwrap();
        let apply = json!({"cmd": "graph.apply", "spec": bench.graph(), "who": "test"});
        let answer = system.manager(apply);
        assert!(answer.to_string().contains(expected), "{answer:#}");
    }
    let before = system.get("g/added").value("count");
    system.get_when("g/added", |f| f.value("count") > before);
}

/// Code whose import ends when there is a file, and that counts the events that it has seen.
fn waiting_for(go: &std::path::Path) -> String {
    format!(
        "import os, time
from ami_node import PerEvent

while not os.path.exists({go:?}): time.sleep(0.01)


class Seen(PerEvent):
    outputs = {{'n': 'i8'}}
    split_dependent = True

    def __init__(self): self.n = 0

    def event(self, x):
        self.n += 1
        return self.n
"
    )
}

#[test]
fn the_manager_answers_while_it_reads_code_and_an_edit_elsewhere_keeps_what_code_has_kept() {
    let Some(bench) = Bench::new() else { return };
    let system = bench.system("?pace=200", 1).start();
    let (code, go) = (bench.dir.path().join("seen.py"), bench.dir.path().join("go"));
    std::fs::write(&code, waiting_for(&go)).unwrap();
    let nodes = json!({
        "seen": {"op": "python", "in": "n", "code": code},
        "all": {"op": "max", "in": "seen"},
        "now": {"op": "min", "in": "seen", "window": "heartbeat"}});
    let apply = json!({"cmd": "graph.apply", "spec": {"name": "g", "nodes": nodes}, "who": "test"});
    std::thread::scope(|scope| {
        let edit = scope.spawn(|| system.manager(apply));
        until("the edit", || {
            let phase = system.status()["under_way"]["phase"].clone();
            (phase == "reading code").then_some(())
        });
        let other = json!({"name": "h", "nodes": {"all": {"op": "count", "in": "n"}}});
        let question = json!({"cmd": "graph.validate", "spec": other});
        assert_eq!(system.manager(question)["errors"], json!([]));
        std::fs::write(&go, "").unwrap();
        let answer = edit.join().unwrap();
        assert!(answer.get("error").is_none(), "{answer:#}");
    });
    let seen = system.get_when("g/all", |f| f.value("value") > 100.0).value("value");
    system.apply(&json!({"name": "h", "nodes": {"all": {"op": "count", "in": "n"}}}));
    system.get_when("h/all", |f| f.value("value") > 10.0);
    let now = system.get_when("g/now", |f| f.value("value") > 0.0).value("value");
    assert!(now >= seen, "it goes on with {now} after {seen}");
}
