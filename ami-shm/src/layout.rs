//! Where everything lies in the file, computed and checked without touching a file.
//!
//! ```text
//! header page │ lanes, 128 bytes each │ journal, two halves │ arena
//! ```
//!
//! Each part starts on a page, so that a reader can map the lanes writable and the rest read-only.

use std::sync::atomic::AtomicU64;

use crate::error::RingError;

/// Version of the file layout; a reader refuses any other.
pub const LAYOUT_VERSION: u32 = 1;
/// Every record starts at a multiple of this: a cache line, and enough for any vector load.
pub const ALIGN: usize = 64;
/// How many counters a ring has.
pub const COUNTERS: usize = 64;
/// Words of the tally's two halves together.
pub(crate) const TALLY: usize = 128;
/// The most lanes a ring can have.
pub const MAX_LANES: usize = 4096;
/// The cursor of a lane that works on nothing.
pub const NO_UNIT: u64 = u64::MAX;

pub(crate) const PAGE: usize = 4096;
/// Bytes of the part of the header that never changes.
pub(crate) const PREAMBLE: usize = 64;
const MAGIC: u64 = u64::from_le_bytes(*b"ami-ring");
const SLOT: usize = size_of::<Slot>();
const _: () = assert!(size_of::<Header>() == PAGE && SLOT == 128);

/// What a ring is to be like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RingConfig {
    /// Bytes of the arena; rounded up to whole pages.
    pub capacity: usize,
    /// How many lanes.
    pub lanes: usize,
    /// The longest journal, in bytes (it takes twice that, being replaced atomically).
    pub journal: usize,
    /// Ask for huge pages; where the kernel has none, or before Linux 6.1, pages are of the usual size.
    pub huge_pages: bool,
    /// Enter all pages into the page table now instead of one fault at a time later.
    pub populate: bool,
}

impl Default for RingConfig {
    /// 64 MiB, 16 lanes and a journal of 1 MiB.
    fn default() -> RingConfig {
        RingConfig {
            capacity: 64 << 20,
            lanes: 16,
            journal: 1 << 20,
            huge_pages: false,
            populate: false,
        }
    }
}

/// The first page. The preamble is read and written through the file, never through the mapping.
#[repr(C, align(4096))]
pub(crate) struct Header {
    preamble: [u8; PREAMBLE],
    pub head: Line,
    pub tail: Line,
    pub counters: [AtomicU64; COUNTERS],
    pub tally: [AtomicU64; TALLY],
}

impl Header {
    /// The two halves of the tally, to be written and read as a journal is.
    pub(crate) fn tally(&self) -> [&[AtomicU64]; 2] {
        let (first, second) = self.tally.split_at(TALLY / 2);
        [first, second]
    }
}

/// An atomic with a cache line pair of its own: head and tail are read by every worker.
#[repr(C, align(128))]
pub(crate) struct Line(pub AtomicU64);

/// One lane. Worker and ventilator both write here, each its own words.
#[repr(C, align(128))]
pub(crate) struct Slot {
    /// Generation, process id and state in one word, so that no one sees them torn.
    pub word: AtomicU64,
    /// By generation modulo four: what a fenced worker still writes when it wakes late does not
    /// land in the words of its successor.
    pub banks: [Bank; 4],
    spare: [AtomicU64; 3],
}

/// What the worker of one generation says.
#[repr(C)]
pub(crate) struct Bank {
    pub cursor: AtomicU64,
    pub progress: AtomicU64,
    pub waiting: AtomicU64,
}

/// Sizes and offsets of one ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    pub capacity: usize,
    pub lanes: usize,
    /// The longest journal; each half has [`crate::journal::HEADER`] bytes more.
    pub journal: usize,
    pub journal_at: usize,
    pub arena_at: usize,
    pub total: usize,
}

/// The part of the header that never changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Preamble {
    pub layout: Layout,
    pub epoch: u64,
    pub pid: u32,
}

/// Why 64 bytes are not the preamble of a ring this build can read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unreadable {
    Magic,
    Version(u32),
    Damaged(&'static str),
}

impl Layout {
    pub(crate) const LANES_AT: usize = PAGE;

    pub(crate) fn new(capacity: usize, lanes: usize, journal: usize) -> Option<Layout> {
        if capacity == 0 || lanes == 0 || lanes > MAX_LANES {
            return None;
        }
        let capacity = capacity.checked_next_multiple_of(PAGE)?;
        let journal = journal.checked_next_multiple_of(ALIGN)?;
        let journal_at = Layout::LANES_AT + (lanes * SLOT).next_multiple_of(PAGE);
        let halves = journal.checked_add(crate::journal::HEADER)?.checked_mul(2)?;
        let arena_at = journal_at.checked_add(halves)?.checked_next_multiple_of(PAGE)?;
        let total = arena_at.checked_add(capacity)?;
        // File offsets and slices are signed.
        isize::try_from(total).ok()?;
        Some(Layout { capacity, lanes, journal, journal_at, arena_at, total })
    }

    pub(crate) fn for_config(config: &RingConfig) -> Result<Layout, RingError> {
        Layout::new(config.capacity, config.lanes, config.journal).ok_or_else(|| {
            let RingConfig { capacity, lanes, journal, .. } = config;
            let reason = format!(
                "{capacity} bytes with {lanes} lanes and a journal of {journal} bytes; \
                 ventilator.ring_bytes must be positive and below 2^62, lanes 1 to {MAX_LANES}"
            );
            RingError::BadConfig { reason }
        })
    }

    /// Bytes of the lanes table, whole pages.
    pub(crate) fn lanes_len(&self) -> usize {
        self.journal_at - Layout::LANES_AT
    }

    /// Bytes of one journal half.
    pub(crate) fn journal_half(&self) -> usize {
        self.journal + crate::journal::HEADER
    }
}

impl Preamble {
    pub(crate) fn encode(&self) -> [u8; PREAMBLE] {
        let mut words = [
            MAGIC,
            u64::from(LAYOUT_VERSION) | u64::from(self.pid) << 32,
            self.epoch,
            self.layout.capacity as u64,
            self.layout.lanes as u64,
            self.layout.journal as u64,
            self.layout.total as u64,
            0,
        ];
        words[7] = checksum(words[..7].iter().copied());
        let mut bytes = [0; PREAMBLE];
        for (to, word) in bytes.chunks_exact_mut(8).zip(words) {
            to.copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }

    pub(crate) fn decode(bytes: &[u8; PREAMBLE]) -> Result<Preamble, Unreadable> {
        let mut words = [0_u64; 8];
        for (word, from) in words.iter_mut().zip(bytes.as_chunks::<8>().0) {
            *word = u64::from_le_bytes(*from);
        }
        if words[0] != MAGIC {
            return Err(Unreadable::Magic);
        }
        // The version comes before the checksum: another layout may well compute another one.
        let version = words[1] as u32;
        if version != LAYOUT_VERSION {
            return Err(Unreadable::Version(version));
        }
        if words[7] != checksum(words[..7].iter().copied()) {
            return Err(Unreadable::Damaged("the checksum of the header is wrong"));
        }
        let size = |word: u64| usize::try_from(word).ok();
        let layout = match (size(words[3]), size(words[4]), size(words[5])) {
            (Some(capacity), Some(lanes), Some(journal)) => Layout::new(capacity, lanes, journal),
            _ => None,
        };
        let layout = layout.filter(|l| {
            // As Layout::new rounds up, equality also says that the sizes are whole pages.
            [l.capacity, l.journal, l.total].map(|n| n as u64) == [words[3], words[5], words[6]]
        });
        let layout = layout.ok_or(Unreadable::Damaged("the sizes in the header are impossible"))?;
        Ok(Preamble { layout, epoch: words[2], pid: (words[1] >> 32) as u32 })
    }
}

/// FNV-1a over words: finds torn writes and garbage; nobody here defends against forgers.
pub(crate) fn checksum(words: impl Iterator<Item = u64>) -> u64 {
    words.fold(0xcbf2_9ce4_8422_2325, |hash, word| {
        // The rotation lets the high bits of a word reach the low bits of the hash.
        ((hash ^ word).wrapping_mul(0x0100_0000_01b3)).rotate_left(29)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_preamble_survives_the_round_trip() {
        let layout = Layout::new(10_000, 3, 1000).unwrap();
        assert_eq!((layout.capacity, layout.journal), (12_288, 1024));
        let preamble = Preamble { layout, epoch: u64::MAX - 1, pid: 4_194_303 };
        assert_eq!(Preamble::decode(&preamble.encode()), Ok(preamble));
    }

    proptest! {
        #[test]
        fn any_flipped_bit_is_found(capacity in 1_usize..1 << 40, lanes in 1..MAX_LANES,
                                    journal in 0_usize..1 << 20, bit in 0..PREAMBLE * 8) {
            let layout = Layout::new(capacity, lanes, journal).unwrap();
            let mut bytes = Preamble { layout, epoch: 9, pid: 1 }.encode();
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(Preamble::decode(&bytes).is_err());
        }

        #[test]
        fn no_sizes_are_laid_out_beyond_the_file(capacity: usize, lanes: usize, journal: usize) {
            if let Some(l) = Layout::new(capacity, lanes, journal) {
                prop_assert!(l.capacity >= capacity && l.journal >= journal && l.lanes == lanes);
                prop_assert!(Layout::LANES_AT + lanes * SLOT <= l.journal_at);
                prop_assert!(l.journal_at + 2 * l.journal_half() <= l.arena_at);
                prop_assert_eq!(l.arena_at + l.capacity, l.total);
                prop_assert!(l.arena_at % PAGE == 0 && l.capacity % PAGE == 0);
            }
        }
    }
}
