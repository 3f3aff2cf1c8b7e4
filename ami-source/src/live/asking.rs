//! When a peer that has to be asked for each message is asked. Pure.
//!
//! A request stays outstanding however long the answer takes. But a REP socket with room for one message,
//! as bridges have, can lose an answer; then both would wait for ever. So after a long silence it is asked
//! once more, and the answer that this may be too many is taken before the next request.

/// A silence after which an answer may be lost, ns.
const SILENCE_NS: u64 = 5_000_000_000;

/// Requests to one peer.
#[derive(Debug, Default)]
pub struct Asking {
    /// Requests without an answer: 0 to 2.
    outstanding: u8,
    /// One of them may have lost its answer.
    doubted: bool,
    since_ns: u64,
    /// How often it was asked once more.
    pub again: u64,
}

impl Asking {
    /// True when a request is to be sent now.
    pub fn is_due(&mut self, now_ns: u64) -> bool {
        let silent = now_ns.saturating_sub(self.since_ns) >= SILENCE_NS;
        if self.outstanding == 1 && self.doubted && silent {
            // Its answer is lost indeed.
            (self.outstanding, self.doubted) = (0, false);
        }
        self.outstanding == 0 || self.outstanding == 1 && !self.doubted && silent
    }

    /// A request was sent.
    pub fn asked(&mut self, now_ns: u64) {
        self.doubted = self.outstanding == 1;
        self.again += u64::from(self.doubted);
        (self.outstanding, self.since_ns) = (self.outstanding + 1, now_ns);
    }

    /// A message came.
    pub fn answered(&mut self, now_ns: u64) {
        (self.outstanding, self.since_ns) = (self.outstanding.saturating_sub(1), now_ns);
        self.doubted &= self.outstanding > 0;
    }

    /// The peer is gone, and with it what it was asked.
    pub fn forget(&mut self) {
        *self = Asking { again: self.again, ..Asking::default() };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: u64 = 1_000_000_000;

    fn ask(asking: &mut Asking, now: u64) -> bool {
        let due = asking.is_due(now);
        if due {
            asking.asked(now);
        }
        due
    }

    #[test]
    fn one_request_is_outstanding_and_after_a_silence_one_more() {
        let mut asking = Asking::default();
        assert!(ask(&mut asking, 0));
        assert!(!ask(&mut asking, 4 * S));
        assert!(ask(&mut asking, 5 * S));
        assert!((6..1000).all(|s| !ask(&mut asking, s * S)), "never a third");
        assert_eq!(asking.again, 1);
        // It was only slow: both are answered before it is asked again.
        asking.answered(1000 * S);
        assert!(!ask(&mut asking, 1001 * S));
        asking.answered(1001 * S);
        assert!(ask(&mut asking, 1001 * S));
        assert!(!ask(&mut asking, 1002 * S));
    }

    #[test]
    fn a_lost_answer_costs_two_silences() {
        let mut asking = Asking::default();
        assert!(ask(&mut asking, 0) && ask(&mut asking, 5 * S));
        asking.answered(5 * S);
        assert!(!ask(&mut asking, 9 * S));
        assert!(ask(&mut asking, 10 * S));
        asking.answered(10 * S);
        assert!(ask(&mut asking, 10 * S), "as before");
        asking.forget();
        assert!(ask(&mut asking, 10 * S));
    }
}
