//! The configuration of all daemons: one TOML file, of which each reads its part.
//!
//! `deploy/config/ami.toml` is compiled in and is the default of every option; a file and `--set`
//! override it. A key that the default does not have is an error with the nearest name.

use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use toml::{Table, Value};

/// The default configuration, as text.
pub const DEFAULTS: &str = include_str!("../../deploy/config/ami.toml");

/// The table whose keys are names that people choose.
const FREE_NAMES: &str = "python.envs.";

/// Least memory that a daemon works with, bytes.
const LEAST_MEMORY: u64 = 64 << 20;

/// Why a configuration was refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("configuration {path}: {source}: give an existing TOML file with --config")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is not TOML, or a value is of a wrong type.
    #[error("configuration {origin}: {message}")]
    Parse {
        /// File, or `--set`.
        origin: String,
        /// What and where.
        message: String,
    },
    /// No such option.
    #[error(
        "configuration {origin}: no option {key:?}; did you mean {nearest:?}? deploy/config/ami.toml lists all"
    )]
    Unknown {
        /// File, or `--set`.
        origin: String,
        /// As written.
        key: String,
        /// The most similar one.
        nearest: String,
    },
    /// A value is outside of what makes sense.
    #[error("configuration: {key} = {value}: {reason}")]
    Value {
        /// The option.
        key: &'static str,
        /// As given.
        value: String,
        /// What is allowed.
        reason: &'static str,
    },
}

macro_rules! sections {
    ($($(#[$doc:meta])* $name:ident { $($key:ident: $type:ty),* $(,)? })*) => { $(
        $(#[$doc])*
        #[derive(Debug, Clone, Deserialize)]
        #[serde(deny_unknown_fields)]
        #[allow(missing_docs)] // deploy/config/ami.toml is the reference of every option
        pub struct $name { $(pub $key: $type),* }
    )* };
}

sections! {
    /// Everything.
    Config {
        instance: Instance, endpoints: Endpoints, heartbeat: Heartbeat, ventilator: Ventilator,
        worker: Worker, collector: Collector, root: Root, manager: Manager, store: Store,
        gateway: Gateway, python: Python, security: Security, metrics: Metrics,
    }
    /// `[instance]`
    Instance { name: String, run_dir: PathBuf, host: String, cpu_latency_us: i32 }
    /// `[endpoints]`
    Endpoints {
        ventilator: String, collector: String, root: String, decisions: String, results: String,
        store: String, query: String, manager: String, graphs: String, reports: String,
    }
    /// `[heartbeat]`
    Heartbeat { period_ms: u64, events: u64, idle_close_ms: u64, cap_ms: u64 }
    /// `[ventilator]`
    Ventilator {
        source: String, ring_dir: PathBuf, ring_bytes: usize, lanes: usize, workers: usize,
        wait_for_graph: bool, chunk_events: usize, chunk_bytes: usize, credits: usize,
        busy_lanes: usize, flushes_in_flight: usize, overload: String, max_skew_s: u64,
        skew_confirm: u32, lane_deadline_ms: u64, huge_pages: bool, memory_max: u64, cpus: Vec<usize>,
    }
    /// `[worker]`
    Worker { name: String, memory_max: u64, cpus: Vec<usize> }
    /// `[collector]`
    Collector {
        role: CollectorRole, ask_after_ms: u64, resend_ms: u64, hold_bytes: usize, memory_max: u64,
    }
    /// `[root]`
    Root {
        hosts: Vec<String>, late_after_ms: u64, host_timeout_s: u64, state_dir: PathBuf,
        decide_after_ms: u64, checkpoint_s: f64, checkpoint_bytes: u64, memory_max: u64,
    }
    /// `[manager]`
    Manager { journal: PathBuf, prepare_timeout_ms: u64, state_bytes: u64, memory_max: u64 }
    /// `[store]`
    Store { history: usize, history_bytes: usize, client_queue: i32, client_bytes: usize, memory_max: u64 }
    /// `[gateway]`
    Gateway { graphs: Vec<String>, karabo: String, karabo_pattern: String, memory_max: u64 }
    /// `[python]`
    Python {
        enabled: bool, envs: BTreeMap<String, PathBuf>, memory_max: u64, threads: u32,
        outbox_max: usize,
    }
    /// `[security]`
    Security { mode: String, key: PathBuf, server_key: PathBuf, allowed: PathBuf }
    /// `[metrics]`
    Metrics { port: i32 }
}

impl Default for Python {
    /// As `deploy/config/ami.toml` has it.
    fn default() -> Python {
        Config::load(None, &[]).expect("the defaults are a configuration").python
    }
}

/// What a collector merges.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CollectorRole {
    /// A host's workers.
    Host,
    /// All hosts.
    Root,
}

impl Config {
    /// Defaults, then the file, then each `section.key=value`.
    ///
    /// # Errors
    /// When a file cannot be read, is not TOML, names an unknown option or a senseless value.
    pub fn load(file: Option<&Path>, set: &[String]) -> Result<Config, ConfigError> {
        let mut table: Table = parse(DEFAULTS, "defaults")?;
        if let Some(path) = file {
            let text = std::fs::read_to_string(path)
                .map_err(|source| ConfigError::Read { path: path.into(), source })?;
            let origin = path.display().to_string();
            overlay(&mut table, parse(&text, &origin)?, &origin, "")?;
        }
        for assignment in set {
            let over = assigned(assignment, &table)?;
            overlay(&mut table, over, "--set", "")?;
        }
        let mut config: Config = Value::Table(table).try_into().map_err(|e: toml::de::Error| {
            ConfigError::Parse { origin: "file or --set".into(), message: e.message().to_string() }
        })?;
        config.check()?;
        if config.instance.host.is_empty() {
            config.instance.host =
                rustix::system::uname().nodename().to_string_lossy().into_owned();
        }
        Ok(config)
    }

    fn check(&self) -> Result<(), ConfigError> {
        let positive = [
            ("heartbeat.period_ms", self.heartbeat.period_ms),
            ("heartbeat.events", self.heartbeat.events),
            ("heartbeat.cap_ms", self.heartbeat.cap_ms),
            ("ventilator.chunk_events", self.ventilator.chunk_events as u64),
            ("ventilator.chunk_bytes", self.ventilator.chunk_bytes as u64),
            ("ventilator.credits", self.ventilator.credits as u64),
            ("ventilator.flushes_in_flight", self.ventilator.flushes_in_flight as u64),
            ("ventilator.lanes", self.ventilator.lanes as u64),
            ("store.history", self.store.history as u64),
            ("store.client_queue", self.store.client_queue.max(0) as u64),
            ("store.client_bytes", self.store.client_bytes as u64),
            ("manager.state_bytes", self.manager.state_bytes),
            ("python.threads", u64::from(self.python.threads)),
            ("python.outbox_max", self.python.outbox_max as u64),
        ];
        for (key, value) in positive {
            if value == 0 {
                let reason = "must be at least 1";
                return Err(ConfigError::Value { key, value: "0".into(), reason });
            }
        }
        let overload = &self.ventilator.overload;
        if !["", "block", "drop"].contains(&overload.as_str()) {
            let (key, reason) = ("ventilator.overload", "must be \"block\", \"drop\" or empty");
            return Err(ConfigError::Value { key, value: overload.clone(), reason });
        }
        self.check_memory()?;
        if !["off", "curve"].contains(&self.security.mode.as_str()) {
            let (key, reason) = ("security.mode", "must be \"off\" or \"curve\"");
            let value = self.security.mode.clone();
            return Err(ConfigError::Value { key, value, reason });
        }
        if self.ventilator.ring_bytes < 1 << 20 {
            let (key, reason) = ("ventilator.ring_bytes", "must be at least 1048576 (1 MiB)");
            let value = self.ventilator.ring_bytes.to_string();
            return Err(ConfigError::Value { key, value, reason });
        }
        Ok(())
    }

    fn check_memory(&self) -> Result<(), ConfigError> {
        let all = [
            ("ventilator.memory_max", self.ventilator.memory_max),
            ("worker.memory_max", self.worker.memory_max),
            ("collector.memory_max", self.collector.memory_max),
            ("root.memory_max", self.root.memory_max),
            ("manager.memory_max", self.manager.memory_max),
            ("store.memory_max", self.store.memory_max),
            ("gateway.memory_max", self.gateway.memory_max),
            ("python.memory_max", self.python.memory_max),
        ];
        if let Some((key, value)) = all.into_iter().find(|(_, v)| *v < LEAST_MEMORY) {
            let reason = "must be at least 67108864 (64 MiB)";
            return Err(ConfigError::Value { key, value: value.to_string(), reason });
        }
        if self.store.history_bytes as u64 > self.store.memory_max / 2 {
            let (key, reason) = ("store.history_bytes", "must be at most half of store.memory_max");
            let value = self.store.history_bytes.to_string();
            return Err(ConfigError::Value { key, value, reason });
        }
        Ok(())
    }

    /// Bytes that a daemon may take for itself, by its command's name.
    pub fn memory_max(&self, daemon: &str) -> u64 {
        match (daemon, self.collector.role) {
            ("ami-ventilator", _) => self.ventilator.memory_max,
            ("ami-worker", _) => self.worker.memory_max,
            ("ami-collector", CollectorRole::Host) => self.collector.memory_max,
            ("ami-collector", CollectorRole::Root) => self.root.memory_max,
            ("ami-manager", _) => self.manager.memory_max,
            ("ami-store", _) => self.store.memory_max,
            ("ami-gateway", _) => self.gateway.memory_max,
            _ => u64::MAX,
        }
    }

    /// Bytes of flushes that a host collector holds: a quarter of its memory at most, since beside them
    /// are those that it merges, and once more those that are on their way to the root.
    pub fn hold_bytes(&self) -> usize {
        let quarter = self.collector.memory_max / 4;
        self.collector.hold_bytes.min(usize::try_from(quarter).unwrap_or(usize::MAX))
    }

    /// What a graph set may take; the same for every member, so that they agree. A quarter of a
    /// member's memory: beside a state there are its copies on the way and while they are merged.
    pub fn limits(&self) -> ami_graph::plan::limits::Limits {
        let members = [self.worker.memory_max, self.collector.memory_max, self.root.memory_max];
        let least = members.into_iter().min().unwrap_or(u64::MAX);
        ami_graph::plan::limits::Limits {
            state_bytes: self.manager.state_bytes.min(least / 4),
            period_ns: self.period_ns(),
            ..Default::default()
        }
    }

    /// Length of a heartbeat, ns.
    pub fn period_ns(&self) -> u64 {
        self.heartbeat.period_ms * 1_000_000
    }
}

fn parse(text: &str, origin: &str) -> Result<Table, ConfigError> {
    text.parse().map_err(|e: toml::de::Error| ConfigError::Parse {
        origin: origin.into(),
        message: e.to_string().trim().to_string(),
    })
}

/// `section.key=value` as a table. A value that is not TOML is taken as text, so that paths and
/// URLs need no quotes.
fn assigned(assignment: &str, defaults: &Table) -> Result<Table, ConfigError> {
    let wrong = || ConfigError::Parse {
        origin: "--set".into(),
        message: format!("{assignment:?} is not of the form section.key=value"),
    };
    let (path, text) = assignment.split_once('=').ok_or_else(wrong)?;
    let (section, key) = path.trim().split_once('.').ok_or_else(wrong)?;
    let default = defaults.get(section).and_then(|s| s.get(key));
    let is_text = default.is_some_and(Value::is_str) || key.starts_with("envs.");
    let parsed = format!("v = {text}").parse::<Table>().ok().and_then(|mut t| t.remove("v"));
    let value = match parsed {
        Some(value) if !is_text || value.is_str() => value,
        _ => Value::String(text.to_string()),
    };
    // A name of an environment is one key deeper.
    let nested =
        |value: Value, key: &str| Value::Table(Table::from_iter([(key.trim().to_string(), value)]));
    let inner = key.rsplit('.').fold(value, nested);
    Ok(Table::from_iter([(section.to_string(), inner)]))
}

fn overlay(base: &mut Table, over: Table, origin: &str, prefix: &str) -> Result<(), ConfigError> {
    for (key, value) in over {
        // Names of environments are free.
        if prefix == FREE_NAMES {
            base.insert(key, value);
            continue;
        }
        let Some(slot) = base.get_mut(&key) else {
            let nearest = base
                .keys()
                .max_by(|a, b| strsim::jaro(a, &key).total_cmp(&strsim::jaro(b, &key)))
                .map_or(String::new(), |n| format!("{prefix}{n}"));
            let key = format!("{prefix}{key}");
            return Err(ConfigError::Unknown { origin: origin.into(), key, nearest });
        };
        match (slot, value) {
            (Value::Table(inner), Value::Table(over)) => {
                overlay(inner, over, origin, &format!("{prefix}{key}."))?;
            }
            (slot, value) => *slot = value,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn environments_of_user_code_have_any_name() {
        let set =
            ["python.envs.psana=/opt/psana/bin/python".to_owned(), "python.enabled=true".into()];
        let python = Config::load(None, &set).unwrap().python;
        assert!(python.enabled);
        assert_eq!(python.envs["psana"], PathBuf::from("/opt/psana/bin/python"));
        assert_eq!(python.envs["default"], PathBuf::from("python3"));
        let error = Config::load(None, &["python.enabeld=true".to_owned()]).unwrap_err();
        assert!(error.to_string().contains("enabled"), "{error}");
    }

    #[test]
    fn defaults_load_and_set_overrides() {
        let set = [
            "ventilator.source=sim:pump-probe?rate=10",
            "heartbeat.period_ms=10",
            "instance.host=7",
        ];
        let config = Config::load(None, &set.map(String::from)).unwrap();
        assert_eq!(config.ventilator.source, "sim:pump-probe?rate=10");
        assert_eq!(config.period_ns(), 10_000_000);
        assert_eq!(config.instance.host, "7", "text stays text");
    }

    #[test]
    fn what_graphs_may_take_follows_the_least_memory_of_a_member() {
        let limits =
            |set: &str| Config::load(None, &[set.to_string()]).unwrap().limits().state_bytes;
        assert_eq!(limits("root.memory_max=134217728"), 32 << 20);
        assert_eq!(limits("manager.state_bytes=1000"), 1000);
        let hold = |set: &str| Config::load(None, &[set.to_string()]).unwrap().hold_bytes();
        assert_eq!(hold("collector.memory_max=134217728"), 32 << 20);
        assert_eq!(hold("collector.hold_bytes=1000"), 1000);
    }

    #[test]
    fn mistakes_name_the_option_and_the_nearest() {
        let error = |s: &str| Config::load(None, &[s.to_string()]).unwrap_err().to_string();
        assert!(error("ventilator.sorce=x").contains("\"ventilator.source\""));
        assert!(error("heartbeat.period_ms=0").contains("at least 1"));
        assert!(error("heartbeat.period_ms=fast").contains("invalid type"));
        assert!(error("nonsense").contains("section.key=value"));
        assert!(error("store.client_queue=0").contains("at least 1"), "0 would be no bound");
        assert!(error("store.history_bytes=1000000000").contains("half of store.memory_max"));
        assert!(error("worker.memory_max=1000").contains("64 MiB"));
        assert!(error("security.mode=on").contains("curve"));
        let missing = Config::load(Some(Path::new("/nonexistent.toml")), &[]).unwrap_err();
        assert!(missing.to_string().contains("/nonexistent.toml"));
    }
}
