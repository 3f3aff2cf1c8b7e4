//! What a local run asks its own manager: to apply the graphs, and whether everything is done.
//! Each runs in a thread, so that supervision goes on meanwhile.

use crate::client::error::ClientError;
use crate::client::manager::Client;
use crate::commands::graph::outcome;
use crate::environment;
use crate::failure::{Failure, classify};
use crate::graph_file::GraphFile;
use crate::show::meters::{Member, members};
use ami_proto::config::Config;
use ami_proto::control::ctl_to_manager::{Command, Edit};
use serde_json::Value;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// Fields are waited for so long; a graph is checked against them.
const FIELDS: Duration = Duration::from_secs(10);
/// An edit is waited for so long.
const EFFECT: u64 = 10;
/// How often is looked.
const LOOK: Duration = Duration::from_millis(100);

/// Applies graphs one after the other; the lines to print, or why one was refused.
pub fn apply(
    config: &Config,
    graphs: Vec<GraphFile>,
    hosts: usize,
) -> Receiver<Result<Vec<String>, Failure>> {
    let (client, who) = (Client::new(config), environment::who(&config.instance.host));
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let result = apply_all(&client, graphs, hosts, &who);
        // The receiver is gone when the run was stopped meanwhile.
        let _ = sender.send(result);
    });
    receiver
}

fn apply_all(
    client: &Client,
    graphs: Vec<GraphFile>,
    hosts: usize,
    who: &str,
) -> Result<Vec<String>, Failure> {
    let mut lines = Vec::new();
    let deadline = Instant::now() + FIELDS;
    while sources(client)? < hosts && Instant::now() < deadline {
        std::thread::sleep(LOOK);
    }
    for graph in graphs {
        let edit = Edit { who: who.into(), no_wait: false, timeout_s: EFFECT };
        let command = Command::Apply { spec: graph.json, base: None, edit };
        let document = client.command(&command).map_err(|e| failure(e, &graph.origin))?;
        lines.push(outcome(&document));
    }
    Ok(lines)
}

fn sources(client: &Client) -> Result<usize, Failure> {
    let document = client.command(&Command::Sources).map_err(|e| failure(e, ""))?;
    Ok(document["sources"].as_array().map_or(0, Vec::len))
}

fn failure(error: ClientError, origin: &str) -> Failure {
    let error = anyhow::Error::from(error);
    let mut failure = classify(&error).unwrap_or_else(|| Failure::failed(error.to_string(), ""));
    if !origin.is_empty() {
        failure.refusal.error = format!("{origin}: {}", failure.refusal.error);
    }
    failure
}

/// Tells when every source has ended and everything is published.
pub fn end(config: &Config, hosts: usize) -> Receiver<()> {
    let client = Client::new(config);
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let mut progress = Progress::default();
        loop {
            // A manager that is being restarted is asked again.
            if let Ok(status) = client.command(&Command::Status)
                && progress.done(&status, hosts)
            {
                let _ = sender.send(());
                return;
            }
            std::thread::sleep(LOOK);
        }
    });
    receiver
}

/// How far the end has come, over several status documents.
#[derive(Debug, Default)]
pub struct Progress {
    /// When the last ventilator reported that all its flushes are decided.
    drained_ns: Option<f64>,
}

impl Progress {
    /// Whether a status document says that every source has ended and all is published.
    pub fn done(&mut self, status: &Value, hosts: usize) -> bool {
        let of = |role: &'static str| {
            members(status).filter(move |m| m.text("role") == role && m.alive())
        };
        let time = |m: Member<'_>| m.metric("ami_report_time_ns").unwrap_or(0.0);
        let drained =
            |m: Member<'_>| m.text("state") == "ended" && m.metric("ami_drained") == Some(1.0);
        if of("ventilator").filter(|m| drained(*m)).count() < hosts {
            self.drained_ns = None;
            return false;
        }
        let latest = of("ventilator").map(time).fold(0.0, f64::max);
        let since = *self.drained_ns.get_or_insert(latest);
        // Only a report of the root that is younger speaks of all decided flushes.
        of("root").any(|m| time(m) > since && m.metric("ami_open_heartbeats").unwrap_or(0.0) == 0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn status(drained: f64, state: &str, root_ns: f64, open: f64) -> Value {
        json!({"members": [
            {"role": "ventilator", "state": state, "metrics": {"ami_drained": drained, "ami_report_time_ns": 100.0}},
            {"role": "root", "state": "running", "metrics": {"ami_open_heartbeats": open, "ami_report_time_ns": root_ns}}]})
    }

    #[test]
    fn the_end_is_when_the_root_says_so_after_the_ventilator() {
        let mut progress = Progress::default();
        assert!(!progress.done(&status(0.0, "running", 90.0, 1.0), 1));
        assert!(!progress.done(&status(0.0, "ended", 120.0, 0.0), 1), "not decided yet");
        assert!(!progress.done(&status(1.0, "ended", 90.0, 0.0), 1), "the root's report is older");
        assert!(!progress.done(&status(1.0, "ended", 110.0, 2.0), 1), "heartbeats are open");
        assert!(progress.done(&status(1.0, "ended", 110.0, 0.0), 1));
        assert!(
            !progress.done(&status(1.0, "ended", 110.0, 0.0), 2),
            "the other host has not ended"
        );
    }
}
