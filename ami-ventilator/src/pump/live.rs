//! What a live source does when workers do not keep up: it is never held, so events are thinned.

use crate::pump::{Pump, Step};
use ami_source::source::Next;

/// Events looked at one by one before the loop is let go on.
const STRETCH: usize = 1024;
/// Part of the ring that must stay free for what is under way.
const RESERVE: usize = 4;

impl Pump {
    /// A heartbeat opens: chooses the share of its events that is kept.
    pub(super) fn thin_heartbeat(&mut self) {
        if self.options.drop {
            self.thinner.open(self.flow.backlog());
        }
    }

    /// Takes events from the announced one on: all of them while workers keep up.
    pub(super) fn take(
        &mut self,
        timestamp: u64,
        before: u64,
        max: usize,
        now_ns: u64,
    ) -> anyhow::Result<Step> {
        if !self.options.drop {
            return self.write(timestamp, before, max, now_ns);
        }
        let start = self.timeline.open().map_or(0, |h| self.timeline.start(h));
        let (into, length) = (timestamp.saturating_sub(start), self.timeline.start(1).max(1));
        self.thinner.check(self.flow.backlog(), into as f64 / length as f64);
        if self.ring.free() < self.ring.capacity() / RESERVE {
            self.thinner.close();
        }
        if !self.thinner.idle() {
            return self.thin(timestamp, before, max.min(STRETCH), now_ns);
        }
        let taken = self.counts.taken;
        let step = self.write(timestamp, before, max, now_ns)?;
        self.thinner.kept(self.counts.taken - taken);
        Ok(step)
    }

    /// Takes or drops events one by one, as the share says.
    fn thin(
        &mut self,
        announced: u64,
        before: u64,
        max: usize,
        now_ns: u64,
    ) -> anyhow::Result<Step> {
        let mut timestamp = announced;
        for _ in 0..max {
            if self.thinner.keeps(timestamp) {
                let taken = self.counts.taken;
                let step = self.write(timestamp, before, 1, now_ns)?;
                // What ended the chunk ended the flush as well: the next one is begun by the loop.
                if step != Step::Worked || self.counts.taken == taken || !self.flow.is_open() {
                    return Ok(step);
                }
            } else {
                self.timeline.took(timestamp);
                self.drop_event("overload", timestamp);
            }
            match self.source.next()? {
                Next::Event(next) if next >= timestamp && next < before => timestamp = next,
                _ => break,
            }
        }
        Ok(Step::Worked)
    }
}
