//! `graph apply`, `set`, `rm`, `rollback`, `reset`: edits, and how far they came.

use crate::client::system::System;
use crate::commands::graph::{Graph, Manner, watch};
use crate::failure::{FAILED, Failure};
use crate::graph_file::GraphFile;
use crate::print;
use ami_graph::graph::text;
use ami_proto::control::ctl_to_manager::{Command, Edit};
use serde_json::{Map, Value};
use std::path::PathBuf;
use std::process::ExitCode;

/// `key=value`: the value as JSON, or as text where it is not JSON.
///
/// # Errors
/// Says what is accepted.
pub fn parameter(text: &str) -> Result<(String, Value), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => {
            let json = serde_json::from_str(value).ok();
            if let (Some(_), Err(e)) = (&json, text::each_key_once(value)) {
                return Err(format!("{key}: {e}; {}", text::ONCE));
            }
            Ok((key.trim().to_string(), json.unwrap_or_else(|| Value::from(value))))
        }
        _ => {
            Err("write key=value, such as bins=50, range=[-1,4] or window={\"seconds\":10}".into())
        }
    }
}

pub(super) fn run(system: &System, edit: &Graph) -> anyhow::Result<ExitCode> {
    if let Graph::Apply { files, watch: true, base, manner } = edit {
        return watch::run(system, files, base.base, how(system, manner));
    }
    let commands = commands(system, edit)?;
    let client = system.manager();
    let mut documents = Vec::new();
    let mut behind = false;
    for command in &commands {
        let document = client.command(command)?;
        if !system.json {
            print::line(&outcome(&document))?;
        }
        // An edit that was to be waited for and is not in effect everywhere did not do what was asked.
        behind |= document["in_effect"] == false && !no_wait(command);
        documents.push(document);
    }
    match (&documents[..], system.json) {
        ([one], true) => print::json(one)?,
        (_, true) => print::json(&documents)?,
        _ => {}
    }
    Ok(if behind { ExitCode::from(FAILED) } else { ExitCode::SUCCESS })
}

fn no_wait(command: &Command) -> bool {
    match command {
        Command::Apply { edit, .. }
        | Command::Set { edit, .. }
        | Command::Remove { edit, .. }
        | Command::Rollback { edit, .. }
        | Command::Reset { edit, .. } => edit.no_wait,
        _ => false,
    }
}

fn how(system: &System, manner: &Manner) -> Edit {
    Edit { who: system.who(), no_wait: manner.no_wait, timeout_s: manner.timeout }
}

fn commands(system: &System, edit: &Graph) -> anyhow::Result<Vec<Command>> {
    let how = |manner: &Manner| how(system, manner);
    let one = match edit {
        Graph::Apply { files, base, manner, .. } => return apply(files, base.base, &how(manner)),
        Graph::Set { graph, node, parameters, base, manner } => Command::Set {
            graph: graph.clone(),
            node: node.clone(),
            params: once_each(parameters)?,
            base: base.base,
            edit: how(manner),
        },
        Graph::Rm { graph, node, base, manner } => Command::Remove {
            graph: graph.clone(),
            node: node.clone(),
            base: base.base,
            edit: how(manner),
        },
        Graph::Rollback { graph, version, base, manner } => Command::Rollback {
            graph: graph.clone(),
            version: *version,
            base: base.base,
            edit: how(manner),
        },
        Graph::Reset { graph, nodes, manner } => {
            Command::Reset { graph: graph.clone(), nodes: nodes.clone(), edit: how(manner) }
        }
        _ => return Ok(Vec::new()),
    };
    Ok(vec![one])
}

/// Parameters by name; the last of two would win silently.
fn once_each(parameters: &[(String, Value)]) -> Result<Map<String, Value>, Failure> {
    let mut map = Map::new();
    for (key, value) in parameters {
        if map.insert(key.clone(), value.clone()).is_some() {
            let error = format!("parameter {key:?} is given twice");
            return Err(Failure::usage(error, "give each parameter once"));
        }
    }
    Ok(map)
}

/// All files are read and checked before the first is applied.
fn apply(files: &[PathBuf], base: Option<u64>, edit: &Edit) -> anyhow::Result<Vec<Command>> {
    if base.is_some() && files.len() > 1 {
        let error = "--base with several files";
        return Err(
            Failure::usage(error, "a base belongs to one graph: apply them one by one").into()
        );
    }
    let mut commands = Vec::new();
    for file in files {
        let file = GraphFile::read(file)?.checked()?;
        commands.push(Command::Apply { spec: file.json, base, edit: edit.clone() });
    }
    Ok(commands)
}

/// What became of an edit, for people.
pub fn outcome(document: &Value) -> String {
    let graph = print::cell(&document["graph"]);
    let mut line = format!("graph {graph:?}: version {}", document["version"]);
    let list = |key: &str| print::cell(&document[key]);
    if document["in_effect"] == true {
        line.push_str(&format!(" is in effect on {}", list("members")));
    } else {
        line.push_str(" is accepted, not yet in effect everywhere");
        if !list("waiting_for").is_empty() {
            line.push_str(&format!("; waiting for {}", list("waiting_for")));
        }
    }
    if !list("not_ready").is_empty() {
        line.push_str(&format!("\n  not ready when it was activated: {}", list("not_ready")));
    }
    if !list("warning").is_empty() {
        line.push_str(&format!("\n  warning: {}", list("warning")));
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn parameters_are_json_or_text() {
        let value = |text: &str| parameter(text).unwrap().1;
        assert_eq!(value("bins=50"), json!(50));
        assert_eq!(value("range=[-1, 4]"), json!([-1, 4]));
        assert_eq!(value("when=laser == 1"), json!("laser == 1"));
        assert_eq!(value("mask=null"), Value::Null);
        assert!(parameter("bins").is_err() && parameter("=3").is_err());
        let twice = parameter("window={\"events\": 5, \"events\": 6}").unwrap_err();
        assert!(twice.starts_with("window: \"events\" is written twice at line 1"), "{twice}");
    }

    #[test]
    fn a_parameter_given_twice_is_named() {
        let given = |texts: &[&str]| {
            let parameters: Vec<_> = texts.iter().map(|text| parameter(text).unwrap()).collect();
            once_each(&parameters)
        };
        assert_eq!(given(&["bins=5", "range=[0, 1]"]).unwrap().len(), 2);
        let failure = given(&["bins=5", "bins=6"]).unwrap_err();
        assert_eq!(failure.refusal.error, "parameter \"bins\" is given twice");
        assert_eq!((failure.code, &failure.refusal.hint[..]), (2, "give each parameter once"));
    }

    #[test]
    fn outcomes_say_how_far_it_came() {
        let done =
            json!({"graph": "g", "version": 3, "in_effect": true, "members": ["root root on h"]});
        assert_eq!(outcome(&done), "graph \"g\": version 3 is in effect on root root on h");
        let behind = json!({"graph": "g", "version": 4, "in_effect": false, "waiting_for": ["worker w"],
                            "not_ready": [], "warning": "x"});
        assert!(outcome(&behind).contains("waiting for worker w\n  warning: x"));
    }
}
