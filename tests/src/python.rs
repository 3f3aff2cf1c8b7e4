//! User code in tests: an interpreter for it, and its processes.

use crate::System;
use rustix::process::{Pid, Signal, kill_process};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// An interpreter that has numpy: `AMI_TEST_PYTHON`, that of `make python`, or `python3`. Says so where there
/// is none.
pub fn python_with_numpy() -> Option<PathBuf> {
    let of_make = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.venv/bin/python");
    let given = std::env::var_os("AMI_TEST_PYTHON").map(PathBuf::from);
    let has_numpy = |python: &PathBuf| {
        let import =
            Command::new(python).args(["-c", "import numpy"]).stderr(Stdio::null()).status();
        import.is_ok_and(|status| status.success())
    };
    let found = given.into_iter().chain([of_make, "python3".into()]).find(has_numpy);
    if found.is_none() {
        println!("skipped: no interpreter has numpy; run `make python`, or set AMI_TEST_PYTHON");
    }
    found
}

impl System {
    /// Processes that run user code for this system's daemons, and their keepers.
    pub fn code_processes(&self) -> Vec<Pid> {
        let dir = self.dir().display().to_string();
        let all = std::fs::read_dir("/proc").unwrap().filter_map(|entry| {
            let pid: i32 = entry.ok()?.file_name().to_str()?.parse().ok()?;
            let command = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
            let command = String::from_utf8_lossy(&command).into_owned();
            let ours = command.contains("boot.py") && command.contains(&dir);
            ours.then(|| Pid::from_raw(pid)).flatten()
        });
        all.collect()
    }

    /// `kill -9` of one of them, if there is one.
    pub fn kill_code(&self, which: usize) {
        let all = self.code_processes();
        if let Some(pid) = all.get(which % all.len().max(1)) {
            let _ = kill_process(*pid, Signal::KILL);
        }
    }
}
