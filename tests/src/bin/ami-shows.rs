//! Shows at length what is promised (`make shows`), and prints what was measured as tables.

use ami_tests::shows::{Report, kills, overload, soak};
use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Shows at length what is promised, with real processes.
#[derive(Debug, Parser)]
#[command(name = "ami-shows")]
struct Arguments {
    #[command(subcommand)]
    show: Show,
}

#[derive(Debug, Subcommand)]
enum Show {
    /// Memory of every daemon over many heartbeats.
    Soak {
        /// Heartbeats of ten events.
        #[arg(long, default_value_t = 2_000_000)]
        heartbeats: u64,
        /// So many of them in a second.
        #[arg(long, default_value_t = soak::PACE)]
        pace: u64,
    },
    /// Three times as many events as the machine can do.
    Overload {
        /// How long.
        #[arg(long, default_value_t = 60)]
        seconds: u64,
    },
    /// Kills of every kind of member, one kind after the other.
    Kills {
        /// How long, for each.
        #[arg(long, default_value_t = 60)]
        seconds: u64,
        /// When who is killed follows from it.
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
}

impl Show {
    fn run(&self) -> Report {
        match self {
            Show::Soak { heartbeats, pace } => soak::run(*heartbeats, *pace, Some(soak::LEAK)),
            Show::Overload { seconds } => overload::run(*seconds),
            Show::Kills { seconds, seed } => kills::run(*seconds, *seed, |line| println!("{line}")),
        }
    }
}

fn main() -> ExitCode {
    let show = Arguments::parse().show;
    println!("{show:?}");
    let report = show.run();
    println!("\n{report}");
    if report.violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
