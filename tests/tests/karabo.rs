//! karabo-bridge through the whole system: a bridge that was written from the description of its protocol,
//! and the simulator of the real one where an interpreter has it.

use ami_tests::client::Feature;
use ami_tests::sender::{Sender, python_with};
use ami_tests::{System, shared_data, until};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::process::{Command, Stdio};

const PULSES: u64 = 4;

fn graph() -> Value {
    json!({"name": "g", "nodes": {
        "n": {"op": "count", "in": "karabo:train:id"},
        "trains": {"op": "sum", "in": "karabo:train:id"},
        "image": {"op": "sum", "in": "DET/A:output:image.data"},
        "motor": {"op": "sum", "in": "MOTOR/1:moves"},
    }})
}

fn bridge(address: &str, kind: &str) -> Option<Sender> {
    Sender::start("send_karabo.py", &[address, kind], &["numpy", "zmq"])
}

fn any() -> &'static str {
    "tcp://127.0.0.1:*"
}

fn listener(addresses: &str, options: &str, workers: usize) -> System {
    let source = format!("karabo:{addresses}?{options}");
    System::of(&source).workers(workers).set("ventilator.chunk_events=7").start()
}

/// The sum of the pixels of trains.
fn sums(trains: impl Iterator<Item = u64>) -> Vec<i64> {
    let mut sums = vec![0; PULSES as usize * 6];
    for train in trains {
        for (i, sum) in (0..).zip(&mut sums) {
            *sum += (train % 1000 * 10) as i64 + i;
        }
    }
    sums
}

fn have(events: u64) -> impl Fn(&Feature) -> bool {
    move |f| f.header["window_events"] == events && f.header["window_complete"] == true
}

fn expect(system: &System, trains: impl Iterator<Item = u64> + Clone) {
    let count = trains.clone().count() as u64;
    let sum = trains.clone().sum::<u64>() as f64;
    assert_eq!(system.get_when("g/n", have(count)).value("value"), count as f64);
    assert_eq!(system.get_when("g/trains", have(count)).value("value"), sum);
    assert_eq!(system.get_when("g/motor", have(count)).value("value"), sum);
    assert!(system.get_when("g/image", have(count)).i64s("value") == sums(trains));
}

fn counter(system: &System, what: &str) -> f64 {
    let name = format!("ami_source_total{{what=\"{what}\"}}");
    until(what, || system.metric("ventilator", &name))
}

fn comes_to(system: &System, what: &str, count: f64) {
    until(&format!("{what} {count}"), || (counter(system, what) == count).then_some(()));
}

fn is_in_state(system: &System, words: &str) {
    until(words, || {
        let status = system.status();
        let members = status["members"].as_array()?;
        let ventilator = members.iter().find(|m| m["role"] == "ventilator")?;
        ventilator["state"].as_str()?.contains(words).then_some(())
    });
}

#[test]
fn every_pattern_and_protocol_gives_the_same_with_any_number_of_workers() {
    let cases = [("REP", "req"), ("PUB", "sub"), ("PUSH", "pull")];
    for (workers, (kind, pattern)) in (1..).zip(cases) {
        let Some(mut sender) = bridge(any(), kind) else { return };
        let system = listener(&sender.address(), &format!("pattern={pattern}"), workers);
        sender.tell(json!({"trains": [1000, 1001]}));
        system.apply(&graph());
        sender.tell(json!({"trains": [1001, 1060]}));
        sender.tell(json!({"trains": [1060, 1090], "protocol": "1.0"}));
        expect(&system, 1000..1090);
        comes_to(&system, "trains", 90.0);
        assert_eq!(counter(&system, "damaged_messages"), 0.0);
        assert!(system.stop(), "{pattern}");
    }
}

#[test]
fn golden_messages_are_the_array_they_were_made_of() {
    let Some(data) = shared_data().map(|d| d.join("karabo")) else {
        println!("skipped: no reference data");
        return;
    };
    let npy = std::fs::read(data.join("karabo_image_data.npy")).unwrap();
    let right = npy[npy.len() - 96..].chunks_exact(4);
    let right: Vec<f64> =
        right.map(|b| f64::from(f32::from_le_bytes(b.try_into().unwrap()))).collect();
    for workers in [1, 2, 3] {
        let Some(mut sender) = bridge(any(), "PUSH") else { return };
        let system = listener(&sender.address(), "pattern=pull", workers);
        let files = |name: &str, parts: usize| -> Vec<_> {
            (0..parts).map(|n| data.join(format!("{name}.part{n}.bin"))).collect()
        };
        sender.tell(json!({"order": "golden", "files": files("karabo_2_2", 8), "times": 1}));
        system.apply(&json!({"name": "g", "nodes": {
            "image": {"op": "mean", "in": "DET/A:output:image.data"},
            "motor": {"op": "mean", "in": "MOTOR/1:pos"}}}));
        sender.tell(json!({"order": "golden", "files": files("karabo_2_2", 8), "times": 9}));
        sender.tell(json!({"order": "golden", "files": files("karabo_1_0", 1), "times": 10}));
        let image = system.get_when("g/image", have(20)).f64s("value");
        assert!(image.iter().zip(&right).all(|(a, b)| (a - b).abs() < 1e-12));
        assert_eq!(system.get_when("g/motor", have(20)).value("value"), 3.5);
        assert!(system.stop());
    }
}

#[test]
fn parts_of_two_bridges_are_one_train_and_pulses_may_be_events() {
    let (Some(mut one), Some(mut two)) = (bridge(any(), "REP"), bridge(any(), "REP")) else {
        return;
    };
    let addresses = format!("{},{}", one.address(), two.address());
    let system = listener(&addresses, "pulses=events&match_ms=5000", 2);
    let both = |one: &mut Sender, two: &mut Sender, trains: [u64; 2], skip: &[u64]| {
        one.say(json!({"trains": trains, "sources": ["DET/A:output"]}));
        two.tell(json!({"trains": trains, "sources": ["MOTOR/1"], "skip": skip}));
        one.answer();
    };
    both(&mut one, &mut two, [10, 11], &[]);
    system.apply(&json!({"name": "g", "nodes": {
        "n": {"op": "count", "in": "karabo:train:pulse"},
        "pulses": {"op": "sum", "in": "karabo:train:pulse"},
        "image": {"op": "sum", "in": "DET/A:output:image.data"},
        "motor": {"op": "sum", "in": "MOTOR/1:moves"},
    }}));
    both(&mut one, &mut two, [11, 50], &[20, 21]);
    let events = 40 * PULSES;
    assert_eq!(system.get_when("g/n", have(events)).value("value"), events as f64);
    let pulses = system.get_when("g/pulses", have(events)).value("value");
    assert_eq!(pulses, f64::from(40 * (16 + 32 + 48)));
    let whole = sums(10..50);
    let by_pulse: Vec<i64> = (0..6).map(|i| whole.iter().skip(i).step_by(6).sum()).collect();
    assert!(system.get_when("g/image", have(events)).i64s("value") == by_pulse);
    let motor = system.get_when("g/motor", have(events)).value("value");
    assert_eq!(motor, ((10..50).sum::<u64>() - 41) as f64 * PULSES as f64);
    comes_to(&system, "sources_missing", 2.0);
    comes_to(&system, "missing MOTOR/1", 2.0);
    comes_to(&system, "trains_incomplete", 2.0);
    assert!(system.log("ventilator").contains("a source is missing"), "and in the log");
    assert!(system.stop());
}

#[test]
fn a_source_that_comes_later_is_offered_and_what_was_accumulated_stays() {
    let Some(mut sender) = bridge(any(), "REP") else { return };
    let system = listener(&sender.address(), "", 2);
    sender.tell(json!({"trains": [1, 11], "sources": ["MOTOR/1"]}));
    system.apply(&json!({"name": "g", "nodes": {"motor": {"op": "sum", "in": "MOTOR/1:moves"}}}));
    system.get_when("g/motor", have(10));
    sender.tell(json!({"trains": [11, 21]}));
    assert_eq!(system.get_when("g/motor", have(20)).value("value"), 210.0);
    let h = json!({"name": "h", "nodes": {
        "image": {"op": "sum", "in": "DET/A:output:image.data", "window": "run"}}});
    until("the new fields", || {
        let answer = system.manager(json!({"cmd": "graph.apply", "spec": h, "who": "test"}));
        (answer["in_effect"] == true).then_some(())
    });
    sender.tell(json!({"trains": [21, 31]}));
    system.get_when("h/image", |f| f.header["window_events"].as_u64() >= Some(10));
    assert_eq!(system.get_when("g/motor", have(30)).value("value"), 465.0);
    comes_to(&system, "reconfigured", 1.0);
}

#[test]
fn a_bridge_that_freezes_dies_and_comes_back_is_told_apart_and_numbers_are_exact() {
    let Some(mut sender) = bridge(any(), "REP") else { return };
    let address = sender.address();
    let system = listener(&address, "", 2);
    sender.tell(json!({"trains": [1, 2]}));
    system.apply(&graph());
    sender.tell(json!({"trains": [2, 31]}));
    expect(&system, 1..31);
    sender.signal(Signal::STOP);
    is_in_state(&system, "source silent");
    sender.signal(Signal::CONT);
    // The request was outstanding all the time: none of these is skipped.
    sender.tell(json!({"trains": [31, 41]}));
    expect(&system, 1..41);
    drop(sender);
    is_in_state(&system, "source lost");
    let Some(mut sender) = bridge(&address, "REP") else { return };
    sender.tell(json!({"order": "refuse"}));
    sender.tell(json!({"trains": [50, 61]}));
    expect(&system, (1..41).chain(50..61));
    comes_to(&system, "trains_skipped", 9.0);
    comes_to(&system, "refusals", 1.0);
    assert!(system.stop());
}

#[test]
fn too_many_trains_are_dropped_and_counted() {
    const TRAINS: u64 = 3000;
    let Some(mut sender) = bridge(any(), "PUSH") else { return };
    let options = format!("pattern=pull&events={TRAINS}&overload=drop");
    let system = listener(&sender.address(), &options, 1);
    sender.tell(json!({"trains": [0, 1], "sources": ["CAM/1:output"]}));
    system.apply(&json!({"name": "g", "nodes": {
        "slow": {"op": "median_filter", "in": "CAM/1:output:image", "size": 7},
        "image": {"op": "sum", "in": "slow"},
    }}));
    sender.tell(json!({"trains": [1, TRAINS], "sources": ["CAM/1:output"]}));
    system.drained();
    assert_eq!(system.metric("ventilator", "ami_events_total"), Some(TRAINS as f64));
    let dropped = until("merged + dropped = taken", || {
        let name = |reason| format!("ami_dropped_events_total{{reason=\"{reason}\"}}");
        let dropped = |reason| system.metric("ventilator", &name(reason)).unwrap_or(0.0);
        let dropped: f64 = ["overload", "ring_full"].map(dropped).iter().sum();
        let merged = system.metric("root", "ami_events_total")?;
        (merged + dropped == TRAINS as f64).then_some(dropped)
    });
    assert!(dropped > 0.0, "the workers kept up");
}

#[test]
fn the_simulator_of_the_real_bridge() {
    let Some(python) = python_with(&["karabo_bridge"]) else { return };
    // A port that was free a moment ago.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let server = python.with_file_name("karabo-bridge-server-sim");
    for (kind, pattern) in [("REP", "req"), ("PUB", "sub"), ("PUSH", "pull")] {
        let port = port.to_string();
        let args = [port.as_str(), "-z", kind, "-d", "AGIPDModule", "-r", "-g", "zeros"];
        let mut child = Command::new(&server).args(args).stdout(Stdio::null()).spawn().unwrap();
        let system = System::of(&format!("karabo:tcp://127.0.0.1:{port}?pattern={pattern}"))
            .set("ventilator.ring_bytes=1073741824")
            .start();
        until("fields", || (counter(&system, "trains") > 0.0).then_some(()));
        let source = "SPB_DET_AGIPD1M-1/DET/0CH0:xtdf";
        let answer = system.apply(&json!({"name": "g", "nodes": {
            "n": {"op": "count", "in": "karabo:train:id"},
            "first": {"op": "min", "in": "karabo:train:id"},
            "cells": {"op": "max", "in": format!("{source}:image.cellId")},
        }}));
        assert_eq!(answer["in_effect"], true);
        let n = system.get_when("g/n", |f| f.header["window_events"].as_u64() >= Some(3));
        assert!(n.value("value") >= 3.0);
        assert!(system.get("g/first").value("value") >= 1e10, "trains begin there");
        assert_eq!(counter(&system, "damaged_messages"), 0.0, "{kind}");
        child.kill().unwrap();
        child.wait().unwrap();
        is_in_state(&system, "source lost");
        assert!(system.stop());
    }
}
