//! What leaves the engine: published values with their truth.

use crate::data::frame::Truth;
use crate::data::value::{Array, Scalar, Value};
use crate::op::reduction::Outputs;
use crate::plan::{Feature, Planned};
use serde::{Deserialize, Serialize};

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
    /// The window as graphs write it: `"run"`, `{"heartbeats": 5}` …
    pub window: serde_json::Value,
    /// What the value speaks for.
    pub window_truth: Truth,
    /// Array outputs in the op's order.
    pub arrays: Vec<(String, Array)>,
    /// Scalar and text outputs in the op's order.
    pub values: Vec<(String, ScalarOrText)>,
    /// The heartbeat of which the value speaks, where that is an earlier one: `window_truth` is of then.
    pub speaks_of: Option<u64>,
    /// False when the value depends on how events were shared among workers.
    pub exact: bool,
    /// Why there is no value, such as a shape conflict.
    pub error: Option<String>,
}

/// A feature of a heartbeat from its node's outputs; None when there is nothing to say.
pub(crate) fn published(
    node: &Planned,
    feature: &Feature,
    truth: Truth,
    speaks_of: Option<u64>,
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
        speaks_of,
        exact: !node.split_dependent,
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
