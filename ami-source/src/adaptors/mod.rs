//! What stands between a source and its reader: a stretch of the events, repetition, opening again, pace.

pub mod looped;
pub mod paced;
pub mod range;
pub mod reopened;
pub mod resumed;

use crate::source::{Next, Source, Written};
use crate::timed::Timed;
use ami_proto::data_path::chunk::ChunkWriter;

/// An adaptor that hands on another source's events and counts what was taken of them.
trait HandsOn: Source {
    /// The source whose events are handed on.
    fn inner(&mut self) -> &mut dyn Timed;

    /// So many events were taken, of which the first was announced with this timestamp.
    fn took(&mut self, announced: u64, events: usize);

    /// [`Source::write`]: at most `max` events, and none where something else comes next.
    fn hand_on(
        &mut self,
        out: &mut ChunkWriter<'_>,
        before: u64,
        max: usize,
    ) -> anyhow::Result<Written> {
        let Next::Event(announced) = self.next()? else { return Ok(Written::Events(0)) };
        let written = self.inner().write(out, before, max)?;
        let (Written::Events(n) | Written::Full(n)) = written;
        self.took(announced, n);
        Ok(written)
    }

    /// [`Source::skip`].
    fn step_over(&mut self) {
        if let Ok(Next::Event(announced)) = self.next() {
            self.inner().skip();
            self.took(announced, 1);
        }
    }
}
