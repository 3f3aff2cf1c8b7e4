//! Pedestals from the running system: recorded by `ami-ctl`, used by `calibrate`.

use ami_tests::{System, bin};
use serde_json::{Value, json};
use std::process::{Command, Output};

fn pedestal(system: &System, arguments: &[&str]) -> Output {
    let run_dir = system.dir().display().to_string();
    Command::new(bin("ami-ctl"))
        .args(["--run-dir", &run_dir, "--json", "pedestal"])
        .args(arguments)
        .output()
        .unwrap()
}

fn graphs(system: &System) -> Value {
    system.manager(json!({"cmd": "graph.list"}))
}

#[test]
fn a_recorded_pedestal_calibrates_to_nothing() {
    let system = System::of("sim:image128?pace=500").workers(1).start();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("dark.npy").display().to_string();
    let output = pedestal(&system, &["bench:raw:image", "--events", "200", "--out", &file]);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{text}");
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(said["events"].as_u64().unwrap() >= 200, "{said}");
    assert_eq!((&said["complete"], &said["shape"]), (&json!(true), &json!([128, 128])), "{said}");
    assert!(!graphs(&system).to_string().contains("pedestal-"));

    system.apply(&json!({"name": "g", "nodes": {
        "raw": {"op": "array_stat", "in": "bench:raw:image", "stat": "mean"},
        "image": {"op": "calibrate", "in": "bench:raw:image", "pedestal": file},
        "left": {"op": "array_stat", "in": "image", "stat": "mean"},
        "before": {"op": "stats", "in": "raw"},
        "after": {"op": "stats", "in": "left"}}}));
    let after = system.get_when("g/after", |f| f.header["values"]["count"].as_u64() >= Some(200));
    let before = system.get("g/before");
    let mean = |values: &Value| values["mean"].as_f64().unwrap();
    let (raw, left) = (mean(&before.header["values"]), mean(&after.header["values"]));
    assert!(left.abs() < 0.02 * raw, "{left} of {raw} is left");
}

#[test]
fn without_its_events_nothing_is_written_and_the_graph_is_gone() {
    let system = System::of("sim:image128?pace=500").workers(1).start();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("dark.npy").display().to_string();
    let arguments = ["--events", "1000000000", "--out", &file, "--timeout", "1"];
    for (field, reason) in
        [("bench:raw:image", "came within 1 s"), ("bench:raw:imige", "bench:raw:image")]
    {
        let output = pedestal(&system, &[&[field], &arguments[..]].concat());
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text);
        assert!(!output.status.success() && text.contains(reason), "{text}");
        assert!(!graphs(&system).to_string().contains("pedestal-"));
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
