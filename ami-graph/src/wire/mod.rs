//! What travels from workers to the root: partials, and the state of each node in them.

pub mod partial;
pub(crate) mod slot;
