//! `ami-ctl local` with daemons that are played by a script: starting, restarting, stopping.

// A helper that cannot go on fails the test there.
#![allow(clippy::unwrap_used)]

use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Appends its program's name to `$ORDER.up` before it says that it is ready (who hears that may kill
/// it at once), to `$ORDER` when it is stopped.
const DAEMON: &str = r#"#!/usr/bin/env python3
import os, signal, socket, sys, time
name = os.path.basename(sys.argv[0])
def note(path):
    with open(path, "a") as order:
        order.write(name + "\n")
def stop(*_):
    note(os.environ["ORDER"])
    os._exit(0)
signal.signal(signal.SIGTERM, stop)
assert os.environ["AMI_EXIT_WITH_PARENT"] == "1"
assert "trim_threshold" in os.environ["GLIBC_TUNABLES"]
if os.environ.get("REFUSE") == name:
    print("INFO starting", "ERROR no such source", sep="\n", file=sys.stderr)
    sys.exit(2)
notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
note(os.environ["ORDER"] + ".up")
notify.sendto(b"READY=1\nSTATUS=up", os.environ["NOTIFY_SOCKET"])
while True:
    time.sleep(0.05)
"#;

/// Copies a program by another process: a copy of our own may be open for writing in a child that
/// a test beside this one forks just then, and what is open for writing cannot be run ("text file busy").
fn install(from: &Path, to: &Path) {
    assert!(Command::new("install").args([from, to]).status().unwrap().success());
}

/// A directory with `ami-ctl` and fake daemons beside it.
struct Stage {
    dir: tempfile::TempDir,
}

impl Stage {
    fn new() -> Stage {
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        install(Path::new(env!("CARGO_BIN_EXE_ami-ctl")), &dir.path().join("ami-ctl"));
        let script = dir.path().join("daemon.py");
        std::fs::write(&script, DAEMON).unwrap();
        for name in ["ami-ventilator", "ami-worker", "ami-collector", "ami-manager", "ami-store"] {
            install(&script, &dir.path().join(name));
        }
        Stage { dir }
    }

    fn order(&self) -> PathBuf {
        self.dir.path().join("order")
    }

    /// How many daemons of this program came up.
    fn ups(&self, program: &str) -> usize {
        let text = std::fs::read_to_string(self.dir.path().join("order.up")).unwrap_or_default();
        text.lines().filter(|line| *line == program).count()
    }

    fn local(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.dir.path().join("ami-ctl"));
        command
            .args(["local", "--json", "--source", "sim:x", "--workers", "2"])
            .args(arguments)
            .env("ORDER", self.order())
            .env_remove("AMI_RUN_DIR")
            .env_remove("GLIBC_TUNABLES")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }
}

fn ready(child: &mut Child) -> Value {
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: {line:?}"))
}

fn signal(pid: u64, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    rustix::process::kill_process(pid, signal).unwrap();
}

fn lives(pid: u64) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

#[test]
fn a_run_starts_restarts_what_dies_and_stops_in_order() {
    let stage = Stage::new();
    let mut child = stage.local(&[]).spawn().unwrap();
    let document = ready(&mut child);
    assert_eq!(document["ready"], true);
    let run_dir = PathBuf::from(document["run_dir"].as_str().unwrap());
    assert!(run_dir.join("logs/worker-1.log").is_file());
    assert_eq!(document["pids"].as_object().unwrap().len(), 7);
    let worker = document["pids"]["worker-0"].as_u64().unwrap();
    signal(worker, rustix::process::Signal::KILL);
    let deadline = Instant::now() + Duration::from_secs(60);
    while stage.ups("ami-worker") < 3 {
        assert!(Instant::now() < deadline, "the killed worker does not come again");
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(!lives(worker));

    signal(u64::from(child.id()), rustix::process::Signal::TERM);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(errors.contains("worker-0 died (signal 9): restarting in 50 ms"), "{errors}");
    let order = std::fs::read_to_string(stage.order()).unwrap();
    let order: Vec<&str> = order.lines().collect();
    assert_eq!(
        order,
        [
            "ami-ventilator",
            "ami-worker",
            "ami-worker",
            "ami-collector",
            "ami-collector",
            "ami-store",
            "ami-manager"
        ],
        "the killed worker was there again"
    );
    assert!(!run_dir.exists(), "nobody asked for it, so it goes");
    for pid in document["pids"].as_object().unwrap().values() {
        assert!(!lives(pid.as_u64().unwrap()));
    }
}

#[test]
fn a_refused_configuration_ends_the_run_with_its_error() {
    let stage = Stage::new();
    let dir = tempfile::tempdir().unwrap();
    let output = stage
        .local(&["--run-dir", dir.path().to_str().unwrap()])
        .env("REFUSE", "ami-ventilator")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document["error"], "ventilator refused its configuration");
    assert_eq!(document["errors"][0], "ERROR no such source");
    assert!(dir.path().join("logs/ventilator.log").is_file());
}

#[test]
fn a_run_stops_by_itself_and_says_what_is_wrong_before_it_starts() {
    let stage = Stage::new();
    let output = stage.local(&["--duration", "0.3"]).output().unwrap();
    assert!(output.status.success(), "{output:?}");

    let graph = stage.dir.path().join("g.json");
    std::fs::write(&graph, "{\"name\": }").unwrap();
    let output = stage.local(&["--graph", graph.to_str().unwrap()]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(
        document["error"].as_str().unwrap().contains("g.json:1:10: expected value"),
        "{document}"
    );

    std::fs::remove_file(stage.dir.path().join("ami-store")).unwrap();
    let output = stage.local(&[]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(document["error"].as_str().unwrap().contains("no program ami-store"), "{document}");
}
