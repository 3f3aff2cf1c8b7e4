//! Graphs as people write them: JSON, with one schema generated from these types.
//!
//! ```
//! let spec = ami_graph::graph::spec::GraphSpec::parse(
//!     r#"{"name": "energy", "nodes": {"mean": {"op": "mean", "in": "gmd:raw:energy"}}}"#,
//! ).unwrap();
//! assert_eq!(spec.nodes["mean"].op, "mean");
//! ```

use crate::error::{Fault, SpecError};
use crate::graph::inputs::Inputs;
use crate::graph::text;
use crate::ops;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// Longest JSON text of one graph, in bytes.
pub const MAX_TEXT: usize = 16 << 20;
/// Most nodes of one graph.
pub const MAX_NODES: usize = 10_000;
/// Longest name of a graph or node, in bytes.
pub const MAX_NAME: usize = 200;

/// A graph: a named set of nodes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GraphSpec {
    /// The graph's name, first part of its topics: letters, digits, `_`, `-` and `.`
    pub name: String,
    /// One line for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The nodes by name.
    #[serde(deserialize_with = "unique_nodes")]
    pub nodes: BTreeMap<String, NodeSpec>,
    /// What is published: `node`, or `node.output` for one output. Default: every node without dependents.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub publish: Option<Vec<String>>,
}

/// One use of an op. Parameters stand beside `op`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct NodeSpec {
    /// The op's name, as `ami-ctl ops` lists it.
    pub op: String,
    /// What it works on: one name, a list, or a map from the op's input names.
    #[serde(rename = "in", default, skip_serializing_if = "Inputs::is_none")]
    pub inputs: Inputs,
    /// Further named inputs of `gate` and `select`, for their expressions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub with: Option<BTreeMap<String, String>>,
    /// Window of a reduction: "heartbeat", "run" (default), "step", {"heartbeats": n}, {"seconds": T}, {"events": N}.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<serde_json::Value>,
    /// The op's parameters.
    #[serde(flatten)]
    pub params: serde_json::Map<String, serde_json::Value>,
}

/// A graph with its place in history.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VersionedGraph {
    /// Counts up with every accepted edit of this graph.
    pub version: u64,
    /// The graph.
    pub spec: GraphSpec,
    /// Number of resets by node; part of the node's identity, so that a reset discards its state.
    #[serde(default)]
    pub resets: BTreeMap<String, u64>,
}

/// All graphs that run together: what the manager publishes.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct GraphSet {
    /// Counts up with every accepted edit of any graph.
    pub version: u64,
    /// The graphs by name.
    pub graphs: BTreeMap<String, VersionedGraph>,
    /// Files named in parameters, by content hash.
    #[serde(default, with = "base64_map")]
    pub files: BTreeMap<String, Vec<u8>>,
}

impl GraphSet {
    /// As JSON, which every daemon carries as bytes.
    pub fn to_json_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// From JSON bytes.
    ///
    /// # Errors
    /// When the bytes are not a graph set; the message has line and column.
    pub fn from_json_bytes(bytes: &[u8]) -> Result<GraphSet, SpecError> {
        serde_json::from_slice(bytes).map_err(|e| json_error(&e))
    }

    /// A set of one graph, as version 1; for tests and tools.
    pub fn of(spec: GraphSpec) -> GraphSet {
        let graph = VersionedGraph { version: 1, spec, resets: BTreeMap::new() };
        GraphSet {
            version: 1,
            graphs: BTreeMap::from([(graph.spec.name.clone(), graph)]),
            files: BTreeMap::new(),
        }
    }

    /// Every node as (graph, node), sorted. Its place here is its ordinal in partials: it depends
    /// on nothing but the graph set, so hosts with different schemas agree on it.
    pub fn ordinals(&self) -> Vec<(&str, &str)> {
        self.graphs
            .iter()
            .flat_map(|(graph, g)| g.spec.nodes.keys().map(move |n| (graph.as_str(), n.as_str())))
            .collect()
    }
}

impl GraphSpec {
    /// From JSON as people write it.
    ///
    /// # Errors
    /// When it is too large, is not JSON or says something twice (with line and column), or does not
    /// have a graph's form.
    /// Names, ops and parameters are looked at by [`crate::plan::check`].
    pub fn parse(json: &str) -> Result<GraphSpec, SpecError> {
        if json.len() > MAX_TEXT {
            return Err(whole(
                format!("the text is {} bytes long", json.len()),
                format!("at most {MAX_TEXT} are read; put data into files named in parameters"),
            ));
        }
        text::unmarked(json).map_err(|(reason, hint)| whole(format!("the text {reason}"), hint))?;
        text::each_key_once(json).map_err(|e| json_error(&e))?;
        let spec: GraphSpec = serde_json::from_str(json).map_err(|e| json_error(&e))?;
        spec.check_form().map_err(|fault| SpecError {
            graph: spec.name.clone(),
            node: None,
            parameter: fault.parameter,
            reason: fault.reason,
            hint: fault.hint,
        })?;
        Ok(spec)
    }

    /// Names and sizes.
    pub(crate) fn check_form(&self) -> Result<(), Fault> {
        check_name("graph", &self.name, true)?;
        if self.nodes.is_empty() {
            return Err(Fault::of("nodes", "the graph has no nodes", "add at least one"));
        }
        if self.nodes.len() > MAX_NODES {
            let reason = format!("the graph has {} nodes", self.nodes.len());
            return Err(Fault::of("nodes", reason, format!("at most {MAX_NODES} are accepted")));
        }
        self.nodes.keys().try_for_each(|node| check_name("node", node, false))
    }

    /// Nodes whose op is written by a name that it no longer has, in a line each.
    pub fn outdated(&self) -> Vec<String> {
        let renamed = |(node, spec): (&String, &NodeSpec)| {
            let (old, now) = (&spec.op, ops::current_name(&spec.op));
            let text = format!("node {node:?}: op {old:?} is called {now:?} now, write that");
            (old != now).then(|| text + "; the old name is accepted for one release")
        };
        self.nodes.iter().filter_map(renamed).collect()
    }

    /// The JSON Schema of a graph, for editors and other languages, with the inputs and parameters
    /// of every operation.
    pub fn json_schema() -> serde_json::Value {
        crate::graph::json_schema::graph()
    }
}

/// Names become topics `graph/node.output`, so the separators are not part of a node's name.
fn check_name(what: &str, name: &str, dots: bool) -> Result<(), Fault> {
    let good = |c: char| c.is_alphanumeric() || c == '_' || c == '-' || (dots && c == '.');
    if name.is_empty() || name.len() > MAX_NAME || !name.chars().all(good) {
        let dot = if dots { ", '.'" } else { "" };
        return Err(Fault::new(
            format!("{name:?} is not a name for a {what}"),
            format!("use 1 to {MAX_NAME} letters, digits, '_', '-'{dot}"),
        ));
    }
    Ok(())
}

fn whole(reason: String, hint: impl Into<String>) -> SpecError {
    SpecError { graph: String::new(), node: None, parameter: None, reason, hint: hint.into() }
}

fn json_error(e: &serde_json::Error) -> SpecError {
    use serde_json::error::Category;
    let hint = match e.classify() {
        Category::Syntax | Category::Eof => "correct the JSON there",
        Category::Data if e.to_string().contains("is written twice") => text::ONCE,
        Category::Data | Category::Io => {
            r#"a graph is {"name": …, "nodes": {"NODE": {"op": …, "in": …}}, "publish": [ … ]}"#
        }
    };
    whole(format!("the graph cannot be read: {e}"), hint)
}

/// Reads the map of nodes; a node written twice is an error, not a silent loss of the first.
fn unique_nodes<'de, D>(deserializer: D) -> Result<BTreeMap<String, NodeSpec>, D::Error>
where
    D: serde::Deserializer<'de>,
{
    struct Nodes;
    impl<'de> serde::de::Visitor<'de> for Nodes {
        type Value = BTreeMap<String, NodeSpec>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a map from node name to node")
        }

        fn visit_map<A: serde::de::MapAccess<'de>>(
            self,
            mut map: A,
        ) -> Result<Self::Value, A::Error> {
            let mut nodes = BTreeMap::new();
            while let Some((name, node)) = map.next_entry::<String, NodeSpec>()? {
                if nodes.contains_key(&name) {
                    let text = format!("{name:?} is written twice");
                    return Err(serde::de::Error::custom(text));
                }
                nodes.insert(name, node);
            }
            Ok(nodes)
        }
    }
    deserializer.deserialize_map(Nodes)
}

/// The files of a graph set in JSON: base64 by content hash.
mod base64_map {
    use base64::{Engine, engine::general_purpose::STANDARD};
    use serde::{Deserialize, Deserializer, Serializer, de::Error};
    use std::collections::BTreeMap;

    pub fn serialize<S: Serializer>(
        files: &BTreeMap<String, Vec<u8>>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_map(files.iter().map(|(hash, bytes)| (hash, STANDARD.encode(bytes))))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<BTreeMap<String, Vec<u8>>, D::Error> {
        let decode = |(hash, text): (String, String)| match STANDARD.decode(text) {
            Ok(bytes) => Ok((hash, bytes)),
            Err(e) => Err(D::Error::custom(format!("file {hash} is not base64: {e}"))),
        };
        BTreeMap::deserialize(deserializer)?.into_iter().map(decode).collect()
    }
}
