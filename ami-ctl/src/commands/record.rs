//! `ami-ctl record`: events as they pass, to a file that replays.
//!
//! The ventilator's own program records: it has the ring's reader and the file format. This finds
//! it, gives it this system's configuration, and passes signals on.

use crate::client::system::System;
use crate::commands::seconds;
use crate::failure::Failure;
use crate::local::processes::binary;
use rustix::process::{Pid, Signal, kill_process};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode};
use std::time::Duration;

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The file to write (XTC2)
    file: PathBuf,
    /// Stop after so many seconds; else at Ctrl-C or the end of data
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    seconds: Option<Duration>,
    /// Stop after so many events
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    events: Option<u64>,
}

impl Args {
    /// To this file, until so much time has passed or so many events have come.
    pub(super) fn new(file: PathBuf, time: Duration, events: u64) -> Args {
        Args { file, seconds: Some(time), events: Some(events) }
    }
}

/// Records until the end.
///
/// # Errors
/// When the program is missing or cannot be run; its own errors it tells itself.
pub fn run(args: &Args, system: &System) -> anyhow::Result<ExitCode> {
    let run_dir = &system.config.instance.run_dir;
    if !run_dir.is_dir() {
        return Err(crate::client::error::ClientError::NoRunDir { dir: run_dir.clone() }.into());
    }
    let program = binary("ami-ventilator")?;
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])?;
    let mut child = command(&program, args, system).spawn().map_err(|e| {
        Failure::failed(format!("cannot run {}: {e}", program.display()), "is it executable?")
    })?;
    loop {
        if let Some(status) = child.try_wait()? {
            // Ended by a signal: it cannot have finished the file.
            return Ok(ExitCode::from(
                status.code().and_then(|c| u8::try_from(c).ok()).unwrap_or(1),
            ));
        }
        if signals.pending().count() > 0 {
            stop(&child);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The recorder, to be started.
pub(super) fn command(program: &Path, args: &Args, system: &System) -> Command {
    let mut command = Command::new(program);
    command.arg("record");
    if let Some(file) = &system.file {
        command.arg("--config").arg(file);
    }
    for assignment in &system.set {
        command.arg("--set").arg(assignment);
    }
    if let Some(seconds) = args.seconds {
        command.arg("--seconds").arg(seconds.as_secs_f64().to_string());
    }
    if let Some(events) = args.events {
        command.arg("--events").arg(events.to_string());
    }
    if system.json {
        command.arg("--json");
    }
    // Its own group, so that a Ctrl-C at the terminal does not reach it a second time beside us.
    command.process_group(0);
    // A file whose name begins with a dash is still a file.
    command.arg("--").arg(&args.file);
    command
}

/// Whatever asks us to stop asks the recorder, once.
fn stop(child: &Child) {
    if let Some(pid) = Pid::from_raw(child.id() as i32) {
        let _ = kill_process(pid, Signal::TERM);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::system::Globals;

    #[test]
    fn the_recorder_gets_this_systems_configuration() {
        let globals = Globals { run_dir: Some("/tmp/r".into()), json: true, ..Globals::default() };
        let system = System::find(&globals).unwrap();
        let args = Args {
            file: "out.xtc2".into(),
            seconds: Some(Duration::from_millis(1500)),
            events: None,
        };
        let command = command(Path::new("v"), &args, &system);
        let words: Vec<_> = command.get_args().map(|a| a.to_string_lossy().into_owned()).collect();
        assert_eq!(
            words,
            [
                "record",
                "--set",
                "instance.run_dir=\"/tmp/r\"",
                "--seconds",
                "1.5",
                "--json",
                "--",
                "out.xtc2"
            ]
        );
    }
}
