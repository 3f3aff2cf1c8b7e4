//! Rings that are lying about: which belong to the living, which can go.

use std::path::{Path, PathBuf};

use crate::create::{self, BUILDING, Lock};
use crate::error::RingError;
use crate::layout::Unreadable;

/// A ring found in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leftover {
    /// The file.
    pub path: PathBuf,
    /// The process that created it; none if the header is of another layout or never was finished.
    pub writer_pid: Option<u32>,
    /// Its epoch; none as for `writer_pid`.
    pub epoch: Option<u64>,
    /// Whether its writer lives. Not deduced from the process id, which may be reused.
    pub alive: bool,
}

/// The rings in a directory whose names begin with `prefix`, ordered by name.
///
/// Files that are not rings, or that we may not open, are not ours and are left out.
///
/// # Errors
///
/// If the directory cannot be read.
pub fn leftovers(dir: &Path, prefix: &str) -> Result<Vec<Leftover>, RingError> {
    let error = |source| RingError::Io { path: dir.to_path_buf(), action: "look for a", source };
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(error)? {
        let entry = entry.map_err(error)?;
        if entry.file_name().to_string_lossy().starts_with(prefix) {
            found.extend(look(entry.path()));
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

fn look(path: PathBuf) -> Option<Leftover> {
    let file = create::open(&path).ok()?;
    let preamble = match create::preamble(&file).ok()? {
        Ok(preamble) => Some(preamble),
        Err(Unreadable::Version(_) | Unreadable::Damaged(_)) => None,
        // An interrupted creation has no header yet, only a name.
        Err(Unreadable::Magic) if path.to_string_lossy().ends_with(BUILDING) => None,
        Err(Unreadable::Magic) => return None,
    };
    // The lock is released as the file is closed.
    let alive = !create::try_lock(&file, Lock::Shared).ok()?;
    let (writer_pid, epoch) = preamble.map(|p| (p.pid, p.epoch)).unzip();
    Some(Leftover { path, writer_pid, epoch, alive })
}

impl Leftover {
    /// Removes the file, if its writer is (still) dead.
    ///
    /// # Errors
    ///
    /// [`RingError::InUse`] if a writer has it, or the file system refuses; a file that is already
    /// gone is no error.
    pub fn remove(&self) -> Result<(), RingError> {
        let file = match create::open(&self.path) {
            Ok(file) => file,
            Err(RingError::Missing { .. }) => return Ok(()),
            Err(e) => return Err(e),
        };
        let error = |e| RingError::io(&self.path, "remove", e);
        if !create::try_lock(&file, Lock::Exclusive).map_err(error)? {
            let pid = self.writer_pid.unwrap_or(0);
            return Err(RingError::InUse { path: self.path.clone(), pid });
        }
        // Under the lock nobody replaces this file, but the name may long lead to a new one.
        if create::is_at(&file, &self.path) {
            std::fs::remove_file(&self.path).map_err(error)?;
        }
        Ok(())
    }
}
