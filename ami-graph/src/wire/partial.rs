//! Partials: the merged states of some events, for all graphs, as they travel to the root.
//!
//! States are self-describing: a host collector merges partials without knowing any graph.

use crate::data::bytes::{Reader, Writer};
use crate::error::{DecodeError, MergeError};
use crate::plan::Key;
use crate::wire::slot::Slot;
use std::collections::BTreeMap;

/// Longest message of a report, in bytes.
const MAX_MESSAGE: usize = 200;

/// About what the header says of a state.
const SLOT_BYTES: usize = 128;

/// First byte of an encoded partial; changes with the layout.
const LAYOUT: u8 = 3;

/// What went wrong in one node, and what it cost.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NodeReport {
    /// The node's place in [`GraphSet::ordinals`](crate::graph::spec::GraphSet::ordinals).
    pub ordinal: u32,
    /// Events that failed in this node.
    pub errors: u64,
    /// Why, for one of them; at most 200 bytes; empty without errors.
    pub message: String,
    /// Time spent, in ns; 0 where nobody measured.
    pub cost_ns: u64,
}

impl NodeReport {
    /// Cuts the message to its limit.
    pub fn new(ordinal: u32, errors: u64, message: &str, cost_ns: u64) -> NodeReport {
        let mut end = message.len().min(MAX_MESSAGE);
        while !message.is_char_boundary(end) {
            end -= 1;
        }
        NodeReport { ordinal, errors, message: message[..end].to_owned(), cost_ns }
    }

    /// Adds another report of the same node. Of two messages the greater stays, so that the
    /// order of merging does not matter.
    pub fn add(&mut self, other: NodeReport) {
        self.errors = self.errors.saturating_add(other.errors);
        self.cost_ns = self.cost_ns.saturating_add(other.cost_ns);
        if other.message > self.message {
            self.message = other.message;
        }
    }
}

/// Merged states by node, and reports.
#[derive(Debug, Clone, Default)]
pub struct Partial {
    /// By [`Key`].
    pub(crate) slots: BTreeMap<Key, Slot>,
    /// One per node that has something to say, by ordinal.
    pub reports: Vec<NodeReport>,
}

impl Partial {
    /// Of no events: neutral in merges.
    pub fn empty() -> Partial {
        Partial::default()
    }

    /// Bytes of all states.
    pub fn bytes(&self) -> usize {
        self.slots.values().map(Slot::bytes).sum()
    }

    /// Adds another partial of the same graph version.
    ///
    /// # Errors
    /// When a node's states do not belong together, which means different graph versions. All
    /// other nodes are merged nevertheless.
    pub fn merge(&mut self, other: Partial) -> Result<(), MergeError> {
        let mut result = Ok(());
        for (key, slot) in other.slots {
            let merged = self.slots.entry(key).or_default().merge(slot, key.0);
            result = result.and(merged);
        }
        for report in other.reports {
            self.report(report);
        }
        result
    }

    /// Adds a report.
    pub(crate) fn report(&mut self, report: NodeReport) {
        match self.reports.binary_search_by_key(&report.ordinal, |r| r.ordinal) {
            Ok(place) => self.reports[place].add(report),
            Err(place) => self.reports.insert(place, report),
        }
    }

    /// As a small header and large frames; large states are given away without a copy.
    pub fn encode(self) -> (Vec<u8>, Vec<Vec<u8>>) {
        let mut writer = Writer::default();
        writer.header.reserve(self.slots.len() * SLOT_BYTES);
        writer.u8(LAYOUT);
        writer.u32(self.slots.len() as u32);
        for (key, slot) in self.slots {
            writer.u32(key.0);
            writer.u32(key.1);
            slot.encode(&mut writer);
        }
        write_reports(&self.reports, &mut writer);
        (writer.header, writer.frames)
    }

    /// Reads what [`Partial::encode`] wrote. Allocates in proportion to the input at most.
    ///
    /// # Errors
    /// When the bytes are not a partial.
    pub fn decode(header: &[u8], frames: &[&[u8]]) -> Result<Partial, DecodeError> {
        let mut reader = Reader::new(header, frames);
        let layout = reader.u8("layout of a partial")?;
        if layout != LAYOUT {
            return Err(DecodeError::invalid("layout of a partial", layout));
        }
        let mut partial = Partial::empty();
        for _ in 0..reader.count(9, "states of a partial")? {
            let key = (reader.u32("ordinal of a state")?, reader.u32("part of a state")?);
            if partial.slots.insert(key, Slot::decode(&mut reader)?).is_some() {
                let twice = format_args!("{key:?} twice");
                return Err(DecodeError::invalid("ordinal of a state", twice));
            }
        }
        partial.reports = read_reports(&mut reader)?;
        reader.finish("partial")?;
        Ok(partial)
    }
}

/// Reports as bytes, for partials and checkpoints.
pub(crate) fn write_reports(reports: &[NodeReport], writer: &mut Writer) {
    writer.u32(reports.len() as u32);
    for report in reports {
        writer.u32(report.ordinal);
        writer.u64(report.errors);
        writer.text(&report.message);
        writer.u64(report.cost_ns);
    }
}

/// Reads what [`write_reports`] wrote.
pub(crate) fn read_reports(reader: &mut Reader<'_>) -> Result<Vec<NodeReport>, DecodeError> {
    let count = reader.count(24, "reports")?;
    let mut reports: Vec<NodeReport> = Vec::with_capacity(count);
    for _ in 0..count {
        let ordinal = reader.u32("report")?;
        if reports.last().is_some_and(|last| last.ordinal >= ordinal) {
            return Err(DecodeError::invalid("order of reports", ordinal));
        }
        let errors = reader.u64("report")?;
        let message = reader.text("report")?.to_owned();
        let cost_ns = reader.u64("report")?;
        reports.push(NodeReport::new(ordinal, errors, &message, cost_ns));
    }
    Ok(reports)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_cut_at_a_character() {
        let report = NodeReport::new(1, 2, &"é".repeat(150), 0);
        assert_eq!(report.message, "é".repeat(100));
    }

    #[test]
    fn reports_add_up_in_any_order() {
        let partial = |reports: &[(u32, u64, &str)]| {
            let mut partial = Partial::empty();
            reports.iter().for_each(|&(o, n, m)| partial.report(NodeReport::new(o, n, m, 5)));
            partial
        };
        let (a, b) = (partial(&[(3, 1, "x"), (1, 2, "a")]), partial(&[(3, 4, "y")]));
        let merged = |mut a: Partial, b: Partial| {
            a.merge(b).unwrap();
            a.reports
        };
        let reports = merged(a.clone(), b.clone());
        assert_eq!(reports, merged(b, a));
        assert_eq!(reports[1], NodeReport::new(3, 5, "y", 10));
    }

    #[test]
    fn garbage_is_named() {
        for bytes in [&b""[..], b"\x01", b"\x09\0\0\0\0", b"\x01\xff\xff\xff\xff"] {
            let error = Partial::decode(bytes, &[]).unwrap_err().to_string();
            assert!(error.contains("partial"), "{error}");
        }
    }
}
