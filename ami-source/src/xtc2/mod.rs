//! XTC2: files of the LCLS-II data acquisition, read and written natively.
//!
//! ```text
//! paths ─► runs ─► streams (merged by timestamp) ─► chunks ─► datagrams ─► Names, ShapesData
//!                                                                              │
//!                        schema `det:alg:field`, events, transitions  ◄────────┘
//! ```
//!
//! [`Xtc2Source`] reads, [`writer::Xtc2Writer`] writes what it reads back to the same schema and
//! values. Nothing in a file can do harm: what does not parse is counted by name and skipped.

pub mod counts;
pub mod dgram;
pub mod dump;
mod event;
pub mod file;
pub(crate) mod held;
pub mod names;
pub mod paths;
pub(crate) mod reading;
pub(crate) mod schema;
mod source;
mod stream;
mod url;
pub mod writer;

pub(crate) use held::scalar;

pub use crate::url::Epoch;
pub use source::Xtc2Source;
pub use url::Xtc2Url;
pub use writer::Xtc2Writer;

/// Seconds between the Unix and the EPICS epoch (1990-01-01).
const EPICS_EPOCH: u64 = 631_152_000;
/// Detector under which a recording of ours carries its schema.
const INFO: &str = "amiinfo";
/// Detector and algorithm of fields whose names are not `det:alg:field`.
const PLAIN: (&str, &str) = ("ami", "plain");

/// How to read.
#[derive(Debug, Clone, Copy, Default)]
pub struct Xtc2Options {
    /// What the files' timestamps count from.
    pub epoch: Epoch,
}

impl Epoch {
    /// ami's timestamp for a datagram's.
    pub(crate) const fn stamp(self, header: &dgram::Header) -> u64 {
        let offset = match self {
            Epoch::Unix => 0,
            Epoch::Epics => EPICS_EPOCH,
            Epoch::Counter => return header.timestamp(),
        };
        (header.sec as u64 + offset) * 1_000_000_000 + header.nsec as u64
    }

    /// Seconds and nanoseconds of a timestamp; None when it lies outside what 32 bits hold.
    fn split(self, timestamp: u64) -> Option<(u32, u32)> {
        let offset = match self {
            Epoch::Unix => 0,
            Epoch::Epics => EPICS_EPOCH,
            Epoch::Counter => return Some(((timestamp >> 32) as u32, timestamp as u32)),
        };
        let sec = (timestamp / 1_000_000_000).checked_sub(offset)?;
        Some((u32::try_from(sec).ok()?, (timestamp % 1_000_000_000) as u32))
    }
}
