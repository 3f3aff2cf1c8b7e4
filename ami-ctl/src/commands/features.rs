//! `ami-ctl features`: what is published.

use crate::client::system::System;
use crate::print;
use serde_json::Value;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only topics that begin with this
    #[arg(default_value = "")]
    prefix: String,
}

/// Prints the list.
///
/// # Errors
/// When the store does not answer.
pub fn run(args: &Args, system: &System) -> anyhow::Result<ExitCode> {
    let mut list = system.store().list(&args.prefix)?;
    // Marks of whole frames are for programs that subscribe.
    list.retain(|f| !topic(f).ends_with("/@heartbeat"));
    if system.json {
        print::json(&list)?;
    } else if list.is_empty() {
        print::line("no features yet: is a graph active and do events come? see `ami-ctl status`")?;
    } else {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |d| d.as_nanos() as f64);
        let heading = ["FEATURE", "OP", "WINDOW", "VALUE", "AGE", "COMPLETE"];
        print::line(&print::table(&heading, list.iter().map(|f| row(f, now))))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The topic of an entry, which may be the topic alone.
fn topic(feature: &Value) -> &str {
    feature.as_str().or_else(|| feature["topic"].as_str()).unwrap_or_default()
}

fn row(feature: &Value, now_ns: f64) -> Vec<String> {
    let text = |key: &str| print::cell(&feature[key]);
    let age = match feature["age_ms"].as_f64() {
        Some(ms) => Some(ms * 1e6),
        // Data time, where the store does not say: right for live sources.
        None => feature["timestamp_ns"].as_f64().map(|t| (now_ns - t).max(0.0)),
    };
    vec![
        topic(feature).to_string(),
        text("op"),
        text("window"),
        outputs(feature),
        age.map_or(String::new(), print::duration),
        match (feature["window_complete"].as_bool(), feature["complete"].as_bool()) {
            (Some(true), _) | (None, Some(true)) => "yes".into(),
            (None, None) => String::new(),
            _ => "NO".into(),
        },
    ]
}

/// `mean <f8 [50], outside 17`.
fn outputs(feature: &Value) -> String {
    let arrays = feature["arrays"].as_array().into_iter().flatten();
    let mut parts: Vec<String> = arrays
        .map(|a| {
            let shape: Vec<String> =
                a["shape"].as_array().into_iter().flatten().map(print::cell).collect();
            format!("{} {}[{}]", print::cell(&a["name"]), print::cell(&a["dtype"]), shape.join("×"))
        })
        .collect();
    for (name, value) in feature["values"].as_object().into_iter().flatten() {
        let text = value.as_f64().map_or_else(|| print::cell(value), print::number);
        parts.push(format!("{name} {text}"));
    }
    // The store lists the names alone.
    parts.extend(feature["values"].as_array().into_iter().flatten().map(print::cell));
    if let Some(reason) = feature["error"].as_str() {
        parts.push(format!("none: {}", print::shortened(reason, 60)));
    }
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn rows_name_arrays_and_values() {
        let feature = json!({"topic": "g/n", "window": "run", "window_complete": false, "timestamp_ns": 1e9,
            "arrays": [{"name": "mean", "dtype": "<f8", "shape": [50, 2]}], "values": {"outside": 17}});
        let row = row(&feature, 3e9);
        assert_eq!(row[3], "mean <f8[50×2], outside 17");
        assert_eq!((row[4].as_str(), row[5].as_str()), ("2.0 s", "NO"));
        assert_eq!(super::row(&json!("g/n"), 0.0)[0], "g/n");
        let failed = json!({"topic": "g/n", "error": "state too large"});
        assert_eq!(super::row(&failed, 0.0)[3], "none: state too large");
    }
}
