//! The example graphs on the simulated pump-probe scan: they run, and show what they say.

use ami_tests::System;
use ami_tests::client::Feature;
use serde_json::Value;

/// One scan: 41 positions of the delay stage, 24 events each.
const EVENTS: i64 = 984;

fn example(name: &str) -> Value {
    let path = format!("{}/../examples/graphs/{name}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// Runs an example over one scan: the last value of each of these topics.
fn run(name: &str, topics: &[&str]) -> Vec<Feature> {
    let source = format!("sim:pump-probe?pace=max&events={EVENTS}");
    let system = System::of(&source).workers(2).start();
    system.apply(&example(name));
    system.drained();
    let whole = |f: &Feature| f.int("window_events") == EVENTS || f.header["window"] != "run";
    let features = topics.iter().map(|topic| system.get_when(&format!("{name}/{topic}"), whole));
    let features: Vec<Feature> = features.collect();
    assert!(features.iter().all(|f| f.header.get("error").is_none_or(Value::is_null)));
    assert!(system.stop());
    features
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

#[test]
fn the_demo_graph_sees_time_zero() {
    let features = run("pump_probe", &["scan", "scan_off", "energy"]);
    let (on, off) = (features[0].f64s("mean"), features[1].f64s("mean"));
    // Bins of 0.1 ps from -1 ps: time zero is at the edge of bin 10.
    let step = |curve: &[f64]| mean(&curve[12..16]) / mean(&curve[0..8]);
    assert!(step(&on) > 1.05 && (step(&off) - 1.0).abs() < 0.05, "{} {}", step(&on), step(&off));
    let inside: i64 = features[2].i64s("counts").iter().sum();
    let outside = features[2].value("underflow") + features[2].value("overflow");
    assert_eq!(inside + outside as i64, EVENTS);
}

#[test]
fn pumped_minus_unpumped() {
    let features = run("difference", &["relative", "difference"]);
    assert!(features[0].value("value") > 0.0, "{}", features[0].header);
    assert_eq!(features[1].f64s("value").len(), 256 * 256);
}

#[test]
fn images_by_key() {
    let features = run("images_by_key", &["by_delay", "by_laser", "curve"]);
    let keys = features[0].f64s("keys");
    assert_eq!((keys.len(), keys[0], keys[40]), (41, -1.0, 4.0));
    assert_eq!(features[0].i64s("count"), [12; 41]);
    assert_eq!(features[1].i64s("count"), [EVENTS / 2; 2]);
    assert_eq!(features[1].f64s("mean").len(), 2 * 256 * 256);
    let curve = features[2].f64s("value");
    assert!(mean(&curve[12..16]) > mean(&curve[..7]), "{curve:?}");
}

#[test]
fn scans_normalised_by_what_came_in() {
    let features = run("normalised_scan", &["ratio", "signal", "correlation"]);
    let ratio = features[0].f64s("value");
    assert_eq!(ratio.len(), 41);
    assert!(mean(&ratio[9..14]) > 1.05 * mean(&ratio[..7]), "{ratio:?}");
    assert!(features[2].value("r") > 0.5, "{}", features[2].header);
}

#[test]
fn delays_corrected_by_the_timing_tool() {
    let features = run("time_tool", &["curve", "jitter"]);
    let curve = features[0].f64s("mean");
    // Bins of 0.06 ps from -1.5 ps: time zero lies at bin 25.
    let (before, after) = (&curve[10..24], &curve[27..35]);
    assert!(mean(after) > 1.01 * mean(before), "{before:?} {after:?}");
    let found: i64 = features[1].i64s("counts").iter().sum();
    assert!(found > EVENTS * 99 / 100, "{found} edges");
}

#[test]
fn hits_of_serial_crystallography() {
    let features = run("hits", &["counts", "powder", "last_hit"]);
    let counted: i64 = features[0].i64s("counts").iter().sum();
    assert_eq!(counted as f64 + features[0].value("overflow"), EVENTS as f64);
    assert!(features[1].value("count") > 0.0, "{}", features[1].header);
}
