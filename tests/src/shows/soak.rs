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

/// The least of half a second: what is only on its way comes and goes.
fn least(system: &System) -> Vec<(String, u64)> {
    let mut least = memory(system);
    for _ in 0..5 {
        std::thread::sleep(Duration::from_millis(100));
        for ((_, least), (_, now)) in least.iter_mut().zip(memory(system)) {
            *least = now.min(*least);
        }
    }
    least
}

/// Looks at memory in the second half of a run.
const LOOKS: u64 = 100;

/// Most bytes per thousand heartbeats that memory may grow in the second half: half of 64, a leak
/// of one small block per thousand heartbeats.
const LEAK: f64 = 32.0;

/// The lower quartile of the slopes between all pairs of points (after Theil and Sen). Memory grows
/// by whole pages, and by a step when a daemon had to wait for longer than ever before: a step or two
/// leave a third of the pairs level, while a leak lifts nearly all.
fn slope(points: &[(f64, f64)]) -> f64 {
    let mut slopes: Vec<f64> = Vec::new();
    for (i, a) in points.iter().enumerate() {
        slopes.extend(points[i + 1..].iter().map(|b| (b.1 - a.1) / (b.0 - a.0)));
    }
    slopes.sort_by(f64::total_cmp);
    slopes.get(slopes.len() / 4).copied().unwrap_or(0.0)
}

/// Runs so many heartbeats, so many per second. Demands that no daemon's memory has a slope in the
/// second half; or, of a run too short for that, that it grows by no more than so many bytes.
pub fn run(heartbeats: u64, pace: u64, slack: Option<u64>) -> Report {
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
    let looks = looks(&system, events, pace, if slack.is_some() { 1 } else { LOOKS });
    let seconds = start.elapsed().as_secs_f64();
    let columns =
        ["daemon", "after half, MiB", "at the end", "growth", "slope, B per 1000 heartbeats"];
    let mut report = Report::with_head(&columns);
    for (k, (member, before)) in looks[0].1.iter().enumerate() {
        let after = looks[looks.len() - 1].1[k].1;
        let thousands = |events: f64| events / PER_HEARTBEAT as f64 / 1000.0;
        let point =
            |(events, memory): &(f64, Vec<(String, u64)>)| (thousands(*events), memory[k].1 as f64);
        let slope = slope(&looks.iter().map(point).collect::<Vec<_>>());
        let growth = format!("{:+.2} %", 100.0 * (after as f64 / *before as f64 - 1.0));
        report.line(&[member.clone(), mib(*before), mib(after), growth, format!("{slope:+.1}")]);
        match slack {
            Some(slack) => report.demand(after <= before + slack, || {
                format!("{member} grew from {before} to {after} bytes")
            }),
            None => report.demand(slope < LEAK, || {
                format!("{member} grows by {slope:.0} bytes per thousand heartbeats")
            }),
        }
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

/// Events merged and memory of every daemon, from half of the run to its end.
fn looks(system: &System, events: u64, pace: u64, looks: u64) -> Vec<(f64, Vec<(String, u64)>)> {
    // As fast as a slow machine: half the pace.
    let most = Duration::from_secs(60 + 2 * events / pace);
    // Seldom, two hundred times in all: requests, each over a connection of its own, are no part of what
    // is measured, and the allocator of who answers takes two thousand of them to settle.
    let pause = Duration::from_millis(1000 * events / pace / (2 * LOOKS));
    let reached = |events: u64| {
        until_within(most, "progress", || {
            std::thread::sleep(pause);
            system.metric("root", "ami_events_total").filter(|&merged| merged >= events as f64)
        })
    };
    let look = |k: u64| (reached(events / 2 + events / 2 * k / looks), least(system));
    (0..=looks).map(look).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Memory in whole pages after each of a hundred times ten thousand heartbeats: a leak, and steps
    /// of 256 KiB at some of them.
    fn memory(bytes_per_thousand: f64, steps: &[usize]) -> Vec<(f64, f64)> {
        let one = |k: usize| {
            let thousands = 10.0 * k as f64;
            let steps = steps.iter().filter(|&&step| step <= k).count() as f64;
            let bytes = 5e6 + bytes_per_thousand * thousands + 262_144.0 * steps;
            (thousands, (bytes / 4096.0).floor() * 4096.0)
        };
        (0..=100).map(one).collect()
    }

    #[test]
    fn a_leak_has_a_slope_and_steps_have_none() {
        assert!(slope(&memory(64.0, &[])) > LEAK);
        assert!(slope(&memory(64.0, &[30, 80])) > LEAK);
        for steps in [&[][..], &[50], &[20], &[33, 67], &[10, 90]] {
            assert!(slope(&memory(0.0, steps)) < LEAK, "{steps:?}");
        }
    }
}
