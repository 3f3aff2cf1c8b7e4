//! What an edit may be and what it makes, on the state machine alone.

use super::*;

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
