//! Where `node check` takes events from: what was asked for, a recording of what runs here, or a
//! simulated beamline.

use crate::client::system::System;
use crate::commands::node::Workshop;
use crate::commands::record;
use crate::failure::Failure;
use crate::local::processes::binary;
use ami_proto::control::ctl_to_manager::Command;
use std::process::Stdio;
use std::time::Duration;

/// The simulated beamline, where nothing else is there.
const SIMULATED: &str = "sim:pump-probe";
/// A system that runs here answers within this.
const PATIENCE: Duration = Duration::from_millis(500);
/// So long events of a running system are recorded.
const RECORDING: Duration = Duration::from_secs(5);

/// A source.
#[derive(Debug)]
pub struct Chosen {
    /// To be opened.
    pub url: String,
    /// For people.
    pub told: String,
}

/// Chooses. Of a running system so many of its newest events are recorded.
///
/// # Errors
/// When a system runs and cannot be recorded.
pub fn choose(
    asked: Option<&String>,
    system: &System,
    workshop: &Workshop,
    events: usize,
) -> Result<Chosen, Failure> {
    if let Some(url) = asked {
        return Ok(Chosen { url: url.clone(), told: url.clone() });
    }
    if system.manager().ask(&Command::List, PATIENCE).is_err() {
        return Ok(Chosen { url: SIMULATED.into(), told: SIMULATED.into() });
    }
    let failed = |reason: String| {
        let error = format!("a system runs here, its events could not be recorded: {reason}");
        Failure::failed(error, format!("name a source, such as --source {SIMULATED}"))
    };
    let file = workshop.file("live.xtc2");
    let limits = record::Args::new(file.clone(), RECORDING, events as u64);
    let mut recorder = record::command(&binary("ami-ventilator")?, &limits, system);
    let output = recorder.stdin(Stdio::null()).output().map_err(|e| failed(e.to_string()))?;
    if !output.status.success() {
        let told = String::from_utf8_lossy(&output.stderr);
        return Err(failed(told.lines().last().unwrap_or("no reason given").to_string()));
    }
    // A source that waits for its first graph gives nothing, not even what it has.
    if std::fs::metadata(&file).map_or(0, |file| file.len()) == 0 {
        let seconds = RECORDING.as_secs();
        let reason =
            format!("none came within {seconds} s; `ami-ctl status` tells what it waits for");
        return Err(failed(reason));
    }
    let told = format!("the system that runs in {}", system.config.instance.run_dir.display());
    Ok(Chosen { url: format!("xtc2:{}", file.display()), told })
}
