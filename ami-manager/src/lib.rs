//! The manager: holds the versioned graphs, edited by several people at once, and sees to it that
//! every member runs the same version.
//!
//! ```text
//!     source → [shm ring] → worker → collector → store → client
//!                ▲            ▲          ▲
//!      ctl → **manager** ─────┴──────────┘
//! ```
//!
//! Data never passes here and waits for nothing here: a dead manager stops edits, not results.
//! `state` decides (pure), `journal` remembers, `manager` is the loop that polls, calls and sends.

mod code;
pub mod commands;
pub mod edit;
pub mod files;
pub mod history;
pub mod journal;
mod manager;
pub mod members;
pub mod state;
pub mod trying;
pub mod validate;

pub use manager::{check, run};
