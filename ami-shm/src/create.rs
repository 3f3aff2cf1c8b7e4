//! Making, locking and inspecting ring files.
//!
//! A ring is built under another name and renamed when complete, so nobody ever opens half a ring.
//! The writer keeps an exclusive `flock` on the file for life; the kernel drops it with the process.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FallocateFlags, FlockOperation, OFlags};
use rustix::io::Errno;

use crate::error::RingError;
use crate::layout::{Layout, PREAMBLE, Preamble, Unreadable};
use crate::region;

/// What the name of a ring under construction ends in.
pub(crate) const BUILDING: &str = ".new";
/// Someone may just be looking whether a ring's writer lives, which takes the lock for an instant.
const LOCK_TRIES: u32 = 20;

/// Builds a complete ring file at `path`, locked by this process.
pub(crate) fn create(
    path: &Path,
    epoch: u64,
    layout: Layout,
    huge_pages: bool,
) -> Result<File, RingError> {
    let mut building = path.as_os_str().to_owned();
    building.push(BUILDING);
    let building = PathBuf::from(building);
    let file = lock_building(path, &building)?;
    build(path, &file, epoch, layout, huge_pages)
        .and_then(|old| {
            std::fs::rename(&building, path).map_err(|e| RingError::io(path, "create", e))?;
            // Until here the lock on the old ring kept others from replacing it as well.
            drop(old);
            Ok(())
        })
        .inspect_err(|_| {
            // Best effort: a leftover that cannot be removed is taken over by the next creation.
            let _ = std::fs::remove_file(&building);
        })?;
    Ok(file)
}

fn lock_building(path: &Path, building: &Path) -> Result<File, RingError> {
    let error = |e| match RingError::io(path, "create", e) {
        // The file is being created: what is missing is its directory.
        RingError::Missing { path } => {
            let source = io::Error::new(io::ErrorKind::NotFound, "its directory does not exist");
            RingError::Io { path, action: "create", source }
        }
        other => other,
    };
    let file = open_options().create(true).truncate(false).open(building).map_err(error)?;
    // Checking the name after taking the lock: the file may have been renamed or removed between.
    if lock_patiently(&file).map_err(error)? && is_at(&file, building) {
        Ok(file)
    } else {
        Err(RingError::Busy { path: path.to_path_buf() })
    }
}

/// Gives the file its space and header; returns the dead ring it is to replace, locked.
fn build(
    path: &Path,
    file: &File,
    epoch: u64,
    layout: Layout,
    huge_pages: bool,
) -> Result<Option<File>, RingError> {
    let error = |e| RingError::io(path, "create", e);
    // What an interrupted creation may have left; nobody has it mapped.
    file.set_len(0).map_err(error)?;
    let mut old = lock_dead(path)?;
    let needed = layout.total as u64;
    if let (Some(dead), Some(free)) = (&old, free_space(file).map_err(error)?) {
        let gained = dead.metadata().map_err(error)?.blocks().saturating_mul(512);
        // No room for two, but for one: the old ring goes first. Workers that still have it mapped
        // keep it, and its memory; if it would not help in any case it keeps its journal.
        if free < needed && needed <= free.saturating_add(gained) {
            std::fs::remove_file(path).map_err(error)?;
            // The open file, too, would keep the memory.
            old = None;
        }
    }
    let no_space = |free| {
        let directory = path.parent().filter(|p| !p.as_os_str().is_empty());
        let path = directory.unwrap_or(Path::new(".")).to_path_buf();
        RingError::NoSpace { path, needed, free }
    };
    if let Some(free) = free_space(file).map_err(error)?.filter(|&free| free < needed) {
        return Err(no_space(free));
    }
    if huge_pages && file.set_len(needed).is_ok() {
        // Best effort: what is missing is made of usual pages.
        let _ = region::gather(file, layout.total);
    }
    match allocate(file, needed) {
        Ok(()) => {}
        Err(Errno::NOSPC | Errno::FBIG) => {
            // Somebody was faster; say what is left now.
            let _ = file.set_len(0);
            return Err(no_space(free_space(file).map_err(error)?.unwrap_or(0)));
        }
        Err(e) => return Err(error(e.into())),
    }
    let preamble = Preamble { layout, epoch, pid: std::process::id() };
    file.write_all_at(&preamble.encode(), 0).map_err(error)?;
    Ok(old)
}

fn allocate(file: &File, len: u64) -> rustix::io::Result<()> {
    loop {
        match rustix::fs::fallocate(file, FallocateFlags::empty(), 0, len) {
            Err(Errno::INTR) => {}
            result => return result,
        }
    }
}

/// Bytes left for us on the file's file system; none if it has no limit of its own.
fn free_space(file: &File) -> io::Result<Option<u64>> {
    let stat = rustix::fs::fstatvfs(file)?;
    // A tmpfs mounted without a size says 0 blocks of 0.
    Ok((stat.f_blocks > 0).then(|| stat.f_bavail.saturating_mul(stat.f_frsize)))
}

/// The dead ring at `path`, locked; none if nothing is there; an error if it is not ours to replace.
fn lock_dead(path: &Path) -> Result<Option<File>, RingError> {
    let error = |e| RingError::io(path, "replace", e);
    let file = match open(path) {
        Ok(file) => file,
        Err(RingError::Missing { .. }) => return Ok(None),
        Err(e) => return Err(e),
    };
    let pid = match preamble(&file).map_err(error)? {
        Ok(preamble) => preamble.pid,
        Err(Unreadable::Magic) => return Err(RingError::NotARing { path: path.to_path_buf() }),
        Err(Unreadable::Version(_) | Unreadable::Damaged(_)) => 0,
    };
    if lock_patiently(&file).map_err(error)? {
        return Ok(Some(file));
    }
    Err(RingError::InUse { path: path.to_path_buf(), pid })
}

/// False if a living process has the lock for longer than a look takes.
fn lock_patiently(file: &File) -> io::Result<bool> {
    for _ in 1..LOCK_TRIES {
        if try_lock(file, Lock::Exclusive)? {
            return Ok(true);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    try_lock(file, Lock::Exclusive)
}

/// Opens an existing ring file for reading and writing.
pub(crate) fn open(path: &Path) -> Result<File, RingError> {
    let file = open_options().open(path).map_err(|e| RingError::io(path, "open", e))?;
    let metadata = file.metadata().map_err(|e| RingError::io(path, "open", e))?;
    if metadata.is_file() {
        Ok(file)
    } else {
        Err(RingError::NotARing { path: path.to_path_buf() })
    }
}

fn open_options() -> OpenOptions {
    let mut options = OpenOptions::new();
    // /dev/shm is open to all: follow nobody's link, hang on nobody's pipe.
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    options.read(true).write(true).mode(0o600).custom_flags(flags.bits().cast_signed());
    options
}

/// What the file says about itself.
pub(crate) fn preamble(file: &File) -> io::Result<Result<Preamble, Unreadable>> {
    let mut bytes = [0; PREAMBLE];
    match file.read_exact_at(&mut bytes, 0) {
        Ok(()) => Ok(Preamble::decode(&bytes)),
        Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => Ok(Err(Unreadable::Magic)),
        Err(e) => Err(e),
    }
}

/// Reads and checks all that can be wrong with a ring before it is mapped.
pub(crate) fn inspect(path: &Path, file: &File) -> Result<Preamble, RingError> {
    let error = |e| RingError::io(path, "read", e);
    let path = path.to_path_buf();
    let preamble = match preamble(file).map_err(error)? {
        Ok(preamble) => preamble,
        Err(Unreadable::Magic) => return Err(RingError::NotARing { path }),
        Err(Unreadable::Version(found)) => {
            let expected = crate::layout::LAYOUT_VERSION;
            return Err(RingError::LayoutMismatch { path, found, expected });
        }
        Err(Unreadable::Damaged(reason)) => return Err(RingError::Damaged { path, reason }),
    };
    let metadata = file.metadata().map_err(error)?;
    let (found, expected) = (metadata.len(), preamble.layout.total as u64);
    if found < expected {
        return Err(RingError::Truncated { path, found, expected });
    }
    // A page that is missing raises SIGBUS when the file system is full at that moment.
    if metadata.blocks().saturating_mul(512) < expected {
        return Err(RingError::Damaged { path, reason: "the file has holes" });
    }
    Ok(preamble)
}

/// Shared is enough for asking whether a writer lives, and does not disturb others who ask.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lock {
    Exclusive,
    Shared,
}

/// False if a living process has it.
pub(crate) fn try_lock(file: &File, lock: Lock) -> io::Result<bool> {
    let operation = match lock {
        Lock::Exclusive => FlockOperation::NonBlockingLockExclusive,
        Lock::Shared => FlockOperation::NonBlockingLockShared,
    };
    match rustix::fs::flock(file, operation) {
        Ok(()) => Ok(true),
        Err(Errno::WOULDBLOCK) => Ok(false),
        Err(e) => Err(e.into()),
    }
}

/// Gives a lock back.
pub(crate) fn unlock(file: &File) -> io::Result<()> {
    Ok(rustix::fs::flock(file, FlockOperation::NonBlockingUnlock)?)
}

/// Whether the name still leads to this very file.
pub(crate) fn is_at(file: &File, path: &Path) -> bool {
    let identity = |m: std::fs::Metadata| (m.dev(), m.ino());
    match (file.metadata(), std::fs::symlink_metadata(path)) {
        (Ok(ours), Ok(there)) => identity(ours) == identity(there),
        _ => false,
    }
}
