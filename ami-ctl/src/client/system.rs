//! Which system a command speaks to: its configuration, from options, environment and run directory.

use crate::client::manager::Client;
use crate::client::store::Store;
use crate::environment;
use ami_proto::config::{Config, ConfigError};
use clap::Args;
use std::path::{Path, PathBuf};

/// Configuration that `ami-ctl local` leaves in its run directory, so that the directory alone is
/// enough to find the system.
pub const FOUND: &str = "ami.toml";

/// Options of every command.
#[derive(Debug, Clone, Default, Args)]
pub struct Globals {
    /// Run directory of the system [env: AMI_RUN_DIR] [default: instance.run_dir]
    #[arg(long, value_name = "DIR", global = true)]
    pub run_dir: Option<PathBuf>,
    /// Configuration of the system (TOML)
    #[arg(long, value_name = "FILE", global = true)]
    pub config: Option<PathBuf>,
    /// Overrides one option of the configuration; may be repeated
    #[arg(long, value_name = "section.key=value", global = true)]
    pub set: Vec<String>,
    /// Your own pair, for a system that asks for keys [env: AMI_KEY] [default: security.key]
    #[arg(long, value_name = "FILE", global = true)]
    pub key: Option<PathBuf>,
    /// The public key of that system [env: AMI_SERVER_KEY] [default: security.server_key]
    #[arg(long, value_name = "FILE", global = true)]
    pub server_key: Option<PathBuf>,
    /// One JSON document instead of text for people
    #[arg(long, global = true)]
    pub json: bool,
}

/// A system and how its answers are to be printed.
#[derive(Debug, Clone)]
pub struct System {
    /// Its configuration, as its daemons have it as far as we know.
    pub config: Config,
    /// The file it came from.
    pub file: Option<PathBuf>,
    /// Assignments after it, the run directory's included.
    pub set: Vec<String>,
    /// Print JSON.
    pub json: bool,
}

impl System {
    /// The system that the options name.
    ///
    /// # Errors
    /// When the configuration is not valid.
    pub fn find(globals: &Globals) -> Result<System, ConfigError> {
        let run_dir = chosen_run_dir(globals)?;
        let file = globals.config.clone().or_else(|| {
            // Only a directory that was named speaks for itself; the default one is described by
            // the compiled-in configuration.
            run_dir.as_ref().map(|d| d.join(FOUND)).filter(|f| f.is_file())
        });
        let mut set = globals.set.clone();
        if let Some(dir) = &run_dir {
            set.push(assignment("instance.run_dir", &dir.display().to_string()));
        }
        set.extend(keys(globals));
        let config = Config::load(file.as_deref(), &set)?;
        Ok(System { config, file, set, json: globals.json })
    }

    /// Its manager.
    pub fn manager(&self) -> Client {
        Client::new(&self.config)
    }

    /// Its store.
    pub fn store(&self) -> Store {
        Store::new(&self.config)
    }

    /// Who edits, for the history of graphs.
    pub fn who(&self) -> String {
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        environment::who(&host)
    }
}

/// Assignments for the keys of a person.
fn keys(globals: &Globals) -> Vec<String> {
    let [key, server_key] = environment::keys();
    let named = [
        ("security.key", globals.key.clone().or(key)),
        ("security.server_key", globals.server_key.clone().or(server_key)),
    ];
    let mut set: Vec<String> = named
        .into_iter()
        .filter_map(|(option, file)| Some(assignment(option, &file?.display().to_string())))
        .collect();
    if !set.is_empty() {
        set.push(assignment("security.mode", "curve"));
    }
    set
}

/// The run directory that was asked for. What stands on the command line goes before the
/// environment, also when it stands in a file named there.
pub fn chosen_run_dir(globals: &Globals) -> Result<Option<PathBuf>, ConfigError> {
    if let Some(dir) = &globals.run_dir {
        return Ok(Some(absolute(dir)));
    }
    let default = Config::load(None, &[])?.instance.run_dir;
    let named = Config::load(globals.config.as_deref(), &globals.set)?.instance.run_dir;
    if named != default {
        return Ok(Some(absolute(&named)));
    }
    Ok(environment::run_dir().as_deref().map(absolute))
}

fn absolute(dir: &Path) -> PathBuf {
    std::path::absolute(dir).unwrap_or_else(|_| dir.to_path_buf())
}

/// `section.key="value"` with the value quoted, whatever is in it.
pub fn assignment(key: &str, value: &str) -> String {
    // JSON's strings are TOML's, but for a few escapes that it never writes.
    format!("{key}={}", serde_json::Value::from(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_named_directory_brings_its_configuration() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(FOUND), "[endpoints]\nstore = \"tcp://127.0.0.1:7\"\n")
            .unwrap();
        let globals = Globals { run_dir: Some(dir.path().into()), ..Globals::default() };
        let system = System::find(&globals).unwrap();
        assert_eq!(system.config.endpoints.store, "tcp://127.0.0.1:7");
        assert_eq!(system.config.instance.run_dir, dir.path());
    }

    #[test]
    fn set_names_a_directory_too() {
        let set = vec!["instance.run_dir=/tmp/some where".to_string()];
        let globals = Globals { set, ..Globals::default() };
        let system = System::find(&globals).unwrap();
        assert_eq!(system.config.instance.run_dir, Path::new("/tmp/some where"));
    }

    #[test]
    fn assignments_survive_quotes_and_backslashes() {
        let odd = "/tmp/a\"b\\c d=e";
        let config = Config::load(None, &[assignment("instance.run_dir", odd)]).unwrap();
        assert_eq!(config.instance.run_dir, Path::new(odd));
    }
}
