//! Whether a graph set can run: asked of the engine, for every schema that a host has on offer.

use crate::trying::Trying;
use ami_graph::data::schema::Schema;
use ami_graph::error::SpecError;
use ami_graph::graph::spec::{GraphSet, GraphSpec};
use ami_graph::op::foreign::Foreign;
use ami_graph::plan::limits::Limits;
use ami_graph::plan::{self, Plan};
use std::collections::BTreeSet;
use std::io::Read;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;

/// What the state machine asks of the rest of the world.
pub trait World: Send {
    /// What is wrong with a graph whatever the fields are.
    fn check(&self, spec: &GraphSpec) -> Vec<SpecError>;
    /// What is wrong with a set, given a host's fields.
    fn plan(&self, set: &Arc<GraphSet>, schema: &Arc<Schema>) -> Vec<SpecError>;
    /// Content of a file named in a parameter.
    ///
    /// # Errors
    /// The file and the reason, for people.
    fn read(&self, path: &str) -> Result<Vec<u8>, String>;
    /// What is in the text of a file of user code: `{"nodes": {NAME: description}}`.
    ///
    /// # Errors
    /// What is wrong with it, or that user code is off.
    fn describe(
        &self,
        env: &str,
        file: &str,
        source: &str,
        name: Option<&str>,
    ) -> Result<serde_json::Value, String>;
    /// Content of a file that was read for an earlier version.
    fn stored(&self, hash: &str) -> Option<Vec<u8>>;
    /// Whether anything since the last call of this was answered without being known yet: what follows from
    /// such an answer says nothing, and is to be looked at again when [`found`](Self::found) has changed.
    fn waits(&self) -> bool {
        false
    }
    /// Counts up whenever something is known that was not.
    fn found(&self) -> u64 {
        0
    }
}

/// The real one.
#[derive(Debug, Clone)]
pub struct Engine {
    /// What a graph set may take.
    pub limits: Limits,
    /// Where the journal keeps files.
    pub files: PathBuf,
    /// What reads user code.
    pub code: Arc<Trying>,
}

impl World for Engine {
    fn check(&self, spec: &GraphSpec) -> Vec<SpecError> {
        guarded(&spec.name, || plan::check(spec))
    }

    fn plan(&self, set: &Arc<GraphSet>, schema: &Arc<Schema>) -> Vec<SpecError> {
        guarded("", || {
            let (set, code) = (set.clone(), Some(self.code.clone() as Arc<dyn Foreign>));
            Plan::with_code(set, schema.clone(), &self.limits, code).errors().to_vec()
        })
    }

    fn read(&self, path: &str) -> Result<Vec<u8>, String> {
        let failed = |e: std::io::Error| {
            let here = std::path::absolute(path).unwrap_or_else(|_| path.into());
            format!("cannot read {}: {e}", here.display())
        };
        let metadata = std::fs::metadata(path).map_err(failed)?;
        if !metadata.is_file() {
            return Err(format!("{path:?} is not a regular file"));
        }
        // One byte more than is allowed, so that a file that grows meanwhile is told by its length.
        let mut bytes = Vec::new();
        let limit = crate::files::MAX_FILES as u64 + 1;
        std::fs::File::open(path)
            .map_err(failed)?
            .take(limit)
            .read_to_end(&mut bytes)
            .map_err(failed)?;
        Ok(bytes)
    }

    fn describe(
        &self,
        env: &str,
        file: &str,
        source: &str,
        name: Option<&str>,
    ) -> Result<serde_json::Value, String> {
        self.code.describe(env, file, source, name)
    }

    fn stored(&self, hash: &str) -> Option<Vec<u8>> {
        let bytes = std::fs::read(self.files.join(hash)).ok()?;
        (crate::files::hash(&bytes) == hash).then_some(bytes)
    }

    fn waits(&self) -> bool {
        self.code.waits()
    }

    fn found(&self) -> u64 {
        self.code.found()
    }
}

/// A graph that trips the engine is refused; it must not take the other graphs' manager with it.
fn guarded(graph: &str, work: impl FnOnce() -> Vec<SpecError>) -> Vec<SpecError> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| {
        vec![SpecError {
            graph: graph.into(),
            node: None,
            parameter: None,
            reason: "the engine failed on this graph, which is a mistake of ami".into(),
            hint: "please report it with the graph and the manager's log".into(),
        }]
    })
}

/// How far errors that were there before the edit count against it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strictness {
    /// Every error of the edited graph counts.
    Graph,
    /// Only errors that the edit brings: fields may have gone since the graph was accepted, and a
    /// change elsewhere in it must stay possible.
    NewErrors,
    /// Nothing is looked at: what is left of a set that ran will run.
    Nothing,
}

/// What was found.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Verdict {
    /// Reasons to refuse.
    pub errors: Vec<SpecError>,
    /// What the editor should know.
    pub warnings: Vec<String>,
}

/// Looks at a set in which `graph` was edited.
pub fn verdict(
    world: &dyn World,
    before: &Arc<GraphSet>,
    after: &Arc<GraphSet>,
    graph: &str,
    schemas: &[Arc<Schema>],
    strictness: Strictness,
) -> Verdict {
    if strictness == Strictness::Nothing {
        return Verdict::default();
    }
    let mut errors = after.graphs.get(graph).map_or(Vec::new(), |g| world.check(&g.spec));
    let mut warnings = after.graphs.get(graph).map_or(Vec::new(), |g| g.spec.outdated());
    if let Some(edited) = after.graphs.get(graph) {
        warnings.extend(crate::code::warnings(&edited.spec, &after.files));
    }
    if schemas.is_empty() {
        warnings.push("no source is known yet: the names of fields and the memory for states were not checked".to_string());
        return Verdict { errors, warnings };
    }
    let found = planned(world, after, schemas);
    let known = if found.is_empty() { Vec::new() } else { planned(world, before, schemas) };
    for error in found {
        let own = error.graph == graph && strictness == Strictness::Graph;
        if !own && known.contains(&error) {
            if error.graph == graph {
                warnings.push(format!("as before: {error}"));
            }
        } else if !errors.contains(&error) {
            errors.push(error);
        }
    }
    Verdict { errors, warnings }
}

/// Errors of a set over all hosts: a node is at fault if no host's plan takes it, since a detector
/// is read out by one host only; a fault of a set as a whole counts on any host.
fn planned(world: &dyn World, set: &Arc<GraphSet>, schemas: &[Arc<Schema>]) -> Vec<SpecError> {
    let by_host: Vec<Vec<SpecError>> = schemas.iter().map(|s| world.plan(set, s)).collect();
    let nodes = |errors: &[SpecError]| -> BTreeSet<(String, String)> {
        errors.iter().filter_map(|e| Some((e.graph.clone(), e.node.clone()?))).collect()
    };
    let everywhere = by_host
        .iter()
        .map(|errors| nodes(errors))
        .reduce(|a, b| a.intersection(&b).cloned().collect())
        .unwrap_or_default();
    let mut all: Vec<SpecError> = Vec::new();
    for error in by_host.into_iter().flatten() {
        let counts = match &error.node {
            None => true,
            Some(node) => everywhere.contains(&(error.graph.clone(), node.clone())),
        };
        if counts && !all.contains(&error) {
            all.push(error);
        }
    }
    all
}
