//! Full and read-only disks, files of others, the service manager, leftovers in shared memory, and
//! readers that never read: said, counted, and survived.

use ami_tests::{System, bin, client, until};
use rustix::process::{Pid, Resource, Rlimit, Signal, prlimit};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const LIVE: &str = "sim:mixed?rate=2000&pace=realtime&loop=forever";

fn graph(name: &str) -> Value {
    json!({"name": name, "nodes": {"n": {"op": "count", "in": "mixed:raw:i32"}}})
}

/// Results go on: several more than there are now.
fn flows(system: &System) {
    let at = system.get("g/n").int("seq");
    let later = system.get_when("g/n", |f| f.int("seq") > at + 5);
    assert!(later.complete(), "{}", later.header);
}

fn limit_files(pid: u32, bytes: Option<u64>) {
    let pid = Pid::from_raw(pid as i32);
    let limit = Rlimit { current: bytes, maximum: None };
    prlimit(pid, Resource::Fsize, limit).unwrap();
}

#[test]
fn a_full_disk_stops_the_journal_and_nothing_else() {
    let mut system = System::of(LIVE).start();
    system.apply(&graph("g"));
    let journal = system.dir().join("graphs.journal");
    let size = std::fs::metadata(&journal).unwrap().len();
    limit_files(system.pid("manager"), Some(size + 10));
    let answer = system.apply(&graph("h"));
    assert!(answer["journal_error"].as_str().unwrap().contains("graphs.journal"), "{answer:#}");
    let told = until("the status to tell", || {
        let journal = system.status()["journal"].clone();
        (journal["ok"] == false).then_some(journal)
    });
    assert!(told["error"].as_str().unwrap().contains("cannot write"), "{told:#}");
    flows(&system);
    limit_files(system.pid("manager"), None);
    until("the journal again", || (system.status()["journal"]["ok"] == true).then_some(()));
    system.kill("manager");
    system.spawn("manager");
    let graphs = system.manager(json!({"cmd": "graph.list"}));
    assert_eq!(graphs["graphs"].as_array().unwrap().len(), 2, "nothing was lost: {graphs:#}");
}

#[test]
fn a_recording_on_a_full_disk_says_so_and_data_go_on() {
    let system = System::of(LIVE).start();
    system.apply(&graph("g"));
    let file = system.dir().join("full.xtc2");
    let mut recorder = Command::new(bin("ami-ventilator"))
        .args(["record", &file.display().to_string()])
        .args(["--set", &format!("instance.run_dir={}", system.dir().display())])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    limit_files(recorder.id(), Some(100_000));
    let status = recorder.wait().unwrap();
    let mut text = String::new();
    recorder.stderr.unwrap().read_to_string(&mut text).unwrap();
    assert_eq!(status.code(), Some(1), "{text}");
    assert!(text.contains("full.xtc2") && text.contains("the recording ends after"), "{text}");
    flows(&system);
}

/// A copy of a command that every user can run, and a run directory of nobody's.
fn as_nobody(name: &str, dir: &Path) -> Option<Command> {
    let is_root = rustix::process::geteuid().is_root();
    if !is_root || Command::new("setpriv").arg("--version").output().is_err() {
        eprintln!("skipped: needs root and setpriv");
        return None;
    }
    let copy = dir.join(name);
    // By another process: what a child forked beside us has open for writing cannot be run.
    assert!(Command::new("install").args([&bin(name), &copy]).status().unwrap().success());
    std::fs::set_permissions(dir, PermissionsExt::from_mode(0o755)).unwrap();
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(copy);
    command.args(["--set", "metrics.port=-1"]);
    Some(command)
}

#[test]
fn what_is_not_ours_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let Some(mut store) = as_nobody("ami-store", dir.path()) else { return };
    let run_dir = dir.path().join("run");
    std::fs::create_dir(&run_dir).unwrap();
    let output =
        store.args(["--set", &format!("instance.run_dir={}", run_dir.display())]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains(&run_dir.display().to_string()) && text.contains("ermission"), "{text}");
}

#[test]
fn a_read_only_journal_is_used_and_one_that_is_secret_is_not_forgotten() {
    let dir = tempfile::tempdir().unwrap();
    let Some(manager) = as_nobody("ami-manager", dir.path()) else { return };
    drop(manager);
    // Written by a manager that may.
    let system =
        System::of(LIVE).set(&format!("manager.journal={}/j", dir.path().display())).start();
    system.apply(&graph("g"));
    assert!(system.stop());
    let run_dir = dir.path().join("run");
    std::fs::create_dir(&run_dir).unwrap();
    std::fs::set_permissions(&run_dir, PermissionsExt::from_mode(0o777)).unwrap();
    let journal = dir.path().join("j");
    let start = |mode: u32| -> Child {
        std::fs::set_permissions(&journal, PermissionsExt::from_mode(mode)).unwrap();
        let mut manager = as_nobody("ami-manager", dir.path()).unwrap();
        manager.args(["--set", &format!("instance.run_dir={}", run_dir.display())]);
        manager.args(["--set", &format!("manager.journal={}", journal.display())]);
        manager.stderr(Stdio::piped()).spawn().unwrap()
    };
    let mut readable = start(0o644);
    let address = format!("ipc://{}/manager.cmd", run_dir.display());
    until("the manager", || run_dir.join("manager.cmd").exists().then_some(()));
    let graphs = &client::request(&address, r#"{"cmd": "graph.list"}"#)[0];
    assert_eq!(graphs["graphs"][0]["name"], "g", "{graphs:#}");
    let status = &client::request(&address, r#"{"cmd": "status"}"#)[0];
    assert_eq!(status["journal"]["ok"], false, "{:#}", status["journal"]);
    readable.kill().unwrap();
    readable.wait().unwrap();
    let mut secret = start(0o600);
    assert_eq!(secret.wait().unwrap().code(), Some(1));
    let mut text = String::new();
    secret.stderr.take().unwrap().read_to_string(&mut text).unwrap();
    assert!(text.contains("set manager.journal"), "{text}");
}

/// A service manager's end: what daemons tell it.
struct Notified {
    _dir: tempfile::TempDir,
    path: PathBuf,
    socket: UnixDatagram,
}

impl Notified {
    fn new() -> Notified {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        Notified { _dir: dir, path, socket }
    }

    /// What comes until something begins so.
    fn until(&self, beginning: &str) -> Vec<String> {
        let mut told = Vec::new();
        let mut bytes = [0; 4096];
        loop {
            let n = self
                .socket
                .recv(&mut bytes)
                .unwrap_or_else(|e| panic!("{beginning}: {e}, {told:?}"));
            let text = String::from_utf8_lossy(&bytes[..n]).into_owned();
            told.extend(text.lines().map(String::from));
            if told.iter().any(|l| l.starts_with(beginning)) {
                return told;
            }
        }
    }

    /// True when a while passes in which nothing comes; several times what is between two.
    fn silent(&self) -> bool {
        self.socket.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
        let mut bytes = [0; 4096];
        let silent = self.socket.recv(&mut bytes).is_err();
        self.socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        silent
    }

    fn drain(&self) {
        self.socket.set_nonblocking(true).unwrap();
        let mut bytes = [0; 4096];
        while self.socket.recv(&mut bytes).is_ok() {}
        self.socket.set_nonblocking(false).unwrap();
    }
}

#[test]
fn the_service_manager_is_told_while_the_main_loop_comes_round() {
    let daemons = [
        ("manager", ""),
        ("store", ""),
        ("collector", "host"),
        ("collector", "root"),
        ("worker", ""),
    ];
    for (daemon, role) in daemons.into_iter().chain([("ventilator", "")]) {
        let dir = tempfile::tempdir().unwrap();
        let service = Notified::new();
        let mut command = Command::new(bin(&format!("ami-{daemon}")));
        let name = dir.path().file_name().unwrap().to_string_lossy().replace('.', "");
        for set in [
            format!("instance.run_dir={}", dir.path().display()),
            format!("instance.name={name}"),
            "metrics.port=-1".into(),
            "ventilator.source=sim:mixed".into(),
            "ventilator.ring_bytes=1048576".into(),
        ] {
            command.args(["--set", &set]);
        }
        if !role.is_empty() {
            command.args(["--set", &format!("collector.role={role}")]);
        }
        let mut child = command
            .env("NOTIFY_SOCKET", &service.path)
            .env("WATCHDOG_USEC", "600000")
            .env("AMI_EXIT_WITH_PARENT", "1")
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let told = service.until("READY=1");
        assert!(told.iter().any(|l| l.starts_with("STATUS=")), "{daemon}: {told:?}");
        (0..3).for_each(|_| drop(service.until("WATCHDOG=1")));
        let pid = Pid::from_raw(child.id() as i32).unwrap();
        rustix::process::kill_process(pid, Signal::STOP).unwrap();
        service.drain();
        // One may have been on its way.
        assert!((0..3).any(|_| service.silent()), "{daemon} is fed although its loop stands");
        rustix::process::kill_process(pid, Signal::CONT).unwrap();
        service.until("WATCHDOG=1");
        rustix::process::kill_process(pid, Signal::TERM).unwrap();
        service.until("STOPPING=1");
        assert!(child.wait().unwrap().success(), "{daemon}");
    }
}

fn rings(name: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir("/dev/shm").unwrap().flatten().map(|e| e.path());
    entries.filter(|p| p.to_string_lossy().contains(name)).collect()
}

#[test]
fn rings_of_the_dead_are_removed_and_those_of_the_living_stay() {
    let living = System::of(LIVE).start();
    living.apply(&graph("g"));
    let mut system = System::of(LIVE).start();
    system.apply(&graph("g"));
    let name = |s: &System| s.dir().file_name().unwrap().to_string_lossy().replace('.', "");
    let old = until("a ring", || rings(&name(&system)).pop());
    let others = rings(&name(&living));
    assert_eq!(others.len(), 1);
    system.kill("ventilator");
    assert!(old.exists(), "a killed ventilator leaves its ring");
    system.spawn("ventilator");
    until("a new ring in place of the old one", || {
        let now = rings(&name(&system));
        (now.len() == 1 && now[0] != old).then_some(())
    });
    assert_eq!(rings(&name(&living)), others);
    flows(&living);
}

#[test]
fn readers_that_never_read_hold_nobody_up() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let set = format!("metrics.port={port}");
    let mut system = System::of(LIVE).start();
    system.apply(&graph("g"));
    // The store alone with metrics: one port is for one daemon.
    system.kill("store");
    system.spawn_with("store", &[&set]);
    system.get("g/n");
    let metrics = || TcpStream::connect(("127.0.0.1", port)).unwrap();
    let stuck: Vec<TcpStream> = (0..100)
        .map(|_| {
            let mut stream = metrics();
            let request = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n".repeat(20);
            let _ = stream.set_nonblocking(true);
            let _ = stream.write(&request);
            stream
        })
        .collect();
    let context = zmq::Context::new();
    let asker = context.socket(zmq::DEALER).unwrap();
    asker.set_linger(0).unwrap();
    asker.connect(&system.address("store.query")).unwrap();
    for _ in 0..5000 {
        // More than are answered; when this queue is full, the store has what it takes.
        if asker.send(r#"{"history": "g/n", "limit": 1000}"#, zmq::DONTWAIT).is_err() {
            break;
        }
    }
    let sleeper = system.subscribe("");
    flows(&system);
    let bytes = until("a report", || system.metric("store", "ami_resident_bytes"));
    assert!(bytes < 500e6, "{bytes}");
    drop((stuck, asker, sleeper));
}

#[test]
fn files_and_sockets_are_for_their_user_alone() {
    let system = System::of(LIVE).start();
    system.apply(&graph("g"));
    system.get("g/n");
    let open: Vec<PathBuf> = std::fs::read_dir(system.dir())
        .unwrap()
        .flatten()
        // The logs are the test's own.
        .filter(|e| e.path().extension().is_none_or(|x| x != "log"))
        .filter(|e| e.metadata().is_ok_and(|m| m.permissions().mode() & 0o077 != 0))
        .map(|e| e.path())
        .collect();
    assert!(open.is_empty(), "{open:?}");
}

#[test]
fn a_full_disk_stops_the_checkpoint_and_nothing_else() {
    let mut system = System::of(LIVE).set("root.checkpoint_s=0.2").start();
    system.apply(&graph("g"));
    let written = || system.metric("root", "ami_checkpoints_total");
    until("a checkpoint", || (written()? >= 1.0).then_some(()));
    // The log file is full, too.
    limit_files(system.pid("root"), Some(16));
    let state = |says: &str, done: bool| {
        until(says, || {
            let status = system.status();
            let root = status["members"].as_array()?.iter().find(|m| m["role"] == "root")?.clone();
            (root["state"].as_str()?.contains(says) == done).then_some(())
        });
    };
    state("checkpoint not written", true);
    assert!(system.dir().join("root.checkpoint").exists(), "the old one stays");
    flows(&system);
    limit_files(system.pid("root"), None);
    state("checkpoint not written", false);
    let before = written().unwrap();
    until("checkpoints again", || (written()? > before).then_some(()));
    let seq = system.get("g/n").int("seq");
    system.kill("root");
    system.spawn("root");
    system.get_when("g/n", |f| f.int("seq") > seq);
}

/// A ventilator that waits for its workers, on one processor of several.
#[test]
fn a_ventilator_that_is_confined_does_not_confine_its_workers() {
    let processors = rustix::thread::sched_getaffinity(None).unwrap();
    let mut ours = (0..rustix::thread::CpuSet::MAX_CPU).filter(|&cpu| processors.is_set(cpu));
    let (Some(first), Some(_)) = (ours.next(), ours.next()) else {
        eprintln!("skipped: needs two processors");
        return;
    };
    let system = System::of("sim:image128?pace=max&loop=forever")
        .workers(2)
        .set(&format!("ventilator.cpus=[{first}]"))
        .set("ventilator.busy_lanes=0")
        .set("ventilator.chunk_events=4")
        .start();
    system.apply(&json!({"name": "g", "nodes": {
        "smooth": {"op": "median_filter", "in": "bench:raw:image", "size": 5},
        "mean": {"op": "mean", "in": "smooth"},
    }}));
    until("units for both workers", || {
        let status = system.status();
        let units = |m: &&Value| m["metrics"]["ami_units_total"].as_f64().is_some_and(|n| n > 0.0);
        let workers = status["members"].as_array()?.iter().filter(|m| m["role"] == "worker");
        (workers.filter(units).count() == 2).then_some(())
    });
}
