//! The worker: reads units of events from the ring, runs the worker stage of the graphs over them,
//! and sends one partial per flush to the host collector.
//!
//! ```text
//!     source → [shm ring] → **worker** → collector → store → client
//!                               ▲
//!                     ctl → manager
//! ```
//!
//! Everything a worker must know comes down its lane in order: the seat, contexts, units, flushes.
//! So it cannot see a heartbeat's end before the heartbeat's events, and needs no manager to start.
//! It leaves nothing behind when it dies: what it holds is replayed elsewhere.

#[cfg(test)]
mod allocations;
mod lane;
mod plans;
mod work;
mod worker;

pub use worker::run;
