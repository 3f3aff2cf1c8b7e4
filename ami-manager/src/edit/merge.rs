//! Edits of one node.

use crate::commands::{refusal, short};
use ami_graph::error::nearest;
use ami_graph::graph::spec::{GraphSpec, NodeSpec};
use ami_graph::op::doc::OpDoc;
use ami_graph::ops::{self, USER_CODE};
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
    let user_code = ops::find(&old.op).filter(|op| op.doc().name == USER_CODE);
    for (key, value) in params {
        let of_code = user_code.is_some_and(|op| !belongs_to_node(op.doc(), key));
        let put = if of_code { put_for_code } else { put };
        put(&mut object, key, value).map_err(|hint| {
            let error =
                format!("graph {:?}, node {name:?} has no {:?} to remove", spec.name, short(key));
            refusal(error, hint)
        })?;
    }
    let mut spec = spec.clone();
    spec.nodes
        .insert(name.to_string(), serde_json::from_value(Value::Object(object)).map_err(broken)?);
    Ok(spec)
}

/// Whether a key is the node's, or its operation's; what else there is to be set are parameters of
/// user code.
fn belongs_to_node(op: &OpDoc, key: &str) -> bool {
    ["op", "in", "with", "window"].contains(&key) || op.params.iter().any(|param| param.name == key)
}

/// Sets one; null removes it.
///
/// # Errors
/// What there is, where it is not there to be removed.
fn put(to: &mut Map<String, Value>, key: &str, value: &Value) -> Result<(), String> {
    if !value.is_null() {
        to.insert(key.to_string(), value.clone());
    } else if to.shift_remove(key).is_none() {
        return Err(nearest(&short(key), to.keys().map(String::as_str)));
    }
    Ok(())
}

/// The same for what lies among the node's `params`.
fn put_for_code(node: &mut Map<String, Value>, key: &str, value: &Value) -> Result<(), String> {
    let own = node.get("params").and_then(Value::as_object);
    let mut own = own.cloned().unwrap_or_default();
    put(&mut own, key, value)?;
    if own.is_empty() {
        node.shift_remove("params");
    } else {
        node.insert("params".into(), Value::Object(own));
    }
    Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn edited(node: &Value, params: &Value) -> Result<Value, Refusal> {
        let graph = json!({"name": "g", "nodes": {"n": node}}).to_string();
        let spec = GraphSpec::parse(&graph).unwrap();
        let set = set(&spec, "n", params.as_object().unwrap())?;
        Ok(json!(set.nodes["n"]))
    }

    #[test]
    fn parameters_of_user_code_are_set_by_their_names() {
        let node = json!({"op": "python", "in": "x", "code": "/d/hits.py:f"});
        let one = edited(&node, &json!({"threshold": 13, "timeout_ms": 50, "in": "y"})).unwrap();
        let with = json!({"op": "python", "in": "y", "code": "/d/hits.py:f", "timeout_ms": 50, "params": {"threshold": 13}});
        assert_eq!(one, with);
        let two = edited(&one, &json!({"gain": 2, "threshold": null})).unwrap();
        assert_eq!(two["params"], json!({"gain": 2}));
        let none = edited(&two, &json!({"gain": null})).unwrap();
        assert!(none.get("params").is_none(), "{none}");
        let whole = edited(&two, &json!({"params": {"threshold": 1}})).unwrap();
        assert_eq!(whole["params"], json!({"threshold": 1}));
        let refused = edited(&two, &json!({"gian": null})).unwrap_err();
        assert!(refused.hint.contains("gain"), "{}", refused.hint);
    }

    #[test]
    fn other_operations_have_their_parameters_beside_op() {
        let node = json!({"op": "hist", "in": "x", "bins": 5});
        assert_eq!(edited(&node, &json!({"params": 1, "bins": 6})).unwrap()["params"], 1);
        assert_eq!(edited(&node, &json!({"odd": 1})).unwrap()["odd"], 1);
    }
}
