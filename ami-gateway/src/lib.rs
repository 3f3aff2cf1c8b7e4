//! Other systems' protocols: what the store publishes, as their programs expect it.
//!
//! ```text
//!     source → [shm ring] → worker → collector → store → **gateway** → EXtra-foam, notebooks, …
//! ```
//!
//! A client of the store like any other: killed, frozen or flooded it costs the data path nothing. Each
//! protocol is a module, and is served where the configuration gives it an address.

pub mod heartbeats;
pub mod karabo;
mod server;

pub use server::{check, run};
