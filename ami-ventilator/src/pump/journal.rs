//! Taking over from an earlier life, and writing down what the next one must know.

use crate::flow::past::{Inheritance, Tally};
use crate::pump::Pump;
use ami_proto::codec;

impl Pump {
    /// Takes over from earlier lives. Of the same source, it goes on where they were.
    pub fn inherit(&mut self, inheritance: Inheritance) {
        let Inheritance { pasts, source, tally, version, reading } = inheritance;
        self.flow.inherit(pasts);
        self.await_graphs = version > 0;
        if let Some(tally) = tally.filter(|_| source == self.options.source) {
            self.timeline.resume(tally.earliest, tally.newest);
            self.before = tally.taken;
            if reading > 0 {
                self.conditions.reading = reading;
            }
            // Orders events of equal time, also across lives.
            self.sequence = tally.taken;
        }
    }

    /// Writes down what a next life needs, should this one end now. To be called after every step
    /// and before its effects are performed: what is not written was seen by nobody.
    pub fn record(&mut self, worked: bool) {
        let (touched, unwritten) = self.flow.written();
        if !(worked || touched || unwritten) {
            return;
        }
        let tally = self.tally();
        if unwritten || !self.ring.tally_write(&codec::encode(&tally)) {
            let mut journal = self.flow.journal(&self.options.source, tally);
            let bytes = journal.encode(self.ring.journal_capacity());
            let written = bytes.is_some_and(|bytes| self.ring.journal_write(&bytes));
            if !written && !std::mem::replace(&mut self.unwritable, true) {
                tracing::warn!(
                    bytes = self.ring.journal_capacity(),
                    "more is undecided than the ring's journal holds: a crash would leave a gap \
                     that nobody declares; lower ventilator.flushes_in_flight"
                );
            }
        }
    }

    /// What a next life would read, as the ring's file has it.
    #[cfg(test)]
    pub(super) fn left_behind(&self) -> crate::flow::past::Journal {
        crate::flow::past::Journal::decode(
            &self.ring.journal().unwrap(),
            self.ring.tally().as_deref(),
        )
        .unwrap()
    }

    fn tally(&mut self) -> Tally {
        self.recorded += 1;
        let (watermark, root_life) = self.flow.acknowledged();
        Tally {
            step: self.recorded,
            watermark,
            root_life,
            taken: self.before + self.counts.taken,
            earliest: self.timeline.open().unwrap_or_else(|| self.timeline.earliest()),
            newest: self.timeline.newest(),
            open: self.flow.open_as_lost(self.staging.events() as u64),
        }
    }
}
