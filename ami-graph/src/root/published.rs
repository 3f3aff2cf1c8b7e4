//! What leaves the engine: published values with their truth, and what they look like beforehand.

use crate::plan::{Feature, Planned};
use crate::state::Outputs;
use crate::value::{Array, DType, Scalar, Value};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How much of the data a value speaks for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Truth {
    /// Events merged.
    pub events: u64,
    /// Events the sources took; None while a host's share is unknown.
    pub expected: Option<u64>,
    /// Events declared dropped, by reason.
    pub dropped: BTreeMap<String, u64>,
}

impl Truth {
    /// True when every event the sources took is in the value.
    pub fn complete(&self) -> bool {
        self.expected == Some(self.events)
    }
}

/// One heartbeat, as the root collector closes it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Frame {
    /// Run number; a change clears `run` windows.
    pub run: u32,
    /// Step number; a change clears `step` windows.
    pub step: u32,
    /// Segment of the stream: counts up at boundaries.
    pub segment: u64,
    /// Number of the heartbeat.
    pub heartbeat: u64,
    /// Timestamp of its newest event, ns since the Unix epoch; windows in seconds compare these.
    pub timestamp_ns: u64,
    /// Length of a heartbeat in ns.
    pub period_ns: u64,
    /// What was merged, expected and dropped. For late data: what they add.
    pub truth: Truth,
    /// Values set by BeginStep, by name.
    pub step_values: BTreeMap<String, Value>,
}

/// A published value that is not an array.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum ScalarOrText {
    /// One element.
    Scalar(Scalar),
    /// Text.
    Text(String),
}

/// One feature of one heartbeat.
#[derive(Debug, Clone, PartialEq)]
pub struct Published {
    /// `graph/node` or `graph/node.output`.
    pub topic: String,
    /// The graph.
    pub graph: String,
    /// The node.
    pub node: String,
    /// The graph's version.
    pub version: u64,
    /// The node's op.
    pub op: String,
    /// The window as in `interface.md`: `"run"`, `{"heartbeats": 5}` …
    pub window: serde_json::Value,
    /// What the value speaks for.
    pub window_truth: Truth,
    /// Array outputs in the op's order.
    pub arrays: Vec<(String, Array)>,
    /// Scalar and text outputs in the op's order.
    pub values: Vec<(String, ScalarOrText)>,
    /// Why there is no value, such as a shape conflict.
    pub error: Option<String>,
}

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

/// A feature of a heartbeat from its node's outputs; None when there is nothing to say.
pub(crate) fn published(
    node: &Planned,
    feature: &Feature,
    truth: Truth,
    finished: &Result<Outputs, String>,
) -> Option<Published> {
    let mut published = Published {
        topic: feature.topic.clone(),
        graph: node.graph.clone(),
        node: node.name.clone(),
        version: feature.version,
        op: node.op.clone(),
        window: node.window.to_json(),
        window_truth: truth,
        arrays: Vec::new(),
        values: Vec::new(),
        error: None,
    };
    match finished {
        Err(reason) => published.error = Some(reason.clone()),
        Ok(outputs) => {
            for &k in &feature.outputs {
                let Some(Some(value)) = outputs.get(k) else { continue };
                let name = node.outputs[k].clone();
                match value.clone() {
                    Value::Array(array) => published.arrays.push((name, array)),
                    Value::Scalar(s) => published.values.push((name, ScalarOrText::Scalar(s))),
                    Value::Str(text) => published.values.push((name, ScalarOrText::Text(text))),
                }
            }
            if published.arrays.is_empty() && published.values.is_empty() {
                return None;
            }
        }
    }
    Some(published)
}
