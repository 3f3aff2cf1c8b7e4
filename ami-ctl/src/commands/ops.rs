//! `ami-ctl ops`: the table of operations, from the engine itself.

use crate::failure::Failure;
use crate::print;
use ami_graph::error::nearest;
use serde_json::Value;
use std::process::ExitCode;

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// One operation in full, with an example
    op: Option<String>,
    /// The whole table as a page of documentation
    #[arg(long, conflicts_with = "op")]
    markdown: bool,
}

/// Prints the table, or one operation.
///
/// # Errors
/// When there is no such operation.
pub fn run(args: &Args, json: bool) -> anyhow::Result<ExitCode> {
    if args.markdown {
        print::line(ami_graph::ops::markdown().trim_end())?;
        return Ok(ExitCode::SUCCESS);
    }
    let table = ami_graph::ops::ops_json();
    let ops = table.as_array().map_or(&[][..], Vec::as_slice);
    match &args.op {
        None if json => print::json(&table)?,
        None => print::line(&overview(ops))?,
        Some(name) => {
            let op = find(ops, name)?;
            if json { print::json(op)? } else { print::line(&in_full(op))? }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn list<'a>(op: &'a Value, key: &str) -> &'a [Value] {
    op.get(key).and_then(Value::as_array).map_or(&[][..], Vec::as_slice)
}

fn find<'a>(ops: &'a [Value], name: &str) -> Result<&'a Value, Failure> {
    ops.iter().find(|op| text(op, "name") == name).ok_or_else(|| {
        let hint = nearest(name, ops.iter().map(|op| text(op, "name")));
        Failure::failed(
            format!("no operation {name:?}"),
            format!("{hint} (`ami-ctl ops` lists all)"),
        )
    })
}

fn overview(ops: &[Value]) -> String {
    let row = |op: &Value| {
        vec![text(op, "name").into(), text(op, "kind").into(), text(op, "summary").into()]
    };
    let heading = ["OP", "KIND", "MEANING"];
    format!(
        "{}\n\n`ami-ctl ops OP` shows one with its inputs, parameters, outputs and an example.",
        print::table(&heading, ops.iter().map(row))
    )
}

fn in_full(op: &Value) -> String {
    let mut parts =
        vec![format!("{} ({}): {}", text(op, "name"), text(op, "kind"), text(op, "summary"))];
    if !text(op, "doc").is_empty() {
        parts.push(text(op, "doc").into());
    }
    if !list(op, "inputs").is_empty() {
        let row = |i: &Value| {
            let need = if i["required"] == false { "optional" } else { "" };
            vec![format!("  {}", text(i, "name")), text(i, "doc").into(), need.into()]
        };
        parts.push(print::table(&["INPUT", "", ""], list(op, "inputs").iter().map(row)));
    }
    if !list(op, "params").is_empty() {
        let heading = ["PARAMETER", "TYPE", "DEFAULT", "UNIT", "ACCEPTED", "MEANING"];
        parts.push(print::table(&heading, list(op, "params").iter().map(parameter)));
    }
    if op["window"] == true {
        parts.push(
            "window: \"run\" (default), \"heartbeat\", \"step\", {\"heartbeats\": n}, {\"seconds\": T}, {\"events\": N}"
                .into(),
        );
    }
    let row = |o: &Value| vec![format!("  {}", text(o, "name")), text(o, "doc").into()];
    parts.push(print::table(&["OUTPUT", ""], list(op, "outputs").iter().map(row)));
    if !op["example"].is_null() {
        let example = serde_json::to_string_pretty(&op["example"]).unwrap_or_default();
        parts.push(format!("Example of a node:\n{example}"));
    }
    if text(op, "kind") == "user-code" {
        parts.push(
            "`ami-ctl node new NAME` writes a file to begin with, `node describe FILE` shows what is in one, \
             `node check FILE` tries it on events; `graph apply --watch GRAPH` follows both while you edit."
                .into(),
        );
    }
    parts.join("\n\n")
}

fn parameter(p: &Value) -> Vec<String> {
    let default =
        if p["required"] == true { "(required)".into() } else { print::cell(&p["default"]) };
    vec![
        format!("  {}", text(p, "name")),
        text(p, "type").into(),
        default,
        text(p, "unit").into(),
        print::cell(&p["range"]),
        text(p, "doc").into(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn table() -> Value {
        json!([{"name": "mean", "summary": "Mean over events", "doc": "Neumaier sums.", "kind": "reduction",
                "inputs": [{"name": "value", "doc": "any", "required": true}], "with": false,
                "params": [{"name": "bins", "type": "integer", "default": "50", "unit": "", "range": "≥ 1",
                            "doc": "how many", "required": false}],
                "window": true, "outputs": [{"name": "value", "doc": "the mean"}],
                "example": {"op": "mean", "in": "scalar"}}])
    }

    #[test]
    fn one_op_in_full_has_everything() {
        let table = table();
        let text = in_full(find(table.as_array().unwrap(), "mean").unwrap());
        for part in ["mean (reduction)", "Neumaier", "bins", "window:", "\"op\": \"mean\""] {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert!(overview(table.as_array().unwrap()).contains("Mean over events"));
    }

    #[test]
    fn user_code_says_how_to_begin() {
        let op =
            json!({"name": "python", "kind": "user-code", "summary": "a function of your own"});
        assert!(in_full(&op).contains("`ami-ctl node new NAME`"));
        assert!(!in_full(&table()[0]).contains("node new"));
    }

    #[test]
    fn unknown_ops_name_the_nearest() {
        let table = table();
        let failure = find(table.as_array().unwrap(), "meen").unwrap_err();
        assert!(failure.refusal.hint.contains("did you mean \"mean\"?"));
    }
}
