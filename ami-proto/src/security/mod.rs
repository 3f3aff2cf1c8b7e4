//! Keys of CURVE, and what secures the tcp endpoints of a process.

pub mod credentials;
pub mod keys;
