//! Which daemons a local run has, with which options; and its run directory.

use crate::client::system::{FOUND, assignment};
use crate::environment;
use crate::failure::Failure;
use crate::local::leavings;
use crate::local::processes::{Launch, binary};
use ami_proto::config::Config;
use ami_proto::process::role_lock::RoleLock;
use ami_proto::socket::endpoint::{ENDPOINTS, Endpoint};
use std::fmt::Write;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// Longest path of a run directory: a socket's path has 107 bytes, the longest in it
/// (`/h31/lane-…`) 34.
const MAX_PATH: usize = 72;

/// A run directory, locked for this run.
#[derive(Debug)]
pub struct RunDir {
    path: PathBuf,
    ring_dir: PathBuf,
    remove: bool,
    _lock: RoleLock,
}

impl RunDir {
    /// The given one, or a fresh one that is removed at the end, with the rings of the run.
    ///
    /// # Errors
    /// When it cannot be made, is in use or has too long a path.
    pub fn make(given: Option<PathBuf>, ring_dir: &Path) -> Result<RunDir, Failure> {
        let (path, remove) = match given {
            Some(path) => (path, false),
            None => (fresh(ring_dir), true),
        };
        let failed = |e: io::Error| {
            let error = format!("run directory {}: {e}", path.display());
            Failure::usage(error, "name a directory that you may write with --run-dir")
        };
        private(&path).map_err(failed)?;
        let path = path.canonicalize().map_err(failed)?;
        if path.as_os_str().len() > MAX_PATH {
            let error = format!("run directory {} has too long a path for sockets", path.display());
            let hint = format!("name one with at most {MAX_PATH} bytes with --run-dir");
            return Err(Failure::usage(error, hint));
        }
        let lock = RoleLock::take(&path, "local").map_err(|e| Failure::usage(e.to_string(), ""))?;
        for sub in ["notify", "logs"] {
            private(&path.join(sub)).map_err(failed)?;
        }
        Ok(RunDir { path, ring_dir: ring_dir.into(), remove, _lock: lock })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Leaves it where it is at the end.
    pub fn keep(&mut self) {
        self.remove = false;
    }
}

impl Drop for RunDir {
    fn drop(&mut self) {
        if self.remove {
            leavings::remove_rings(&self.path, &self.ring_dir);
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }
}

fn fresh(ring_dir: &Path) -> PathBuf {
    let parent = environment::runtime_dir().unwrap_or_else(|| "/tmp".into());
    leavings::sweep(&parent, ring_dir);
    let names = (0u32..).map(|n| parent.join(format!("ami-{}-{n}", std::process::id())));
    // Made at once, so that nobody else gets the same one.
    names
        .take(1000)
        .find(|p| std::fs::DirBuilder::new().mode(0o700).create(p).is_ok())
        .unwrap_or_else(|| parent.join("ami-local"))
}

fn private(path: &Path) -> io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// In which order daemons stop: what feeds goes before what it feeds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Takes from the source.
    Ventilator,
    /// Computes.
    Worker,
    /// Merges a host.
    Collector,
    /// Merges all hosts.
    Root,
    /// Serves.
    Store,
    /// Holds the graphs.
    Manager,
}

/// The daemons of a run.
#[derive(Debug)]
pub struct Layout {
    /// The configuration that all have in common.
    pub config: Config,
    /// Daemons with what they are.
    pub daemons: Vec<(Kind, Launch)>,
    /// Workers of all hosts.
    pub workers: usize,
}

impl Layout {
    /// Daemons for so many hosts.
    ///
    /// # Errors
    /// When a program is missing or the configuration cannot be played on several hosts.
    pub fn new(
        config: Config,
        file: Option<PathBuf>,
        set: Vec<String>,
        hosts: usize,
        workers: usize,
    ) -> Result<Layout, Failure> {
        // Whoever starts a system of his own may run his own code in it; what he says goes before.
        let mut set = [vec!["python.enabled=true".to_owned()], set].concat();
        if hosts > 1 {
            set.extend(common(&config, hosts));
        }
        let file = file.as_deref();
        let config = Config::load(file, &set).map_err(|e| Failure::usage(e.to_string(), ""))?;
        let mut daemons = Vec::new();
        let mut add = |kind: Kind, program: &str, name: String, more: &[String]| {
            let binary = binary(program)?;
            let arguments = arguments(file, set.iter().chain(more));
            daemons.push((kind, Launch { name, binary, arguments }));
            Ok::<(), Failure>(())
        };
        add(Kind::Manager, "ami-manager", "manager".into(), &[])?;
        add(Kind::Store, "ami-store", "store".into(), &[])?;
        if !config.gateway.karabo.is_empty() {
            add(Kind::Store, "ami-gateway", "gateway".into(), &[])?;
        }
        add(Kind::Root, "ami-collector", "root".into(), &["collector.role=root".into()])?;
        for host in 0..hosts {
            let own = if hosts > 1 { of_host(&config, host) } else { Vec::new() };
            let suffix = if hosts > 1 { format!("-{host}") } else { String::new() };
            let role = [&own[..], &["collector.role=host".into()]].concat();
            add(Kind::Collector, "ami-collector", format!("collector{suffix}"), &role)?;
            for worker in 0..workers {
                let name = format!("worker{suffix}-{worker}");
                let named = [&own[..], &[assignment("worker.name", &name)]].concat();
                add(Kind::Worker, "ami-worker", name, &named)?;
            }
            add(Kind::Ventilator, "ami-ventilator", format!("ventilator{suffix}"), &own)?;
        }
        Ok(Layout { config, daemons, workers: hosts * workers })
    }

    /// Leaves in the run directory what other commands need to find this system.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn describe(&self, run_dir: &Path) -> io::Result<()> {
        for (_, launch) in &self.daemons {
            // Left by a run that was killed.
            let _ = std::fs::remove_file(run_dir.join("notify").join(&launch.name));
        }
        let quoted = |text: &str| serde_json::Value::from(text).to_string();
        let mut text = String::from(
            "# Written by `ami-ctl local`, for commands with --run-dir.\n[instance]\n",
        );
        let _ = writeln!(text, "name = {}", quoted(&self.config.instance.name));
        let _ = writeln!(text, "host = {}\n\n[endpoints]", quoted(&self.config.instance.host));
        for (endpoint, ..) in ENDPOINTS {
            let _ =
                writeln!(text, "{} = {}", key(endpoint), quoted(&endpoint.connect(&self.config)));
        }
        std::fs::write(run_dir.join(FOUND), text)
    }
}

fn arguments<'a>(file: Option<&Path>, set: impl Iterator<Item = &'a String>) -> Vec<String> {
    let mut arguments = Vec::new();
    if let Some(file) = file {
        arguments.extend(["--config".into(), file.display().to_string()]);
    }
    arguments.extend(set.flat_map(|assignment| ["--set".to_string(), assignment.clone()]));
    arguments
}

/// Options by which several hosts on one machine share root, store and manager.
fn common(config: &Config, hosts: usize) -> Vec<String> {
    let shared = [
        Endpoint::Root,
        Endpoint::Decisions,
        Endpoint::Results,
        Endpoint::Graphs,
        Endpoint::Reports,
    ];
    let mut set: Vec<String> = shared
        .iter()
        .map(|e| assignment(&format!("endpoints.{}", key(*e)), &e.bind(config)))
        .collect();
    if config.root.hosts.is_empty() {
        let names: Vec<String> = (0..hosts).map(|h| format!("\"host-{h}\"")).collect();
        set.push(format!("root.hosts=[{}]", names.join(",")));
    }
    set
}

/// Options of one of several hosts: its own name and sockets.
fn of_host(config: &Config, host: usize) -> Vec<String> {
    let dir = config.instance.run_dir.join(format!("h{host}"));
    vec![
        assignment("instance.host", &format!("host-{host}")),
        assignment("instance.run_dir", &dir.display().to_string()),
    ]
}

/// The option of `[endpoints]` that sets it.
fn key(endpoint: Endpoint) -> &'static str {
    match endpoint {
        Endpoint::Ventilator => "ventilator",
        Endpoint::Collector => "collector",
        Endpoint::Root => "root",
        Endpoint::Decisions => "decisions",
        Endpoint::Results => "results",
        Endpoint::Store => "store",
        Endpoint::Query => "query",
        Endpoint::Manager => "manager",
        Endpoint::Graphs => "graphs",
        Endpoint::Reports => "reports",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_directory_has_one_owner_and_goes_unless_it_was_given() {
        let rings = Path::new("/nonexistent");
        let dir = RunDir::make(None, rings).unwrap();
        let path = dir.path().to_path_buf();
        let error = RunDir::make(Some(path.clone()), rings).unwrap_err();
        assert!(error.refusal.error.contains("another local is running"), "{error}");
        drop(dir);
        assert!(!path.exists());
        let given = tempfile::tempdir().unwrap();
        drop(RunDir::make(Some(given.path().into()), rings).unwrap());
        assert!(given.path().join("logs").is_dir());
        let long = given.path().join("x".repeat(80));
        assert!(RunDir::make(Some(long), rings).unwrap_err().refusal.error.contains("too long"));
    }

    #[test]
    fn every_endpoint_can_be_named_and_found_again() {
        let dir = tempfile::tempdir().unwrap();
        let set = [assignment("instance.run_dir", &dir.path().display().to_string())];
        let config = Config::load(None, &set).unwrap();
        let layout = Layout { config: config.clone(), daemons: Vec::new(), workers: 0 };
        layout.describe(dir.path()).unwrap();
        let found = Config::load(Some(&dir.path().join(FOUND)), &[]).unwrap();
        for (endpoint, ..) in ENDPOINTS {
            assert_eq!(endpoint.connect(&found), endpoint.connect(&config));
        }
    }

    #[test]
    fn several_hosts_share_the_root_and_nothing_else() {
        let config = Config::load(None, &["instance.run_dir=/tmp/r".into()]).unwrap();
        let shared = common(&config, 2);
        assert!(shared.contains(&"root.hosts=[\"host-0\",\"host-1\"]".to_string()));
        let of = |host| {
            let set = [shared.clone(), of_host(&config, host)].concat();
            Config::load(None, &[vec!["instance.run_dir=/tmp/r".into()], set].concat()).unwrap()
        };
        assert_eq!(Endpoint::Root.connect(&of(0)), Endpoint::Root.connect(&of(1)));
        assert_ne!(Endpoint::Ventilator.connect(&of(0)), Endpoint::Ventilator.connect(&of(1)));
        assert_eq!(of(1).instance.host, "host-1");
    }
}
