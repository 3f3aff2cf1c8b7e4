//! Several hosts: none waits for one that has nothing to say.

use ami_tests::client::{self, Feature};
use ami_tests::{System, until};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};

const SECOND: i64 = 1_000_000_000;

/// Events that a host's ventilator has taken.
fn taken(system: &System, host: &str) -> Option<i64> {
    let status = system.status();
    let mut members = status["members"].as_array()?.iter();
    let of = |m: &&serde_json::Value| m["role"] == "ventilator" && m["host"] == host;
    Some(members.find(of)?["metrics"]["ami_events_total"].as_f64()? as i64)
}

#[test]
fn a_silent_host_holds_no_results_back() {
    // One event in ten seconds; and nobody is let go on without it for a minute.
    const PAUSE: i64 = 10 * SECOND;
    const START: i64 = 1_735_689_600 * SECOND;
    let mut system = System::of("sim:pump-probe?rate=1000&pace=realtime&loop=forever")
        .workers(1)
        .set("root.hosts=[\"testhost\",\"idle\"]")
        .set("root.late_after_ms=60000")
        .start();
    system.spawn_host("idle", "sim:pump-probe?rate=0.1&pace=realtime&loop=forever");
    system.apply(&json!({"name": "g", "nodes": {"n": {"op": "count", "in": "gmd:raw:energy"}}}));
    // Results of data time that lies seconds after the idle host's last event, and before its next.
    let (feature, last) = until("results in the pause", || {
        let feature = system.get_when("g/n", |f| f.complete());
        let last = START + (taken(&system, "idle")?.max(1) - 1) * PAUSE;
        (feature.int("timestamp_ns") > last + 3 * SECOND).then_some((feature, last))
    });
    assert!(feature.int("timestamp_ns") < last + PAUSE, "{}", feature.header);
    assert_eq!(feature.header["hosts"], json!([2, 2]), "{}", feature.header);
    assert!(feature.header["window_complete"] == true, "{}", feature.header);
}

/// Nobody is waited for: nearly all of the slower host's data are late.
fn late_data(hosts: &str) {
    let mut system = System::of("sim:pump-probe?events=2000&pace=max")
        .workers(1)
        .set("root.late_after_ms=1")
        .set(&format!("root.hosts={hosts}"))
        .set("store.history=100000")
        .start();
    let count = |window: &str| json!({"op": "count", "in": "gmd:raw:energy", "window": window});
    let sliding = json!({"op": "count", "in": "gmd:raw:energy", "window": {"heartbeats": 5}});
    let nodes = json!({"n": count("run"), "step": count("step"), "sliding": sliding});
    system.apply(&json!({"name": "g", "nodes": nodes}));
    system.get_when("g/n", |f| f.value("value") == 2000.0);
    system.spawn_host("slow", "sim:pump-probe?events=2000&pace=max");
    let whole = |f: &Feature| f.value("value") == 4000.0 && f.header["window_expected"] == 4000;
    let feature = system.get_when("g/n", whole);
    assert_eq!(feature.int("window_events"), 4000, "{}", feature.header);
    // At no moment did a label contradict itself.
    for topic in ["g/n", "g/step", "g/sliding"] {
        for feature in client::history(&system.address("store.query"), topic) {
            let Some(expected) = feature.header["window_expected"].as_i64() else { continue };
            assert_eq!(expected, feature.int("window_events"), "{}", feature.header);
        }
    }
}

#[test]
fn late_data_of_a_host_that_nobody_expected_are_counted_and_published() {
    late_data("[]");
}

#[test]
fn late_data_of_a_host_that_is_missing_are_counted_and_published() {
    late_data("[\"testhost\",\"slow\"]");
}

#[test]
fn a_host_that_never_comes_holds_up_no_edit() {
    let system = System::of("sim:pump-probe?rate=1000&pace=realtime&loop=forever")
        .workers(1)
        .set("root.hosts=[\"testhost\",\"absent\"]")
        .set("root.late_after_ms=50")
        .set("root.host_timeout_s=1")
        .start();
    for op in ["count", "mean"] {
        let node = json!({"op": op, "in": "gmd:raw:energy"});
        system.apply(&json!({"name": "g", "nodes": {"n": node}}));
        let feature = system.get_when("g/n", |f| f.header["op"] == op);
        assert_eq!(feature.header["hosts"], json!([1, 2]), "what is missing is said");
        assert!(!feature.complete(), "{}", feature.header);
    }
}

#[test]
fn edits_take_effect_at_the_same_heartbeats_also_on_a_host_that_lags() {
    // The same 20 s of data in heartbeats of 10 events, some of which a step's end divides. One host is ever
    // further behind, so that edits are decided for heartbeats that it has yet to reach; the root
    // waits for it.
    const EVENTS: i64 = 20_000;
    let source = |pace| format!("sim:pump-probe?rate=1000&pace={pace}&events={EVENTS}");
    let mut system = System::of(&source(4000))
        .set("heartbeat.period_ms=10")
        // A host that gets no processor for a moment is not a silent one.
        .set("heartbeat.idle_close_ms=60000")
        .set("root.hosts=[\"testhost\",\"slow\"]")
        .set("root.late_after_ms=60000")
        .set("store.history=10000")
        .start();
    system.spawn_host("slow", &source(3000));
    let edit = |system: &System, bins: i64| {
        let nodes = json!({
            "n": {"op": "count", "in": "gmd:raw:energy"},
            "hist": {"op": "hist", "in": "gmd:raw:energy", "bins": bins, "range": [0, 100]},
        });
        let spec = json!({"name": "g", "nodes": nodes});
        let answer = system.manager(json!({"cmd": "graph.apply", "spec": spec, "no_wait": true}));
        assert!(answer.get("error").is_none(), "{answer:#}");
    };
    for k in 0..10 {
        edit(&system, 10 + k);
        if k == 4 {
            // Nobody works there for a moment.
            system.kill("worker-slow");
            system.spawn("worker-slow");
        }
        let reached = (k + 1) * EVENTS / 10;
        until("the faster host", || (taken(&system, "testhost")? >= reached).then_some(()));
    }
    // At the end of one host, whose last heartbeat the other has yet to reach.
    edit(&system, 20);
    let last = system.get_when("g/n", |f| f.value("value") == 2.0 * EVENTS as f64);
    assert!(last.header["window_complete"] == true, "{}", last.header);
    for metric in ["ami_late_events_total", "ami_mismatched_events_total"] {
        let counted = until(metric, || system.metric("root", metric));
        assert_eq!(counted, 0.0, "{metric}: events in another heartbeat than theirs");
    }
    let heartbeats = client::history(&system.address("store.query"), "g/n");
    every_heartbeat_is_of_one_version_and_both_hosts(&heartbeats);
    // What an edit changed has the events since, of both hosts.
    let hist = system.get("g/hist");
    let counted: i64 = hist.i64s("counts").iter().sum();
    assert_eq!(counted, hist.int("window_events"), "{}", hist.header);
    assert!(0 < counted && counted < 2 * EVENTS && counted % 2 == 0, "{counted}");
}

/// A heartbeat in which a step ends comes in two parts; the newest of all may be said again.
fn every_heartbeat_is_of_one_version_and_both_hosts(said: &[Feature]) {
    let mut versions = BTreeMap::new();
    let mut parts = BTreeMap::new();
    let mut newest = 0;
    for part in said {
        let (heartbeat, version) = (part.int("heartbeat"), part.int("version"));
        assert_eq!(*versions.entry(heartbeat).or_insert(version), version, "{}", part.header);
        assert!(version >= newest, "{}", part.header);
        newest = version;
        assert_eq!((part.int("events") % 2, part.complete()), (0, true), "{}", part.header);
        parts.insert((heartbeat, part.step()), part.int("events"));
    }
    let mut sums: BTreeMap<i64, i64> = BTreeMap::new();
    for ((heartbeat, _), events) in parts {
        *sums.entry(heartbeat).or_default() += events;
    }
    // The data begin a millisecond after the first heartbeat does.
    let sums: Vec<i64> = sums.into_values().collect();
    let whole = matches!(&sums[..], [18, inner @ .., 2] if inner.iter().all(|n| *n == 20));
    assert!(whole, "{sums:?}");
    let versions: BTreeSet<i64> = versions.into_values().collect();
    assert!(versions.len() > 5, "{versions:?}");
}
