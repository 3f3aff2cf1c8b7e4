//! Programs as sources, acknowledged and not, and an ami that feeds on another.

use ami_tests::client::Feature;
use ami_tests::sender::{Sender, python_with};
use ami_tests::{System, until};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;

fn graph() -> Value {
    json!({"name": "g", "nodes": {
        "n": {"op": "sum", "in": "zmq:raw:n"},
        "half": {"op": "sum", "in": "zmq:raw:half"},
        "image": {"op": "sum", "in": "zmq:raw:image"},
    }})
}

fn program(address: &str, kind: &str) -> Option<Sender> {
    Sender::start("send_events.py", &[address, kind], &["numpy", "zmq"])
}

fn have(events: u64) -> impl Fn(&Feature) -> bool {
    move |f| f.header["window_events"] == events && f.header["window_complete"] == true
}

fn expect(system: &System, events: std::ops::Range<u64>) {
    let count = events.end - events.start;
    let sum = events.sum::<u64>() as f64;
    assert_eq!(system.get_when("g/n", have(count)).value("value"), sum);
    assert_eq!(system.get_when("g/half", have(count)).value("value"), sum / 2.0);
    let image = system.get_when("g/image", have(count)).i64s("value");
    assert_eq!(image, [sum as i64; 64]);
}

fn counter(system: &System, what: &str) -> f64 {
    let name = format!("ami_source_total{{what=\"{what}\"}}");
    until(what, || system.metric("ventilator", &name))
}

/// An address in a directory of its own: sockets of tests do not meet.
fn address() -> (tempfile::TempDir, String) {
    let dir = tempfile::tempdir().unwrap();
    let address = format!("ipc://{}/events", dir.path().display());
    (dir, address)
}

#[test]
fn every_pattern_gives_the_same_with_any_number_of_workers() {
    let cases = [(1, "REQ", "rep"), (2, "DEALER", "rep"), (3, "PUSH", "pull"), (2, "PUB", "sub")];
    for (workers, kind, pattern) in cases {
        let (_dir, mut address) = address();
        let mut publisher = None;
        if kind == "PUB" {
            publisher = program("tcp://127.0.0.1:*", kind);
            let Some(publisher) = &publisher else { return };
            address = publisher.address();
        }
        let source = format!("zmq:{address}?pattern={pattern}");
        let system = System::of(&source).workers(workers).set("ventilator.chunk_events=7").start();
        let Some(mut sender) = publisher.or_else(|| program(&address, kind)) else { return };
        // An answer comes once the event was taken, and that waits for a graph: not waited for here.
        sender.say(json!({"events": [0, 1]}));
        until("fields", || (counter(&system, "messages") == 1.0).then_some(()));
        system.apply(&graph());
        sender.answer();
        let answer = sender.tell(json!({"events": [1, 200]}));
        expect(&system, 0..200);
        if pattern == "rep" {
            let ids: Vec<u64> = (1..200).collect();
            assert_eq!(answer["answered"], json!(ids), "each was answered, in order");
            until("answers", || (counter(&system, "answers") == 200.0).then_some(()));
        }
        assert!(system.stop(), "{pattern}");
    }
}

#[test]
fn a_mistake_is_answered_with_the_reason() {
    let (_dir, address) = address();
    let system = System::of(&format!("zmq:{address}")).start();
    let Some(mut sender) = program(&address, "REQ") else { return };
    let answer = sender.tell(json!({"order": "mistake"}));
    assert!(answer["error"].as_str().unwrap().contains("1 arrays in the header, 0 buffers"));
    assert!(answer["hint"].as_str().unwrap().contains("docs/sources/zmq.md"));
    until("the count", || (counter(&system, "damaged_messages") == 1.0).then_some(()));
}

#[test]
fn a_program_that_freezes_dies_and_comes_back_costs_nothing() {
    let (_dir, address) = address();
    let system = System::of(&format!("zmq:{address}")).workers(2).start();
    let Some(mut sender) = program(&address, "REQ") else { return };
    sender.say(json!({"events": [0, 50]}));
    until("fields", || (counter(&system, "messages") == 1.0).then_some(()));
    system.apply(&graph());
    sender.answer();
    sender.signal(Signal::STOP);
    until("silence", || {
        let status = system.status();
        let members = status["members"].as_array()?;
        let ventilator = members.iter().find(|m| m["role"] == "ventilator")?;
        ventilator["state"].as_str()?.contains("source silent").then_some(())
    });
    sender.signal(Signal::CONT);
    sender.tell(json!({"events": [50, 60]}));
    expect(&system, 0..60);
    drop(sender);
    let Some(mut sender) = program(&address, "REQ") else { return };
    sender.tell(json!({"events": [60, 80]}));
    expect(&system, 0..80);
    assert!(system.stop());
}

#[test]
fn too_many_events_are_dropped_counted_and_said_to_be() {
    const EVENTS: u64 = 2000;
    let (_dir, address) = address();
    let system =
        System::of(&format!("zmq:{address}?events={EVENTS}&overload=drop")).workers(1).start();
    let Some(mut sender) = program(&address, "DEALER") else { return };
    sender.tell(json!({"events": [0, 1], "side": 128}));
    system.apply(&json!({"name": "g", "nodes": {
        "slow": {"op": "median_filter", "in": "zmq:raw:image", "size": 7},
        "image": {"op": "sum", "in": "slow"}}}));
    let answer = sender.tell(json!({"events": [1, EVENTS], "side": 128}));
    system.drained();
    assert_eq!(system.metric("ventilator", "ami_events_total"), Some(EVENTS as f64));
    let dropped = until("merged + dropped = taken", || {
        let name = |reason| format!("ami_dropped_events_total{{reason=\"{reason}\"}}");
        let dropped = |reason| system.metric("ventilator", &name(reason)).unwrap_or(0.0);
        let dropped: f64 = ["overload", "ring_full"].map(dropped).iter().sum();
        let merged = system.metric("root", "ami_events_total")?;
        (merged + dropped == EVENTS as f64).then_some(dropped)
    });
    assert!(dropped > 0.0, "the workers kept up");
    assert!(answer["dropped"].as_f64().unwrap() <= dropped, "the first event's answer was another");
}

#[test]
fn a_second_ami_feeds_on_the_first() {
    let first = System::of("sim:mixed?events=3000").workers(2).start();
    let source = format!("zmq:{}?pattern=sub&topic=g/", first.address("store.pub"));
    let second = System::of(&source).workers(2).set("ventilator.wait_for_graph=false").start();
    first.apply(&json!({"name": "g", "nodes": {
        "n": {"op": "count", "in": "mixed:raw:i32"},
        "mean": {"op": "mean", "in": "mixed:raw:trace"}}}));
    let h = json!({"name": "h", "nodes": {
        "most": {"op": "max", "in": "g/n:value", "window": {"events": 100000}},
        "seen": {"op": "max", "in": "g/n:window_events", "window": {"events": 100000}}}});
    // Each feature brings its fields when it first comes.
    until("fields", || {
        let answer = second.manager(json!({"cmd": "graph.apply", "spec": h, "who": "test"}));
        (answer["in_effect"] == true).then_some(())
    });
    first.drained();
    let last = first.get_when("g/n", |f| f.header["window_complete"] == true);
    // The end of the run is published once more; whatever came, none is beyond what was published.
    let seen = second.get_when("h/seen", |f| f.value("value") > 0.0);
    assert!(seen.value("value") <= 3000.0);
    assert!(second.get("h/most").value("value") >= last.value("value").min(1.0));
    let count = counter(&second, "damaged_messages") + counter(&second, "values_left_out");
    assert_eq!(count, 0.0);
    until("markers", || (counter(&second, "markers") > 0.0).then_some(()));
    assert!(second.stop() && first.stop());
}

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples")
}

/// Runs an example against a system, and compares what came.
fn run_example(mut example: Command, address: &str) {
    let system = System::of(&format!("zmq:{address}")).workers(2).start();
    let mut child = example.args([address, "20"]).spawn().unwrap();
    until("fields", || (counter(&system, "messages") == 1.0).then_some(()));
    system.apply(&json!({"name": "g", "nodes": {
        "n": {"op": "sum", "in": "zmq:raw:n"}, "energy": {"op": "sum", "in": "zmq:raw:energy"},
        "image": {"op": "sum", "in": "zmq:raw:image"}}}));
    assert!(child.wait().unwrap().success());
    assert_eq!(system.get_when("g/n", have(20)).value("value"), 190.0);
    assert_eq!(system.get_when("g/energy", have(20)).value("value"), 95.0);
    assert_eq!(system.get_when("g/image", have(20)).i64s("value"), [190; 32]);
}

#[test]
fn the_example_in_python() {
    let Some(python) = python_with(&["numpy", "zmq"]) else { return };
    let (_dir, address) = address();
    let mut example = Command::new(python);
    example.arg(examples().join("python/send_events.py"));
    run_example(example, &address);
}

#[test]
fn the_example_in_cpp() {
    let dir = tempfile::tempdir().unwrap();
    let program = dir.path().join("send_events");
    let compiler = std::env::var_os("CXX").unwrap_or("c++".into());
    let built = Command::new(compiler)
        .arg(examples().join("cpp/send_events.cpp"))
        .args(["-Wall", "-Werror", "-lzmq", "-o"])
        .arg(&program)
        .status();
    if !built.is_ok_and(|status| status.success()) {
        println!("skipped: no C++ compiler, or no libzmq3-dev");
        return;
    }
    let (_dir, address) = address();
    run_example(Command::new(program), &address);
}
