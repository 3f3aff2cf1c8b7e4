//! Who comes, goes and may ask, and what a journal brings back, on the state machine alone.

use super::*;
use crate::members::LIVE_NS;

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
    use ami_proto::security::keys::Role;
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
    // What is gone for everybody afterwards is the operator's to do.
    for command in ["graph.reset", "graph.rm"] {
        let command = json!({ "cmd": command, "graph": "g" });
        b.peer = as_role(Role::Edit);
        let refusal = answer(&mut b, command.clone());
        assert!(refusal["hint"].as_str().unwrap().contains("operate"), "{refusal}");
        b.peer = as_role(Role::Operate);
        let client = b.send(command);
        assert!(b.reply(client).is_none_or(|a| !a.to_string().contains("role")));
    }
}

/// A graph with code.
fn with_code(code: &str, params: Value) -> Value {
    apply(json!({"n": {"op": "python", "in": "a:b:c", "code": code, "params": params}}))
}

#[test]
fn only_an_operator_brings_code_and_an_editor_goes_on_with_it() {
    use ami_proto::security::keys::Role;
    let mut b = Bench::with_members();
    let answer = |b: &mut Bench, role, command: Value| {
        b.peer = Some(Peer { role, name: Some("bob".into()) });
        b.accept(command)
    };
    let code = "/home/me/hits.py:spectrum";
    for bring in [with_code(code, json!({})), with_code("def f(x):\n    return x\n", json!({}))] {
        let refusal = answer(&mut b, Role::Edit, bring);
        assert!(refusal["error"].as_str().unwrap().contains("may not bring"), "{refusal}");
    }
    let validate = json!({"cmd": "graph.validate", "spec": with_code(code, json!({}))["spec"]});
    let found = answer(&mut b, Role::View, validate);
    let error = found["errors"][0].to_string();
    assert!(error.contains("may not bring"), "a viewer runs no code: {found}");
    let broken = answer(&mut b, Role::Operate, with_code("/home/me/broken.py:f", json!({})));
    assert!(broken["error"].as_str().unwrap().contains("SyntaxError"), "{broken}");
    // What looks like a file among its parameters is the code's to read.
    let brought = answer(&mut b, Role::Operate, with_code(code, json!({"mask": "/gone/mask.npy"})));
    assert!(brought.get("error").is_none(), "{brought}");
    let params = &b.state.set().graphs["g"].spec.nodes["n"].params["params"];
    assert_eq!(params["mask"], "/gone/mask.npy");
    let marked = b.state.set().graphs["g"].spec.nodes["n"].params["code"].clone();
    let marked = marked.as_str().unwrap().to_owned();
    assert!(marked.starts_with("/home/me/hits.py:spectrum#sha256="), "{marked}");
    let edited = answer(&mut b, Role::Edit, with_code(&marked, json!({"threshold": 3})));
    assert!(edited.get("error").is_none(), "{edited}");
    let other = answer(&mut b, Role::Edit, with_code(&marked.replace('a', "b"), json!({})));
    assert!(other["error"].as_str().unwrap().contains("may not bring"), "{other}");
}
