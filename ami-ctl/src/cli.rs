//! Arguments → command → exit code.

use crate::bench;
use crate::client::system::{Globals, System};
use crate::commands;
use crate::failure;
use crate::print;
use clap::{CommandFactory, Parser, Subcommand};
use std::process::ExitCode;

/// Runs, watches and edits an ami system.
#[derive(Debug, Parser)]
#[command(name = "ami-ctl", version)]
#[command(after_help = "Exit codes: 0 ok, 1 failed while running, 2 bad usage or configuration.")]
pub struct Cli {
    #[command(flatten)]
    globals: Globals,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the whole system on this machine, supervised
    Local(crate::local::Args),
    /// Every daemon: state, rates, lag, drops, graph version
    Status(commands::status::Args),
    /// Fields on offer
    Sources(commands::sources::Args),
    /// The table of operations; one in full with an example
    Ops(commands::ops::Args),
    /// Show, check and edit graphs
    #[command(subcommand)]
    Graph(commands::graph::Graph),
    /// Code of your own: write, look at and try it
    #[command(subcommand)]
    Node(commands::node::Node),
    /// Published features
    Features(commands::features::Args),
    /// Latest value of a feature with its truth label
    Get(commands::get::Args),
    /// Features live in the terminal
    Watch(commands::watch::Args),
    /// Live rates, utilisation, lag, cost per node, drops
    Top(commands::top::Args),
    /// Features to a NeXus/HDF5 file: once, every so often, or at the end of runs or steps
    Save(commands::save::Args),
    /// Events as they pass, to a file that replays
    Record(commands::record::Args),
    /// The average of a field, to a file that `calibrate` subtracts
    Pedestal(commands::pedestal::Args),
    /// Check this machine and this system; says what to do
    Doctor(commands::doctor::Args),
    /// Measure this machine: events/s, GB/s, latency, fraction of the machine's limits
    Bench(bench::Args),
    /// Keys of daemons and people: make, allow, list, revoke
    #[command(subcommand)]
    Keys(commands::keys::Keys),
    /// Completions for a shell
    Completions(commands::completions::Args),
}

/// The command as clap knows it, for completions and tests.
pub fn command() -> clap::Command {
    Cli::command()
}

/// The whole of `ami-ctl`.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let json = cli.globals.json;
    match run(cli) {
        Ok(code) => code,
        Err(error) => report(&error, json),
    }
}

fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    let globals = cli.globals;
    let system = || System::find(&globals);
    match cli.command {
        Command::Local(args) => crate::local::run(&args, &globals),
        Command::Status(args) => commands::status::run(&args, &system()?),
        Command::Sources(args) => commands::sources::run(&args, &system()?),
        Command::Ops(args) => commands::ops::run(&args, globals.json),
        Command::Graph(args) => commands::graph::run(&args, &system()?),
        Command::Node(node) => commands::node::run(&node, &globals),
        Command::Features(args) => commands::features::run(&args, &system()?),
        Command::Get(args) => commands::get::run(&args, &system()?),
        Command::Watch(args) => commands::watch::run(&args, &system()?),
        Command::Top(args) => commands::top::run(&args, &system()?),
        Command::Pedestal(args) => commands::pedestal::run(&args, &system()?),
        Command::Save(args) => commands::save::run(&args, &system()?),
        Command::Record(args) => commands::record::run(&args, &system()?),
        Command::Doctor(args) => commands::doctor::run(&args, &system()?),
        Command::Bench(args) => bench::run(&args, &globals),
        Command::Keys(args) => commands::keys::run(&args, &system()?),
        Command::Completions(args) => commands::completions::run(&args),
    }
}

/// Tells an error: for people on stderr; with `--json` as a document on stdout.
fn report(error: &anyhow::Error, json: bool) -> ExitCode {
    let Some(failure) = failure::classify(error) else { return ExitCode::SUCCESS };
    if json {
        // Nobody reads: the exit code says it.
        let _ = print::json(&failure.refusal);
    } else {
        print::error(&format!("error: {}", crate::client::refusal::text(&failure.refusal)));
    }
    ExitCode::from(failure.code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_consistent() {
        command().debug_assert();
    }

    #[test]
    fn commands_of_the_interface_parse() {
        for line in [
            "local --source sim:x?rate=1 --workers 2 --graph a.json --graph b.json --duration 3 --exit-at-end",
            "status --json",
            "--run-dir /tmp/x sources",
            "ops mean",
            "graph list",
            "graph show g --version 3",
            "graph validate -",
            "graph apply a.json b.json --no-wait --base 4 --timeout 5",
            "graph set g n bins=50 range=[-1,4]",
            "graph rm g n",
            "graph diff g --from 1 --to 2",
            "graph history g",
            "graph rollback g 3",
            "graph reset g a b",
            "node new hits --kind reduction",
            "node describe hits.py:Radial --env psana --json",
            "node check hits.py --source sim:mixed --in image=a:b:c --in d --events 50 --set threshold=13",
            "graph apply a.json --watch",
            "features",
            "get g/n --npy x.npy",
            "watch g/n g/m --duration 2",
            "top --once",
            "record out.xtc2 --seconds 3 --events 100",
            "save g/n g/h* -o out.h5 --every 5",
            "save g/n -o out.h5 --at-end-of run --duration 9",
            "save g/n -o out.h5 --history",
            "doctor",
            "bench P1 --json",
            "bench --table t.md",
            "keys new ann --dir /tmp",
            "keys list",
            "keys allow ann view",
            "keys revoke ann",
            "status --key ann.key_secret --server-key ami.key",
            "completions bash",
        ] {
            let words = std::iter::once("ami-ctl").chain(line.split(' '));
            Cli::try_parse_from(words).unwrap_or_else(|e| panic!("{line}: {e}"));
        }
    }

    #[test]
    fn bad_usage_is_refused() {
        for line in [
            "",
            "graph",
            "get",
            "local --workers 0",
            "nonsense",
            "graph set g n",
            "node new a-b",
            "node new a --kind b",
        ] {
            let words = std::iter::once("ami-ctl").chain(line.split_whitespace());
            let error = Cli::try_parse_from(words).expect_err(line);
            assert_eq!(error.exit_code(), 2, "{line}");
        }
    }
}
