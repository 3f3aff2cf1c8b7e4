//! A refusal for people: the error, each fault on a line, the next step.

use crate::control::ctl_to_manager::Refusal;
use serde_json::Value;

/// A refusal for people: the error, each fault on a line, the next step.
pub fn text(refusal: &Refusal) -> String {
    let mut lines = vec![refusal.error.clone()];
    // A lone fault is often the error itself; once is enough.
    let faults =
        refusal.errors.iter().map(fault_line).filter(|f| !refusal.error.contains(f.as_str()));
    lines.extend(faults.map(|fault| format!("  {fault}")));
    if !refusal.hint.is_empty() && !refusal.error.ends_with(&refusal.hint) {
        lines.push(format!("  → {}", refusal.hint));
    }
    lines.join("\n")
}

/// One fault of a graph on a line: where, why, what would be accepted.
pub fn fault_line(fault: &Value) -> String {
    let Some(object) = fault.as_object() else {
        return fault.as_str().map_or_else(|| fault.to_string(), str::to_string);
    };
    let text = |key: &str| object.get(key).and_then(Value::as_str).filter(|t| !t.is_empty());
    let place: Vec<String> = ["member", "graph", "node", "parameter"]
        .iter()
        .filter_map(|key| text(key).map(|value| format!("{key} {value:?}")))
        .collect();
    // A member's refusal has a list of reasons.
    let listed = object.get("reasons").map(cell).filter(|t| !t.is_empty());
    let reason = text("reason").or(text("error")).map(str::to_string).or(listed);
    // A stale edit has the versions made meanwhile.
    let version = object.get("version").and_then(Value::as_u64).map(|version| {
        let (who, what) = (text("who").unwrap_or("somebody"), text("what").unwrap_or("changed it"));
        format!("version {version} by {who}: {what}")
    });
    let reason = reason.or(version).unwrap_or_else(|| "no reason given".into());
    let mut line = if place.is_empty() { String::new() } else { format!("{}: ", place.join(", ")) };
    line.push_str(&reason);
    if let Some(hint) = text("hint") {
        line.push_str("; ");
        line.push_str(hint);
    }
    line
}

/// A text of a document; numbers as they are written, nothing for null.
pub fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(list) => list.iter().map(cell).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}
