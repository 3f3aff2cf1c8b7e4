//! What the runs of a case are to reach together.

use crate::bench::goal::Goal;
use crate::bench::measured::Measured;
use std::collections::{BTreeMap, BTreeSet};

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

#[cfg(test)]
mod tests {
    use super::*;

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
