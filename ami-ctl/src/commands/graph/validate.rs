//! `graph validate`: by the engine here, and by a manager against the fields on offer.

use crate::client::error::ClientError;
use crate::client::refusal::fault_line;
use crate::client::system::System;
use crate::failure::Failure;
use crate::graph_file::GraphFile;
use crate::print;
use ami_graph::ops::USER_CODE;
use ami_proto::control::ctl_to_manager::Command;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

/// A manager that is there answers within this; validation does not need one.
const PATIENCE: Duration = Duration::from_millis(1000);
/// Code is read by an interpreter, which may have to be started, and tried.
const WITH_CODE: Duration = Duration::from_secs(90);

pub(super) fn run(system: &System, files: &[PathBuf]) -> anyhow::Result<ExitCode> {
    let verdicts: Vec<Value> = files.iter().map(|f| judge(system, f)).collect::<Result<_, _>>()?;
    let good = verdicts.iter().all(|v| v["valid"] == true);
    if system.json {
        let document = json!({"valid": good, "files": verdicts});
        print::json(&document)?;
    } else {
        for verdict in &verdicts {
            print::line(&text(verdict))?;
        }
    }
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn judge(system: &System, path: &Path) -> Result<Value, anyhow::Error> {
    let file = GraphFile::read(path)?;
    let mut errors: Vec<Value> =
        file.check().iter().filter_map(|e| serde_json::to_value(e).ok()).collect();
    let mut against = "the engine alone: no manager answered";
    let outdated = file.spec.outdated();
    let mut warning = if outdated.is_empty() { Value::Null } else { outdated.join("; ").into() };
    if errors.is_empty()
        && let Some(document) = by_manager(system, &file)?
    {
        against = "the fields on offer";
        errors = document["errors"].as_array().cloned().unwrap_or_default();
        warning = document["warning"].clone();
    }
    Ok(json!({
        "file": file.origin, "graph": file.spec.name, "valid": errors.is_empty(), "against": against,
        "errors": errors, "warning": warning,
    }))
}

/// None when there is no manager.
pub(super) fn by_manager(system: &System, file: &GraphFile) -> Result<Option<Value>, Failure> {
    let command = Command::Validate { spec: file.json.clone() };
    let has_code = file.spec.nodes.values().any(|node| node.op == USER_CODE);
    let patience = if has_code { WITH_CODE } else { PATIENCE };
    match system.manager().ask(&command, patience) {
        Ok(document) => Ok(Some(document)),
        Err(ClientError::NoRunDir { .. } | ClientError::NoAnswer { .. }) => Ok(None),
        Err(ClientError::Refused(refusal)) => Err(Failure { code: 1, refusal }),
        Err(error) => Err(Failure::failed(error.to_string(), "")),
    }
}

fn text(verdict: &Value) -> String {
    let place = format!("{}: graph {}", print::cell(&verdict["file"]), verdict["graph"]);
    let against = print::cell(&verdict["against"]);
    let mut lines = match verdict["errors"].as_array().map_or(&[][..], Vec::as_slice) {
        [] => vec![format!("{place} is valid (checked against {against})")],
        errors => {
            let mut lines = vec![format!("{place} is not valid (checked against {against}):")];
            lines.extend(errors.iter().map(|e| format!("  {}", fault_line(e))));
            lines
        }
    };
    if !verdict["warning"].is_null() {
        lines.push(format!("  warning: {}", print::cell(&verdict["warning"])));
    }
    lines.join("\n")
}
