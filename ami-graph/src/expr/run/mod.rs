//! From a checked expression to values, a batch at a time.

pub(in crate::expr) mod code;
pub(in crate::expr) mod exec;
pub(in crate::expr) mod fused;
pub(in crate::expr) mod inputs;
pub(in crate::expr) mod program;
pub(in crate::expr) mod slots;
