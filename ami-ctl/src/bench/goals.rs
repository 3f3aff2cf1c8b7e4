//! What the cases are to reach, and whether they do.

use crate::bench::measured::{Measured, number};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// One goal, and what came of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Goal {
    /// What is measured, with its unit.
    pub what: String,
    /// To be reached, or not to be passed where less is better.
    pub goal: f64,
    /// What was measured.
    pub value: f64,
    /// Whether more is better.
    pub more: bool,
}

impl Goal {
    pub fn at_least(what: impl Into<String>, goal: f64, value: f64) -> Goal {
        Goal { what: what.into(), goal, value, more: true }
    }

    pub fn at_most(what: impl Into<String>, goal: f64, value: f64) -> Goal {
        Goal { what: what.into(), goal, value, more: false }
    }

    /// How well: 1 is just reached, more is better.
    pub fn ratio(&self) -> f64 {
        if self.more { self.value / self.goal } else { self.goal / self.value }
    }

    /// Whether it is reached. Nothing measured reaches nothing.
    pub fn met(&self) -> bool {
        self.ratio() >= 1.0
    }

    /// As it stands in the document.
    pub fn document(&self) -> Value {
        let goal = format!("{} {}", if self.more { "≥" } else { "≤" }, self.goal);
        json!({"what": self.what, "goal": goal, "value": number(self.value),
               "ratio": number(self.ratio()), "met": self.met()})
    }
}

/// The goals of all runs that are judged; of several runs of the same the median counts.
pub fn of(runs: &[Measured]) -> Vec<Goal> {
    let runs: Vec<&Measured> = runs.iter().filter(|run| run.judged).collect();
    let mut variants: Vec<&str> = runs.iter().map(|run| run.case.variant.as_str()).collect();
    let mut seen = BTreeSet::new();
    variants.retain(|variant| seen.insert(*variant));
    let same = |variant| {
        let runs = runs.iter().filter(move |run| run.case.variant == variant);
        medians(&runs.map(|run| run.goals.clone()).collect::<Vec<_>>())
    };
    variants.into_iter().flat_map(same).collect()
}

/// Each goal with the median of what the runs measured for it.
fn medians(runs: &[Vec<Goal>]) -> Vec<Goal> {
    let Some(first) = runs.first() else { return Vec::new() };
    let of = |(place, goal): (usize, &Goal)| {
        let values = runs.iter().filter_map(|goals| Some(goals.get(place)?.value));
        Goal { value: median(values.collect()), ..goal.clone() }
    };
    first.iter().enumerate().map(of).collect()
}

/// The middle one, of two in the middle the lesser; NaN of none, or when one was not measured.
fn median(mut values: Vec<f64>) -> f64 {
    if values.iter().any(|x| x.is_nan()) {
        return f64::NAN;
    }
    values.sort_by(f64::total_cmp);
    values.get(values.len().saturating_sub(1) / 2).copied().unwrap_or(f64::NAN)
}

/// Throughput with more workers than cores, against the best with fewer.
pub fn scaling(runs: &[Measured]) -> Vec<Goal> {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let of_case = |base: &str| {
        let mut rates = BTreeMap::<usize, Vec<f64>>::new();
        let of_base = |r: &&Measured| r.judged && r.case.variant.starts_with(&format!("{base} "));
        for run in runs.iter().filter(of_base) {
            rates.entry(run.case.workers.into()).or_default().push(run.events_per_s);
        }
        let rates = rates.into_iter().map(|(workers, rates)| (workers, median(rates)));
        Goal::at_least(
            format!("of {base}'s throughput kept with more workers than cores"),
            0.9,
            kept(cores, rates),
        )
    };
    ["P1", "P2"].map(of_case).into()
}

/// The least with more workers than cores as a part of the best with fewer.
fn kept(cores: usize, rates: impl Iterator<Item = (usize, f64)>) -> f64 {
    let (few, many): (Vec<_>, Vec<_>) = rates.partition(|(workers, _)| *workers <= cores);
    let best = few.iter().map(|r| r.1).fold(f64::NAN, f64::max);
    let worst = many.iter().map(|r| r.1).fold(f64::NAN, f64::min);
    worst / best
}

/// Adds `goals`, and of the one that is furthest from being met `goal` and `ratio`; `met` is of all.
pub fn put(goals: &[Goal], document: &mut Map<String, Value>) {
    let worst = goals.iter().min_by(|a, b| a.ratio().total_cmp(&b.ratio()));
    document.insert("goals".into(), goals.iter().map(Goal::document).collect());
    let of = |key: &str| worst.map_or(Value::Null, |g| g.document()[key].clone());
    document.insert("goal".into(), of("goal"));
    document.insert("ratio".into(), of("ratio"));
    document.insert("met".into(), goals.iter().all(Goal::met).into());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_measured_meets_no_goal() {
        assert!(!Goal::at_most("x", 1.0, f64::NAN).met());
        assert!(!Goal::at_least("x", 1.0, f64::NAN).met());
        assert!(Goal::at_least("x", 1.0, 1.0).met() && Goal::at_most("x", 1.0, 0.5).ratio() == 2.0);
        assert_eq!(
            (number(f64::NAN), number(0.123_456), number(12_345_678.9)),
            (Value::Null, json!(0.1235), json!(12_345_679))
        );
    }

    #[test]
    fn of_several_runs_the_median_counts() {
        let run = |p50, p99| vec![Goal::at_most("p50", 0.5, p50), Goal::at_most("p99", 1.5, p99)];
        let runs = [run(0.4, 9.0), run(0.6, 1.0), run(0.3, 1.2)];
        assert_eq!(medians(&runs), run(0.4, 1.2));
        assert_eq!(medians(&runs[..1]), runs[0]);
        assert!(medians(&[run(0.4, 1.0), run(0.4, f64::NAN)])[1].value.is_nan());
        assert!(median(Vec::new()).is_nan());
    }

    #[test]
    fn throughput_with_many_workers_is_measured_by_the_best_with_few() {
        let kept = |rates: &[(usize, f64)]| kept(2, rates.iter().copied());
        assert_eq!(kept(&[(1, 10.0), (2, 8.0), (4, 9.0), (16, 5.0)]), 0.5);
        assert!(kept(&[(1, 10.0), (2, 8.0)]).is_nan());
    }
}
