//! `graph list`, `show`, `diff`, `history`: what the manager knows.

use crate::client::system::System;
use crate::print;
use ami_proto::control::ctl_to_manager::Command;
use serde_json::Value;
use std::process::ExitCode;

fn answer(
    system: &System,
    command: &Command,
    text: impl FnOnce(&Value) -> String,
) -> anyhow::Result<ExitCode> {
    let document = system.manager().command(command)?;
    if system.json {
        print::json(&document)?;
    } else {
        print::line(&text(&document))?;
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) fn list(system: &System) -> anyhow::Result<ExitCode> {
    answer(system, &Command::List, list_text)
}

pub(super) fn show(system: &System, graph: &str, version: Option<u64>) -> anyhow::Result<ExitCode> {
    // What is printed can be edited and applied again: the graph alone.
    answer(system, &Command::Show { graph: graph.into(), version }, |document| {
        serde_json::to_string_pretty(&document["spec"]).unwrap_or_default()
    })
}

pub(super) fn diff(
    system: &System,
    graph: &str,
    from: Option<u64>,
    to: Option<u64>,
) -> anyhow::Result<ExitCode> {
    answer(system, &Command::Diff { graph: graph.into(), from, to }, diff_text)
}

pub(super) fn history(system: &System, graph: &str) -> anyhow::Result<ExitCode> {
    answer(system, &Command::History { graph: graph.into() }, history_text)
}

fn rows<'a>(document: &'a Value, key: &str) -> &'a [Value] {
    document[key].as_array().map_or(&[][..], Vec::as_slice)
}

fn list_text(document: &Value) -> String {
    let row = |g: &Value| {
        ["name", "version", "nodes", "publish", "description"].map(|k| print::cell(&g[k])).to_vec()
    };
    match rows(document, "graphs") {
        [] => "no graphs: `ami-ctl graph apply FILE` makes one".into(),
        graphs => {
            print::table(&["GRAPH", "VERSION", "NODES", "PUBLISHED", ""], graphs.iter().map(row))
        }
    }
}

fn history_text(document: &Value) -> String {
    let row = |v: &Value| {
        let withdrawn = print::cell(&v["withdrawn"]);
        let note =
            if withdrawn.is_empty() { String::new() } else { format!("withdrawn: {withdrawn}") };
        let when = v["when"].as_u64().map_or_else(|| print::cell(&v["when"]), print::utc);
        let text = |key: &str| print::cell(&v[key]);
        vec![text("version"), when, text("who"), text("what"), note]
    };
    print::table(
        &["VERSION", "WHEN", "WHO", "WHAT", ""],
        rows(document, "versions").iter().map(row),
    )
}

/// A difference for people.
pub(super) fn diff_text(document: &Value) -> String {
    let mut lines = vec![format!("version {} → {}", document["from"], document["to"])];
    for change in rows(document, "changes") {
        let what: Vec<String> = ["node", "parameter"]
            .iter()
            .map(|k| print::cell(&change[*k]))
            .filter(|t| !t.is_empty())
            .collect();
        lines.push(
            format!("{} {}", print::cell(&change["change"]), what.join(" ")).trim_end().to_string(),
        );
        for (key, sign) in [("before", '-'), ("after", '+')] {
            if !change[key].is_null() {
                lines.push(format!("  {sign} {}", change[key]));
            }
        }
    }
    if lines.len() == 1 {
        lines.push("no difference".into());
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn differences_are_shown_before_and_after() {
        let document = json!({"from": 1, "to": 3, "changes": [
            {"node": "scan", "change": "changed", "before": {"bins": 50}, "after": {"bins": 60}},
            {"node": "roi", "change": "removed", "before": {"op": "roi"}, "after": null}]});
        assert_eq!(
            diff_text(&document),
            "version 1 → 3\nchanged scan\n  - {\"bins\":50}\n  + {\"bins\":60}\nremoved roi\n  - {\"op\":\"roi\"}"
        );
        assert!(diff_text(&json!({"from": 1, "to": 1, "changes": []})).ends_with("no difference"));
    }

    #[test]
    fn lists_are_tables() {
        let document =
            json!({"graphs": [{"name": "g", "version": 4, "nodes": 2, "publish": ["a", "b"]}]});
        assert!(list_text(&document).contains("a, b"));
        assert!(list_text(&json!({"graphs": []})).contains("graph apply"));
        let versions = json!({"versions": [{"version": 1, "who": "ann@h", "when": "t", "what": "apply",
                                            "withdrawn": "worker refused"}]});
        assert!(history_text(&versions).contains("withdrawn: worker refused"));
    }
}
