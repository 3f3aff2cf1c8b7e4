//! How a command fails: the thing and the reason, the next step, and the exit code.

use crate::client::ClientError;
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

/// A refusal for people: the error, each fault on a line, the next step.
pub fn text(refusal: &Refusal) -> String {
    let mut lines = vec![refusal.error.clone()];
    // A lone fault is often the error itself; once is enough.
    let faults =
        refusal.errors.iter().map(fault_line).filter(|f| !refusal.error.contains(f.as_str()));
    lines.extend(faults.map(|fault| format!("  {fault}")));
    if !refusal.hint.is_empty() && !refusal.error.ends_with(&refusal.hint) {
        lines.push(format!("  → {}", refusal.hint));
    }
    lines.join("\n")
}

/// One fault of a graph on a line: where, why, what would be accepted.
pub fn fault_line(fault: &Value) -> String {
    let Some(object) = fault.as_object() else {
        return fault.as_str().map_or_else(|| fault.to_string(), str::to_string);
    };
    let text = |key: &str| object.get(key).and_then(Value::as_str).filter(|t| !t.is_empty());
    let place: Vec<String> = ["member", "graph", "node", "parameter"]
        .iter()
        .filter_map(|key| text(key).map(|value| format!("{key} {value:?}")))
        .collect();
    // A member's refusal has a list of reasons.
    let listed = object.get("reasons").map(crate::print::cell).filter(|t| !t.is_empty());
    let reason = text("reason").or(text("error")).map(str::to_string).or(listed);
    // A stale edit has the versions made meanwhile.
    let version = object.get("version").and_then(Value::as_u64).map(|version| {
        let (who, what) = (text("who").unwrap_or("somebody"), text("what").unwrap_or("changed it"));
        format!("version {version} by {who}: {what}")
    });
    let reason = reason.or(version).unwrap_or_else(|| "no reason given".into());
    let mut line = if place.is_empty() { String::new() } else { format!("{}: ", place.join(", ")) };
    line.push_str(&reason);
    if let Some(hint) = text("hint") {
        line.push_str("; ");
        line.push_str(hint);
    }
    line
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
        let text = text(&failure.refusal);
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
