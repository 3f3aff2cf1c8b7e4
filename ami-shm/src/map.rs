//! The mapping of the file, and the only places where its bytes become references.
//!
//! Shared words are atomics. The arena is handed out as plain slices, see [`Mapping::arena`].

use std::fs::File;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering, fence};

use memmap2::{MmapOptions, MmapRaw};

use crate::layout::{Header, Layout, Slot};
use crate::region::Region;

/// The whole file: writable for the writer, read-only for a reader.
#[derive(Debug)]
pub(crate) struct Mapping {
    raw: Region,
    layout: Layout,
}

/// The lanes table alone, writable: the only bytes of a ring that a worker writes.
#[derive(Debug)]
pub(crate) struct LaneTable {
    raw: MmapRaw,
    lanes: usize,
}

impl Mapping {
    /// The file must be at least `layout.total` bytes long.
    pub(crate) fn writable(file: &File, layout: Layout) -> io::Result<Mapping> {
        let raw = Region::map(file, layout.total, true)?;
        Ok(Mapping { raw, layout })
    }

    /// The file must be at least `layout.total` bytes long.
    pub(crate) fn read_only(file: &File, layout: Layout) -> io::Result<Mapping> {
        let raw = Region::map(file, layout.total, false)?;
        Ok(Mapping { raw, layout })
    }

    pub(crate) fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Addresses of the file's bytes in this process.
    pub(crate) fn addresses(&self) -> std::ops::Range<usize> {
        let start = self.raw.as_ptr() as usize;
        start..start + self.layout.total
    }

    /// Enters all pages, for the writer.
    pub(crate) fn populate_write(&self) -> io::Result<()> {
        self.raw.populate_write()
    }

    /// Enters all pages, piece by piece: meanwhile the kernel lets no other thread of the process
    /// map memory, so a piece is one of some milliseconds.
    pub(crate) fn populate_read(&self) -> io::Result<()> {
        const PIECE: usize = 16 << 20;
        for at in (0..self.layout.total).step_by(PIECE) {
            let len = PIECE.min(self.layout.total - at);
            self.raw.populate_read(at, len)?;
        }
        Ok(())
    }

    pub(crate) fn header(&self) -> &Header {
        // SAFETY: the mapping is longer than a page, starts on one, and lives as long as `self`.
        // All of `Header` that is ever read or written through this reference is atomic.
        unsafe { &*self.raw.as_ptr().cast::<Header>() }
    }

    /// A lane; writable mappings only, as the caller stores to it.
    pub(crate) fn slot(&self, index: usize) -> &Slot {
        assert!(index < self.layout.lanes, "lane {index} of {}", self.layout.lanes);
        // SAFETY: the index is inside the table, which lies inside the mapping, starts on a page
        // (so each slot is aligned) and lives as long as `self`; a slot consists of atomics.
        unsafe { &*self.raw.as_ptr().add(Layout::LANES_AT).cast::<Slot>().add(index) }
    }

    /// The two halves of the journal as words.
    pub(crate) fn journal(&self) -> [&[AtomicU64]; 2] {
        let half = self.layout.journal_half();
        [0, 1].map(|i| {
            // SAFETY: both halves lie inside the mapping (`Layout::new`), start at a multiple of
            // 64, are a multiple of 64 long, and live as long as `self`; the words are atomics.
            unsafe {
                let start = self.raw.as_ptr().add(self.layout.journal_at + i * half);
                std::slice::from_raw_parts(start.cast::<AtomicU64>(), half / 8)
            }
        })
    }

    /// Bytes of the arena.
    ///
    /// Where the caller is a reader, the writer of the ring can overwrite them meanwhile: that is
    /// the reader's contract, see [`crate::RingReader::bytes`].
    pub(crate) fn arena(&self, position: u64, len: usize) -> &[u8] {
        let at = self.place(position, len);
        // SAFETY: `place` has checked that the range lies in the arena, thus in the mapping, which
        // lives as long as `self`; bytes have no invalid values. In the writing process nobody
        // holds a `&mut` to them, as `arena_mut` takes `&mut self`. Another process may write to
        // them only after the tail has passed them. Rust cannot see that process; all that its
        // writes can do to a reader is that a byte read twice differs, and readers are told to
        // rely on nothing read from here until they have checked that they still own it.
        unsafe { std::slice::from_raw_parts(self.raw.as_ptr().add(at), len) }
    }

    /// Bytes of the arena, for the writer; writable mappings only.
    pub(crate) fn arena_mut(&mut self, position: u64, len: usize) -> &mut [u8] {
        let at = self.place(position, len);
        // SAFETY: as in `arena`; and exclusive, because there is one writer per file (it holds the
        // lock) and it lends these bytes under `&mut self`. Readers do not look at a range that is
        // not published, and know by the tail when one has been taken from them.
        unsafe { std::slice::from_raw_parts_mut(self.raw.as_mut_ptr().add(at), len) }
    }

    /// Offset in the file of a range that must not straddle the arena's end.
    fn place(&self, position: u64, len: usize) -> usize {
        let offset = (position % self.layout.capacity as u64) as usize;
        let end = offset.checked_add(len);
        assert!(
            end.is_some_and(|end| end <= self.layout.capacity),
            "{len} bytes at {position} straddle the end of the arena"
        );
        self.layout.arena_at + offset
    }
}

impl LaneTable {
    /// The file must be at least `layout.total` bytes long.
    pub(crate) fn new(file: &File, layout: &Layout) -> io::Result<LaneTable> {
        let mut options = MmapOptions::new();
        let raw = options.offset(Layout::LANES_AT as u64).len(layout.lanes_len()).map_raw(file)?;
        Ok(LaneTable { raw, lanes: layout.lanes })
    }

    pub(crate) fn slot(&self, index: usize) -> &Slot {
        assert!(index < self.lanes, "lane {index} of {}", self.lanes);
        // SAFETY: the index is inside the table, all of which is mapped, from a page boundary of
        // the file on (so each slot is aligned), for as long as `self`; a slot is all atomics.
        unsafe { &*self.raw.as_ptr().cast::<Slot>().add(index) }
    }
}

/// An Acquire load that is allowed on a read-only mapping.
///
/// On read-only memory Rust promises only Relaxed loads; the fence makes it an Acquire.
pub(crate) fn load_acquire(word: &AtomicU64) -> u64 {
    let value = word.load(Ordering::Relaxed);
    // Pairs with the Release of whoever stored `value`; the callers name it.
    fence(Ordering::Acquire);
    value
}
