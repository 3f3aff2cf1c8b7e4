//! How a version comes into effect, on the state machine alone.

use super::super::rollout::{FAST_NS, GRACE_NS, SETTLE_NS, SLOW_NS};
use super::*;
use crate::members::LIVE_NS;

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
        b.after(SLOW_NS / 4);
    }
    assert_eq!(b.count(Phase::Activate) - activated, 2, "seldom when everybody has it");
    for (role, told_soon) in [(Role::Store, false), (Role::Collector, true), (Role::Worker, true)] {
        b.says(report(role, "late", 0, None));
        let before = b.count(Phase::Activate);
        for _ in 0..4 {
            b.after(FAST_NS);
        }
        assert_eq!(b.count(Phase::Activate) - before >= 4, told_soon, "a newcomer, {role:?}");
        b.says(report(role, "late", u64::from(role != Role::Worker), None));
    }
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
fn stopping_leaves_nobody_without_an_answer() {
    let mut b = Bench::with_members();
    let waiting = b.send(apply(two()));
    b.all(0, Some(1));
    let queued = b.send(apply(two()));
    b.on(Input::Stop);
    assert_eq!(b.reply(waiting).unwrap()["in_effect"], false);
    assert!(b.reply(queued).unwrap()["error"].as_str().unwrap().contains("stopping"));
}
