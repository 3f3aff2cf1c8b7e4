//! When what happens: the pure arithmetic between an event's number and its time, run and step.

use ami_proto::data_path::transition::TransitionKind;

/// The structure of a simulated stretch of data taking.
#[derive(Debug, Clone, Default)]
pub struct Timeline {
    /// Timestamp of the first transition, ns since the Unix epoch.
    pub start_ns: u64,
    /// Distance of events, ns.
    pub period_ns: u64,
    /// Number of events; None without end.
    pub events: Option<u64>,
    /// Number of the first run.
    pub first_run: u32,
    /// Events of a run; None for one run without end.
    pub per_run: Option<u64>,
    /// Events of a step; None for one step per run.
    pub per_step: Option<u64>,
    /// Distance of SlowUpdates, ns.
    pub slow_ns: Option<u64>,
}

impl Timeline {
    /// Timestamp of event `i`.
    pub fn time(&self, i: u64) -> u64 {
        self.between(i).saturating_add(self.period_ns.div_ceil(2))
    }

    /// Timestamp of the transitions between event `i - 1` and event `i`.
    pub fn between(&self, i: u64) -> u64 {
        let steps = self.period_ns.saturating_mul(i);
        self.start_ns.saturating_add(steps).saturating_add(self.period_ns / 2)
    }

    /// Number of the run that event `i` belongs to.
    pub fn run(&self, i: u64) -> u32 {
        let n = self.per_run.map_or(0, |per| i / per);
        self.first_run.saturating_add(u32::try_from(n).unwrap_or(u32::MAX))
    }

    /// Number of the step of event `i` in its run, from 0.
    pub fn step(&self, i: u64) -> u64 {
        let in_run = self.per_run.map_or(i, |per| i % per);
        self.per_step.map_or(0, |per| in_run / per)
    }

    /// Number of the newest SlowUpdate before event `i`.
    pub fn slow(&self, i: u64) -> u64 {
        let ns = u128::from(i) * u128::from(self.period_ns);
        self.slow_ns.map_or(0, |slow| (ns / u128::from(slow)) as u64)
    }

    /// Events from `i` on until transitions interrupt them.
    pub fn until_transition(&self, i: u64) -> u64 {
        let in_run = self.per_run.map_or(i, |per| i % per);
        let run = self.per_run.map(|per| per - in_run);
        let step = self.per_step.map(|per| per - in_run % per);
        let end = self.events.map(|end| end.saturating_sub(i));
        let slow = self.slow_ns.map(|slow| {
            let ns = u128::from(self.slow(i) + 1) * u128::from(slow);
            u64::try_from(ns.div_ceil(u128::from(self.period_ns))).unwrap_or(u64::MAX) - i
        });
        [run, step, end, slow].into_iter().flatten().min().unwrap_or(u64::MAX)
    }

    /// The transitions between event `i - 1` and event `i`, in order.
    pub fn transitions(&self, i: u64) -> Vec<TransitionKind> {
        use TransitionKind::{
            BeginRun, BeginStep, Configure, Disable, Enable, EndRun, EndStep, SlowUpdate,
        };
        if i == 0 {
            return vec![Configure, BeginRun, BeginStep, Enable];
        }
        if self.events == Some(i) {
            return vec![Disable, EndStep, EndRun];
        }
        let mut list = Vec::new();
        let in_run = self.per_run.map_or(i, |per| i % per);
        if in_run == 0 {
            list.extend([Disable, EndStep, EndRun, BeginRun, BeginStep, Enable]);
        } else if self.per_step.is_some_and(|per| in_run.is_multiple_of(per)) {
            list.extend([Disable, EndStep, BeginStep, Enable]);
        }
        if self.slow(i) != self.slow(i - 1) {
            list.push(SlowUpdate);
        }
        list
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timeline() -> Timeline {
        Timeline {
            start_ns: 1000,
            period_ns: 10,
            events: Some(50),
            first_run: 7,
            per_run: Some(20),
            per_step: Some(8),
            slow_ns: Some(35),
        }
    }

    #[test]
    fn the_next_transition_is_where_transitions_are() {
        let t = timeline();
        let mut at = 0;
        for i in 1..=50 {
            if !t.transitions(i).is_empty() {
                assert_eq!(at + t.until_transition(at), i, "from {at}");
                at = i;
            }
        }
        assert_eq!(at, 50);
    }

    #[test]
    fn runs_steps_and_times() {
        let t = timeline();
        assert_eq!((t.run(0), t.run(19), t.run(20), t.run(49)), (7, 7, 8, 9));
        assert_eq!((t.step(7), t.step(8), t.step(19), t.step(20)), (0, 1, 2, 0));
        assert!((1..60).all(|i| t.time(i) - t.time(i - 1) == 10 && t.between(i) < t.time(i)));
        assert_eq!((t.between(0), t.time(0)), (1005, 1010));
        let endless = Timeline { period_ns: 1, ..Timeline::default() };
        assert_eq!(endless.until_transition(5), u64::MAX);
    }
}
