//! `ami-ctl node`: code as people write it, in a real process of Python, on simulated events.

// A helper that cannot go on fails the test there.
#![allow(clippy::unwrap_used)]

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

/// An interpreter that has numpy; None, with a word, if there is none.
fn interpreter() -> Option<&'static PathBuf> {
    static FOUND: OnceLock<Option<PathBuf>> = OnceLock::new();
    let find = || {
        let given = std::env::var_os("AMI_TEST_PYTHON").map(PathBuf::from);
        let made = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.venv/bin/python");
        let has_numpy = |path: &PathBuf| {
            let mut command = Command::new(path);
            command.args(["-c", "import numpy"]).stderr(Stdio::null());
            command.status().is_ok_and(|status| status.success())
        };
        given.into_iter().chain([made, "python3".into()]).find(has_numpy)
    };
    let found = FOUND.get_or_init(find).as_ref();
    if found.is_none() {
        println!("skipped: no interpreter has numpy; run `make python`, or set AMI_TEST_PYTHON");
    }
    found
}

/// A directory, and commands in it.
struct Bench {
    dir: tempfile::TempDir,
    environment: String,
}

impl Bench {
    fn new() -> Option<Bench> {
        let environment = format!("python.envs.default={}", interpreter()?.display());
        Some(Bench { dir: tempfile::tempdir().unwrap(), environment })
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.dir.path().join(name), text).unwrap();
    }

    fn run(&self, line: &str) -> Output {
        Command::new(env!("CARGO_BIN_EXE_ami-ctl"))
            .args(["--run-dir", "/nowhere"])
            .args(line.split(' '))
            // All in one place: behind a command they replace those before it.
            .args(["--set", &self.environment])
            .current_dir(self.dir.path())
            .env_remove("AMI_RUN_DIR")
            .env("TMPDIR", self.dir.path())
            .output()
            .unwrap()
    }

    /// What was printed, both streams, and the exit code.
    fn told(&self, line: &str) -> (String, i32) {
        let output = self.run(line);
        let text = [output.stdout, output.stderr].concat();
        (String::from_utf8_lossy(&text).into_owned(), output.status.code().unwrap())
    }

    fn assert_tells(&self, line: &str, code: i32, words: &[&str]) {
        let (text, exit) = self.told(line);
        for word in words {
            assert!(text.contains(word), "{line} does not say {word:?}:\n{text}");
        }
        assert_eq!(exit, code, "{line}:\n{text}");
    }

    fn document(&self, line: &str) -> Value {
        serde_json::from_slice(&self.run(&format!("{line} --json")).stdout).unwrap()
    }
}

#[test]
fn what_new_writes_works_and_is_not_overwritten() {
    let Some(bench) = Bench::new() else { return };
    for kind in ["per-event", "reduction", "root"] {
        let name = format!("my_{}", kind.replace('-', "_"));
        bench.assert_tells(&format!("node new {name} --kind {kind}"), 0, &["node check"]);
        bench.assert_tells(&format!("node new {name}"), 1, &["exists already"]);
        bench.assert_tells(&format!("node describe {name}.py"), 0, &[&name, "PARAMETER", "image"]);
        let check = format!("node check {name}.py --in image=jungfrau:raw:raw --events 30");
        let report = bench.document(&check);
        assert_eq!((&report["ok"], &report["events"]), (&true.into(), &30.into()), "{report}");
        assert_eq!(report["source"], "sim:pump-probe");
        bench.assert_tells(&check, 0, &["it can go into a graph", "cost: "]);
    }
    let left = std::fs::read_dir(bench.dir.path()).unwrap().count();
    assert_eq!(left, 3, "nothing is left behind but the three files");
}

const CODE: &str = r#"
import os
from ami_node import PerEvent, Reduction, per_event

print("seen")

class First(Reduction):
    """Of two states the one that comes first."""
    outputs = {"first": "f8"}
    def start(self): return {"x": 0.0, "n": 0}
    def absorb(self, state, x):
        if not state["n"]: state["x"] = float(x)
        state["n"] += 1
    def merge(self, state, other): return state
    def finish(self, state): return state["x"]

class Keeps(PerEvent):
    outputs = {"y": "f8"}
    def __init__(self): self.n = 0
    def event(self, x):
        self.n += 1
        return self.n

@per_event(outputs={"y": "f8"})
def raises(x, *, limit=2.0):
    if x > limit: raise ValueError("too much")
    return x

@per_event(outputs={"y": "f8"})
def dies(x): os._exit(3)
"#;

#[test]
fn what_depends_on_the_split_is_refused_with_both_numbers() {
    let Some(bench) = Bench::new() else { return };
    bench.write("bad.py", CODE);
    let words = ["2 lanes merged backward: output first is ", " instead of ", "in any order"];
    bench.assert_tells("node check bad.py:First --in gmd:raw:energy", 1, &words);
    let words = ["2 lanes: output y of event 1 is 1 instead of 2", "split_dependent = True"];
    bench.assert_tells("node check bad.py:Keeps --in gmd:raw:energy", 1, &words);
    let report = bench.document("node check bad.py:First --in gmd:raw:energy");
    assert_eq!((&report["ok"], &report["split"]["ok"]), (&false.into(), &false.into()));
}

#[test]
fn failures_are_told_with_their_lines() {
    let Some(bench) = Bench::new() else { return };
    bench.write("bad.py", CODE);
    let check = "node check bad.py:raises --in x=gmd:raw:energy";
    let words =
        ["of 200 events fail", "ValueError: too much (bad.py:26)", "line 26, in raises", "seen"];
    bench.assert_tells(check, 1, &words);
    bench.assert_tells(&format!("{check} --set limit=99"), 0, &["it can go into a graph"]);
    bench.assert_tells(&format!("{check} --set limits=99"), 1, &["did you mean 'limit'"]);
    bench.assert_tells("node check bad.py:dies --in gmd:raw:energy", 1, &["exited with code 3"]);
}

#[test]
fn mistakes_name_what_there_is() {
    let Some(bench) = Bench::new() else { return };
    bench.write("bad.py", CODE);
    bench.write("syntax.py", "x = (\n");
    bench.assert_tells("node describe syntax.py", 1, &["SyntaxError", "syntax.py:1"]);
    bench.assert_tells("node describe nothing.py", 2, &["nothing.py", "node new"]);
    bench.assert_tells("node describe bad.py:Frist", 1, &["'Frist'", "'First'"]);
    bench.assert_tells("node describe bad.py --env psana", 1, &["psana", "python.envs"]);
    bench.assert_tells("node check bad.py", 2, &["4 nodes", "bad.py:First"]);
    let words = ["input \"x\"", "--in x=FIELD", "jungfrau:raw:raw", "uint16[256×256]"];
    bench.assert_tells("node check bad.py:First", 2, &words);
    let words = ["did you mean \"gmd:raw:energy\""];
    bench.assert_tells("node check bad.py:First --in gmd:raw:enrgy", 2, &words);
    bench.assert_tells("node check bad.py:First --source sim:pump-prob", 1, &["pump-probe"]);
}
