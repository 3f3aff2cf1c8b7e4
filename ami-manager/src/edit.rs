//! What an edit makes of a graph: the new content, in full, and what was done in a line.

mod diff;
mod merge;

pub use diff::{changes, summary};

use crate::commands::{refusal, short};
use crate::files;
use crate::history::{Entry, History, utc};
use crate::validate::{Strictness, World};
use ami_graph::data::files::Files;
use ami_graph::error::{SpecError, nearest};
use ami_graph::graph::spec::{GraphSet, GraphSpec, VersionedGraph};
use ami_proto::control::ctl_to_manager::{Command, Refusal};
use std::collections::{BTreeMap, BTreeSet};

/// An edit, worked out but not accepted.
#[derive(Debug, Clone)]
pub struct Draft {
    /// The graph.
    pub graph: String,
    /// Its new content, without a version yet; None removes it.
    pub content: Option<(GraphSpec, BTreeMap<String, u64>)>,
    /// What was done, for people.
    pub what: String,
    /// How it is looked at.
    pub strictness: Strictness,
}

/// What edits are made against.
pub struct Against<'a> {
    /// The active set.
    pub set: &'a GraphSet,
    /// Where it comes from.
    pub history: &'a History,
    /// Files and engine.
    pub world: &'a dyn World,
}

impl Against<'_> {
    /// Works out an edit.
    ///
    /// # Errors
    /// When it is stale, or names what is not there.
    pub fn draft(&self, command: &Command) -> Result<Draft, Refusal> {
        match command {
            Command::Apply { spec, base, .. } => {
                let spec = parse(spec)?;
                self.fresh(&spec.name, *base)?;
                let what = match self.set.graphs.get(&spec.name) {
                    None => format!("created with {}", nodes(spec.nodes.len())),
                    Some(old) => format!("apply: {}", summary(&changes(&old.spec, &spec))),
                };
                Ok(self.replace(spec, what, Strictness::Graph))
            }
            Command::Set { graph, node, params, base, .. } => {
                self.fresh(graph, *base)?;
                let spec = merge::set(&self.known(graph)?.spec, node, params)?;
                let what = merge::described(node, params);
                Ok(self.replace(spec, what, Strictness::NewErrors))
            }
            Command::Remove { graph, node, base, .. } => {
                self.fresh(graph, *base)?;
                self.remove(graph, node.as_deref())
            }
            Command::Rollback { graph, version, base, .. } => {
                self.fresh(graph, *base)?;
                let old = self.version(graph, *version)?;
                let Some(content) = &old.content else {
                    let error = format!("version {version} of graph {graph:?} is its removal");
                    return Err(refusal(
                        error,
                        format!("to remove it: `ami-ctl graph rm {graph}`"),
                    ));
                };
                let what = format!("rollback to {version}");
                Ok(self.replace(content.spec.clone(), what, Strictness::Graph))
            }
            Command::Reset { graph, nodes, .. } => self.reset(graph, nodes),
            _ => Err(refusal("this command is no edit", "")),
        }
    }

    fn replace(&self, spec: GraphSpec, what: String, strictness: Strictness) -> Draft {
        let graph = spec.name.clone();
        let mut resets =
            self.set.graphs.get(&graph).map_or_else(BTreeMap::new, |g| g.resets.clone());
        resets.retain(|node, _| spec.nodes.contains_key(node));
        Draft { graph, content: Some((spec, resets)), what: short(&what), strictness }
    }

    fn remove(&self, graph: &str, node: Option<&str>) -> Result<Draft, Refusal> {
        let known = self.known(graph)?;
        let Some(node) = node else {
            return Ok(Draft {
                graph: graph.to_string(),
                content: None,
                what: "rm".into(),
                strictness: Strictness::Nothing,
            });
        };
        let spec = merge::without(&known.spec, node)?;
        Ok(self.replace(spec, format!("rm {node}"), Strictness::NewErrors))
    }

    fn reset(&self, graph: &str, named: &[String]) -> Result<Draft, Refusal> {
        let known = self.known(graph)?;
        for node in named {
            merge::node(&known.spec, node)?;
        }
        let chosen: BTreeSet<&String> = if named.is_empty() {
            known.spec.nodes.keys().collect()
        } else {
            named.iter().collect()
        };
        let what = match named {
            [] => "reset all nodes".to_string(),
            named => format!("reset {}", named.join(", ")),
        };
        let mut draft = self.replace(known.spec.clone(), what, Strictness::Nothing);
        if let Some((_, resets)) = &mut draft.content {
            for node in chosen {
                *resets.entry(node.clone()).or_default() += 1;
            }
        }
        Ok(draft)
    }

    /// The graph, if it is there.
    ///
    /// # Errors
    /// When it is not; names what comes nearest.
    pub fn known(&self, graph: &str) -> Result<&VersionedGraph, Refusal> {
        self.set.graphs.get(graph).ok_or_else(|| {
            let removed = self.history.active_of(graph).next_back();
            let hint = match removed {
                Some(e) => format!(
                    "it was removed at version {} by {}; `ami-ctl graph rollback {graph} VERSION` brings it back",
                    e.version,
                    person(&e.who)
                ),
                None => nearest(&short(graph), self.set.graphs.keys().map(String::as_str)),
            };
            refusal(format!("no graph {:?}", short(graph)), hint)
        })
    }

    /// A version of a graph, whatever became of it.
    ///
    /// # Errors
    /// When there is none; names those there are.
    pub fn version(&self, graph: &str, version: u64) -> Result<&Entry, Refusal> {
        if let Some((entry, _)) = self.history.of(graph).find(|(e, _)| e.version == version) {
            return Ok(entry);
        }
        let mut kept: Vec<String> =
            self.history.of(graph).rev().take(10).map(|(e, _)| e.version.to_string()).collect();
        kept.reverse();
        if kept.is_empty() {
            let names = self.history.graphs();
            return Err(refusal(
                format!("no graph {:?}", short(graph)),
                nearest(&short(graph), names),
            ));
        }
        let error = format!("graph {graph:?} has no version {version}");
        Err(refusal(
            error,
            format!("it has {}; `ami-ctl graph history {graph}` says more", kept.join(", ")),
        ))
    }

    /// Refuses an edit that was made against a version which is not the newest.
    fn fresh(&self, graph: &str, base: Option<u64>) -> Result<(), Refusal> {
        let Some(base) = base else { return Ok(()) };
        let newest = self.history.active_of(graph).next_back();
        // A graph that is not there is at version 0, also if it once was.
        let current = self.set.graphs.get(graph).map_or(0, |g| g.version);
        if base == current {
            return Ok(());
        }
        let since: Vec<&Entry> =
            self.history.active_of(graph).filter(|e| e.version > base).collect();
        let at = match (current, newest) {
            (0, Some(e)) => format!("was removed at version {} by {}", e.version, person(&e.who)),
            (0, None) => "does not exist".to_string(),
            _ => format!("is at version {current}"),
        };
        Err(Refusal {
            error: format!(
                "graph {graph:?} {at}, the edit was made against {base}{}",
                told(&since)
            ),
            hint: format!(
                "look at `ami-ctl graph diff {graph}`, repeat the edit against {current}"
            ),
            errors: since.iter().map(|e| line(e, None)).collect(),
        })
    }
}

/// The versions of a graph set: `new` with its files, or what is wrong with these.
///
/// # Errors
/// When a file cannot be had.
pub fn assemble(
    before: &GraphSet,
    version: u64,
    draft: &mut Draft,
    world: &dyn World,
    may_bring_code: bool,
) -> Result<GraphSet, Vec<SpecError>> {
    let mut set = before.clone();
    set.version = version;
    match &mut draft.content {
        None => {
            set.graphs.remove(&draft.graph);
        }
        Some((spec, resets)) => {
            let errors = files::resolve(spec, &mut set.files, world, may_bring_code);
            if !errors.is_empty() {
                return Err(errors);
            }
            let content = VersionedGraph { version, spec: spec.clone(), resets: resets.clone() };
            set.graphs.insert(draft.graph.clone(), content);
        }
    }
    drop_unnamed(&mut set);
    Ok(set)
}

/// The files of a set that came from the journal; names those that are gone.
pub fn load_files(set: &mut GraphSet, world: &dyn World) -> Vec<String> {
    let mut missing = Vec::new();
    let mut loaded = Files::new();
    for (name, graph) in &set.graphs {
        for hash in files::named(&graph.spec) {
            match world.stored(&hash) {
                Some(bytes) => {
                    loaded.insert(hash, bytes);
                }
                None => missing.push(format!("graph {name:?}: the file with content {hash} is gone or damaged; apply the graph again")),
            }
        }
    }
    set.files = loaded;
    missing
}

fn drop_unnamed(set: &mut GraphSet) {
    let named: BTreeSet<String> = set.graphs.values().flat_map(|g| files::named(&g.spec)).collect();
    set.files.retain(|hash, _| named.contains(hash));
}

/// A graph from a command: an object, or text as it was written (whose mistakes have line and
/// column, and whose keys written twice are seen).
///
/// # Errors
/// When it does not have a graph's form.
pub fn parse(spec: &serde_json::Value) -> Result<GraphSpec, Refusal> {
    let parsed = match spec {
        serde_json::Value::String(text) => GraphSpec::parse(text),
        other => GraphSpec::parse(&other.to_string()),
    };
    parsed.map_err(|e| faulty(&e.graph.clone(), vec![e]))
}

/// Refusal of a graph for these errors.
pub fn faulty(graph: &str, errors: Vec<SpecError>) -> Refusal {
    let first = errors.first().map_or(String::new(), ToString::to_string);
    let error = match errors.len() {
        0 | 1 => first,
        n => format!("graph {graph:?} has {n} errors; the first: {first}"),
    };
    let hint = errors.first().map_or(String::new(), |e| e.hint.clone());
    let errors = errors.iter().filter_map(|e| serde_json::to_value(e).ok()).collect();
    Refusal { error, hint, errors }
}

/// One version for the documents.
pub fn line(entry: &Entry, withdrawn: Option<&str>) -> serde_json::Value {
    serde_json::json!({
        "version": entry.version,
        "who": entry.who,
        "when": entry.when_ns,
        "time": utc(entry.when_ns),
        "what": entry.what,
        "withdrawn": withdrawn,
    })
}

fn told(since: &[&Entry]) -> String {
    let newest: Vec<String> = since
        .iter()
        .rev()
        .take(5)
        .map(|e| format!("{} by {} at {}: {}", e.version, person(&e.who), utc(e.when_ns), e.what))
        .collect();
    if newest.is_empty() { String::new() } else { format!("; since then: {}", newest.join("; ")) }
}

fn person(who: &str) -> &str {
    if who.is_empty() { "somebody" } else { who }
}

fn nodes(count: usize) -> String {
    if count == 1 { "1 node".into() } else { format!("{count} nodes") }
}
