//! One heartbeat as the root closes it, and how much of the data a value speaks for.

use crate::data::value::Value;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How much of the data a value speaks for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Truth {
    /// Events merged.
    pub events: u64,
    /// Events the sources took; None while a host's share is unknown.
    pub expected: Option<u64>,
    /// Events declared dropped, by reason.
    pub dropped: BTreeMap<String, u64>,
}

impl Truth {
    /// True when every event the sources took is in the value.
    pub fn complete(&self) -> bool {
        self.expected == Some(self.events)
    }
}

/// One heartbeat, as the root collector closes it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Frame {
    /// Counts the times that a source began anew; a change clears all windows.
    pub generation: u64,
    /// Run number; a change clears `run` windows.
    pub run: u32,
    /// Step number, none before the run's first; a change clears `step` windows.
    pub step: Option<u32>,
    /// Segment of the stream: counts up at boundaries.
    pub segment: u64,
    /// Number of the heartbeat.
    pub heartbeat: u64,
    /// Timestamp of its newest event, ns since the Unix epoch; windows in seconds compare these.
    pub timestamp_ns: u64,
    /// Length of a heartbeat in ns.
    pub period_ns: u64,
    /// What was merged, expected and dropped. For late data: what they add.
    pub truth: Truth,
    /// Values set by BeginStep, by name.
    pub step_values: BTreeMap<String, Value>,
}
