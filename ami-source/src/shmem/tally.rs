//! What happened between server and source, counted by name; both threads count.

use std::sync::atomic::{AtomicU64, Ordering};

/// A thing that is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // `NAMES` says each in words
pub enum Tally {
    Connections,
    ConnectionsLost,
    Rejected,
    NoServer,
    BadMessages,
    BadDatagrams,
    WrongChannel,
    EventsBeforeConfigure,
    TransitionsBeforeConfigure,
    EventsOfClosedSteps,
    RepeatedTransitions,
    MadeTransitions,
    DelayedReturns,
    PulseGaps,
    PulsesMissing,
}

const NAMES: [&str; 15] = [
    "connections",
    "connections_lost",
    "rejected_by_server",
    "no_server_at_port",
    "bad_messages",
    "bad_datagrams",
    "wrong_channel",
    "events_before_configure",
    "transitions_before_configure",
    "events_of_closed_steps",
    "repeated_transitions",
    "transitions_made_up",
    "delayed_returns",
    "pulse_gaps",
    "pulses_missing",
];

/// The numbers.
#[derive(Debug, Default)]
pub struct Tallies([AtomicU64; NAMES.len()]);

impl Tallies {
    /// One more of it.
    pub fn add(&self, what: Tally) {
        self.more(what, 1);
    }

    /// So many more.
    pub fn more(&self, what: Tally, n: u64) {
        self.0[what as usize].fetch_add(n, Ordering::Relaxed);
    }

    /// Every name with its number.
    pub fn list(&self) -> Vec<(&'static str, u64)> {
        NAMES.into_iter().zip(self.0.iter().map(|n| n.load(Ordering::Relaxed))).collect()
    }
}
