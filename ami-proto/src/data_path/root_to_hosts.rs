//! Root → host collectors and ventilators: PUB of acknowledgements and graph decisions. Repeated,
//! since what is published before a subscriber has joined is lost.

use serde::{Deserialize, Serialize};

/// One message of the root.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum RootMessage {
    /// Flushes of this host below `flushes` are decided: the ring may be freed.
    Watermark {
        /// Name of the host.
        host: String,
        /// The ventilator's life.
        epoch: u64,
        /// The root's life, increasing.
        life: u64,
        /// Number after the newest flush decided without a gap below.
        flushes: u64,
        /// Of these, those below are in a checkpoint: nobody needs them any more. Others are asked
        /// for again when the root is restarted.
        durable: u64,
    },
    /// The root lacks what flushes of this epoch need: send its schemas and graphs again.
    NeedContext {
        /// Name of the host.
        host: String,
        /// The ventilator's life.
        epoch: u64,
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
