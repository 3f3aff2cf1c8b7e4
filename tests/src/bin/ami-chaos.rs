//! Runs the chaos harness for long: rounds of a minute, each with a seed of its own, until the time
//! is up or a law is broken. The seed and the schedule of a broken one are printed.

use ami_tests::chaos::schedule::{Kind, Schedule};
use ami_tests::chaos::{Options, run, stream};
use clap::Parser;
use std::panic::AssertUnwindSafe;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Kills, freezes, restarts and insults a running system, and checks that no number changes.
#[derive(Debug, Parser)]
#[command(name = "ami-chaos")]
struct Arguments {
    /// Seed of the first round; the next round has the next.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Go on with new rounds until so many minutes are over; 0: one round.
    #[arg(long, default_value_t = 0.0)]
    minutes: f64,
    /// Seconds of a round's stream.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Workers.
    #[arg(long, default_value_t = 4)]
    workers: usize,
    /// Events per second.
    #[arg(long, default_value_t = 10_000)]
    rate: u64,
    /// Mean time between disturbances, ms.
    #[arg(long, default_value_t = 1000)]
    every_ms: u64,
    /// Who is disturbed: worker, collector, root, store, manager, ventilator, python (user code).
    #[arg(long, value_delimiter = ',', default_value = "worker,collector,store,manager,python")]
    victims: Vec<String>,
    /// What is done: kill, freeze, restart, garbage, load, edit.
    #[arg(long, value_delimiter = ',', default_value = "kill,freeze,restart,garbage,load,edit")]
    kinds: Vec<Kind>,
}

impl Arguments {
    fn options(&self, seed: u64) -> Options {
        Options {
            seed,
            seconds: self.seconds,
            workers: self.workers,
            rate: self.rate,
            every_ms: self.every_ms.max(1),
            victims: self.victims.clone(),
            kinds: self.kinds.clone(),
        }
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let first = arguments.options(arguments.seed);
    let dir = tempfile::tempdir().expect("a temporary directory");
    println!("undisturbed: {} s of {} events/s", first.seconds, first.rate);
    let reference = Arc::new(stream::reference(&first, dir.path()));
    let end = Instant::now() + Duration::from_secs_f64(arguments.minutes * 60.0);
    let mut seed = arguments.seed;
    loop {
        let started = Instant::now();
        let options = arguments.options(seed);
        // Said before, so that also a process that is killed has named its seed.
        println!("seed {seed} begins");
        let run = AssertUnwindSafe(|| run::run(&options, &reference));
        let Ok(outcome) = std::panic::catch_unwind(run) else {
            println!(
                "{}the harness panicked (see above)\nbroken with --seed {seed}",
                Schedule::new(&options)
            );
            return ExitCode::FAILURE;
        };
        let (seen, compared) = outcome.features;
        println!(
            "seed {seed}: {} disturbances, {seen} features seen, {compared} compared, {} heartbeats incomplete, {:.0} s",
            outcome.schedule.0.len(),
            outcome.incomplete,
            started.elapsed().as_secs_f64()
        );
        if !outcome.violations.is_empty() {
            println!(
                "{}{}\nbroken with --seed {seed}",
                outcome.schedule,
                outcome.violations.join("\n")
            );
            return ExitCode::FAILURE;
        }
        println!("last: {}", outcome.last);
        seed += 1;
        if Instant::now() >= end {
            return ExitCode::SUCCESS;
        }
    }
}
