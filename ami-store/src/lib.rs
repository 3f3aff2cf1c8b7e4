//! The feature store: keeps what the root publishes and serves it to clients.
//!
//! ```text
//!     source → [shm ring] → worker → collector → **store** → client
//!                               ▲
//!                     ctl → manager
//! ```
//!
//! Messages of the root are the messages of the clients: they are forwarded first and looked at
//! afterwards. Nothing a client does reaches the data path: a slow one misses values, which its
//! sequence numbers tell it, and a frozen store is refilled by the root.

mod answers;
mod bound;
pub mod query;
mod repeats;
mod server;
pub mod store;

pub use server::run;
