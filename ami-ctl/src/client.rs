//! The typed client of the manager.

use crate::request::{PATIENCE, Requester};
use ami_proto::config::Config;
use ami_proto::control::ctl_to_manager::{Command, Refusal};
use ami_proto::socket::SocketError;
use ami_proto::socket::endpoint::Endpoint;
use serde_json::Value;
use std::path::PathBuf;
use std::time::Duration;

/// How long an edit waits to be in effect unless told otherwise; the manager's own default.
const EDIT: Duration = Duration::from_secs(30);

/// Why a question has no good answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No system can be there.
    #[error(
        "no run directory {dir}: start a system with `ami-ctl local …` or `systemctl start ami.target`, or name its run directory with --run-dir"
    )]
    NoRunDir {
        /// The directory.
        dir: PathBuf,
    },
    /// Nobody answered.
    #[error(
        "no answer from the {who} at {address} within {seconds} s: is ami-{who} running? start it with `ami-ctl local …` or `systemctl start ami.target`, or name its run directory with --run-dir{keys}"
    )]
    NoAnswer {
        /// Who was asked.
        who: &'static str,
        /// Where.
        address: String,
        /// For how long.
        seconds: f64,
        /// What else it may be where keys are asked for.
        keys: &'static str,
    },
    /// It said no.
    #[error("{}", crate::failure::text(.0))]
    Refused(Refusal),
    /// The answer cannot be read.
    #[error(
        "the {who} answered what cannot be read ({reason}): do both come from the same release?"
    )]
    Garbled {
        /// Who was asked.
        who: &'static str,
        /// What is wrong with the answer.
        reason: String,
    },
    /// No socket.
    #[error(transparent)]
    Socket(#[from] SocketError),
    /// ZeroMQ itself.
    #[error("ZeroMQ: {0}: is the limit of open files reached? see `ami-ctl doctor`")]
    Zmq(#[from] zmq::Error),
}

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

/// An answer's JSON, or the refusal that it is.
///
/// # Errors
/// When it is a refusal or no JSON.
pub fn document(who: &'static str, bytes: &[u8]) -> Result<Value, ClientError> {
    let garbled = |reason: String| ClientError::Garbled { who, reason };
    let value: Value = serde_json::from_slice(bytes).map_err(|e| garbled(e.to_string()))?;
    // A feature's header may carry an error of its own: a refusal has no topic.
    if value.get("error").is_some() && value.get("topic").is_none() {
        let refusal = serde_json::from_value(value).map_err(|e| garbled(e.to_string()))?;
        return Err(ClientError::Refused(refusal));
    }
    Ok(value)
}
