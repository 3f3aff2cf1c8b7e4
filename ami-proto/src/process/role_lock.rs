//! One process per role in a run directory.

use std::fs::File;
use std::path::{Path, PathBuf};

/// A lock on a role in a run directory, held for the process' life: ZeroMQ itself would silently
/// take an ipc path away from a living process.
#[derive(Debug)]
pub struct RoleLock {
    _file: File,
}

/// The role is taken, or the run directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Somebody holds it.
    #[error("another {role} is running in {dir}: stop it, or use another instance.run_dir")]
    Taken {
        /// The role.
        role: String,
        /// The run directory.
        dir: PathBuf,
    },
    /// The directory cannot be made or written.
    #[error("run directory {dir}: {source}: create it for this user, or set instance.run_dir")]
    Directory {
        /// The run directory.
        dir: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

impl RoleLock {
    /// Takes the role, creating the run directory (mode 0700) if it is not there.
    ///
    /// # Errors
    /// When the role is taken or the directory cannot be used.
    pub fn take(dir: &Path, role: &str) -> Result<RoleLock, LockError> {
        use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
        let failed = |source| LockError::Directory { dir: dir.into(), source };
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(failed)?;
        let file = std::fs::OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(dir.join(format!("{role}.lock")))
            .map_err(failed)?;
        match file.try_lock() {
            Ok(()) => Ok(RoleLock { _file: file }),
            Err(std::fs::TryLockError::WouldBlock) => {
                Err(LockError::Taken { role: role.into(), dir: dir.into() })
            }
            Err(std::fs::TryLockError::Error(source)) => Err(failed(source)),
        }
    }
}
