//! `graph apply --watch` against a manager that is played by this test.

// A helper that cannot go on fails the test there.
#![allow(clippy::unwrap_used)]

mod common;

use ami_proto::socket::endpoint::Endpoint;
use common::{Fake, one};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Longer than two looks at the files.
const TWO_LOOKS: Duration = Duration::from_millis(1500);

/// The graphs that were applied, the newest last; the version is their number.
type Applied = Arc<Mutex<Vec<Value>>>;

fn manager(applied: &Applied) -> impl Fn(Value) -> Vec<Vec<u8>> + Send + 'static {
    let applied = Arc::clone(applied);
    move |question| {
        let mut applied = applied.lock().unwrap();
        let newest = applied.len() as u64;
        one(match question["cmd"].as_str().unwrap() {
            "graph.list" => json!({"graphs": []}),
            "graph.validate" => {
                json!({"graph": "g", "errors": match &question["spec"]["nodes"]["n"]["in"] {
                    field if *field == "x" => json!([]),
                    _ => json!([{"graph": "g", "node": "n", "parameter": "in", "reason": "no field"}]),
                }})
            }
            "graph.diff" => json!({"from": question["from"], "to": newest, "changes": [
                {"node": "n", "change": "changed", "before": 1, "after": 2}]}),
            "graph.apply" => match question["base"].as_u64() {
                Some(base) if base != newest => {
                    json!({"error": "graph \"g\" is newer", "hint": "", "errors": [
                    {"version": newest, "who": "ann@h", "what": "set n bins=7"}]})
                }
                _ => {
                    applied.push(question["spec"].clone());
                    json!({"graph": "g", "version": newest + 1, "in_effect": true, "members": ["root"]})
                }
            },
            other => panic!("{other}"),
        })
    }
}

/// A graph whose code is read elsewhere: its environment is not one of ours.
fn graph(field: &str, window: &str) -> String {
    json!({"name": "g", "nodes": {"n": {"op": "python", "in": field, "code": "hits.py:f", "env": "elsewhere",
                                        "window": window}}}).to_string()
}

struct Watching {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Watching {
    fn start(dir: &Path) -> Watching {
        let mut child = Command::new(env!("CARGO_BIN_EXE_ami-ctl"))
            .arg("--run-dir")
            .arg(dir)
            .args(["--json", "graph", "apply", "--watch"])
            .arg(dir.join("g.json"))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        Watching { child, lines }
    }

    fn next(&mut self) -> Value {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }

    fn end(mut self) -> i32 {
        let pid = Pid::from_raw(self.child.id() as i32).unwrap();
        kill_process(pid, Signal::INT).unwrap();
        self.child.wait().unwrap().code().unwrap()
    }
}

#[test]
fn only_what_is_good_is_applied_and_only_what_changes() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
    let applied = Applied::default();
    let _manager = Fake::start(dir.path(), Endpoint::Manager, manager(&applied));
    write("hits.py", "one");
    write("g.json", &graph("x", "run"));
    let mut watching = Watching::start(dir.path());
    assert_eq!(watching.next()["version"], 1);
    let code = format!("{}:f", dir.path().join("hits.py").display());
    assert_eq!(applied.lock().unwrap()[0]["nodes"]["n"]["code"], code);

    // Written anew with the same content.
    write("hits.py", "one");
    write("g.json", &graph("x", "run"));
    std::thread::sleep(TWO_LOOKS);
    assert_eq!(applied.lock().unwrap().len(), 1);

    write("next.py", "two");
    std::fs::rename(dir.path().join("next.py"), dir.path().join("hits.py")).unwrap();
    let told = watching.next();
    assert_eq!((&told["version"], &told["applied"]), (&2.into(), &true.into()), "{told}");

    write("g.json", "{");
    let told = watching.next();
    assert!(told["error"].as_str().unwrap().contains("g.json:1:1"), "{told}");
    write("g.json", &graph("y", "run"));
    let told = watching.next();
    assert_eq!(
        (&told["applied"], &told["errors"][0]["reason"]),
        (&false.into(), &"no field".into())
    );
    write("g.json", &graph("x", "run"));
    assert_eq!(watching.next()["error"], Value::Null, "as it runs");
    assert_eq!(applied.lock().unwrap().len(), 2);

    // Somebody else edits.
    applied.lock().unwrap().push(Value::Null);
    write("g.json", &graph("x", "step"));
    let told = watching.next();
    assert!(
        told["errors"][0]["who"] == "ann@h"
            && told["errors"][1].as_str().unwrap().contains("version 2 → 3"),
        "{told}"
    );
    assert_eq!(applied.lock().unwrap().len(), 3);
    write("g.json", &graph("x", "heartbeat"));
    assert_eq!(watching.next()["version"], 4);
    assert_eq!(watching.end(), 0);
}
