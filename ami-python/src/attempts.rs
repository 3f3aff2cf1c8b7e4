//! What becomes of a call whose process has ended: done again, without the events that are to blame.
//! Pure: no process and no clock.

use crate::process::{At, End, Why};
use std::collections::HashSet;

/// So many deaths of one call are no accident, wherever they were.
const MOST_DEATHS: usize = 16;
/// Nor are so many before the first event or behind the last, where no event is to blame.
const MOST_NOWHERE: usize = 3;

/// One call, however often it is begun.
#[derive(Debug, Default)]
pub(crate) struct Attempts {
    /// Events that are not given to user code any more, and why.
    left_out: Vec<(usize, String)>,
    /// Events at which a process died once: that may have been somebody from outside.
    died_at: HashSet<usize>,
    died_nowhere: usize,
    deaths: usize,
    one_by_one: bool,
}

/// What to do next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Begin again.
    Again,
    /// Begin again; an event has been found to blame.
    Without(String),
    /// Leave it.
    GiveUp(String),
}

impl Attempts {
    /// Whether batches are of one event, so that the event to blame is known.
    pub(crate) fn one_by_one(&self) -> bool {
        self.one_by_one
    }

    /// Events that were found to blame, and why.
    pub(crate) fn left_out(&self) -> &[(usize, String)] {
        &self.left_out
    }

    /// Events that are given to user code; None: all.
    pub(crate) fn mask(&self, mask: Option<&[u8]>, events: usize) -> Option<Vec<u8>> {
        if self.left_out.is_empty() {
            return mask.map(<[u8]>::to_vec);
        }
        let mut mask = mask.map_or_else(|| vec![1; events], <[u8]>::to_vec);
        for (event, _) in &self.left_out {
            mask[*event] = 0;
        }
        Some(mask)
    }

    /// A process has ended; `takes_part` tells of an event whether it was given to user code.
    pub(crate) fn ended(&mut self, end: &End, takes_part: impl Fn(usize) -> bool) -> Next {
        let at = match end.at {
            // The number comes from the process: it may be any.
            At::Event(event) if !takes_part(event) => At::Nowhere,
            At::Batch if self.one_by_one => At::Nowhere,
            at => at,
        };
        self.deaths += 1;
        match (at, &end.why) {
            (At::Batch, _) => {
                self.one_by_one = true;
                Next::Again
            }
            (At::Event(event), Why::Late(after)) => {
                let after = after.as_millis();
                self.leave_out(event, format!("took longer than {after} ms; event {event}"))
            }
            (At::Event(event), Why::Died(reason)) => {
                match self.died_at.insert(event) && self.deaths <= MOST_DEATHS {
                    true => Next::Again,
                    false => self.leave_out(event, format!("{reason}; event {event}")),
                }
            }
            (At::Nowhere, Why::Late(after)) => {
                Next::GiveUp(format!("took longer than {} ms", after.as_millis()))
            }
            (At::Nowhere, Why::Died(reason)) => {
                self.died_nowhere += 1;
                match self.died_nowhere < MOST_NOWHERE && self.deaths <= MOST_DEATHS {
                    true => Next::Again,
                    false => Next::GiveUp(reason.clone()),
                }
            }
        }
    }

    fn leave_out(&mut self, event: usize, reason: String) -> Next {
        self.left_out.push((event, reason.clone()));
        Next::Without(reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn died(at: At) -> End {
        End::died(at, "exited with code 3")
    }

    fn late(at: At) -> End {
        End { at, why: Why::Late(Duration::from_millis(50)) }
    }

    fn blamed(event: usize) -> Next {
        Next::Without(format!("exited with code 3; event {event}"))
    }

    #[test]
    fn the_second_death_at_an_event_is_its_failure() {
        let mut attempts = Attempts::default();
        assert_eq!(attempts.ended(&died(At::Event(3)), |_| true), Next::Again);
        assert_eq!(attempts.ended(&died(At::Event(1)), |_| true), Next::Again);
        assert_eq!(attempts.mask(None, 5), None);
        assert_eq!(attempts.ended(&died(At::Event(3)), |_| true), blamed(3));
        assert_eq!(attempts.mask(None, 5), Some(vec![1, 1, 1, 0, 1]));
        assert_eq!(attempts.mask(Some(&[1, 0, 1, 1, 0]), 5), Some(vec![1, 0, 1, 0, 0]));
    }

    #[test]
    fn an_event_that_takes_too_long_is_blamed_at_once() {
        let mut attempts = Attempts::default();
        let next = attempts.ended(&late(At::Event(2)), |_| true);
        assert_eq!(next, Next::Without("took longer than 50 ms; event 2".into()));
    }

    #[test]
    fn a_batch_is_done_again_event_by_event() {
        for end in [died(At::Batch), late(At::Batch)] {
            let mut attempts = Attempts::default();
            assert_eq!(attempts.ended(&end, |_| true), Next::Again);
            assert!(attempts.one_by_one() && attempts.left_out().is_empty());
            assert_eq!(attempts.ended(&died(At::Event(0)), |_| true), Next::Again);
            assert_eq!(attempts.ended(&died(At::Event(0)), |_| true), blamed(0));
        }
    }

    #[test]
    fn a_number_that_is_no_events_blames_none() {
        let mut attempts = Attempts::default();
        assert_eq!(attempts.ended(&died(At::Event(9)), |event| event < 5), Next::Again);
        assert_eq!(attempts.ended(&died(At::Nowhere), |_| true), Next::Again);
        assert_eq!(
            attempts.ended(&died(At::Nowhere), |_| true),
            Next::GiveUp("exited with code 3".into())
        );
        assert!(matches!(Attempts::default().ended(&late(At::Nowhere), |_| true), Next::GiveUp(_)));
    }

    #[test]
    fn a_call_ends_however_often_its_process_dies() {
        let mut attempts = Attempts::default();
        let takes = |attempts: &Attempts, event: usize| {
            attempts.left_out().iter().all(|(out, _)| *out != event)
        };
        let mut begun = 0;
        for event in (0..1000).cycle() {
            if attempts.left_out().len() == 1000 {
                break;
            }
            if takes(&attempts, event) {
                begun += 1;
                attempts.ended(&died(At::Event(event)), |_| true);
            }
        }
        assert!(begun <= 1000 + MOST_DEATHS, "{begun}");
    }
}
