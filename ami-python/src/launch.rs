//! How a process is started, and what it is given.

use crate::counters::Counters;
use crate::log::Log;
use ami_proto::config::Python as Settings;
use ami_shm::Arena;
use command_fds::{CommandFdExt, FdMapping};
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use rustix::process::{Pid, PidfdFlags, Signal};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

/// What the shared memory begins with. Untouched pages take nothing.
const INBOX: usize = 1 << 20;
const OUTBOX: usize = 1 << 20;
/// Most bytes that a process keeps for its next call.
const MOST_KEPT: u64 = 128 << 20;

/// What is to be done again and again while a call lasts.
#[derive(Default)]
pub(crate) struct Waiting(pub Mutex<Option<Box<dyn Fn() + Send>>>);

impl Waiting {
    pub(crate) fn call(&self) {
        if let Some(call) = &*crate::python::locked(&self.0) {
            call();
        }
    }
}

impl std::fmt::Debug for Waiting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Waiting")
    }
}

/// What is needed to start a process.
#[derive(Debug)]
pub(crate) struct Launch {
    pub env: String,
    pub interpreter: PathBuf,
    pub settings: Settings,
    /// Where the host's files are.
    pub dir: PathBuf,
    /// Name of the member.
    pub label: String,
    pub counters: Arc<Counters>,
    pub waiting: Arc<Waiting>,
}

/// A process as the system has it.
#[derive(Debug)]
pub(crate) struct Running {
    pub child: Child,
    /// The process and the group that it leads.
    pub pid: Pid,
    pub pidfd: OwnedFd,
    pub control: OwnedFd,
    pub inbox: Arena,
    pub outbox: Arena,
    /// While this is open, somebody cares for the process; its guard sees when nobody does.
    pub _life: OwnedFd,
    pub log: Log,
}

impl Launch {
    /// Starts a process; it is not ready yet.
    ///
    /// # Errors
    /// When there is no such interpreter, or too little of something.
    pub(crate) fn spawn(&self) -> io::Result<Running> {
        let (control, theirs) = rustix::net::socketpair(
            AddressFamily::UNIX,
            SocketType::SEQPACKET,
            SocketFlags::CLOEXEC,
            None,
        )?;
        let inbox = Arena::create("ami-python-inbox", INBOX)?;
        let outbox = Arena::create("ami-python-outbox", OUTBOX)?;
        let (watched, life) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
        let passed = [theirs, inbox.read_only()?, outbox.writable()?, watched];
        let mut command = command(self);
        let mappings = passed.into_iter().zip(3..);
        let mappings = mappings.map(|(parent_fd, child_fd)| FdMapping { parent_fd, child_fd });
        command.fd_mappings(mappings.collect()).map_err(io::Error::other)?;
        let mut child = command.spawn()?;
        // Our copies of the child's ends go with it: only then its death ends them.
        drop(command);
        let pid = Pid::from_child(&child);
        let made = (|| -> io::Result<(OwnedFd, Log)> {
            let pidfd = rustix::process::pidfd_open(pid, PidfdFlags::empty())?;
            let none = || io::Error::other("no pipe");
            let (out, err) =
                (child.stdout.take().ok_or_else(none)?, child.stderr.take().ok_or_else(none)?);
            Ok((pidfd, Log::start(&self.env, out.into(), err.into())?))
        })();
        let (pidfd, log) = made.inspect_err(|_| {
            let _ = rustix::process::kill_process_group(pid, Signal::KILL);
            let _ = child.wait();
        })?;
        Ok(Running { child, pid, pidfd, control, inbox, outbox, _life: life, log })
    }
}

fn command(launch: &Launch) -> Command {
    let settings = &launch.settings;
    let mut command = Command::new(&launch.interpreter);
    command.args(["-u", "-X", "utf8"]).arg(launch.dir.join("boot.py"));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    command.env("AMI_PYTHON_MEMORY", settings.memory_max.to_string());
    command.env("AMI_PYTHON_OUTBOX", settings.outbox_max.to_string());
    command.env("AMI_PYTHON_MEMBER", &launch.label);
    // Arrays of a call are given back and taken again by the next one: memory that goes to the kernel in
    // between costs a fault for each page, which is more than most of what is computed with it.
    let kept = (settings.memory_max / 8).min(MOST_KEPT);
    for (name, bytes) in
        [("MALLOC_MMAP_THRESHOLD_", kept.min(32 << 20)), ("MALLOC_TRIM_THRESHOLD_", kept)]
    {
        if std::env::var_os(name).is_none() {
            command.env(name, bytes.to_string());
        }
    }
    for library in ["OMP", "OPENBLAS", "MKL", "NUMEXPR", "BLIS", "VECLIB_MAXIMUM"] {
        command.env(format!("{library}_NUM_THREADS"), settings.threads.max(1).to_string());
    }
    command
}
