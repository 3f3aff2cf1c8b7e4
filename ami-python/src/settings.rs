//! What the configuration says of user code, where it is needed.

use ami_proto::config::Python as Settings;
use std::path::PathBuf;

/// The environment that a node has when it names none.
pub const DEFAULT_ENV: &str = "default";

/// The interpreter of an environment.
///
/// # Errors
/// When user code is off, or there is no such environment; says which there are.
pub(crate) fn interpreter(settings: &Settings, env: &str) -> Result<PathBuf, String> {
    if !settings.enabled {
        let hint = "set python.enabled = true in the configuration of this daemon";
        return Err(format!("user code is switched off here: {hint}"));
    }
    if let Some(path) = settings.envs.get(env) {
        return Ok(path.clone());
    }
    if env == DEFAULT_ENV {
        return Ok("python3".into());
    }
    let mut names: Vec<&str> = settings.envs.keys().map(String::as_str).collect();
    if !names.contains(&DEFAULT_ENV) {
        names.push(DEFAULT_ENV);
    }
    Err(format!("python.envs has no environment {env:?}; there are: {}", names.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ami_proto::config::Config;

    #[test]
    fn an_environment_is_looked_up() {
        let mut settings = Config::load(None, &[]).unwrap().python;
        settings.envs.clear();
        assert!(interpreter(&settings, "default").unwrap_err().contains("python.enabled"));
        settings.enabled = true;
        assert_eq!(interpreter(&settings, "default"), Ok("python3".into()));
        settings.envs.insert("psana".into(), "/opt/psana/bin/python".into());
        assert_eq!(interpreter(&settings, "psana"), Ok("/opt/psana/bin/python".into()));
        let error = interpreter(&settings, "psna").unwrap_err();
        assert!(error.contains("psana, default"), "{error}");
    }
}
