//! `ami-ctl status`: every daemon with state, rates, lag, drops and graph version.

use crate::client::manager::Client;
use crate::client::system::System;
use crate::print;
use crate::show::absent::{listed, never_present};
use crate::show::meters::{self, Member, Rates, drops_text, members};
use ami_proto::control::ctl_to_manager::Command;
use serde_json::Value;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Do not wait a second for rates
    #[arg(long)]
    no_rates: bool,
}

/// Prints the state of the system.
///
/// # Errors
/// When the manager does not answer.
pub fn run(args: &Args, system: &System) -> anyhow::Result<ExitCode> {
    let client = system.manager();
    let first = client.command(&Command::Status)?;
    if system.json {
        // The document as it is, at once: programs look often and count for themselves.
        print::json(&first)?;
        return Ok(ExitCode::SUCCESS);
    }
    let second = if args.no_rates { None } else { Some(newer(&client, &first)?) };
    let (now, before) = match &second {
        Some(second) => (second, Some(&first)),
        None => (&first, None),
    };
    print::line(&text(now, Rates::since(before)))?;
    Ok(ExitCode::SUCCESS)
}

/// A document in which everybody has reported again, or the one after 1.2 s: members report twice
/// a second.
///
/// # Errors
/// When the manager does not answer.
pub fn newer(client: &Client, first: &Value) -> anyhow::Result<Value> {
    let deadline = Instant::now() + Duration::from_millis(1200);
    loop {
        std::thread::sleep(Duration::from_millis(200));
        let now = client.command(&Command::Status)?;
        if meters::all_newer(first, &now) || Instant::now() >= deadline {
            return Ok(now);
        }
    }
}

/// The document for people.
pub fn text(status: &Value, rates: Rates<'_>) -> String {
    let mut parts = vec![summary(status)];
    let heading = [
        "DAEMON", "HOST", "PID", "STATE", "VERSION", "HEARD", "EVENTS", "RATE", "BUSY", "LAG",
        "MEMORY", "DROPS",
    ];
    parts.push(print::table(&heading, members(status).map(|m| row(m, rates))));
    if let Some(error) = status["journal"]["error"].as_str() {
        parts.push(format!("edits are not kept: {error}"));
    }
    for ventilator in members(status).filter(|m| m.text("role") == "ventilator" && m.alive()) {
        let never = never_present(ventilator);
        if !never.is_empty() {
            parts.push(format!("never present: {}", listed(&never)));
        }
    }
    let faults: Vec<String> = members(status).flat_map(faults).collect();
    if !faults.is_empty() {
        parts.push(format!("nodes with errors:\n{}", faults.join("\n")));
    }
    parts.join("\n\n")
}

fn summary(status: &Value) -> String {
    let count = |key: &str| status[key].as_u64().unwrap_or(0);
    let (version, in_effect) = (count("version"), count("in_effect"));
    let graphs = match (version, in_effect) {
        (0, _) => "no graph yet".to_string(),
        (v, e) if v == e => format!("graphs: version {v} in effect everywhere"),
        (v, e) => format!("graphs: version {v}, in effect everywhere: {e}"),
    };
    let sources: Vec<String> = members(status)
        .filter(|m| m.text("role") == "ventilator")
        .map(|m| format!("source on {}: {}", m.text("host"), source_state(m)))
        .collect();
    let sources = if sources.is_empty() { "no ventilator".into() } else { sources.join("; ") };
    format!("{graphs}\n{sources}")
}

/// Live, silent, ended or what is wrong, in the operator's words.
fn source_state(member: Member<'_>) -> &str {
    match member.text("state") {
        _ if !member.alive() => "not heard of",
        "running" => "live",
        "source silent" => "silent",
        state => state,
    }
}

fn row(member: Member<'_>, rates: Rates<'_>) -> Vec<String> {
    let state = match (member.alive(), member.text("state")) {
        (true, state) => state.to_string(),
        (false, state) => format!("GONE (was {state})"),
    };
    let age = member.0["age_ms"].as_f64().map_or(String::new(), |ms| print::duration(ms * 1e6));
    let optional = |x: Option<f64>, show: &dyn Fn(f64) -> String| x.map_or(String::new(), show);
    vec![
        format!("{} {}", member.text("role"), member.text("name")).trim().to_string(),
        member.text("host").into(),
        print::cell(&member.0["pid"]),
        state,
        // The store knows no graphs.
        member.0["version"].as_u64().filter(|&v| v > 0).map_or(String::new(), |v| v.to_string()),
        age,
        optional(member.metric("ami_events_total"), &print::short),
        optional(rates.rate(member, "ami_events_total"), &|r| format!("{}/s", print::short(r))),
        optional(member.metric("ami_busy_ratio"), &|b| format!("{:.0} %", b * 100.0)),
        optional(member.metric("ami_lag_seconds"), &|s| print::duration(s * 1e9)),
        optional(member.memory(), &|share| format!("{:.0} %", share * 100.0)),
        drops_text(&member.drops()),
    ]
}

fn faults(member: Member<'_>) -> Vec<String> {
    let nodes = member.0["nodes"].as_array().into_iter().flatten();
    nodes
        .map(|node| {
            let (name, message) = (print::cell(&node["node"]), print::cell(&node["message"]));
            let who = format!("{} {}", member.text("role"), member.text("name"));
            match node["errors"].as_u64() {
                Some(0) => format!("  {name}: {message}"),
                _ => {
                    format!("  {name} on {who}: {} events: {message}", print::cell(&node["errors"]))
                }
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_table_tells_state_and_drops() {
        let status = json!({"version": 7, "in_effect": 6, "members": [
            {"role": "ventilator", "name": "ventilator", "host": "h", "pid": 5, "state": "source silent",
             "version": 7, "age_ms": 20, "alive": true, "nodes": [],
             "metrics": {"ami_events_total": 12000.0, "ami_dropped_events_total{reason=\"overload\"}": 4.0}},
            {"role": "worker", "name": "worker-0", "host": "h", "pid": 6, "state": "running", "version": 6,
             "age_ms": 9000, "alive": false, "metrics": {"ami_busy_ratio": 0.5, "ami_resident_bytes": 95.0, "ami_memory_max_bytes": 100.0},
             "nodes": [{"node": "g/n", "errors": 3, "message": "shape changed"},
                       {"node": "g/off", "errors": 0, "message": "switched off: no field"}]}]});
        let text = text(&status, Rates::since(None));
        for part in [
            "version 7, in effect everywhere: 6",
            "source on h: silent",
            "4 overload",
            "12.0k",
            "GONE (was running)",
            "50 %",
            "95 %",
            "g/n on worker worker-0: 3 events: shape changed",
            "  g/off: switched off: no field",
        ] {
            assert!(text.contains(part), "{part} in\n{text}");
        }
        assert!(super::text(&json!({}), Rates::since(None)).contains("no graph yet"));
    }
}
