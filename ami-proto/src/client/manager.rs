//! The typed client of the manager.

use crate::client::error::ClientError;
use crate::client::request::{PATIENCE, Requester, document};
use crate::config::Config;
use crate::control::ctl_to_manager::Command;
use crate::socket::endpoint::Endpoint;
use serde_json::Value;
use std::time::Duration;

/// How long an edit waits to be in effect unless told otherwise; the manager's own default.
const EDIT: Duration = Duration::from_secs(30);

/// Asks the manager.
#[derive(Debug, Clone)]
pub struct Client {
    requester: Requester,
}

impl Client {
    /// For the manager of a system.
    pub fn new(config: &Config) -> Client {
        Client { requester: Requester::new(config, Endpoint::Manager, "manager") }
    }

    /// Sends a command and gives the document it answers. An edit waits as long as it says.
    ///
    /// # Errors
    /// When nobody answers, or the answer is a refusal.
    pub fn command(&self, command: &Command) -> Result<Value, ClientError> {
        let Some(edit) = patience(command) else { return self.ask(command, PATIENCE) };
        // Whether a manager is there at all is known after seconds, not after the edit's time.
        self.ask(&Command::List, PATIENCE)?;
        self.ask(command, edit + PATIENCE)
    }

    /// As [`command`](Self::command), within a given time.
    ///
    /// # Errors
    /// As there.
    pub fn ask(&self, command: &Command, timeout: Duration) -> Result<Value, ClientError> {
        let garbled = |reason: String| ClientError::Garbled { who: "manager", reason };
        let question = serde_json::to_vec(command).map_err(|e| garbled(e.to_string()))?;
        let frames = self.requester.ask(&question, timeout)?;
        let [answer] = &frames[..] else {
            return Err(garbled(format!("{} frames instead of one", frames.len())));
        };
        document("manager", answer)
    }
}

fn patience(command: &Command) -> Option<Duration> {
    let edit = match command {
        Command::Apply { edit, .. }
        | Command::Set { edit, .. }
        | Command::Remove { edit, .. }
        | Command::Rollback { edit, .. }
        | Command::Reset { edit, .. } => edit,
        _ => return None,
    };
    Some(if edit.timeout_s == 0 { EDIT } else { Duration::from_secs(edit.timeout_s) })
}
