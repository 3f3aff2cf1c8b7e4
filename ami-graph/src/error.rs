//! Errors people read: each names the thing, the reason, and the next step.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Why a graph, or one node of it, cannot run as written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpecError {
    /// The graph's name; empty when the text could not be read far enough to know it.
    pub graph: String,
    /// The node at fault, if it is one.
    pub node: Option<String>,
    /// The parameter or input at fault, if it is one.
    pub parameter: Option<String>,
    /// What is wrong.
    pub reason: String,
    /// What would be accepted, or what to do next.
    pub hint: String,
}

impl fmt::Display for SpecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut place = Vec::new();
        if !self.graph.is_empty() {
            place.push(format!("graph {:?}", self.graph));
        }
        if let Some(node) = &self.node {
            place.push(format!("node {node:?}"));
        }
        if let Some(parameter) = &self.parameter {
            place.push(format!("parameter {parameter:?}"));
        }
        if !place.is_empty() {
            write!(f, "{}: ", place.join(", "))?;
        }
        f.write_str(&self.why())
    }
}

impl SpecError {
    /// Reason and hint, without the place.
    pub fn why(&self) -> String {
        let parts = [&self.reason[..], &self.hint];
        parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("; ")
    }
}

impl std::error::Error for SpecError {}

/// What is wrong with one node, told by its op; the planner adds graph and node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The parameter or input at fault, if it is one.
    pub parameter: Option<String>,
    /// What is wrong.
    pub reason: String,
    /// What would be accepted.
    pub hint: String,
}

impl Fault {
    /// A fault of the node as a whole.
    pub fn new(reason: impl Into<String>, hint: impl Into<String>) -> Fault {
        Fault { parameter: None, reason: reason.into(), hint: hint.into() }
    }

    /// A fault of one parameter or input.
    pub fn of(parameter: &str, reason: impl Into<String>, hint: impl Into<String>) -> Fault {
        Fault { parameter: Some(parameter.into()), reason: reason.into(), hint: hint.into() }
    }

    /// The same fault with the place where it is.
    pub fn at(self, graph: &str, node: &str) -> SpecError {
        SpecError {
            graph: graph.into(),
            node: Some(node.into()),
            parameter: self.parameter,
            reason: self.reason,
            hint: self.hint,
        }
    }
}

/// A hint that names what comes closest to `name`, and otherwise what there is.
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> String {
    let mut scored: Vec<(f64, &str)> =
        candidates.into_iter().map(|c| (similarity(name, c), c)).collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
    scored.dedup_by(|a, b| a.1 == b.1);
    let close: Vec<String> =
        scored.iter().take_while(|s| s.0 > 0.6).take(3).map(|s| format!("{:?}", s.1)).collect();
    if !close.is_empty() {
        return format!("did you mean {}?", close.join(" or "));
    }
    let mut all: Vec<&str> = scored.iter().map(|s| s.1).collect();
    all.sort_unstable();
    match all.len() {
        0 => "there is none to choose from".into(),
        n if n <= 12 => format!("there are: {}", all.join(", ")),
        n => format!("there are {n}, among them: {}", all[..12].join(", ")),
    }
}

/// 0 to 1; a name that contains the other counts as close, since people leave parts out.
fn similarity(name: &str, candidate: &str) -> f64 {
    let (a, b) = (name.to_lowercase(), candidate.to_lowercase());
    let contained = a.len() > 2 && b.len() > 2 && (a.contains(&b) || b.contains(&a));
    strsim::jaro_winkler(&a, &b).max(if contained { 0.85 } else { 0.0 })
}

/// Why bytes are not a partial or a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The bytes end before what they announce.
    #[error(
        "{what} is cut short: {needed} bytes announced, {left} left; the sender and this build differ or the message was damaged"
    )]
    Short {
        /// What was being read.
        what: &'static str,
        /// Bytes announced.
        needed: u64,
        /// Bytes there.
        left: u64,
    },
    /// A value that no sender of this build writes.
    #[error(
        "{what} is not valid ({found}); the sender and this build differ or the message was damaged"
    )]
    Invalid {
        /// What was being read.
        what: &'static str,
        /// What was found.
        found: String,
    },
}

impl DecodeError {
    /// A value that no sender of this build writes.
    pub fn invalid(what: &'static str, found: impl fmt::Display) -> DecodeError {
        DecodeError::Invalid { what, found: found.to_string() }
    }
}

/// Why two partials, or two states of one node, do not belong together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MergeError {
    /// States of different ops.
    #[error(
        "node {ordinal}: a state of {found:?} does not merge into one of {expected:?}; the two hosts run different graph versions"
    )]
    Op {
        /// The node's place in the graph set.
        ordinal: u32,
        /// The op here.
        expected: String,
        /// The op that came.
        found: String,
    },
    /// States of one op with different parameters.
    #[error(
        "node {ordinal}: two states of {op:?} have different parameters; the two hosts run different graph versions"
    )]
    Parameters {
        /// The node's place in the graph set.
        ordinal: u32,
        /// The op of both.
        op: String,
    },
}
