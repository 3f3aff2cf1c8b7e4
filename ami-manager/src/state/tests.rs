//! Each rule of versions, on the state machine alone.

use super::rollout::{FAST_NS, GRACE_NS, SETTLE_NS, SLOW_NS};
use super::*;
use crate::members::LIVE_NS;
use ami_graph::error::SpecError;
use ami_graph::schema::{Field, Kind, Schema};
use ami_graph::spec::GraphSpec;
use ami_graph::value::DType;
use ami_proto::manager_to_members::Phase;
use ami_proto::member_to_manager::{Prepared, Role};
use serde_json::json;

const MS: u64 = 1_000_000;

/// An engine that knows one law: inputs with a colon are fields, and op `bad` is none.
struct World;

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

    fn stored(&self, _: &str) -> Option<Vec<u8>> {
        None
    }
}

struct Bench {
    /// Who asks from now on.
    peer: Option<Peer>,
    state: State,
    now: u64,
    clients: u8,
    journal: Vec<Record>,
    announced: Vec<Announce>,
    replies: Vec<(u8, Value)>,
}

fn start(records: Vec<Record>) -> Start {
    Start {
        world: Box::new(World),
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
        let (state, effects) = State::new(0, start(records.clone()));
        let (announced, replies) = (Vec::new(), Vec::new());
        let mut bench = Bench {
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

#[test]
fn an_edit_is_prepared_by_all_then_activated_then_in_effect() {
    let mut b = Bench::with_members();
    let client = b.send(apply(two()));
    assert_eq!((b.last(Phase::Prepare), b.count(Phase::Activate)), (1, 0));
    assert!(
        matches!(b.journal.last(), Some(Record::Version(e)) if e.version == 1 && e.who == "ann")
    );
    b.says(report(Role::Ventilator, "v", 0, Some((1, ""))));
    b.says(report(Role::Worker, "w", 0, Some((1, ""))));
    assert_eq!(b.count(Phase::Activate), 0, "the root has not answered");
    b.says(report(Role::Root, "root", 0, Some((1, ""))));
    assert_eq!(b.last(Phase::Activate), 1);
    assert_eq!(b.journal.last(), Some(&Record::Active(1)));
    b.says(report(Role::Ventilator, "v", 1, Some((1, ""))));
    b.says(report(Role::Worker, "w", 1, Some((1, ""))));
    assert!(b.reply(client).is_none());
    b.says(report(Role::Root, "root", 1, Some((1, ""))));
    let answer = b.reply(client).expect("in effect");
    assert_eq!(answer["in_effect"], true);
    assert_eq!((&answer["version"], &answer["waiting_for"]), (&json!(1), &json!([])));
    assert_eq!(answer["members"].as_array().map(Vec::len), Some(3));
}

#[test]
fn announcements_are_repeated_fast_while_open_and_slowly_for_late_joiners() {
    let mut b = Bench::with_members();
    b.send(apply(two()));
    for _ in 0..4 {
        b.after(FAST_NS);
    }
    assert_eq!(b.count(Phase::Prepare), 5);
    b.all(0, Some(1));
    b.all(1, Some(1));
    let activated = b.count(Phase::Activate);
    for _ in 0..8 {
        b.after(FAST_NS);
    }
    assert_eq!(b.count(Phase::Activate) - activated, 2, "once a second");
    b.says(report(Role::Worker, "late", 0, None));
    let before = b.count(Phase::Activate);
    for _ in 0..4 {
        b.after(FAST_NS);
    }
    assert!(b.count(Phase::Activate) - before >= 4, "a newcomer is told soon");
    b.after(SLOW_NS);
    assert_eq!(b.answer(json!({"cmd": "status"}))["in_effect"], 0, "the newcomer is behind");
    b.says(report(Role::Worker, "late", 1, Some((1, ""))));
    assert_eq!(b.answer(json!({"cmd": "status"}))["in_effect"], 1);
}

#[test]
fn one_refusal_withdraws_for_all_and_burns_the_number() {
    let mut b = Bench::with_members();
    b.accept(apply(two()));
    let client = b.send(apply(json!({ "roi": { "op": "roi", "in": "a:b:c" } })));
    b.says(report(Role::Worker, "w", 1, Some((2, "out of memory"))));
    let refused = b.reply(client).expect("refused").clone();
    let error = refused["error"].as_str().unwrap();
    assert!(error.contains("worker w on h: out of memory"), "{error}");
    assert_eq!(refused["errors"][0]["reasons"][0], "out of memory");
    assert_eq!(b.last(Phase::Withdraw), 2);
    assert_eq!(show(&mut b)["version"], 1, "the set falls back");
    let history = b.answer(json!({ "cmd": "graph.history", "graph": "g" }));
    assert!(history["versions"][1]["withdrawn"].as_str().unwrap().contains("out of memory"));
    assert_eq!(b.accept(apply(two()))["version"], 3);
}

#[test]
fn a_slow_member_vetoes_nothing_and_is_named() {
    let mut b = Bench::with_members();
    let client = b.send(apply(two()));
    b.says(report(Role::Ventilator, "v", 0, Some((1, ""))));
    b.says(report(Role::Root, "root", 0, Some((1, ""))));
    b.after(1999 * MS);
    assert_eq!(b.count(Phase::Activate), 0);
    b.after(MS);
    assert_eq!(b.last(Phase::Activate), 1);
    b.says(report(Role::Ventilator, "v", 1, Some((1, ""))));
    b.says(report(Role::Root, "root", 1, Some((1, ""))));
    b.says(report(Role::Worker, "w", 0, None));
    assert!(b.reply(client).is_none(), "it is live and not at the version");
    // It stops reporting: what is not live holds nothing up.
    b.now += LIVE_NS - 1;
    b.says(report(Role::Ventilator, "v", 1, Some((1, ""))));
    b.says(report(Role::Root, "root", 1, Some((1, ""))));
    b.after(1);
    let answer = b.reply(client).expect("answered");
    assert_eq!(
        (&answer["in_effect"], &answer["not_ready"]),
        (&json!(true), &json!(["worker w on h"]))
    );
}

#[test]
fn a_client_waits_no_longer_than_it_said() {
    let mut b = Bench::with_members();
    let mut command = apply(two());
    command["timeout_s"] = 3.into();
    let client = b.send(command);
    b.all(0, Some(1));
    b.after(2999 * MS);
    assert!(b.reply(client).is_none());
    b.after(MS);
    let answer = b.reply(client).expect("out of time");
    assert_eq!(answer["in_effect"], false);
    assert!(answer["error"].is_null());
    let waiting = answer["waiting_for"].as_array().unwrap();
    assert_eq!(waiting.len(), 3);
    assert_eq!(waiting[1], "worker w on h (running, at version 0, is ready)");
    assert_eq!(show(&mut b)["version"], 1, "the version stays");
}

#[test]
fn without_waiting_and_without_members_the_answer_comes_at_once() {
    let mut b = Bench::new(Vec::new());
    let answer = b.answer(apply(two()));
    assert_eq!((&answer["in_effect"], &answer["version"]), (&json!(false), &json!(1)));
    assert_eq!(answer["waiting_for"], json!(["no member is running"]));
    assert!(answer["warning"].as_str().unwrap().contains("no source is known"));
    assert_eq!(b.last(Phase::Activate), 1);
    let mut b = Bench::with_members();
    let mut command = apply(two());
    command["no_wait"] = true.into();
    let client = b.send(command);
    assert!(b.reply(client).is_none(), "whether the members take it is known in a moment");
    b.all(0, Some(1));
    assert_eq!(b.reply(client).unwrap()["in_effect"], false);
}

#[test]
fn members_have_a_moment_to_find_a_manager_that_has_just_started() {
    let mut b = Bench::new(Vec::new());
    b.now = GRACE_NS / 2;
    let client = b.send(apply(two()));
    b.after(GRACE_NS / 4);
    assert!(b.reply(client).is_none());
    b.says(report(Role::Worker, "w", 0, Some((1, "no"))));
    assert!(b.reply(client).unwrap()["error"].as_str().unwrap().contains("worker w"));
}

#[test]
fn a_stale_edit_is_told_what_changed() {
    let mut b = Bench::with_members();
    b.accept(apply(two()));
    let set = |value: u64, base: u64| {
        json!({ "cmd": "graph.set", "graph": "g", "node": "roi", "params": { "x": [0, value] },
                "base": base, "who": "bob" })
    };
    assert_eq!(b.accept(set(7, 1))["version"], 2);
    let journaled = b.journal.len();
    let stale = b.accept(set(9, 1));
    let error = stale["error"].as_str().unwrap();
    assert!(
        error.starts_with("graph \"g\" is at version 2, the edit was made against 1"),
        "{error}"
    );
    assert!(
        error.contains("2 by bob at 2023-11-14T") && error.contains("set roi x=[0,7]"),
        "{error}"
    );
    assert_eq!(stale["errors"][0]["version"], 2);
    assert_eq!(b.journal.len(), journaled, "a refused edit changes nothing");
    assert_eq!(b.accept(set(9, 2))["version"], 3);
    b.accept(json!({ "cmd": "graph.rm", "graph": "g", "base": 3, "who": "eve" }));
    let mut gone = apply(two());
    gone["base"] = 3.into();
    assert!(
        b.accept(gone.clone())["error"]
            .as_str()
            .unwrap()
            .contains("was removed at version 4 by eve")
    );
    gone["base"] = 0.into();
    assert_eq!(b.accept(gone)["version"], 5, "0 is the version of a graph that is not there");
}

#[test]
fn edits_queue_in_order_up_to_a_bound() {
    let mut b = Bench::with_members();
    let first = b.send(apply(two()));
    let queued: Vec<u8> = (0..MAX_QUEUE).map(|_| b.send(apply(two()))).collect();
    let busy = b.answer(apply(two()));
    assert!(busy["error"].as_str().unwrap().contains("busy"));
    assert_eq!(b.answer(json!({"cmd": "status"}))["queued"], MAX_QUEUE);
    for (n, client) in std::iter::once(first).chain(queued).enumerate() {
        let version = n as u64 + 1;
        assert_eq!(b.last(Phase::Prepare), version, "one at a time");
        b.all(version - 1, Some(version));
        b.all(version, Some(version));
        assert_eq!(b.reply(client).unwrap()["version"], version);
    }
}

#[test]
fn a_version_that_does_not_take_effect_holds_the_next_up_for_a_while_only() {
    let mut b = Bench::with_members();
    let first = b.send(apply(two()));
    b.all(0, Some(1));
    let second = b.send(apply(two()));
    assert_eq!(b.last(Phase::Prepare), 1);
    b.now += SETTLE_NS;
    b.all(0, Some(1));
    assert_eq!(b.last(Phase::Prepare), 2);
    b.all(0, Some(2));
    b.all(2, Some(2));
    assert_eq!(b.reply(first).unwrap()["in_effect"], true, "a newer version contains it");
    assert_eq!(b.reply(second).unwrap()["in_effect"], true);
}

#[test]
fn set_merges_and_rm_minds_dependents() {
    let mut b = Bench::with_members();
    let mut command = apply(two());
    command["spec"]["publish"] = json!(["scan", "roi.bounds"]);
    b.accept(command);
    b.accept(json!({ "cmd": "graph.set", "graph": "g", "node": "scan",
        "params": { "op": "hist", "bins": 5, "window": "heartbeat", "in": { "value": "roi" } } }));
    b.accept(json!({ "cmd": "graph.set", "graph": "g", "node": "roi", "params": { "x": null } }));
    let spec = show(&mut b)["spec"].clone();
    assert_eq!(spec["nodes"]["roi"], json!({ "op": "roi", "in": "a:b:c" }));
    assert_eq!(spec["nodes"]["scan"]["op"], "hist");
    assert_eq!(spec["nodes"]["scan"]["in"], json!({ "value": "roi" }));
    let set = |node: &str, params: Value| json!({ "cmd": "graph.set", "graph": "g", "node": node, "params": params });
    assert!(b.accept(set("rio", json!({"x": 1})))["hint"].as_str().unwrap().contains("roi"));
    assert!(
        b.accept(set("roi", json!({"y": null})))["error"].as_str().unwrap().contains("no \"y\"")
    );
    assert!(b.accept(set("roi", json!({"op": null})))["error"].as_str().unwrap().contains("op"));
    let rm = |node: &str| json!({ "cmd": "graph.rm", "graph": "g", "node": node });
    let used = b.accept(rm("roi"));
    assert!(used["error"].as_str().unwrap().contains("is used by \"scan\""));
    b.accept(rm("scan"));
    assert_eq!(show(&mut b)["spec"]["publish"], json!(["roi.bounds"]));
    assert!(b.accept(rm("roi"))["hint"].as_str().unwrap().contains("graph rm g"));
    b.accept(json!({ "cmd": "graph.rm", "graph": "g" }));
    assert_eq!(b.answer(json!({ "cmd": "graph.list" }))["graphs"], json!([]));
}

#[test]
fn rollback_and_reset_are_new_versions() {
    let mut b = Bench::with_members();
    b.accept(apply(two()));
    b.accept(apply(json!({ "roi": { "op": "roi", "in": "a:b:c" } })));
    let rollback = |v: u64| json!({ "cmd": "graph.rollback", "graph": "g", "version": v });
    assert_eq!(b.accept(rollback(1))["version"], 3);
    assert_eq!(show(&mut b)["spec"]["nodes"].as_object().map(serde_json::Map::len), Some(2));
    let unknown = b.accept(rollback(9));
    assert!(unknown["hint"].as_str().unwrap().contains("1, 2, 3"));
    let reset = |nodes: Value| json!({ "cmd": "graph.reset", "graph": "g", "nodes": nodes });
    assert_eq!(b.accept(reset(json!(["scan"])))["version"], 4);
    assert_eq!(show(&mut b)["resets"], json!({ "scan": 1 }));
    b.accept(reset(json!([])));
    assert_eq!(show(&mut b)["resets"], json!({ "roi": 1, "scan": 2 }));
    assert!(b.accept(reset(json!(["scam"])))["hint"].as_str().unwrap().contains("scan"));
    b.accept(rollback(1));
    assert_eq!(show(&mut b)["resets"]["scan"], 2, "a rollback brings no old state back");
    let diff = b.answer(json!({ "cmd": "graph.diff", "graph": "g", "from": 1, "to": 2 }));
    let changes = diff["changes"].as_array().unwrap();
    assert_eq!((changes.len(), &changes[1]["change"]), (2, &json!("removed")));
    assert_eq!(changes[0]["before"]["x"], json!([0, 5]));
}

#[test]
fn every_error_is_answered_and_nothing_is_changed() {
    let mut b = Bench::with_members();
    let journaled = b.journal.len();
    let wrong = b.answer(apply(json!({
        "p": { "op": "bad", "in": "a:b:c" }, "q": { "op": "mean", "in": "x:y:z" },
    })));
    let nodes: Vec<&Value> =
        wrong["errors"].as_array().unwrap().iter().map(|e| &e["node"]).collect();
    assert_eq!(nodes, ["p", "q"]);
    assert_eq!(wrong["errors"][1]["reason"], "no field x:y:z");
    assert_eq!((b.journal.len(), b.announced.len()), (journaled, 0));
    // On another host there is such a field.
    let mut other = report(Role::Ventilator, "v", 0, None);
    other.host = "other".into();
    other.schema = Some(schema(&["x:y:z"]));
    b.says(other);
    let fine =
        json!({ "q": { "op": "mean", "in": "x:y:z" }, "p": { "op": "mean", "in": "a:b:c" } });
    let checked =
        b.answer(json!({ "cmd": "graph.validate", "spec": { "name": "g", "nodes": fine } }));
    assert_eq!(checked["errors"], json!([]));
    let client = b.send(apply(fine));
    assert!(b.reply(client).is_none());
}

#[test]
fn a_field_that_has_gone_does_not_freeze_the_rest_of_its_graph() {
    let mut b = Bench::with_members();
    b.accept(apply(json!({
        "q": { "op": "mean", "in": "a:b:c" }, "k": { "op": "const", "value": 1 },
    })));
    let mut configured = report(Role::Ventilator, "v", 1, Some((1, "")));
    configured.schema = Some(schema(&["other:b:c"]));
    b.says(configured.clone());
    let client =
        b.send(json!({ "cmd": "graph.set", "graph": "g", "node": "k", "params": { "value": 2 } }));
    assert_eq!(b.last(Phase::Prepare), 2);
    b.all(1, Some(2));
    b.all(2, Some(2));
    assert!(b.reply(client).unwrap()["warning"].as_str().unwrap().contains("as before"));
    b.says(configured);
    let again = b.answer(apply(json!({ "q": { "op": "mean", "in": "a:b:c" } })));
    assert!(
        again["error"].as_str().unwrap().contains("no field"),
        "an apply answers for all of it"
    );
}

#[test]
fn files_travel_by_content() {
    let mut b = Bench::with_members();
    let cal = |path: &str| json!({ "c": { "op": "calibrate", "in": "a:b:c", "pedestal": path } });
    b.accept(apply(cal("/d/ped.npy")));
    let hash = crate::files::hash(b"/d/ped.npy");
    let named = format!("/d/ped.npy#sha256={hash}");
    assert_eq!(show(&mut b)["spec"]["nodes"]["c"]["pedestal"], named.as_str());
    assert_eq!(b.state.files()[&hash], b"/d/ped.npy");
    b.accept(apply(cal(&named)));
    assert_eq!(b.state.files().len(), 1);
    let gone = b.accept(apply(cal("/gone.npy")));
    assert_eq!(gone["errors"][0]["parameter"], "pedestal");
    let stranger = b.accept(apply(cal(&named.replace(&hash, &"0".repeat(64)))));
    assert!(stranger["error"].as_str().unwrap().contains("not kept here"));
    b.accept(apply(two()));
    assert!(b.state.files().is_empty(), "what nothing names travels no further");
}

#[test]
fn a_restarted_manager_announces_what_was_active_with_a_new_life() {
    let mut b = Bench::with_members();
    b.accept(apply(two()));
    b.send(apply(json!({ "roi": { "op": "roi", "in": "a:b:c" } })));
    assert_eq!(b.last(Phase::Prepare), 2);
    let life = b.announced[0].life;
    let mut again = Bench::new(b.journal.clone());
    let announced = &again.announced[0];
    assert_eq!((announced.version, announced.phase), (1, Phase::Activate));
    assert!(announced.life > life, "also when the clock went back");
    assert!(matches!(again.journal.last(), Some(Record::Withdrawn { version: 2, .. })));
    assert_eq!(again.state.set(), b.state.set());
    again.all(1, Some(1));
    assert_eq!(again.accept(apply(two()))["version"], 3);
}

#[test]
fn numbers_go_on_above_what_members_run_when_a_journal_was_lost() {
    let mut b = Bench::with_members();
    b.all(41, None);
    assert_eq!(b.accept(apply(two()))["version"], 42);
}

#[test]
fn stopping_leaves_nobody_without_an_answer() {
    let mut b = Bench::with_members();
    let waiting = b.send(apply(two()));
    b.all(0, Some(1));
    let queued = b.send(apply(two()));
    b.on(Input::Stop);
    assert_eq!(b.reply(waiting).unwrap()["in_effect"], false);
    assert!(b.reply(queued).unwrap()["error"].as_str().unwrap().contains("stopping"));
}

#[test]
fn members_come_go_and_are_bounded() {
    let mut b = Bench::with_members();
    let mut old = report(Role::Worker, "w", 9, None);
    old.life = 0;
    b.says(old);
    let status = b.answer(json!({ "cmd": "status" }));
    assert_eq!(status["members"][1]["version"], 0, "a life that is over is not listened to");
    let sources = b.answer(json!({ "cmd": "sources" }));
    assert_eq!(sources["sources"][0]["fields"][0]["name"], "a:b:c");
    for n in 0..2000 {
        b.says(report(Role::Worker, &n.to_string(), 0, None));
    }
    assert_eq!(b.state.members.all().count(), crate::members::MAX_MEMBERS);
    b.now += LIVE_NS;
    b.says(report(Role::Worker, "new", 0, None));
    assert!(b.state.members.all().any(|m| m.report.name == "new"));
    b.after(crate::members::FORGET_NS);
    assert_eq!(b.state.members.all().count(), 0);
}

#[test]
fn a_key_edits_as_far_as_its_role_goes_and_under_its_name() {
    use ami_proto::keys::Role;
    let mut b = Bench::with_members();
    let as_role = |role| Some(Peer { name: Some("bob".into()), role });
    b.peer = as_role(Role::View);
    let graph = apply(json!({ "n": { "op": "count", "in": "a:b:c" } }));
    let answer = |b: &mut Bench, command: Value| {
        let client = b.send(command);
        b.reply(client).cloned().unwrap()
    };
    let refusal = answer(&mut b, graph.clone());
    assert!(refusal["error"].as_str().unwrap().contains("role view"), "{refusal}");
    assert!(b.state.queue.is_empty() && b.journal.iter().all(|r| matches!(r, Record::Life(_))));
    assert!(b.accept(json!({ "cmd": "graph.list" }))["graphs"].is_array(), "reading goes");
    b.peer = None;
    assert!(
        answer(&mut b, json!({ "cmd": "status" }))["error"].as_str().unwrap().contains("no longer")
    );
    b.peer = as_role(Role::Edit);
    b.send(graph);
    let who = b.journal.iter().find_map(|r| match r {
        Record::Version(entry) => Some(entry.who.clone()),
        _ => None,
    });
    assert_eq!(who.as_deref(), Some("bob"), "not what the command claims");
}
