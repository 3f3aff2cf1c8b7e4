//! Why a benchmark has no result.

use ami_proto::config::ConfigError;
use ami_proto::socket::SocketError;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// See the module's documentation.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // the messages say it
pub enum BenchError {
    #[error("{}: {source}: is there room, and may you write there?", path.display())]
    Directory { path: PathBuf, source: std::io::Error },
    #[error("the system cannot be started: {0}")]
    Start(std::io::Error),
    #[error("the system cannot be started by `{}`: {source}: it comes with util-linux", launcher.join(" "))]
    Launcher { launcher: &'static [&'static str], source: std::io::Error },
    #[error("the system did not start: {0}: see `ami-ctl doctor`")]
    Refused(String),
    #[error("no thread for a client: {0}: see `ulimit -u`")]
    Thread(std::io::Error),
    #[error("the clients' thread died, which is a mistake of the benchmark: please report it")]
    Clients,
    #[error("the Python client ended without saying what it saw: its own words are above")]
    Python,
    #[error(
        "{events} events were made, but counted were {counts:?}: an event was lost or counted twice; please report this"
    )]
    Counts { events: u64, counts: BTreeMap<&'static str, u64> },
    #[error(
        "no end of {events} events within two minutes; counted were {counts:?}: try a quieter machine"
    )]
    Slow { events: u64, counts: BTreeMap<&'static str, u64> },
    #[error("{0}; the logs end with{1}")]
    Logged(Box<BenchError>, String),
    #[error(transparent)]
    Socket(#[from] SocketError),
    #[error("ZeroMQ: {0}")]
    Zmq(#[from] zmq::Error),
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("the ring of {bytes} bytes in {}: {reason}: is there room in shared memory?", dir.display())]
    Ring { dir: PathBuf, bytes: u64, reason: String },
}

impl BenchError {
    pub(super) fn directory(path: &Path, source: std::io::Error) -> BenchError {
        BenchError::Directory { path: path.into(), source }
    }

    pub(super) fn start(error: std::io::Error) -> BenchError {
        BenchError::Start(error)
    }

    pub(super) fn started(launcher: &'static [&'static str], source: std::io::Error) -> BenchError {
        match launcher {
            [] => BenchError::Start(source),
            launcher => BenchError::Launcher { launcher, source },
        }
    }

    pub(super) fn thread(error: std::io::Error) -> BenchError {
        BenchError::Thread(error)
    }

    pub(super) fn with_logs(self, logs: String) -> BenchError {
        BenchError::Logged(Box::new(self), logs)
    }
}
