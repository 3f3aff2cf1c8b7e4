//! A whole system of real processes for tests: start it, edit its graphs, read its results, kill
//! and freeze its parts.
//!
//! Every system lives in a run directory of its own with ipc sockets, so that tests run in parallel.
//! Waiting is for a condition, with a deadline that only a broken system reaches.

pub mod chaos;
pub mod client;
pub mod decoders;
pub mod memory;
mod python;
pub mod random;
pub mod recording;
pub mod sender;
pub mod shows;

use ami_proto::health::memory::KEEP_FREED;
use ami_proto::socket::endpoint::Endpoint;
use client::{Feature, Subscriber, request};
pub use python::python_with_numpy;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// Nothing that works takes so long, even on a loaded machine.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// Where the daemons were built.
pub fn bin_dir() -> PathBuf {
    if let Some(dir) = std::env::var_os("AMI_BIN_DIR") {
        return dir.into();
    }
    // target/debug/deps/test-… → target/debug; a command of ours lies there itself.
    let exe = std::env::current_exe().unwrap();
    let dir = exe.parent().unwrap();
    if dir.ends_with("deps") { dir.parent().unwrap().to_path_buf() } else { dir.to_path_buf() }
}

/// Path of a built command; says how to build it when it is not there.
pub fn bin(name: &str) -> PathBuf {
    let path = bin_dir().join(name);
    assert!(path.exists(), "{} is not built: run `cargo build --workspace` first", path.display());
    path
}

/// The shared reference data, where a checkout has them beside it.
pub fn shared_data() -> Option<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    dir.is_dir().then_some(dir)
}

/// Polls until it yields something.
pub fn until<T>(what: &str, poll: impl FnMut() -> Option<T>) -> T {
    until_within(DEADLINE, what, poll)
}

/// As [`until`], for what takes long by its nature.
pub fn until_within<T>(most: Duration, what: &str, mut poll: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = poll() {
            return found;
        }
        assert!(start.elapsed() < most, "waited {most:?} for {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A system before its start.
pub struct Builder {
    source: String,
    workers: usize,
    set: Vec<String>,
    environment: Vec<(&'static str, PathBuf)>,
}

/// A running system of one host.
pub struct System {
    dir: tempfile::TempDir,
    set: Vec<String>,
    environment: Vec<(&'static str, PathBuf)>,
    /// Options that daemons got of their own.
    own: BTreeMap<String, Vec<String>>,
    children: BTreeMap<String, Child>,
    next_worker: usize,
}

impl Builder {
    /// Number of workers that the source waits for and that are started.
    pub fn workers(mut self, workers: usize) -> Builder {
        self.workers = workers;
        self
    }

    /// A configuration option, `section.key=value`.
    pub fn set(mut self, assignment: &str) -> Builder {
        self.set.push(assignment.to_string());
        self
    }

    /// What daemons find in their environment besides.
    pub fn environment(mut self, variables: &[(&'static str, PathBuf)]) -> Builder {
        self.environment.extend_from_slice(variables);
        self
    }

    /// Starts all daemons. The source is held until a graph is applied.
    pub fn start(self) -> System {
        let dir = tempfile::Builder::new().prefix("ami").tempdir().unwrap();
        let name = dir.path().file_name().unwrap().to_string_lossy().replace('.', "");
        let mut set = vec![
            format!("instance.run_dir={}", dir.path().display()),
            format!("instance.name={name}"),
            "instance.host=testhost".to_string(),
            format!("ventilator.source={}", self.source),
            format!("ventilator.workers={}", self.workers),
            "ventilator.ring_bytes=67108864".to_string(),
            // Every worker gets something to do, whatever the machine.
            "ventilator.busy_lanes=64".to_string(),
            "metrics.port=-1".to_string(),
        ];
        set.extend(self.set);
        let mut system = System {
            dir,
            set,
            environment: self.environment,
            own: BTreeMap::new(),
            children: BTreeMap::new(),
            next_worker: 0,
        };
        for daemon in ["manager", "store", "root", "collector", "ventilator"] {
            system.spawn(daemon);
        }
        for _ in 0..self.workers {
            system.spawn_worker();
        }
        system
    }
}

impl System {
    /// A system that reads this source.
    pub fn of(source: &str) -> Builder {
        let (set, environment) = (Vec::new(), Vec::new());
        Builder { source: source.to_string(), workers: 1, set, environment }
    }

    /// The run directory.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// An ipc address in the run directory.
    pub fn address(&self, file: &str) -> String {
        format!("ipc://{}/{file}", self.dir.path().display())
    }

    /// Starts a daemon by name: `manager`, `store`, `root`, `collector`, `ventilator`, `worker-…`; with
    /// the options of its own that it had before, if any.
    pub fn spawn(&mut self, name: &str) {
        let own = self.own.remove(name).unwrap_or_default();
        self.spawn_with(name, &own.iter().map(String::as_str).collect::<Vec<_>>());
    }

    /// As [`spawn`](Self::spawn), with options of its own.
    pub fn spawn_with(&mut self, name: &str, set: &[&str]) {
        let command = match name {
            "root" => "ami-collector".to_string(),
            worker if worker.starts_with("worker") => "ami-worker".to_string(),
            // Of a second host: `ventilator-b`.
            daemon => format!("ami-{}", daemon.split('-').next().unwrap_or(daemon)),
        };
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.dir.path().join(format!("{name}.log")))
            .unwrap();
        let mut child = Command::new(bin(&command));
        for assignment in self.set.iter().map(String::as_str).chain(set.iter().copied()) {
            child.arg("--set").arg(assignment);
        }
        if name == "root" {
            child.arg("--set").arg("collector.role=root");
        }
        if name.starts_with("worker") {
            child.arg("--set").arg(format!("worker.name={name}"));
        }
        let child = child
            .env("AMI_EXIT_WITH_PARENT", "1")
            .env(KEEP_FREED.0, KEEP_FREED.1)
            .envs(self.environment.iter().cloned())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        self.children.insert(name.to_string(), child);
        self.own.insert(name.to_string(), set.iter().map(|s| s.to_string()).collect());
    }

    /// Starts a second host with one worker, whose daemons are called `…-NAME`; root, manager and store
    /// are those of the first.
    pub fn spawn_host(&mut self, name: &str, source: &str) {
        let dir = self.dir.path().join(name);
        std::fs::create_dir(&dir).unwrap();
        let shared = [
            ("root", Endpoint::Root),
            ("decisions", Endpoint::Decisions),
            ("graphs", Endpoint::Graphs),
            ("reports", Endpoint::Reports),
        ];
        let mut set: Vec<String> =
            shared.map(|(key, e)| format!("endpoints.{key}={}", self.address(e.file()))).to_vec();
        set.push(format!("instance.run_dir={}", dir.display()));
        set.push(format!("instance.host={name}"));
        set.push(format!("ventilator.source={source}"));
        set.push("ventilator.workers=1".into());
        let set: Vec<&str> = set.iter().map(String::as_str).collect();
        for daemon in ["collector", "ventilator", "worker"] {
            self.spawn_with(&format!("{daemon}-{name}"), &set);
        }
    }

    /// Starts one more worker.
    pub fn spawn_worker(&mut self) -> String {
        let name = format!("worker-{}", self.next_worker);
        self.next_worker += 1;
        self.spawn(&name);
        name
    }

    /// Sends a signal to a daemon.
    pub fn signal(&self, name: &str, signal: Signal) {
        let pid = Pid::from_raw(self.children[name].id() as i32).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// Process id of a daemon.
    pub fn pid(&self, name: &str) -> u32 {
        self.children[name].id()
    }

    /// Names of the workers that were started and not killed.
    pub fn workers(&self) -> Vec<String> {
        self.children.keys().filter(|n| n.starts_with("worker")).cloned().collect()
    }

    /// The living ventilator's ring.
    pub fn ring(&self) -> PathBuf {
        let name = self.dir.path().file_name().unwrap().to_string_lossy().replace('.', "");
        until("the ring", || {
            let rings = ami_shm::leftovers(Path::new("/dev/shm"), &format!("ami-{name}-")).ok()?;
            rings.into_iter().find(|ring| ring.alive).map(|ring| ring.path)
        })
    }

    /// `kill -9`, and waits until it is gone.
    pub fn kill(&mut self, name: &str) {
        self.signal(name, Signal::KILL);
        self.children.remove(name).unwrap().wait().unwrap();
    }

    /// Waits until a daemon that was asked to stop is gone, and kills it if it takes too long:
    /// whether it ended with success.
    pub fn wait_exit(&mut self, name: &str) -> bool {
        let Some(mut child) = self.children.remove(name) else { return false };
        let start = Instant::now();
        loop {
            match child.try_wait().unwrap() {
                Some(status) => return status.success(),
                None if start.elapsed() < DEADLINE => {
                    std::thread::sleep(Duration::from_millis(5));
                }
                None => {
                    child.kill().unwrap();
                    child.wait().unwrap();
                    return false;
                }
            }
        }
    }

    /// Daemons that are gone, with how they ended; those that were asked to stop are not looked at.
    pub fn exits(&mut self, leaving: &BTreeSet<String>) -> Vec<(String, ExitStatus)> {
        let ended = |child: &mut Child| child.try_wait().ok().flatten();
        let gone: Vec<(String, ExitStatus)> = self
            .children
            .iter_mut()
            .filter(|(n, _)| !leaving.contains(*n))
            .filter_map(|(n, c)| Some((n.clone(), ended(c)?)))
            .collect();
        self.children.retain(|name, _| !gone.iter().any(|(n, _)| n == name));
        gone
    }

    /// The end of what every daemon logged.
    pub fn logs(&self) -> String {
        let tail = |name: &String| {
            let log = self.log(name);
            let lines: Vec<&str> = log.lines().collect();
            let newest = &lines[lines.len().saturating_sub(60)..];
            format!("--- {name}\n{}\n", newest.join("\n"))
        };
        self.children.keys().map(tail).collect()
    }

    /// Names of the daemons that were started and not killed.
    pub fn members(&self) -> Vec<String> {
        self.children.keys().cloned().collect()
    }

    /// What a daemon logged.
    pub fn log(&self, name: &str) -> String {
        std::fs::read_to_string(self.dir.path().join(format!("{name}.log"))).unwrap_or_default()
    }

    /// Starts `ami-ctl record` to a file, with further arguments; it has its lane when this returns.
    pub fn record(&self, file: &Path, args: &[&str]) -> Child {
        self.recorder(self.dir(), "ventilator", file, args)
    }

    /// As [`record`](Self::record), on a host that [`spawn_host`](Self::spawn_host) started.
    pub fn record_at(&self, host: &str, file: &Path) -> Child {
        self.recorder(&self.dir().join(host), &format!("ventilator-{host}"), file, &[])
    }

    fn recorder(&self, run_dir: &Path, ventilator: &str, file: &Path, args: &[&str]) -> Child {
        let seats = || self.log(ventilator).matches("recorder-").count();
        let before = seats();
        let recorder = Command::new(bin("ami-ctl"))
            .args(["--run-dir", &run_dir.display().to_string(), "record"])
            .arg(file)
            .args(args)
            .spawn()
            .unwrap();
        until("the recorder's lane", || (seats() > before).then_some(()));
        recorder
    }

    /// A command to the manager; panics on no answer, returns refusals as they are.
    pub fn manager(&self, command: Value) -> Value {
        request(&self.address("manager.cmd"), &command.to_string())[0].clone()
    }

    /// Applies a graph and waits until it is in effect; panics when it is refused.
    pub fn apply(&self, graph: &Value) -> Value {
        let answer = self.manager(json!({"cmd": "graph.apply", "spec": graph, "who": "test"}));
        assert!(answer.get("error").is_none(), "{answer:#}");
        assert_eq!(answer["in_effect"], true, "{answer:#}");
        answer
    }

    /// The manager's status document.
    pub fn status(&self) -> Value {
        self.manager(json!({"cmd": "status"}))
    }

    /// A metric of a member by role, summed over members of that role; None before it reported.
    pub fn metric(&self, role: &str, name: &str) -> Option<f64> {
        let status = self.status();
        let members = status["members"].as_array()?;
        let values = members.iter().filter(|m| m["role"] == role && m["alive"] == true);
        values.filter_map(|m| m["metrics"][name].as_f64()).reduce(|a, b| a + b)
    }

    /// How many members of a role live.
    pub fn living(&self, role: &str) -> usize {
        let status = self.status();
        let members = status["members"].as_array().into_iter().flatten();
        members.filter(|m| m["role"] == role && m["alive"] == true).count()
    }

    /// Waits until the sources have ended and everything of them is decided and published.
    pub fn drained(&self) {
        until("the end of data", || {
            let all = self.living("ventilator") as f64;
            (self.metric("ventilator", "ami_drained")? == all).then_some(())
        });
    }

    /// The newest value of a feature.
    pub fn get(&self, topic: &str) -> Feature {
        until(topic, || {
            let feature = client::get(&self.address("store.query"), topic)?;
            Some(feature)
        })
    }

    /// The newest value of a feature that satisfies a condition.
    pub fn get_when(&self, topic: &str, condition: impl Fn(&Feature) -> bool) -> Feature {
        until(topic, || client::get(&self.address("store.query"), topic).filter(|f| condition(f)))
    }

    /// All values of some topics from now on.
    pub fn subscribe(&self, prefix: &str) -> Subscriber {
        Subscriber::new(&self.address("store.pub"), prefix)
    }

    /// Asks every daemon to stop and waits; true if all did with success.
    pub fn stop(mut self) -> bool {
        let mut order: Vec<String> = self.children.keys().cloned().collect();
        order.sort_by_key(|n| {
            ["ventilator", "worker", "collector", "root"]
                .iter()
                .position(|p| n.starts_with(p))
                .unwrap_or(9)
        });
        let mut fine = true;
        for name in order {
            self.signal(&name, Signal::TERM);
            fine &= self.wait_exit(&name);
        }
        fine
    }
}

impl Drop for System {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for name in self.children.keys() {
                eprintln!("--- {name}\n{}", self.log(name));
            }
        }
        for child in self.children.values_mut() {
            let _ = child.kill();
            let _ = child.wait();
        }
        // A killed ventilator leaves its ring; its instance name is the run directory's.
        let name = self.dir.path().file_name().unwrap().to_string_lossy().replace('.', "");
        for entry in std::fs::read_dir("/dev/shm").into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().contains(&name) {
                let _ = std::fs::remove_file(entry.path());
            }
        }
    }
}
