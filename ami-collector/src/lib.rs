//! The collector: merges what belongs together and says what is missing.
//!
//! ```text
//!     source → [shm ring] → worker → **collector (host) → collector (root)** → store → client
//!                                              ▲
//!                                    ctl → manager
//! ```
//!
//! As `host` it builds flushes from the partials of a host's workers and the ventilator's manifests,
//! and forwards each as one message until the root has decided. As `root` it builds heartbeats from
//! the flushes of all hosts, keeps the windows, and publishes. Both are a pure builder and a loop.

pub mod host;
pub mod root;

use ami_proto::config::{CollectorRole, Config};
use ami_proto::process::daemon::Daemon;

/// Runs until asked to stop.
///
/// # Errors
/// When sockets or state files cannot be used.
pub fn run(config: &Config, daemon: &mut Daemon) -> anyhow::Result<()> {
    match config.collector.role {
        CollectorRole::Host => host::run(config, daemon),
        CollectorRole::Root => root::run(config, daemon),
    }
}
