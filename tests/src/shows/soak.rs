//! Many heartbeats, compressed in time: small events, fast. Memory stays where it was.

use super::{Report, memory, mib};
use crate::{System, until_within};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Events of a heartbeat: 100 Hz of data time.
const PER_HEARTBEAT: u64 = 10;

/// Heartbeats per second that are given, of ten in data time. At full speed, 6500 on two cores, queues between
/// daemons come and go with what else the machine does.
pub const PACE: u64 = 4000;

/// Every kind of window, so that whatever grows in one of them is seen.
fn graph() -> Value {
    json!({"name": "g", "nodes": {
        "n": {"op": "count", "in": "bench:raw:a"},
        "now": {"op": "mean", "in": "bench:raw:b", "window": "heartbeat"},
        "newest": {"op": "hist", "in": "bench:raw:a", "bins": 50, "range": [0, 20], "window": {"heartbeats": 20}},
        "auto": {"op": "hist", "in": "bench:raw:c", "bins": 32, "range": "auto"},
        "last": {"op": "last", "in": "bench:raw:d", "n": 10},
        "trend": {"op": "buffer", "in": "now.value", "n": 100}
    }})
}

/// The least of a second: what is only on its way comes and goes.
fn least(system: &System) -> Vec<(String, u64)> {
    let mut least = memory(system);
    for _ in 0..10 {
        std::thread::sleep(Duration::from_millis(100));
        for ((_, least), (_, now)) in least.iter_mut().zip(memory(system)) {
            *least = now.min(*least);
        }
    }
    least
}

/// Runs so many heartbeats, so many per second; `slack` is what memory may grow beside 2 % after the first
/// tenth, bytes.
pub fn run(heartbeats: u64, pace: u64, slack: u64) -> Report {
    let events = heartbeats * PER_HEARTBEAT;
    let pace = pace * PER_HEARTBEAT;
    let source = format!("sim:scalars?rate=100&pace={pace}&overload=block&events={events}");
    // The host collector holds flushes until they are in a checkpoint. Of compressed time that is much more
    // than a second's at 10 heartbeats per second, and how long a checkpoint takes depends on the disk: without
    // a bound, a stall of it would be taken for growth.
    let system = System::of(&source)
        .workers(2)
        .set("root.checkpoint_s=0.1")
        .set("collector.hold_bytes=1000000")
        .start();
    system.apply(&graph());
    let start = Instant::now();
    // As fast as a slow machine: half the pace.
    let most = Duration::from_secs(60 + 2 * events / pace);
    // Seldom, a hundred times in all: requests, each over a connection of its own, are no part of what is
    // measured, and the allocator of who answers takes two thousand of them to settle.
    let pause = Duration::from_millis(10 * events / pace);
    let reached = |events: u64| {
        until_within(most, "progress", || {
            std::thread::sleep(pause);
            (system.metric("root", "ami_events_total")? >= events as f64).then_some(())
        });
        least(&system)
    };
    let before = reached(events / 10);
    let half = reached(events / 2);
    let after = reached(events);
    let seconds = start.elapsed().as_secs_f64();
    let mut report =
        Report::with_head(&["daemon", "after a tenth, MiB", "after half", "at the end", "growth"]);
    for (((member, before), (_, half)), (_, after)) in before.into_iter().zip(half).zip(after) {
        let growth = 100.0 * (after as f64 / before as f64 - 1.0);
        let growth_text = format!("{growth:+.2} %");
        report.line(&[member.clone(), mib(before), mib(half), mib(after), growth_text]);
        report.demand(after <= before + before / 50 + slack, || {
            format!("{member} grew from {before} to {after} bytes")
        });
    }
    let last = system.get_when("g/n", |f| f.int("window_expected") as u64 >= events);
    let exact = last.int("window_events") as u64 == events && last.value("value") == events as f64;
    report.demand(exact && last.header["window_complete"] == true, || last.header.to_string());
    report
        .table
        .push(format!("\n{heartbeats} heartbeats of {PER_HEARTBEAT} events in {seconds:.0} s"));
    report.demand(system.stop(), || "a daemon did not stop with success".into());
    report
}
