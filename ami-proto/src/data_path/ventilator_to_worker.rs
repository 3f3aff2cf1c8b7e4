//! Ventilator → worker: one PUSH per lane, ordered; its endpoint is the worker's own and never
//! reused. Contexts before the units that need them, a flush after all of its units.

use crate::data_path::chunk::Placed;
use crate::data_path::ids::{Conditions, Key};
use crate::data_path::transition::TransitionKind;
use ami_graph::data::schema::{Held, Schema};
use ami_graph::data::value::Value;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Where a unit lies in the ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Descriptor {
    /// Number of the unit, without gaps in its epoch.
    pub unit: u64,
    /// Context its events must be seen with.
    pub context: u32,
    /// Heartbeat that all of its events are in.
    pub heartbeat: u64,
    /// Position of the chunk in the ring.
    pub start: u64,
    /// Position of its index.
    pub index: u64,
    /// Bytes of its index.
    pub index_len: u32,
    /// Number of events.
    pub events: u32,
}

impl Descriptor {
    /// The unit's arrays, read from the ring by `bytes`.
    pub fn arrays<'a, F>(&self, bytes: F) -> Placed<'a, F>
    where
        F: Fn(u64, usize) -> Option<&'a [u8]>,
    {
        Placed::new(self.start, self.index, bytes)
    }
}

/// What events must be seen with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Context {
    /// Its number, without gaps in its epoch.
    pub number: u32,
    /// Schema, graph version, run, step.
    pub conditions: Conditions,
    /// Values of held fields.
    pub held: Held,
    /// What the newest BeginStep of the run set, by name; arrays and long texts left out.
    pub step_values: StepValues,
}

/// Values that BeginStep set, by name.
pub type StepValues = BTreeMap<String, Value>;

/// One message on a lane's stream.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum LaneMessage {
    /// First message: the seat.
    Welcome {
        /// The ventilator's life.
        epoch: u64,
        /// Index of the lane in the ring's lane table.
        lane: u32,
        /// Tells this holder of the lane from earlier ones.
        generation: u64,
        /// Path of the ring.
        ring: String,
        /// Name of the host.
        host: String,
        /// Timestamps are counters, not ns since the Unix epoch.
        counter: bool,
    },
    /// Fields, under a number of this epoch.
    Schema(u32, Schema),
    /// Graphs: version; the JSON follows as a frame of its own.
    Graphs(u64),
    /// A context.
    Context(Context),
    /// A unit of the open flush.
    Unit(Descriptor),
    /// The flush ends: send what you hold of it as one partial.
    Flush {
        /// Number, without gaps in its epoch.
        flush: u64,
        /// The heartbeat it belongs to.
        key: Key,
    },
    /// A unit to be done again, as a partial of its own, sent at once.
    Replay {
        /// The unit.
        unit: Descriptor,
        /// Flush it belongs to.
        flush: u64,
        /// Heartbeat it belongs to.
        key: Key,
    },
    /// A transition passed (for recorders; workers see its effect in contexts).
    Transition {
        /// Which one.
        kind: TransitionKind,
        /// ns since the Unix epoch.
        timestamp: u64,
        /// Held fields that it set, also to what they were; their values are in the newest context.
        set: Vec<u32>,
    },
    /// The source ended and will not go on.
    End,
    /// The ventilator stops.
    Quit,
}
