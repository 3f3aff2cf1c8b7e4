//! What other systems' programs are served: a karabo-bridge client gets what our own client gets.

use ami_tests::client::history;
use ami_tests::sender::python_with;
use ami_tests::{System, until};
use serde_json::{Value, json};
use std::process::{Command, Stdio};

/// Reads trains with the client that European XFEL's programs use, and says what is in them.
const CLIENT: &str = r#"
import json, sys
from karabo_bridge import Client

client = Client(sys.argv[1], sock=sys.argv[2], timeout=20)
for _ in range(int(sys.argv[3])):
    data, metadata = client.next()
    (source,) = data
    values = {k: v.tolist() if hasattr(v, "tolist") else v for k, v in data[source].items()}
    types = {k: str(v.dtype) for k, v in data[source].items() if hasattr(v, "dtype")}
    print(json.dumps([source, int(metadata[source]["timestamp.tid"]), values, types]), flush=True)
"#;

const SOURCE: &str = r#"
seed = 5
rate_hz = 1000.0

[[field]]
name = "n"
kind = "counter"
dtype = "i64"

[[field]]
name = "image"
kind = "image"
shape = [4, 6]
dtype = "u16"
"#;

fn graph() -> Value {
    json!({"name": "g", "nodes": {
        "count": {"op": "count", "in": "n"},
        "now": {"op": "sum", "in": "n", "window": "heartbeat"},
        "picture": {"op": "mean", "in": "image"},
        "hist": {"op": "hist", "in": "n", "bins": 5, "range": [0, 1000]}}})
}

/// A system with a gateway, and what the client says of so many trains.
fn trains(pattern: &str, sock: &str, count: usize) -> Option<(System, Vec<Value>)> {
    let python = python_with(&["karabo_bridge"])?;
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("source.toml");
    std::fs::write(&source, SOURCE).unwrap();
    let mut system = System::of(&format!("sim:{}?pace=500", source.display()))
        .set("store.history=100000")
        .start();
    let address = system.address("karabo");
    let own = [format!("gateway.karabo={address}"), format!("gateway.karabo_pattern={pattern}")];
    system.spawn_with("gateway", &own.each_ref().map(String::as_str));
    system.apply(&graph());
    let output = Command::new(python)
        .args(["-c", CLIENT, &address, sock, &count.to_string()])
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", system.log("gateway"));
    let text = String::from_utf8(output.stdout).unwrap();
    let trains = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    Some((system, trains))
}

/// Every value of a train is that of our own client at the same heartbeat.
fn assert_same(system: &System, train: &Value) {
    assert_eq!(train[0], "ami/g");
    let heartbeat = train[1].as_u64().unwrap();
    for (node, output) in
        [("count", "value"), ("now", "value"), ("picture", "value"), ("hist", "counts")]
    {
        let feature = history(&system.address("store.query"), &format!("g/{node}"))
            .into_iter()
            .find(|f| f.int("heartbeat") == heartbeat as i64)
            .unwrap_or_else(|| panic!("no g/{node} of heartbeat {heartbeat}"));
        let served = &train[2][format!("{node}.{output}")];
        match feature.header["arrays"].as_array().is_some_and(|arrays| !arrays.is_empty()) {
            true if node == "hist" => {
                let counts: Vec<f64> = feature.i64s(output).into_iter().map(|n| n as f64).collect();
                assert_eq!(flat(served), counts, "{node}");
            }
            true => assert_eq!(flat(served), feature.f64s(output), "{node}"),
            false => assert_eq!(served.as_f64(), Some(feature.value(output)), "{node}"),
        }
        let complete = &train[2][format!("{node}.ami.window_complete")];
        assert_eq!(*complete, feature.header["window_complete"], "{node}");
    }
    assert_eq!(train[3]["picture.value"], "float64");
}

fn flat(value: &Value) -> Vec<f64> {
    match value {
        Value::Array(list) => list.iter().flat_map(flat).collect(),
        number => vec![number.as_f64().unwrap()],
    }
}

#[test]
fn who_asks_gets_whole_heartbeats_and_each_once() {
    let Some((system, trains)) = trains("rep", "REQ", 6) else { return };
    let numbers: Vec<u64> = trains.iter().filter_map(|train| train[1].as_u64()).collect();
    assert!(numbers.windows(2).all(|pair| pair[0] < pair[1]), "{numbers:?}");
    trains.iter().for_each(|train| assert_same(&system, train));
    until("its row in status", || {
        let status = system.status();
        let members = status["members"].as_array()?.iter();
        members.clone().find(|m| m["role"] == "gateway" && m["alive"] == true)?;
        system.metric("gateway", "ami_karabo_sent_total").filter(|&sent| sent >= 6.0)
    });
    assert_eq!(system.metric("gateway", "ami_heartbeats_torn_total"), Some(0.0));
}

#[test]
fn all_subscribers_get_what_is_published() {
    let Some((system, trains)) = trains("pub", "SUB", 4) else { return };
    trains.iter().for_each(|train| assert_same(&system, train));
}

#[test]
fn a_puller_gets_what_is_pushed() {
    let Some((system, trains)) = trains("push", "PULL", 4) else { return };
    trains.iter().for_each(|train| assert_same(&system, train));
}

#[test]
fn a_gateway_that_dies_costs_nothing_and_comes_back() {
    let Some((mut system, _)) = trains("rep", "REQ", 2) else { return };
    system.kill("gateway");
    let before = system.get("g/count").value("value");
    system.get_when("g/count", |f| f.value("value") > before + 200.0);
    system.spawn("gateway");
    until("its return", || {
        system.metric("gateway", "ami_karabo_trains_total").filter(|&n| n > 3.0)
    });
}
