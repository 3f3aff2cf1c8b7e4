//! What the root must not forget: its life and the newest graph decision. Written whole, to a new
//! file that replaces the old one, before anybody is told.

use anyhow::Context;
use serde::{Deserialize, Serialize};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

/// The file's content.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// The root's life, increasing.
    pub life: u64,
    /// The newest decision: version, heartbeat (None: given up).
    pub decision: Option<(u64, Option<u64>)>,
}

/// Where it is kept.
#[derive(Debug)]
pub struct StateFile {
    path: PathBuf,
}

impl StateFile {
    /// In a directory.
    pub fn new(dir: &std::path::Path) -> StateFile {
        StateFile { path: dir.join("root.state") }
    }

    /// What was kept; the default when nothing was, or when it cannot be read (said in the log).
    pub fn load(&self) -> State {
        let text = match std::fs::read_to_string(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return State::default(),
            Err(error) => {
                tracing::warn!(path = %self.path.display(), %error, "root state not read: starting without");
                return State::default();
            }
        };
        serde_json::from_str(&text).unwrap_or_else(|error| {
            tracing::warn!(path = %self.path.display(), %error, "root state damaged: starting without");
            State::default()
        })
    }

    /// Keeps it, durably.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn save(&self, state: State) -> anyhow::Result<()> {
        let new = self.path.with_extension("state.new");
        let write = || -> anyhow::Result<()> {
            let mut file = std::fs::OpenOptions::new()
                .create(true)
                .truncate(true)
                .write(true)
                .mode(0o600)
                .open(&new)?;
            file.write_all(serde_json::to_string(&state)?.as_bytes())?;
            file.sync_all()?;
            std::fs::rename(&new, &self.path)?;
            Ok(())
        };
        write().with_context(|| format!("keeping the root's state in {}", self.path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_kept_and_damage_is_survived() {
        let dir = tempfile::tempdir().unwrap();
        let file = StateFile::new(dir.path());
        assert_eq!(file.load(), State::default());
        let state = State { life: 7, decision: Some((3, Some(12))) };
        file.save(state).unwrap();
        assert_eq!(file.load(), state);
        std::fs::write(dir.path().join("root.state"), b"{\"life\":").unwrap();
        assert_eq!(file.load(), State::default());
    }
}
