//! What a plan tells before data come: its nodes, where they run, and the features on offer.

use crate::data::value::DType;
use serde::{Deserialize, Serialize};

/// What is known of an output before data come.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OutputInfo {
    /// Its name.
    pub name: String,
    /// Element type, as far as it is known.
    pub dtype: Option<DType>,
    /// Number of dimensions, as far as it is known.
    pub rank: Option<usize>,
    /// Axis lengths, as far as they are known.
    pub shape: Option<Vec<usize>>,
}

/// One feature on offer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FeatureInfo {
    /// `graph/node` or `graph/node.output`.
    pub topic: String,
    /// The graph.
    pub graph: String,
    /// The node.
    pub node: String,
    /// The node's op.
    pub op: String,
    /// Its window.
    pub window: serde_json::Value,
    /// Its outputs.
    pub outputs: Vec<OutputInfo>,
}

/// Where a node runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// On workers, over the events.
    Worker,
    /// At the root, once per heartbeat, over merged results.
    Root,
}

/// One node of a plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NodeInfo {
    /// The graph.
    pub graph: String,
    /// The node.
    pub node: String,
    /// Its op.
    pub op: String,
    /// Where it runs.
    pub stage: Stage,
    /// Most bytes its state and window take at the root, or its tables on a worker, as far as
    /// shapes are known.
    pub state_bytes: u64,
    /// Why it does not run, if it does not.
    pub off: Option<String>,
}
