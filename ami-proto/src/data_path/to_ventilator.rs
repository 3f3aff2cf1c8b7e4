//! Worker → ventilator and host collector → ventilator: PUSH to the ventilator's intake.

use serde::{Deserialize, Serialize};

/// What a newcomer on a lane wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Purpose {
    /// Its share of the units.
    Work,
    /// A copy of every descriptor and transition (a recorder).
    Record,
}

/// One message to the ventilator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToVentilator {
    /// A worker asks for a lane. Repeated until welcomed.
    Hello {
        /// Its own endpoint, where the lane's stream goes.
        endpoint: String,
        /// Its name.
        name: String,
        /// Its process.
        pid: u32,
        /// Work or record.
        purpose: Purpose,
    },
    /// Credit comes back: units done and flushes sent, both counted from the lane's start.
    Credit {
        /// The ventilator's life.
        epoch: u64,
        /// The lane.
        lane: u32,
        /// The lane's holder.
        generation: u64,
        /// Units done so far (replays count).
        done: u64,
        /// Number after the newest flush for which the partial was sent.
        flushed: u64,
    },
    /// A worker leaves; what it holds must be replayed elsewhere.
    Bye {
        /// The ventilator's life.
        epoch: u64,
        /// The lane.
        lane: u32,
        /// The lane's holder.
        generation: u64,
    },
    /// A host collector started: hand it watermark, contexts and manifests.
    CollectorHello {
        /// Its life.
        life: u64,
    },
    /// A host collector lacks units.
    Need {
        /// The ventilator's life.
        epoch: u64,
        /// Flush they belong to.
        flush: u64,
        /// The units; empty: all that the manifest names.
        units: Vec<u64>,
    },
}
