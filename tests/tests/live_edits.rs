//! Graphs change while the stream runs.

use ami_tests::client::Feature;
use ami_tests::{System, until};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::Duration;

const STREAM: &str = "sim:pump-probe?rate=1000&pace=realtime&loop=forever";

fn graph(bins: u32) -> Value {
    json!({"name": "g", "nodes": {
        "total": {"op": "count", "in": "gmd:raw:energy"},
        "hist": {"op": "hist", "in": "gmd:raw:energy", "bins": bins, "range": [0, 3]}
    }})
}

fn running() -> System {
    let system = System::of(STREAM).workers(2).set("heartbeat.period_ms=20").start();
    system.apply(&graph(10));
    system
}

fn bins(feature: &Feature) -> usize {
    feature.header["arrays"][0]["shape"][0].as_u64().unwrap() as usize
}

#[test]
fn a_change_takes_effect_at_one_heartbeat_and_untouched_state_goes_on() {
    let system = running();
    let subscriber = system.subscribe("g/");
    subscriber.until(|f| f.header["topic"] == "g/hist");
    let answer = system.apply(&graph(25));
    let version = answer["version"].as_i64().unwrap();
    let mut features =
        subscriber.until(|f| f.int("version") == version && f.int("heartbeat") % 10 == 0);
    features.retain(|f| f.header["topic"] != "g/@heartbeat");
    let hist = features.iter().filter(|f| f.header["topic"] == "g/hist");
    for feature in hist {
        let expected = if feature.int("version") == version { 26 } else { 11 };
        assert_eq!(bins(feature), expected, "{}", feature.header);
    }
    let totals: Vec<&Feature> =
        features.iter().filter(|f| f.header["topic"] == "g/total").collect();
    for pair in totals.windows(2) {
        if pair[0].int("seq") == pair[1].int("seq") {
            continue; // repeated for the new subscription
        }
        assert_eq!(pair[1].int("seq"), pair[0].int("seq") + 1, "none is skipped");
        let grown = pair[1].value("value") - pair[0].value("value");
        assert_eq!(grown, pair[1].int("events") as f64, "the count goes on across versions");
        assert!(pair[1].int("version") >= pair[0].int("version"));
    }
    let new =
        features.iter().find(|f| f.header["topic"] == "g/hist" && f.int("version") == version);
    let (new, counts) = (new.unwrap(), "counts");
    let filled: i64 = new.i64s(counts).iter().sum();
    assert!(filled <= new.int("events"), "the changed node begins anew");
}

#[test]
fn two_hundred_nodes_take_effect_at_one_heartbeat() {
    let system = running();
    let subscriber = system.subscribe("g/");
    subscriber.until(|f| f.header["topic"] == "g/@heartbeat");
    let ops = ["count", "sum", "mean", "stats", "min", "max", "hist", "last", "quantile", "ewma"];
    let node = |n: usize| {
        let mut node = json!({"op": ops[n % 10], "in": "gmd:raw:energy"});
        if node["op"] == "ewma" {
            node["tau"] = json!(1 + n);
        }
        (format!("n{n}"), node)
    };
    let nodes: serde_json::Map<String, Value> = (0..200).map(node).collect();
    let names: BTreeSet<String> = nodes.keys().map(|name| format!("g/{name}")).collect();
    let version = system.apply(&json!({"name": "g", "nodes": nodes}))["version"].clone();
    let is_marker = |f: &Feature| f.header["topic"] == "g/@heartbeat";
    let features = subscriber.until(|f| is_marker(f) && f.header["version"] == version);
    let marker = features.last().unwrap();
    let topics: BTreeSet<String> =
        marker.header["topics"].as_object().unwrap().keys().cloned().collect();
    assert_eq!(topics, names, "all of them in the first heartbeat of their version");
    for feature in features.iter().filter(|f| !is_marker(f)) {
        let new = feature.header["version"] == version;
        assert_eq!(names.contains(feature.header["topic"].as_str().unwrap()), new);
        assert_eq!(feature.int("heartbeat") == marker.int("heartbeat"), new, "{}", feature.header);
    }
}

#[test]
fn a_worker_that_is_never_idle_takes_part_in_edits() {
    let system = System::of("sim:scalars?pace=max&loop=forever")
        .set("manager.prepare_timeout_ms=60000")
        .start();
    let expr = |n: usize| {
        let expr = format!("sin(x + {n}) * cos(x) + sqrt(abs(x))");
        (format!("n{n}"), json!({"op": "expr", "in": {"x": "bench:raw:a"}, "expr": expr}))
    };
    let nodes: serde_json::Map<String, Value> = (0..200).map(expr).collect();
    system.apply(&json!({"name": "heavy", "nodes": nodes}));
    system.get_when("heavy/n0", |f| f.int("seq") > 3);
    let answer =
        system.apply(&json!({"name": "g", "nodes": {"n": {"op": "count", "in": "bench:raw:b"}}}));
    let members = answer["members"].as_array().unwrap();
    assert!(members.contains(&json!("worker worker-0 on testhost")), "{answer:#}");
}

#[test]
fn wrong_and_stale_edits_are_refused_and_change_nothing() {
    let system = running();
    let mut wrong = graph(10);
    wrong["nodes"]["hist"]["in"] = json!("gmd:raw:enrgy");
    let answer = system.manager(json!({"cmd": "graph.apply", "spec": wrong}));
    let text = answer.to_string();
    assert!(text.contains("hist") && text.contains("gmd:raw:energy"), "{text}");
    system.apply(&graph(20));
    let stale =
        json!({"cmd": "graph.set", "graph": "g", "node": "hist", "params": {"bins": 5}, "base": 1});
    let answer = system.manager(stale);
    assert!(answer["error"].as_str().unwrap().contains("version 2"), "{answer}");
    let shown = system.manager(json!({"cmd": "graph.show", "graph": "g"}));
    assert_eq!(
        (&shown["version"], &shown["spec"]["nodes"]["hist"]["bins"]),
        (&json!(2), &json!(20))
    );
    system.get_when("g/hist", |f| bins(f) == 21);
}

#[test]
fn rollback_brings_the_old_graph_back_as_a_new_version() {
    let system = running();
    system.apply(&graph(20));
    let answer = system.manager(json!({"cmd": "graph.rollback", "graph": "g", "version": 1}));
    assert_eq!(answer["in_effect"], true, "{answer}");
    system.get_when("g/hist", |f| bins(f) == 11 && f.int("version") == 3);
    let history = system.manager(json!({"cmd": "graph.history", "graph": "g"}));
    assert_eq!(history["versions"].as_array().unwrap().len(), 3, "{history}");
}

#[test]
fn reset_begins_anew() {
    let system = running();
    let before = system.get_when("g/total", |f| f.value("value") > 300.0).value("value");
    let answer = system.manager(json!({"cmd": "graph.reset", "graph": "g", "nodes": ["total"]}));
    let version = answer["version"].as_i64().unwrap();
    let after = system.get_when("g/total", |f| f.int("version") == version);
    assert!(after.value("value") < before, "{} {before}", after.header);
    assert_eq!(after.value("value"), after.int("window_events") as f64);
}

#[test]
fn a_worker_that_comes_late_computes_the_current_version() {
    let mut system = running();
    system.apply(&graph(15));
    system.kill("worker-0");
    system.kill("worker-1");
    let name = system.spawn_worker();
    let at = system.get("g/hist").int("seq");
    let feature = system.get_when("g/hist", |f| f.int("seq") > at + 5);
    assert_eq!(bins(&feature), 16);
    assert!(feature.complete());
    until("the newcomer in the roster", || {
        let status = system.status();
        let members = status["members"].as_array()?.clone();
        members.iter().find(|m| m["name"] == name.as_str() && m["version"] == 2).map(|_| ())
    });
}

#[test]
fn an_ended_stream_still_takes_edits() {
    let system = System::of("sim:pump-probe?events=500&pace=max").workers(1).start();
    system.apply(&graph(10));
    system.drained();
    system.apply(&graph(20));
    assert_eq!(system.get("g/total").value("value"), 500.0, "last results stay");
    let _ = system.subscribe("g/").gather(Duration::from_millis(50));
}

/// Edits one node so often, one version after the other.
fn edit_often(system: &System, times: u32) {
    for n in 0..times {
        let params = json!({"bins": 10 + n % 50});
        let edit = json!({"cmd": "graph.set", "graph": "g", "node": "hist", "params": params});
        let answer = system.manager(edit);
        assert_eq!(answer["in_effect"], true, "edit {n}: {answer}");
    }
}

#[test]
fn many_versions_in_quick_succession_wedge_nothing() {
    let system = running();
    edit_often(&system, 250);
    let seq = system.get("g/hist").int("seq");
    system.get_when("g/hist", |f| f.int("seq") > seq && f.int("version") == 251);
}

#[test]
fn many_versions_with_which_nothing_is_published_wedge_nothing() {
    let mut system = System::of("sim:pump-probe?events=500&pace=max").workers(1).start();
    system.apply(&graph(10));
    system.drained();
    // None retires, since no heartbeat carries one.
    edit_often(&system, 250);
    system.kill("root");
    system.spawn("root");
    edit_often(&system, 1);
    assert_eq!(system.get("g/total").value("value"), 500.0);
}

/// The line of `status` about a node.
fn fault(status: &Value, node: &str) -> Option<String> {
    let nodes = status["members"].as_array()?.iter().filter_map(|m| m["nodes"].as_array());
    let found = nodes.flatten().find(|n| n["node"] == node)?;
    (found["errors"] == 0).then(|| found["message"].as_str().unwrap().to_string())
}

#[test]
fn status_says_which_nodes_another_source_leaves_without_a_field() {
    let mut system = System::of(STREAM).start();
    system.apply(&json!({"name": "g", "nodes": {
        "energy": {"op": "mean", "in": "gmd:raw:energy"},
        "more": {"op": "expr", "in": {"x": "energy.value"}, "expr": "x + 1"}
    }}));
    system.get("g/more");
    assert_eq!(fault(&system.status(), "g/energy"), None);
    system.kill("ventilator");
    let source = "ventilator.source=sim:scalars?rate=1000&pace=realtime&loop=forever";
    system.spawn_with("ventilator", &[source]);
    let reason = until("the reason", || fault(&system.status(), "g/energy"));
    assert!(reason.starts_with("switched off: ") && reason.contains("gmd:raw:energy"), "{reason}");
}
