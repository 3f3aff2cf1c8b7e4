//! A run directory used again: what a source that begins anew says is a run of its own, whatever its
//! number; only after a crash windows go on.

use ami_tests::{bin, client, until};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A system that ends with the test, however that ends.
struct Local(Child);

impl Local {
    fn end(&mut self) {
        if let Some(pid) = Pid::from_raw(self.0.id() as i32) {
            let _ = kill_process(pid, Signal::INT);
        }
        let _ = self.0.wait();
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        self.end();
    }
}

fn local(dir: &Path, source: &str) -> Local {
    let child = Command::new(bin("ami-ctl"))
        .args(["local", "--workers", "1", "--source", source, "--run-dir"])
        .arg(dir.join("run"))
        .arg("--graph")
        .arg(dir.join("g.json"))
        .env("AMI_EXIT_WITH_PARENT", "1")
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    Local(child)
}

/// What the windows hold when all of the source is through; `None` while it is not.
fn finals(dir: &Path, events: f64) -> Option<[(f64, i64); 3]> {
    let query = format!("ipc://{}", dir.join("run/store.query").display());
    let last = client::get(&query, "g/@heartbeat").filter(|f| f.complete())?;
    let heartbeat =
        client::get(&query, "g/now").filter(|f| f.int("heartbeat") == last.int("heartbeat"))?;
    // All of a source lies in one heartbeat.
    if heartbeat.value("value") != events {
        return None;
    }
    let topics = ["g/run", "g/step", "g/beats"];
    let features = topics.map(|topic| client::get(&query, topic).unwrap());
    Some(features.map(|f| (f.value("value"), f.int("window_events"))))
}

#[test]
fn a_run_directory_used_again_holds_nothing_of_the_run_before() {
    let dir = tempfile::tempdir().unwrap();
    let x = "event.timestamp_ns";
    let graph = json!({"name": "g", "nodes": {
        "now": {"op": "count", "in": x, "window": "heartbeat"},
        "run": {"op": "count", "in": x},
        "step": {"op": "count", "in": x, "window": "step"},
        "beats": {"op": "count", "in": x, "window": {"heartbeats": 1000}}}});
    std::fs::write(dir.path().join("g.json"), graph.to_string()).unwrap();
    let same = "sim:mixed?events=50&rate=1000&pace=max";
    for (source, events) in
        [(same, 50), (same, 50), ("sim:mixed?events=40&rate=1000&pace=max&seed=9", 40)]
    {
        let mut system = local(dir.path(), source);
        let windows = until("the whole source", || finals(dir.path(), f64::from(events)));
        assert_eq!(windows, [(f64::from(events), i64::from(events)); 3], "{source}");
        system.end();
    }
}
