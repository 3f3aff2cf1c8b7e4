//! `start=N`, `events=N`: a stretch of a source's events. Transitions pass as they are.

use crate::adaptors::HandsOn;
use crate::brackets::Brackets;
use crate::source::{Next, Source, Transition, Written};
use crate::timed::Timed;
use ami_proto::data_path::chunk::ChunkWriter;
use ami_proto::data_path::transition::TransitionKind;
use std::collections::VecDeque;

/// Skips the first events of a source and ends it after a number of events, closing run and step
/// if the source had not closed them by then.
pub struct Range {
    inner: Box<dyn Timed>,
    /// Events still to be skipped.
    skip: u64,
    /// Events still to be delivered; None without limit.
    left: Option<u64>,
    brackets: Brackets,
    /// Transitions taken from the source, or made here, and not yet delivered.
    queue: VecDeque<Transition>,
    ended: bool,
    newest: Option<u64>,
}

impl Range {
    /// The events `start..start + events` of a source.
    pub fn new(inner: Box<dyn Timed>, start: u64, events: Option<u64>) -> Range {
        let (brackets, queue) = (Brackets::default(), VecDeque::new());
        Range { inner, skip: start, left: events, brackets, queue, ended: false, newest: None }
    }

    /// After the last event: closing transitions of the source still pass, anything else ends it.
    fn wind_up(&mut self) -> anyhow::Result<Next> {
        let taken = match self.inner.next()? {
            // What comes live may come much later.
            Next::Pending if self.inner.canned() => return Ok(Next::Pending),
            Next::Transition(_) => self.inner.transition(),
            Next::Event(_) | Next::Pending | Next::End => None,
        };
        match taken {
            Some(t) if closes(t.kind) => self.queue.push_back(t),
            _ => {
                self.ended = true;
                self.queue.extend(self.brackets.closing(self.newest.unwrap_or(0)));
            }
        }
        Ok(self.queue.front().map_or(Next::End, |t| Next::Transition(t.timestamp)))
    }
}

/// Transitions that may still follow the last event of a range.
fn closes(kind: TransitionKind) -> bool {
    use TransitionKind::{Disable, EndRun, EndStep, SlowUpdate, Unconfigure};
    matches!(kind, Disable | EndStep | EndRun | SlowUpdate | Unconfigure)
}

impl HandsOn for Range {
    fn inner(&mut self) -> &mut dyn Timed {
        &mut *self.inner
    }

    fn took(&mut self, announced: u64, events: usize) {
        self.left = self.left.map(|n| n.saturating_sub(events as u64));
        if events > 0 {
            self.newest = self.newest.max(Some(announced)).max(self.inner.newest());
        }
    }
}

impl Source for Range {
    fn next(&mut self) -> anyhow::Result<Next> {
        loop {
            if let Some(t) = self.queue.front() {
                return Ok(Next::Transition(t.timestamp));
            }
            if self.ended {
                return Ok(Next::End);
            }
            if self.left == Some(0) {
                return self.wind_up();
            }
            match self.inner.next()? {
                Next::Event(_) if self.skip > 0 => {
                    self.inner.skip();
                    self.skip -= 1;
                }
                next => return Ok(next),
            }
        }
    }

    fn transition(&mut self) -> Option<Transition> {
        let taken = self.queue.pop_front().or_else(|| self.inner.transition());
        if let Some(t) = &taken {
            self.brackets.on(t.kind);
            self.newest = self.newest.max(Some(t.timestamp));
        }
        taken
    }

    fn write(
        &mut self,
        out: &mut ChunkWriter<'_>,
        before: u64,
        max: usize,
    ) -> anyhow::Result<Written> {
        let left = self.left.map_or(usize::MAX, |n| usize::try_from(n).unwrap_or(usize::MAX));
        self.hand_on(out, before, max.min(left))
    }

    fn skip(&mut self) {
        self.step_over();
    }

    fn counters(&self) -> Vec<(&'static str, u64)> {
        self.inner.counters()
    }

    fn canned(&self) -> bool {
        self.inner.canned()
    }

    fn lost(&self) -> bool {
        !self.ended && self.inner.lost()
    }

    fn due_in(&self) -> Option<std::time::Duration> {
        self.inner.due_in()
    }

    fn wakes(&self) -> Option<std::os::fd::BorrowedFd<'_>> {
        self.inner.wakes()
    }
}

impl Timed for Range {
    fn shift(&mut self, ns: u64) -> bool {
        self.inner.shift(ns)
    }

    fn newest(&self) -> Option<u64> {
        self.newest
    }
}
