//! A daemon that is killed leaves no process.

use crate::common::{Bench, code, floats, interpreter};
use crate::reductions::hosts;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const DIR: &str = "AMI_TEST_KILLED_DIR";
const SOURCE: &str = "
import signal, subprocess
signal.signal(signal.SIGTERM, signal.SIG_IGN)
@per_event(outputs={'y': 'f8'})
def f(x):
    subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(10000)', sys.argv[0]])
    time.sleep(10000)
";

/// What the test kills: itself, started once more with a directory.
fn daemon(dir: &std::path::Path) {
    let Some(bench) = Bench::new() else { return };
    let python = ami_python::Python::new(
        ami_python::Settings {
            enabled: true,
            envs: [("default".to_owned(), interpreter().unwrap())].into(),
            ..Default::default()
        },
        dir,
        "killed",
    );
    let bench = Bench { python, dir: bench.dir };
    bench.events(&code(SOURCE, "f"), &[floats(&[1.0])], 1);
}

#[test]
fn no_process_outlives_a_daemon_that_is_killed() {
    if let Some(dir) = std::env::var_os(DIR) {
        return daemon(dir.as_ref());
    }
    if interpreter().is_none() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let mut daemon = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "killed::no_process_outlives_a_daemon_that_is_killed"])
        .env(DIR, dir.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let wait_for = |what: &dyn Fn(usize) -> bool| {
        let begun = Instant::now();
        while !what(hosts(dir.path()).len()) {
            assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", hosts(dir.path()));
            std::thread::sleep(Duration::from_millis(50));
        }
    };
    // The host, its guard, and the child.
    wait_for(&|found| found == 3);
    daemon.kill().unwrap();
    daemon.wait().unwrap();
    wait_for(&|found| found == 0);
}
