//! How many lanes get units at a time: as many as there are processors beside those that the
//! ventilator itself keeps busy.
//!
//! A worker more, and three threads share two processors: each is taken off again and again, moved,
//! and finds its caches cold; and each further lane costs a state per flush.

/// Processor time is looked at this often.
const SPAN_NS: u64 = 500_000_000;
/// By so many processors the use must differ from what was assumed: between half of one and this
/// it stays as it was, so that a use near a half does not change the lanes twice a second.
const CHANGE: f64 = 0.6;

/// Processors, and how many of them the ventilator uses.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Processors {
    all: usize,
    own: usize,
    since_ns: u64,
    used_ns: u64,
}

impl Processors {
    /// Of this machine, with the ventilator's processor time until now, ns, which is the time 0; it
    /// is believed to use one until it has been looked at.
    pub fn new(all: usize, used_ns: u64) -> Processors {
        Processors { all, own: 1, since_ns: 0, used_ns }
    }

    /// How many are left to workers, at least one.
    pub fn left(&self) -> usize {
        self.all.saturating_sub(self.own).max(1)
    }

    /// Takes the ventilator's processor time so far, ns, at a time, ns, that only grows.
    pub fn look(&mut self, now_ns: u64, used_ns: u64) {
        let span = now_ns.saturating_sub(self.since_ns);
        if span < SPAN_NS {
            return;
        }
        let used = used_ns.saturating_sub(self.used_ns) as f64 / span as f64;
        if (used - self.own as f64).abs() > CHANGE {
            self.own = used.round() as usize;
        }
        (self.since_ns, self.used_ns) = (now_ns, used_ns);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Processors left after such uses, one after the other.
    fn left(all: usize, uses: &[f64]) -> Vec<usize> {
        let (mut processors, mut used) = (Processors::new(all, 0), 0.0);
        let look = |(i, u): (usize, &f64)| {
            used += u * SPAN_NS as f64;
            processors.look((i as u64 + 1) * SPAN_NS, used as u64);
            processors.left()
        };
        uses.iter().enumerate().map(look).collect()
    }

    #[test]
    fn a_ventilator_at_work_counts_as_one() {
        assert_eq!(Processors::new(2, 0).left(), 1);
        assert_eq!(left(2, &[1.0, 0.9, 0.5]), [1, 1, 1]);
        assert_eq!(left(64, &[0.8]), [63]);
    }

    #[test]
    fn one_that_waits_for_its_workers_or_its_source_leaves_all_of_them() {
        assert_eq!(left(2, &[0.1, 0.3, 0.55]), [2, 2, 2]);
        assert_eq!(left(8, &[0.0]), [8]);
    }

    #[test]
    fn a_use_about_a_half_changes_nothing() {
        assert_eq!(left(2, &[0.45, 0.55, 0.45]), [1, 1, 1]);
        assert_eq!(left(2, &[0.2, 0.45, 0.55, 0.7, 0.45]), [2, 2, 2, 1, 1]);
    }

    #[test]
    fn further_threads_of_a_source_count_too_and_one_lane_is_always_left() {
        assert_eq!(left(8, &[2.9, 2.5]), [5, 5]);
        assert_eq!(left(2, &[2.9]), [1]);
        assert_eq!(left(1, &[0.0]), [1]);
    }

    #[test]
    fn it_is_looked_at_over_whole_spans_only() {
        let mut processors = Processors::new(2, 0);
        processors.look(SPAN_NS - 1, 0);
        assert_eq!(processors.left(), 1);
        processors.look(SPAN_NS, 0);
        assert_eq!(processors.left(), 2);
    }

    #[test]
    fn what_it_took_to_start_is_not_use() {
        let mut processors = Processors::new(8, 9 * SPAN_NS);
        processors.look(SPAN_NS, 9 * SPAN_NS);
        assert_eq!(processors.left(), 8);
    }
}
