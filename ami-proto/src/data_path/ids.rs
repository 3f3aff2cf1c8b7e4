//! Identities: what an event, a unit, a flush belong to. On the wire from the first day.

use serde::{Deserialize, Serialize};

/// The heartbeat a unit belongs to, within one epoch of one host. The heartbeat's number alone is
/// no key: a run, a step, a graph version or a new time base may part it.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
pub struct Key {
    /// Counts up within an epoch at every boundary of run, step or graph version, and at a new
    /// time base.
    pub segment: u64,
    /// `floor(timestamp / period)`: the same number on every host.
    pub heartbeat: u64,
}

/// What the events of a unit must be seen with. Numbered per epoch.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
pub struct Conditions {
    /// Number of the schema in its epoch.
    pub schema: u32,
    /// Version of the graph set in effect; 0 before the first.
    pub version: u64,
    /// Reading of the source: one pass from its beginning, by one life or several. Grows with time.
    pub reading: u64,
    /// Run number.
    pub run: u32,
    /// Step of the run, from 0; none before the run's first. A step lasts until the next one begins.
    pub step: Option<u32>,
}

/// How far an epoch has come with a flush. Whoever has only this can say exactly how many events
/// were in flushes that nobody holds any more.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Flushes so far: the number after the flush's.
    pub flushes: u64,
    /// The flush's heartbeat.
    pub key: Key,
    /// What its events were seen with.
    pub conditions: Conditions,
    /// Timestamp of its newest event, ns.
    pub timestamp_ns: u64,
    /// Events taken so far.
    pub taken: Taken,
    /// The flush was its heartbeat's last.
    pub last: bool,
    /// The source ended with it.
    pub end: bool,
}

/// Events of all flushes so far, those dropped among them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taken {
    /// Since the epoch began.
    pub epoch: u64,
    /// Since the run began.
    pub run: u64,
    /// Since the segment began.
    pub segment: u64,
}

/// Number that orders hosts where timestamps are equal: FNV-1a of the host's name, so that hosts
/// agree without talking.
pub fn host_number(name: &str) -> u32 {
    name.bytes().fold(0x811c_9dc5u32, |h, b| (h ^ u32::from(b)).wrapping_mul(0x0100_0193))
}
