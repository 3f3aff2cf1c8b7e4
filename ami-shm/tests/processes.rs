//! Several processes: what is left when one of them is killed.
//!
//! A test starts the test binary itself again, with the name of a role among the tests below.

#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests")]

use std::io::{BufRead, BufReader};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use ami_shm::{LaneState, RingConfig, RingError, RingReader, RingWriter, leftovers};

const RING: &str = "AMI_SHM_TEST_RING";
const UNIT: u64 = 77;

/// The ring's path in a child, nothing in the process that runs the tests.
fn role() -> Option<PathBuf> {
    std::env::var_os(RING).map(PathBuf::from)
}

fn command(role: &str, ring: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", role, "--nocapture", "--test-threads=1"]).env(RING, ring);
    command
}

/// A child that has said `ready`; killed when dropped.
struct Process(Child);

impl Process {
    fn start(role: &str, ring: &Path) -> Process {
        let child = command(role, ring).stdout(Stdio::piped()).spawn().unwrap();
        let mut process = Process(child);
        let out = BufReader::new(process.0.stdout.take().unwrap());
        let ready = out.lines().map_while(Result::ok).any(|line| line.ends_with("ready"));
        assert!(ready, "{role} ended before it was ready");
        process
    }

    fn kill(&mut self) {
        self.0.kill().unwrap();
        assert_eq!(self.0.wait().unwrap().signal(), Some(9));
    }

    fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.0);
        rustix::process::kill_process(pid, signal).unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn ready_and_wait() -> ! {
    println!("\nready");
    std::thread::sleep(Duration::from_secs(60));
    std::process::exit(1)
}

fn until(what: &str, condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_secs(20), "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn directory(name: &str) -> PathBuf {
    let base = if Path::new("/dev/shm").is_dir() { "/dev/shm" } else { "/tmp" };
    let dir = Path::new(base).join(format!("ami-shm-{name}-{}", std::process::id()));
    std::fs::create_dir(&dir).unwrap();
    dir
}

fn config() -> RingConfig {
    RingConfig { capacity: 1 << 20, lanes: 4, journal: 4096, ..RingConfig::default() }
}

#[test]
fn role_writer() {
    let Some(ring) = role() else { return };
    let mut writer = RingWriter::create(&ring, 11, &config()).unwrap();
    let position = writer.reserve(1000).unwrap();
    writer.bytes_mut(position, 1000).fill(0xAB);
    writer.publish();
    writer.set_counter(0, 123);
    writer.set_counter(63, u64::MAX);
    assert!(writer.journal_write(b"older"));
    assert!(writer.journal_write(b"manifests 4 to 9"));
    assert!(writer.tally_write(b"older") && writer.tally_write(b"17 events"));
    assert!(!writer.tally_write(&[0; 1024]), "too long");
    writer.reserve(64).unwrap();
    ready_and_wait()
}

#[test]
fn role_busy_writer() {
    let Some(ring) = role() else { return };
    let mut writer = RingWriter::create(&ring, 12, &config()).unwrap();
    println!("\nready");
    // Killed somewhere in here, usually in the middle of a journal_write.
    for n in 1_u64.. {
        assert!(writer.journal_write(&[n as u8; 4096]));
        writer.set_counter(0, n);
    }
}

#[test]
fn role_worker() {
    let Some(ring) = role() else { return };
    let reader = RingReader::open(&ring).unwrap();
    let lane = reader.lane(2, 1).unwrap();
    lane.set_cursor(UNIT);
    println!("\nready");
    loop {
        lane.beat();
        if lane.fenced() {
            let next = reader.lane(3, 1).unwrap();
            next.set_cursor(reader.bytes(0, 1).unwrap()[0].into());
            next.set_waiting(true);
            std::thread::sleep(Duration::from_secs(60));
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn role_nobody() {
    let Some(ring) = role() else { return };
    let error = RingWriter::create(&ring.with_file_name("other"), 1, &config()).unwrap_err();
    assert!(matches!(error, RingError::NoPermission { action: "create", .. }), "{error}");
    let error = RingReader::open(&ring).unwrap_err();
    assert!(matches!(error, RingError::NoPermission { action: "open", .. }), "{error}");
    assert!(error.to_string().contains("as the same user"));
    assert!(leftovers(ring.parent().unwrap(), "").unwrap().is_empty(), "not ours");
}

#[test]
fn role_small_file_system() {
    let Some(ring) = role() else { return };
    // 3 MiB: room for one ring of this size, not for two.
    let config = RingConfig { capacity: 2 << 20, ..config() };
    let mut first = RingWriter::create(&ring, 1, &config).unwrap();
    first.journal_write(b"kept");
    drop(first);
    let old = RingReader::open(&ring).unwrap();
    // Too large even without the old ring, which therefore stays.
    let huge = RingConfig { capacity: 4 << 20, ..config.clone() };
    let error = RingWriter::create(&ring, 2, &huge).unwrap_err();
    assert!(matches!(error, RingError::NoSpace { .. }), "{error}");
    assert_eq!(RingReader::open(&ring).unwrap().epoch(), 1);
    // The old ring's memory is still mapped here: removing it gives nothing back.
    let error = RingWriter::create(&ring, 2, &config).unwrap_err();
    let text = error.to_string();
    let dir = ring.parent().unwrap().display();
    assert!(text.starts_with(&format!("{dir} has ")), "{text}");
    assert!(text.contains("bytes free but the ring needs 2 MiB"), "{text}");
    assert!(text.ends_with(&format!("enlarge {dir} or set a smaller ventilator.ring_bytes")));
    assert_eq!(old.journal_read().unwrap(), b"kept");
    drop(old);
    // Nobody has the dead ring: it makes room for its successor.
    drop(RingWriter::create(&ring, 3, &config).unwrap());
    drop(RingWriter::create(&ring, 4, &config).unwrap());
    assert_eq!(RingReader::open(&ring).unwrap().epoch(), 4);
}

#[test]
fn a_full_file_system_is_reported_and_a_dead_ring_makes_room() {
    let dir = directory("full");
    let script = r#"mount -t tmpfs -o size=3m none "$1" || exit 77; shift; exec "$@""#;
    let mut unshare = Command::new("unshare");
    unshare.args(["-m", "sh", "-c", script, "sh"]).arg(&dir).arg(std::env::current_exe().unwrap());
    unshare.args(["--exact", "role_small_file_system", "--nocapture"]).env(RING, dir.join("ring"));
    match unshare.output() {
        Ok(output) if output.status.success() => {
            assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"));
        }
        // 101 is what a failed test binary exits with.
        Ok(output) if output.status.code() == Some(101) => {
            panic!("{}", String::from_utf8_lossy(&output.stderr));
        }
        other => println!("skipped: cannot mount a small file system here: {other:?}"),
    }
    std::fs::remove_dir(&dir).unwrap();
}

#[test]
fn a_killed_writer_leaves_bytes_counters_and_journal() {
    let dir = directory("writer");
    let ring = dir.join("ami-ring-11");
    let mut child = Process::start("role_writer", &ring);
    let reader = RingReader::open(&ring).unwrap();
    let found = leftovers(&dir, "ami-ring-").unwrap();
    assert!(found[0].alive && found[0].writer_pid == Some(child.0.id()));
    assert!(reader.writer_lives());
    assert!(matches!(found[0].remove(), Err(RingError::InUse { .. })));
    let error = RingWriter::create(&ring, 12, &config()).unwrap_err();
    assert!(matches!(error, RingError::InUse { pid, .. } if pid == child.0.id()), "{error}");

    child.kill();
    let found = leftovers(&dir, "ami-ring-").unwrap();
    assert_eq!((found.len(), found[0].alive, found[0].epoch), (1, false, Some(11)));
    let after = RingReader::open(&ring).unwrap();
    for reader in [&reader, &after] {
        assert_eq!((reader.counter(0), reader.counter(1)), (123, 0));
        assert_eq!(reader.counter(63), u64::MAX);
        assert_eq!(reader.journal_read().unwrap(), b"manifests 4 to 9");
        assert_eq!(reader.tally_read().unwrap(), b"17 events");
        assert!(!reader.writer_lives());
        assert_eq!(reader.bytes(0, 1000).unwrap(), [0xAB; 1000]);
        assert_eq!(reader.head(), 1024, "what was reserved only is not seen");
        assert_eq!(reader.writer_pid(), child.0.id());
    }
    let successor = RingWriter::create(&ring, 12, &config()).unwrap();
    assert_eq!(RingReader::open(&ring).unwrap().epoch(), 12);
    assert_eq!(reader.bytes(0, 1000).unwrap(), [0xAB; 1000], "its readers keep the old ring");
    successor.remove().unwrap();
    std::fs::remove_dir(&dir).unwrap();
}

#[test]
fn a_writer_killed_at_any_moment_leaves_a_whole_journal() {
    let dir = directory("journal");
    for round in 0..12_u64 {
        let ring = dir.join("ring");
        let mut child = Process::start("role_busy_writer", &ring);
        let reader = RingReader::open(&ring).unwrap();
        until("first journals", || reader.counter(0) > 3);
        std::thread::sleep(Duration::from_micros(round * 137));
        child.kill();
        let journal = reader.journal_read().unwrap();
        let n = reader.counter(0);
        assert_eq!(journal.len(), 4096);
        assert!(journal.iter().all(|&b| b == journal[0]), "torn");
        assert!([n as u8, (n + 1) as u8].contains(&journal[0]), "not the newest");
    }
    std::fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn a_killed_worker_leaves_its_cursor() {
    let dir = directory("worker");
    let mut writer = RingWriter::create(&dir.join("ring"), 1, &config()).unwrap();
    writer.open_lane(2, 1);
    let mut child = Process::start("role_worker", writer.path());
    until("progress", || writer.lane(2).progress() > 3);
    child.kill();
    writer.fence(2);
    let lane = writer.lane(2);
    assert_eq!((lane.state(), lane.cursor()), (LaneState::Fenced, Some(UNIT)));
    assert_eq!(lane.pid(), Some(child.0.id()));
    writer.open_lane(2, 2);
    assert_eq!((writer.lane(2).cursor(), writer.lane(2).pid()), (None, None));
    std::fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn a_stopped_worker_finds_itself_fenced_and_takes_a_new_lane() {
    let dir = directory("fence");
    let mut writer = RingWriter::create(&dir.join("ring"), 1, &config()).unwrap();
    let position = writer.reserve(1).unwrap();
    writer.bytes_mut(position, 1)[0] = 9;
    writer.publish();
    writer.open_lane(2, 1);
    let child = Process::start("role_worker", writer.path());
    until("progress", || writer.lane(2).progress() > 3);
    child.signal(rustix::process::Signal::STOP);
    writer.fence(2);
    writer.open_lane(2, 2);
    writer.open_lane(3, 1);
    child.signal(rustix::process::Signal::CONT);
    until("the new lane", || writer.lane(3).waiting());
    assert_eq!(writer.lane(3).cursor(), Some(9), "it still reads the ring");
    assert_eq!(writer.lane(3).pid(), Some(child.0.id()));
    let old = writer.lane(2);
    assert_eq!((old.cursor(), old.progress()), (None, 0), "its late beats hit nobody");
    drop(child);
    std::fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn another_user_is_told_what_to_do() {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: only root can become another user");
        return;
    }
    let dir = directory("nobody");
    let writer = RingWriter::create(&dir.join("ring"), 1, &config()).unwrap();
    // The other user may not be able to reach the build directory.
    let program = dir.join("test");
    // By another process: what a child forked beside us has open for writing cannot be run.
    let this = std::env::current_exe().unwrap();
    assert!(Command::new("install").args([&this, &program]).status().unwrap().success());
    let mut command = Command::new(&program);
    command.args(["--exact", "role_nobody", "--nocapture"]).env(RING, writer.path());
    match command.uid(65534).gid(65534).current_dir("/").output() {
        Ok(output) => {
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(output.status.success(), "{text}");
            assert!(text.contains("1 passed"), "{text}");
        }
        Err(e) => println!("skipped: cannot run as another user here: {e}"),
    }
    std::fs::remove_dir_all(&dir).unwrap();
}
