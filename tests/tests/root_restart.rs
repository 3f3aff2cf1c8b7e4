//! The root dies under load: nothing is missing, or what is missing is declared exactly.
//!
//! The source is one run, so that the last value speaks of every event.

use ami_tests::{System, client::Feature, until};
use serde_json::{Value, json};

const EVENTS: i64 = 120_000;

const STREAM: &str = r#"seed = 5
rate_hz = 2000.0

[[field]]
name = "number"
kind = "counter"
dtype = "i64"

[[field]]
name = "gauss"
kind = "normal"
"#;

fn graph() -> Value {
    json!({"name": "g", "nodes": {
        "n": {"op": "count", "in": "number"},
        "sum": {"op": "sum", "in": "number"},
        "hist": {"op": "hist", "in": "gauss", "bins": 40, "range": [-4, 4]}
    }})
}

fn start(options: &[&str]) -> (System, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("one-run.toml");
    std::fs::write(&file, STREAM).unwrap();
    let url = format!("sim:{}?events={EVENTS}&pace=20000&overload=block", file.display());
    let builder = System::of(&url).workers(2).set("collector.ask_after_ms=200");
    let system = options.iter().fold(builder, |b, o| b.set(o)).start();
    system.apply(&graph());
    (system, dir)
}

/// Whether a value speaks of the whole run.
fn whole(feature: &Feature) -> bool {
    let merged = feature.int("window_events");
    let dropped = &feature.header["window_dropped"];
    let dropped: i64 = dropped.as_object().unwrap().values().map(|n| n.as_i64().unwrap()).sum();
    feature.int("window_expected") == EVENTS && merged + dropped == EVENTS
}

fn finals(system: &System) -> (f64, f64, Vec<i64>) {
    let of = |topic: &str| {
        let feature = system.get_when(topic, whole);
        assert_eq!(feature.header["window_complete"], true, "{}", feature.header);
        feature
    };
    (of("g/n").value("value"), of("g/sum").value("value"), of("g/hist").i64s("counts"))
}

/// Kills a daemon each time another part of the events was merged into the windows.
fn kill_often(system: &mut System, rounds: i64, victims: &[&str]) {
    for round in 1..=rounds {
        let so_far = round * EVENTS / (rounds + 2);
        system.get_when("g/n", |f| f.int("window_expected") >= so_far);
        for victim in victims {
            system.kill(victim);
        }
        for victim in victims {
            system.spawn(victim);
        }
    }
}

#[test]
fn a_killed_root_goes_on_from_its_checkpoint_and_nothing_is_missing() {
    let undisturbed = finals(&start(&[]).0);
    assert_eq!(undisturbed.0, EVENTS as f64);
    let (mut system, _dir) = start(&[]);
    let checkpoint = system.dir().join("root.checkpoint");
    until("a checkpoint", || checkpoint.exists().then_some(()));
    kill_often(&mut system, 4, &["root"]);
    assert_eq!(finals(&system), undisturbed);
    assert!(system.log("root").contains("goes on from the checkpoint"));
    // Also after the end of data, to a store that was restarted, too.
    for victim in ["root", "store"] {
        system.kill(victim);
        system.spawn(victim);
    }
    assert_eq!(finals(&system), undisturbed);
}

#[test]
fn a_host_collector_killed_often_changes_no_number() {
    let undisturbed = finals(&start(&[]).0);
    let (mut system, _dir) = start(&[]);
    kill_often(&mut system, 6, &["collector"]);
    assert_eq!(finals(&system), undisturbed);
}

#[test]
fn what_nobody_holds_any_more_is_declared_exactly() {
    // The host collector dies with the root: what was decided after the checkpoint is gone.
    let (mut system, _dir) = start(&["root.checkpoint_s=0.3"]);
    kill_often(&mut system, 3, &["root", "collector"]);
    let last = system.get_when("g/n", whole);
    let lost = last.header["window_dropped"]["lost"].as_i64().unwrap_or(0);
    assert_eq!(last.value("value") as i64, EVENTS - lost, "{}", last.header);
    assert_eq!(last.header["window_complete"], lost == 0, "{}", last.header);
}

#[test]
fn a_root_without_checkpoint_declares_everything_before() {
    let (mut system, _dir) = start(&["collector.hold_bytes=100000"]);
    system.get_when("g/n", |f| f.int("window_expected") >= EVENTS / 3);
    system.kill("root");
    std::fs::remove_file(system.dir().join("root.checkpoint")).unwrap();
    system.spawn("root");
    let last = system.get_when("g/n", whole);
    let lost = last.header["window_dropped"]["lost"].as_i64().unwrap();
    assert!(lost >= EVENTS / 4, "{}", last.header);
    assert_eq!(last.value("value") as i64, EVENTS - lost);
    assert_eq!(last.header["window_complete"], false);
}

#[test]
fn a_damaged_checkpoint_is_put_aside_and_a_stopped_root_forgets_nothing() {
    let (mut system, _dir) = start(&[]);
    system.get_when("g/n", |f| f.int("window_expected") >= EVENTS / 3);
    system.signal("root", rustix::process::Signal::TERM);
    until("the last checkpoint", || system.log("root").contains("stopped").then_some(()));
    system.kill("root");
    let path = system.dir().join("root.checkpoint");
    let good = std::fs::read(&path).unwrap();
    std::fs::write(&path, &good[..good.len() / 2]).unwrap();
    system.spawn("root");
    until("the report", || system.log("root").contains("is put aside").then_some(()));
    assert!(path.with_extension("damaged").exists());
    let last = system.get_when("g/n", whole);
    let lost = last.header["window_dropped"]["lost"].as_i64().unwrap_or(0);
    assert_eq!(last.value("value") as i64, EVENTS - lost, "{}", last.header);
}

#[test]
fn restarts_after_the_end_of_data_come_back_to_the_last_value_however_often() {
    let (mut system, _dir) = start(&["root.checkpoint_s=0.05"]);
    let checkpoint = system.dir().join("root.checkpoint");
    until("a checkpoint", || checkpoint.exists().then_some(()));
    kill_often(&mut system, 4, &["root"]);
    let last = finals(&system);
    assert_eq!(last.0, EVENTS as f64);
    for round in 0..rounds() {
        let victims = match round % 3 {
            0 => &["root", "store"][..],
            1 => &["store", "root"],
            _ => &["root"],
        };
        println!("round {round}: {victims:?}");
        victims.iter().for_each(|v| system.kill(v));
        victims.iter().for_each(|v| system.spawn(v));
        assert_eq!(finals(&system), last);
    }
}

fn rounds() -> usize {
    std::env::var("AMI_ROUNDS").ok().and_then(|n| n.parse().ok()).unwrap_or(6)
}
