//! Source to client over real processes: split invariance and conservation.

use ami_tests::client::Feature;
use ami_tests::{System, client, until};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

/// Heartbeats, parted by runs and steps, that 6000 events of this source make.
const MARKERS: i64 = 180;

/// Every reduction and window over scalars and arrays of several types, some absent.
fn graph() -> Value {
    json!({"name": "g", "nodes": {
        "n": {"op": "count", "in": "mixed:raw:i32"},
        "isum": {"op": "sum", "in": "mixed:raw:i32", "window": "step"},
        "fsum": {"op": "sum", "in": "mixed:raw:f64"},
        "mean": {"op": "mean", "in": "mixed:raw:f32", "window": {"heartbeats": 5}},
        "stats": {"op": "stats", "in": "mixed:raw:f64", "window": {"events": 500}},
        "low": {"op": "min", "in": "mixed:raw:i16", "window": {"seconds": 0.7}},
        "high": {"op": "max", "in": "mixed:raw:f64", "window": "heartbeat"},
        "hist": {"op": "hist", "in": "mixed:raw:f64", "bins": 40, "range": [-4, 4]},
        "auto": {"op": "hist", "in": "mixed:raw:f32", "bins": 32, "range": "auto"},
        "scan": {"op": "profile", "in": {"key": "mixed:raw:i16", "value": "mixed:raw:f64"}, "bins": 20, "range": [-100, 100]},
        "last": {"op": "last", "in": ["mixed:raw:i32", "mixed:raw:f64"], "n": 7},
        "strip": {"op": "buffer", "in": "mixed:raw:i64", "n": 50},
        "image": {"op": "sum", "in": "mixed:raw:segments"},
        "trace": {"op": "mean", "in": "mixed:raw:trace"},
        "x": {"op": "expr", "in": {"a": "mixed:raw:f64", "b": "mixed:raw:i32"}, "expr": "a * 2 + b"},
        "gated": {"op": "gate", "in": "x", "with": {"f": "mixed:raw:f32"}, "when": "f > 0"},
        "gsum": {"op": "sum", "in": "gated"},
        "trend": {"op": "buffer", "in": "mean.value", "n": 20}
    }})
}

/// Everything published, in order, without what depends on how the work was shared.
fn published(workers: usize) -> (Vec<Feature>, f64) {
    let system = System::of("sim:mixed?events=6000").workers(workers).start();
    system.apply(&graph());
    system.drained();
    let marker = system.get_when("g/@heartbeat", |f| f.int("seq") == MARKERS);
    let mut features = Vec::new();
    for topic in marker.header["topics"].as_object().unwrap().keys() {
        features.extend(client::history(&system.address("store.query"), topic));
    }
    features.extend(client::history(&system.address("store.query"), "g/@heartbeat"));
    let taken = system.metric("ventilator", "ami_events_total").unwrap();
    assert!(system.stop());
    for feature in &mut features {
        assert!(feature.complete(), "{}", feature.header);
        let header = feature.header.as_object_mut().unwrap();
        header.remove("units");
    }
    (features, taken)
}

fn close(a: f64, b: f64, scale: f64) -> bool {
    (a - b).abs() <= 1e-12 * scale.max(1.0) || (a.is_nan() && b.is_nan()) || a == b
}

fn assert_same(one: &Feature, other: &Feature, workers: usize) {
    let topic = &one.header["topic"];
    let values = |f: &Feature| f.header["values"].as_object().cloned().unwrap_or_default();
    let (a, b) = (values(one), values(other));
    assert_eq!(a.keys().collect::<Vec<_>>(), b.keys().collect::<Vec<_>>(), "{topic}");
    for (name, value) in &a {
        match (value.as_f64(), b[name].as_f64()) {
            (Some(x), Some(y)) if value.is_f64() => {
                let scale = one.int("window_events") as f64 * 10.0;
                assert!(close(x, y, scale), "{topic} {name} {x} {y} with {workers} workers");
            }
            _ => assert_eq!(value, &b[name], "{topic} {name} with {workers} workers"),
        }
    }
    for (name, bytes) in &one.arrays {
        let dtype = |f: &Feature| {
            let arrays = f.header["arrays"].as_array().cloned().unwrap_or_default();
            arrays.iter().find(|a| a["name"] == name.as_str()).map(|a| a["dtype"].clone())
        };
        assert_eq!(dtype(one), dtype(other));
        if dtype(one) == Some(json!("<f8")) {
            for (x, y) in one.f64s(name).iter().zip(other.f64s(name)) {
                let scale = one.int("window_events") as f64 * 10.0;
                assert!(close(*x, y, scale), "{topic} {name} {x} {y} with {workers} workers");
            }
        } else {
            assert!(*bytes == other.arrays[name], "{topic} {name} with {workers} workers");
        }
    }
    let without = |f: &Feature| {
        let mut header = f.header.clone();
        header.as_object_mut().unwrap().remove("values");
        header
    };
    assert_eq!(without(one), without(other));
}

#[test]
fn any_number_of_workers_publishes_the_same() {
    let (one, taken) = published(1);
    assert_eq!(taken, 6000.0);
    let markers = one.iter().filter(|f| f.header["topic"] == "g/@heartbeat");
    let events: i64 = markers.map(|f| f.int("events")).sum();
    assert_eq!(events, 6000, "every event is in one heartbeat");
    for workers in [2, 3, 7] {
        let (other, _) = published(workers);
        let name =
            |f: &Feature| (f.header["topic"].to_string(), f.int("heartbeat"), f.int("segment"));
        let names = |all: &[Feature]| all.iter().map(name).collect::<Vec<_>>();
        assert_eq!(names(&one), names(&other), "with {workers} workers");
        for (a, b) in one.iter().zip(&other) {
            assert_same(a, b, workers);
        }
    }
}

#[test]
fn a_client_that_comes_late_gets_values_at_once_and_frames_are_consistent() {
    let system = System::of("sim:mixed?events=2000").workers(2).start();
    system.apply(&graph());
    system.drained();
    let marker = system.get("g/@heartbeat");
    let late = system.subscribe("g/");
    let expected = marker.header["topics"].as_object().unwrap().len() + 1;
    let mut seen = BTreeMap::new();
    until("last values of all topics", || {
        let feature = late.next(Duration::from_millis(200))?;
        seen.insert(
            feature.header["topic"].as_str().unwrap().to_string(),
            feature.int("heartbeat"),
        );
        (seen.len() == expected).then_some(())
    });
    assert!(seen.values().all(|h| *h == marker.int("heartbeat")), "{seen:?}");
}

#[test]
fn an_overloaded_source_that_may_drop_counts_what_it_drops() {
    // Workers come only after the source has begun: until then everything is dropped.
    let mut system = System::of("sim:mixed?events=200000&overload=drop").workers(0).start();
    system.spawn_worker();
    system.drained();
    assert_eq!(system.metric("ventilator", "ami_events_total"), Some(200_000.0));
    // Reports of different members are of different moments: in the end they agree.
    until("merged + dropped = taken", || {
        let dropped = system.metric("ventilator", "ami_dropped_events_total{reason=\"overload\"}");
        let merged = system.metric("root", "ami_events_total")?;
        (merged + dropped.unwrap_or(0.0) == 200_000.0).then_some(())
    });
}
