//! Three times as much as the workers can do: results stay young, every event is answered for, what is
//! kept is like the whole, memory is flat.

use super::{Report, memory, mib};
use crate::client::Feature;
use crate::{DEADLINE, System};
use serde_json::{Value, json};
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Parts of a heartbeat in which kept events are counted.
const PARTS: u64 = 20;

/// Nodes that make the graph heavy: the simulation must be able to give three times what workers can do.
const NODES: usize = 240;

/// `number` says where in its heartbeat an event lies; `gauss` has a known distribution.
fn describe(rate: u64, dir: &Path) -> String {
    let file = dir.join("overload.toml");
    let text = format!(
        "seed = 7\nrate_hz = {rate}.0\n\n[[field]]\nname = \"number\"\nkind = \"counter\"\ndtype = \"i64\"\n\n\
         [[field]]\nname = \"gauss\"\nkind = \"normal\"\n"
    );
    std::fs::write(&file, text).unwrap();
    file.display().to_string()
}

fn graph(rate: u64) -> Value {
    let heartbeat = rate / 10;
    let mut graph = json!({"name": "g", "nodes": {
        "n": {"op": "count", "in": "number"},
        "part": {"op": "expr", "in": {"n": "number"}, "expr": format!("n % {heartbeat}")},
        "parts": {"op": "hist", "in": "part", "bins": PARTS, "range": [0, heartbeat]},
        "stats": {"op": "stats", "in": "gauss"}
    }});
    for n in 0..NODES {
        let expr = format!("exp(sin(a * {n}.5)) + log(a * a + 1)");
        graph["nodes"][format!("e{n}")] = json!({"op": "expr", "in": {"a": "gauss"}, "expr": expr});
        graph["nodes"][format!("h{n}")] =
            json!({"op": "hist", "in": format!("e{n}"), "bins": 10, "range": [0, 10]});
    }
    graph
}

/// Events per second that this machine can do of the graph.
fn capacity(dir: &Path) -> u64 {
    let file = describe(1_000_000, dir);
    let system = System::of(&format!("sim:{file}?pace=max&overload=block")).workers(2).start();
    system.apply(&graph(1_000_000));
    let done = || system.metric("root", "ami_events_total").unwrap_or(0.0);
    crate::until("progress", || (done() > 0.0).then_some(()));
    let (before, start) = (done(), Instant::now());
    std::thread::sleep(Duration::from_secs(4));
    ((done() - before) / start.elapsed().as_secs_f64()) as u64
}

/// What the results of a run say.
#[derive(Default)]
struct Seen {
    ages_ms: Vec<f64>,
    kept: u64,
    expected: u64,
    wrong: Vec<String>,
    most_undone: f64,
}

impl Seen {
    fn take(&mut self, result: &Feature) {
        let count = |name: &str| result.header[name].as_u64().unwrap_or(0);
        let dropped = result.header["dropped"].as_object().into_iter().flatten();
        let dropped: u64 = dropped.filter_map(|(_, n)| n.as_u64()).sum();
        let (kept, expected) = (count("events"), count("expected"));
        if kept + dropped != expected || !result.header["dropped"]["ring_full"].is_null() {
            self.wrong.push(result.header.to_string());
        }
        self.kept += kept;
        self.expected += expected;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_nanos());
        // The stamp is of the heartbeat's last event: the age is what came on top of waiting for it.
        self.ages_ms.push((now as f64 - count("timestamp_ns") as f64) / 1e6);
    }

    /// Data time and wall time differ by a constant: the youngest result counts as 0 ms old.
    fn ages(&mut self) -> [f64; 3] {
        self.ages_ms.sort_by(f64::total_cmp);
        let at = |part: f64| {
            let index = (self.ages_ms.len() as f64 * part) as usize;
            self.ages_ms[index.min(self.ages_ms.len() - 1)] - self.ages_ms[0]
        };
        [0.5, 0.99, 1.0].map(at)
    }
}

/// Runs for so many seconds at three times what the machine can do.
pub fn run(seconds: u64) -> Report {
    let dir = tempfile::tempdir().unwrap();
    let can = capacity(dir.path());
    // Whole events in each part of a heartbeat.
    let rate = (3 * can).div_ceil(10 * PARTS).max(1) * 10 * PARTS;
    let source = format!("sim:{}?pace=realtime&overload=drop", describe(rate, dir.path()));
    let builder = System::of(&source).workers(2).set("ventilator.ring_bytes=33554432");
    // So short a history is full before memory is looked at.
    let system = builder.set("store.history=20").start();
    system.apply(&graph(rate));
    let subscriber = system.subscribe("g/n");
    let heartbeat = || subscriber.next(DEADLINE).expect("results go on");
    // The heartbeat in which the load leaps up may be cut off at its end; then it is even.
    (0..30).for_each(|_| drop(heartbeat()));
    system.manager(json!({"cmd": "graph.reset", "graph": "g", "who": "show"}));
    (0..5).for_each(|_| drop(heartbeat()));
    let before = memory(&system);
    let mut seen = Seen::default();
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(seconds) {
        seen.take(&heartbeat());
        let undone = system.metric("ventilator", "ami_undone_heartbeats").unwrap_or(0.0);
        seen.most_undone = seen.most_undone.max(undone);
    }
    judge(&system, can, rate, &mut seen, &before)
}

fn judge(
    system: &System,
    can: u64,
    rate: u64,
    seen: &mut Seen,
    before: &[(String, u64)],
) -> Report {
    let mut report = Report::with_head(&["what", "measured"]);
    let [median, most, oldest] = seen.ages();
    let share = seen.kept as f64 / seen.expected as f64;
    let (parts, gauss) = (system.get("g/parts").i64s("counts"), system.get("g/stats"));
    let (uneven, kept) = unevenness(&parts);
    let off = gauss.value("mean").abs() * kept.sqrt();
    let rows = [
        ("the machine can do, events/s", can.to_string()),
        ("given, events/s", rate.to_string()),
        ("results", seen.ages_ms.len().to_string()),
        ("kept of all events", format!("{:.1} %", 100.0 * share)),
        ("results with events + dropped ≠ expected", seen.wrong.len().to_string()),
        (
            "age beyond the youngest, median / 99 % / oldest",
            format!("{median:.0} / {most:.0} / {oldest:.0} ms"),
        ),
        ("heartbeats undone, most", format!("{}", seen.most_undone)),
        ("kept in parts of a heartbeat, most off the mean", format!("{uneven:.2} %")),
        ("mean of kept normal numbers, standard errors off", format!("{off:.2}")),
    ];
    rows.into_iter().for_each(|(what, value)| report.line(&[what.into(), value]));
    for ((member, before), (_, after)) in before.iter().zip(memory(system)) {
        report.line(&[format!("{member}, MiB"), format!("{} → {}", mib(*before), mib(after))]);
        report.demand(after < before + (16 << 20), || format!("{member} grew by much"));
    }
    report.violations.extend(seen.wrong.iter().take(5).cloned());
    report.demand(share < 0.9 && seen.kept > 0, || "that was no overload".into());
    report.demand(seen.most_undone <= 3.0, || "more than three heartbeats were undone".into());
    // The rest is for a machine that does something else for a while.
    report.demand(most <= 300.0, || "results were older than three heartbeats".into());
    report.demand(uneven < 2.0 && off < 5.0, || {
        format!("what is kept is not like the whole: {parts:?}")
    });
    report
}

/// How far a share is off the mean at most, in percent, and how many there are.
fn unevenness(counts: &[i64]) -> (f64, f64) {
    let kept = counts.iter().sum::<i64>() as f64;
    let mean = kept / counts.len() as f64;
    let off = counts.iter().map(|n| (*n as f64 / mean - 1.0).abs()).fold(0.0, f64::max);
    (100.0 * off, kept)
}
