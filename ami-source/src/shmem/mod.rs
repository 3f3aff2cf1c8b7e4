//! The monitoring shared memory of LCLS-II: a server on this host offers event-built datagrams, and
//! ami is one of its clients.
//!
//! ```text
//! server ─► discovery queue ─► TCP: hello, transitions ─┐
//!        └► event queue ─► buffer ─► copy ──────────────┤ receiver (thread)
//!        ◄─ return queue ◄─ buffer's index ◄────────────┘
//!                                                       └► order by timestamp ─► names, events
//! ```
//!
//! What the datagrams say is read as in files ([`crate::xtc2`]). The server is another process that
//! may be killed, frozen or wrong at any time: its memory is copied before it is looked at, and
//! every message is checked.

mod client;
mod inbox;
mod memory;
pub mod message;
mod mqueue;
mod order;
mod pulse;
mod receiver;
mod source;
mod tally;
mod url;

#[cfg(test)]
mod order_tests;

pub use source::ShmemSource;
pub use url::ShmemUrl;

use crate::url::Epoch;

/// How to be a client.
#[derive(Debug, Clone, Copy)]
pub struct ShmemOptions {
    /// What timestamps count from.
    pub epoch: Epoch,
    /// Clients to be: in distribute mode each gets its share of the events.
    pub clients: usize,
    /// Buffers that each client keeps until their events are written; 0: none.
    pub hold: usize,
}

impl Default for ShmemOptions {
    fn default() -> ShmemOptions {
        ShmemOptions { epoch: Epoch::default(), clients: 1, hold: 0 }
    }
}
