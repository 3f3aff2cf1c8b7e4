//! The ventilator: reads events from a source into the ring and hands them to workers.
//!
//! ```text
//!     source → **[shm ring]** → worker → collector → store → client
//!                   ▲
//!         ctl → manager
//! ```
//!
//! | folder | what |
//! |---|---|
//! | `ventilator` | the loop and its sockets |
//! | `pump` | from the source into units: time, segments, heartbeats, chunks |
//! | [`flow`] | units, flushes, lanes, replay, acknowledgement |
//!
//! It gives every event its identity (epoch, segment, heartbeat, unit), keeps it until the root has
//! decided about it, and has it done again by others when a worker dies. What a facility's formats
//! become is `ami-source`.

pub mod cli;
pub mod flow;
mod in_force;
mod pump;
mod record;
mod ventilator;

pub use ventilator::{check, run};
