//! Several hosts: none waits for one that has nothing to say.

use ami_tests::{System, until};
use serde_json::json;

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

#[test]
fn late_data_of_the_last_heartbeat_are_published() {
    // Nobody is waited for: nearly all of the slower host's data are late.
    let mut system = System::of("sim:pump-probe?events=2000&pace=max")
        .workers(1)
        .set("root.late_after_ms=1")
        .start();
    system.apply(&json!({"name": "g", "nodes": {"n": {"op": "count", "in": "gmd:raw:energy"}}}));
    system.get_when("g/n", |f| f.value("value") == 2000.0);
    system.spawn_host("slow", "sim:pump-probe?events=2000&pace=max");
    let feature = system.get_when("g/n", |f| f.value("value") == 4000.0);
    assert_eq!(feature.int("window_events"), 4000, "{}", feature.header);
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
