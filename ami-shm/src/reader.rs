//! The reading side: any number of processes, none of which can change an event.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};

use crate::create::{self, Lock};
use crate::error::RingError;
use crate::journal;
use crate::lane::{Lane, LaneSlot};
use crate::layout::{COUNTERS, Preamble};
use crate::map::{LaneTable, Mapping, load_acquire};
use crate::space::in_one_piece;

/// A ring as seen by a worker, or by the successor of its writer.
///
/// The ring's memory stays as long as this value, even when the file is removed or replaced.
#[derive(Debug)]
pub struct RingReader {
    path: PathBuf,
    file: File,
    preamble: Preamble,
    map: Arc<Mapping>,
    lanes: Arc<LaneTable>,
}

impl RingReader {
    /// Opens a ring, whether or not its writer lives.
    ///
    /// # Errors
    ///
    /// If it is missing, not ours, not a ring, of another layout, truncated or damaged.
    pub fn open(path: &Path) -> Result<RingReader, RingError> {
        let file = create::open(path)?;
        let preamble = create::inspect(path, &file)?;
        let error = |e| RingError::io(path, "map", e);
        let map = Arc::new(Mapping::read_only(&file, preamble.layout).map_err(error)?);
        let lanes = Arc::new(LaneTable::new(&file, &preamble.layout).map_err(error)?);
        Ok(RingReader { path: path.to_path_buf(), file, preamble, map, lanes })
    }

    /// Enters all pages into this process's page table, so that reading an event later never
    /// faults; best effort. In the background, as it takes some 0.2 s per GiB.
    pub fn prefault(&self) {
        let map = Arc::clone(&self.map);
        let enter = move || {
            let _ = map.populate_read();
        };
        let _ = std::thread::Builder::new().name("prefault".into()).spawn(enter);
    }

    /// Where the ring is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How another process finds the bytes that are lent from here: the path of the mapped file, which
    /// stays that of this ring when its name is given to another, and the addresses of the whole
    /// file in this process. An address in there, less the first, is an offset in the file.
    pub fn mapped(&self) -> (PathBuf, std::ops::Range<usize>) {
        let (pid, fd) = (std::process::id(), self.file.as_raw_fd());
        (PathBuf::from(format!("/proc/{pid}/fd/{fd}")), self.map.addresses())
    }

    /// The epoch it was created for.
    pub fn epoch(&self) -> u64 {
        self.preamble.epoch
    }

    /// The process that created it, dead or alive.
    pub fn writer_pid(&self) -> u32 {
        self.preamble.pid
    }

    /// Whether the writer lives. Not deduced from the process id, which may be reused.
    pub fn writer_lives(&self) -> bool {
        if !create::try_lock(&self.file, Lock::Shared).unwrap_or(false) {
            return true;
        }
        // Best effort: the lock goes with this value in any case.
        let _ = create::unlock(&self.file);
        false
    }

    /// Bytes of the arena.
    pub fn capacity(&self) -> usize {
        self.preamble.layout.capacity
    }

    /// How many lanes there are.
    pub fn lanes(&self) -> usize {
        self.preamble.layout.lanes
    }

    /// Where published bytes end.
    pub fn head(&self) -> u64 {
        // Pairs with the Release in RingWriter::publish.
        load_acquire(&self.map.header().head.0)
    }

    /// Where they begin.
    pub fn tail(&self) -> u64 {
        // Pairs with the Release fence in RingWriter::free_to.
        load_acquire(&self.map.header().tail.0)
    }

    /// Published bytes, without a copy.
    ///
    /// They are shared with another process, which may take them back at any time. So: treat them
    /// as bytes; never read one twice and expect the same; copy what is checked before it is used
    /// ([`RingReader::copy_out`]); and believe nothing computed from them until
    /// [`RingReader::still_owned`] and [`LaneSlot::fenced`] have been asked afterwards.
    ///
    /// # Errors
    ///
    /// [`RingError::Overwritten`] if they are already taken back, [`RingError::OutOfRange`] if they
    /// were never published in one piece.
    pub fn bytes(&self, position: u64, len: usize) -> Result<&[u8], RingError> {
        let head = self.head();
        if !in_one_piece(position, len, head, self.preamble.layout.capacity as u64) {
            let path = self.path.clone();
            return Err(RingError::OutOfRange { path, position, len, head });
        }
        // The tail last: it says something about the bytes as they are now.
        let tail = self.tail();
        if position < tail {
            return Err(RingError::Overwritten { path: self.path.clone(), position, tail });
        }
        Ok(self.map.arena(position, len))
    }

    /// Copies published bytes, and checks afterwards that they were still the reader's.
    ///
    /// # Errors
    ///
    /// As [`RingReader::bytes`]; the content of `to` is then of no meaning.
    pub fn copy_out(&self, position: u64, to: &mut [u8]) -> Result<(), RingError> {
        to.copy_from_slice(self.bytes(position, to.len())?);
        if self.still_owned(position) {
            return Ok(());
        }
        Err(RingError::Overwritten { path: self.path.clone(), position, tail: self.tail() })
    }

    /// Whether nothing read from `position` on up to now can have been overwritten.
    pub fn still_owned(&self, position: u64) -> bool {
        // Pairs with the Release fence in RingWriter::free_to: all reads of bytes before this line
        // happened before the tail is read here.
        fence(Ordering::Acquire);
        self.map.header().tail.0.load(Ordering::Relaxed) <= position
    }

    /// Claims a lane that the writer has opened for this generation.
    ///
    /// # Errors
    ///
    /// [`RingError::NoSuchLane`]; [`RingError::LaneNotOpen`] if it is fenced, opened for another
    /// generation, or another process was faster.
    pub fn lane(&self, index: usize, generation: u64) -> Result<LaneSlot, RingError> {
        let lanes = self.lanes();
        if index >= lanes {
            return Err(RingError::NoSuchLane { path: self.path.clone(), index, lanes });
        }
        LaneSlot::claim(&self.lanes, index, generation).ok_or_else(|| RingError::LaneNotOpen {
            path: self.path.clone(),
            index,
            generation,
        })
    }

    /// A lane as the writer sees it: who has it, and what it works on.
    ///
    /// # Panics
    ///
    /// If there is no such lane.
    pub fn look(&self, index: usize) -> Lane<'_> {
        Lane::new(self.lanes.slot(index))
    }

    /// The value of a counter.
    ///
    /// # Panics
    ///
    /// If there is no such counter, see [`crate::COUNTERS`].
    pub fn counter(&self, index: usize) -> u64 {
        assert!(index < COUNTERS, "counter {index} of {COUNTERS}");
        // Pairs with the Release in RingWriter::set_counter.
        load_acquire(&self.map.header().counters[index])
    }

    /// The journal; none if nothing was ever written.
    pub fn journal_read(&self) -> Option<Vec<u8>> {
        journal::read(self.map.journal())
    }

    /// The tally; none if nothing was ever written.
    pub fn tally_read(&self) -> Option<Vec<u8>> {
        journal::read(self.map.header().tally())
    }
}
