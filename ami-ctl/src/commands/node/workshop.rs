//! Where code is looked at and tried: a process of Python of our own, in the environment that the
//! configuration names.

use crate::commands::node::Code;
use crate::failure::Failure;
use ami_proto::config::{Config, Python as Settings};
use ami_python::Python;
use serde_json::Value;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::path::PathBuf;
use tempfile::TempDir;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Exit code of a shell's command that Ctrl-C has ended.
pub const INTERRUPTED: i32 = 130;

/// What to do where no interpreter starts.
const INTERPRETER: &str = "name a Python with numpy: --set python.envs.default=/path/to/python";

/// Python, and the directory in which its host's files and recordings are.
#[derive(Debug)]
pub struct Workshop {
    /// Runs code.
    pub python: Python,
    dir: TempDir,
}

impl Workshop {
    /// With the configuration's environments. That the daemons may not run code does not count: here
    /// people run their own as themselves.
    ///
    /// # Errors
    /// When there is no room for temporary files.
    pub fn open(config: &Config) -> anyhow::Result<Workshop> {
        let dir = tempfile::Builder::new().prefix("ami-node-").tempdir().map_err(|e| {
            Failure::failed(format!("temporary directory: {e}"), "set TMPDIR to one with room")
        })?;
        let settings = Settings { enabled: true, ..config.python.clone() };
        tell_prints();
        let python = Python::new(settings, dir.path(), "ami-ctl");
        Ok(Workshop { python, dir })
    }

    /// Leaves nothing behind when somebody ends us in the middle; the processes end by themselves.
    ///
    /// # Errors
    /// When signals cannot be heard.
    pub fn removed_at_signals(&self) -> std::io::Result<()> {
        let dir = self.dir.path().to_owned();
        let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])?;
        std::thread::spawn(move || {
            if signals.forever().next().is_some() {
                let _ = std::fs::remove_dir_all(dir);
                std::process::exit(INTERRUPTED);
            }
        });
        Ok(())
    }

    /// A file of this name that goes with us.
    pub fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Descriptions of the nodes of a file, or of the one that is named.
    ///
    /// # Errors
    /// What is wrong with the code, or with what runs it: exit code 1.
    pub fn describe(&self, env: &str, code: &Code) -> Result<Vec<Value>, Failure> {
        let described = self.python.describe(env, &code.file, &code.source, code.name.as_deref());
        let described = described.map_err(|reason| {
            let of_environment = reason.starts_with("environment ");
            let hint = if of_environment { INTERPRETER } else { "correct it and try again" };
            Failure::failed(format!("{}: {reason}", code.file), hint)
        })?;
        let nodes = described["nodes"].as_object();
        Ok(nodes.map(|nodes| nodes.values().cloned().collect()).unwrap_or_default())
    }
}

/// What code prints goes to stderr.
fn tell_prints() {
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .without_time()
        .with_target(false)
        .with_level(false);
    // What becomes of processes is in the errors.
    let which = Targets::new()
        .with_default(LevelFilter::ERROR)
        .with_target("ami_python::log", LevelFilter::INFO);
    // A second workshop in one process finds it done.
    let _ = tracing_subscriber::registry().with(lines).with(which).try_init();
}
