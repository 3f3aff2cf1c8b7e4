//! How a process starts, reports and stops.

pub mod cpu_latency;
pub mod daemon;
pub mod role_lock;
