//! Which last values to say again for new subscribers. Pure.
//!
//! ZeroMQ cannot send to one subscriber alone, so a last value that follows a subscription goes to
//! everybody who has the topic. Somebody who subscribes over and over must not make the store send
//! without end: subscriptions are gathered, and said again as the rate allows.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// Shortest time between two rounds.
const GAP: Duration = Duration::from_millis(20);
/// Bytes per second that are said again at most, over time.
const RATE: u64 = 128 << 20;
/// Prefixes that are told apart; beyond, everything is said again.
const MOST: usize = 1000;

/// Subscriptions whose last values are due.
#[derive(Debug, Default)]
pub struct Repeats {
    asked: BTreeSet<String>,
    next: Option<Instant>,
}

impl Repeats {
    /// Somebody subscribed.
    pub fn ask(&mut self, prefix: &str) {
        if self.asked.len() >= MOST {
            self.asked = BTreeSet::from([String::new()]);
        }
        if !self.covered(prefix) {
            self.asked.insert(prefix.to_string());
        }
    }

    fn covered(&self, prefix: &str) -> bool {
        // Whatever covers a prefix is a beginning of it.
        let beginnings = prefix.char_indices().map(|(i, _)| &prefix[..i]).chain([prefix]);
        beginnings.into_iter().any(|b| self.asked.contains(b))
    }

    /// The prefixes to be served now, none of which covers another; empty while it is too early.
    pub fn due(&mut self, now: Instant) -> Vec<String> {
        if self.asked.is_empty() || self.next.is_some_and(|next| now < next) {
            return Vec::new();
        }
        let mut due: Vec<String> = Vec::new();
        for prefix in std::mem::take(&mut self.asked) {
            // In order: what covers comes before what is covered.
            if due.last().is_none_or(|last| !prefix.starts_with(last.as_str())) {
                due.push(prefix);
            }
        }
        due
    }

    /// So many bytes were said.
    pub fn said(&mut self, now: Instant, bytes: u64) {
        let pause = Duration::from_nanos(bytes.saturating_mul(1_000_000_000) / RATE);
        self.next = Some(now + pause.max(GAP));
    }

    /// How long until something is due, if anything waits.
    pub fn wait(&self, now: Instant) -> Option<Duration> {
        let next = self.next.unwrap_or(now);
        (!self.asked.is_empty()).then(|| next.saturating_duration_since(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_served_at_once_and_a_flood_as_the_rate_allows() {
        let (start, mut repeats) = (Instant::now(), Repeats::default());
        repeats.ask("g/a");
        assert_eq!(repeats.due(start), ["g/a"]);
        repeats.said(start, RATE);
        for _ in 0..100_000 {
            repeats.ask("g/a");
            repeats.ask("g/ab");
            repeats.ask("g/b");
        }
        assert!(repeats.due(start).is_empty());
        assert_eq!(repeats.wait(start), Some(Duration::from_secs(1)));
        assert_eq!(repeats.due(start + Duration::from_secs(1)), ["g/a", "g/b"], "each once");
        assert_eq!(repeats.wait(start), None);
    }

    #[test]
    fn so_many_prefixes_become_everything() {
        let mut repeats = Repeats::default();
        for n in 0..2000 {
            repeats.ask(&format!("x{n:04}"));
        }
        assert_eq!(repeats.due(Instant::now()), [""]);
        repeats.ask("");
        repeats.ask("ä/b");
        assert_eq!(repeats.due(Instant::now()), [""]);
    }
}
