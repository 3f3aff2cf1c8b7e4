//! Edits of one node.

use crate::commands::{refusal, short};
use ami_graph::error::nearest;
use ami_graph::graph::spec::{GraphSpec, NodeSpec};
use ami_proto::control::ctl_to_manager::Refusal;
use serde_json::{Map, Value};

/// The node, if it is there.
pub fn node<'a>(spec: &'a GraphSpec, name: &str) -> Result<&'a NodeSpec, Refusal> {
    spec.nodes.get(name).ok_or_else(|| {
        let error = format!("graph {:?} has no node {:?}", spec.name, short(name));
        refusal(error, nearest(&short(name), spec.nodes.keys().map(String::as_str)))
    })
}

/// The graph with parameters of a node set; null removes one. `op`, `in`, `with` and `window` are
/// set in the same way.
pub fn set(
    spec: &GraphSpec,
    name: &str,
    params: &Map<String, Value>,
) -> Result<GraphSpec, Refusal> {
    let old = node(spec, name)?;
    if params.is_empty() {
        return Err(refusal("no parameter was given to set", "name at least one: `key=value`"));
    }
    let broken = |e: serde_json::Error| {
        let error = format!("graph {:?}, node {name:?}: {e}", spec.name);
        refusal(
            error,
            "a node has `op` (text), `in` (a name, a list or a map), `with` (a map), `window`",
        )
    };
    let mut object = match serde_json::to_value(old).map_err(broken)? {
        Value::Object(object) => object,
        _ => Map::new(),
    };
    for (key, value) in params {
        if !value.is_null() {
            object.insert(key.clone(), value.clone());
        } else if object.shift_remove(key).is_none() {
            let error =
                format!("graph {:?}, node {name:?} has no {:?} to remove", spec.name, short(key));
            return Err(refusal(error, nearest(&short(key), object.keys().map(String::as_str))));
        }
    }
    let mut spec = spec.clone();
    spec.nodes
        .insert(name.to_string(), serde_json::from_value(Value::Object(object)).map_err(broken)?);
    Ok(spec)
}

/// `set` in a line.
pub fn described(name: &str, params: &Map<String, Value>) -> String {
    let params: Vec<String> = params.iter().map(|(k, v)| format!("{k}={v}")).collect();
    format!("set {name} {}", params.join(" "))
}

/// The graph without a node that nothing depends on.
pub fn without(spec: &GraphSpec, name: &str) -> Result<GraphSpec, Refusal> {
    node(spec, name)?;
    let dependents: Vec<String> = spec
        .nodes
        .iter()
        .filter(|(other, n)| other.as_str() != name && sources(n).any(|s| belongs(s, name)))
        .map(|(other, _)| format!("{other:?}"))
        .collect();
    if !dependents.is_empty() {
        let error =
            format!("node {name:?} of graph {:?} is used by {}", spec.name, dependents.join(", "));
        return Err(refusal(error, "change or remove these first"));
    }
    if spec.nodes.len() == 1 {
        let error = format!("node {name:?} is the only one of graph {:?}", spec.name);
        return Err(refusal(
            error,
            format!("to remove the graph: `ami-ctl graph rm {}`", spec.name),
        ));
    }
    let mut spec = spec.clone();
    spec.nodes.remove(name);
    if let Some(publish) = &mut spec.publish {
        publish.retain(|topic| !belongs(topic, name));
    }
    // Nothing left of what was published by name: the default again.
    spec.publish = spec.publish.filter(|p| !p.is_empty());
    Ok(spec)
}

fn sources(node: &NodeSpec) -> impl Iterator<Item = &str> {
    let with = node.with.iter().flatten().map(|(_, source)| source.as_str());
    node.inputs.sources().into_iter().chain(with)
}

/// Whether `node` or `node.output` is of this node.
fn belongs(source: &str, name: &str) -> bool {
    source.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}
