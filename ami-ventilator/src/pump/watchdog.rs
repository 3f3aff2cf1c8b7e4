//! Tells apart why no data come: what an operator must know before anybody is called at night. Pure.

use std::time::Duration;

/// What does not change for so long is a state, not a hiccup.
const PATIENCE_NS: u64 = 2_000_000_000;

/// A hold that is shorter is none.
const MOMENT_NS: u64 = 200_000_000;

/// How a source and what follows it are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Events flow.
    Live,
    /// The source says that it lives, but has no events: the beam is off.
    BeamOff,
    /// The source says nothing at all.
    Silent,
    /// The source broke; it is opened again and again.
    Lost,
    /// Timestamps are not believed.
    ClockSkew,
    /// Events are there, but workers, collector or root do nothing with them.
    Stuck,
    /// Held, with the reason.
    Held(&'static str),
    /// Nothing will come any more.
    Ended,
}

/// What is seen at a turn of the loop. Counts only grow.
#[derive(Debug, Clone, Copy, Default)]
pub struct Seen {
    /// Now, ns.
    pub now_ns: u64,
    /// Events taken, dropped ones too.
    pub events: u64,
    /// Of these, dropped for their timestamps.
    pub unbelieved: u64,
    /// Transitions taken.
    pub transitions: u64,
    /// What lanes and root got done, in any unit.
    pub progress: u64,
    /// Something is under way that somebody must get done.
    pub pending: bool,
    /// The source is broken.
    pub lost: bool,
    /// It ended.
    pub ended: bool,
    /// Why nothing more is taken.
    pub held: Option<&'static str>,
}

/// When each of these was seen to change last.
#[derive(Debug, Default)]
pub struct Watchdog {
    last: Option<Seen>,
    event_ns: u64,
    believed_ns: u64,
    unbelieved_ns: Option<u64>,
    transition_ns: u64,
    progress_ns: u64,
}

impl State {
    /// One of each kind.
    pub const ALL: [State; 8] = [
        State::Live,
        State::BeamOff,
        State::Silent,
        State::Lost,
        State::ClockSkew,
        State::Stuck,
        State::Held(""),
        State::Ended,
    ];

    /// As status and logs call it.
    pub fn name(self) -> &'static str {
        match self {
            State::Live => "running",
            State::BeamOff => "beam off: the source lives but has no events",
            State::Silent => "source silent",
            State::Lost => "source lost: it is opened again and again",
            State::ClockSkew => "clock skew: timestamps are not believed",
            State::Stuck => "pipeline stuck: events wait, nothing gets done",
            State::Held(reason) => reason,
            State::Ended => "ended",
        }
    }

    /// As the metric's label calls it.
    pub fn label(self) -> &'static str {
        match self {
            State::Live => "live",
            State::BeamOff => "beam_off",
            State::Silent => "silent",
            State::Lost => "lost",
            State::ClockSkew => "clock_skew",
            State::Stuck => "stuck",
            State::Held(_) => "held",
            State::Ended => "ended",
        }
    }

    /// Whether somebody should look.
    pub fn alarming(self) -> bool {
        matches!(self, State::Lost | State::ClockSkew | State::Stuck)
    }
}

impl Watchdog {
    /// How it is, from everything seen so far.
    pub fn judge(&mut self, seen: Seen) -> State {
        let now = seen.now_ns;
        let since = |then: u64| now.saturating_sub(then);
        let before = self.last.replace(seen).unwrap_or_else(|| {
            let started = [&mut self.event_ns, &mut self.believed_ns];
            started.into_iter().for_each(|t| *t = now);
            (self.transition_ns, self.progress_ns) = (now, now);
            seen
        });
        if seen.events > before.events {
            self.event_ns = now;
        }
        if seen.unbelieved > before.unbelieved {
            self.unbelieved_ns = Some(now);
        }
        if seen.events - seen.unbelieved.min(seen.events)
            > before.events - before.unbelieved.min(before.events)
        {
            self.believed_ns = now;
        }
        if seen.transitions > before.transitions {
            self.transition_ns = now;
        }
        if seen.progress > before.progress || !seen.pending {
            self.progress_ns = now;
        }
        if seen.ended {
            return State::Ended;
        }
        if seen.lost {
            return State::Lost;
        }
        if since(self.progress_ns) >= PATIENCE_NS {
            return State::Stuck;
        }
        // A source faster than its workers is held a thousand times a second.
        if let Some(reason) = seen.held
            && since(self.event_ns) >= MOMENT_NS
        {
            return State::Held(reason);
        }
        let recent = self.unbelieved_ns.is_some_and(|t| since(t) < PATIENCE_NS);
        if recent && since(self.believed_ns) >= PATIENCE_NS / 2 {
            return State::ClockSkew;
        }
        match (since(self.event_ns) < PATIENCE_NS, since(self.transition_ns) < PATIENCE_NS) {
            (true, _) => State::Live,
            (false, true) => State::BeamOff,
            (false, false) => State::Silent,
        }
    }

    /// How long no event came.
    pub fn silence(&self) -> Duration {
        let now = self.last.map_or(0, |seen| seen.now_ns);
        Duration::from_nanos(now.saturating_sub(self.event_ns))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    /// Judges once a tenth of a second for ten seconds; the last word.
    fn after(change: impl Fn(&mut Seen, u64)) -> State {
        let (mut watchdog, mut seen) = (Watchdog::default(), Seen::default());
        let mut state = State::Live;
        for tick in 0..100 {
            seen.now_ns = tick * SECOND / 10;
            change(&mut seen, tick);
            state = watchdog.judge(seen);
        }
        state
    }

    #[test]
    fn what_an_operator_sees_is_told_apart() {
        let flowing = |seen: &mut Seen| {
            seen.events += 12;
            seen.progress += 12;
            seen.pending = true;
        };
        assert_eq!(after(|seen, _| flowing(seen)), State::Live);
        assert_eq!(after(|_, _| ()), State::Silent);
        let slow_updates = |seen: &mut Seen, tick| seen.transitions += u64::from(tick % 10 == 0);
        assert_eq!(after(slow_updates), State::BeamOff);
        assert_eq!(after(|seen, _| seen.lost = true), State::Lost);
        assert_eq!(after(|seen, _| seen.ended = true), State::Ended);
        let stuck = after(|seen, tick| match tick {
            0..30 => flowing(seen),
            _ => seen.held = Some("workers or root behind"),
        });
        assert_eq!(stuck, State::Stuck);
        let waiting = after(|seen, _| seen.held = Some("waiting: no graph is active"));
        assert_eq!(waiting, State::Held("waiting: no graph is active"), "nothing is under way");
    }

    #[test]
    fn a_stray_timestamp_is_no_clock_skew_but_a_wrong_clock_is() {
        let stray = after(|seen, _| {
            (seen.events, seen.unbelieved) = (seen.events + 12, seen.unbelieved + 1);
        });
        assert_eq!(stray, State::Live);
        let wrong = after(|seen, _| {
            (seen.events, seen.unbelieved) = (seen.events + 12, seen.unbelieved + 12);
        });
        assert_eq!(wrong, State::ClockSkew);
    }

    #[test]
    fn it_is_live_again_with_the_first_event() {
        let mut watchdog = Watchdog::default();
        let seen = Seen { now_ns: 0, ..Seen::default() };
        watchdog.judge(seen);
        let silent = Seen { now_ns: 9 * SECOND, ..seen };
        assert_eq!(watchdog.judge(silent), State::Silent);
        assert_eq!(watchdog.silence(), Duration::from_secs(9));
        let live = Seen { now_ns: 10 * SECOND, events: 1, ..seen };
        assert_eq!(watchdog.judge(live), State::Live);
    }
}
