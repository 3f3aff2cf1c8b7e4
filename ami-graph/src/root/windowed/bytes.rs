//! Windows as bytes, for checkpoints of the root.

use crate::data::bytes::{Reader, Writer};
use crate::error::DecodeError;
use crate::graph::window::Window;
use crate::root::ledger::{Ledger, read_truth, write_truth};
use crate::root::windowed::{Entry, Now, Windowed};
use crate::wire::slot::Slot;

impl Windowed {
    /// As bytes, for checkpoints.
    pub fn encode(&self, writer: &mut Writer) {
        writer.bool(self.now.is_some());
        if let Some(Now { generation, run, step, place, timestamp }) = self.now {
            writer.u64(generation);
            writer.u32(run);
            writer.bool(step.is_some());
            writer.u32(step.unwrap_or(0));
            for number in [place.0, place.1, timestamp] {
                writer.u64(number);
            }
        }
        let (since, begun) = (self.since, self.begun);
        for number in [since.0, since.1, begun.0, begun.1, self.evicted] {
            writer.u64(number);
        }
        self.ledger.encode(writer);
        self.sum.clone().encode(writer);
        for half in [&self.front, &self.back] {
            writer.u32(half.len() as u32);
            for entry in half {
                writer.u64(entry.place.0);
                writer.u64(entry.place.1);
                writer.u64(entry.timestamp);
                write_truth(&entry.truth, writer);
                entry.slot.clone().encode(writer);
            }
        }
    }

    /// Reads what [`Windowed::encode`] wrote.
    ///
    /// # Errors
    /// When the bytes are not a window.
    pub fn decode(
        window: Window,
        budget: u64,
        reader: &mut Reader<'_>,
    ) -> Result<Windowed, DecodeError> {
        const WHAT: &str = "window";
        let mut windowed = Windowed::new(window, budget);
        if reader.bool(WHAT)? {
            let (generation, run) = (reader.u64(WHAT)?, reader.u32(WHAT)?);
            let (in_step, step) = (reader.bool(WHAT)?, reader.u32(WHAT)?);
            let place = (reader.u64(WHAT)?, reader.u64(WHAT)?);
            let (step, timestamp) = (in_step.then_some(step), reader.u64(WHAT)?);
            windowed.now = Some(Now { generation, run, step, place, timestamp });
        }
        windowed.since = (reader.u64(WHAT)?, reader.u64(WHAT)?);
        windowed.begun = (reader.u64(WHAT)?, reader.u64(WHAT)?);
        windowed.evicted = reader.u64(WHAT)?;
        windowed.ledger = Ledger::decode(reader)?;
        windowed.sum = Slot::decode(reader)?;
        windowed.front = decode_half(reader)?;
        windowed.back = decode_half(reader)?;
        let halves = windowed.front.iter().chain(&windowed.back);
        windowed.bytes = halves.map(|entry| entry.slot.bytes() as u64).sum();
        Ok(windowed)
    }
}

fn decode_half(reader: &mut Reader<'_>) -> Result<Vec<Entry>, DecodeError> {
    const WHAT: &str = "heartbeat of a window";
    let count = reader.count(42, WHAT)?;
    let one = |_| {
        let place = (reader.u64(WHAT)?, reader.u64(WHAT)?);
        let timestamp = reader.u64(WHAT)?;
        let truth = read_truth(reader)?;
        Ok(Entry { place, timestamp, truth, slot: Slot::decode(reader)? })
    };
    (0..count).map(one).collect()
}
