//! How every daemon starts, reports and stops: options, configuration, logs, signals, metrics,
//! systemd, exit code.

use crate::config::Config;
use crate::health::memory::Memory;
use crate::health::metrics::{self, Metrics};
use crate::process::cpu_latency;
use crate::process::role_lock::RoleLock;
use crate::security::credentials::Security;
use crate::socket;
use clap::{Arg, ArgAction, ArgMatches, Command};
use std::fs::File;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Exit code of bad usage or configuration.
pub const USAGE: u8 = 2;

/// What a daemon's loop gets from its process.
#[derive(Debug)]
pub struct Daemon {
    stop: Arc<AtomicBool>,
    /// The daemon's numbers.
    pub metrics: Metrics,
    /// Where its sockets are made.
    pub context: socket::Context,
    /// Its life: start time, ns since the Unix epoch. Increases from one life to the next.
    pub life: u64,
    /// Port of `/metrics`, 0 if none.
    pub metrics_port: u16,
    /// What it takes of its memory.
    pub memory: Memory,
    watchdog: Option<Duration>,
    notified: Option<Instant>,
    /// The supervisor's process id, where it asked to be outlived by nobody.
    parent: Option<u32>,
    _lock: Option<RoleLock>,
    _awake: Option<File>,
}

/// Lets this process run on these processors only; on all when there are none in the list. To be
/// called before threads are made: they inherit it.
///
/// # Errors
/// When one of them does not exist or is not ours.
pub fn pin(cpus: &[usize]) -> anyhow::Result<()> {
    use anyhow::Context;
    if cpus.is_empty() {
        return Ok(());
    }
    let mut set = rustix::thread::CpuSet::new();
    for &cpu in cpus {
        anyhow::ensure!(cpu < rustix::thread::CpuSet::MAX_CPU, "cpus: there is no processor {cpu}");
        set.set(cpu);
    }
    rustix::thread::sched_setaffinity(None, &set)
        .with_context(|| format!("cpus = {cpus:?}: name processors of this machine (`lscpu -e`)"))
}

/// Nanoseconds since the Unix epoch.
pub fn now_ns() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_nanos() as u64)
}

impl Daemon {
    /// For a loop inside a test.
    pub fn test(config: &Config) -> Daemon {
        let metrics = Metrics::default();
        Daemon {
            stop: Arc::default(),
            context: socket::Context::new(config, metrics.clone()),
            metrics,
            life: now_ns(),
            metrics_port: 0,
            memory: Memory::new(u64::MAX),
            watchdog: None,
            notified: None,
            parent: None,
            _lock: None,
            _awake: None,
        }
    }

    /// True once the process was asked to stop.
    pub fn stopping(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// The flag behind [`stopping`](Self::stopping).
    pub fn stop_flag(&self) -> Arc<AtomicBool> {
        self.stop.clone()
    }

    /// Sockets are bound, work can begin: tells systemd and a supervisor that waits for the line.
    pub fn ready(&mut self, status: &str) {
        tracing::info!(status, "ready");
        let _ = sd_notify::notify(&[
            sd_notify::NotifyState::Ready,
            sd_notify::NotifyState::Status(status),
        ]);
        self.beat();
    }

    /// What keeps this daemon from being taken for stuck while its main loop waits for user code, which has
    /// deadlines of its own.
    pub fn pulse(&self) -> impl Fn() + Send + Sync + 'static {
        let (metrics, watchdog) = (self.metrics.clone(), self.watchdog.is_some());
        move || {
            metrics.beat();
            if watchdog {
                let _ = sd_notify::notify(&[sd_notify::NotifyState::Watchdog]);
            }
        }
    }

    /// The main loop came round. Call it each time; cheap.
    pub fn beat(&mut self) {
        let interval =
            self.watchdog.map_or(Duration::from_secs(1), |w| w / 3).min(Duration::from_secs(1));
        if self.notified.is_some_and(|n| n.elapsed() < interval) {
            return;
        }
        self.notified = Some(Instant::now());
        self.metrics.beat();
        self.memory.look(&self.metrics);
        if self.parent.is_some_and(|p| p != std::os::unix::process::parent_id()) {
            tracing::warn!("the supervisor is gone: stopping");
            self.stop.store(true, Ordering::Relaxed);
        }
        if self.watchdog.is_some() {
            let _ = sd_notify::notify(&[sd_notify::NotifyState::Watchdog]);
        }
    }

    /// Tells systemd in a line how things are.
    pub fn status(&self, status: &str) {
        let _ = sd_notify::notify(&[sd_notify::NotifyState::Status(status)]);
    }
}

/// The options that every daemon has.
pub fn command(name: &'static str, about: &'static str) -> Command {
    Command::new(name)
        .about(about)
        .version(env!("CARGO_PKG_VERSION"))
        .arg(
            Arg::new("config")
                .long("config")
                .value_name("FILE")
                .value_parser(clap::value_parser!(PathBuf))
                .help("Configuration (TOML); deploy/config/ami.toml lists every option"),
        )
        .arg(
            Arg::new("set")
                .long("set")
                .value_name("section.key=value")
                .action(ArgAction::Append)
                .help("Overrides one option; may be repeated"),
        )
        .arg(
            Arg::new("check")
                .long("check")
                .action(ArgAction::SetTrue)
                .help("Validate the configuration and exit"),
        )
}

/// Configuration from the options of [`command`].
///
/// # Errors
/// As [`Config::load`].
pub fn configure(matches: &ArgMatches) -> Result<Config, crate::config::ConfigError> {
    let set: Vec<String> = matches.get_many("set").into_iter().flatten().cloned().collect();
    Config::load(matches.get_one::<PathBuf>("config").map(PathBuf::as_path), &set)
}

/// A daemon's work: returns when it was asked to stop, or with the error that ended it.
pub type Run = fn(&Config, &mut Daemon) -> anyhow::Result<()>;

/// What makes one daemon different from another at start.
#[derive(Debug, Clone, Copy)]
pub struct Definition {
    /// The command's name.
    pub name: &'static str,
    /// What it does, in one line.
    pub about: &'static str,
    /// Role that only one process per run directory may have; None: any number.
    pub role: fn(&Config) -> Option<&'static str>,
    /// Checks beyond the configuration's form (`--check`).
    pub check: fn(&Config) -> anyhow::Result<()>,
    /// The work.
    pub run: Run,
}

/// The whole of a daemon's `main`.
pub fn main(definition: Definition) -> ExitCode {
    let matches = command(definition.name, definition.about).get_matches();
    start(definition, &matches)
}

/// As [`main`], with options already parsed.
pub fn start(definition: Definition, matches: &ArgMatches) -> ExitCode {
    log();
    let config = match configure(matches) {
        Ok(config) => config,
        Err(error) => return fail(&error.into(), USAGE),
    };
    let keys = Security::load(&config.security).map_err(Into::into);
    if let Err(error) = keys.and_then(|_| (definition.check)(&config)) {
        return fail(&error, USAGE);
    }
    if matches.get_flag("check") {
        tracing::info!("configuration is valid");
        return ExitCode::SUCCESS;
    }
    match launch(definition, &config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error, 1),
    }
}

fn fail(error: &anyhow::Error, code: u8) -> ExitCode {
    tracing::error!("{error:#}");
    ExitCode::from(code)
}

fn launch(definition: Definition, config: &Config) -> anyhow::Result<()> {
    // Sockets and files are for this user alone.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    survive_file_limits()?;
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGTERM, signal_hook::consts::SIGINT] {
        // A second signal ends a process that does not stop.
        signal_hook::flag::register_conditional_shutdown(signal, 1, stop.clone())?;
        signal_hook::flag::register(signal, stop.clone())?;
    }
    let lock = (definition.role)(config).map(|role| RoleLock::take(&config.instance.run_dir, role));
    let metrics = Metrics::default();
    let metrics_port = match u16::try_from(config.metrics.port) {
        Ok(port) => metrics::serve(metrics.clone(), port)?.port(),
        Err(_) => 0,
    };
    let mut daemon = Daemon {
        stop,
        context: socket::Context::new(config, metrics.clone()),
        metrics,
        life: now_ns(),
        metrics_port,
        memory: Memory::new(config.memory_max(definition.name)),
        watchdog: sd_notify::watchdog_enabled(),
        notified: None,
        parent: std::env::var_os("AMI_EXIT_WITH_PARENT")
            .map(|_| std::os::unix::process::parent_id()),
        _lock: lock.transpose()?,
        _awake: cpu_latency::hold(config.instance.cpu_latency_us),
    };
    tracing::info!(version = env!("CARGO_PKG_VERSION"), metrics_port, "starting");
    let result = (definition.run)(config, &mut daemon);
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
    if result.is_ok() {
        tracing::info!("stopped");
    }
    result
}

/// Makes a file that may not grow (RLIMIT_FSIZE) an error of the write and not the end of the process.
///
/// # Errors
/// When the signal cannot be handled.
pub fn survive_file_limits() -> std::io::Result<()> {
    let signal = rustix::process::Signal::XFSZ.as_raw();
    signal_hook::flag::register(signal, Arc::default()).map(drop)
}

/// Logs to stderr: for people on a terminal, JSON lines with `AMI_LOG_FORMAT=json`; level by
/// `RUST_LOG` (default info).
pub fn log() {
    use tracing_subscriber::EnvFilter;
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    // A line that cannot be written, on a full disk for one, is lost: to say so there would panic.
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .log_internal_errors(false);
    let json = std::env::var("AMI_LOG_FORMAT").is_ok_and(|f| f == "json");
    let result = if json {
        builder.json().flatten_event(true).try_init()
    } else {
        builder.with_ansi(std::io::stderr().is_terminal()).with_target(false).try_init()
    };
    // Only fails where a test has set one already.
    let _ = result;
}
