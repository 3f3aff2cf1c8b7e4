//! `ami-ctl top`: live rates, utilisation, lag, cost per node, drops.

use crate::client::manager::Client;
use crate::client::system::System;
use crate::commands::seconds;
use crate::commands::status;
use crate::commands::watch::quits;
use crate::print;
use crate::show::meters::{Member, Rates, members};
use ami_proto::control::ctl_to_manager::Command;
use ratatui::DefaultTerminal;
use ratatui::crossterm::event;
use ratatui::widgets::Paragraph;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Seconds that a node's computation took, by `graph/node`.
const COST: &str = "ami_node_seconds_total";

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Print once and exit
    #[arg(long)]
    once: bool,
    /// Stop after so many seconds
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    duration: Option<Duration>,
}

/// Shows the numbers until `q`, Ctrl-C or the end of the time.
///
/// # Errors
/// When the manager does not answer, or the terminal cannot be used.
pub fn run(args: &Args, system: &System) -> anyhow::Result<ExitCode> {
    let client = system.manager();
    let mut view = View { before: client.command(&Command::Status)?, client };
    let deadline = args.duration.map(|d| Instant::now() + d);
    if args.once {
        let (now, before) = view.next()?;
        if system.json {
            print::json(&document(&now, &before))?;
        } else {
            print::line(&text(&now, &before))?;
        }
    } else if system.json || !std::io::stdout().is_terminal() {
        while deadline.is_none_or(|d| Instant::now() < d) {
            let (now, before) = view.next()?;
            let line =
                if system.json { document(&now, &before).to_string() } else { text(&now, &before) };
            print::line(&line)?;
        }
    } else {
        ratatui::run(|terminal| view.live(terminal, deadline))?;
    }
    Ok(ExitCode::SUCCESS)
}

struct View {
    client: Client,
    before: Value,
}

impl View {
    /// The next document, and the one before.
    fn next(&mut self) -> anyhow::Result<(Value, Value)> {
        let now = status::newer(&self.client, &self.before)?;
        let before = std::mem::replace(&mut self.before, now.clone());
        Ok((now, before))
    }

    fn live(
        &mut self,
        terminal: &mut DefaultTerminal,
        deadline: Option<Instant>,
    ) -> anyhow::Result<()> {
        while deadline.is_none_or(|d| Instant::now() < d) {
            // A manager that is being restarted is waited for, not a reason to go.
            let text = match self.next() {
                Ok((now, before)) => text(&now, &before),
                Err(error) => format!("{error:#}"),
            };
            let shown = Paragraph::new(format!("{text}\n\nq quits"));
            terminal.draw(|frame| frame.render_widget(shown, frame.area()))?;
            while event::poll(Duration::ZERO)? {
                if quits(&event::read()?) {
                    return Ok(());
                }
            }
        }
        Ok(())
    }
}

fn text(now: &Value, before: &Value) -> String {
    let rates = Rates::since(Some(before));
    let mut parts = vec![status::text(now, rates)];
    let flow: Vec<String> = members(now).flat_map(|m| flow_lines(m, rates)).collect();
    if !flow.is_empty() {
        parts.push(flow.join("\n"));
    }
    if let Some(load) = Load::of(now, rates) {
        parts.push(load.text());
    }
    let costs = costs(now, before);
    if !costs.is_empty() {
        let row =
            |(node, cost): &(String, f64)| vec![node.clone(), format!("{:.2} %", cost * 100.0)];
        parts.push(print::table(&["NODE", "OF A CORE"], costs.iter().map(row)));
    }
    parts.join("\n\n")
}

/// Bytes per second of workers, and how full the ring is.
fn flow_lines(member: Member<'_>, rates: Rates<'_>) -> Vec<String> {
    let mut lines = Vec::new();
    let name = format!("{} {}", member.text("role"), member.text("name"));
    if let Some(rate) = rates.rate(member, "ami_bytes_total") {
        lines.push(format!("{name}: {}/s from the ring", print::bytes(rate)));
    }
    if let (Some(used), Some(size)) =
        (member.metric("ami_ring_used_bytes"), member.metric("ami_ring_bytes"))
        && size > 0.0
    {
        let lanes = member.metric("ami_lanes").unwrap_or(0.0);
        let flushes = member.metric("ami_flushes_in_flight").unwrap_or(0.0);
        lines.push(format!(
            "{name}: ring {:.0} % of {} in use, {lanes} lanes, {flushes} flushes in flight",
            used / size * 100.0,
            print::bytes(size)
        ));
    }
    lines
}

/// What workers do, and what they could do.
struct Load {
    /// Events per second, of all workers.
    events: f64,
    /// Part of the time that they work, on average.
    busy: f64,
    /// Events per second at which they would do nothing but work.
    saturates: f64,
}

impl Load {
    /// A worker that is nearly idle says nothing about its speed: it is taken to be as fast as the
    /// others on average. None while nobody works.
    fn of(status: &Value, rates: Rates<'_>) -> Option<Load> {
        let workers: Vec<(f64, f64)> = members(status)
            .filter(|m| m.text("role") == "worker" && m.alive())
            .filter_map(|m| {
                let busy = m.metric("ami_busy_ratio")?.clamp(0.0, 1.0);
                Some((rates.rate(m, "ami_events_total")?, busy))
            })
            .collect();
        let measured = workers.iter().filter(|(rate, busy)| *busy >= 0.01 && *rate > 0.0);
        let speeds: Vec<f64> = measured.map(|(rate, busy)| rate / busy).collect();
        if speeds.is_empty() {
            return None;
        }
        let mean = speeds.iter().sum::<f64>() / speeds.len() as f64;
        let count = workers.len() as f64;
        Some(Load {
            events: workers.iter().map(|w| w.0).sum(),
            busy: workers.iter().map(|w| w.1).sum::<f64>() / count,
            saturates: mean * count,
        })
    }

    fn text(&self) -> String {
        format!(
            "workers do {} events/s and are {:.0} % busy; they saturate at about {} events/s",
            print::short(self.events),
            self.busy * 100.0,
            print::short(self.saturates)
        )
    }
}

/// Fraction of a core that each node takes, over all members, dearest first.
fn costs(now: &Value, before: &Value) -> Vec<(String, f64)> {
    let rates = Rates::since(Some(before));
    let mut total: BTreeMap<String, f64> = BTreeMap::new();
    for member in members(now) {
        for node in member.by_label(COST, "node").into_keys() {
            let name = format!("{COST}{{node=\"{node}\"}}");
            *total.entry(node.to_string()).or_default() += rates.rate(member, &name).unwrap_or(0.0);
        }
    }
    let mut costs: Vec<(String, f64)> = total.into_iter().collect();
    costs.sort_by(|a, b| b.1.total_cmp(&a.1));
    costs
}

/// The status document with `rates` for every member and `costs` for every node.
fn document(now: &Value, before: &Value) -> Value {
    let rates = Rates::since(Some(before));
    let mut document = now.clone();
    for (slot, member) in document["members"].as_array_mut().into_iter().flatten().zip(members(now))
    {
        let rate = |name: &str| rates.rate(member, name);
        slot["rates"] =
            json!({"events": rate("ami_events_total"), "bytes": rate("ami_bytes_total")});
    }
    document["load"] = Load::of(now, rates).map_or(
        Value::Null,
        |load| json!({"events": load.events, "busy": load.busy, "saturates_at": load.saturates}),
    );
    document["costs"] = costs(now, before)
        .into_iter()
        .map(|(node, cost)| json!({"node": node, "cores": cost}))
        .collect();
    document
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(seconds: f64, cost: f64) -> Value {
        json!({"version": 1, "in_effect": 1, "members": [{"role": "worker", "name": "w", "host": "h", "pid": 1,
            "state": "running", "alive": true, "metrics": {"ami_report_time_ns": seconds * 1e9,
            "ami_bytes_total": seconds * 1048576.0, "ami_events_total": seconds * 1000.0,
            "ami_busy_ratio": 0.25, "ami_node_seconds_total{node=\"g/n\"}": cost}}]})
    }

    #[test]
    fn costs_and_rates_are_of_the_time_between() {
        let (before, now) = (status(1.0, 0.5), status(3.0, 1.0));
        let text = text(&now, &before);
        assert!(text.contains("g/n") && text.contains("25.00 %"), "{text}");
        assert!(text.contains("1.0 MiB/s from the ring"));
        assert!(text.contains("25 % busy; they saturate at about 4"), "{text}");
        let document = document(&now, &before);
        assert_eq!(document["costs"][0]["cores"], 0.25);
        assert_eq!(document["load"]["saturates_at"], 4000.0);
        assert_eq!(document["members"][0]["rates"]["bytes"], 1048576.0);
    }
}
