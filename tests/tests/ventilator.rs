//! What a ventilator promises: its death, a chunk that kills, more data than workers can do.

use ami_tests::client::Feature;
use ami_tests::{System, until};
use serde_json::{Value, json};

fn graph() -> Value {
    json!({"name": "g", "nodes": {
        "n": {"op": "count", "in": "bench:raw:a"},
        "hist": {"op": "hist", "in": "bench:raw:a", "bins": 50, "range": [0, 20]}
    }})
}

fn expected(feature: &Feature) -> u64 {
    feature.header["window_expected"].as_u64().unwrap_or(0)
}

fn dropped(feature: &Feature, reason: &str) -> u64 {
    feature.header["window_dropped"][reason].as_u64().unwrap_or(0)
}

/// The run's end: every event is accounted for, once; the value counts what its label says.
fn conserved(system: &System, events: u64, reason: &str) -> Feature {
    system.drained();
    let last = system.get_when("g/n", |f| expected(f) >= events);
    let merged = last.header["window_events"].as_u64().unwrap();
    assert_eq!(expected(&last), events, "{}", last.header);
    assert_eq!(merged + dropped(&last, reason), events, "{}", last.header);
    assert_eq!(last.value("value"), merged as f64, "{}", last.header);
    last
}

#[test]
fn a_killed_ventilator_loses_what_was_under_way_and_says_exactly_how_much() {
    const EVENTS: u64 = 400_000;
    let source = format!("sim:scalars?events={EVENTS}&rate=20000&pace=100000");
    let mut system = System::of(&source).workers(3).start();
    system.apply(&graph());
    let pids = |system: &System| [0, 1, 2].map(|n| system.pid(&format!("worker-{n}")));
    let workers = pids(&system);
    for round in 1..4 {
        let events = f64::from(round) * EVENTS as f64 / 5.0;
        until("progress", || (system.metric("root", "ami_events_total")? > events).then_some(()));
        system.kill("ventilator");
        system.spawn("ventilator");
    }
    let last = conserved(&system, EVENTS, "lost");
    assert_eq!(pids(&system), workers, "workers keep their process");
    let lost = dropped(&last, "lost");
    assert!(lost > 0 && lost < EVENTS / 4, "{lost} lost: it went on where it was");
    assert_eq!(last.header["run"], 1);
}
