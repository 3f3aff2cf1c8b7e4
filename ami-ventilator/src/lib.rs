//! The ventilator: reads events from a source into the ring and hands them to workers.
//!
//! ```text
//!     source → **[shm ring]** → worker → collector → store → client
//!                   ▲
//!         ctl → manager
//! ```
//!
//! It gives every event its identity (epoch, segment, heartbeat, unit), keeps it until the root has
//! decided about it, and has it done again by others when a worker dies. Sources stop here: no
//! other process knows a facility's format.

mod arena;
mod busy;
mod change;
pub mod cli;
pub mod flow;
pub mod inspect;
pub mod past;
mod pump;
mod quarantine;
mod record;
mod seats;
mod setup;
pub mod source;
pub mod sources;
mod thin;
mod timeline;
mod ventilator;
mod watchdog;

pub use ventilator::{check, run};
