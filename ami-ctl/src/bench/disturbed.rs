//! Runs that the machine's host disturbed: when one is done again, and which of several goals are judged by.

/// Part of the processors' time that the host may give to others in a run; one that lost more says
/// more of the host than of ami.
pub const OF_THROUGHPUT: f64 = 0.03;
/// The same where latency is measured: what is lost falls on single heartbeats, and a hundredth of them
/// makes the 99th percentile.
pub const OF_LATENCY: f64 = 0.005;
/// Times that one run is done again at most.
const AGAIN: usize = 2;
/// Times that the runs of one case are done again at most, all together: the time is bounded.
pub const AGAIN_IN_CASE: usize = 12;

/// Whether another run of the same is worth its time: the parts that those so far have lost, what one may
/// lose, and how many runs of this case may still be done again.
pub fn again(lost: &[f64], bearable: f64, left: usize) -> bool {
    lost.last().is_some_and(|&lost| lost > bearable) && left > 0 && lost.len() <= AGAIN
}

/// The one that goals are judged by, the first that lost least.
pub fn least(lost: &[f64]) -> usize {
    let places = 0..lost.len();
    places.min_by(|&a, &b| lost[a].total_cmp(&lost[b])).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disturbed_run_is_done_again_but_not_for_ever() {
        let again = |lost: &[f64], left| again(lost, 0.03, left);
        assert!(!again(&[0.01], 6), "quiet enough");
        assert!(again(&[0.2], 6) && again(&[0.2, 0.1], 5));
        assert!(!again(&[0.2, 0.1, 0.1], 4), "three of the same are enough");
        assert!(!again(&[0.2], 0), "the case has had its share");
        assert!(!again(&[0.2, 0.01], 5));
    }

    #[test]
    fn the_least_disturbed_is_judged() {
        assert_eq!((least(&[0.2, 0.1, 0.3]), least(&[0.0, 0.0]), least(&[])), (1, 0, 0));
    }
}
