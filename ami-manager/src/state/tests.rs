//! A bench for the state machine: members that answer as told, clients, a journal.

mod edits;
mod members;
mod reading;
mod rollout;

use super::rollout::GRACE_NS;
use super::*;
use ami_graph::data::schema::{Field, Kind, Schema};
use ami_graph::data::value::DType;
use ami_graph::error::SpecError;
use ami_graph::graph::spec::GraphSpec;
use ami_proto::control::manager_to_members::Phase;
use ami_proto::control::member_to_manager::{Prepared, Role};
use serde_json::json;
use std::sync::atomic::{AtomicBool, Ordering};

const MS: u64 = 1_000_000;

/// An engine that knows one law: inputs with a colon are fields, and op `bad` is none. Of code that says "slow"
/// it knows nothing until `read` is set.
#[derive(Default)]
struct World {
    read: Arc<AtomicBool>,
    waits: AtomicBool,
}

fn fault(spec: &GraphSpec, node: &str, reason: String) -> SpecError {
    let (graph, node) = (spec.name.clone(), Some(node.to_string()));
    SpecError { graph, node, parameter: None, reason, hint: "try another".into() }
}

impl crate::validate::World for World {
    fn check(&self, spec: &GraphSpec) -> Vec<SpecError> {
        let bad = spec.nodes.iter().filter(|(_, n)| n.op == "bad");
        bad.map(|(name, _)| fault(spec, name, "unknown op".into())).collect()
    }

    fn plan(&self, set: &Arc<GraphSet>, schema: &Arc<Schema>) -> Vec<SpecError> {
        let mut errors = Vec::new();
        for spec in set.graphs.values().map(|g| &g.spec) {
            for (name, node) in &spec.nodes {
                let missing = |s: &&&str| s.contains(':') && schema.find(s).is_none();
                if let Some(field) = node.inputs.sources().iter().find(missing) {
                    errors.push(fault(spec, name, format!("no field {field}")));
                }
            }
        }
        errors
    }

    fn read(&self, path: &str) -> Result<Vec<u8>, String> {
        if path.contains("gone") { Err(format!("cannot read {path}")) } else { Ok(path.into()) }
    }

    fn describe(
        &self,
        _: &str,
        file: &str,
        source: &str,
        name: Option<&str>,
    ) -> Result<serde_json::Value, String> {
        if source.contains("broken") {
            return Err(format!("SyntaxError: invalid syntax ({file}:1)"));
        }
        if source.contains("slow") && !self.read.load(Ordering::Relaxed) {
            self.waits.store(true, Ordering::Relaxed);
            return Err("wait".into());
        }
        let name = name.unwrap_or("only");
        let node = json!({"kind": "per_event", "name": name, "outputs": []});
        Ok(json!({"nodes": {name: node}}))
    }

    fn stored(&self, _: &str) -> Option<Vec<u8>> {
        None
    }

    fn waits(&self) -> bool {
        self.waits.swap(false, Ordering::Relaxed)
    }

    fn found(&self) -> u64 {
        u64::from(self.read.load(Ordering::Relaxed))
    }
}

struct Bench {
    /// That slow code has been read.
    read: Arc<AtomicBool>,
    /// Who asks from now on.
    peer: Option<Peer>,
    state: State,
    now: u64,
    clients: u8,
    journal: Vec<Record>,
    announced: Vec<Announce>,
    replies: Vec<(u8, Value)>,
}

fn start(records: Vec<Record>, world: World) -> Start {
    Start {
        world: Box::new(world),
        records,
        journal: JournalHealth::default(),
        life: 1,
        prepare_timeout_ns: 2000 * MS,
    }
}

fn schema(fields: &[&str]) -> Schema {
    let field = |name: &&str| Field {
        name: name.to_string(),
        aliases: Vec::new(),
        dtype: DType::F64,
        rank: 0,
        shape: None,
        kind: Kind::Event,
        labels: Default::default(),
    };
    Schema { fields: fields.iter().map(field).collect() }
}

fn report(role: Role, name: &str, version: u64, prepared: Option<(u64, &str)>) -> Report {
    let prepared = prepared.map(|(version, why)| Prepared {
        version,
        refused: if why.is_empty() { Vec::new() } else { vec![why.into()] },
    });
    Report {
        role,
        name: name.into(),
        host: "h".into(),
        pid: 1,
        life: 1,
        state: "running".into(),
        version,
        prepared,
        schema: (role == Role::Ventilator).then(|| schema(&["a:b:c"])),
        metrics: Vec::new(),
        nodes: Vec::new(),
    }
}

impl Bench {
    fn new(records: Vec<Record>) -> Bench {
        let world = World::default();
        let read = Arc::clone(&world.read);
        let (state, effects) = State::new(0, start(records.clone(), world));
        let (announced, replies) = (Vec::new(), Vec::new());
        let mut bench = Bench {
            read,
            state,
            now: 0,
            clients: 0,
            journal: records,
            announced,
            replies,
            peer: Some(Peer::LOCAL),
        };
        bench.take(effects);
        bench.now = 2 * GRACE_NS;
        bench
    }

    fn with_members() -> Bench {
        let mut bench = Bench::new(Vec::new());
        bench.all(0, None);
        bench
    }

    fn take(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Reply { client, document, .. } => {
                    self.replies.push((client.identity[0], document));
                }
                Effect::Announce(announce, _) => self.announced.push(announce),
                Effect::Append(record) => self.journal.push(record),
                _ => {}
            }
        }
    }

    fn on(&mut self, input: Input) {
        let effects = self.state.on(self.now, input);
        self.take(effects);
    }

    fn after(&mut self, ns: u64) {
        self.now += ns;
        self.on(Input::Tick);
    }

    /// Sends a command as a new client, whose number is returned.
    fn send(&mut self, command: Value) -> u8 {
        self.clients += 1;
        let client =
            Client { identity: vec![self.clients], delimited: true, peer: self.peer.clone() };
        let wall_ns = 1_700_000_000_000_000_000 + self.now;
        self.on(Input::Request { client, bytes: command.to_string().into_bytes(), wall_ns });
        self.clients
    }

    fn says(&mut self, report: Report) {
        self.on(Input::Report { report: Box::new(report), bytes: 100 });
    }

    fn all(&mut self, version: u64, prepared: Option<u64>) {
        for (role, name) in [(Role::Ventilator, "v"), (Role::Worker, "w"), (Role::Root, "root")] {
            self.says(report(role, name, version, prepared.map(|p| (p, ""))));
        }
    }

    fn reply(&self, client: u8) -> Option<&Value> {
        let found: Vec<&Value> =
            self.replies.iter().filter(|(c, _)| *c == client).map(|(_, d)| d).collect();
        assert!(found.len() < 2, "one answer per request: {found:?}");
        found.first().copied()
    }

    fn answer(&mut self, command: Value) -> Value {
        let client = self.send(command);
        self.reply(client).expect("answered at once").clone()
    }

    /// An edit to which all members agree and which takes effect.
    fn accept(&mut self, command: Value) -> Value {
        let client = self.send(command);
        if self.reply(client).is_none() {
            let version = self.last(Phase::Prepare);
            let before = self.state.set().version;
            self.all(before, Some(version));
            self.all(version, Some(version));
        }
        self.reply(client).expect("answered").clone()
    }

    fn last(&self, phase: Phase) -> u64 {
        self.announced.iter().rev().find(|a| a.phase == phase).map_or(0, |a| a.version)
    }

    fn count(&self, phase: Phase) -> usize {
        self.announced.iter().filter(|a| a.phase == phase).count()
    }
}

fn apply(nodes: Value) -> Value {
    json!({ "cmd": "graph.apply", "spec": { "name": "g", "nodes": nodes }, "who": "ann" })
}

fn two() -> Value {
    json!({
        "roi": { "op": "roi", "in": "a:b:c", "x": [0, 5] },
        "scan": { "op": "mean", "in": "roi.value" },
    })
}

fn show(bench: &mut Bench) -> Value {
    bench.answer(json!({ "cmd": "graph.show", "graph": "g" }))
}
