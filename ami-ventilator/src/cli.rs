//! Subcommands of `ami-ventilator` that are no daemon: `inspect` and `record`.

use ami_proto::process::daemon::{self, USAGE};
use ami_source::{SourceKind, SourceSpec};
use clap::{Arg, ArgAction, ArgMatches, Command};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// What the command is for, with the sources it knows.
pub const ABOUT: &str = "Reads events from a source into the ring and hands them to workers.

Sources (ventilator.source):
  sim:NAME_OR_FILE[?rate=HZ&seed=N]   a simulated beamline: a preset (pump-probe, scalars, …) or a TOML file
  xtc2:PATH[,PATH…]                   LCLS-II files: streams, chunks, recordings
  dectris:tcp://HOST:PORT[,…]         streams of DECTRIS detectors, versions 1 and 2
  hdf5:PATH[,PATH…][?timestamp=DATASET&fields=GLOB&join=id&follow=true]
                                      HDF5 files: European XFEL, NeXus, CXI, DECTRIS; growing ones are followed
  shmem:TAG[?clients=N&hold=N]        LCLS-II live: the monitoring shared memory of this host
  karabo:tcp://HOST:PORT[,…]          trains of karabo-bridge (European XFEL)
  zmq:tcp://ADDRESS:PORT[,…]          messages of any program, or another ami's features
Options of all: pace=max|realtime|HZ, loop=N|forever, epoch=unix|epics|counter, start=N, events=N,
overload=block|drop

Also: `ami-ventilator inspect URL`, `ami-ventilator record FILE` (each with --help)";

/// `inspect` waits so long for a source's fields.
const CONFIGURE: Duration = Duration::from_secs(10);

/// Runs a subcommand if the arguments name one.
pub fn subcommand() -> Option<ExitCode> {
    let first = std::env::args().nth(1)?;
    let command = match first.as_str() {
        "inspect" => inspect_command(),
        "record" => crate::record::command(),
        _ => return None,
    };
    let matches = command.get_matches_from(std::env::args().skip(1));
    daemon::log();
    let result = match first.as_str() {
        "inspect" => inspect(&matches),
        _ => crate::record::run(&matches),
    };
    Some(match result {
        Ok(()) => ExitCode::SUCCESS,
        // Somebody who only looks at the head of a listing is no failure.
        Err(error) if broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::from(if error.is::<clap::Error>() { USAGE } else { 1 })
        }
    })
}

fn broken_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|e| e.downcast_ref::<std::io::Error>())
        .any(|e| e.kind() == std::io::ErrorKind::BrokenPipe)
}

fn inspect_command() -> Command {
    Command::new("inspect")
        .bin_name("ami-ventilator inspect")
        .about("Lists what files hold, or what another source has on offer, without running anything")
        .arg(
            Arg::new("url")
                .required(true)
                .value_name("URL")
                .help("xtc2:PATH[,PATH…], hdf5:PATH[,PATH…], a path, or another source: its fields are waited for"),
        )
        .arg(
            Arg::new("json")
                .long("json")
                .action(ArgAction::SetTrue)
                .help("One JSON line per datagram, or per dataset"),
        )
        .arg(
            Arg::new("hash")
                .long("hash")
                .action(ArgAction::SetTrue)
                .help("With --json, of XTC2: the FNV-1a hash of each field's bytes"),
        )
}

fn inspect(matches: &ArgMatches) -> anyhow::Result<()> {
    let url = matches.get_one::<String>("url").map_or("", String::as_str);
    let (json, hash) = (matches.get_flag("json"), matches.get_flag("hash"));
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    let paths: Vec<PathBuf> = match url.parse::<SourceSpec>() {
        Ok(SourceSpec { kind: SourceKind::Xtc2(files), .. }) => files.paths,
        Ok(spec @ SourceSpec { kind: SourceKind::Hdf5(_), .. }) => {
            return ami_source::hdf5::inspect(&spec, json, &mut out);
        }
        Ok(spec) => return ami_source::inspect_live::run(&spec, json, CONFIGURE, &mut out),
        // A plain path of any name.
        Err(_) if !url.contains(':') => vec![PathBuf::from(url)],
        Err(error) => return Err(error.into()),
    };
    ami_source::inspect::run(&paths, json, hash, &mut out)
}
