//! Many heartbeats, compressed in time: small events, fast. What daemons have allocated stays as it was.

use super::{Report, mib};
use crate::memory::Allocated;
use crate::{System, until_within};
use rustix::process::Signal;
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

/// Looks at memory in the second half of a run.
const LOOKS: u64 = 20;

/// Most bytes per thousand heartbeats by which what is allocated may grow in the second half: half of 64,
/// a leak of one small block per thousand heartbeats.
pub const LEAK: f64 = 32.0;

/// Most bytes by which resident memory may grow. It does without a leak, too: places of libzmq's queues are
/// used for the first time, and the allocator keeps what a longer pause of the system's made daemons hold.
const RESIDENT: u64 = 2 << 20;

/// A daemon's memory, bytes.
struct Memory {
    daemon: String,
    allocated: u64,
    resident: u64,
}

fn memory(system: &System, allocated: &Allocated) -> Vec<Memory> {
    let one = |daemon: String| Memory {
        allocated: allocated.bytes(system.pid(&daemon)),
        resident: system.memory(&daemon),
        daemon,
    };
    system.members().into_iter().map(one).collect()
}

/// The least of a second in which nothing new comes: then all that is on its way has arrived, and flushes
/// that were held until they are in a checkpoint are let go.
fn at_rest(system: &System, allocated: &Allocated) -> Vec<Memory> {
    system.signal("ventilator", Signal::STOP);
    let mut least = memory(system, allocated);
    for _ in 0..20 {
        std::thread::sleep(Duration::from_millis(50));
        for (least, now) in least.iter_mut().zip(memory(system, allocated)) {
            least.allocated = now.allocated.min(least.allocated);
            least.resident = now.resident.min(least.resident);
        }
    }
    system.signal("ventilator", Signal::CONT);
    least
}

/// The lower quartile of the slopes between all pairs of points (after Theil and Sen). What is allocated
/// grows by a step where libzmq begins the second block of a queue: a step or two leave a third of the
/// pairs level, while a leak lifts nearly all.
fn slope(points: &[(f64, f64)]) -> f64 {
    let mut slopes: Vec<f64> = Vec::new();
    for (i, a) in points.iter().enumerate() {
        slopes.extend(points[i + 1..].iter().map(|b| (b.1 - a.1) / (b.0 - a.0)));
    }
    slopes.sort_by(f64::total_cmp);
    slopes.get(slopes.len() / 4).copied().unwrap_or(0.0)
}

/// Runs so many heartbeats, so many per second. Demands that no daemon's resident memory grows much in the
/// second half and, of a run that is long enough for it, that what it has allocated grows by less than so
/// many bytes per thousand heartbeats.
pub fn run(heartbeats: u64, pace: u64, leak: Option<f64>) -> Report {
    let events = heartbeats * PER_HEARTBEAT;
    let pace = pace * PER_HEARTBEAT;
    let source = format!("sim:scalars?rate=100&pace={pace}&overload=block&events={events}");
    let allocated = Allocated::build();
    // The host collector holds flushes until they are in a checkpoint. Of compressed time that is much more
    // than a second's at 10 heartbeats per second, and how long a checkpoint takes depends on the disk: without
    // a bound, a stall of it would be taken for growth.
    let system = System::of(&source)
        .workers(2)
        .set("root.checkpoint_s=0.1")
        .set("collector.hold_bytes=1000000")
        .environment(&allocated.environment())
        .start();
    system.apply(&graph());
    let start = Instant::now();
    let looks = looks(&system, &allocated, events, pace, if leak.is_some() { LOOKS } else { 1 });
    let seconds = start.elapsed().as_secs_f64();
    let mut report = compare(&looks, leak);
    let last = system.get_when("g/n", |f| f.int("window_expected") as u64 >= events);
    let exact = last.int("window_events") as u64 == events && last.value("value") == events as f64;
    report.demand(exact && last.header["window_complete"] == true, || last.header.to_string());
    report
        .table
        .push(format!("\n{heartbeats} heartbeats of {PER_HEARTBEAT} events in {seconds:.0} s"));
    report.demand(system.stop(), || "a daemon did not stop with success".into());
    report
}

/// Thousands of heartbeats merged, and memory of every daemon.
type Look = (f64, Vec<Memory>);

/// From half of the run to its end.
fn looks(system: &System, allocated: &Allocated, events: u64, pace: u64, looks: u64) -> Vec<Look> {
    // As fast as a slow machine: half the pace.
    let most = Duration::from_secs(60 + 2 * events / pace);
    // Two hundred times in all, so that requests are next to nothing of what is measured.
    let pause = Duration::from_millis(1000 * events / pace / 200);
    let reached = |events: u64| {
        until_within(most, "progress", || {
            std::thread::sleep(pause);
            system.metric("root", "ami_events_total").filter(|&merged| merged >= events as f64)
        })
    };
    let look = |k: u64| {
        let merged = reached(events / 2 + events / 2 * k / looks);
        (merged / PER_HEARTBEAT as f64 / 1000.0, at_rest(system, allocated))
    };
    (0..=looks).map(look).collect()
}

/// What has become of every daemon's memory.
fn compare(looks: &[Look], leak: Option<f64>) -> Report {
    let columns = [
        "daemon",
        "allocated after half, KiB",
        "at the end",
        "B per 1000 heartbeats",
        "resident after half, MiB",
        "at the end",
    ];
    let mut report = Report::with_head(&columns);
    let kib = |bytes: u64| format!("{:.2}", bytes as f64 / 1024.0);
    for (k, before) in looks[0].1.iter().enumerate() {
        let (daemon, after) = (&before.daemon, &looks[looks.len() - 1].1[k]);
        let point = |look: &Look| (look.0, look.1[k].allocated as f64);
        let slope = slope(&looks.iter().map(point).collect::<Vec<_>>());
        report.line(&[
            daemon.clone(),
            kib(before.allocated),
            kib(after.allocated),
            format!("{slope:+.2}"),
            mib(before.resident),
            mib(after.resident),
        ]);
        report.demand(leak.is_none_or(|leak| slope < leak), || {
            format!("{daemon} grows by {slope:.0} bytes per thousand heartbeats")
        });
        report.demand(after.resident <= before.resident + RESIDENT, || {
            format!("{daemon} grew from {} to {} bytes", before.resident, after.resident)
        });
    }
    report
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes allocated at every look of two million heartbeats: a leak in blocks of 64 bytes, what comes and
    /// goes (two KiB, in no order), and the second block of a queue with each of six members at some looks.
    fn allocated(bytes_per_thousand: f64, steps: &[u64]) -> Vec<(f64, f64)> {
        let one = |k: u64| {
            let thousands = 1000.0 + 50.0 * k as f64;
            let blocks = (bytes_per_thousand * thousands / 64.0).floor();
            let steps = steps.iter().filter(|&&step| step <= k).count() as f64;
            let passing = (k * 7919 % 2048) as f64;
            (thousands, 1e6 + 64.0 * blocks + passing + 6.0 * 16_440.0 * steps)
        };
        (0..=LOOKS).map(one).collect()
    }

    #[test]
    fn a_leak_has_a_slope_and_steps_have_none() {
        for steps in [&[][..], &[0], &[10], &[4], &[6, 14], &[2, 18]] {
            assert!(slope(&allocated(64.0, steps)) > LEAK, "{steps:?}");
            assert!(slope(&allocated(0.0, steps)) < LEAK, "{steps:?}");
        }
    }

    #[test]
    fn a_leak_is_found_beside_a_look_that_was_too_early() {
        for early in 0..=LOOKS as usize {
            let (mut leak, mut none) = (allocated(64.0, &[]), allocated(0.0, &[]));
            leak[early].1 += 500_000.0;
            none[early].1 += 500_000.0;
            assert!(slope(&leak) > LEAK, "{early}");
            assert!(slope(&none) < LEAK, "{early}");
        }
    }

    #[test]
    fn a_report_names_who_leaks() {
        let member = |daemon: &str, allocated: u64| Memory {
            daemon: daemon.into(),
            allocated,
            resident: 4 << 20,
        };
        let leak = allocated(64.0, &[]).into_iter();
        let looks: Vec<Look> = leak
            .map(|(at, bytes)| (at, vec![member("root", 1_000_000), member("store", bytes as u64)]))
            .collect();
        let found = compare(&looks, Some(LEAK)).violations;
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with("store grows by "), "{found:?}");
        assert!(compare(&looks, None).violations.is_empty());
    }
}
