//! Where the bytes of a chunk lie: in a ring that somebody else reads or writes, or in memory.

use crate::data_path::chunk::{Arena, Spans, align};
use std::marker::PhantomData;

/// A chunk's arrays where they lie in the ring, each in one piece. `F` reads the ring at a position;
/// this crate knows no ring.
pub struct Placed<'a, F> {
    start: u64,
    index: u64,
    bytes: F,
    ring: PhantomData<&'a [u8]>,
}

impl<'a, F: Fn(u64, usize) -> Option<&'a [u8]>> Placed<'a, F> {
    /// The arrays of the chunk from `start` to its index.
    pub fn new(start: u64, index: u64, bytes: F) -> Placed<'a, F> {
        Placed { start, index, bytes, ring: PhantomData }
    }
}

impl<'a, F: Fn(u64, usize) -> Option<&'a [u8]>> Spans for Placed<'a, F> {
    fn span(&self, offset: u64, len: usize) -> Option<&[u8]> {
        let position = self.start.checked_add(offset)?;
        let inside = position.checked_add(len as u64)? <= self.index;
        inside.then(|| (self.bytes)(position, len))?
    }
}

/// An arena in memory, for chunks that need no ring: tests of sources, and of what reads chunks.
#[derive(Debug)]
pub struct HeapArena {
    /// Its bytes.
    pub words: Vec<u64>,
    /// Where the next reservation begins.
    pub head: u64,
}

impl HeapArena {
    /// Of so many bytes, all zero.
    pub fn new(bytes: usize) -> HeapArena {
        HeapArena { words: vec![0; bytes.div_ceil(8)], head: 0 }
    }
}

impl Arena for HeapArena {
    fn reserve(&mut self, len: usize) -> Option<u64> {
        let at = self.head;
        let end = at.checked_add(align(len) as u64)?;
        (end <= self.words.len() as u64 * 8).then(|| {
            self.head = end;
            at
        })
    }

    fn bytes_mut(&mut self, position: u64, len: usize) -> &mut [u8] {
        &mut bytemuck::cast_slice_mut(&mut self.words)[position as usize..][..len]
    }

    fn rewind(&mut self, position: u64) {
        self.head = position;
    }

    fn head(&self) -> u64 {
        self.head
    }
}
