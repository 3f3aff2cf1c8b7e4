//! Parts die, freeze, or are fed garbage; the numbers stay.

use ami_proto::codec::PROTOCOL_VERSION;
use ami_tests::{DEADLINE, System, client, until};
use rustix::process::Signal;
use serde_json::{Value, json};

const EVENTS: u64 = 300_000;

fn graph() -> Value {
    json!({"name": "g", "nodes": {
        "n": {"op": "count", "in": "mixed:raw:i32"},
        "sum": {"op": "sum", "in": "mixed:raw:i32"},
        "hist": {"op": "hist", "in": "mixed:raw:f64", "bins": 40, "range": [-4, 4]}
    }})
}

fn start(workers: usize) -> System {
    let url = format!("sim:mixed?events={EVENTS}");
    // One run and one step, so that every event is in the final values.
    System::of(&url).workers(workers).set("collector.ask_after_ms=200").start()
}

/// What the source held, counted once by an undisturbed system.
fn finals(system: &System) -> (f64, f64, Vec<i64>) {
    system.drained();
    // Both numbers are of one report: the one in which every event is there.
    let seq = until("every event at the root", || {
        let status = system.status();
        let root = status["members"].as_array()?.iter().find(|m| m["role"] == "root")?.clone();
        let all = root["metrics"]["ami_events_total"] == EVENTS as f64;
        all.then(|| root["metrics"]["ami_heartbeats_total"].as_f64().unwrap() as i64)
    });
    let marker = system.get_when("g/@heartbeat", |f| f.int("seq") == seq);
    let of = |topic: &str| {
        let expected = marker.header["topics"][topic].as_i64().unwrap();
        system.get_when(topic, |f| f.int("seq") == expected)
    };
    let (n, sum, hist) = (of("g/n"), of("g/sum"), of("g/hist"));
    assert!(n.complete() && n.header["window_complete"] == true, "{}", n.header);
    (n.value("value"), sum.value("value"), hist.i64s("counts"))
}

fn undisturbed() -> (f64, f64, Vec<i64>) {
    let system = start(2);
    system.apply(&graph());
    finals(&system)
}

#[test]
fn killed_workers_and_host_collector_change_no_number() {
    let expected = undisturbed();
    let mut system = start(3);
    system.apply(&graph());
    for round in 0..4 {
        let events = f64::from(round + 1) * EVENTS as f64 / 8.0;
        until("progress", || (system.metric("root", "ami_events_total")? > events).then_some(()));
        if round % 2 == 0 {
            let victim = format!("worker-{round}");
            system.kill(&victim);
            system.spawn_worker();
        } else {
            system.kill("collector");
            system.spawn("collector");
        }
    }
    assert_eq!(finals(&system), expected);
}

#[test]
fn frozen_manager_store_and_clients_do_not_hold_the_stream() {
    let system = start(2);
    let sleeper = system.subscribe("");
    system.apply(&graph());
    for daemon in ["manager", "store"] {
        system.signal(daemon, Signal::STOP);
    }
    // The root and the ventilator go on: seen without the manager, in what they log.
    until("the end of data", || system.log("ventilator").contains("end of data").then_some(()));
    for daemon in ["manager", "store"] {
        system.signal(daemon, Signal::CONT);
    }
    drop(sleeper);
    assert_eq!(finals(&system), undisturbed());
}

#[test]
fn a_killed_manager_has_every_version_afterwards_and_data_go_on() {
    let url = "sim:mixed?rate=2000&pace=realtime&loop=forever";
    let mut system = System::of(url).workers(1).start();
    system.apply(&graph());
    let mut changed = graph();
    changed["nodes"]["hist"]["bins"] = json!(20);
    system.apply(&changed);
    system.kill("manager");
    let at = system.get("g/n").int("seq");
    system.get_when("g/n", |f| f.int("seq") > at + 3);
    system.spawn("manager");
    let history = system.manager(json!({"cmd": "graph.history", "graph": "g"}));
    assert_eq!(history["versions"].as_array().unwrap().len(), 2, "{history}");
    until("members again", || (system.metric("root", "ami_events_total")? > 0.0).then_some(()));
    changed["nodes"]["hist"]["bins"] = json!(30);
    assert_eq!(system.apply(&changed)["version"], 3);
}

#[test]
fn a_restarted_store_is_refilled() {
    let mut system = System::of("sim:mixed?events=2000").workers(1).start();
    system.apply(&graph());
    system.drained();
    let before = system.get("g/n");
    system.kill("store");
    system.spawn("store");
    assert_eq!(system.get("g/n").header, before.header);
}

#[test]
fn workers_follow_a_restarted_ventilator() {
    let url = "sim:mixed?rate=2000&pace=realtime&loop=forever";
    let mut system = System::of(url).workers(1).start();
    system.apply(&graph());
    system.get_when("g/n", |f| f.int("seq") > 3);
    let pid = system.pid("worker-0");
    system.kill("ventilator");
    system.spawn("ventilator");
    until("the worker's new lane", || {
        let lanes = system.log("ventilator").matches("worker takes a lane").count();
        (lanes >= 2).then_some(())
    });
    let at = system.get("g/n").int("seq");
    let later = system.get_when("g/n", |f| f.int("seq") > at + 5);
    assert!(later.complete(), "{}", later.header);
    assert_eq!(system.pid("worker-0"), pid, "it kept its process");
}

#[test]
fn garbage_on_every_socket_is_survived() {
    let url = "sim:mixed?rate=2000&pace=realtime&loop=forever";
    let system = System::of(url).workers(1).start();
    system.apply(&graph());
    let context = zmq::Context::new();
    for file in ["ventilator.in", "collector.in", "root.in", "manager.in"] {
        let socket = context.socket(zmq::PUSH).unwrap();
        socket.set_linger(200).unwrap();
        socket.connect(&system.address(file)).unwrap();
        for n in 0..200u8 {
            let bytes =
                [b"ami".to_vec(), vec![PROTOCOL_VERSION], vec![n; n as usize], vec![0xff; 40]]
                    .concat();
            socket.send(bytes, 0).unwrap();
            socket.send_multipart([vec![], vec![n], vec![]], 0).unwrap();
        }
    }
    for file in ["manager.cmd", "store.query"] {
        for bytes in ["", "{", "[[[[[[", "{\"cmd\": 7}", "{\"get\": {}}", "\u{0}"] {
            let answer = client::request_frames(&system.address(file), bytes).expect("an answer");
            assert!(String::from_utf8_lossy(&answer[0]).contains("error"), "{file} {bytes:?}");
        }
    }
    let at = system.get("g/n").int("seq");
    let later = system.get_when("g/n", |f| f.int("seq") > at + 5);
    assert!(later.complete());
    let feature = system.subscribe("g/n").next(DEADLINE);
    assert!(feature.is_some());
    assert!(system.stop(), "every daemon is alive and stops cleanly");
}

/// A client that is stopped for a while, as a whole process: the Python client, where there is one.
#[test]
fn a_stopped_client_costs_nothing_and_then_sees_the_newest() {
    let package = concat!(env!("CARGO_MANIFEST_DIR"), "/../ami-store/python/src");
    let python = std::env::var("AMI_PYTHON").unwrap_or_else(|_| "python3".into());
    let mut client = std::process::Command::new(python);
    client.env("PYTHONPATH", package).stdout(std::process::Stdio::piped());
    let system = System::of("sim:mixed?events=700&loop=forever&pace=20000")
        .workers(2)
        .set("heartbeat.period_ms=20")
        .set("store.client_queue=20")
        .start();
    system.apply(&graph());
    system.get("g/hist");
    let script = "import sys; from ami_client import Store\n\
                  for f in Store(sys.argv[1], sys.argv[2]).subscribe('g/hist'):\n    print(f.seq, flush=True)";
    client.args(["-c", script]).arg(system.address("store.pub")).arg(system.address("store.query"));
    let mut client = client.spawn().unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(client.stdout.take().unwrap()));
    let Some(first) = lines.next() else {
        client.wait().unwrap();
        println!("skipped: python3 has no ami_client (pyzmq and numpy); set AMI_PYTHON");
        return;
    };
    let mut last: i64 = first.unwrap().parse().unwrap();
    let pid = rustix::process::Pid::from_raw(client.id() as i32).unwrap();
    rustix::process::kill_process(pid, Signal::STOP).unwrap();
    let memory = system.memory("store");
    let root = system.metric("root", "ami_results_conflated_total").unwrap_or(0.0);
    let start = system.get("g/hist").int("seq");
    let value = system.get_when("g/n", |f| f.int("seq") > start + 500);
    assert!(value.complete(), "{}", value.header);
    assert_eq!(value.int("window_events"), value.int("window_expected"), "{}", value.header);
    let grown = system.memory("store").saturating_sub(memory);
    assert!(grown < 32 << 20, "the store took {grown} bytes more");
    assert_eq!(system.metric("root", "ami_results_conflated_total"), Some(root));
    rustix::process::kill_process(pid, Signal::CONT).unwrap();
    // The queue's few, then the newest: what lay between was dropped for this client alone.
    let mut gap = 0;
    while last < start + 500 {
        let seq = lines.next().expect("the client goes on").unwrap().parse().unwrap();
        gap = gap.max(seq - last);
        last = seq;
    }
    assert!(gap > 100, "values were dropped for it: {gap}");
    client.kill().unwrap();
    client.wait().unwrap();
}

#[test]
#[expect(clippy::disallowed_methods, reason = "before there are peers")]
fn a_client_that_asks_and_does_not_read_costs_others_nothing() {
    let system = System::of("sim:pump-probe?rate=100&pace=realtime&loop=forever")
        .set("store.history=10")
        .start();
    system.apply(&json!({"name": "g", "nodes": {
        "n": {"op": "count", "in": "gmd:raw:energy"},
        "image": {"op": "mean", "in": "jungfrau:raw:raw"}
    }}));
    let size = system.get("g/image").arrays.values().map(Vec::len).sum::<usize>();
    assert!(size >= 256 * 256 * 8, "{size}");
    let context = zmq::Context::new();
    let deaf = context.socket(zmq::DEALER).unwrap();
    deaf.set_linger(0).unwrap();
    deaf.set_rcvhwm(1).unwrap();
    deaf.connect(&system.address("store.query")).unwrap();
    let memory = system.memory("store");
    // 200 MiB of answers; the system's other clients get theirs, and the stream goes on.
    for _ in 0..400 {
        deaf.send_multipart(["", r#"{"get": "g/image"}"#], 0).unwrap();
    }
    let start = system.get("g/image").int("seq");
    system.get_when("g/image", |f| f.int("seq") > start + 10 && f.complete());
    until("the last answers to be given up", || {
        (system.metric("store", "ami_answers_lost_total")? > 100.0).then_some(())
    });
    let grown = system.memory("store").saturating_sub(memory);
    assert!(grown < 64 << 20, "the store took {grown} bytes more");
    // What was kept comes, in order.
    deaf.set_rcvtimeo(DEADLINE.as_millis() as i32).unwrap();
    let mut last = 0;
    for _ in 0..40 {
        let frames = deaf.recv_multipart(0).unwrap();
        let header: Value = serde_json::from_slice(&frames[1]).unwrap();
        let seq = header["seq"].as_i64().unwrap();
        assert!(seq >= last && frames.len() == 3, "{header}");
        last = seq;
    }
}

#[test]
fn subscribers_come_back_when_less_may_wait_for_them() {
    let system = System::of("sim:pump-probe?rate=100&pace=realtime&loop=forever")
        .set("store.client_bytes=4194304")
        .start();
    let count = json!({"op": "count", "in": "gmd:raw:energy"});
    system.apply(&json!({"name": "g", "nodes": {"n": count}}));
    let subscriber = system.subscribe("g/n");
    subscriber.until(|f| f.value("value") > 0.0);
    // 512 KiB each: of the small ones before, 20000 could wait.
    let image = json!({"op": "mean", "in": "jungfrau:raw:raw"});
    system.apply(&json!({"name": "g", "nodes": {"n": count, "image": image}}));
    // The small ones had set one already; that for the image is the smallest there is.
    until("a smaller bound", || system.log("store").contains("messages=64").then_some(()));
    let now = system.get("g/n").int("seq");
    let seen = subscriber.until(|f| f.int("seq") > now + 40);
    // The first after that is the one with which the store greets them.
    let mut after: Vec<i64> = seen.iter().map(|f| f.int("seq")).filter(|&s| s > now).collect();
    after.dedup();
    assert!(after.windows(2).all(|pair| pair[1] == pair[0] + 1), "nothing is lost then: {after:?}");
}
