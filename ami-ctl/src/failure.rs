//! How a command fails: the thing and the reason, the next step, and the exit code.

use crate::client::error::ClientError;
use ami_proto::config::ConfigError;
use ami_proto::control::ctl_to_manager::Refusal;
use serde_json::Value;
use std::io::ErrorKind;

/// Exit code of a failure while running.
pub const FAILED: u8 = 1;

/// A failure that knows its exit code and its next step.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{}", line(.refusal))]
pub struct Failure {
    /// 1: failed while running; 2: bad usage or configuration.
    pub code: u8,
    /// What, why, and what to do.
    pub refusal: Refusal,
}

impl Failure {
    /// Bad usage.
    pub fn usage(error: impl Into<String>, hint: impl Into<String>) -> Failure {
        Failure { code: ami_proto::process::daemon::USAGE, refusal: refusal(error, hint) }
    }

    /// Failed while running.
    pub fn failed(error: impl Into<String>, hint: impl Into<String>) -> Failure {
        Failure { code: FAILED, refusal: refusal(error, hint) }
    }

    /// With each thing that is wrong.
    #[must_use]
    pub fn with(mut self, errors: Vec<Value>) -> Failure {
        self.refusal.errors = errors;
        self
    }
}

fn refusal(error: impl Into<String>, hint: impl Into<String>) -> Refusal {
    Refusal { error: error.into(), hint: hint.into(), errors: Vec::new() }
}

/// Exit code and text of any error of a command; None: the reader of our output went away, which
/// is no failure.
pub fn classify(error: &anyhow::Error) -> Option<Failure> {
    if let Some(failure) = error.downcast_ref::<Failure>() {
        return Some(failure.clone());
    }
    if let Some(ClientError::Refused(refusal)) = error.downcast_ref() {
        return Some(Failure { code: FAILED, refusal: refusal.clone() });
    }
    if let Some(ClientError::NoRunDir { .. }) = error.downcast_ref() {
        return Some(Failure::usage(format!("{error:#}"), ""));
    }
    if error.is::<ConfigError>() {
        return Some(Failure::usage(format!("{error:#}"), ""));
    }
    let broken_pipe = |e: &std::io::Error| e.kind() == ErrorKind::BrokenPipe;
    if error.root_cause().downcast_ref::<std::io::Error>().is_some_and(broken_pipe) {
        return None;
    }
    Some(Failure::failed(format!("{error:#}"), ""))
}

fn line(refusal: &Refusal) -> String {
    match refusal.hint.as_str() {
        "" => refusal.error.clone(),
        hint => format!("{}: {hint}", refusal.error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn refusals_name_node_reason_and_next_step() {
        let fault = json!({"graph": "g", "node": "n", "parameter": null, "reason": "no op \"meen\"",
                           "hint": "did you mean \"mean\"?"});
        let failure = Failure::failed("graph \"g\" is refused", "correct it").with(vec![fault]);
        let text = crate::client::refusal::text(&failure.refusal);
        assert_eq!(
            text,
            "graph \"g\" is refused\n  graph \"g\", node \"n\": no op \"meen\"; did you mean \"mean\"?\n  → correct it"
        );
    }

    #[test]
    fn exit_codes_tell_usage_from_failure() {
        let config: anyhow::Error =
            ami_proto::config::Config::load(None, &["x".into()]).unwrap_err().into();
        assert_eq!(classify(&config).unwrap().code, 2);
        assert_eq!(classify(&anyhow::anyhow!("broken")).unwrap().code, 1);
        let pipe: anyhow::Error = std::io::Error::from(ErrorKind::BrokenPipe).into();
        assert_eq!(classify(&pipe), None);
    }
}
