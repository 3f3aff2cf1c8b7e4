//! `kill -9` of one kind of member again and again, under load, with four workers.

use super::Report;
use crate::chaos::schedule::{Action, Kind};
use crate::chaos::{Options, laws, run, stream};
use std::sync::Arc;

/// Who, and how often, ms.
const VICTIMS: [(&str, u64); 7] = [
    ("worker", 1000),
    ("collector", 1000),
    ("python", 1000),
    ("manager", 1000),
    ("store", 1000),
    ("root", 3000),
    ("ventilator", 3000),
];

/// One run of so many seconds for each victim; prints each as it ends.
pub fn run(seconds: u64, seed: u64, tell: impl Fn(&str)) -> Report {
    let base = Options { seconds, seed, kinds: vec![Kind::Kill], ..Options::default() };
    let dir = tempfile::tempdir().unwrap();
    let reference = Arc::new(stream::reference(&base, dir.path()));
    let head = ["victim", "kills", "features compared", "incomplete heartbeats", "lost", "verdict"];
    let mut report = Report::with_head(&head);
    for (victim, every_ms) in VICTIMS {
        let victims = vec![victim.to_string()];
        let outcome = run::run(&Options { victims, every_ms, ..base.clone() }, &reference);
        let kills = outcome.schedule.0.iter().filter(|(_, a)| matches!(a, Action::Kill(_))).count();
        let verdict = if outcome.violations.is_empty() { "as designed" } else { "BROKEN" };
        report.line(&[
            victim.into(),
            kills.to_string(),
            outcome.features.1.to_string(),
            outcome.incomplete.to_string(),
            laws::sum(&outcome.last["window_dropped"]).to_string(),
            verdict.into(),
        ]);
        tell(report.table.last().map_or("", String::as_str));
        report.violations.extend(outcome.violations);
    }
    report
}
