//! What is counted and told: metrics, memory, messages that nobody understands.

pub mod ignored;
pub(crate) mod limited_listener;
pub mod memory;
pub mod metrics;
pub mod throttle;
