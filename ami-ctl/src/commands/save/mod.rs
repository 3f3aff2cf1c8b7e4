//! `ami-ctl save`: features as a NeXus/HDF5 file, once, again and again, or at the end of each run or step.

pub mod nexus;

use crate::client::feature::Feature;
use crate::client::system::System;
use crate::commands::{get, seconds};
use crate::failure::Failure;
use crate::print;
use ami_proto::control::ctl_to_manager::Command;
use ami_proto::process::daemon::now_ns;
use ami_source::hdf5::writer::{self, Group};
use nexus::About;
use std::collections::BTreeMap;
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Values of one feature with `--history`.
const MOST: u64 = 100_000;

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Topics: graph/node or graph/node.output; one that ends in * stands for all that begin so
    #[arg(required = true, value_name = "FEATURE")]
    features: Vec<String>,
    /// The file; an old one of that name is replaced
    #[arg(short, long, value_name = "FILE.h5")]
    output: PathBuf,
    /// Write it again every so many seconds, until Ctrl-C
    #[arg(long, value_name = "SECONDS", value_parser = seconds, conflicts_with_all = ["at_end_of", "history"])]
    every: Option<Duration>,
    /// Write a file FILE-r0012.h5 (or FILE-r0012-s003.h5) with the last values of each run or step, until Ctrl-C
    #[arg(long, value_name = "run|step", value_parser = ["run", "step"], conflicts_with = "history")]
    at_end_of: Option<String>,
    /// All values that the store still has, instead of the newest
    #[arg(long)]
    history: bool,
    /// Stop after so many seconds
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    duration: Option<Duration>,
}

/// Writes the file or files.
///
/// # Errors
/// When there is no such feature, or a file cannot be written. What stood there before stays then.
pub fn run(args: &Args, system: &System) -> anyhow::Result<ExitCode> {
    let stop = Arc::new(AtomicBool::new(false));
    let ends = args.duration.map(|d| Instant::now() + d);
    if args.every.is_some() || args.at_end_of.is_some() {
        for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
            signal_hook::flag::register(signal, stop.clone())?;
        }
    }
    let over = || stop.load(Ordering::Relaxed) || ends.is_some_and(|end| Instant::now() >= end);
    match (&args.at_end_of, args.every) {
        (Some(of), _) => at_ends(args, system, of == "step", &over)?,
        (None, Some(every)) => {
            while !over() {
                save(&args.output, &newest(args, system)?, false, system)?;
                let next = Instant::now() + every;
                while !over() && Instant::now() < next {
                    std::thread::sleep(Duration::from_millis(20).min(every));
                }
            }
        }
        (None, None) => save(&args.output, &newest(args, system)?, args.history, system)?,
    }
    Ok(ExitCode::SUCCESS)
}

type Values = Vec<(String, Vec<Feature>)>;

/// The topics that are wanted, in the order in which they were named.
fn topics(args: &Args, system: &System) -> anyhow::Result<Vec<String>> {
    let list = system.store().list("")?;
    let known: Vec<&str> =
        list.iter().filter_map(|f| f.as_str().or_else(|| f["topic"].as_str())).collect();
    let mut topics: Vec<String> = Vec::new();
    for wanted in &args.features {
        let matches: Vec<&str> = match wanted.strip_suffix('*') {
            Some(prefix) => {
                let own = |t: &&&str| t.starts_with(prefix) && !t.ends_with("/@heartbeat");
                known.iter().filter(own).copied().collect()
            }
            None => vec![wanted],
        };
        if matches.is_empty() {
            let hint = "`ami-ctl features` lists them";
            return Err(Failure::failed(format!("no feature {wanted:?}"), hint).into());
        }
        topics.extend(matches.into_iter().map(str::to_owned));
    }
    topics.dedup();
    Ok(topics)
}

/// The values of the topics: all that there are, or the newest, of one heartbeat for each graph.
fn newest(args: &Args, system: &System) -> anyhow::Result<Values> {
    let store = system.store();
    let mut frames: BTreeMap<String, Vec<Feature>> = BTreeMap::new();
    let mut values = Values::new();
    for topic in topics(args, system)? {
        if args.history {
            let all = store.history(&topic, 0, MOST).map_err(|e| get::known(e, system, &topic))?;
            values.push((topic, all));
            continue;
        }
        let graph = topic.split('/').next().unwrap_or_default().to_owned();
        if !frames.contains_key(&graph) {
            // What is not in the frame is asked for by itself, which says why there is none.
            frames.insert(graph.clone(), store.snapshot(&graph).unwrap_or_default());
        }
        let of_frame = frames.get(&graph).and_then(|all| all.iter().find(|f| f.topic() == topic));
        let feature = match of_frame {
            Some(feature) => feature.clone(),
            None => store.get(&topic).map_err(|e| get::known(e, system, &topic))?,
        };
        values.push((topic, vec![feature]));
    }
    Ok(values)
}

/// Keeps the newest values and writes them when a value of another run or step comes.
fn at_ends(
    args: &Args,
    system: &System,
    steps: bool,
    over: &dyn Fn() -> bool,
) -> anyhow::Result<()> {
    let wanted = topics(args, system)?;
    let mut subscription = system.store().subscribe(&wanted)?;
    let mut kept: BTreeMap<String, Feature> = BTreeMap::new();
    let bracket = |f: &Feature| (f.number("run"), f.number("step").filter(|_| steps));
    let mut current = None;
    let write = |kept: &BTreeMap<String, Feature>| -> anyhow::Result<()> {
        let Some(any) = kept.values().next() else { return Ok(()) };
        let of = |topic: &String| kept.get(topic).map(|f| (topic.clone(), vec![f.clone()]));
        let values: Values = wanted.iter().filter_map(of).collect();
        save(&named(&args.output, bracket(any)), &values, false, system)
    };
    while !over() {
        let Some(feature) = subscription.next(Duration::from_millis(200))? else { continue };
        if !wanted.iter().any(|t| t == feature.topic()) {
            continue;
        }
        let own = bracket(&feature);
        if current.is_some_and(|c| c != own) {
            write(&kept)?;
            kept.clear();
        }
        current = Some(own);
        kept.insert(feature.topic().to_owned(), feature);
    }
    // The run that is still going: as far as it came; its truth label says so.
    write(&kept)
}

/// `out.h5` of run 12 and step 3: `out-r0012-s003.h5`.
fn named(path: &Path, (run, step): (Option<u64>, Option<u64>)) -> PathBuf {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let ending = path.extension().map_or("h5".into(), |e| e.to_string_lossy());
    let run = run.map_or(String::new(), |n| format!("-r{n:04}"));
    let step = step.map_or(String::new(), |n| format!("-s{n:03}"));
    path.with_file_name(format!("{stem}{run}{step}.{ending}"))
}

fn save(path: &Path, values: &Values, history: bool, system: &System) -> anyhow::Result<()> {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let about = About { time: now(), host, graphs: graphs(values, system) };
    let tree = nexus::file(values, history, &about);
    replace(path, &tree).map_err(|error| {
        let hint = "what stood there before is unchanged; make room, or choose another place";
        Failure::failed(format!("cannot write {}: {error}", path.display()), hint)
    })?;
    print::error(&format!("{} features written to {}", values.len(), path.display()));
    Ok(())
}

/// The graphs of the features, as they are now. A manager that is away costs them, not the file.
fn graphs(values: &Values, system: &System) -> BTreeMap<String, String> {
    let names =
        values.iter().filter_map(|(topic, _)| topic.split_once('/').map(|(graph, _)| graph));
    let mut graphs = BTreeMap::new();
    for graph in names {
        if !graphs.contains_key(graph)
            && let Ok(shown) =
                system.manager().command(&Command::Show { graph: graph.into(), version: None })
        {
            graphs.insert(graph.to_owned(), shown["spec"].to_string());
        }
    }
    graphs
}

/// Writes beside the place and moves there when all is on the disk.
fn replace(path: &Path, tree: &Group) -> io::Result<()> {
    let directory = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file =
        tempfile::Builder::new().prefix(".ami-save").suffix(".h5").tempfile_in(directory)?;
    let mut out = BufWriter::new(file.as_file_mut());
    writer::write(tree, &mut out)?;
    out.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
    // As other files that people make: they may be read by others.
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    file.as_file().set_permissions(mode)?;
    file.persist(path).map(|_| ()).map_err(|e| e.error)
}

/// Now, UTC, ISO 8601.
fn now() -> String {
    print::utc(now_ns()).replacen(' ', "T", 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn feature() -> Feature {
        let header = json!({"topic": "g/h", "op": "profile", "run": 7, "step": null, "window_complete": true,
            "window_events": 12, "dropped": {}, "timestamp_ns": 5u64, "values": {"outside": 3, "x": "NaN"},
            "arrays": [{"name": "edges", "dtype": "<f8", "shape": [3]},
                       {"name": "mean", "dtype": "<f8", "shape": [2]}, {"name": "sem", "dtype": "<f8", "shape": [2]}]});
        let buffers =
            [3, 2, 2].map(|n| [1.5f64; 3][..n].iter().flat_map(|x| x.to_le_bytes()).collect());
        Feature::new(header, &mut buffers.into_iter()).unwrap()
    }

    #[test]
    fn a_file_is_replaced_as_a_whole_or_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out.h5");
        std::fs::write(&path, "old").unwrap();
        let mut tree = Group::default();
        tree.attribute(&"x".repeat(70_000), "a name too long");
        assert!(replace(&path, &tree).is_err());
        assert_eq!(std::fs::read(&path).unwrap(), b"old");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is left behind");
        let values = vec![("g/h".to_owned(), vec![feature(), feature()])];
        for history in [false, true] {
            let tree = nexus::file(&values, history, &About { time: now(), ..About::default() });
            replace(&path, &tree).unwrap();
            assert!(std::fs::read(&path).unwrap().starts_with(b"\x89HDF"));
        }
    }

    #[test]
    fn names_and_times() {
        assert_eq!(
            named(Path::new("/d/o.h5"), (Some(12), Some(3))),
            Path::new("/d/o-r0012-s003.h5")
        );
        assert_eq!(named(Path::new("o"), (Some(1), None)), Path::new("o-r0001.h5"));
        let time = now();
        assert!(time.len() == 20 && time.starts_with("20") && time.ends_with('Z'), "{time}");
    }
}
