//! One run: the whole system as `ami-ctl local` starts it, clients, and the counts at both ends.

use crate::bench::cases::Case;
use crate::bench::error::BenchError;
use crate::bench::observer::{Crowd, Observer, Seen};
use crate::bench::usage::{Pids, Usage};
use crate::client::manager::Client;
use crate::client::store::Store;
use crate::client::system::assignment;
use crate::local::control::Progress;
use crate::local::leavings;
use crate::show::meters::{Member, members};
use ami_proto::config::Config;
use ami_proto::control::ctl_to_manager::Command as Question;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A run that takes longer has failed.
const LONGEST: Duration = Duration::from_secs(120);
/// How often the processes are looked at.
const LOOK: Duration = Duration::from_millis(100);
/// The same where latency is measured, which looking disturbs.
const SELDOM: Duration = Duration::from_secs(1);
/// Counts that do not add up so long after the end never will.
const SETTLED: Duration = Duration::from_secs(5);

/// What a run came to.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Events, as each stage counted them.
    pub counts: BTreeMap<&'static str, u64>,
    /// Heartbeats published, and complete ones, as the root counted them.
    pub heartbeats: (u64, u64),
    /// Events that the root had merged, by seconds.
    pub merged: Vec<(f64, u64)>,
    /// What the client saw.
    pub seen: Seen,
    /// Whose the latencies are: `python` or `rust`.
    pub client: &'static str,
    /// Processor time and memory.
    pub usage: Usage,
    /// Seconds until each daemon was ready.
    pub start_s: BTreeMap<String, f64>,
    /// Messages that the crowd received and missed.
    pub crowd: (u64, u64),
}

/// A directory that goes with the run.
pub(super) struct Dir {
    pub(super) path: PathBuf,
    rings: PathBuf,
}

impl Dir {
    pub(super) fn make() -> Result<Dir, BenchError> {
        let parent = crate::environment::runtime_dir().unwrap_or_else(std::env::temp_dir);
        let rings = Config::load(None, &[])?.ventilator.ring_dir;
        leavings::sweep(&parent, &rings);
        let path = parent.join(format!("ami-bench-{}", std::process::id()));
        std::fs::create_dir_all(&path).map_err(|e| BenchError::directory(&path, e))?;
        Ok(Dir { path, rings })
    }

    fn file(&self, name: &str, text: &str) -> Result<PathBuf, BenchError> {
        let path = self.path.join(name);
        std::fs::write(&path, text).map_err(|e| BenchError::directory(&path, e))?;
        Ok(path)
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        leavings::remove_rings(&self.path, &self.rings);
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

/// This program, started as the case says.
pub(super) fn own(case: &Case) -> Result<Command, BenchError> {
    let own = std::env::current_exe().map_err(BenchError::start)?;
    let mut words = case.launcher.iter().map(OsStr::new).chain([own.as_os_str()]);
    let mut command = Command::new(words.next().unwrap_or_default());
    command.args(words);
    Ok(command)
}

/// The child that runs the system.
struct System {
    child: Child,
    pids: Pids,
    start_s: BTreeMap<String, f64>,
}

impl System {
    fn start(case: &Case, file: Option<&Path>, dir: &Dir) -> Result<System, BenchError> {
        let source = dir.file("source.toml", case.source)?;
        let graph = dir.file("graph.json", case.graph)?;
        let more = if case.options.is_empty() { "" } else { "&" };
        let url = format!("sim:{}?events={}{more}{}", source.display(), case.events, case.options);
        let mut command = own(case)?;
        command.args(["local", "--json", "--source", &url, "--run-dir"]).arg(&dir.path);
        command.args(["--workers", &case.workers.to_string(), "--graph"]).arg(graph);
        if let Some(file) = file {
            command.arg("--config").arg(file);
        }
        for set in &case.set {
            command.args(["--set", set]);
        }
        let mut child = command
            .env_remove("AMI_RUN_DIR")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|e| BenchError::started(case.launcher, e))?;
        let mut line = String::new();
        if let Some(out) = child.stdout.take() {
            let _ = BufReader::new(out).read_line(&mut line);
        }
        let mut system = System { child, pids: Pids::new(), start_s: BTreeMap::new() };
        let Ok(ready) = serde_json::from_str::<Value>(&line) else {
            return Err(BenchError::Refused(system.last_words(&line)));
        };
        let table = |key: &str| ready[key].as_object().cloned().unwrap_or_default();
        let pid = |(n, p): (String, Value)| Some((n, p.as_u64()? as u32));
        system.pids = table("pids").into_iter().filter_map(pid).collect();
        let second = |(n, s): (String, Value)| Some((n, s.as_f64()?));
        system.start_s = table("start_s").into_iter().filter_map(second).collect();
        Ok(system)
    }

    fn last_words(&mut self, line: &str) -> String {
        let mut text = line.to_string();
        if let Some(mut error) = self.child.stderr.take() {
            let _ = std::io::Read::read_to_string(&mut error, &mut text);
        }
        text.trim().to_string()
    }
}

impl Drop for System {
    fn drop(&mut self) {
        if let Some(pid) = Pid::from_raw(self.child.id() as i32) {
            let _ = kill_process(pid, Signal::TERM);
        }
        // `local` kills what does not stop, so this ends.
        let _ = self.child.wait();
    }
}

/// Runs a case, with this configuration file below what the case sets.
///
/// # Errors
/// When the system does not start, does not come to an end, or loses an event.
pub fn run(case: &Case, file: Option<&Path>) -> Result<Outcome, BenchError> {
    let dir = Dir::make()?;
    let mut set = case.set.clone();
    set.push(assignment("instance.run_dir", &dir.path.display().to_string()));
    let config = Config::load(file, &set)?;
    let observer = Observer::start(&config, case.python)?;
    let client = observer.name();
    let crowd = Crowd::start(&config, case.clients)?;
    let system = System::start(case, file, &dir)?;
    let mut usage = Usage::default();
    usage.begin(&system.pids);
    let mut merged = Vec::new();
    let counts = follow(case, &config, &system.pids, (&mut usage, &mut merged));
    usage.end(&system.pids);
    let crowd = crowd.stop()?;
    let seen = observer.stop();
    // A lost event is told before a client that failed.
    let counts = counts.map_err(|e| e.with_logs(logs(&dir.path)))?;
    let seen = seen?;
    let start_s = system.start_s.clone();
    let (counts, heartbeats) = counts;
    Ok(Outcome { counts, heartbeats, merged, seen, client, usage, start_s, crowd })
}

type Counted = (BTreeMap<&'static str, u64>, (u64, u64));

/// Waits for the end, then for the counts to add up.
fn follow(
    case: &Case,
    config: &Config,
    pids: &Pids,
    (usage, merged): (&mut Usage, &mut Vec<(f64, u64)>),
) -> Result<Counted, BenchError> {
    let (client, store) = (Client::new(config), Store::new(config));
    let (begun, mut progress, mut ended) = (Instant::now(), Progress::default(), None);
    let pause = if case.python { SELDOM } else { LOOK };
    loop {
        std::thread::sleep(pause);
        usage.look(pids);
        // A manager that is starved by the load is asked again.
        let Ok(status) = client.command(&Question::Status) else { continue };
        let of_root = sum(&status, "root", "ami_events_total");
        if merged.last().is_none_or(|last| last.1 < of_root) {
            merged.push((begun.elapsed().as_secs_f64(), of_root));
        }
        if progress.done(&status, 1) {
            let at = *ended.get_or_insert_with(Instant::now);
            let (counts, heartbeats) = count(&status, &store);
            // A worker that lost its seat to a deadline begins to count anew; its units are done
            // again elsewhere.
            let adds_up = |(stage, n): (&&str, &u64)| *stage == "workers" || *n == case.events;
            if counts.iter().all(adds_up) {
                return Ok((counts, heartbeats));
            }
            if at.elapsed() > SETTLED {
                return Err(BenchError::Counts { events: case.events, counts });
            }
        }
        if begun.elapsed() > LONGEST {
            let (counts, _) = count(&status, &store);
            return Err(BenchError::Slow { events: case.events, counts });
        }
    }
}

/// A metric of all members of a role.
fn sum(status: &Value, role: &str, name: &str) -> u64 {
    let of = members(status).filter(|m| m.text("role") == role);
    of.filter_map(|m: Member<'_>| m.metric(name)).sum::<f64>() as u64
}

/// Events as each stage counts them, and heartbeats as the root does.
fn count(status: &Value, store: &Store) -> Counted {
    let sum = |role: &str, name: &str| sum(status, role, name);
    let mut counts = BTreeMap::new();
    for (stage, role) in
        [("source", "ventilator"), ("workers", "worker"), ("host", "collector"), ("root", "root")]
    {
        counts.insert(stage, sum(role, "ami_events_total"));
    }
    let newest = store.get("bench/n").ok();
    let value = newest.as_ref().and_then(crate::client::feature::Feature::scalar);
    counts.insert("value", value.unwrap_or(0.0) as u64);
    counts.insert("label", newest.and_then(|f| f.number("window_events")).unwrap_or(0));
    let heartbeats =
        (sum("root", "ami_heartbeats_total"), sum("root", "ami_complete_heartbeats_total"));
    (counts, heartbeats)
}

/// The last lines of every log.
pub fn logs(dir: &Path) -> String {
    let mut text = String::new();
    for entry in std::fs::read_dir(dir.join("logs")).into_iter().flatten().flatten() {
        let log = std::fs::read_to_string(entry.path()).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        for line in &lines[lines.len().saturating_sub(3)..] {
            text += &format!("\n  {}: {line}", entry.file_name().display());
        }
    }
    text
}
