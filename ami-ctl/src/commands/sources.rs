//! `ami-ctl sources`: fields on offer.

use crate::client::system::System;
use crate::print;
use ami_proto::control::ctl_to_manager::Command;
use serde_json::Value;
use std::process::ExitCode;

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only fields whose name or alias contains this
    pattern: Option<String>,
}

/// Prints the fields of every host.
///
/// # Errors
/// When the manager does not answer.
pub fn run(args: &Args, system: &System) -> anyhow::Result<ExitCode> {
    let mut document = system.manager().command(&Command::Sources)?;
    if let Some(pattern) = &args.pattern {
        for source in document["sources"].as_array_mut().into_iter().flatten() {
            if let Some(fields) = source["fields"].as_array_mut() {
                fields.retain(|f| matches(f, pattern));
            }
        }
    }
    if system.json {
        print::json(&document)?;
    } else {
        print::line(&text(&document))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn matches(field: &Value, pattern: &str) -> bool {
    let aliases = field["aliases"].as_array().into_iter().flatten();
    std::iter::once(&field["name"])
        .chain(aliases)
        .any(|n| n.as_str().is_some_and(|n| n.contains(pattern)))
}

fn text(document: &Value) -> String {
    let mut parts = Vec::new();
    for source in document["sources"].as_array().into_iter().flatten() {
        let fields = source["fields"].as_array().map_or(&[][..], Vec::as_slice);
        parts.push(format!("host {}: {} fields", print::cell(&source["host"]), fields.len()));
        parts.push(print::table(
            &["FIELD", "TYPE", "SHAPE", "KIND", "RATE", "ALSO"],
            fields.iter().map(row),
        ));
    }
    if parts.is_empty() {
        return "no source has announced its fields: is the ventilator running? see `ami-ctl status`".into();
    }
    parts.join("\n")
}

fn row(field: &Value) -> Vec<String> {
    let rate = field["rate"].as_f64().map_or(String::new(), |r| format!("{}/s", print::short(r)));
    vec![
        print::cell(&field["name"]),
        print::cell(&field["dtype"]),
        shape(field),
        print::cell(&field["kind"]),
        rate,
        print::cell(&field["aliases"]),
    ]
}

/// `scalar`, `512×1024`, or `?×?` where the lengths vary.
fn shape(field: &Value) -> String {
    if let Some(axes) = field["shape"].as_array().filter(|a| !a.is_empty()) {
        return axes.iter().map(print::cell).collect::<Vec<_>>().join("×");
    }
    match field["rank"].as_u64() {
        Some(0) => "scalar".into(),
        Some(rank) => vec!["?"; rank.min(8) as usize].join("×"),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn fields_read_like_declarations() {
        let document = json!({"sources": [{"host": "h", "fields": [
            {"name": "gmd:raw:energy", "dtype": "f64", "rank": 0, "kind": "event"},
            {"name": "cam:raw:image", "dtype": "u16", "rank": 2, "shape": [512, 1024], "kind": "event"},
            {"name": "wf", "dtype": "i16", "rank": 1, "aliases": ["acq"], "kind": "event"}]}]});
        let text = text(&document);
        assert!(text.contains("host h: 3 fields") && text.contains("512×1024"));
        assert!(text.contains("scalar") && text.contains("acq"));
        assert!(matches(&document["sources"][0]["fields"][2], "cq"));
        assert!(super::text(&json!({"sources": []})).contains("ami-ctl status"));
    }
}
