//! The monitoring shared memory: a server that does what its races need, and the source as its client.

// A failed unwrap is a failed test, also in a helper.
#![allow(clippy::unwrap_used)]

mod bench;
#[path = "../xtc2/common.rs"]
#[allow(dead_code)]
mod common;
mod hostile;
mod races;
mod same;
mod servers;
