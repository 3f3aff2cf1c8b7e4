//! The loop over real sockets: a member, clients of both kinds, a restart.

#![allow(clippy::unwrap_used)] // helpers of tests are tests

use ami_graph::graph::spec::GraphSet;
use ami_manager::run;
use ami_proto::codec;
use ami_proto::config::Config;
use ami_proto::control::manager_to_members::{Announce, Phase};
use ami_proto::control::member_to_manager::Role;
use ami_proto::control::reporter::Reporter;
use ami_proto::health::metrics::Metrics;
use ami_proto::process::daemon::Daemon;
use ami_proto::socket::endpoint::Endpoint;
use ami_proto::socket::{self, Context, Queue, Socket};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

fn config(dir: &tempfile::TempDir) -> Config {
    Config::load(None, &[format!("instance.run_dir={}", dir.path().display())]).unwrap()
}

struct Running {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<anyhow::Result<()>>,
}

fn start(config: &Config) -> Running {
    let config = config.clone();
    let mut daemon = Daemon::test(&config);
    let stop = daemon.stop_flag();
    Running { stop, thread: std::thread::spawn(move || run(&config, &mut daemon)) }
}

impl Running {
    fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap().unwrap();
    }
}

fn client(context: &Context, kind: zmq::SocketType, config: &Config) -> Socket {
    let address = Endpoint::Manager.connect(config);
    let socket = socket::connect(context, kind, Queue::Bounded(16), &address, "manager").unwrap();
    socket.set_rcvtimeo(20_000).unwrap();
    socket
}

fn ask(socket: &Socket, command: &Value) -> Value {
    socket.send(command.to_string().as_bytes(), 0).unwrap();
    serde_json::from_slice(&socket.recv_bytes(0).expect("an answer")).unwrap()
}

/// A worker that compiles anything and lets it take effect, until told to stop.
fn member(config: &Config, stop: Arc<AtomicBool>) -> JoinHandle<Vec<(Announce, u64)>> {
    let config = config.clone();
    std::thread::spawn(move || {
        let daemon = Daemon::test(&config);
        let context = Context::new(&config, Metrics::default());
        let mut reporter = Reporter::new(&context, &config, &daemon, Role::Worker, "w1").unwrap();
        reporter.state("running");
        let mut seen = Vec::new();
        while !stop.load(Ordering::Relaxed) {
            while let Some((announce, json)) = reporter.announcement() {
                let set = GraphSet::from_json_bytes(&json).map_or(0, |s| s.version);
                match announce.phase {
                    Phase::Prepare => reporter.prepared(announce.version, Vec::new()),
                    Phase::Activate => {
                        reporter.prepared(announce.version, Vec::new());
                        reporter.active(announce.version);
                    }
                    Phase::Withdraw => {}
                }
                seen.push((announce, set));
            }
            if reporter.due() {
                reporter.send(&daemon);
            }
            socket::wait([reporter.inlet()], Duration::from_millis(5)).unwrap();
        }
        seen
    })
}

fn wait_for(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < Duration::from_secs(60), "{what}: not within 60 s");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn member_is_listed(socket: &Socket) -> bool {
    ask(socket, &json!({ "cmd": "status" }))["members"][0]["name"] == "w1"
}

#[test]
fn edits_reach_members_and_outlive_the_manager() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(&dir);
    let context = Context::new(&config, Metrics::default());
    let manager = start(&config);
    let end = Arc::new(AtomicBool::new(false));
    let worker = member(&config, end.clone());
    let req = client(&context, zmq::REQ, &config);
    wait_for("the member", || member_is_listed(&req));
    let spec = json!({ "name": "g", "nodes": { "n": { "op": "count", "in": "a:b:c" } } });
    let answer = ask(&req, &json!({ "cmd": "graph.apply", "spec": spec, "who": "ann" }));
    assert_eq!((&answer["in_effect"], &answer["version"]), (&json!(true), &json!(1)), "{answer}");
    assert_eq!(answer["members"][0].as_str().unwrap().split(" on ").next(), Some("worker w1"));
    let wrong = json!({ "name": "g", "nodes": { "n": { "op": "cuont", "in": "a:b:c" } } });
    let refused = ask(&req, &json!({ "cmd": "graph.apply", "spec": wrong.to_string() }));
    assert_eq!(refused["errors"][0]["node"], "n", "{refused}");

    manager.stop();
    let manager = start(&config);
    let dealer = client(&context, zmq::DEALER, &config);
    assert_eq!(ask(&dealer, &json!({ "cmd": "graph.show", "graph": "g" }))["version"], 1);
    let history = ask(&dealer, &json!({ "cmd": "graph.history", "graph": "g" }));
    assert_eq!(history["versions"][0]["who"], "ann");
    // The REQ socket reconnects by itself.
    wait_for("the member", || member_is_listed(&req));
    let answer = ask(&req, &json!({ "cmd": "graph.reset", "graph": "g" }));
    assert_eq!((&answer["in_effect"], &answer["version"]), (&json!(true), &json!(2)), "{answer}");
    manager.stop();
    end.store(true, Ordering::Relaxed);
    let seen = worker.join().unwrap();
    let lives: std::collections::BTreeSet<u64> = seen.iter().map(|(a, _)| a.life).collect();
    assert_eq!(lives.len(), 2);
    assert!(
        seen.iter().all(|(a, set)| a.version == *set),
        "the set that came is the one announced"
    );
}

#[test]
fn wrong_messages_are_answered_or_counted_and_disturb_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(&dir);
    let context = Context::new(&config, Metrics::default());
    let manager = start(&config);
    let dealer = client(&context, zmq::DEALER, &config);
    let frames = |parts: &[&[u8]]| -> Value {
        dealer.send_multipart(parts, 0).unwrap();
        let reply = dealer.recv_multipart(0).expect("an answer");
        serde_json::from_slice(reply.last().unwrap()).unwrap()
    };
    for parts in [&[b"\xff".as_slice()][..], &[b"a", b"b"], &[b"", b"a", b"b"], &[b""], &[b"", b""]]
    {
        assert!(frames(parts)["error"].is_string(), "{parts:?}");
    }
    let huge = vec![b' '; ami_manager::commands::MAX_REQUEST + 1];
    assert!(frames(&[&huge])["error"].as_str().unwrap().contains("more than"));
    let address = Endpoint::Reports.connect(&config);
    let push =
        socket::connect(&context, zmq::PUSH, Queue::Bounded(16), &address, "reports").unwrap();
    push.send("GET / HTTP/1.1", 0).unwrap();
    push.send_multipart([codec::encode(&1u8), vec![1, 2]], 0).unwrap();
    assert_eq!(frames(&[br#"{"cmd": "status"}"#])["journal"]["ok"], true);
    manager.stop();
}

#[test]
fn a_journal_that_cannot_be_written_is_confessed() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(&dir);
    let context = Context::new(&config, Metrics::default());
    let manager = start(&config);
    let req = client(&context, zmq::REQ, &config);
    ask(&req, &json!({ "cmd": "status" }));
    // Files cannot be kept: what stands in their directory's place is a file.
    let files = dir.path().join("graphs.journal.files");
    std::fs::remove_dir(&files).unwrap();
    std::fs::write(&files, "in the way").unwrap();
    let data = dir.path().join("m.npy");
    std::fs::write(&data, "bytes").unwrap();
    let spec = json!({ "name": "g", "nodes": { "n": { "op": "const", "value": 1 } } });
    let with_file = json!({ "name": "g", "nodes": { "n": { "op": "const", "value": data } } });
    assert!(ask(&req, &json!({ "cmd": "graph.apply", "spec": spec }))["journal_error"].is_null());
    let answer = ask(&req, &json!({ "cmd": "graph.apply", "spec": with_file }));
    assert_eq!(answer["version"], 2, "edits go on: {answer}");
    assert!(answer["journal_error"].as_str().unwrap().contains("cannot write"), "{answer}");
    wait_for("status", || ask(&req, &json!({ "cmd": "status" }))["journal"]["ok"] == false);
    manager.stop();
}
