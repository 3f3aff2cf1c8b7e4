//! `ami-ctl pedestal`: the average of a field over events of the running system, as a file that
//! `calibrate` takes.
//!
//! A graph of its own computes the average, so the events are those that every graph sees; it is
//! removed in any case.

use crate::client::array::NdArray;
use crate::client::error::ClientError;
use crate::client::feature::{Feature, number};
use crate::client::manager::Client;
use crate::client::store::Store;
use crate::client::system::System;
use crate::commands::seconds;
use crate::failure::Failure;
use crate::print;
use ami_proto::control::ctl_to_manager::{Command, Edit};
use serde_json::json;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// How often the average is looked at.
const POLL: Duration = Duration::from_millis(100);

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The field, such as jungfrau:raw:raw
    field: String,
    /// Average over at least so many events of one run
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    events: u64,
    /// The file to write (.npy); it is replaced in one piece
    #[arg(long, value_name = "FILE", value_parser = npy)]
    out: PathBuf,
    /// Give up when the events have not come within this time
    #[arg(long, value_name = "SECONDS", default_value = "600", value_parser = seconds)]
    timeout: Duration,
}

/// Only what numpy.load reads by its name.
fn npy(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    match path.extension() {
        Some(ending) if ending == "npy" && path.file_stem().is_some() => Ok(path),
        _ => Err(format!("{text:?} does not end in .npy")),
    }
}

/// Records the pedestal.
///
/// # Errors
/// When the graph is refused, events do not come in time or are missing from the average, or the
/// file cannot be written. Then there is no new file.
pub fn run(args: &Args, system: &System) -> anyhow::Result<ExitCode> {
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])?;
    let (manager, store) = (system.manager(), system.store());
    let graph = format!("pedestal-{}", std::process::id());
    let edit = Edit { who: system.who(), ..Edit::default() };
    let spec = json!({
        "name": graph, "description": format!("ami-ctl pedestal {}", args.field),
        "nodes": {"mean": {"op": "mean", "in": args.field, "window": "run"}},
    });
    let applied = manager.command(&Command::Apply { spec, base: None, edit: edit.clone() });
    if let Err(ClientError::Refused(refusal)) = applied {
        return Err(ClientError::Refused(refusal).into());
    }
    let feature = match applied {
        Ok(_) => average(args, &store, &graph, &mut signals),
        Err(error) => Err(error.into()),
    };
    let removed = remove(&manager, &graph, edit);
    let feature = feature?;
    removed?;
    let array = checked(args, &feature)?;
    replace(&args.out, array).map_err(|e| {
        let error = format!("cannot write {}: {e}", args.out.display());
        Failure::failed(error, "choose another file")
    })?;
    let events = count(&feature);
    if system.json {
        print::json(&json!({
            "field": args.field, "file": args.out, "events": events, "complete": true,
            "dtype": array.dtype.numpy(), "shape": array.shape,
        }))?;
    } else {
        let file = args.out.display();
        print::line(&format!("{file}: mean of {events} events, {}", feature.label()))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn remove(manager: &Client, graph: &str, edit: Edit) -> Result<(), ClientError> {
    let graph = graph.to_owned();
    manager.command(&Command::Remove { graph, node: None, base: None, edit }).map(|_| ())
}

/// Waits until the average has its events.
fn average(
    args: &Args,
    store: &Store,
    graph: &str,
    signals: &mut Signals,
) -> anyhow::Result<Feature> {
    let deadline = Instant::now() + args.timeout;
    let topic = format!("{graph}/mean");
    let mut seen = 0;
    loop {
        match store.get(&topic) {
            Ok(feature) if !feature.text("error").is_empty() => {
                let error = format!("{:?} has no average: {}", args.field, feature.text("error"));
                return Err(Failure::failed(error, "choose a field of one shape").into());
            }
            Ok(feature) if count(&feature) >= args.events => return Ok(feature),
            Ok(feature) => seen = count(&feature),
            // Not published yet.
            Err(ClientError::Refused(_)) => {}
            Err(error) => return Err(error.into()),
        }
        if signals.pending().count() > 0 {
            let error = format!("stopped after {seen} of {} events", args.events);
            return Err(Failure::failed(error, "nothing was written").into());
        }
        if Instant::now() >= deadline {
            let error = format!(
                "{seen} of {} events of {:?} came within {} s of one run",
                args.events,
                args.field,
                args.timeout.as_secs_f64()
            );
            return Err(Failure::failed(error, "ask for fewer, or give more time").into());
        }
        std::thread::sleep(POLL);
    }
}

/// Events in the average.
fn count(feature: &Feature) -> u64 {
    let count = feature.values().find(|(name, _)| *name == "count");
    count.and_then(|(_, value)| number(value)).map_or(0, |n| n as u64)
}

/// The average, if it is one of arrays and lacks no event.
fn checked<'a>(args: &Args, feature: &'a Feature) -> Result<&'a NdArray, Failure> {
    if feature.complete() != (true, true) {
        let error = format!("events are missing from the average: {}", feature.label());
        return Err(Failure::failed(error, "try again; `ami-ctl status` says what is lost"));
    }
    feature.arrays.first().ok_or_else(|| {
        let error = format!("{:?} is a scalar", args.field);
        Failure::failed(error, "choose a field of arrays; `ami-ctl sources` lists them")
    })
}

/// Writes beside the file and renames, so that nobody sees half of it.
fn replace(path: &Path, array: &NdArray) -> std::io::Result<()> {
    let beside = path.with_extension(format!("npy.{}", std::process::id()));
    let written = (|| {
        let mut file = std::fs::File::create_new(&beside)?;
        let mut buffered = std::io::BufWriter::new(&mut file);
        array.write_npy(&mut buffered)?;
        buffered.flush()?;
        drop(buffered);
        file.sync_all()?;
        std::fs::rename(&beside, path)
    })();
    if written.is_err() {
        let _ = std::fs::remove_file(&beside);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_npy_files_are_written() {
        assert_eq!(npy("dark.npy"), Ok(PathBuf::from("dark.npy")));
        for wrong in ["dark.txt", "dark", ".npy", ""] {
            assert!(npy(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_file_is_replaced_whole_or_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("dark.npy");
        std::fs::write(&path, "old").unwrap();
        let array = NdArray::new("value", "<f8", vec![2], [0u8; 16].to_vec()).unwrap();
        replace(&path, &array).unwrap();
        assert!(std::fs::read(&path).unwrap().starts_with(b"\x93NUMPY"));
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
        assert!(replace(&dir.path().join("none/dark.npy"), &array).is_err());
    }
}
