//! What a ventilator promises: its death, a chunk that kills, more data than workers can do.

use ami_shm::{LaneState, RingReader};
use ami_tests::client::Feature;
use ami_tests::{System, until};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

fn graph() -> Value {
    json!({"name": "g", "nodes": {
        "n": {"op": "count", "in": "bench:raw:a"},
        "hist": {"op": "hist", "in": "bench:raw:a", "bins": 50, "range": [0, 20]}
    }})
}

fn expected(feature: &Feature) -> u64 {
    feature.header["window_expected"].as_u64().unwrap_or(0)
}

fn dropped(feature: &Feature, reason: &str) -> u64 {
    feature.header["window_dropped"][reason].as_u64().unwrap_or(0)
}

/// The run's end: every event is accounted for, once; the value counts what its label says.
fn conserved(system: &System, events: u64, reason: &str) -> Feature {
    system.drained();
    let last = system.get_when("g/n", |f| expected(f) >= events);
    let merged = last.header["window_events"].as_u64().unwrap();
    assert_eq!(expected(&last), events, "{}", last.header);
    assert_eq!(merged + dropped(&last, reason), events, "{}", last.header);
    assert_eq!(last.value("value"), merged as f64, "{}", last.header);
    last
}

#[test]
fn a_killed_ventilator_loses_what_was_under_way_and_says_exactly_how_much() {
    const EVENTS: u64 = 400_000;
    let source = format!("sim:scalars?events={EVENTS}&rate=20000&pace=100000");
    let mut system = System::of(&source).workers(3).start();
    system.apply(&graph());
    let pids = |system: &System| [0, 1, 2].map(|n| system.pid(&format!("worker-{n}")));
    let workers = pids(&system);
    for round in 1..4 {
        let events = f64::from(round) * EVENTS as f64 / 5.0;
        until("progress", || (system.metric("root", "ami_events_total")? > events).then_some(()));
        system.kill("ventilator");
        system.spawn("ventilator");
    }
    let last = conserved(&system, EVENTS, "lost");
    assert_eq!(pids(&system), workers, "workers keep their process");
    let lost = dropped(&last, "lost");
    assert!(lost > 0 && lost < EVENTS / 4, "{lost} lost: it went on where it was");
    assert_eq!(last.header["run"], 1);
}

/// A graph that takes workers some microseconds per event.
fn heavy(nodes: usize) -> Value {
    let mut graph = graph();
    for n in 0..nodes {
        let expr = format!("exp(sin(a * {n}.5)) + log(a * a + 1)");
        graph["nodes"][format!("e{n}")] =
            json!({"op": "expr", "in": {"a": "bench:raw:a"}, "expr": expr});
        graph["nodes"][format!("h{n}")] =
            json!({"op": "hist", "in": format!("e{n}"), "bins": 10, "range": [0, 10]});
    }
    graph
}

/// The worker whose cursor in shared memory names a unit; any unit if none is asked for.
fn at_work(system: &System, ring: &RingReader, unit: Option<u64>) -> Option<(String, u64)> {
    (0..ring.lanes()).find_map(|lane| {
        let lane = ring.look(lane);
        let cursor = lane.cursor().filter(|c| unit.is_none_or(|u| u == *c))?;
        let pid = lane.pid().filter(|_| lane.state() == LaneState::Claimed)?;
        Some((system.workers().into_iter().find(|name| system.pid(name) == pid)?, cursor))
    })
}

/// Kills the worker if it still works on the unit once it is stopped.
fn kill_over(system: &mut System, ring: &RingReader, name: &str, unit: u64) -> bool {
    system.signal(name, Signal::STOP);
    let there = at_work(system, ring, Some(unit)).is_some_and(|(at, _)| at == name);
    if there {
        system.kill(name);
        system.spawn_worker();
    } else {
        system.signal(name, Signal::CONT);
    }
    there
}

#[test]
fn a_unit_over_which_three_workers_die_is_quarantined_and_the_run_goes_on() {
    const EVENTS: u64 = 200_000;
    // Full units of many milliseconds of work each, so that a worker is caught over every one.
    let source = format!("sim:scalars?events={EVENTS}&rate=1000000&pace=max");
    let builder = System::of(&source).workers(2).set("ventilator.chunk_events=16384");
    let mut system = builder.set("collector.ask_after_ms=200").start();
    system.apply(&heavy(100));
    let ring = RingReader::open(&system.ring()).unwrap();
    let (mut target, mut since) = (None, Instant::now());
    until("a unit in quarantine", || {
        if system.log("ventilator").contains("unit quarantined") {
            return Some(());
        }
        // A unit that was done before it could be killed over again is not seen any more.
        if since.elapsed() > Duration::from_secs(10) {
            target = None;
        }
        let looked = Instant::now();
        while looked.elapsed() < Duration::from_millis(200) {
            if let Some((name, unit)) = at_work(&system, &ring, target)
                && kill_over(&mut system, &ring, &name, unit)
            {
                (target, since) = (Some(unit), Instant::now());
            }
        }
        None
    });
    let last = conserved(&system, EVENTS, "poison");
    let poison = dropped(&last, "poison");
    assert!(poison > 0 && poison <= 16_384, "one unit: {poison}");
    assert_eq!(system.metric("ventilator", "ami_quarantined_units_total"), Some(1.0));
    let entries = std::fs::read_dir(system.dir()).unwrap().flatten();
    let mut files = entries.filter(|e| e.file_name().to_string_lossy().starts_with("poison-"));
    let file = files.next().expect("the unit is saved").path();
    let url = format!("xtc2:{}", file.display());
    let inspect = std::process::Command::new(ami_tests::bin("ami-ventilator"))
        .args(["inspect", &url, "--json"])
        .output()
        .unwrap();
    let lines = String::from_utf8(inspect.stdout).unwrap();
    let events = lines.lines().filter(|l| l.contains("\"L1Accept\"")).count();
    assert_eq!(events as u64, poison, "it replays: {}", String::from_utf8_lossy(&inspect.stderr));
}

#[test]
fn random_kills_are_no_poison() {
    const EVENTS: u64 = 400_000;
    let source = format!("sim:scalars?events={EVENTS}&rate=20000&pace=100000");
    let builder = System::of(&source).workers(3).set("collector.ask_after_ms=200");
    let mut system = builder.start();
    system.apply(&heavy(20));
    for round in 1..20 {
        let events = f64::from(round) * EVENTS as f64 / 25.0;
        until("progress", || (system.metric("root", "ami_events_total")? > events).then_some(()));
        let workers = system.workers();
        system.kill(&workers[(round * 7 + 3) as usize % workers.len()]);
        system.spawn_worker();
    }
    let last = conserved(&system, EVENTS, "poison");
    assert_eq!(last.header["window_dropped"], json!({}), "{}", last.header);
    assert_eq!(last.header["window_complete"], true);
    assert_eq!(system.metric("ventilator", "ami_quarantined_units_total"), Some(0.0));
}

#[test]
fn overload_is_thinned_counted_and_bounded() {
    // Far more than a worker can do: 100 heavy nodes at 400 kHz.
    let source = "sim:scalars?rate=400000&pace=realtime&overload=drop&loop=forever";
    let builder = System::of(source).workers(1).set("ventilator.ring_bytes=33554432");
    let system = builder.start();
    system.apply(&heavy(100));
    let subscriber = system.subscribe("g/n");
    let memory = || ["ventilator", "worker-0"].map(|name| system.memory(name));
    let (mut first, mut kept) = (None, 0);
    for heartbeat in 0..60 {
        let result = subscriber.next(ami_tests::DEADLINE).expect("results go on");
        let count = |name: &str| result.header[name].as_u64().unwrap();
        let lost: u64 = result.header["dropped"]
            .as_object()
            .unwrap()
            .values()
            .map(|v| v.as_u64().unwrap())
            .sum();
        assert_eq!(count("events") + lost, count("expected"), "{}", result.header);
        assert!(result.header["dropped"]["ring_full"].is_null(), "{}", result.header);
        kept += count("events");
        if heartbeat == 20 {
            first = Some(memory());
        }
        let undone = system.metric("ventilator", "ami_undone_heartbeats").unwrap_or(0.0);
        assert!(undone <= 3.0, "{undone} heartbeats wait for workers");
    }
    let overload = system.metric("ventilator", "ami_dropped_events_total{reason=\"overload\"}");
    assert!(overload > Some(0.0) && kept > 0, "{overload:?} dropped, {kept} kept");
    for (now, then) in memory().into_iter().zip(first.unwrap()) {
        assert!(now < then + (16 << 20), "memory is flat: {then} then, {now} now");
    }
}
