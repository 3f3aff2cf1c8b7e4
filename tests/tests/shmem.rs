//! The monitoring shared memory through the whole system: a server that is another process, and is killed
//! and frozen in mid stream.

use ami_proto::data_path::transition::TransitionKind::{
    BeginRun, BeginStep, Configure, Disable, Enable, EndRun, EndStep, SlowUpdate,
};
use ami_tests::client::Feature;
use ami_tests::recording::{self, Item};
use ami_tests::{System, bin, until};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// A server's tag; whatever servers made under it is removed with it.
struct Tag(String);

/// A server.
struct Server {
    child: Child,
}

impl Tag {
    fn new() -> Tag {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        Tag(format!("amisystem{}-{next}", std::process::id()))
    }
}

impl Drop for Tag {
    fn drop(&mut self) {
        ami_shmem_server::clean(&self.0, 4);
    }
}

impl Server {
    fn start(tag: &Tag, file: &Path, options: &[&str]) -> Server {
        let child = Command::new(bin("ami-shmem-server"))
            .args(["serve", "--tag", &tag.0, "--size", "65536"])
            .args(options)
            .arg(file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        Server { child }
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Three steps of a motor, so many events each, and held values that change in their midst.
fn recorded(dir: &Path, events: usize, period_ns: u64) -> PathBuf {
    let path = dir.join("run.xtc2");
    let mut items = vec![Item::Sets(Configure, &[("motor", 0.0)]), Item::Sets(BeginRun, &[])];
    let steps: [&[(&str, f64)]; 3] = [&[("motor", 1.0)], &[("motor", 2.0)], &[("motor", 5.0)]];
    let pressure = [("pressure", events as f64)];
    for step in steps {
        items.extend([Item::Sets(BeginStep, step), Item::Sets(Enable, &[])]);
        items.push(Item::Events(events / 2));
        items.push(Item::Sets(SlowUpdate, &pressure));
        items.push(Item::Events(events - events / 2));
        items.extend([Item::Sets(Disable, &[]), Item::Sets(EndStep, &[])]);
    }
    items.push(Item::Sets(EndRun, &[]));
    recording::write(&path, &["motor", "pressure"], period_ns, &items);
    path
}

fn graph(events: u64) -> Value {
    let x = "cam:raw:x";
    json!({"name": "g", "nodes": {
        "n": {"op": "count", "in": x, "window": "reset"},
        "stats": {"op": "stats", "in": x},
        "scan": {"op": "scan", "in": x, "by": "motor"},
        "step": {"op": "count", "in": x, "window": "step"},
        "held": {"op": "by_key", "in": {"key": "pressure", "value": x}},
        "each": {"op": "hist", "in": x, "bins": events, "range": [-0.5, events as f64 - 0.5],
                 "window": "reset"}}})
}

/// Values, label and arrays of a feature.
type Content = (Value, Value, Vec<(String, Vec<u8>)>);

/// What is published of a feature, without what tells when.
fn content(feature: &Feature) -> Content {
    let arrays = feature.arrays.iter().map(|(name, bytes)| (name.clone(), bytes.clone()));
    let label = ["window_events", "window_expected", "window_dropped", "run", "step"];
    let label = label.map(|key| feature.header[key].clone());
    (feature.header["values"].clone(), json!(label), arrays.collect())
}

fn finished(source: &str, workers: usize, events: u64) -> Vec<Content> {
    let system = System::of(source).workers(workers).start();
    system.apply(&graph(events));
    system.drained();
    let last = system.get_when("g/n", |f| f.int("window_expected") as u64 >= events);
    system.get_when("g/@heartbeat", |f| f.int("heartbeat") >= last.int("heartbeat"));
    ["n", "stats", "scan", "step", "held", "each"]
        .map(|node| content(&system.get(&format!("g/{node}"))))
        .into()
}

#[test]
fn values_are_those_of_the_same_file_with_any_number_of_workers() {
    const EVENTS: u64 = 3 * 2000;
    let dir = tempfile::tempdir().unwrap();
    let file = recorded(dir.path(), EVENTS as usize / 3, 1_000_000);
    let expected = finished(&format!("xtc2:{}", file.display()), 1, EVENTS);
    for workers in 1..=3 {
        let tag = Tag::new();
        let server = Server::start(&tag, &file, &["--rate", "0", "--pull", "--stay"]);
        let source = format!("shmem:{}?events={EVENTS}", tag.0);
        let got = finished(&source, workers, EVENTS);
        assert_eq!(got, expected, "{workers} workers");
        drop(server);
    }
}

fn state(system: &System, label: &str) {
    let name = format!("ami_source_state{{state=\"{label}\"}}");
    until(label, || (system.metric("ventilator", &name)? == 1.0).then_some(()));
}

/// Everything that was taken is decided: the value counts what its label says.
fn conserved(system: &System, events: u64) -> Feature {
    let last = system.get_when("g/n", |f| f.int("window_expected") as u64 >= events);
    let merged = last.int("window_events");
    assert_eq!(last.header["window_dropped"], json!({}), "{}", last.header);
    assert_eq!(last.int("window_expected"), merged, "{}", last.header);
    assert_eq!(last.value("value"), merged as f64, "{}", last.header);
    last
}

/// How often each event was counted, once all of them were.
fn each(system: &System, events: u64) -> Vec<i64> {
    let each = system.get_when("g/each", |f| f.int("window_events") as u64 >= events);
    each.i64s("counts")
}

#[test]
fn a_killed_server_is_lost_a_frozen_one_silent_and_both_come_back() {
    const EVENTS: u64 = 3 * 2000;
    let dir = tempfile::tempdir().unwrap();
    let file = recorded(dir.path(), EVENTS as usize / 3, 1_000_000);
    let tag = Tag::new();
    let system = System::of(&format!("shmem:{}", tag.0)).workers(2).start();
    state(&system, "lost");
    let options = ["--rate", "1500", "--pull", "--stay"];
    let mut server = Server::start(&tag, &file, &options);
    system.apply(&graph(EVENTS));
    let reached = |events: f64| {
        until("progress", || (system.metric("root", "ami_events_total")? > events).then_some(()));
    };
    // Frozen in mid stream: nothing comes, and nobody says why; then it goes on as if nothing was.
    reached(1000.0);
    server.signal(Signal::STOP);
    state(&system, "silent");
    server.signal(Signal::CONT);
    state(&system, "live");
    reached(3000.0);
    // Killed in mid stream, with whatever it had not yet posted; another one starts from the beginning.
    server.kill();
    state(&system, "lost");
    let taken = system.metric("ventilator", "ami_events_total").unwrap() as u64;
    let first = conserved(&system, taken).int("window_events") as u64;
    assert_eq!(first, taken);
    server = Server::start(&tag, &file, &options);
    state(&system, "live");
    let all = taken + EVENTS;
    conserved(&system, all);
    // Exactly what came: all of the second life, and the beginning of the first.
    let counts = each(&system, all);
    let (twice, once) = counts.split_at(taken as usize);
    assert!(twice.iter().all(|n| *n == 2) && once.iter().all(|n| *n == 1), "{counts:?}");
    let connections = system.metric("ventilator", "ami_source_total{what=\"connections\"}");
    assert_eq!(connections, Some(2.0));
    drop(server);
}

#[test]
fn a_ventilator_that_was_frozen_over_steps_is_told_what_it_missed() {
    const EVENTS: u64 = 3 * 700;
    let dir = tempfile::tempdir().unwrap();
    let file = recorded(dir.path(), EVENTS as usize / 3, 1_000_000);
    let tag = Tag::new();
    let system = System::of(&format!("shmem:{}", tag.0)).workers(1).start();
    // It does not wait for anybody, so a frozen client misses events and steps.
    let server = Server::start(&tag, &file, &["--rate", "1000", "--stay"]);
    system.apply(&graph(EVENTS));
    until("progress", || (system.metric("root", "ami_events_total")? > 100.0).then_some(()));
    system.signal("ventilator", Signal::STOP);
    std::thread::sleep(std::time::Duration::from_millis(1500));
    system.signal("ventilator", Signal::CONT);
    let last = system.get_when("g/scan", |f| f.f64s("keys").last() == Some(&5.0));
    // What it was offered last was posted in the last step.
    assert_eq!(last.f64s("keys").first(), Some(&1.0));
    until("the end", || {
        let seen = system.get("g/each").i64s("counts");
        (*seen.last()? == 1).then_some(())
    });
    let taken = system.metric("ventilator", "ami_events_total").unwrap() as u64;
    assert!(taken < EVENTS, "{taken}");
    conserved(&system, taken);
    let counts = each(&system, taken);
    assert!(counts.iter().all(|n| *n <= 1), "nothing is counted twice: {counts:?}");
    drop(server);
}

#[test]
fn more_than_workers_can_do_is_thinned_and_counted() {
    let dir = tempfile::tempdir().unwrap();
    let file = recorded(dir.path(), 5000, 50_000);
    let tag = Tag::new();
    let mut graph = graph(100);
    for n in 0..1000 {
        let expr = format!("exp(sin(x * {n}.5)) + log(x * x + 1)");
        graph["nodes"][format!("e{n}")] =
            json!({"op": "expr", "in": {"x": "cam:raw:x"}, "expr": expr});
        graph["nodes"][format!("h{n}")] =
            json!({"op": "hist", "in": format!("e{n}"), "bins": 10, "range": [0, 10]});
    }
    // As fast as it can, over and over: far more than one worker can do.
    let source = format!("shmem:{}?overload=drop", tag.0);
    let builder = System::of(&source).workers(1).set("ventilator.ring_bytes=33554432");
    let system = builder.start();
    let server = Server::start(&tag, &file, &["--rate", "0", "--loops", "0"]);
    system.apply(&graph);
    let subscriber = system.subscribe("g/n");
    for _ in 0..60 {
        let result = subscriber.next(ami_tests::DEADLINE).expect("results go on");
        let lost: i64 = result.header["dropped"]
            .as_object()
            .unwrap()
            .values()
            .map(|v| v.as_i64().unwrap())
            .sum();
        assert_eq!(result.int("events") + lost, result.int("expected"), "{}", result.header);
    }
    let dropped = until("the overload", || {
        let name = "ami_dropped_events_total{reason=\"overload\"}";
        system.metric("ventilator", name).filter(|dropped| *dropped > 1000.0)
    });
    println!("{dropped} of {:?} events dropped", system.metric("ventilator", "ami_events_total"));
    drop(server);
}

#[test]
fn fields_of_a_live_server_are_listed() {
    let dir = tempfile::tempdir().unwrap();
    let file = recorded(dir.path(), 10, 1_000_000);
    let tag = Tag::new();
    let server = Server::start(&tag, &file, &["--rate", "100", "--stay"]);
    let url = format!("shmem:{}", tag.0);
    let out = Command::new(bin("ami-ventilator")).args(["inspect", &url]).output().unwrap();
    let text = String::from_utf8(out.stdout).unwrap();
    assert!(text.contains("cam:raw:x") && text.contains("motor"), "{text}");
    drop(server);
}
