//! Steps and what they set: no step is none, a step without a scan's variable is left out, and a
//! recording replays to what was seen live.

use ami_proto::data_path::transition::TransitionKind::{
    BeginRun, BeginStep, Configure, Disable, Enable, EndRun, EndStep, SlowUpdate,
};
use ami_tests::client::Feature;
use ami_tests::recording::{self, Item};
use ami_tests::{System, client, shared_data};
use serde_json::{Value, json};
use std::path::Path;

const MILLISECOND: u64 = 1_000_000;

fn graph() -> Value {
    let x = "cam:raw:x";
    json!({"name": "g", "nodes": {
        "scan": {"op": "scan", "in": x},
        "by": {"op": "scan", "in": x, "by": "motor"},
        "events": {"op": "count", "in": x},
        "step": {"op": "count", "in": x, "window": "step"},
        "held": {"op": "by_key", "in": {"key": "motor", "value": x}}}})
}

/// A system that has gone through all of a source.
fn finished(source: &str) -> System {
    let system = System::of(source).workers(2).start();
    system.apply(&graph());
    system.drained();
    let taken = system.metric("ventilator", "ami_events_total").unwrap();
    system.get_when("g/events", |f| f.value("value") == taken);
    let last = system.get("g/events").int("heartbeat");
    system.get_when("g/@heartbeat", |f| f.int("heartbeat") == last);
    system
}

fn of_file(write: impl FnOnce(&Path)) -> System {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("run.xtc2");
    write(&path);
    finished(&format!("xtc2:{}", path.display()))
}

fn counts(scan: &Feature) -> Vec<(f64, i64)> {
    scan.f64s("keys").into_iter().zip(scan.i64s("count")).collect()
}

/// 71 events of no step, 60 at motor 4, 60 at motor 5; steps begin inside heartbeats.
fn begins_without_a_step(path: &Path) {
    let items = [
        Item::Sets(Configure, &[("motor", 3.0)]),
        Item::Sets(BeginRun, &[]),
        Item::Sets(SlowUpdate, &[]),
        Item::Events(71),
        Item::Sets(Disable, &[]),
        Item::Sets(EndStep, &[]),
        Item::Sets(BeginStep, &[("motor", 4.0)]),
        Item::Sets(Enable, &[]),
        Item::Events(60),
        Item::Sets(EndStep, &[]),
        Item::Sets(BeginStep, &[("motor", 5.0)]),
        Item::Events(60),
        Item::Sets(EndRun, &[]),
    ];
    recording::write(path, &["motor"], 5 * MILLISECOND, &items);
}

#[test]
fn events_before_the_first_step_are_of_no_step() {
    let system = of_file(begins_without_a_step);
    for node in ["g/scan", "g/by"] {
        let scan = system.get(node);
        assert_eq!(counts(&scan), [(4.0, 60), (5.0, 60)], "{node}");
        assert_eq!(scan.value("outside"), 71.0, "{node}");
    }
    let history = client::history(&system.address("store.query"), "g/step");
    let last = |step: Value| {
        let of = history.iter().filter(|f| f.header["step"] == step);
        of.map(|f| f.value("value")).fold(f64::NAN, f64::max)
    };
    assert_eq!([last(Value::Null), last(json!(0)), last(json!(1))], [71.0, 60.0, 60.0]);
    assert_eq!(history.first().unwrap().header["step"], Value::Null);
    assert_eq!(counts(&system.get("g/held")), [(3.0, 71), (4.0, 60), (5.0, 60)]);
}

#[test]
fn a_step_without_the_variable_is_left_out_and_counted() {
    let system = of_file(|path| {
        let mut items = vec![Item::Sets(Configure, &[]), Item::Sets(BeginRun, &[])];
        let steps: [&[(&str, f64)]; 4] =
            [&[("motor", 1.0)], &[("other", 9.0)], &[("motor", 3.0)], &[("motor", 1.0)]];
        for step in steps {
            items.extend([Item::Sets(BeginStep, step), Item::Sets(Enable, &[]), Item::Events(10)]);
            items.push(Item::Sets(EndStep, &[]));
        }
        items.push(Item::Sets(EndRun, &[]));
        recording::write(path, &["motor", "other"], MILLISECOND, &items);
    });
    let scan = system.get("g/by");
    assert_eq!(counts(&scan), [(1.0, 20), (3.0, 10)]);
    assert_eq!(scan.value("outside"), 10.0);
    // Without any step that has it, the reason is said.
    let wrong =
        json!({"name": "w", "nodes": {"n": {"op": "scan", "in": "cam:raw:x", "by": "mottor"}}});
    let answer = system.manager(json!({"cmd": "graph.apply", "spec": wrong, "who": "test"}));
    assert!(answer.get("error").is_none(), "{answer:#}");
}

#[test]
fn reported_recordings_come_out_right() {
    let Some(data) = shared_data() else {
        return eprintln!("skipped: no shared data beside this checkout");
    };
    let found = |name: &str| finished(&format!("xtc2:{}", data.join("found").join(name).display()));
    let system = found("F2.xtc2");
    assert_eq!(counts(&system.get("g/by")), [(4.0, 60), (5.0, 60)]);
    assert_eq!(system.get("g/by").value("outside"), 71.0);
    let system = found("F3.xtc2");
    let ends: Vec<f64> = [Value::Null, json!(0), json!(1)]
        .iter()
        .map(|step| {
            let history = client::history(&system.address("store.query"), "g/step");
            history
                .iter()
                .filter(|f| f.header["step"] == *step)
                .map(|f| f.value("value"))
                .fold(0.0, f64::max)
        })
        .collect();
    assert_eq!(ends, [30.0, 30.0, 30.0]);
    let system = found("F4.xtc2");
    let scan = system.get("g/by");
    let counted: i64 = scan.i64s("count").iter().sum();
    assert_eq!((counted, scan.value("outside")), (30, 10.0), "{}", scan.header);
}

/// What one host publishes of a graph, without how the work was cut.
fn everything(system: &System) -> Vec<(Value, std::collections::BTreeMap<String, Vec<u8>>)> {
    let mut all = Vec::new();
    for node in ["scan", "by", "events", "step", "held"] {
        for mut feature in client::history(&system.address("store.query"), &format!("g/{node}")) {
            feature.header.as_object_mut().unwrap().remove("units");
            all.push((feature.header, feature.arrays));
        }
    }
    all
}

fn scan_of(axes: &[(&str, &[f64])], per_step: usize) -> String {
    let steps = axes[0].1.len();
    let mut toml = format!(
        "rate_hz = 1000.0\npace = \"max\"\nevents = {}\nevents_per_step = {per_step}\n",
        steps * per_step
    );
    for (name, values) in axes {
        toml += &format!("[[held]]\nname = \"{name}\"\nkind = \"scan\"\nvalues = {values:?}\n");
    }
    toml + "[[field]]\nname = \"cam:raw:x\"\nkind = \"counter\"\ndtype = \"f64\"\n"
}

#[test]
fn steps_that_set_what_was_set_are_steps_in_a_replay() {
    let dir = tempfile::tempdir().unwrap();
    let repeats: &[(&str, &[f64])] = &[("motor", &[1.0, 1.0, 2.0, 2.0, 1.0])];
    let grid: &[(&str, &[f64])] = &[
        ("motor", &[1.0, 1.0, 2.0, 2.0, 3.0, 3.0]),
        ("my", &[10.0, 20.0, 10.0, 20.0, 10.0, 20.0]),
    ];
    for (name, axes) in [("repeats", repeats), ("grid", grid)] {
        let toml = dir.path().join(format!("{name}.toml"));
        std::fs::write(&toml, scan_of(axes, 10)).unwrap();
        let file = dir.path().join(format!("{name}.xtc2"));
        let system = System::of(&format!("sim:{}", toml.display())).workers(2).start();
        let mut recorder = system.record(&file, &[]);
        system.apply(&graph());
        system.drained();
        assert!(recorder.wait().unwrap().success());
        let events = axes[0].1.len() as f64 * 10.0;
        system.get_when("g/events", |f| f.value("value") == events);
        let last = system.get("g/events").int("heartbeat");
        system.get_when("g/@heartbeat", |f| f.int("heartbeat") == last);
        let replay = finished(&format!("xtc2:{}", file.display()));
        assert_eq!(everything(&replay), everything(&system), "{name}");
        let keys = replay.get("g/scan").f64s("keys");
        let expected =
            if axes.len() == 1 { vec![1.0, 2.0] } else { vec![0.0, 1.0, 2.0, 3.0, 4.0, 5.0] };
        assert_eq!(keys, expected, "{name}");
    }
}

#[test]
fn a_recording_from_mid_step_knows_run_step_and_values() {
    let dir = tempfile::tempdir().unwrap();
    let toml = dir.path().join("midrun.toml");
    let motor: Vec<f64> = (1..=40).map(f64::from).collect();
    let text = scan_of(&[("motor", &motor)], 150).replace("\"max\"", "\"realtime\"");
    std::fs::write(&toml, text).unwrap();
    let file = dir.path().join("late.xtc2");
    let system = System::of(&format!("sim:{}", toml.display())).workers(1).start();
    system.apply(&graph());
    system.get_when("g/events", |f| f.header["step"].as_i64().is_some_and(|step| step >= 2));
    let mut recorder = system.record(&file, &["--events", "400"]);
    assert!(recorder.wait().unwrap().success());
    drop(system);
    let replay = finished(&format!("xtc2:{}", file.display()));
    let scan = replay.get("g/by");
    assert_eq!(scan.i64s("count").iter().sum::<i64>(), 400);
    assert_eq!(scan.value("outside"), 0.0);
    // Event number x is of the step x / 150, at motor x / 150 + 1.
    let (keys, means) = (scan.f64s("keys"), scan.f64s("mean"));
    assert!(keys.len() >= 3 && keys[0] >= 3.0, "{keys:?}");
    for (key, mean) in keys.iter().zip(&means) {
        let first = (key - 1.0) * 150.0;
        assert!(first <= *mean && *mean < first + 150.0, "mean {mean} at {key}");
    }
    let events = replay.get("g/events");
    assert_eq!(events.int("step") + 1, *keys.last().unwrap() as i64, "{}", events.header);
    assert_eq!(counts(&replay.get("g/held")), counts(&scan));
}
