//! Root → host collectors and ventilators: PUB of acknowledgements and graph decisions. Repeated,
//! since what is published before a subscriber has joined is lost.

use serde::{Deserialize, Serialize};

/// One message of the root.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum RootMessage {
    /// Flushes of this host below `flushes` are decided.
    Watermark {
        /// Name of the host.
        host: String,
        /// The ventilator's life.
        epoch: u64,
        /// The root's life, increasing.
        life: u64,
        /// Number after the newest flush decided without a gap below.
        flushes: u64,
    },
    /// The root lacks what these flushes need: send the context, its schema and graphs again.
    NeedContext {
        /// Name of the host.
        host: String,
        /// The ventilator's life.
        epoch: u64,
        /// The context's number.
        context: u32,
    },
    /// The version takes effect at this heartbeat on all hosts; `None`: it was given up.
    Decision {
        /// The version.
        version: u64,
        /// First heartbeat with it.
        heartbeat: Option<u64>,
        /// The root's life.
        life: u64,
    },
}
