//! What can be read: status, sources, graphs, history, differences, a validation.

use super::rollout::waited_for;
use super::{Client, State};
use crate::commands::{self, refusal};
use crate::edit::{assemble, changes, line, parse};
use crate::history::Entry;
use crate::members::Member;
use crate::validate::{Strictness, verdict};
use ami_graph::data::schema::{Field, Schema};
use ami_graph::error::nearest;
use ami_graph::graph::spec::GraphSpec;
use ami_proto::control::ctl_to_manager::{Command, Edit, Refusal};
use serde_json::{Map, Value, json};
use std::sync::Arc;

impl State {
    /// The document of a command that is no edit.
    pub(super) fn document(&self, now_ns: u64, client: &Client, command: &Command) -> Value {
        let found = match command {
            Command::Status => Ok(self.status(now_ns)),
            Command::Sources => Ok(self.sources(now_ns)),
            Command::List => Ok(self.list()),
            Command::Show { graph, version } => self.show(graph, *version),
            Command::Validate { spec } => Ok(self.validate(now_ns, client, spec)),
            Command::History { graph } => self.history_of(graph),
            Command::Diff { graph, from, to } => self.diff(graph, *from, *to),
            _ => Err(refusal("this command is an edit", "")),
        };
        found.unwrap_or_else(|refusal| commands::document(&refusal))
    }

    fn status(&self, now_ns: u64) -> Value {
        let members: Vec<Value> = self.members.all().map(|m| member(m, now_ns)).collect();
        json!({
            "members": members,
            "version": self.active.version,
            "in_effect": self.members.in_effect(now_ns),
            "under_way": self.under_way(now_ns),
            "queued": self.queue.len(),
            "journal": {
                "path": self.journal.path,
                "ok": self.journal.error.is_none(),
                "error": self.journal.error,
                "notes": self.journal.notes,
            },
        })
    }

    fn under_way(&self, now_ns: u64) -> Value {
        let participants = || self.members.participants(now_ns);
        if let Some(rollout) = &self.rollout {
            let silent = participants().filter(|m| m.answer(rollout.version).is_none());
            let waiting: Vec<String> = silent.map(|m| waited_for(m, rollout.version)).collect();
            return json!({
                "version": rollout.version, "phase": "prepare", "graph": rollout.graph,
                "who": rollout.who, "waiting_for": waiting,
            });
        }
        if let (Some(_), Some(first)) = (self.reading, self.queue.front()) {
            let who = commands::edit(&first.command).map(|(_, edit)| &edit.who);
            let graph = match &first.command {
                Command::Apply { spec, .. } => spec["name"].as_str(),
                command => commands::edit(command).and_then(|(graph, _)| graph),
            };
            return json!({"phase": "reading code", "graph": graph, "who": who, "waiting_for": []});
        }
        let Some(settling) = &self.settling else { return Value::Null };
        let behind = participants().filter(|m| m.report.version < settling.version);
        let waiting: Vec<String> = behind.map(|m| waited_for(m, settling.version)).collect();
        let entry = self.history.last_active();
        json!({
            "version": settling.version, "phase": "activate",
            "graph": entry.map(|e| &e.graph), "who": entry.map(|e| &e.who),
            "waiting_for": waiting,
        })
    }

    fn sources(&self, now_ns: u64) -> Value {
        let sources: Vec<Value> = self
            .members
            .sources(now_ns)
            .into_iter()
            .map(|(m, schema)| source(m, schema, now_ns))
            .collect();
        json!({ "sources": sources })
    }

    fn list(&self) -> Value {
        let graphs: Vec<Value> = self
            .active
            .graphs
            .iter()
            .map(|(name, g)| {
                json!({
                    "name": name, "version": g.version, "description": g.spec.description,
                    "nodes": g.spec.nodes.len(), "publish": g.spec.publish,
                })
            })
            .collect();
        json!({ "graphs": graphs, "version": self.active.version })
    }

    fn show(&self, graph: &str, version: Option<u64>) -> Result<Value, Refusal> {
        let against = self.against();
        let content = match version {
            None => against.known(graph)?,
            Some(version) => against
                .version(graph, version)?
                .content
                .as_ref()
                .ok_or_else(|| gone(graph, version))?,
        };
        Ok(json!({
            "name": graph, "version": content.version, "spec": content.spec, "resets": content.resets,
        }))
    }

    fn validate(&self, now_ns: u64, client: &Client, spec: &Value) -> Value {
        let outcome = |graph: &str, errors: Vec<Value>, warnings: &[String]| {
            let mut document = json!({ "graph": graph, "errors": errors });
            if !warnings.is_empty() {
                document["warning"] = warnings.join("; ").into();
            }
            document
        };
        let listed = |errors: &[_]| errors.iter().map(|e| json!(e)).collect::<Vec<Value>>();
        let parsed = match parse(spec) {
            Ok(parsed) => parsed,
            Err(refusal) => return outcome("", refusal.errors, &[]),
        };
        let graph = parsed.name.clone();
        let apply = Command::Apply { spec: json!(parsed), base: None, edit: Edit::default() };
        let mut draft = match self.against().draft(&apply) {
            Ok(draft) => draft,
            Err(refusal) => return outcome(&graph, vec![commands::document(&refusal)], &[]),
        };
        let (version, may_bring_code) = (self.next_version(), client.may_bring_code());
        let set = assemble(&self.active, version, &mut draft, &*self.world, may_bring_code);
        let set = match set {
            Ok(set) => Arc::new(set),
            Err(errors) => return outcome(&graph, listed(&errors), &[]),
        };
        let schemas = self.members.schemas(now_ns);
        let strict = Strictness::Graph;
        let found = verdict(&*self.world, &self.active, &set, &graph, &schemas, strict);
        outcome(&graph, listed(&found.errors), &found.warnings)
    }

    fn history_of(&self, graph: &str) -> Result<Value, Refusal> {
        let versions: Vec<Value> =
            self.history.of(graph).map(|(entry, withdrawn)| line(entry, withdrawn)).collect();
        if versions.is_empty() {
            let error = format!("no graph {:?}", commands::short(graph));
            return Err(refusal(error, nearest(&commands::short(graph), self.history.graphs())));
        }
        Ok(json!({ "graph": graph, "versions": versions }))
    }

    fn diff(&self, graph: &str, from: Option<u64>, to: Option<u64>) -> Result<Value, Refusal> {
        let against = self.against();
        let to = match to {
            Some(version) => against.version(graph, version)?,
            None => match self.history.active_of(graph).next_back() {
                Some(newest) => newest,
                None => against.version(graph, 0)?,
            },
        };
        let from = match from {
            Some(version) => Some(against.version(graph, version)?),
            None => self.history.active_of(graph).rfind(|e| e.version < to.version),
        };
        let empty = GraphSpec {
            name: graph.to_string(),
            description: None,
            nodes: Default::default(),
            publish: None,
        };
        let spec = |e: Option<&Entry>| e.and_then(|e| e.content.as_ref()).map(|c| c.spec.clone());
        let (before, after) = (spec(from), spec(Some(to)));
        let changes = changes(before.as_ref().unwrap_or(&empty), after.as_ref().unwrap_or(&empty));
        Ok(json!({
            "graph": graph, "from": from.map_or(0, |e| e.version), "to": to.version, "changes": changes,
        }))
    }
}

fn gone(graph: &str, version: u64) -> Refusal {
    let error = format!("graph {graph:?} was removed at version {version}");
    refusal(error, format!("`ami-ctl graph history {graph}` lists the versions before"))
}

fn member(member: &Member, now_ns: u64) -> Value {
    let report = &member.report;
    let metrics: Map<String, Value> =
        report.metrics.iter().map(|(k, v)| (k.clone(), json!(v))).collect();
    let nodes: Vec<Value> = report
        .nodes
        .iter()
        .map(|n| json!({ "node": n.node, "errors": n.errors, "message": n.message }))
        .collect();
    json!({
        "role": report.role.name(),
        "name": report.name,
        "host": report.host,
        "pid": report.pid,
        "state": report.state,
        "version": report.version,
        "prepared": report.prepared,
        "age_ms": now_ns.saturating_sub(member.heard_ns) / 1_000_000,
        "alive": member.live(now_ns),
        "metrics": metrics,
        "nodes": nodes,
    })
}

fn source(member: &Member, schema: &Schema, now_ns: u64) -> Value {
    let report = &member.report;
    let number = |name: &str| report.metrics.iter().find(|(k, _)| k == name).map(|(_, v)| *v);
    let field = |field: &Field| {
        let mut document = json!({
            "name": field.name, "aliases": field.aliases, "dtype": field.dtype,
            "rank": field.rank, "shape": field.shape, "kind": field.kind,
        });
        if !field.labels.is_empty() {
            document["labels"] = json!(field.labels);
        }
        if let Some(rate) = number(&format!("ami_field_rate{{field={:?}}}", field.name)) {
            document["rate"] = json!(rate);
        }
        document
    };
    json!({
        "host": report.host,
        "name": report.name,
        "state": report.state,
        "alive": member.live(now_ns),
        "fields": schema.fields.iter().map(field).collect::<Vec<Value>>(),
    })
}
