//! What differs between two versions of a graph.

use ami_graph::graph::spec::GraphSpec;
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::BTreeSet;

fn value(thing: impl Serialize) -> Value {
    serde_json::to_value(thing).unwrap_or(Value::Null)
}

/// Changes as `{"node", "change", "before", "after"}`, where change is `added`, `removed` or
/// `changed`; for `publish` and `description` node is null and change is that word.
pub fn changes(before: &GraphSpec, after: &GraphSpec) -> Vec<Value> {
    let names: BTreeSet<&String> = before.nodes.keys().chain(after.nodes.keys()).collect();
    let mut changes = Vec::new();
    for node in names {
        let (old, new) = (before.nodes.get(node), after.nodes.get(node));
        let change = match (old, new) {
            (None, _) => "added",
            (_, None) => "removed",
            (old, new) if old == new => continue,
            _ => "changed",
        };
        changes.push(json!({
            "node": node, "change": change, "before": value(old), "after": value(new),
        }));
    }
    for (change, old, new) in [
        ("publish", value(&before.publish), value(&after.publish)),
        ("description", value(&before.description), value(&after.description)),
    ] {
        if old != new {
            changes.push(json!({ "node": null, "change": change, "before": old, "after": new }));
        }
    }
    changes
}

/// Changes in a line.
pub fn summary(changes: &[Value]) -> String {
    let words: Vec<String> = changes
        .iter()
        .map(|c| {
            let (node, change) = (c["node"].as_str(), c["change"].as_str().unwrap_or_default());
            node.map_or(change.to_string(), |node| format!("{change} {node}"))
        })
        .collect();
    if words.is_empty() { "nothing changed".into() } else { words.join(", ") }
}
