//! A source that goes on where it was: after the death of the ventilator that read it, or after the
//! source itself broke and was opened again.
//!
//! Transitions pass as they are, since they say what holds; events already taken are stepped over,
//! a bounded number at a time, so that the ventilator's loop lives on meanwhile.

use crate::source::{Next, Source, Transition, Written};
use ami_proto::chunk::ChunkWriter;
use std::time::Duration;

/// Events stepped over before the loop is let go on: some milliseconds of reading.
const STRETCH: u64 = 1 << 16;

/// A source without its first events.
pub struct Resumed {
    inner: Box<dyn Source>,
    /// Events still to be stepped over.
    left: u64,
}

impl Resumed {
    /// `source` from the event number `taken` on.
    pub fn new(source: Box<dyn Source>, taken: u64) -> Resumed {
        Resumed { inner: source, left: taken }
    }
}

impl Source for Resumed {
    fn next(&mut self) -> anyhow::Result<Next> {
        for _ in 0..STRETCH {
            let next = self.inner.next()?;
            if self.left == 0 || !matches!(next, Next::Event(_)) {
                return Ok(next);
            }
            self.inner.skip();
            self.left -= 1;
        }
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
        if self.left > 0 {
            return Ok(Written::Events(0));
        }
        self.inner.write(out, before, max)
    }

    fn skip(&mut self) {
        if self.left == 0 {
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
}
