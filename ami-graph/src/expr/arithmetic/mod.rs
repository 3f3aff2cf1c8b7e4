//! Operations on elements and arrays as numpy defines them.
//!
//! `number` says what an element type can do, `real` what floats can do besides, and `kernel` turns
//! an operation into one loop per type: the three know each other.

pub(in crate::expr) mod array;
pub(in crate::expr) mod index;
pub(in crate::expr) mod kernel;
pub(in crate::expr) mod number;
pub(in crate::expr) mod operation;
pub(in crate::expr) mod order;
pub(in crate::expr) mod promote;
pub(in crate::expr) mod real;
pub(in crate::expr) mod reduce;
pub(in crate::expr) mod shape;
pub(in crate::expr) mod sums;
