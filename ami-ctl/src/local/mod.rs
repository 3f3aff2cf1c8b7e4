//! `ami-ctl local`: the whole system on this machine, one process per daemon, supervised.
//!
//! Order matters twice. Graphs are applied before the first worker starts: a lossless source is
//! held until its workers are there, so every graph sees the first event. And what feeds is
//! stopped before what it feeds.

pub mod control;
mod layout;
pub mod leavings;
pub mod processes;
mod run;
pub mod supervisor;

use crate::client::system::{Globals, assignment, chosen_run_dir};
use crate::commands::seconds;
use crate::failure::Failure;
use crate::graph_file::GraphFile;
use ami_proto::config::Config;
use layout::{Layout, RunDir};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What to read: sim:NAME_OR_FILE?rate=…, xtc2:PATH[,PATH…]; `ami-ventilator --help` lists all
    #[arg(long, value_name = "URL")]
    source: Option<String>,
    /// Workers per host; one less than there are cores unless given, at most 8
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    workers: Option<u16>,
    /// A graph to apply before the data flow; may be repeated
    #[arg(long = "graph", value_name = "FILE")]
    graphs: Vec<PathBuf>,
    /// Stop after so many seconds
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    duration: Option<Duration>,
    /// Stop when the source has ended and all results are published
    #[arg(long)]
    exit_at_end: bool,
    /// Serve the graphs as a karabo-bridge server at this address, as tcp://*:45000
    #[arg(long, value_name = "ADDRESS")]
    karabo: Option<String>,
    /// Play so many hosts on this machine, each with a ventilator of its own that reads the source
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=32))]
    hosts: u16,
}

/// Runs the system until it is stopped.
///
/// # Errors
/// When it cannot be started, a graph is refused, or a daemon fails for good.
pub fn run(args: &Args, globals: &Globals) -> anyhow::Result<ExitCode> {
    let graphs: Vec<GraphFile> = args
        .graphs
        .iter()
        .map(|path| GraphFile::read(path)?.checked())
        .collect::<Result<_, Failure>>()?;
    let given = chosen_run_dir(globals)?;
    let mut config = Config::load(globals.config.as_deref(), &globals.set)?;
    let source = args.source.clone().unwrap_or_else(|| config.ventilator.source.clone());
    if source.is_empty() {
        let hint = "give one with --source, such as --source sim:pump-probe?rate=1000";
        return Err(Failure::usage("no source", hint).into());
    }
    let mut dir = RunDir::make(given, &config.ventilator.ring_dir)?;
    let workers = args.workers.map_or_else(default_workers, usize::from);
    let name = assignment("instance.name", &leavings::instance(dir.path()));
    // What the user sets goes before our choice of name and ports, not before what makes a run.
    let mut set = vec![name, "metrics.port=0".to_string()];
    set.extend(globals.set.iter().cloned());
    set.push(assignment("instance.run_dir", &dir.path().display().to_string()));
    set.push(assignment("ventilator.source", &source));
    set.push(format!("ventilator.workers={workers}"));
    if let Some(address) = &args.karabo {
        set.push(assignment("gateway.karabo", address));
    }
    if !graphs.is_empty() {
        set.push("ventilator.wait_for_graph=true".into());
    }
    config = Config::load(globals.config.as_deref(), &set)?;
    let hosts = usize::from(args.hosts);
    let layout = Layout::new(config, globals.config.clone(), set, hosts, workers)?;
    let options = run::Options {
        graphs,
        duration: args.duration,
        exit_at_end: args.exit_at_end,
        json: globals.json,
    };
    let result = run::run(&layout, &dir, options);
    if result.is_err() {
        // The logs say more than the last lines that are shown.
        dir.keep();
    }
    result.map(|()| ExitCode::SUCCESS).map_err(Into::into)
}

fn default_workers() -> usize {
    std::thread::available_parallelism().map_or(1, |n| (n.get() - 1).clamp(1, 8))
}
