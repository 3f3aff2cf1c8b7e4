//! Events into the open chunk, the chunk into a unit, units into flushes.

use crate::pump::arena::RingArena;
use crate::pump::{Pump, Step};
use ami_proto::data_path::chunk::ChunkWriter;
use ami_source::source::Written;

impl Pump {
    pub(super) fn write(
        &mut self,
        timestamp: u64,
        before: u64,
        max: usize,
        now_ns: u64,
    ) -> anyhow::Result<Step> {
        let (start, _) = *self.chunk.get_or_insert((self.ring.next_position(), now_ns));
        let staged = self.staging.events();
        let mut arena = RingArena { ring: &mut self.ring, margin: self.margin };
        let (events, bytes) = (self.options.chunk_events, self.options.chunk_bytes);
        let mut out = ChunkWriter::new(&mut self.staging, &mut arena, start, events, bytes);
        let written = self.source.write(&mut out, before, max)?;
        let full_chunk = out.room() == 0;
        let count = self.staging.events() - staged;
        self.counts.taken += count as u64;
        // Only what was taken, an event that does not fit comes again; and before its flush ends.
        if self.late && count > 0 {
            self.flow.late(1);
            self.counts.late += 1;
        }
        self.event_ns = now_ns;
        if let Some(&newest) = self.staging.timestamps().last() {
            self.timeline.took(newest);
        }
        if count == 0 && matches!(written, Written::Full(_)) {
            return Ok(self.full(timestamp, now_ns));
        }
        if full_chunk && !self.seal() {
            return Ok(Step::Blocked("ring full"));
        }
        self.flush_if_large(now_ns);
        Ok(Step::Worked)
    }

    /// The ring has no room for the next event. What is undecided in earlier flushes will be freed;
    /// only where there are none has the open one to end, so that what is in it can be.
    pub(super) fn full(&mut self, timestamp: u64, now_ns: u64) -> Step {
        if self.staging.events() > 0 && !self.seal() {
            return Step::Blocked("ring full");
        }
        self.chunk = None;
        if self.flow.in_flight() == 0 && self.flow.open_units() > 0 {
            self.flow.flush(false, false, now_ns);
        }
        if self.options.drop {
            self.begin(timestamp, now_ns);
            self.drop_event("ring_full", timestamp);
            return Step::Worked;
        }
        if self.ring.tail() == self.ring.next_position() {
            tracing::error!("an event is larger than the ring: raise ventilator.ring_bytes");
            self.begin(timestamp, now_ns);
            self.drop_event("too_large", timestamp);
            return Step::Worked;
        }
        Step::Blocked("ring full")
    }

    pub(super) fn flush_if_large(&mut self, now_ns: u64) {
        let position = self.ring.next_position();
        if self.flow.open_bytes(position) > self.ring.capacity() as u64 / 4 && self.seal() {
            self.flow.flush(false, false, now_ns);
        }
    }

    /// Hands the open chunk on as a unit. False when the ring has no room for its index now.
    pub(super) fn seal(&mut self) -> bool {
        let Some((start, _)) = self.chunk else { return true };
        let Some(&timestamp) = self.staging.timestamps().iter().max() else {
            self.chunk = None;
            return true;
        };
        let mut arena = RingArena { ring: &mut self.ring, margin: 0 };
        let sealed = ChunkWriter::new(&mut self.staging, &mut arena, start, 0, 0)
            .seal(self.options.host, self.sequence);
        let Ok(sealed) = sealed else { return false };
        self.ring.publish();
        self.sequence += sealed.events as u64;
        self.chunk = None;
        self.flow.unit(&sealed, self.context, timestamp);
        true
    }
}
