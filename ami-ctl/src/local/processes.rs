//! The processes of `ami-ctl local`: starts them, hears when they are ready, notices their end.

use crate::environment;
use crate::failure::Failure;
use crate::local::supervisor::Exit;
use ami_proto::health::memory::KEEP_FREED;
use rustix::process::{Pid, Signal, kill_process};
use std::fs::File;
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// How a daemon is started.
#[derive(Debug, Clone)]
pub struct Launch {
    /// Unique in the run: `worker-0`.
    pub name: String,
    /// The program.
    pub binary: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
}

/// One daemon's process.
#[derive(Debug)]
pub struct Process {
    launch: Launch,
    log: PathBuf,
    notify: UnixDatagram,
    notify_path: PathBuf,
    child: Option<Child>,
    /// Length of the log when the process was started: what is before is not its doing.
    log_start: u64,
}

/// The program of this name, beside our own or in `PATH`.
///
/// # Errors
/// When it is nowhere.
pub fn binary(name: &str) -> Result<PathBuf, Failure> {
    let own = std::env::current_exe().ok().and_then(|p| p.parent().map(Path::to_path_buf));
    let mut places: Vec<PathBuf> = own.clone().into_iter().collect();
    places.extend(environment::path());
    places.iter().map(|dir| dir.join(name)).find(|p| p.is_file()).ok_or_else(|| {
        let beside = own.map_or(String::new(), |d| format!(" in {} or", d.display()));
        Failure::failed(
            format!("no program {name}{beside} in PATH"),
            "build it with `cargo build --workspace`, or install all of ami",
        )
    })
}

impl Process {
    /// Prepares a daemon; nothing is started yet.
    ///
    /// # Errors
    /// When log or socket cannot be made in the run directory.
    pub fn new(launch: Launch, run_dir: &Path) -> std::io::Result<Process> {
        let notify_path = run_dir.join("notify").join(&launch.name);
        let _ = std::fs::remove_file(&notify_path);
        let notify = UnixDatagram::bind(&notify_path)?;
        notify.set_nonblocking(true)?;
        let log = run_dir.join("logs").join(format!("{}.log", launch.name));
        Ok(Process { launch, log, notify, notify_path, child: None, log_start: 0 })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.launch.name
    }

    /// Where its log is.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Its process id, while it has a process.
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Starts it.
    ///
    /// # Errors
    /// When the program cannot be run.
    pub fn spawn(&mut self) -> std::io::Result<()> {
        let log = File::options().create(true).append(true).open(&self.log)?;
        self.log_start = log.metadata()?.len();
        // What a former life said is not this one's readiness.
        while self.notify.recv(&mut [0; 512]).is_ok() {}
        let (allocator, keep_freed) = KEEP_FREED;
        let child = Command::new(&self.launch.binary)
            .args(&self.launch.arguments)
            .env(allocator, std::env::var_os(allocator).unwrap_or_else(|| keep_freed.into()))
            .env("AMI_EXIT_WITH_PARENT", "1")
            .env("NOTIFY_SOCKET", &self.notify_path)
            .env_remove("WATCHDOG_USEC")
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            // Its own group, so that Ctrl-C reaches us alone and the order of stopping is ours.
            .process_group(0)
            .spawn()?;
        self.child = Some(child);
        Ok(())
    }

    /// Whether it has said that it is ready since the last call.
    pub fn heard_ready(&self) -> bool {
        let mut ready = false;
        let mut buffer = [0; 512];
        while let Ok(n) = self.notify.recv(&mut buffer) {
            ready |= buffer[..n].split(|b| *b == b'\n').any(|l| l == b"READY=1");
        }
        ready
    }

    /// How it ended, if it did since the last call.
    pub fn ended(&mut self) -> Option<Exit> {
        let status = self.child.as_mut()?.try_wait().ok()??;
        self.child = None;
        Some(match (status.code(), status.signal()) {
            (Some(code), _) => Exit::Code(code),
            (None, signal) => Exit::Signal(signal.unwrap_or(0)),
        })
    }

    /// Asks it to stop.
    pub fn terminate(&self) {
        if let Some(pid) = self.pid().and_then(|p| Pid::from_raw(p as i32)) {
            // A stopped process could not heed the request.
            let _ = kill_process(pid, Signal::TERM);
            let _ = kill_process(pid, Signal::CONT);
        }
    }

    /// Ends it.
    pub fn kill(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
        }
    }

    /// What its last life said about its end: the lines with errors, else the last lines.
    pub fn last_words(&self) -> Vec<String> {
        let text = std::fs::read(&self.log).unwrap_or_default();
        let from =
            (self.log_start as usize).min(text.len()).max(text.len().saturating_sub(64 << 10));
        last_words(&String::from_utf8_lossy(&text[from..]))
    }
}

fn last_words(log: &str) -> Vec<String> {
    let lines: Vec<&str> = log.lines().filter(|l| !l.trim().is_empty()).collect();
    let wrong = |l: &&&str| l.contains("ERROR") || l.contains("error:") || l.contains("panicked");
    let errors: Vec<&str> = lines.iter().filter(wrong).copied().collect();
    let chosen = if errors.is_empty() { lines } else { errors };
    chosen[chosen.len().saturating_sub(8)..].iter().map(ToString::to_string).collect()
}

impl Drop for Process {
    fn drop(&mut self) {
        // However we leave, nothing of the run stays behind.
        self.kill();
        if let Some(child) = &mut self.child {
            let _ = child.wait();
        }
        let _ = std::fs::remove_file(&self.notify_path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    fn shell(dir: &Path, script: &str) -> Process {
        for sub in ["notify", "logs"] {
            std::fs::create_dir_all(dir.join(sub)).unwrap();
        }
        let arguments = vec!["-c".into(), script.into()];
        Process::new(Launch { name: "sh".into(), binary: "/bin/sh".into(), arguments }, dir)
            .unwrap()
    }

    fn wait(process: &mut Process) -> Exit {
        let deadline = Instant::now() + Duration::from_secs(10);
        while Instant::now() < deadline {
            if let Some(exit) = process.ended() {
                return exit;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        panic!("still running");
    }

    #[test]
    fn ends_and_last_words_are_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let mut process = shell(dir.path(), "echo fine; echo 'ERROR no such source'; exit 2");
        process.spawn().unwrap();
        assert_eq!(wait(&mut process), Exit::Code(2));
        assert_eq!(process.last_words(), ["ERROR no such source"]);
        assert!(!process.heard_ready());
    }

    #[test]
    fn readiness_is_heard_once() {
        let dir = tempfile::tempdir().unwrap();
        let process = shell(dir.path(), "exit 0");
        let other = UnixDatagram::unbound().unwrap();
        other.send_to(b"STATUS=up\nREADY=1\n", dir.path().join("notify/sh")).unwrap();
        assert!(process.heard_ready());
        assert!(!process.heard_ready());
    }

    #[test]
    fn termination_ends_a_stopped_process_too() {
        let dir = tempfile::tempdir().unwrap();
        let mut process = shell(dir.path(), "kill -STOP $$; sleep 20");
        process.spawn().unwrap();
        let stat = format!("/proc/{}/stat", process.pid().unwrap());
        let deadline = Instant::now() + Duration::from_secs(10);
        while !std::fs::read_to_string(&stat).unwrap().contains(") T ") {
            assert!(Instant::now() < deadline, "not stopped");
            std::thread::sleep(Duration::from_millis(5));
        }
        process.terminate();
        assert_eq!(wait(&mut process), Exit::Signal(15));
    }
}
