//! The ventilator: reads events from a source into the ring and hands them to workers.
//!
//! ```text
//!     source → **[shm ring]** → worker → collector → store → client
//!                   ▲
//!         ctl → manager
//! ```
//!
//! It gives every event its identity (epoch, segment, heartbeat, unit), keeps it until the root has
//! decided about it, and has it done again by others when a worker dies. What a facility's formats
//! become is `ami-source`.

mod arena;
mod busy;
mod change;
pub mod cli;
pub mod flow;
pub mod past;
mod pump;
mod quarantine;
mod record;
mod seats;
mod setup;
mod thin;
mod timeline;
mod ventilator;
mod watchdog;

pub use ventilator::{check, run};
