//! `ami-ctl bench`: measures this machine with the real processes on generated data.
//!
//! Every case is a bounded run of the whole system as `ami-ctl local` starts it. Events are counted
//! at both ends and at every stage between; a run whose counts do not add up has failed. Beside
//! each result stands what the machine could do at most, measured in the same run. Clocks: a field
//! of the source tells when an event was made, and clients compare it with their own on the same
//! machine.

mod cases;
mod chain;
mod disturbed;
mod error;
mod frames;
mod goal;
mod goals;
mod limits;
mod measured;
mod observer;
mod python;
mod report;
mod system;
mod tree;
mod usage;

use cases::{Case, Image};
use clap::ValueEnum;
pub use error::BenchError;
use frames::FrameLimits;
use goal::Goal;
use limits::Limits;
use measured::{Beside, Measured};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use crate::client::system::Globals;
use crate::failure::Failure;
use crate::print;
use ami_proto::config::Config;

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// P1, P1b, P2, P3, P3b, P4, P5, P6, P8 or P9, all of these without it; or `tree`: what merging
    /// costs with 1 to 1000 hosts; or `PY`: what user code costs beside the code itself
    #[arg(value_name = "CASE")]
    case: Option<String>,
    /// Writes the table, as Markdown, to this file, too
    #[arg(long, value_name = "FILE")]
    table: Option<PathBuf>,
    /// What the limit of P4 is measured with: this process hands on from an address to another
    #[arg(long, hide = true, num_args = 3, value_names = ["STAGE", "FROM", "TO"])]
    relay: Option<Vec<String>>,
}

/// Measures. `--config` and `--set` go to the system that is measured, after what the case sets.
///
/// # Errors
/// When there is no such case, the system does not run, or an event is lost.
pub fn run(args: &Args, globals: &Globals) -> anyhow::Result<ExitCode> {
    let json = globals.json;
    if let Some([stage, from, to]) = args.relay.as_deref() {
        let stage = chain::Stage::from_str(stage, true).map_err(|e| {
            Failure::usage(format!("no relay: {e}"), "one of worker, host, root, store")
        })?;
        chain::relay(stage, from, to)?;
        return Ok(ExitCode::SUCCESS);
    }
    if args.case.as_deref() == Some("tree") {
        return tree_only(args, json);
    }
    if args.case.as_deref().is_some_and(|case| case.eq_ignore_ascii_case("PY")) {
        return python_only(args, globals);
    }
    let names: Vec<&str> = match &args.case {
        None => cases::NAMES.into(),
        Some(name) => {
            let known = cases::NAMES.into_iter().find(|n| n.eq_ignore_ascii_case(name));
            vec![known.ok_or_else(|| {
                Failure::usage(
                    format!("no case {name:?}"),
                    format!("one of {}", cases::NAMES.join(", ")),
                )
            })?]
        }
    };
    Config::load(globals.config.as_deref(), &globals.set)?;
    let (limits, frames) = (Limits::measure()?, BTreeMap::new());
    let mut bench = Bench { globals, limits, again: 0, frames };
    let mut documents = Vec::new();
    for name in names {
        documents.push(bench.case(name)?);
    }
    let table = report::table(&documents, &bench.limits);
    if let Some(file) = &args.table {
        std::fs::write(file, &table)?;
    }
    match (json, args.case.is_some()) {
        (false, _) => print::line(&table)?,
        (true, true) => print::json(&documents.remove(0))?,
        (true, false) => print::json(&json!({
            "met": documents.iter().all(|d| d["met"] == true),
            "limits": bench.limits.values,
            "cases": documents,
        }))?,
    }
    Ok(ExitCode::SUCCESS)
}

fn tree_only(args: &Args, json: bool) -> anyhow::Result<ExitCode> {
    let document = tree::run();
    let table = tree::table(&document);
    if let Some(file) = &args.table {
        std::fs::write(file, &table)?;
    }
    if json {
        print::json(&document)?;
    } else {
        print::line(&table)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn python_only(args: &Args, globals: &Globals) -> anyhow::Result<ExitCode> {
    let config = Config::load(globals.config.as_deref(), &globals.set)?;
    let document = python::run(&config.python)?;
    let table = python::table(&document);
    if let Some(file) = &args.table {
        std::fs::write(file, &table)?;
    }
    if globals.json {
        print::json(&document)?;
    } else {
        print::line(&table)?;
    }
    Ok(ExitCode::SUCCESS)
}

struct Bench<'a> {
    globals: &'a Globals,
    limits: Limits,
    /// How many runs of this case may still be done again.
    again: usize,
    /// Limits of frames by graph and bytes of the ring.
    frames: BTreeMap<(&'static str, u64), FrameLimits>,
}

impl Bench<'_> {
    /// A case's document: the numbers of its first run that is judged, and those of all in `runs`;
    /// goals by the medians of runs of the same.
    fn case(&mut self, name: &str) -> Result<Map<String, Value>, BenchError> {
        self.again = disturbed::AGAIN_IN_CASE;
        let mut runs = Vec::new();
        for case in cases::of(name).unwrap_or_default() {
            self.measure_quietly(&case, &mut runs)?;
        }
        let mut goals: Vec<Goal> = Vec::new();
        if name == "P6" {
            goals.extend(self.crowds(&mut runs)?);
        }
        if name == "P9" {
            goals.extend(goals::scaling(&runs));
        }
        goals.extend(goals::of(&runs));
        let first = runs.iter().find(|run| run.judged);
        let mut document = first.map(|run| run.document(&self.limits)).unwrap_or_default();
        goal::put(&goals, &mut document);
        if runs.len() > 1 {
            let all = runs.iter().map(|r| Value::Object(r.document(&self.limits)));
            document.insert("runs".into(), all.collect());
        }
        Ok(document)
    }

    /// Adds a run, and more of the same while the host takes too much of its time. Of these the one
    /// that lost least is judged: where it is among `runs`.
    fn measure_quietly(
        &mut self,
        case: &Case,
        runs: &mut Vec<Measured>,
    ) -> Result<usize, BenchError> {
        let first = runs.len();
        let bearable = if case.python { disturbed::OF_LATENCY } else { disturbed::OF_THROUGHPUT };
        let lost = loop {
            runs.push(self.measure(case.clone())?);
            let lost: Vec<f64> = runs[first..].iter().map(Measured::stolen).collect();
            if !disturbed::again(&lost, bearable, self.again) {
                break lost;
            }
            self.again -= 1;
        };
        let judged = first + disturbed::least(&lost);
        runs.iter_mut().enumerate().skip(first).for_each(|(k, run)| run.judged = k == judged);
        Ok(judged)
    }

    fn measure(&mut self, mut case: Case) -> Result<Measured, BenchError> {
        case.set.insert(0, format!("ventilator.ring_bytes={}", case.ring_bytes));
        case.set.extend(self.globals.set.iter().cloned());
        let file = self.globals.config.as_deref();
        case.ring_bytes = Config::load(file, &case.set)?.ventilator.ring_bytes as u64;
        if !self.globals.json {
            print::error(&format!("{} {} …", case.name, case.variant));
        }
        let frames = match case.image {
            Some(image) => Some(self.frame_limits(&case, image)?),
            None => None,
        };
        let chain = if case.name == "P4" { Some(chain::latency(&case)?) } else { None };
        let before = limits::core_to_core_ns();
        let outcome = system::run(&case, file)?;
        let core_to_core_ns = [before, limits::core_to_core_ns()];
        Ok(Measured::new(case, outcome, Beside { frames, chain, core_to_core_ns }))
    }

    fn frame_limits(&mut self, case: &Case, image: Image) -> Result<FrameLimits, BenchError> {
        let key = (case.graph, case.ring_bytes);
        if let Some(limits) = self.frames.get(&key) {
            return Ok(*limits);
        }
        let limits = FrameLimits::measure(case, image)?;
        self.frames.insert(key, limits);
        Ok(limits)
    }

    /// Runs with ever more clients at half of the capacity that the first run found.
    fn crowds(&mut self, runs: &mut Vec<Measured>) -> Result<Vec<Goal>, BenchError> {
        let capacity = runs.iter().find(|run| run.judged).map_or(0.0, |run| run.events_per_s);
        let rate = (capacity / 2.0).clamp(10.0, 100_000.0) as u32;
        let mut goals = Vec::new();
        for clients in [1, 10, 100] {
            let place = self.measure_quietly(&cases::p6(clients, rate), runs)?;
            let run = &runs[place];
            let kept = run.merged_per_s() / f64::from(rate);
            goals.push(Goal::at_least("of the source's rate merged", 0.98, kept));
            goals.push(Goal::at_least("fraction of heartbeats complete", 1.0, run.complete()));
        }
        Ok(goals)
    }
}
