//! Code that takes long to read keeps nobody from an answer.

use super::*;

fn slow() -> Value {
    apply(json!({"n": {"op": "python", "in": "a:b:c", "code": "/home/me/slow.py:f"}}))
}

#[test]
fn an_edit_waits_for_its_code_and_others_are_answered() {
    let mut b = Bench::with_members();
    let edit = b.send(slow());
    let question = b.send(json!({"cmd": "graph.validate", "spec": slow()["spec"]}));
    for _ in 0..3 {
        b.after(50 * MS);
        let status = b.answer(json!({"cmd": "status"}));
        assert_eq!(status["under_way"]["phase"], "reading code", "{status}");
    }
    assert!(b.reply(edit).is_none() && b.reply(question).is_none());
    b.read.store(true, Ordering::Relaxed);
    b.after(50 * MS);
    assert_eq!(b.reply(question).expect("read now")["errors"], json!([]));
    let version = b.last(Phase::Prepare);
    b.all(0, Some(version));
    b.all(version, Some(version));
    let answer = b.reply(edit).expect("answered");
    assert!(answer.get("error").is_none(), "{answer}");
    let entries = b.journal.iter().filter(|r| matches!(r, Record::Version(_))).count();
    assert_eq!(entries, 1, "looked at several times, made once");
}

#[test]
fn edits_keep_their_order() {
    let mut b = Bench::with_members();
    let first = b.send(slow());
    let second = b.send(json!({"cmd": "graph.rm", "graph": "g"}));
    b.after(50 * MS);
    assert!(b.reply(second).is_none(), "it is the first edit's graph");
    b.read.store(true, Ordering::Relaxed);
    b.after(50 * MS);
    let version = b.last(Phase::Prepare);
    b.all(0, Some(version));
    b.all(version, Some(version));
    assert!(b.reply(first).expect("answered").get("error").is_none());
    b.all(version, Some(b.last(Phase::Prepare)));
    b.all(b.last(Phase::Prepare), None);
    assert!(b.reply(second).expect("answered").get("error").is_none());
}

#[test]
fn who_stops_answers_whoever_waits_for_code() {
    let mut b = Bench::with_members();
    let (edit, question) =
        (b.send(slow()), b.send(json!({"cmd": "graph.validate", "spec": slow()["spec"]})));
    b.on(Input::Stop);
    for client in [edit, question] {
        let answer = b.reply(client).expect("answered");
        assert!(answer["error"].as_str().unwrap().contains("stopping"), "{answer}");
    }
}
