//! The command line as people use it: mistakes get an answer that helps, a recording replays.

use ami_tests::{System, bin, until};
use serde_json::{Value, json};
use std::path::Path;
use std::process::{Command, Output};

fn run(name: &str, arguments: &[&str]) -> Output {
    Command::new(bin(name)).args(arguments).env_remove("AMI_RUN_DIR").output().unwrap()
}

/// Both streams and the exit code.
fn told(name: &str, arguments: &[&str]) -> (String, i32) {
    let output = run(name, arguments);
    let text = [output.stdout, output.stderr].concat();
    (String::from_utf8_lossy(&text).into_owned(), output.status.code().unwrap())
}

fn assert_helps(arguments: &[&str], code: i32, words: &[&str]) {
    let (text, exit) = told("ami-ctl", arguments);
    for word in words {
        assert!(text.contains(word), "{arguments:?} does not say {word:?}:\n{text}");
    }
    assert_eq!(exit, code, "{arguments:?}:\n{text}");
    assert!(!text.contains("panicked"), "{text}");
}

fn write(dir: &Path, name: &str, content: &str) -> String {
    let path = dir.join(name);
    std::fs::write(&path, content).unwrap();
    path.display().to_string()
}

#[test]
fn wrong_sources_are_named_with_a_remedy() {
    let dir = tempfile::tempdir().unwrap();
    let text = write(dir.path(), "no.xtc2", "this is a text and no datagram at all, not even one");
    let url = format!("xtc2:{text}");
    assert_helps(&["local", "--source", &url], 1, &["no.xtc2", "not an XTC2 file"]);
    let missing = "xtc2:/nowhere/run.xtc2";
    assert_helps(&["local", "--source", missing], 1, &["/nowhere/run.xtc2", "check the path"]);
    assert_helps(&["local", "--source", "simm:x"], 2, &["did you mean \"sim\""]);
    assert_helps(&["local", "--source", "sim:pump-prob"], 1, &["pump-probe"]);
}

#[test]
fn wrong_graphs_are_refused_with_node_reason_and_nearest_names() {
    let dir = tempfile::tempdir().unwrap();
    let graph = json!({"name": "x", "nodes": {
        "typo": {"op": "hsit", "in": "a"},
        "bad": {"op": "hist", "in": "f:raw:x", "bins": -5, "range": [0, 1]},
        "a": {"op": "expr", "in": {"b": "b"}, "expr": "b"},
        "b": {"op": "expr", "in": {"a": "a"}, "expr": "a + 1"}}});
    let file = write(dir.path(), "g.json", &graph.to_string());
    let words = ["\"typo\"", "\"hist\"", "\"bad\"", "-5", "a → b → a"];
    assert_helps(&["graph", "validate", &file], 1, &words);
    let graph = json!({"name": "x", "nodes": {
        "field": {"op": "count", "in": "gmd:raw:enrgy"},
        "rank": {"op": "roi", "in": "gmd:raw:energy", "x": [0, 4]}}});
    let file = write(dir.path(), "h.json", &graph.to_string());
    let words = ["\"field\"", "gmd:raw:energy", "\"rank\""];
    assert_helps(&["local", "--source", "sim:pump-probe", "--graph", &file], 1, &words);
    let broken = write(dir.path(), "i.json", "{\"name\": \"x\",\n \"nodes\": {,}}");
    assert_helps(&["graph", "validate", &broken], 2, &["i.json:2:12"]);
}

#[test]
fn a_system_that_is_not_there_is_told_from_one_that_does_not_answer() {
    let dir = tempfile::tempdir().unwrap();
    assert_helps(
        &["--run-dir", "/nowhere/at/all", "status"],
        2,
        &["no run directory", "ami-ctl local"],
    );
    let empty = dir.path().display().to_string();
    assert_helps(&["--run-dir", &empty, "status"], 1, &["no answer from the manager", "running?"]);
}

#[test]
fn resources_that_are_missing_are_named() {
    let huge = ["--set", "ventilator.ring_bytes=99999999999999"];
    let arguments = ["local", "--source", "sim:pump-probe", huge[0], huge[1]];
    assert_helps(&arguments, 1, &["/dev/shm", "ventilator.ring_bytes"]);
    let (text, code) = told("ami-store", &["--set", "instance.rundir=/tmp"]);
    assert!(code == 2 && text.contains("instance.run_dir"), "{text}");
    let (text, code) = told("ami-ventilator", &["--check"]);
    assert!(code == 2 && text.contains("ventilator.source"), "{text}");
}

#[test]
fn ports_and_run_directories_in_use_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("endpoints.store=tcp://{}", port.local_addr().unwrap());
    let run_dir = format!("instance.run_dir={}", dir.path().display());
    let (text, code) = told("ami-store", &["--set", &run_dir, "--set", &address]);
    assert!(code == 1 && text.contains("in use"), "{text}");
    let system = System::of("sim:mixed?events=10").workers(0).start();
    until("the store's lock", || system.log("store").contains("ready").then_some(()));
    let run_dir = format!("instance.run_dir={}", system.dir().display());
    let (text, code) = told("ami-store", &["--set", &run_dir]);
    assert!(code == 1 && text.contains("another store is running"), "{text}");
}

/// A part that never comes is named where people look, not only shown as a rate of nothing.
#[test]
fn what_never_comes_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let segment = |n: u32, absent: f64| {
        format!(
            "[[field]]\nname = \"lpd.{n}:raw:raw\"\nkind = \"constant\"\nvalue = 1.0\nabsent = {absent:?}\naliases = [\"part{n}\"]\n"
        )
    };
    let toml =
        ["rate_hz = 1000.0\npace = \"realtime\"\n", &segment(1, 0.0), &segment(2, 1.0)].concat();
    let source = format!("sim:{}", write(dir.path(), "lpd.toml", &toml));
    let system = System::of(&source).workers(1).start();
    system.apply(&json!({"name": "g", "nodes": {
        "both": {"op": "stack", "in": ["lpd.1:raw:raw", "lpd.2:raw:raw"]},
        "mean": {"op": "mean", "in": "both"},
        "by_alias": {"op": "mean", "in": "part2"},
        "some": {"op": "stack", "in": ["lpd.1:raw:raw", "lpd.2:raw:raw"], "missing": "fill"}}}));
    let at = format!("--run-dir={}", system.dir().display());
    let segment = "segment 2 of lpd (lpd.2:raw:raw)";
    until("a status that names it", || {
        let (text, _) = told("ami-ctl", &[&at, "status", "--no-rates"]);
        text.contains(&format!("never present: {segment}")).then_some(())
    });
    assert_helps(&[&at, "doctor"], 0, &[segment, "missing"]);
    assert_helps(&[&at, "get", "g/mean"], 1, &["has had no value: never present in", segment]);
    assert_helps(&[&at, "get", "g/by_alias"], 1, &["has had no value", segment]);
    assert_eq!(system.get("g/some").value("present"), 1.0);
    assert_helps(&[&at, "get", "g/maen"], 1, &["no feature \"g/maen\""]);
}

#[test]
fn a_directory_without_permission_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let run_dir = format!("instance.run_dir={}", dir.path().join("x").display());
    let readonly = std::os::unix::fs::PermissionsExt::from_mode(0o555);
    std::fs::set_permissions(dir.path(), readonly).unwrap();
    // Root may write everywhere: as somebody else.
    let output = Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .arg(bin("ami-store"))
        .args(["--set", &run_dir])
        .output();
    let Ok(output) = output else { return eprintln!("skipped: setpriv is not here") };
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    if text.contains("setpriv") || text.is_empty() {
        return eprintln!("skipped: cannot become another user here: {text}");
    }
    assert!(text.contains("run directory") && text.contains("ermission denied"), "{text}");
}

#[test]
fn a_recording_replays_to_the_same_values() {
    let graph = json!({"name": "g", "nodes": {
        "n": {"op": "count", "in": "mixed:raw:i32"},
        "sum": {"op": "sum", "in": "mixed:raw:i32"},
        "image": {"op": "sum", "in": "mixed:raw:segments"},
        "hist": {"op": "hist", "in": "mixed:raw:f64", "bins": 40, "range": [-4, 4]}}});
    let mut system = System::of("sim:mixed?events=3000").workers(1).start();
    let file = system.dir().join("recorded.xtc2");
    let mut recorder = system.record(&file, &[]);
    system.apply(&graph);
    system.drained();
    assert!(recorder.wait().unwrap().success());
    let original = finals(&system);
    let target = std::env::temp_dir().join(format!("ami-replay-{}.xtc2", std::process::id()));
    std::fs::copy(&file, &target).unwrap();
    system.kill("ventilator");
    let replay = System::of(&format!("xtc2:{}", target.display())).workers(2).start();
    replay.apply(&graph);
    replay.drained();
    assert_eq!(finals(&replay), original);
    std::fs::remove_file(target).unwrap();
}

/// Values and arrays of the last heartbeat.
fn finals(system: &System) -> Vec<(Value, Vec<Vec<u8>>)> {
    let events = |system: &System| system.metric("root", "ami_events_total") == Some(3000.0);
    until("all events", || events(system).then_some(()));
    let of = |topic: &str| {
        let feature = system.get(topic);
        (feature.header["values"].clone(), feature.arrays.into_values().collect())
    };
    ["g/n", "g/sum", "g/image", "g/hist"].map(of).to_vec()
}

#[test]
fn daemons_are_small() {
    let system = System::of("sim:mixed?events=10").workers(1).start();
    until("the roster", || (system.metric("ventilator", "ami_lanes")? == 1.0).then_some(()));
    let status = system.status();
    for member in status["members"].as_array().unwrap() {
        // Without RssShmem: the ring is shared, entered at start, and has a size of its own.
        let path = format!("/proc/{}/status", member["pid"]);
        let text = std::fs::read_to_string(path).unwrap();
        let own = text.lines().filter(|l| l.starts_with("RssAnon:") || l.starts_with("RssFile:"));
        let kib = own.map(|l| l.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap());
        let mib = kib.sum::<u64>() / 1024;
        assert!(mib <= 20, "{} takes {mib} MiB before data", member["role"]);
    }
}

#[test]
fn two_hosts_are_merged_and_every_event_of_both_counts() {
    let dir = tempfile::Builder::new().prefix("ami").tempdir().unwrap();
    let run_dir = dir.path().join("run");
    let graph = json!({"name": "c", "nodes": {
        "n": {"op": "count", "in": "gmd:raw:energy"},
        "h": {"op": "hist", "in": "gmd:raw:energy", "bins": 10, "range": [0, 3]}}});
    let file = write(dir.path(), "c.json", &graph.to_string());
    let system = Command::new(bin("ami-ctl"))
        .args(["local", "--hosts", "2", "--workers", "2", "--graph", &file, "--run-dir"])
        .arg(&run_dir)
        .args(["--source", "sim:pump-probe?events=20000&pace=max"])
        // However slow this machine is: every heartbeat waits for both hosts.
        .args(["--set", "root.late_after_ms=60000", "--set", "ventilator.ring_bytes=33554432"])
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let mut system = Killed(system);
    let query = format!("ipc://{}/store.query", run_dir.display());
    until("the store", || run_dir.join("store.query").exists().then_some(()));
    let all = until("all events of both hosts", || {
        let feature = ami_tests::client::get(&query, "c/n")?;
        (feature.value("value") == 40_000.0).then_some(feature)
    });
    assert_eq!(all.header["hosts"], json!([2, 2]), "{}", all.header);
    assert!(all.header["window_complete"] == true, "{}", all.header);
    let hist = ami_tests::client::get(&query, "c/h").unwrap();
    let outside = hist.value("underflow") + hist.value("overflow");
    let inside: i64 = hist.i64s("counts").iter().sum();
    assert_eq!(inside as f64 + outside, 40_000.0);
    let pid = rustix::process::Pid::from_raw(system.0.id() as i32).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert!(system.0.wait().unwrap().success());
}

/// A child that does not outlive a test that fails; its daemons follow it.
struct Killed(std::process::Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
