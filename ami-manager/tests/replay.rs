//! Whatever is sent, every request gets one answer, and the journal makes the same state again.

#![allow(clippy::unwrap_used)] // helpers of tests are tests

use ami_graph::data::schema::Schema;
use ami_graph::error::SpecError;
use ami_graph::graph::spec::{GraphSet, GraphSpec};
use ami_manager::history::{History, Record};
use ami_manager::state::{Client, Effect, Input, JournalHealth, Start, State};
use ami_manager::validate::World;
use ami_proto::control::manager_to_members::Phase;
use ami_proto::control::member_to_manager::{Prepared, Report, Role};
use ami_proto::security::credentials::Peer;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

struct Anything;

impl World for Anything {
    fn check(&self, spec: &GraphSpec) -> Vec<SpecError> {
        let bad = spec.nodes.iter().filter(|(_, n)| n.op == "bad");
        bad.map(|(node, _)| SpecError {
            graph: spec.name.clone(),
            node: Some(node.clone()),
            parameter: None,
            reason: "bad".into(),
            hint: String::new(),
        })
        .collect()
    }
    fn plan(&self, _: &Arc<GraphSet>, _: &Arc<Schema>) -> Vec<SpecError> {
        Vec::new()
    }
    fn read(&self, path: &str) -> Result<Vec<u8>, String> {
        Ok(path.into())
    }
    fn describe(
        &self,
        _: &str,
        _: &str,
        _: &str,
        _: Option<&str>,
    ) -> Result<serde_json::Value, String> {
        Err("user code is switched off here".into())
    }

    fn stored(&self, _: &str) -> Option<Vec<u8>> {
        None
    }
}

fn open(records: Vec<Record>) -> (State, Vec<Effect>) {
    let start = Start {
        world: Box::new(Anything),
        records,
        journal: JournalHealth::default(),
        life: 1,
        prepare_timeout_ns: 2_000_000_000,
    };
    State::new(0, start)
}

#[derive(Debug, Clone)]
enum Step {
    Command(Value),
    Garbage(Vec<u8>),
    /// All members answer what was announced last, so: `true` refuses.
    Members(bool),
    Time(u64),
    Crash,
}

fn name() -> impl Strategy<Value = &'static str> {
    prop_oneof![Just("a"), Just("b"), Just("c")]
}

fn number() -> impl Strategy<Value = Value> {
    prop_oneof![
        (0..12u64).prop_map(Value::from),
        any::<f64>().prop_map(|f| json!(f)),
        Just(Value::Null)
    ]
}

fn command() -> impl Strategy<Value = Value> {
    let graph = || prop_oneof![Just("g"), Just("h")];
    let nodes =
        prop::collection::btree_map(name(), (name(), prop::bool::weighted(0.1), number()), 0..4);
    let base = prop::option::weighted(0.3, 0..12u64);
    prop_oneof![
        4 => (graph(), nodes).prop_map(|(g, nodes)| {
            let node = |(on, bad, x): &(&str, bool, Value)| {
                json!({ "op": if *bad { "bad" } else { "mean" }, "in": on, "x": x })
            };
            let nodes: BTreeMap<_, _> = nodes.iter().map(|(n, v)| (*n, node(v))).collect();
            json!({ "cmd": "graph.apply", "spec": { "name": g, "nodes": nodes } })
        }),
        3 => (graph(), name(), number()).prop_map(|(g, n, x)| {
            json!({ "cmd": "graph.set", "graph": g, "node": n, "params": { "x": x } })
        }),
        2 => (graph(), prop::option::of(name())).prop_map(|(g, n)| json!({ "cmd": "graph.rm", "graph": g, "node": n })),
        2 => (graph(), 0..12u64).prop_map(|(g, v)| json!({ "cmd": "graph.rollback", "graph": g, "version": v })),
        2 => (graph(), prop::collection::vec(name(), 0..2)).prop_map(|(g, n)| json!({ "cmd": "graph.reset", "graph": g, "nodes": n })),
        1 => Just(json!({ "cmd": "status" })),
        1 => graph().prop_map(|g| json!({ "cmd": "graph.history", "graph": g })),
        1 => (graph(), prop::option::of(0..12u64)).prop_map(|(g, v)| json!({ "cmd": "graph.diff", "graph": g, "from": v })),
    ]
    .prop_flat_map(move |c| (Just(c), base.clone()))
    .prop_map(|(mut c, base)| {
        let edit = ["apply", "set", "rm", "rollback"].iter().any(|e| c["cmd"] == format!("graph.{e}"));
        if let (true, Some(base)) = (edit, base) {
            c["base"] = base.into();
        }
        c
    })
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => command().prop_map(Step::Command),
        1 => prop::collection::vec(any::<u8>(), 0..40).prop_map(Step::Garbage),
        4 => prop::bool::weighted(0.2).prop_map(Step::Members),
        2 => (0..4_000u64).prop_map(|ms| Step::Time(ms * 1_000_000)),
        1 => Just(Step::Crash),
    ]
}

#[derive(Default)]
struct Run {
    now: u64,
    journal: Vec<Record>,
    /// Announced last: version and phase.
    announced: Option<(u64, Phase)>,
    asked: u32,
    answered: BTreeMap<Vec<u8>, usize>,
}

impl Run {
    fn take(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Reply { client, document, .. } => {
                    assert!(document.is_object());
                    *self.answered.entry(client.identity).or_default() += 1;
                }
                Effect::Announce(announce, json) => {
                    let known = |r: &Record| matches!(r, Record::Version(e) if e.version == announce.version);
                    assert!(self.journal.iter().any(known), "announced before it was journaled");
                    if announce.phase == Phase::Prepare {
                        let set = GraphSet::from_json_bytes(&json).unwrap();
                        assert_eq!(set.version, announce.version);
                    }
                    self.announced = Some((announce.version, announce.phase));
                }
                Effect::Append(record) => self.journal.push(record),
                _ => {}
            }
        }
    }

    fn input(&mut self, state: &mut State, input: Input) {
        let effects = state.on(self.now, input);
        self.take(effects);
    }

    fn request(&mut self, state: &mut State, bytes: Vec<u8>) {
        self.asked += 1;
        let identity = self.asked.to_le_bytes().to_vec();
        let client = Client { identity, delimited: false, peer: Some(Peer::LOCAL) };
        self.input(state, Input::Request { client, bytes, wall_ns: self.now });
    }

    fn members(&mut self, state: &mut State, refuse: bool) {
        let Some((version, phase)) = self.announced else { return };
        let refused = if refuse { vec!["no".to_string()] } else { Vec::new() };
        let active = if phase == Phase::Activate { version } else { state.set().version };
        for role in [Role::Ventilator, Role::Worker, Role::Root] {
            let report = Report {
                role,
                name: "m".into(),
                host: "h".into(),
                pid: 1,
                life: 1,
                state: "running".into(),
                version: active,
                prepared: Some(Prepared { version, refused: refused.clone() }),
                schema: None,
                metrics: Vec::new(),
                nodes: Vec::new(),
            };
            self.input(state, Input::Report { report: Box::new(report), bytes: 100 });
        }
    }
}

fn play(steps: Vec<Step>) {
    let mut run = Run::default();
    let (mut state, effects) = open(Vec::new());
    run.take(effects);
    let mut lost = 0;
    for step in steps {
        match step {
            Step::Command(command) => run.request(&mut state, command.to_string().into_bytes()),
            Step::Garbage(bytes) => run.request(&mut state, bytes),
            Step::Members(refuse) => run.members(&mut state, refuse),
            Step::Time(ns) => {
                run.now += ns;
                run.input(&mut state, Input::Tick);
            }
            Step::Crash => {
                lost = run.asked as usize - run.answered.len();
                let set = state.set().clone();
                let (again, effects) = open(run.journal.clone());
                state = again;
                run.take(effects);
                assert_eq!(state.set(), &set);
            }
        }
    }
    let mut history = History::default();
    run.journal.iter().cloned().for_each(|r| history.take(r));
    assert_eq!(history.records(), state.records(), "the journal is the history");
    let lines: Vec<Vec<u8>> =
        run.journal.iter().map(|r| ami_manager::journal::line(r).unwrap()).collect();
    let versions: Vec<u64> = run
        .journal
        .iter()
        .filter_map(|r| if let Record::Version(e) = r { Some(e.version) } else { None })
        .collect();
    assert!(versions.is_sorted_by(|a, b| a < b), "no number is given twice: {versions:?}");
    reread(lines.concat(), &run.journal);
    run.input(&mut state, Input::Stop);
    assert!(run.answered.values().all(|n| *n == 1), "one answer per request");
    let unanswered = run.asked as usize - run.answered.len();
    assert!(unanswered <= lost, "{unanswered} unanswered, {lost} at crashes");
}

fn reread(bytes: Vec<u8>, records: &[Record]) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("j");
    std::fs::write(&path, bytes).unwrap();
    let (_, contents) = ami_manager::journal::Journal::open(&path).unwrap();
    assert_eq!(contents.records, records, "to the last bit of every number");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_sequence_of_commands_members_and_crashes(steps in prop::collection::vec(step(), 1..60)) {
        play(steps);
    }

    #[test]
    fn garbage_is_answered(text in "\\PC{0,60}", cmd in "[a-z.]{0,16}", deep in 0usize..3000) {
        let (mut state, _) = open(Vec::new());
        let mut run = Run::default();
        let nested = format!("{}{}", "[".repeat(deep), "]".repeat(deep));
        for body in [
            text.clone(),
            json!({ "cmd": cmd, "graph": text }).to_string(),
            json!({ "cmd": "graph.apply", "spec": text }).to_string(),
            json!({ "cmd": "graph.set", "graph": text, "node": cmd, "params": { "x": text } }).to_string(),
            json!({ "cmd": "graph.show", "graph": text, "version": u64::MAX }).to_string(),
            format!(r#"{{"cmd":"graph.validate","spec":{nested}}}"#),
            format!(r#"{{"cmd":"graph.apply","spec":{{"name":"g","nodes":{{"n":{{"op":"x","v":{nested}}}}}}}}}"#),
        ] {
            run.asked += 1;
            let client = Client { identity: run.asked.to_le_bytes().to_vec(), delimited: false, peer: Some(Peer::LOCAL) };
            let effects = state.on(3_000_000_000, Input::Request { client, bytes: body.into_bytes(), wall_ns: 0 });
            run.take_answers(effects);
        }
        assert_eq!(run.answered.len(), 7);
    }
}

impl Run {
    fn take_answers(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            if let Effect::Reply { client, .. } = effect {
                *self.answered.entry(client.identity).or_default() += 1;
            }
        }
    }
}
