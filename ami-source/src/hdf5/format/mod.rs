//! The bytes of an HDF5 file: what stands where, without a library of C behind it.
//!
//! ```text
//! superblock ─► object header ─► messages: links (groups) │ type, space, layout, filters (datasets)
//!                                                                        │
//!                                      index of chunks (six kinds) ◄─────┘ ─► address, bytes, mask
//! ```
//!
//! Everything here takes bytes or a [`store::Store`] and gives values or a [`Problem`]. No number of a file is
//! believed: lengths are compared with what is there before memory is taken, depths and counts have limits.

pub mod array_index;
pub mod attribute;
pub mod btree;
pub mod checksum;
pub mod chunks;
pub mod cursor;
pub mod element;
pub mod fractal_heap;
pub mod group;
pub mod header;
pub mod heap;
pub mod layout;
pub mod mapping;
pub mod space;
pub mod store;
pub mod superblock;

/// Why something of a file cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// The system does not give the bytes.
    #[error("cannot be read: {0}")]
    Io(#[from] std::io::Error),
    /// The bytes contradict the format. While a file is written this may be a matter of moments.
    #[error("damaged: {0}")]
    Damaged(&'static str),
    /// Right, but not read here.
    #[error("{0} is not read here")]
    Unsupported(String),
    /// More than the budget.
    #[error("{0}")]
    Limit(String),
}

/// What the readers here return.
pub type Result<T> = std::result::Result<T, Problem>;

/// Bytes of one piece of structure: object headers, nodes, heaps.
pub const MAX_PIECE: usize = 16 << 20;
/// Nodes between a root and a leaf.
pub const MAX_DEPTH: usize = 32;
/// Axes of a dataset; the format's own limit.
pub const MAX_AXES: usize = 32;
/// Bytes of an attribute's value.
pub const MAX_ATTRIBUTE: usize = 64 << 10;
/// Links of one group.
pub const MAX_LINKS: usize = 1 << 16;
/// Bytes of one chunk, decoded.
pub const MAX_CHUNK: u64 = 256 << 20;

/// Shorthand for an error.
pub(crate) fn damaged<T>(what: &'static str) -> Result<T> {
    Err(Problem::Damaged(what))
}

/// Shorthand for an error.
pub(crate) fn unsupported<T>(what: impl Into<String>) -> Result<T> {
    Err(Problem::Unsupported(what.into()))
}

#[cfg(test)]
mod tests;
