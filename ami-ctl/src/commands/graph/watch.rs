//! `graph apply --watch`: follows a graph file and the code that it names. Each change is checked first;
//! only what is good is applied, so that a mistake never touches what runs.

use crate::client::error::ClientError;
use crate::client::refusal::text;
use crate::client::system::System;
use crate::commands::graph::follow::{Contents, Follow, Next, content};
use crate::commands::graph::{edit, show, validate};
use crate::commands::node::{Code, INTERRUPTED, Workshop};
use crate::failure::Failure;
use crate::graph_file::GraphFile;
use crate::named_files::code_files;
use crate::print;
use ami_graph::ops::USER_CODE;
use ami_proto::control::ctl_to_manager::{Command, Edit, Refusal};
use serde_json::{Value, json};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How often files are looked at.
const LOOK: Duration = Duration::from_millis(500);
/// How often signals are.
const PAUSE: Duration = Duration::from_millis(50);

/// Why a change was not applied.
enum Not {
    /// It is wrong.
    Wrong(Refusal),
    /// Somebody else has edited the graph.
    Stale(Refusal),
    /// The manager could not be asked.
    Later(Refusal),
}

pub(super) fn run(
    system: &System,
    files: &[PathBuf],
    base: Option<u64>,
    edit: Edit,
) -> anyhow::Result<ExitCode> {
    let [file] = files else {
        let error = format!("--watch with {} files", files.len());
        return Err(Failure::usage(error, "it follows one graph; run one for each").into());
    };
    if file == Path::new("-") {
        return Err(Failure::usage("--watch of standard input", "give a file").into());
    }
    let stop = stopped_by_signals()?;
    let running = || !stop.load(Ordering::Relaxed);
    let workshop = Workshop::open(&system.config)?;
    let mut watch = Watch { system, file, workshop, base, edit, told: None };
    let mut follow = Follow::default();
    while running() {
        let (contents, graph) = look(file);
        match follow.look(contents) {
            Next::Nothing => {}
            Next::AsItRuns => watch
                .tell("as it runs, nothing to do", &json!({"applied": false, "error": null}))?,
            Next::Try => watch.attempt(graph, &mut follow)?,
        }
        let until = Instant::now() + LOOK;
        while Instant::now() < until && running() {
            std::thread::sleep(PAUSE);
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Set by the first signal; the second one ends us at once, also while an edit is waited for.
fn stopped_by_signals() -> std::io::Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        flag::register_conditional_shutdown(signal, INTERRUPTED, Arc::clone(&stop))?;
        flag::register(signal, Arc::clone(&stop))?;
    }
    Ok(stop)
}

/// What the graph file and the code that it names hold now.
fn look(file: &Path) -> (Contents, Result<GraphFile, Failure>) {
    let bytes = std::fs::read(file).ok();
    let mut contents = Contents::new();
    contents.insert(file.into(), bytes.as_ref().and_then(|bytes| content(bytes)));
    let graph = match bytes {
        // Of the very bytes that count.
        Some(bytes) => {
            let graph = GraphFile::parse_bytes(&file.display().to_string(), &bytes);
            graph.and_then(|graph| graph.located_in(file.parent().unwrap_or(Path::new(""))))
        }
        None => GraphFile::read(file),
    };
    if let Ok(graph) = &graph {
        for path in code_files(&graph.json) {
            let code = std::fs::read(&path).ok();
            contents.insert(path, code.and_then(|bytes| content(&bytes)));
        }
    }
    (contents, graph)
}

struct Watch<'a> {
    system: &'a System,
    file: &'a Path,
    workshop: Workshop,
    /// The version that the next edit is made against.
    base: Option<u64>,
    edit: Edit,
    /// What was said last of a manager that cannot be asked.
    told: Option<String>,
}

impl Watch<'_> {
    fn attempt(
        &mut self,
        graph: Result<GraphFile, Failure>,
        follow: &mut Follow,
    ) -> anyhow::Result<()> {
        let name = graph.as_ref().map_or(String::new(), |graph| graph.spec.name.clone());
        let outcome = graph.map_err(wrong).and_then(|graph| self.apply(graph));
        let later = matches!(outcome, Err(Not::Later(_)));
        match outcome {
            Ok(document) => {
                follow.applied();
                self.base = document["version"].as_u64();
                let mut told = document.clone();
                told["applied"] = true.into();
                self.tell(&edit::outcome(&document), &told)?;
            }
            Err(Not::Wrong(refusal)) => self.refuse(&refusal, "what runs is left as it is")?,
            Err(Not::Stale(refusal)) => {
                follow.overtaken();
                self.stale(refusal, &name)?;
            }
            Err(Not::Later(refusal)) => {
                follow.again();
                // Once is enough for as long as it lasts.
                if self.told.as_ref() != Some(&refusal.error) {
                    self.refuse(&refusal, "it is tried again until it works")?;
                }
                self.told = Some(refusal.error);
            }
        }
        if !later {
            self.told = None;
        }
        Ok(())
    }

    /// Checks a graph, here and by the manager, and applies it.
    fn apply(&self, graph: GraphFile) -> Result<Value, Not> {
        let graph = graph.checked().map_err(wrong)?;
        self.describe(&graph)?;
        if let Some(document) = validate::by_manager(self.system, &graph).map_err(wrong)? {
            let errors = document["errors"].as_array().cloned().unwrap_or_default();
            if !errors.is_empty() {
                let error = format!("graph {:?} cannot run as written", graph.spec.name);
                return Err(wrong(Failure::failed(error, "correct it").with(errors)));
            }
        }
        let command = Command::Apply { spec: graph.json, base: self.base, edit: self.edit.clone() };
        self.system.manager().command(&command).map_err(|error| match error {
            ClientError::Refused(refusal) if self.base.is_some() && is_stale(&refusal) => {
                Not::Stale(refusal)
            }
            ClientError::Refused(refusal) => Not::Wrong(refusal),
            error => Not::Later(Failure::failed(error.to_string(), "").refusal),
        })
    }

    /// Reads the code of every node, in environments that there are here; the others are the manager's.
    fn describe(&self, graph: &GraphFile) -> Result<(), Not> {
        let here = |env: &str| self.system.config.python.envs.contains_key(env);
        let mut faults = Vec::new();
        for (node, spec) in graph.spec.nodes.iter().filter(|(_, spec)| spec.op == USER_CODE) {
            let env =
                spec.params.get("env").and_then(Value::as_str).unwrap_or(ami_python::DEFAULT_ENV);
            let Some(text) = spec.params.get("code").and_then(Value::as_str) else { continue };
            // Source in the graph itself and fixed content are read by the manager.
            if !here(env) || text.contains(['\n', '#']) {
                continue;
            }
            let described =
                Code::read(Path::new(text)).and_then(|code| self.workshop.describe(env, &code));
            if let Err(failure) = described {
                let reason = failure.refusal.error;
                faults.push(json!({"graph": graph.spec.name, "node": node, "parameter": "code", "reason": reason}));
            }
        }
        if faults.is_empty() {
            return Ok(());
        }
        let error = format!("graph {:?}: its code is not good", graph.spec.name);
        Err(wrong(Failure::failed(error, "correct it").with(faults)))
    }

    /// Somebody else has edited: shows what, and goes on from there.
    fn stale(&mut self, refusal: Refusal, graph: &str) -> anyhow::Result<()> {
        let diff = Command::Diff { graph: graph.into(), from: self.base, to: None };
        let diff = self.system.manager().command(&diff).ok();
        let newest = diff.as_ref().and_then(|diff| diff["to"].as_u64());
        let mut refusal = refusal;
        if let Some(diff) = &diff {
            refusal.errors.push(show::diff_text(diff).replace('\n', "\n  ").into());
        }
        refusal.hint =
            "take over what you want to keep; your next change of the file replaces it".into();
        self.base = newest;
        self.refuse(&refusal, "what runs is left as it is")
    }

    fn refuse(&self, refusal: &Refusal, then: &str) -> anyhow::Result<()> {
        let document = json!({"applied": false, "error": refusal.error, "hint": refusal.hint, "errors": refusal.errors});
        self.tell(&format!("not applied: {}\n  {then}", text(refusal)), &document)
    }

    /// A line for people, a document for programs: one in a line, since there is no end to wait for.
    fn tell(&self, line: &str, document: &Value) -> anyhow::Result<()> {
        if self.system.json {
            let mut document = document.clone();
            document["file"] = json!(self.file);
            return print::line(&document.to_string());
        }
        print::line(&format!("{}: {line}", self.file.display()))
    }
}

fn wrong(failure: Failure) -> Not {
    Not::Wrong(failure.refusal)
}

/// Whether an edit was refused since there are newer versions; the manager lists them.
fn is_stale(refusal: &Refusal) -> bool {
    refusal.errors.iter().any(|error| error["version"].is_u64() && error["who"].is_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_files_are_looked_at_where_the_graph_is() {
        let dir = tempfile::tempdir().unwrap();
        let graph = dir.path().join("g.json");
        let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
        write(
            "g.json",
            r#"{"name": "g", "nodes": {"n": {"op": "python", "in": "x", "code": "hits.py:f"}}}"#,
        );
        let (contents, read) = look(&graph);
        let whole = dir.path().join("hits.py");
        assert_eq!((contents.len(), contents[&whole]), (2, None));
        assert!(read.is_ok());
        write("hits.py", "one");
        let (one, _) = look(&graph);
        assert!(one[&whole].is_some());
        write("next.py", "two");
        std::fs::rename(dir.path().join("next.py"), &whole).unwrap();
        assert_ne!(look(&graph).0, one, "renamed over");
        write("hits.py", "one");
        assert_eq!(look(&graph).0, one, "written anew with the same content");
        write("g.json", "{");
        let (broken, read) = look(&graph);
        assert!(broken.len() == 1 && read.is_err());
    }

    #[test]
    fn stale_is_told_from_wrong() {
        let refusal = |errors| Refusal { error: "graph".into(), hint: String::new(), errors };
        assert!(is_stale(&refusal(vec![
            json!({"version": 4, "who": "ann@h", "what": "set n bins=5"})
        ])));
        assert!(!is_stale(&refusal(vec![json!({"graph": "g", "node": "n", "reason": "no op"})])));
    }
}
