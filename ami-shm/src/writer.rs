//! The writing side: one per ring, held by the ventilator.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{Ordering, fence};

use crate::create;
use crate::error::RingError;
use crate::journal;
use crate::lane::{self, Lane};
use crate::layout::{COUNTERS, Layout, RingConfig};
use crate::map::Mapping;
use crate::space::Space;

/// A ring smaller than this may live in the last cache, where non-temporal stores do harm.
const STREAM_RING: usize = 64 << 20;

/// The one writer of a ring.
///
/// Dropping it leaves the file, counters, tally and journal where they are, as a crash would;
/// [`RingWriter::remove`] takes the file away.
#[derive(Debug)]
pub struct RingWriter {
    path: PathBuf,
    epoch: u64,
    /// Also holds the lock that says that the writer lives.
    file: File,
    map: Mapping,
    /// The truth about positions; the header holds copies of it, and nobody's bytes are trusted.
    space: Space,
    journal_sequence: u64,
    tally_sequence: u64,
}

impl RingWriter {
    /// Creates the ring, with all its memory really allocated.
    ///
    /// A ring at `path` whose writer is dead is replaced: read its journal and counters (see
    /// [`RingReader::open`](crate::RingReader::open)) before, for where there is no room for two
    /// it is removed first. Workers that have it mapped keep what they see, and its memory.
    ///
    /// # Errors
    ///
    /// [`RingError::InUse`] if a living writer has it, [`RingError::NoSpace`],
    /// [`RingError::NoPermission`], [`RingError::NotARing`] if another file is in the way.
    pub fn create(path: &Path, epoch: u64, config: &RingConfig) -> Result<RingWriter, RingError> {
        let layout = Layout::for_config(config)?;
        let file = create::create(path, epoch, layout, config.huge_pages)?;
        let map = Mapping::writable(&file, layout).map_err(|e| {
            // Best effort: a ring nobody can use should not keep its memory.
            let _ = std::fs::remove_file(path);
            RingError::io(path, "map", e)
        })?;
        let writer = RingWriter {
            path: path.to_path_buf(),
            epoch,
            file,
            map,
            space: Space::new(layout.capacity),
            journal_sequence: 0,
            tally_sequence: 0,
        };
        if config.populate {
            writer.prefault();
        }
        Ok(writer)
    }

    /// Enters all pages into this process's page table; best effort, without effect before Linux
    /// 5.14. The memory itself is allocated in any case.
    pub fn prefault(&self) {
        let _ = self.map.populate_write();
    }

    /// Where the ring is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The epoch it was created for.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Bytes of the arena.
    pub fn capacity(&self) -> usize {
        self.map.layout().capacity
    }

    /// How many lanes there are.
    pub fn lanes(&self) -> usize {
        self.map.layout().lanes
    }

    /// Where published bytes end.
    pub fn head(&self) -> u64 {
        self.space.head()
    }

    /// Where they begin.
    pub fn tail(&self) -> u64 {
        self.space.tail()
    }

    /// Where reserved bytes end, and the range of the next reservation begins.
    ///
    /// Taken before and after some reservations it delimits what they use, gaps included: pass the
    /// first to [`RingWriter::rewind`], the second to [`RingWriter::free_to`].
    pub fn next_position(&self) -> u64 {
        self.space.next()
    }

    /// Bytes that are neither reserved nor published; not necessarily in one piece.
    pub fn free(&self) -> usize {
        self.space.free()
    }

    /// Whether a record of this length could ever be reserved.
    pub fn fits(&self, len: usize) -> bool {
        self.space.fits(len)
    }

    /// Reserves bytes in one piece, and returns their position, a multiple of [`crate::ALIGN`].
    ///
    /// None if that needs bytes that are not yet free. Skips the end of the arena if it is too
    /// short; the gap belongs to this reservation, see [`RingWriter::next_position`].
    pub fn reserve(&mut self, len: usize) -> Option<u64> {
        self.space.reserve(len)
    }

    /// Bytes that are reserved and not yet published.
    ///
    /// # Panics
    ///
    /// If the range is not reserved, is already published, or straddles the end of the arena:
    /// positions are the writer's own affair.
    pub fn bytes_mut(&mut self, position: u64, len: usize) -> &mut [u8] {
        assert!(self.space.is_reserved(position, len), "{len} bytes at {position}: not reserved");
        self.map.arena_mut(position, len)
    }

    /// Copies into reserved bytes, in the way that is fastest for a ring of this size.
    ///
    /// # Panics
    ///
    /// As [`RingWriter::bytes_mut`].
    pub fn write(&mut self, position: u64, src: &[u8]) {
        let large = self.capacity() >= STREAM_RING;
        let dst = self.bytes_mut(position, src.len());
        if large {
            crate::copy::copy(dst, src);
        } else {
            dst.copy_from_slice(src);
        }
    }

    /// Published bytes, for instance of a unit to be saved; none if they are no longer there.
    pub fn bytes(&self, position: u64, len: usize) -> Option<&[u8]> {
        let there = self.space.is_published(position, len);
        there.then(|| self.map.arena(position, len))
    }

    /// Gives back the newest reservations, from `position` (rounded up to [`crate::ALIGN`]) on.
    ///
    /// # Panics
    ///
    /// If the position is already published, or was never reserved.
    pub fn rewind(&mut self, position: u64) {
        assert!(self.space.rewind(position), "{position}: not reserved");
    }

    /// Shows everything reserved so far to the readers.
    pub fn publish(&mut self) {
        self.space.publish();
        // Pairs with the Acquire in RingReader::bytes: who sees the head sees the bytes.
        self.map.header().head.0.store(self.space.head(), Ordering::Release);
    }

    /// Takes back all bytes before `position`; a position already passed changes nothing.
    ///
    /// # Panics
    ///
    /// If the position is not yet published.
    pub fn free_to(&mut self, position: u64) {
        assert!(self.space.free_to(position), "{position}: not published");
        self.map.header().tail.0.store(self.space.tail(), Ordering::Relaxed);
        // Pairs with the Acquire fence in RingReader::still_owned: who has read a byte that is
        // written after this sees the new tail.
        fence(Ordering::Release);
    }

    /// The value of a counter.
    ///
    /// # Panics
    ///
    /// If there is no such counter, see [`crate::COUNTERS`].
    pub fn counter(&self, index: usize) -> u64 {
        assert!(index < COUNTERS, "counter {index} of {COUNTERS}");
        self.map.header().counters[index].load(Ordering::Relaxed)
    }

    /// Sets a counter, which is visible to readers and survives the writer.
    ///
    /// # Panics
    ///
    /// If there is no such counter, see [`crate::COUNTERS`].
    pub fn set_counter(&mut self, index: usize, value: u64) {
        assert!(index < COUNTERS, "counter {index} of {COUNTERS}");
        // Pairs with the Acquire in RingReader::counter: counters written in order are seen so.
        self.map.header().counters[index].store(value, Ordering::Release);
    }

    /// Replaces the journal as a whole, atomically even against the death of this process.
    ///
    /// False if it is longer than the configured size; the old content then stays.
    pub fn journal_write(&mut self, bytes: &[u8]) -> bool {
        let written = journal::write(self.map.journal(), self.journal_sequence + 1, bytes);
        self.journal_sequence += u64::from(written);
        written
    }

    /// Replaces the tally as a whole, as [`RingWriter::journal_write`] does the journal: a few
    /// hundred bytes, cheap enough to be written whenever anything was taken.
    ///
    /// False if it is too long; the old content then stays.
    pub fn tally_write(&mut self, bytes: &[u8]) -> bool {
        let halves = self.map.header().tally();
        let written = journal::write(halves, self.tally_sequence + 1, bytes);
        self.tally_sequence += u64::from(written);
        written
    }

    /// The journal as a successor would find it.
    pub fn journal(&self) -> Option<Vec<u8>> {
        journal::read(self.map.journal())
    }

    /// The tally as a successor would find it.
    pub fn tally(&self) -> Option<Vec<u8>> {
        journal::read(self.map.header().tally())
    }

    /// The longest journal, in bytes.
    pub fn journal_capacity(&self) -> usize {
        self.map.layout().journal
    }

    /// A lane.
    ///
    /// # Panics
    ///
    /// If there is no such lane.
    pub fn lane(&self, index: usize) -> Lane<'_> {
        Lane::new(self.map.slot(index))
    }

    /// Opens a lane for a worker that is told this generation.
    ///
    /// # Panics
    ///
    /// If there is no such lane, or the generation is not larger than all before on this lane.
    pub fn open_lane(&mut self, index: usize, generation: u64) {
        lane::open(self.map.slot(index), generation);
    }

    /// Takes a lane from its worker, which finds out by [`crate::LaneSlot::fenced`]. Cursor and
    /// progress remain readable until the lane is opened again.
    ///
    /// # Panics
    ///
    /// If there is no such lane.
    pub fn fence(&mut self, index: usize) {
        lane::fence(self.map.slot(index));
    }

    /// Removes the file. Workers that have it mapped keep what they see.
    ///
    /// # Errors
    ///
    /// If the file system refuses; a file that is already gone is no error.
    pub fn remove(self) -> Result<(), RingError> {
        if !create::is_at(&self.file, &self.path) {
            return Ok(());
        }
        std::fs::remove_file(&self.path).map_err(|e| RingError::io(&self.path, "remove", e))
    }
}
