//! Manager → every member: PUB of graph sets. Repeated until every member has answered.

use serde::{Deserialize, Serialize};

/// How far a version has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    /// Compile it aside and answer.
    Prepare,
    /// Everybody answered: let it take effect.
    Activate,
    /// Given up: forget it.
    Withdraw,
}

/// One announcement; the JSON of the graph set follows as a frame of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Announce {
    /// The manager's life, increasing.
    pub life: u64,
    /// Version of the graph set.
    pub version: u64,
    /// How far it has come.
    pub phase: Phase,
}
