//! Commands as they come: JSON from anybody, checked key by key, so that a misspelt `base` is an
//! error and not an edit without a base.

use ami_graph::error::nearest;
use ami_proto::control::ctl_to_manager::{Command, Edit, Refusal};
use ami_proto::security::keys::Role;
use serde_json::Value;

/// Largest request, in bytes.
pub const MAX_REQUEST: usize = 16 << 20;
/// Longest name of a person, in bytes.
pub const MAX_WHO: usize = 200;

/// What one command takes.
#[derive(Debug, Clone, Copy)]
pub struct Form {
    /// Its `cmd`.
    pub cmd: &'static str,
    /// Keys it cannot do without.
    pub required: &'static [&'static str],
    /// Keys it may have.
    pub optional: &'static [&'static str],
}

const fn form(
    cmd: &'static str,
    required: &'static [&'static str],
    optional: &'static [&'static str],
) -> Form {
    Form { cmd, required, optional }
}

/// Every command; `docs/manager.md` shows each.
pub const FORMS: [Form; 12] = [
    form("status", &[], &[]),
    form("sources", &[], &[]),
    form("graph.list", &[], &[]),
    form("graph.show", &["graph"], &["version"]),
    form("graph.validate", &["spec"], &[]),
    form("graph.apply", &["spec"], &["base", "who", "no_wait", "timeout_s"]),
    form("graph.set", &["graph", "node", "params"], &["base", "who", "no_wait", "timeout_s"]),
    form("graph.rm", &["graph"], &["node", "base", "who", "no_wait", "timeout_s"]),
    form("graph.rollback", &["graph", "version"], &["base", "who", "no_wait", "timeout_s"]),
    form("graph.reset", &["graph"], &["nodes", "who", "no_wait", "timeout_s"]),
    form("graph.history", &["graph"], &[]),
    form("graph.diff", &["graph"], &["from", "to"]),
];

/// A refusal without a list.
pub fn refusal(error: impl Into<String>, hint: impl Into<String>) -> Refusal {
    Refusal { error: error.into(), hint: hint.into(), errors: Vec::new() }
}

/// A refusal as the document that is answered.
pub fn document(refusal: &Refusal) -> Value {
    serde_json::to_value(refusal).unwrap_or_else(|e| serde_json::json!({ "error": e.to_string() }))
}

/// A command from a request's bytes.
///
/// # Errors
/// When it is no command; says what would be one.
pub fn parse(bytes: &[u8]) -> Result<Command, Refusal> {
    if bytes.len() > MAX_REQUEST {
        return Err(refusal(
            format!("the request has more than {MAX_REQUEST} bytes"),
            "put data into files named in parameters",
        ));
    }
    let value: Value = serde_json::from_slice(bytes).map_err(|e| {
        refusal(
            format!("the request is not JSON: {e}"),
            r#"send one JSON object such as {"cmd": "status"}"#,
        )
    })?;
    let form = form_of(&value)?;
    check_keys(form, &value)?;
    let command = serde_json::from_value(value)
        .map_err(|e| refusal(format!("{}: {e}", form.cmd), usage(form)))?;
    match edit(&command) {
        Some((_, edit)) if edit.who.len() > MAX_WHO => Err(refusal(
            format!("{}: `who` is {} bytes long", form.cmd, edit.who.len()),
            format!("at most {MAX_WHO} are kept"),
        )),
        _ => Ok(command),
    }
}

fn form_of(value: &Value) -> Result<&'static Form, Refusal> {
    let Some(object) = value.as_object() else {
        return Err(refusal(
            "the request is not a JSON object",
            r#"send one JSON object such as {"cmd": "status"}"#,
        ));
    };
    let names = || FORMS.iter().map(|f| f.cmd);
    let cmd = match object.get("cmd") {
        Some(Value::String(cmd)) => cmd.as_str(),
        _ => {
            let all: Vec<&str> = names().collect();
            let hint = format!("`cmd` is one of: {}", all.join(", "));
            return Err(refusal("the request has no `cmd` that is text", hint));
        }
    };
    FORMS.iter().find(|f| f.cmd == cmd).ok_or_else(|| {
        refusal(format!("unknown command {:?}", short(cmd)), nearest(&short(cmd), names()))
    })
}

fn check_keys(form: &'static Form, value: &Value) -> Result<(), Refusal> {
    let Some(object) = value.as_object() else { return Ok(()) };
    if let Some(missing) = form.required.iter().find(|k| !object.contains_key(**k)) {
        return Err(refusal(format!("{}: no {missing:?}", form.cmd), usage(form)));
    }
    let known = || form.required.iter().chain(form.optional).copied();
    match object.keys().find(|k| *k != "cmd" && !known().any(|n| n == *k)) {
        None => Ok(()),
        Some(key) => {
            let reason = format!("{}: unknown key {:?}", form.cmd, short(key));
            Err(refusal(reason, format!("{} {}", nearest(&short(key), known()), usage(form))))
        }
    }
}

fn usage(form: &Form) -> String {
    let keys: Vec<String> = std::iter::once(format!("\"cmd\": {:?}", form.cmd))
        .chain(form.required.iter().map(|k| format!("{k:?}: …")))
        .chain(form.optional.iter().map(|k| format!("[{k:?}: …]")))
        .collect();
    format!("it is {{{}}}, where [ ] may be left out", keys.join(", "))
}

/// A text from outside, short enough to be quoted.
pub fn short(text: &str) -> String {
    if text.chars().count() <= 200 {
        return text.to_string();
    }
    text.chars().take(199).chain(['…']).collect()
}

/// The graph's name (None: it stands in the spec) and manner of a command that is an edit.
pub fn edit(command: &Command) -> Option<(Option<&str>, &Edit)> {
    match command {
        Command::Apply { edit, .. } => Some((None, edit)),
        Command::Set { graph, edit, .. }
        | Command::Remove { graph, edit, .. }
        | Command::Rollback { graph, edit, .. }
        | Command::Reset { graph, edit, .. } => Some((Some(graph), edit)),
        _ => None,
    }
}

/// As [`edit`], to be changed.
pub fn edit_mut(command: &mut Command) -> Option<&mut Edit> {
    match command {
        Command::Apply { edit, .. }
        | Command::Set { edit, .. }
        | Command::Remove { edit, .. }
        | Command::Rollback { edit, .. }
        | Command::Reset { edit, .. } => Some(edit),
        _ => None,
    }
}

/// What a key must allow for a command. What takes accumulated data or a whole graph from everybody is
/// the operator's: no later edit brings it back.
pub fn need(command: &Command) -> Role {
    match command {
        Command::Reset { .. } | Command::Remove { node: None, .. } => Role::Operate,
        command if edit(command).is_some() => Role::Edit,
        _ => Role::View,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> Refusal {
        parse(text.as_bytes()).unwrap_err()
    }

    #[test]
    fn mistakes_name_the_key_and_what_would_be_right() {
        assert!(error("{").error.contains("not JSON"));
        assert!(error("[]").error.contains("not a JSON object"));
        assert!(error("{}").hint.contains("graph.apply"));
        assert!(error(r#"{"cmd":"graph.aply"}"#).hint.starts_with("did you mean \"graph.apply\""));
        assert!(error(r#"{"cmd":"graph.show"}"#).error.contains("no \"graph\""));
        let misspelt = error(r#"{"cmd":"graph.apply","spec":{},"bse":3}"#);
        assert!(misspelt.error.contains("\"bse\"") && misspelt.hint.contains("\"base\""));
        assert!(
            error(r#"{"cmd":"graph.show","graph":7}"#).error.contains("graph.show: invalid type")
        );
    }

    #[test]
    fn every_form_is_a_command() {
        for form in FORMS {
            let mut object = serde_json::json!({ "cmd": form.cmd });
            for key in form.required {
                object[*key] = match *key {
                    "version" => 1.into(),
                    "params" | "spec" => serde_json::json!({}),
                    _ => "x".into(),
                };
            }
            parse(object.to_string().as_bytes()).expect(form.cmd);
        }
    }
}
