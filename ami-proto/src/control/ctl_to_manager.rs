//! ami-ctl and clients → manager: one JSON frame on a REQ socket, answered by one JSON frame.
//! JSON, so that scripts in any language can edit graphs.
//!
//! An answer is the command's document, or `{"error": …, "hint": …}`.

use serde::{Deserialize, Serialize};

/// One command. `base` is the version of that graph which the edit was made against; without it
/// the edit is made against the newest. A `base` that is not the newest is refused with what changed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "cmd")]
pub enum Command {
    /// All members with state, versions, metrics: `{"members": […], "version": n, "in_effect": n}`.
    #[serde(rename = "status")]
    Status,
    /// Fields on offer: `{"sources": [{"host", "fields": [{"name", "dtype", "shape", "rank", "kind"}]}]}`.
    #[serde(rename = "sources")]
    Sources,
    /// `{"graphs": [{"name", "version", "nodes", "publish"}], "version": n}`.
    #[serde(rename = "graph.list")]
    List,
    /// `{"name", "version", "spec"}`; the newest version unless given.
    #[serde(rename = "graph.show")]
    Show {
        /// Graph.
        graph: String,
        /// Version of that graph.
        #[serde(default)]
        version: Option<u64>,
    },
    /// Checks without applying: `{"errors": [{"graph", "node", "parameter", "reason", "hint"}]}`.
    #[serde(rename = "graph.validate")]
    Validate {
        /// The graph as JSON.
        spec: serde_json::Value,
    },
    /// Makes a version of it: `{"graph", "version", "in_effect", "members": […]}`.
    #[serde(rename = "graph.apply")]
    Apply {
        /// The graph as JSON.
        spec: serde_json::Value,
        /// Version that the edit was made against.
        #[serde(default)]
        base: Option<u64>,
        /// How it is made and by whom.
        #[serde(flatten)]
        edit: Edit,
    },
    /// Sets parameters of one node.
    #[serde(rename = "graph.set")]
    Set {
        /// Graph.
        graph: String,
        /// Node.
        node: String,
        /// Parameters by name; null removes one.
        params: serde_json::Map<String, serde_json::Value>,
        /// Version that the edit was made against.
        #[serde(default)]
        base: Option<u64>,
        /// How it is made and by whom.
        #[serde(flatten)]
        edit: Edit,
    },
    /// Removes a graph, or one node of it.
    #[serde(rename = "graph.rm")]
    Remove {
        /// Graph.
        graph: String,
        /// Node; the whole graph without it.
        #[serde(default)]
        node: Option<String>,
        /// Version that the edit was made against.
        #[serde(default)]
        base: Option<u64>,
        /// How it is made and by whom.
        #[serde(flatten)]
        edit: Edit,
    },
    /// Makes an old version the newest again (as a new version).
    #[serde(rename = "graph.rollback")]
    Rollback {
        /// Graph.
        graph: String,
        /// Version to go back to.
        version: u64,
        /// Version that the edit was made against.
        #[serde(default)]
        base: Option<u64>,
        /// How it is made and by whom.
        #[serde(flatten)]
        edit: Edit,
    },
    /// Discards accumulated state.
    #[serde(rename = "graph.reset")]
    Reset {
        /// Graph.
        graph: String,
        /// Nodes; all without it.
        #[serde(default)]
        nodes: Vec<String>,
        /// How it is made and by whom.
        #[serde(flatten)]
        edit: Edit,
    },
    /// `{"versions": [{"version", "who", "when", "what"}]}`, newest last.
    #[serde(rename = "graph.history")]
    History {
        /// Graph.
        graph: String,
    },
    /// `{"from", "to", "changes": [{"node", "change", "before", "after"}]}`.
    #[serde(rename = "graph.diff")]
    Diff {
        /// Graph.
        graph: String,
        /// Version; the one before `to` unless given.
        #[serde(default)]
        from: Option<u64>,
        /// Version; the newest unless given.
        #[serde(default)]
        to: Option<u64>,
    },
}

/// How an edit is made.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Edit {
    /// Who.
    #[serde(default)]
    pub who: String,
    /// Answer only when the version is in effect on all members (default), or at once.
    #[serde(default)]
    pub no_wait: bool,
    /// Give up waiting after this time, s; 0: the default of 30 s. The version stays.
    #[serde(default)]
    pub timeout_s: u64,
}

/// A mistake, answered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Refusal {
    /// The thing and the reason.
    pub error: String,
    /// The next step.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub hint: String,
    /// Each thing wrong with a graph.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<serde_json::Value>,
}
