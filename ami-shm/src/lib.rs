//! The ring of event bytes in shared memory between ventilator and workers.
//!
//! ```text
//! source → **[shm ring]** → worker → collector → store → client
//!                             ▲
//!                   ctl → manager
//! ```
//!
//! One file, one [`RingWriter`], any number of [`RingReader`]s in other processes. The ring carries
//! bytes: which bytes are an event, and who is to read them, is said elsewhere. What it does promise
//! is that a range stays untouched from [`RingWriter::publish`] until [`RingWriter::free_to`], and
//! that a reader can find out afterwards whether that was so ([`RingReader::still_owned`]).
//!
//! Positions are *virtual*: they only grow, and the place in the arena is the position modulo the
//! capacity. A record never straddles the end of the arena.
//!
//! Counters, tally and journal survive the death of the writer, so that its successor can answer for what
//! was in flight. Whether a writer lives is asked of a file lock, not of a process id, because ids
//! are reused.
//!
//! Beside it: [`Arena`], memory shared with a process that runs user code.
//!
//! ```
//! use ami_shm::{RingConfig, RingReader, RingWriter};
//!
//! # fn main() -> Result<(), ami_shm::RingError> {
//! let path = std::env::temp_dir().join(format!("ami-shm-doc-{}", std::process::id()));
//! let config = RingConfig { capacity: 1 << 16, lanes: 2, journal: 4096, ..RingConfig::default() };
//! let mut writer = RingWriter::create(&path, 7, &config)?;
//!
//! // The ventilator: reserve, fill, publish; open a lane and send the worker a descriptor.
//! let position = writer.reserve(5).expect("an empty ring has room");
//! writer.bytes_mut(position, 5).copy_from_slice(b"event");
//! writer.publish();
//! writer.open_lane(0, 1);
//!
//! // The worker, usually in another process.
//! let reader = RingReader::open(&path)?;
//! let lane = reader.lane(0, 1)?;
//! lane.set_cursor(42);
//! let sum: u32 = reader.bytes(position, 5)?.iter().map(|&b| u32::from(b)).sum();
//! assert!(reader.still_owned(position) && !lane.fenced(), "else the sum is worth nothing");
//! lane.clear_cursor();
//! lane.beat();
//! assert_eq!(sum, 546);
//!
//! // The ventilator again: the unit is acknowledged, its bytes are free.
//! assert_eq!(writer.lane(0).progress(), 1);
//! writer.free_to(writer.head());
//! assert!(reader.bytes(position, 5).is_err());
//! writer.remove()?;
//! # Ok(())
//! # }
//! ```

mod arena;
mod copy;
mod create;
mod error;
mod journal;
mod lane;
mod layout;
mod leftovers;
mod map;
mod reader;
mod region;
mod space;
mod writer;

pub use arena::{Arena, OutOfRange};
pub use copy::{copy, prefetch};
pub use error::RingError;
pub use lane::{Lane, LaneSlot, LaneState};
pub use layout::{ALIGN, COUNTERS, LAYOUT_VERSION, MAX_LANES, NO_UNIT, RingConfig};
pub use leftovers::{Leftover, leftovers};
pub use reader::RingReader;
pub use region::try_huge_page;
pub use writer::RingWriter;
