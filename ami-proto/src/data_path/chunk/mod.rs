//! How the events of one unit lie in the ring: arrays as they came, then an index with the scalars
//! in columns. Written by the ventilator, read by workers.
//!
//! ```text
//! start                                                   index
//! | array | array | … (64-byte aligned, in event order)   | header | timestamps | directory | columns … |
//! ```
//!
//! Scalars are staged in columns while the chunk is open and copied into the ring when it is
//! sealed, so that a chunk of any number of events wastes nothing and a worker reads columns
//! without gathering. Everything is little-endian; offsets are relative to their own start:
//! arrays' to the chunk's, columns' to the index's.

mod placed;
mod stage;
mod view;
mod writer;

pub use placed::{HeapArena, Placed};
pub use view::{ChunkError, ChunkView, Spans};
pub use writer::{ChunkWriter, Sealed, Staging};

use ami_graph::data::value::{DType, MAX_RANK};

/// Where chunks put their bytes: the ring, or memory in tests.
pub trait Arena {
    /// Reserves `len` contiguous bytes at an ever-growing position, a multiple of 64; None when
    /// there is no room now. A gap before it (the arena's end) belongs to the same chunk.
    fn reserve(&mut self, len: usize) -> Option<u64>;
    /// The bytes of a reservation.
    fn bytes_mut(&mut self, position: u64, len: usize) -> &mut [u8];
    /// Copies into a reservation.
    fn write(&mut self, position: u64, from: &[u8]) {
        self.bytes_mut(position, from.len()).copy_from_slice(from);
    }
    /// Gives back everything from `position` on (the newest reservations).
    fn rewind(&mut self, position: u64);
    /// Where the next reservation begins, before any gap.
    fn head(&self) -> u64;
}

/// The event does not fit into the ring now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the ring has no room for this event now")]
pub struct Full;

const MAGIC: u32 = 0x4b4e_4843; // "CHNK"
/// magic u32, events u32, columns u32, host u32, first sequence u64.
const HEADER: usize = 24;
/// field u32, kind u8, dtype u8, 2 spare, offset u64, length u64, all of the column's data.
const ENTRY: usize = 24;
/// offset u64 (or ABSENT), rank u32, axis lengths u32.
const ARRAY_ENTRY: usize = 8 + 4 + 4 * MAX_RANK;
/// start u32 (or ABSENT_TEXT), length u32.
const TEXT_ENTRY: usize = 8;
const ABSENT: u64 = u64::MAX;
const ABSENT_TEXT: u32 = u32::MAX;
/// Columns and arrays start at multiples of this.
const ALIGN: usize = 64;

/// Scalars present in every event: elements.
const SCALARS: u8 = 1;
/// Scalars absent in some events: one byte per event, then, aligned, the elements.
const SPARSE: u8 = 2;
/// One ARRAY_ENTRY per event.
const ARRAYS: u8 = 3;
/// One TEXT_ENTRY per event, then the text.
const STRINGS: u8 = 4;

const fn align(n: usize) -> usize {
    n.next_multiple_of(ALIGN)
}

const fn code(dtype: DType) -> u8 {
    dtype as u8
}

fn dtype_of(code: u8) -> Option<DType> {
    DType::ALL.into_iter().find(|d| *d as u8 == code)
}

#[cfg(test)]
mod tests;
