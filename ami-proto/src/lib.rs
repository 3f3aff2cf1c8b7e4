//! What the processes agree on: messages, addresses, and how a process starts and stops.
//!
//! ```text
//!     source → [shm ring] → worker → collector → store → client
//!                ▲            **every arrow is a file of this crate**
//!              ctl → manager
//! ```

pub mod chunk;
pub mod codec;
pub mod config;
pub mod cpu_latency;
pub mod ctl_to_manager;
pub mod daemon;
pub mod endpoint;
pub mod foreign;
mod guard;
pub mod ids;
pub mod keys;
pub mod later;
mod limited;
pub mod manager_to_members;
pub mod member_to_manager;
pub mod memory;
pub mod metrics;
pub mod reporter;
pub mod role_lock;
pub mod root_to_hosts;
pub mod security;
pub mod socket;
pub mod throttle;
pub mod to_collector;
pub mod to_root;
pub mod to_ventilator;
pub mod transition;
pub mod ventilator_to_worker;
