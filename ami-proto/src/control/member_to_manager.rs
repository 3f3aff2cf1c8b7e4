//! Every member → manager: PUSH of reports, once a second and when something changed. A manager
//! that does not read costs nothing: reports are dropped then.

use ami_graph::data::schema::Schema;
use serde::{Deserialize, Serialize};

/// What a daemon is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum Role {
    Ventilator,
    Worker,
    Collector,
    Root,
    Store,
    Gateway,
}

impl Role {
    /// The word for people.
    pub const fn name(self) -> &'static str {
        match self {
            Role::Ventilator => "ventilator",
            Role::Worker => "worker",
            Role::Collector => "collector",
            Role::Root => "root",
            Role::Store => "store",
            Role::Gateway => "gateway",
        }
    }
}

/// A member's answer to a version in preparation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prepared {
    /// The version.
    pub version: u64,
    /// Why it cannot be compiled here; empty: ready.
    pub refused: Vec<String>,
}

/// Errors of a node of a graph on a member, or why it has no value at all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeErrors {
    /// `graph/node`; the graph alone, or nothing, where the whole is at fault.
    pub node: String,
    /// Events in which it failed; 0 of a node that is switched off or whose state is unusable.
    pub errors: u64,
    /// The last message.
    pub message: String,
}

/// One report.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// What it is.
    pub role: Role,
    /// Its name, unique on its host.
    pub name: String,
    /// Its host.
    pub host: String,
    /// Its process.
    pub pid: u32,
    /// Its life: start time in ns.
    pub life: u64,
    /// `starting`, `waiting: …`, `running`, `idle`, `ended`, `stopping`.
    pub state: String,
    /// Version of the graph set in effect here.
    pub version: u64,
    /// Answer to the newest announcement, if any.
    pub prepared: Option<Prepared>,
    /// Fields on offer (ventilators).
    pub schema: Option<Schema>,
    /// Numbers, by the names of `/metrics`.
    pub metrics: Vec<(String, f64)>,
    /// Nodes with errors.
    pub nodes: Vec<NodeErrors>,
}
