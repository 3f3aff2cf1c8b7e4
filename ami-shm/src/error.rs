//! What can go wrong with a ring: every message names the ring, the reason and the next step.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// Why a ring cannot be created, opened or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RingError {
    /// There is no such file.
    #[error("there is no ring {path}: is ami-ventilator running on this host?")]
    Missing {
        /// The ring.
        path: PathBuf,
    },
    /// The file system refuses.
    #[error(
        "no permission to {action} ring {path}: run ami-ventilator and ami-worker as the same \
         user, and let that user write to the directory"
    )]
    NoPermission {
        /// The ring.
        path: PathBuf,
        /// What was tried: create, open or remove.
        action: &'static str,
    },
    /// The file system is too small, or too full, for the ring.
    #[error(
        "{path} has {} free but the ring needs {}: enlarge {path} or set a smaller \
         ventilator.ring_bytes", Bytes(*free), Bytes(*needed)
    )]
    NoSpace {
        /// The directory.
        path: PathBuf,
        /// Bytes of the whole file.
        needed: u64,
        /// Bytes the file system has left.
        free: u64,
    },
    /// A living writer holds the ring.
    #[error(
        "ring {path} is in use by process {pid}: stop that ami-ventilator first, or give this \
         one another ring"
    )]
    InUse {
        /// The ring.
        path: PathBuf,
        /// The process that says it is the writer.
        pid: u32,
    },
    /// Another process is between starting and finishing [`crate::RingWriter::create`].
    #[error("another process is just creating ring {path}: only one ami-ventilator may use it")]
    Busy {
        /// The ring.
        path: PathBuf,
    },
    /// The file exists but is something else.
    #[error("{path} is not an ami ring: remove the file, or configure another ring path")]
    NotARing {
        /// The file.
        path: PathBuf,
    },
    /// Written by another version of this crate.
    #[error(
        "ring {path} has layout v{found} but this build reads v{expected}: restart \
         ami-ventilator on this host, with the same version"
    )]
    LayoutMismatch {
        /// The ring.
        path: PathBuf,
        /// Version in the file.
        found: u32,
        /// Version of this build.
        expected: u32,
    },
    /// The file is shorter than its header says; reading it could raise SIGBUS.
    #[error(
        "ring {path} is truncated ({found} of {expected} bytes): restart ami-ventilator on this \
         host"
    )]
    Truncated {
        /// The ring.
        path: PathBuf,
        /// Bytes there are.
        found: u64,
        /// Bytes there must be.
        expected: u64,
    },
    /// The header contradicts itself, or the file has holes.
    #[error("ring {path} is damaged ({reason}): restart ami-ventilator on this host")]
    Damaged {
        /// The ring.
        path: PathBuf,
        /// What is wrong.
        reason: &'static str,
    },
    /// The configuration cannot be laid out.
    #[error("cannot lay out a ring: {reason}")]
    BadConfig {
        /// What is wrong, with the setting to change.
        reason: String,
    },
    /// The writer has taken the bytes back.
    #[error(
        "bytes at {position} are no longer in ring {path} (it starts at {tail}): the unit was \
         acknowledged or given to another lane"
    )]
    Overwritten {
        /// The ring.
        path: PathBuf,
        /// The first byte asked for.
        position: u64,
        /// The oldest byte there is.
        tail: u64,
    },
    /// The range was never published, or is not one piece: a wrong descriptor.
    #[error(
        "{len} bytes at {position} are not a published range of ring {path} (it ends at {head}): \
         the descriptor is wrong or of another epoch"
    )]
    OutOfRange {
        /// The ring.
        path: PathBuf,
        /// The first byte asked for.
        position: u64,
        /// How many.
        len: usize,
        /// Where the published bytes end.
        head: u64,
    },
    /// The lane does not exist.
    #[error("ring {path} has {lanes} lanes, there is no lane {index}: the assignment is wrong")]
    NoSuchLane {
        /// The ring.
        path: PathBuf,
        /// The lane asked for.
        index: usize,
        /// How many there are.
        lanes: usize,
    },
    /// The lane is not waiting for this worker.
    #[error(
        "lane {index} of ring {path} is not open for generation {generation}: ask ami-ventilator \
         for a new lane"
    )]
    LaneNotOpen {
        /// The ring.
        path: PathBuf,
        /// The lane.
        index: usize,
        /// The generation the worker was told.
        generation: u64,
    },
    /// Anything else the operating system says.
    #[error("cannot {action} ring {path}")]
    Io {
        /// The ring.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// The reason.
        source: io::Error,
    },
}

impl RingError {
    /// Sorts an operating system error into the variant that has advice for it.
    pub(crate) fn io(path: &Path, action: &'static str, source: io::Error) -> RingError {
        let path = path.to_path_buf();
        match source.kind() {
            io::ErrorKind::NotFound => RingError::Missing { path },
            io::ErrorKind::PermissionDenied => RingError::NoPermission { path, action },
            _ => RingError::Io { path, action, source },
        }
    }
}

/// A number of bytes for people.
struct Bytes(u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MIB: u64 = 1 << 20;
        match self.0 {
            n if n >= 10 << 30 => write!(f, "{} GiB", n.div_ceil(1 << 30)),
            n if n >= MIB => write!(f, "{} MiB", n / MIB),
            n => write!(f, "{n} bytes"),
        }
    }
}
