//! `node describe`: what code says of itself.

use crate::client::system::System;
use crate::commands::node::{Code, Which, Workshop};
use crate::print;
use serde_json::{Map, Value, json};
use std::process::ExitCode;

pub(super) fn run(which: &Which, system: &System) -> anyhow::Result<ExitCode> {
    let code = Code::read(&which.code)?;
    let workshop = Workshop::open(&system.config)?;
    workshop.removed_at_signals()?;
    let nodes = workshop.describe(&which.env, &code)?;
    if system.json {
        print::json(&json!({"file": code.file, "nodes": nodes}))?;
    } else {
        let texts: Vec<String> = nodes.iter().map(|node| text(node, &code.file)).collect();
        print::line(&texts.join("\n\n"))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// How a kind is called.
pub(super) fn kind(node: &Value) -> &str {
    match node["kind"].as_str() {
        Some("per_event") => "per event",
        Some("root") => "on what is published",
        Some(other) => other,
        None => "",
    }
}

/// An output's type as people declare it: `f8[:, 512]`.
pub(super) fn declared(output: &Value) -> String {
    let dtype = print::cell(&output["dtype"]);
    let Some(axes) = output["shape"].as_array() else { return dtype };
    let axis = |axis: &Value| axis.as_u64().map_or(":".to_string(), |n| n.to_string());
    format!("{dtype}[{}]", axes.iter().map(axis).collect::<Vec<_>>().join(", "))
}

fn rows<'a>(node: &'a Value, key: &str) -> &'a [Value] {
    node[key].as_array().map_or(&[][..], Vec::as_slice)
}

fn text(node: &Value, file: &str) -> String {
    let mut parts = vec![format!("{} ({})", print::cell(&node["name"]), kind(node))];
    let doc = print::cell(&node["doc"]);
    if !doc.is_empty() {
        parts.push(doc.trim().to_string());
    }
    let mut inputs: Vec<Vec<String>> =
        rows(node, "inputs").iter().map(|name| vec![format!("  {}", print::cell(name))]).collect();
    if node["varargs"] == true {
        inputs.push(vec!["  … any number more".into()]);
    }
    if !inputs.is_empty() {
        parts.push(print::table(&["INPUT"], inputs));
    }
    let output = |o: &Value| vec![format!("  {}", print::cell(&o["name"])), declared(o)];
    parts.push(print::table(&["OUTPUT", "TYPE"], rows(node, "outputs").iter().map(output)));
    if !rows(node, "params").is_empty() {
        let heading = ["PARAMETER", "TYPE", "DEFAULT", "MEANING"];
        parts.push(print::table(&heading, rows(node, "params").iter().map(parameter)));
    }
    parts.push(manner(node).join("\n"));
    parts.push(format!("In a graph:\n  {}", example(node, file)));
    parts.join("\n\n")
}

fn parameter(p: &Value) -> Vec<String> {
    // Texts with their marks, so that an empty one is seen.
    let default = p["default"].to_string();
    vec![
        format!("  {}", print::cell(&p["name"])),
        print::cell(&p["type"]),
        default,
        print::cell(&p["doc"]),
    ]
}

/// How it is run and merged, a line each.
fn manner(node: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    if node["kind"] == "reduction" {
        let custom = node["merge"] == "custom";
        lines.push(
            if custom { "merge: its own" } else { "merge: adds every number and array" }.into(),
        );
    }
    if node["kind"] == "root" {
        lines.push(match node["every"].as_f64() {
            Some(seconds) => format!("runs every {} s", print::number(seconds)),
            None => "runs each heartbeat".into(),
        });
        return lines;
    }
    if node["batch"] == true {
        lines.push("takes many events at once".into());
    }
    lines.push(if node["split_dependent"] == true {
        "split_dependent: its values depend on how events are spread over workers".into()
    } else {
        "its values do not depend on how events are spread over workers; `ami-ctl node check` tries that".into()
    });
    lines
}

fn example(node: &Value, file: &str) -> Value {
    let inputs: Map<String, Value> =
        rows(node, "inputs").iter().map(|name| (print::cell(name), "FIELD".into())).collect();
    let code = format!("{file}:{}", print::cell(&node["name"]));
    let mut example = json!({"op": "python", "in": inputs, "code": code});
    let params: Map<String, Value> = rows(node, "params")
        .iter()
        .map(|p| (print::cell(&p["name"]), p["default"].clone()))
        .collect();
    if !params.is_empty() {
        example["params"] = params.into();
    }
    example
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node() -> Value {
        json!({"kind": "reduction", "name": "Radial", "doc": "Rings.", "inputs": ["image"], "varargs": false,
               "outputs": [{"name": "profile", "dtype": "f8", "shape": [null, 512]},
                           {"name": "count", "dtype": "i8", "shape": null}],
               "params": [{"name": "label", "type": "text", "default": "", "doc": "of it"}],
               "split_dependent": false, "batch": false, "merge": "custom", "every": null})
    }

    #[test]
    fn everything_is_told() {
        let text = text(&node(), "rings.py");
        for part in [
            "Radial (reduction)",
            "Rings.",
            "f8[:, 512]",
            "label    text  \"\"       of it",
            "merge: its own",
            r#"{"op":"python","in":{"image":"FIELD"},"code":"rings.py:Radial","params":{"label":""}}"#,
        ] {
            assert!(text.contains(part), "{part} in\n{text}");
        }
    }

    #[test]
    fn what_it_depends_on_is_told() {
        let mut node = node();
        node["split_dependent"] = true.into();
        node["merge"] = "add".into();
        assert_eq!(manner(&node)[0], "merge: adds every number and array");
        assert!(manner(&node)[1].starts_with("split_dependent"));
        let root = json!({"kind": "root", "every": 0.5});
        assert_eq!(
            (kind(&root), &manner(&root)[0][..]),
            ("on what is published", "runs every 0.5 s")
        );
    }
}
