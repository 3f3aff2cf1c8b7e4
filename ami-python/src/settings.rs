//! What the configuration says of user code.

use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// The environment that a node has when it names none.
pub const DEFAULT_ENV: &str = "default";

/// Section `[python]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Whether user code runs here at all.
    pub enabled: bool,
    /// Interpreters by the name of their environment: a path, or a name that is looked up in `PATH`.
    /// `default` is `python3` unless given.
    pub envs: BTreeMap<String, PathBuf>,
    /// Bytes that one process may take for itself. User code that asks for more gets a `MemoryError`;
    /// a process that has more nevertheless is replaced.
    pub memory_max: u64,
    /// Threads that numerical libraries may use in one process.
    pub threads: u32,
    /// Most bytes of the results of one call.
    pub outbox_max: usize,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            enabled: false,
            envs: BTreeMap::new(),
            memory_max: 2 << 30,
            threads: 1,
            outbox_max: 256 << 20,
        }
    }
}

impl Settings {
    /// The interpreter of an environment.
    ///
    /// # Errors
    /// When user code is off, or there is no such environment; says which there are.
    pub(crate) fn interpreter(&self, env: &str) -> Result<PathBuf, String> {
        if !self.enabled {
            let hint = "set python.enabled = true in the configuration of this daemon";
            return Err(format!("user code is switched off here: {hint}"));
        }
        if let Some(path) = self.envs.get(env) {
            return Ok(path.clone());
        }
        if env == DEFAULT_ENV {
            return Ok("python3".into());
        }
        let mut names: Vec<&str> = self.envs.keys().map(String::as_str).collect();
        if !names.contains(&DEFAULT_ENV) {
            names.push(DEFAULT_ENV);
        }
        Err(format!("python.envs has no environment {env:?}; there are: {}", names.join(", ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_environment_is_looked_up() {
        let mut settings = Settings::default();
        assert!(settings.interpreter("default").unwrap_err().contains("python.enabled"));
        settings.enabled = true;
        assert_eq!(settings.interpreter("default"), Ok("python3".into()));
        settings.envs.insert("psana".into(), "/opt/psana/bin/python".into());
        assert_eq!(settings.interpreter("psana"), Ok("/opt/psana/bin/python".into()));
        let error = settings.interpreter("psna").unwrap_err();
        assert!(error.contains("psana, default"), "{error}");
    }
}
