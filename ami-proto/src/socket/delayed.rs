//! When to say what nobody waits for: a moment after what somebody does wait for, and then once for
//! all that has come together. A message wakes two threads here and two at its receiver, and on a
//! machine with few processors these run before the threads that carry a result on. Pure: time is an
//! argument.

use std::time::{Duration, Instant};

/// Longer than a result takes from here to a client.
const DELAY: Duration = Duration::from_millis(1);

/// Whether something is to be said, and from when on.
#[derive(Debug, Default)]
pub struct Delayed {
    at: Option<Instant>,
}

impl Delayed {
    /// There is something to be said.
    pub fn note(&mut self, now: Instant) {
        self.at.get_or_insert(now + DELAY);
    }

    /// It is to be said at once: somebody may wait for it.
    pub fn hurry(&mut self, now: Instant) {
        self.at = Some(now);
    }

    /// Whether it is to be said now; then it counts as said.
    pub fn due(&mut self, now: Instant) -> bool {
        self.at.take_if(|at| *at <= now).is_some()
    }

    /// How long to sleep: until then, at most so long.
    pub fn wait(&self, now: Instant, longest: Duration) -> Duration {
        self.at.map_or(longest, |at| at.saturating_duration_since(now).min(longest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_said_once_a_moment_after_the_first_of_many() {
        let (start, long) = (Instant::now(), Duration::from_secs(1));
        let mut later = Delayed::default();
        assert!(!later.due(start) && later.wait(start, long) == long);
        later.note(start);
        later.note(start + DELAY / 2);
        assert!(!later.due(start + DELAY / 2));
        assert_eq!(later.wait(start + DELAY / 2, long), DELAY / 2);
        assert_eq!(later.wait(start, DELAY / 4), DELAY / 4);
        assert!(later.due(start + DELAY) && !later.due(start + DELAY), "once");
    }

    #[test]
    fn it_is_said_at_once_when_somebody_may_wait() {
        let start = Instant::now();
        let mut later = Delayed::default();
        later.note(start);
        later.hurry(start);
        later.note(start);
        assert!(later.due(start));
    }
}
