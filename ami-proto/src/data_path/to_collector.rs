//! Worker → host collector and ventilator → host collector: PUSH to the host collector's intake.

use crate::data_path::ids::{Conditions, Key, Progress, Taken};
use crate::data_path::ventilator_to_worker::Context;
use ami_graph::data::schema::Schema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Which units exist in a flush and what was dropped: what a complete flush must account for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The ventilator's life.
    pub epoch: u64,
    /// Number of the flush, without gaps in the epoch.
    pub flush: u64,
    /// The heartbeat.
    pub key: Key,
    /// The newest context of its units (run, step, graph version are the same for all of them).
    pub context: u32,
    /// What that context says of them.
    pub conditions: Conditions,
    /// Events taken so far, this flush included.
    pub taken: Taken,
    /// Timestamp of the newest event, ns; the heartbeat's start when it had none.
    pub timestamp_ns: u64,
    /// Units by number, with their events.
    pub units: Vec<(u64, u32)>,
    /// Events taken from the source but in no unit, by reason.
    pub dropped: BTreeMap<String, u64>,
    /// Events that came after their heartbeat was closed and were folded into this one.
    pub late: u64,
    /// True when it is its heartbeat's last flush.
    pub last: bool,
    /// True when the source ended with it.
    pub end: bool,
}

impl Manifest {
    /// Events taken from the source for this flush.
    pub fn events(&self) -> u64 {
        let units = self.units.iter().map(|(_, events)| u64::from(*events));
        units.chain(self.dropped.values().copied()).fold(0, u64::saturating_add)
    }

    /// How far the epoch has come with this flush.
    pub fn progress(&self) -> Progress {
        Progress {
            flushes: self.flush.saturating_add(1),
            key: self.key,
            conditions: self.conditions,
            timestamp_ns: self.timestamp_ns,
            taken: self.taken,
            last: self.last,
            end: self.end,
        }
    }
}

/// One message to the host collector.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum ToCollector {
    /// What a worker merged; the partial follows as frames (its header, then arrays).
    Partial {
        /// The ventilator's life.
        epoch: u64,
        /// The flush.
        flush: u64,
        /// Graph version it was computed with.
        version: u64,
        /// Units by number, with their events.
        units: Vec<(u64, u32)>,
    },
    /// First message of a ventilator's life, and its answer to a collector's hello.
    Epoch {
        /// The ventilator's life.
        epoch: u64,
        /// Name of the host.
        host: String,
        /// How far it is decided.
        decided: Progress,
    },
    /// Fields, under a number of this epoch.
    Schema(u64, u32, Schema),
    /// Graphs: epoch, version; the JSON follows as a frame of its own.
    Graphs(u64, u64),
    /// A context of this epoch.
    Context(u64, Context),
    /// Repeated until it arrived.
    Manifest(Manifest),
    /// Answer to a need: the unit will never come.
    Dropped {
        /// The ventilator's life.
        epoch: u64,
        /// Flush it belongs to.
        flush: u64,
        /// The unit.
        unit: u64,
        /// Why: `lost`, `poison`.
        reason: String,
    },
}
