//! The typed clients and the commands against daemons that are played by this test.

// A helper that cannot go on fails the test there.
#![allow(clippy::unwrap_used)]

mod common;

use ami_ctl::client::error::ClientError;
use ami_ctl::client::manager::Client;
use ami_ctl::client::store::Store;
use ami_proto::control::ctl_to_manager::{Command, Edit};
use ami_proto::socket::endpoint::Endpoint;
use common::{Fake, config, one};
use serde_json::{Value, json};
use std::path::Path;
use std::process::Output;
use std::time::Duration;

fn ami_ctl(dir: &Path, arguments: &[&str]) -> Output {
    std::process::Command::new(env!("CARGO_BIN_EXE_ami-ctl"))
        .arg("--run-dir")
        .arg(dir)
        .args(arguments)
        .output()
        .unwrap()
}

fn stdout(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {output:?}"))
}

#[test]
fn commands_are_answered_or_refused() {
    let dir = tempfile::tempdir().unwrap();
    let _manager = Fake::start(dir.path(), Endpoint::Manager, |q| match q["cmd"].as_str() {
        Some("graph.list") => one(json!({"graphs": [], "version": 0})),
        Some("graph.reset") if q["no_wait"] == true => {
            one(json!({"graph": q["graph"], "version": 4, "in_effect": false, "waiting_for": []}))
        }
        Some("graph.reset") => {
            one(json!({"error": "no graph \"g\"", "hint": "did you mean \"h\"?"}))
        }
        _ => vec![b"not json".to_vec()],
    });
    let client = Client::new(&config(dir.path()));
    assert_eq!(client.command(&Command::List).unwrap()["version"], 0);
    let reset = |no_wait| {
        let edit = Edit { who: "test".into(), no_wait, timeout_s: 1 };
        client.command(&Command::Reset { graph: "g".into(), nodes: vec![], edit })
    };
    assert_eq!(reset(true).unwrap()["version"], 4);
    let Err(ClientError::Refused(refusal)) = reset(false) else { panic!("not refused") };
    assert_eq!(refusal.hint, "did you mean \"h\"?");
    assert!(matches!(client.command(&Command::Status), Err(ClientError::Garbled { .. })));

    let output = ami_ctl(dir.path(), &["graph", "reset", "g"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        String::from_utf8_lossy(&output.stderr),
        "error: no graph \"g\"\n  → did you mean \"h\"?\n"
    );
    let output = ami_ctl(dir.path(), &["--json", "graph", "reset", "g"]);
    assert_eq!(stdout(&output)["error"], "no graph \"g\"");
    let output = ami_ctl(dir.path(), &["--json", "graph", "reset", "g", "--no-wait"]);
    assert_eq!((output.status.code(), &stdout(&output)["version"]), (Some(0), &json!(4)));
}

#[test]
fn nobody_there_is_told_at_once_or_in_time() {
    let output = ami_ctl(Path::new("/nonexistent/ami"), &["status"]);
    assert_eq!(output.status.code(), Some(2));
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        text.contains("no run directory /nonexistent/ami") && text.contains("ami-ctl local"),
        "{text}"
    );

    let dir = tempfile::tempdir().unwrap();
    let client = Client::new(&config(dir.path()));
    let error = client.ask(&Command::Status, Duration::from_millis(200)).unwrap_err().to_string();
    assert!(error.starts_with("no answer from the manager at ipc://"), "{error}");
    assert!(error.contains("within 0.2 s: is ami-manager running?"), "{error}");
}

fn store_answers(question: Value) -> Vec<Vec<u8>> {
    let header = json!({"topic": "g/n", "seq": 7, "window": "run", "complete": true, "events": 3, "expected": 3,
        "window_events": 3, "window_expected": 3, "window_complete": true,
        "arrays": [{"name": "mean", "dtype": "<f8", "shape": [2]}], "values": {"outside": 1}});
    let buffer = [1.5f64, 2.5].iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>();
    if question["get"] == "g/n" {
        vec![header.to_string().into_bytes(), buffer]
    } else if question.get("list").is_some() {
        one(json!([header]))
    } else if question.get("snapshot").is_some() || question.get("history").is_some() {
        let headers = json!([header, header]).to_string().into_bytes();
        vec![headers, buffer.clone(), buffer]
    } else {
        one(json!({"error": "no feature \"g/m\"", "hint": ""}))
    }
}

#[test]
fn features_are_listed_fetched_and_written() {
    let dir = tempfile::tempdir().unwrap();
    let _store = Fake::start(dir.path(), Endpoint::Query, store_answers);
    let store = Store::new(&config(dir.path()));
    assert_eq!(store.get("g/n").unwrap().arrays[0].to_f64(), [1.5, 2.5]);
    assert_eq!(store.list("g").unwrap()[0]["topic"], "g/n");
    assert_eq!(store.snapshot("g").unwrap().len(), 2);
    assert_eq!(store.history("g/n", 0, 5).unwrap()[1].arrays[0].to_f64(), [1.5, 2.5]);

    let npy = dir.path().join("x.npy");
    let output = ami_ctl(dir.path(), &["get", "g/n", "--json", "--npy", npy.to_str().unwrap()]);
    assert_eq!(stdout(&output)["arrays"][0]["data"], json!([1.5, 2.5]));
    assert!(std::fs::read(npy).unwrap().starts_with(b"\x93NUMPY"));
    let output = ami_ctl(dir.path(), &["get", "g/m"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("did you mean \"g/n\"?"),
        "{output:?}"
    );
    let output = ami_ctl(dir.path(), &["features"]);
    assert!(
        String::from_utf8_lossy(&output.stdout).contains("mean <f8[2], outside 1"),
        "{output:?}"
    );
}

#[test]
fn subscriptions_bring_what_is_published() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path());
    let context = zmq::Context::new();
    let publisher = context.socket(zmq::XPUB).unwrap();
    publisher.bind(&Endpoint::Store.bind(&config)).unwrap();
    let mut subscription = Store::new(&config).subscribe(&["g/".into()]).unwrap();
    assert_eq!(publisher.recv_bytes(0).unwrap(), b"\x01g/");
    for topic in ["h/x", "g/n"] {
        let frames = [
            topic.to_string(),
            json!({"topic": topic, "arrays": [], "values": {"value": 3}}).to_string(),
        ];
        publisher.send_multipart(frames.iter().map(String::as_bytes), 0).unwrap();
    }
    let feature = subscription.next(Duration::from_secs(60)).unwrap().unwrap();
    assert_eq!((feature.topic(), feature.scalar()), ("g/n", Some(3.0)));
    publisher.send_multipart(["g/n", "damaged"], 0).unwrap();
    assert!(subscription.next(Duration::from_secs(60)).is_err());
    assert!(subscription.next(Duration::ZERO).unwrap().is_none());
}

#[test]
fn watch_prints_lines_where_there_is_no_terminal() {
    let dir = tempfile::tempdir().unwrap();
    let _store = Fake::start(dir.path(), Endpoint::Query, store_answers);
    let context = zmq::Context::new();
    let publisher = context.socket(zmq::XPUB).unwrap();
    publisher.bind(&Endpoint::Store.bind(&config(dir.path()))).unwrap();
    let path = dir.path().to_path_buf();
    let watch = std::thread::spawn(move || {
        ami_ctl(&path, &["watch", "g/n", "--duration", "1.5", "--json"])
    });
    assert_eq!(publisher.recv_bytes(0).unwrap(), b"\x01g/n");
    for (topic, value) in [("g/n", 1), ("g/n2", 2), ("g/n.count", 3)] {
        let header = json!({"topic": topic, "arrays": [], "values": {"value": value}}).to_string();
        publisher.send_multipart([topic, &header], 0).unwrap();
    }
    let output = watch.join().unwrap();
    let lines = String::from_utf8(output.stdout).unwrap();
    let values: Vec<Value> = lines
        .lines()
        .map(|l| serde_json::from_str::<Value>(l).unwrap()["values"]["value"].clone())
        .collect();
    assert_eq!(values, [1, 3], "the other node's topic only begins alike");
}
