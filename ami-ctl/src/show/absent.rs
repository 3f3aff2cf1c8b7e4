//! Fields that a source announced and never gave, and what features lack because of them.

use crate::client::manager::Client;
use crate::show::meters::{Member, members};
use ami_graph::graph::spec::GraphSpec;
use ami_proto::control::ctl_to_manager::Command;
use serde_json::Value;
use std::collections::BTreeSet;

/// Most fields that are named in one line.
const NAMED: usize = 8;

/// Fields of a ventilator that were in none of its events.
pub fn never_present(member: Member<'_>) -> Vec<&str> {
    let absent = member.by_label("ami_field_never_present", "field");
    let names: Vec<&str> = absent.into_iter().filter(|(_, is)| *is > 0.0).map(|(f, _)| f).collect();
    // A stacked field is absent because a segment is: the segment is what to look for.
    let has_absent_segment = |name: &str| {
        let parts = names.iter().filter_map(|other| parted(other));
        name.split_once(':')
            .is_some_and(|stack| parts.clone().any(|(det, _, rest)| stack == (det, rest)))
    };
    names.iter().copied().filter(|name| !has_absent_segment(name)).collect()
}

/// `det.2:alg:field` as detector, segment and the rest.
fn parted(name: &str) -> Option<(&str, &str, &str)> {
    let (det, rest) = name.split_once(':')?;
    let (det, segment) = det.rsplit_once('.')?;
    segment.parse::<u32>().ok()?;
    Some((det, segment, rest))
}

/// A field for people.
pub fn spoken(name: &str) -> String {
    match parted(name) {
        Some((det, segment, _)) => format!("segment {segment} of {det} ({name})"),
        None => name.to_owned(),
    }
}

/// Names for a line, the first few of many.
pub fn listed(names: &[&str]) -> String {
    let mut texts: Vec<String> = names.iter().take(NAMED).map(|name| spoken(name)).collect();
    if names.len() > NAMED {
        texts.push(format!("{} more", names.len() - NAMED));
    }
    texts.join(", ")
}

/// Why a feature of an active graph has had no value, if that can be told.
pub fn reason(client: &Client, topic: &str) -> Option<(String, String)> {
    let (graph, rest) = topic.split_once('/')?;
    let node = rest.split('.').next()?;
    let show = Command::Show { graph: graph.to_owned(), version: None };
    let spec = client.command(&show).ok()?;
    let spec = GraphSpec::parse(&spec["spec"].to_string()).ok()?;
    spec.nodes.get(node)?;
    let status = client.command(&Command::Status).ok()?;
    let mut upstream = upstream(&spec, node);
    // Graphs may name fields by their aliases.
    let sources = client.command(&Command::Sources).ok()?;
    for source in sources["sources"].as_array().into_iter().flatten() {
        for field in source["fields"].as_array().into_iter().flatten() {
            let mut aliases = field["aliases"].as_array().into_iter().flatten();
            if aliases.any(|alias| alias.as_str().is_some_and(|alias| upstream.contains(alias))) {
                upstream.extend(field["name"].as_str().map(str::to_owned));
            }
        }
    }
    Some(from_status(&status, &spec.name, &upstream))
}

/// Why nothing came of these nodes and fields of a graph.
fn from_status(status: &Value, graph: &str, upstream: &BTreeSet<String>) -> (String, String) {
    let faults = || members(status).flat_map(|m| m.0["nodes"].as_array().into_iter().flatten());
    let name = |n: &Value| n["node"].as_str().unwrap_or_default().to_owned();
    let here = |n: &&Value| {
        name(n).split_once('/').is_some_and(|(g, n)| g == graph && upstream.contains(n))
    };
    let message = |fault: &Value| fault["message"].as_str().unwrap_or_default().to_owned();
    let times = |fault: &Value| fault["errors"].as_u64().unwrap_or(0);
    if let Some(off) = faults().filter(|n| times(n) == 0).find(here) {
        let text = format!("{} is switched off: {}", name(off), message(off));
        return (text, "correct the graph (`ami-ctl graph edit`)".into());
    }
    if let Some(failed) = faults().find(here) {
        let (name, times) = (name(failed), times(failed));
        let text = format!("{name} failed {times} times, last with: {}", message(failed));
        return (text, "`ami-ctl status` lists nodes with errors".into());
    }
    let ventilators: Vec<Member<'_>> =
        members(status).filter(|m| m.text("role") == "ventilator").collect();
    let events: f64 = ventilators.iter().filter_map(|m| m.metric("ami_events_total")).sum();
    if events == 0.0 {
        let text = "no event has come yet".to_owned();
        return (text, "`ami-ctl status` tells what the source waits for".into());
    }
    let all = ventilators.iter().flat_map(|&m| never_present(m));
    let of_stack = |field: &str| {
        parted(field).is_some_and(|(det, _, rest)| upstream.contains(&format!("{det}:{rest}")))
    };
    let absent: Vec<&str> =
        all.filter(|field| upstream.contains(*field) || of_stack(field)).collect();
    if !absent.is_empty() {
        let text = format!("never present in {events} events: {}", listed(&absent));
        return (text, "is that part switched on? `ami-ctl sources` shows the rates".into());
    }
    let text = format!("in none of {events} events were all its inputs present");
    (text, "look at its gates, and at the rates that `ami-ctl sources` shows".into())
}

/// The node and all that it depends on: nodes, and fields as the graph names them.
fn upstream(spec: &GraphSpec, node: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut waiting = vec![node.to_owned()];
    while let Some(name) = waiting.pop() {
        let of_node = name.split('.').next().unwrap_or(&name);
        if let Some(node) = spec.nodes.get(&name).or_else(|| spec.nodes.get(of_node)) {
            let with = node.with.iter().flat_map(|with| with.values().map(String::as_str));
            waiting.extend(
                node.inputs
                    .sources()
                    .into_iter()
                    .chain(with)
                    .filter(|source| !found.contains(*source))
                    .map(str::to_owned),
            );
            found.insert(of_node.to_owned());
        }
        found.insert(name);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn status(events: f64, absent: &[&str], off: Value) -> Value {
        let mut metrics = json!({"ami_events_total": events});
        for field in absent {
            metrics[format!("ami_field_never_present{{field=\"{field}\"}}")] = json!(1.0);
        }
        json!({"members": [
            {"role": "ventilator", "metrics": metrics, "nodes": []},
            {"role": "worker", "metrics": {}, "nodes": off}]})
    }

    #[test]
    fn a_segment_stands_for_the_stack_that_waits_for_it() {
        let status = status(9.0, &["lpd:raw:raw", "lpd.2:raw:raw", "opal:raw:image"], json!([]));
        let member = members(&status).next().unwrap();
        let found = never_present(member);
        assert_eq!(listed(&found), "segment 2 of lpd (lpd.2:raw:raw), opal:raw:image");
    }

    #[test]
    fn a_feature_without_a_value_has_a_reason() {
        let graph = json!({"name": "g", "nodes": {
            "sum": {"op": "expr", "in": {"img": "opal:raw:image"}, "expr": "sum(img)"},
            "mean": {"op": "mean", "in": "sum"}}});
        let spec = GraphSpec::parse(&graph.to_string()).unwrap();
        let upstream = upstream(&spec, "mean");
        let of = |status: &Value| from_status(status, "g", &upstream).0;
        assert_eq!(of(&status(0.0, &[], json!([]))), "no event has come yet");
        let absent = of(&status(9.0, &["opal:raw:image"], json!([])));
        assert_eq!(absent, "never present in 9 events: opal:raw:image");
        let stack = ["lpd:raw:raw".to_owned()].into();
        let missing = status(9.0, &["lpd:raw:raw", "lpd.2:raw:raw"], json!([]));
        let (waits, _) = from_status(&missing, "g", &stack);
        assert_eq!(waits, "never present in 9 events: segment 2 of lpd (lpd.2:raw:raw)");
        let off = json!([{"node": "g/sum", "errors": 0, "message": "no such field"}]);
        assert_eq!(of(&status(9.0, &[], off)), "g/sum is switched off: no such field");
        let failed = json!([{"node": "g/sum", "errors": 3, "message": "ValueError: bad"}]);
        assert_eq!(
            of(&status(9.0, &[], failed)),
            "g/sum failed 3 times, last with: ValueError: bad"
        );
        assert!(of(&status(9.0, &[], json!([]))).contains("all its inputs"));
    }
}
