//! Values written in the graph, expressions, and what lets events pass.

pub(in crate::ops) mod constant;
pub(in crate::ops) mod expr;
pub(in crate::ops) mod gate;
pub(in crate::ops) mod select;
