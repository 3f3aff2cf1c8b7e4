//! The truth of a window: what all its heartbeats together speak for.

use crate::data::bytes::{Reader, Writer};
use crate::data::frame::{Frame, Truth};
use crate::error::DecodeError;
use std::collections::{BTreeMap, BTreeSet};

/// A heartbeat's place in the order of the stream: segment, number.
pub type Place = (u64, u64);

/// Heartbeats of unknown share that are remembered one by one, so that late news can settle them.
const REMEMBERED: usize = 10_000;

/// Sums over the heartbeats of a window.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Ledger {
    events: u64,
    expected: u64,
    dropped: BTreeMap<String, u64>,
    /// Heartbeats for which a host's share is unknown.
    unknown: BTreeSet<Place>,
    /// How many more there are than are remembered; these are never settled.
    forgotten: u64,
}

impl Ledger {
    /// Adds a heartbeat.
    pub fn add(&mut self, place: Place, truth: &Truth) {
        self.add_counts(truth);
        match truth.expected {
            Some(expected) => self.expected = self.expected.saturating_add(expected),
            None if self.unknown.len() < REMEMBERED => {
                self.unknown.insert(place);
            }
            None => self.forgotten += 1,
        }
    }

    fn add_counts(&mut self, truth: &Truth) {
        self.events = self.events.saturating_add(truth.events);
        for (reason, count) in &truth.dropped {
            let sum = self.dropped.entry(reason.clone()).or_default();
            *sum = sum.saturating_add(*count);
        }
    }

    /// Takes a heartbeat away that was added as `truth`.
    pub fn remove(&mut self, place: Place, truth: &Truth) {
        self.events = self.events.saturating_sub(truth.events);
        for (reason, count) in &truth.dropped {
            if let Some(sum) = self.dropped.get_mut(reason) {
                *sum = sum.saturating_sub(*count);
                if *sum == 0 {
                    self.dropped.remove(reason);
                }
            }
        }
        match truth.expected {
            Some(expected) => self.expected = self.expected.saturating_sub(expected),
            None if self.unknown.remove(&place) => {}
            None => self.forgotten = self.forgotten.saturating_sub(1),
        }
    }

    /// Adds what came late for a heartbeat: its counts, and what is expected more by them; of a heartbeat
    /// of unknown share all that it had, once that is known.
    pub fn late(&mut self, place: Place, truth: &Truth) {
        self.add_counts(truth);
        if let Some(expected) = truth.expected {
            self.unknown.remove(&place);
            self.expected = self.expected.saturating_add(expected);
        }
    }

    /// As published.
    pub fn truth(&self) -> Truth {
        let known = self.unknown.is_empty() && self.forgotten == 0;
        Truth {
            events: self.events,
            expected: known.then_some(self.expected),
            dropped: self.dropped.clone(),
        }
    }

    /// Events of all its heartbeats.
    pub fn events(&self) -> u64 {
        self.events
    }

    /// As bytes, for checkpoints.
    pub fn encode(&self, writer: &mut Writer) {
        let truth = Truth {
            events: self.events,
            expected: Some(self.expected),
            dropped: self.dropped.clone(),
        };
        write_truth(&truth, writer);
        writer.u64(self.forgotten);
        writer.u32(self.unknown.len() as u32);
        for (segment, heartbeat) in &self.unknown {
            writer.u64(*segment);
            writer.u64(*heartbeat);
        }
    }

    /// Reads what [`Ledger::encode`] wrote.
    ///
    /// # Errors
    /// When the bytes are not a ledger.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Ledger, DecodeError> {
        let truth = read_truth(reader)?;
        let forgotten = reader.u64("ledger")?;
        let mut unknown = BTreeSet::new();
        for _ in 0..reader.count(16, "ledger")? {
            unknown.insert((reader.u64("ledger")?, reader.u64("ledger")?));
        }
        let expected = truth.expected.unwrap_or(0);
        Ok(Ledger { events: truth.events, expected, dropped: truth.dropped, unknown, forgotten })
    }
}

/// A frame's place.
pub fn place(frame: &Frame) -> Place {
    (frame.segment, frame.heartbeat)
}

/// A truth as bytes.
pub fn write_truth(truth: &Truth, writer: &mut Writer) {
    writer.u64(truth.events);
    writer.bool(truth.expected.is_some());
    writer.u64(truth.expected.unwrap_or(0));
    writer.u32(truth.dropped.len() as u32);
    for (reason, count) in &truth.dropped {
        writer.text(reason);
        writer.u64(*count);
    }
}

/// Reads what [`write_truth`] wrote.
///
/// # Errors
/// When the bytes are not a truth.
pub fn read_truth(reader: &mut Reader<'_>) -> Result<Truth, DecodeError> {
    let events = reader.u64("truth")?;
    let known = reader.bool("truth")?;
    let expected = reader.u64("truth")?;
    let mut dropped = BTreeMap::new();
    for _ in 0..reader.count(12, "drops")? {
        let reason = reader.text("reason of drops")?.to_owned();
        dropped.insert(reason, reader.u64("drops")?);
    }
    Ok(Truth { events, expected: known.then_some(expected), dropped })
}
