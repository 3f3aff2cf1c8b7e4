//! A run's numbers: rates, latency, cost.

use crate::bench::cases::Case;
use crate::bench::frames::FrameLimits;
use crate::bench::goal::{self, Goal, number};
use crate::bench::limits::Limits;
use crate::bench::observer::Seen;
use crate::bench::system::Outcome;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// A heartbeat's latency at the beginning of a run speaks of the start, not of the run.
const WARM_UP: f64 = 0.1;

/// Order statistics of latencies, ms.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Latency {
    /// Median.
    pub p50: f64,
    /// 99th percentile.
    pub p99: f64,
    /// Greatest.
    pub max: f64,
    /// How many.
    pub count: usize,
}

impl Latency {
    /// Of heartbeats with ns, without the first tenth.
    pub fn of(latencies: &[(u64, u64)]) -> Latency {
        let skip = (latencies.len() as f64 * WARM_UP).ceil() as usize;
        let mut ns: Vec<u64> = latencies.iter().skip(skip).map(|l| l.1).collect();
        ns.sort_unstable();
        let at = |q: f64| {
            let index = ((ns.len() as f64 * q).ceil() as usize).saturating_sub(1);
            ns.get(index).map_or(f64::NAN, |ns| *ns as f64 / 1e6)
        };
        Latency { p50: at(0.5), p99: at(0.99), max: at(1.0), count: ns.len() }
    }

    fn document(&self, client: &str) -> Value {
        json!({"p50": number(self.p50), "p99": number(self.p99), "max": number(self.max),
               "heartbeats": self.count, "client": client})
    }
}

/// How old results are when a client has them.
#[derive(Debug, Clone, Copy)]
pub struct Latencies {
    /// From the last event of a heartbeat to a value in the client.
    pub value: Latency,
    /// To its whole frame.
    pub frame: Latency,
}

impl Latencies {
    /// Of what a client saw.
    pub fn of(seen: &Seen) -> Latencies {
        Latencies { value: Latency::of(&seen.values), frame: Latency::of(&seen.latencies) }
    }
}

/// What the machine did just before a run, and after it.
#[derive(Debug, Clone, Copy)]
pub struct Beside {
    /// With such frames at most.
    pub frames: Option<FrameLimits>,
    /// Of five bare hand-overs.
    pub chain: Option<Latencies>,
    /// From core to core, ns, before the run and after it.
    pub core_to_core_ns: [f64; 2],
}

impl Beside {
    /// Adds them to a run's limits.
    fn put(&self, limits: &mut Map<String, Value>) {
        let mut put = |key: &str, x| limits.insert(key.into(), number(x));
        if let Some(frames) = self.frames {
            put("frames_copied_into_ring_per_s", frames.copied);
            put("frames_copied_to_reader_per_s", frames.copied_to_reader);
            put("frames_copied_and_read_per_s_all_cores", frames.copied_and_read);
            put("frames_copied_and_analysed_per_s_all_cores", frames.copied_and_analysed);
        }
        if let Some(chain) = self.chain {
            put("bare_hand_overs_ms", chain.value.p50);
            put("bare_hand_overs_p99_ms", chain.value.p99);
            put("bare_hand_overs_frame_ms", chain.frame.p50);
        }
        put("core_to_core_ns_before", self.core_to_core_ns[0]);
        put("core_to_core_ns_after", self.core_to_core_ns[1]);
    }
}

/// A run's numbers.
#[derive(Debug)]
pub struct Measured {
    /// Which run.
    pub case: Case,
    /// Events per second, at the client.
    pub events_per_s: f64,
    /// How old results are.
    pub latency: Latencies,
    /// Processor time per event by process, µs.
    pub cpu_us: BTreeMap<String, f64>,
    /// Greatest resident memory by process, MiB.
    pub rss_mib: BTreeMap<String, f64>,
    /// What the machine did beside it.
    pub beside: Beside,
    /// All else.
    pub outcome: Outcome,
    /// Goals of this run.
    pub goals: Vec<Goal>,
    /// Whether goals are judged by it: false where another run of the same was less disturbed.
    pub judged: bool,
}

impl Measured {
    /// From a run, and what was measured of the machine beside it.
    pub fn new(case: Case, outcome: Outcome, beside: Beside) -> Measured {
        let events = case.events as f64;
        let rate = match (outcome.seen.first, outcome.seen.last) {
            (Some((t0, n0)), Some((t1, n1))) if t1 > t0 => {
                (n1 - n0) as f64 * 1e9 / (t1 - t0) as f64
            }
            _ => f64::NAN,
        };
        let by = |table: &BTreeMap<String, u64>, unit: f64| {
            table.iter().map(|(name, n)| (name.clone(), *n as f64 / unit)).collect()
        };
        let mut measured = Measured {
            events_per_s: rate,
            latency: Latencies::of(&outcome.seen),
            cpu_us: by(&outcome.usage.cpu_ns, 1e3 * events),
            rss_mib: by(&outcome.usage.resident, 1024.0 * 1024.0),
            beside,
            goals: Vec::new(),
            judged: true,
            case,
            outcome,
        };
        measured.goals = measured.own_goals();
        measured
    }

    /// Events per second as the root merged them: the slope of the straight line through what it
    /// reported in the course of the run.
    pub fn merged_per_s(&self) -> f64 {
        slope(&self.outcome.merged)
    }

    /// Part of the processors' time that the host gave to others.
    pub fn stolen(&self) -> f64 {
        self.outcome.usage.stolen
    }

    /// Fraction of heartbeats that were complete.
    pub fn complete(&self) -> f64 {
        let (all, complete) = self.outcome.heartbeats;
        complete as f64 / all as f64
    }

    fn own_goals(&self) -> Vec<Goal> {
        let rate = |goal| Goal::at_least("events/s", goal, self.events_per_s);
        let complete =
            |goal| Goal::at_least("fraction of heartbeats complete", goal, self.complete());
        let copied = || {
            let part = self.events_per_s / self.beside.frames.map_or(f64::NAN, |f| f.copied);
            Goal::at_least("of the rate at which a core copies such frames", 0.75, part)
        };
        match self.case.name {
            "P1" => vec![rate(10e6), complete(1.0)],
            "P1b" => vec![rate(1e6), complete(1.0)],
            "P2" | "P3" => vec![copied(), rate(2500.0), complete(1.0)],
            "P3b" => vec![rate(300e3), complete(1.0)],
            "P4" => {
                let p50 = match self.case.workers {
                    1 => 0.5,
                    2 => 0.6,
                    _ => 0.7,
                };
                let latency = |of| format!("latency {of}, ms, {}", self.case.variant);
                let value = self.latency.value;
                vec![
                    Goal::at_most(latency("p50"), p50, value.p50),
                    Goal::at_most(latency("p99"), 1.5, value.p99),
                ]
            }
            "P5" => vec![complete(0.9999)],
            "P8" => {
                let most = |t: &BTreeMap<String, f64>| t.values().copied().fold(0.0, f64::max);
                vec![
                    Goal::at_most("MiB per daemon", 20.0, most(&self.rss_mib)),
                    Goal::at_most("s until a daemon is ready", 0.3, most(&self.outcome.start_s)),
                ]
            }
            _ => Vec::new(),
        }
    }

    /// One document with stable keys.
    pub fn document(&self, limits: &Limits) -> Map<String, Value> {
        let table = |t: &BTreeMap<String, f64>| -> Map<String, Value> {
            t.iter().map(|(k, v)| (k.clone(), number(*v))).collect()
        };
        let mut limits = limits.values.clone();
        self.beside.put(&mut limits);
        let (heartbeats, complete) = self.outcome.heartbeats;
        let mut document = Map::new();
        let mut put = |key: &str, value: Value| document.insert(key.to_string(), value);
        put("case", self.case.name.into());
        put("variant", self.case.variant.clone().into());
        put("what", self.case.what.into());
        put("workers", self.case.workers.into());
        put("ring_bytes", self.case.ring_bytes.into());
        put("events", self.case.events.into());
        put("counts", json!(self.outcome.counts));
        put("events_per_s", number(self.events_per_s));
        put("gb_per_s", number(self.events_per_s * self.case.event_bytes as f64 / 1e9));
        put("heartbeats", heartbeats.into());
        put("complete_heartbeats", complete.into());
        put("latency_ms", self.latency.value.document(self.outcome.client));
        put("frame_latency_ms", self.latency.frame.document(self.outcome.client));
        put("cpu_us_per_event", Value::Object(table(&self.cpu_us)));
        put("rss_mib", Value::Object(table(&self.rss_mib)));
        put("stolen", number(self.stolen()));
        put("judged", self.judged.into());
        put("start_s", Value::Object(table(&self.outcome.start_s)));
        if self.case.clients > 0 {
            let (received, missed) = self.outcome.crowd;
            put(
                "clients",
                json!({"number": self.case.clients, "received": received, "missed": missed}),
            );
        }
        put("limits", Value::Object(limits));
        goal::put(&self.goals, &mut document);
        document
    }
}

/// Slope of the line of least squares through the counts, without the first and last, when the
/// stream begins and ends. NaN for fewer than two others.
fn slope(counts: &[(f64, u64)]) -> f64 {
    let inner = counts.get(1..counts.len().saturating_sub(1)).unwrap_or(&[]);
    let mean =
        |f: &dyn Fn(&(f64, u64)) -> f64| inner.iter().map(f).sum::<f64>() / inner.len() as f64;
    let (t, n) = (mean(&|c| c.0), mean(&|c| c.1 as f64));
    mean(&|c| (c.0 - t) * (c.1 as f64 - n)) / mean(&|c| (c.0 - t) * (c.0 - t))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_that_of_the_middle() {
        let rate = slope(&[(0.0, 3), (1.0, 10), (2.0, 20), (4.0, 40), (9.0, 41)]);
        assert!((rate - 10.0).abs() < 1e-9, "{rate}");
        assert!(slope(&[(0.0, 3), (1.0, 10), (2.0, 20)]).is_nan());
    }

    #[test]
    fn percentiles_leave_out_the_start() {
        let latencies: Vec<(u64, u64)> =
            (0..1000).map(|i| (i, if i < 100 { 9_000_000_000 } else { i * 1_000_000 })).collect();
        let l = Latency::of(&latencies);
        assert_eq!((l.p50, l.p99, l.max, l.count), (549.0, 990.0, 999.0, 900));
        assert!(Latency::of(&[]).p50.is_nan());
    }

    #[test]
    fn a_document_tells_the_events_of_every_stage_and_whether_the_run_is_judged() {
        let counts = BTreeMap::from([("source", 7)]);
        let outcome = Outcome { counts, ..Outcome::default() };
        let beside = Beside { frames: None, chain: None, core_to_core_ns: [1.0; 2] };
        let run = Measured::new(super::super::cases::P1, outcome, beside);
        let document = run.document(&Limits { values: Map::new() });
        assert_eq!(document["counts"], json!({"source": 7}));
        assert_eq!((&document["judged"], &document["stolen"]), (&json!(true), &json!(0.0)));
    }
}
