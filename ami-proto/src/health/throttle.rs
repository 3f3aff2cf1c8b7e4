//! Keeps a flood of equal happenings from filling the log. Pure: time is an argument.

use std::time::{Duration, Instant};

/// Lets a few lines through at once, then one per interval, and says how many it held back.
#[derive(Debug)]
pub struct Throttle {
    burst: u32,
    interval: Duration,
    left: u32,
    refilled: Option<Instant>,
    held: u64,
}

impl Throttle {
    /// So many lines at once, then one per interval.
    pub const fn new(burst: u32, interval: Duration) -> Throttle {
        Throttle { burst, interval, left: burst, refilled: None, held: 0 }
    }

    /// Something happened: `Some(n)` when it is to be logged, with the number of those before it
    /// that were not.
    pub fn pass(&mut self, now: Instant) -> Option<u64> {
        let since = now.saturating_duration_since(*self.refilled.get_or_insert(now));
        let earned = since.as_nanos() / self.interval.as_nanos().max(1);
        if earned > 0 {
            let earned = u32::try_from(earned).unwrap_or(u32::MAX);
            self.left = self.left.saturating_add(earned).min(self.burst);
            self.refilled = Some(now);
        }
        if self.left == 0 {
            self.held += 1;
            return None;
        }
        self.left -= 1;
        Some(std::mem::take(&mut self.held))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_becomes_a_few_lines_that_count_it() {
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        let mut throttle = Throttle::new(3, second);
        let passed = (0..100).filter(|_| throttle.pass(start).is_some()).count();
        assert_eq!(passed, 3);
        assert_eq!(throttle.pass(start + second), Some(97));
        assert_eq!(throttle.pass(start + second), None);
        assert_eq!(throttle.pass(start + 60 * second), Some(1));
        assert_eq!(throttle.pass(start), Some(0), "a clock that goes back is no harm");
    }
}
