//! User code as nodes: what a graph says of it, and the three ways in which it takes part.

mod after_merge;
mod code;
mod description;
mod per_event;
pub mod python;
mod reduction;
