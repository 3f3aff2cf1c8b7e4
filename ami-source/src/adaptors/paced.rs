//! `pace=realtime|HZ`: lets events through at the speed of a clock instead of as fast as they come.
//!
//! Nothing here sleeps: what is not due yet is [`Next::Pending`], and [`Source::due_in`] says for
//! how long. Events are released every half millisecond, so that a high rate comes in bursts that
//! fill chunks, not one by one.

use crate::source::{Next, Source, Transition, Written};
use crate::url::Pace;
use ami_proto::data_path::chunk::ChunkWriter;
use std::time::Duration;

/// A clock: ns since any moment, never going back.
pub type Clock = Box<dyn Fn() -> u64>;

/// Distance of releases, ns.
const QUANTUM: u64 = 500_000;
/// A schedule further behind than this, ns, starts anew: a source that was held (no graph yet, no
/// workers) must not race through what it missed.
const MAX_LAG: u64 = 1_000_000_000;
/// A pause in the data longer than this, ns, is not waited for.
const MAX_LEAD: u64 = 10_000_000_000;

/// A source at the speed of a clock.
pub struct Paced {
    inner: Box<dyn Source>,
    pace: Pace,
    clock: Clock,
    base: Option<Base>,
    /// How long until the thing that `next` found not due.
    wait: Option<Duration>,
    restarts: u64,
}

/// Where the schedule began.
#[derive(Clone, Copy)]
struct Base {
    /// The clock then.
    wall: u64,
    /// Timestamp of the event due then.
    data: u64,
    /// Events taken since.
    taken: u64,
}

impl Paced {
    /// `source` at `pace`, with time from `clock`.
    pub fn new(source: Box<dyn Source>, pace: Pace, clock: Clock) -> Paced {
        Paced { inner: source, pace, clock, base: None, wait: None, restarts: 0 }
    }

    /// When an event is due, ns after the schedule's beginning; before it: zero.
    fn due(&self, base: Base, timestamp: u64) -> u64 {
        match self.pace {
            Pace::Max => 0,
            Pace::Realtime => timestamp.saturating_sub(base.data),
            Pace::Hz(hz) => (base.taken as f64 * (1e9 / hz)) as u64,
        }
    }

    /// Time since the schedule's beginning, in whole quanta.
    fn elapsed(&self, base: Base) -> u64 {
        let elapsed = (self.clock)().saturating_sub(base.wall);
        elapsed - elapsed % QUANTUM
    }

    /// The schedule for an event of this timestamp: the old one, or a new one that makes it due
    /// now when the old one has lost touch.
    fn schedule(&mut self, timestamp: u64) -> Base {
        let now = (self.clock)();
        let fresh = Base { wall: now, data: timestamp, taken: 0 };
        let Some(base) = self.base else { return *self.base.insert(fresh) };
        let due = base.wall.saturating_add(self.due(base, timestamp));
        let back = self.pace == Pace::Realtime && timestamp < base.data;
        let lead = self.pace == Pace::Realtime && due > now.saturating_add(MAX_LEAD);
        if back || lead || due.saturating_add(MAX_LAG) < now {
            self.restarts += 1;
            return *self.base.insert(fresh);
        }
        base
    }

    /// Limits of the next write: before which timestamp, and how many events.
    fn limits(&self, base: Base, before: u64, max: usize) -> (u64, usize) {
        let elapsed = self.elapsed(base);
        match self.pace {
            Pace::Max => (before, max),
            Pace::Realtime => {
                (before.min(base.data.saturating_add(elapsed).saturating_add(1)), max)
            }
            Pace::Hz(hz) => {
                let released = (elapsed as f64 * (hz / 1e9)) as u64 + 1;
                let due = released.saturating_sub(base.taken).max(1);
                (before, max.min(usize::try_from(due).unwrap_or(usize::MAX)))
            }
        }
    }

    fn took(&mut self, events: usize) {
        if let Some(base) = &mut self.base {
            base.taken += events as u64;
        }
    }
}

impl Source for Paced {
    fn next(&mut self) -> anyhow::Result<Next> {
        self.wait = None;
        let next = self.inner.next()?;
        // Transitions wait only for the events before them.
        let Next::Event(timestamp) = next else { return Ok(next) };
        let base = self.schedule(timestamp);
        let due = self.due(base, timestamp);
        if due <= self.elapsed(base) {
            return Ok(next);
        }
        let release = base.wall.saturating_add(due.next_multiple_of(QUANTUM));
        self.wait = Some(Duration::from_nanos(release.saturating_sub((self.clock)())));
        Ok(Next::Pending)
    }

    fn transition(&mut self) -> Option<Transition> {
        self.inner.transition()
    }

    fn write(
        &mut self,
        out: &mut ChunkWriter<'_>,
        before: u64,
        max: usize,
    ) -> anyhow::Result<Written> {
        let (Next::Event(_), Some(base)) = (self.next()?, self.base) else {
            return Ok(Written::Events(0));
        };
        let (before, max) = self.limits(base, before, max);
        let written = self.inner.write(out, before, max)?;
        let (Written::Events(n) | Written::Full(n)) = written;
        self.took(n);
        Ok(written)
    }

    fn skip(&mut self) {
        if matches!(self.next(), Ok(Next::Event(_))) {
            self.inner.skip();
            self.took(1);
        }
    }

    fn counters(&self) -> Vec<(&'static str, u64)> {
        let mut counters = self.inner.counters();
        counters.push(("pace_restarts", self.restarts));
        counters
    }

    fn canned(&self) -> bool {
        self.inner.canned()
    }

    fn clocked(&self) -> bool {
        self.pace == Pace::Realtime
    }

    fn lost(&self) -> bool {
        self.inner.lost()
    }

    fn due_in(&self) -> Option<Duration> {
        self.wait.or_else(|| self.inner.due_in())
    }

    fn wakes(&self) -> Option<std::os::fd::BorrowedFd<'_>> {
        self.inner.wakes()
    }
}
