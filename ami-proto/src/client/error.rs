//! Why a question to a daemon has no good answer.

use crate::control::ctl_to_manager::Refusal;
use crate::socket::SocketError;
use std::path::PathBuf;

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
    #[error("{}", crate::client::refusal::text(.0))]
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
