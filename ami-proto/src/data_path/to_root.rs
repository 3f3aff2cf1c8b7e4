//! Host collector → root and ventilator → root: PUSH to the root's intake.

use crate::data_path::ids::Progress;
use crate::data_path::to_collector::Manifest;
use crate::data_path::ventilator_to_worker::Context;
use ami_graph::data::schema::Schema;
use serde::{Deserialize, Serialize};

/// One message to the root.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum ToRoot {
    /// Everything of one flush of one host; the partial follows as frames.
    Forward {
        /// Name of the host.
        host: String,
        /// Flushes up to here are held no more: what the root lacks of them is lost.
        base: Progress,
        /// What the flush consists of; units that were given up are moved to `dropped`.
        manifest: Manifest,
        /// Events merged into the partial.
        merged: u64,
        /// Units merged, of those that the ventilator made.
        units: (u32, u32),
    },
    /// Fields, under a number of the host's epoch.
    Schema {
        /// Name of the host.
        host: String,
        /// The ventilator's life.
        epoch: u64,
        /// Number in that epoch.
        number: u32,
        /// The fields.
        schema: Schema,
    },
    /// A context of a host's epoch.
    Context {
        /// Name of the host.
        host: String,
        /// The ventilator's life.
        epoch: u64,
        /// The context.
        context: Context,
    },
    /// Graphs; the JSON follows as a frame of its own.
    Graphs {
        /// Their version.
        version: u64,
    },
    /// A host collector lives, also while workers are busy with one heartbeat for long.
    Alive {
        /// Name of the host.
        host: String,
        /// By epoch: flushes up to here are held no more.
        bases: Vec<(u64, Progress)>,
    },
    /// A ventilator will not pass this heartbeat before the root has decided on the version.
    Promise {
        /// Name of the host.
        host: String,
        /// The ventilator's life.
        epoch: u64,
        /// Version to be decided.
        version: u64,
        /// Its first heartbeat that could carry the version.
        not_before: u64,
    },
}

impl ToRoot {
    /// Who says it; None where that does not matter.
    pub fn host(&self) -> Option<&str> {
        match self {
            ToRoot::Forward { host, .. }
            | ToRoot::Schema { host, .. }
            | ToRoot::Context { host, .. }
            | ToRoot::Alive { host, .. }
            | ToRoot::Promise { host, .. } => Some(host),
            ToRoot::Graphs { .. } => None,
        }
    }
}
