//! What a graph set may take.

use serde::{Deserialize, Serialize};

/// Limits that hold for a whole graph set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Bytes that all states and windows may take together at the root.
    pub state_bytes: u64,
    /// Nodes in all graphs together.
    pub nodes: usize,
    /// Bytes that one window `{"events": N}` is charged at most, and held to while running.
    pub events_window_bytes: u64,
    /// Heartbeat length that windows in seconds are costed with, in ns.
    pub period_ns: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            state_bytes: 256 << 20,
            nodes: 10_000,
            events_window_bytes: 64 << 20,
            period_ns: 100_000_000,
        }
    }
}
