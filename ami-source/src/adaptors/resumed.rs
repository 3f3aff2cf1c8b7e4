//! A source that goes on where it was: after the death of the ventilator that read it, or after the
//! source itself broke and was opened again.
//!
//! Events already taken are stepped over, a bounded number at a time, so that the ventilator's
//! loop lives on meanwhile. Of the transitions among them only those are delivered that say what
//! holds at the event that comes next.

use crate::source::{Next, Source, Transition, Written};
use ami_proto::data_path::chunk::ChunkWriter;
use ami_proto::data_path::transition::TransitionKind;
use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

/// Events and transitions stepped over before the loop is let go on: some milliseconds of reading.
const STRETCH: u64 = 1 << 14;

/// A source without its first events.
pub struct Resumed {
    inner: Box<dyn Source>,
    /// Events still to be stepped over.
    left: u64,
    /// What holds after those stepped over so far.
    queue: VecDeque<Transition>,
}

impl Resumed {
    /// `source` from the event number `taken` on.
    pub fn new(source: Box<dyn Source>, taken: u64) -> Resumed {
        Resumed { inner: source, left: taken, queue: VecDeque::new() }
    }

    /// Steps over what is next; false when there is nothing to step over now.
    fn step(&mut self) -> anyhow::Result<bool> {
        match self.inner.next()? {
            Next::Event(_) => {
                self.inner.skip();
                self.left -= 1;
            }
            Next::Transition(_) => {
                if let Some(t) = self.inner.transition() {
                    self.fold(t);
                }
            }
            Next::Pending => return Ok(false),
            // Shorter than it was: nothing comes any more.
            Next::End => self.left = 0,
        }
        Ok(true)
    }

    /// Forgets what a transition makes void. What a run or a step held stays held.
    fn fold(&mut self, mut t: Transition) {
        use TransitionKind::{
            BeginRun, BeginStep, Configure, Disable, Enable, EndStep, SlowUpdate,
        };
        let void = |kind: TransitionKind| match t.kind {
            Configure => true,
            BeginRun => kind != Configure,
            // Those of BeginStep stay: they are counted.
            BeginStep => matches!(kind, EndStep | Enable | Disable),
            Enable | Disable => matches!(kind, Enable | Disable),
            SlowUpdate => kind == SlowUpdate,
            _ => false,
        };
        let mut held = Vec::new();
        self.queue.retain_mut(|old| {
            // What a BeginStep sets is told apart from what held before.
            let keep = !void(old.kind) || t.kind == BeginStep && !old.held.is_empty();
            if !keep && t.kind != Configure {
                held.append(&mut old.held);
            }
            keep
        });
        // The newest value of a field is the one set last.
        held.append(&mut t.held);
        held.reverse();
        let mut seen = BTreeSet::new();
        held.retain(|(field, _)| seen.insert(*field));
        t.held = held;
        self.queue.push_back(t);
    }
}

impl Source for Resumed {
    fn next(&mut self) -> anyhow::Result<Next> {
        for _ in 0..STRETCH {
            if self.left == 0 {
                return match self.queue.front() {
                    Some(t) => Ok(Next::Transition(t.timestamp)),
                    None => self.inner.next(),
                };
            }
            if !self.step()? {
                break;
            }
        }
        Ok(Next::Pending)
    }

    fn transition(&mut self) -> Option<Transition> {
        match self.left {
            0 => self.queue.pop_front().or_else(|| self.inner.transition()),
            _ => None,
        }
    }

    fn write(
        &mut self,
        out: &mut ChunkWriter<'_>,
        before: u64,
        max: usize,
    ) -> anyhow::Result<Written> {
        if self.left > 0 || !self.queue.is_empty() {
            return Ok(Written::Events(0));
        }
        self.inner.write(out, before, max)
    }

    fn skip(&mut self) {
        if self.left == 0 && self.queue.is_empty() {
            self.inner.skip();
        }
    }

    fn counters(&self) -> Vec<(&'static str, u64)> {
        let mut counters = self.inner.counters();
        counters.push(("to_step_over", self.left));
        counters
    }

    fn canned(&self) -> bool {
        self.inner.canned()
    }

    fn due_in(&self) -> Option<Duration> {
        if self.left > 0 { Some(Duration::ZERO) } else { self.inner.due_in() }
    }

    fn wakes(&self) -> Option<std::os::fd::BorrowedFd<'_>> {
        self.inner.wakes()
    }
}
