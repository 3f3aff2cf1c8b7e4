//! One process of Python: its start, one call after the other, its end.

use crate::counters::{Counters, add};
use crate::log::Log;
use ami_proto::config::Python as Settings;
use ami_shm::Arena;
use command_fds::{CommandFdExt, FdMapping};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};
use rustix::process::{Pid, PidfdFlags, Signal, WaitId, WaitIdOptions};
use serde::Deserialize;
use serde_json::Value as Json;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Version of what is said between the two halves.
const PROTOCOL: u64 = 1;
/// A packet has at most so many bytes.
const PACKET: usize = 64 << 10;
/// Longest answer beside packets.
const LONGEST: usize = 16 << 20;
/// Longest time until an interpreter has imported numpy; from a network file system that takes some.
const START: Duration = Duration::from_secs(60);
/// What the shared memory begins with. Untouched pages take nothing.
const INBOX: usize = 1 << 20;
const OUTBOX: usize = 1 << 20;
/// Most bytes that a process keeps for its next call.
const MOST_KEPT: u64 = 128 << 20;
/// In the outbox's first word instead of the number of an event.
const NO_EVENT: u64 = u64::MAX;
const IN_BATCH: u64 = u64::MAX - 1;
/// The host's exit codes that are no user's.
const BROKEN: i32 = 70;
const NO_MEMORY: i32 = 71;

/// What is needed to start a process.
/// What is to be done again and again while a call lasts.
#[derive(Default)]
pub(crate) struct Waiting(pub Mutex<Option<Box<dyn Fn() + Send>>>);

impl Waiting {
    fn call(&self) {
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

/// Which event user code was at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum At {
    Nowhere,
    Event(usize),
    Batch,
}

/// Why a process is no more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Why {
    Late(Duration),
    Died(String),
}

/// The end of a process during a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct End {
    pub at: At,
    pub why: Why,
}

impl End {
    pub(crate) fn died(at: At, reason: impl Into<String>) -> End {
        End { at, why: Why::Died(reason.into()) }
    }
}

/// Why there is no process.
#[derive(Debug)]
pub(crate) enum Unstarted {
    /// It ended; the next may not.
    End(End),
    /// It would not be otherwise with the next.
    Told(String),
}

/// How long a call may take.
#[derive(Debug, Clone)]
pub(crate) struct Patience {
    /// Without a new number of an event.
    pub step: Duration,
    /// The same while all events of a batch are worked on at once.
    pub batch: Duration,
    /// Whatever numbers there are.
    pub total: Duration,
    /// Ends the call at once when it is set.
    pub stop: Option<Arc<AtomicBool>>,
}

/// What user code raised.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct Raised {
    pub message: String,
    pub traceback: String,
}

/// An answer: what the call gave, or what was raised.
pub(crate) type Answer = Result<Json, Raised>;

#[derive(Deserialize)]
struct Packet {
    ok: Option<Json>,
    error: Option<Raised>,
    /// Where in the outbox the answer is, and how long: it was too long for a packet.
    long: Option<(usize, usize)>,
    #[serde(default)]
    outbox: usize,
}

/// A process that serves calls.
#[derive(Debug)]
pub(crate) struct Process {
    launch: Arc<Launch>,
    child: Child,
    pid: Pid,
    pidfd: OwnedFd,
    control: OwnedFd,
    pub inbox: Arena,
    pub outbox: Arena,
    /// While this is open, somebody cares for the process; its guard sees when nobody does.
    _life: OwnedFd,
    log: Log,
    packet: Vec<u8>,
    /// When its memory was looked at.
    looked: Instant,
    ended: bool,
}

impl Process {
    /// Starts one and waits until it is ready.
    ///
    /// # Errors
    /// Which environment, what happened, what it printed last.
    pub(crate) fn start(launch: &Arc<Launch>) -> Result<Process, Unstarted> {
        let (env, path) = (&launch.env, launch.interpreter.display());
        let about = |reason: String| format!("environment {env} ({path}): {reason}");
        let spawned = Process::spawn(launch);
        let mut process =
            spawned.map_err(|e| Unstarted::Told(about(format!("{e}: see python.envs"))))?;
        add(&launch.counters.starts, 1);
        let patience = Patience { step: START, batch: START, total: START, stop: None };
        let received = process.receive(&patience);
        let failed = match &received {
            Ok(ready) if ready["ready"] == 1 && ready["protocol"] == PROTOCOL => {
                let (python, numpy) = (&ready["python"], &ready["numpy"]);
                let pid = process.child.id();
                tracing::info!(
                    "python {env}: process {pid} of {path}, python {python}, numpy {numpy}"
                );
                return Ok(process);
            }
            Ok(other) => format!("answered {other} instead of being ready"),
            Err(End { why: Why::Late(after), .. }) => format!("not ready after {after:?}"),
            Err(End { why: Why::Died(reason), .. }) => format!("{reason} while starting"),
        };
        let last = process.end();
        let hint = if last.is_empty() { String::new() } else { format!(": {last}") };
        let reason = about(format!("{failed}{hint}"));
        Err(match received {
            Err(End { why: Why::Died(_), .. }) => Unstarted::End(End::died(At::Nowhere, reason)),
            _ => Unstarted::Told(reason),
        })
    }

    fn spawn(launch: &Arc<Launch>) -> std::io::Result<Process> {
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
        let mut command = command(launch);
        let mappings = passed.into_iter().zip(3..);
        let mappings = mappings.map(|(parent_fd, child_fd)| FdMapping { parent_fd, child_fd });
        command.fd_mappings(mappings.collect()).map_err(std::io::Error::other)?;
        let mut child = command.spawn()?;
        // Our copies of the child's ends go with it: only then its death ends them.
        drop(command);
        let pid = Pid::from_child(&child);
        let made = (|| -> std::io::Result<(OwnedFd, Log)> {
            let pidfd = rustix::process::pidfd_open(pid, PidfdFlags::empty())?;
            let none = || std::io::Error::other("no pipe");
            let (out, err) =
                (child.stdout.take().ok_or_else(none)?, child.stderr.take().ok_or_else(none)?);
            Ok((pidfd, Log::start(&launch.env, out.into(), err.into())?))
        })();
        let (pidfd, log) = made.inspect_err(|_| {
            let _ = rustix::process::kill_process_group(pid, Signal::KILL);
            let _ = child.wait();
        })?;
        let (looked, packet) = (Instant::now(), vec![0; PACKET]);
        let launch = Arc::clone(launch);
        Ok(Process {
            launch,
            child,
            pid,
            pidfd,
            control,
            inbox,
            outbox,
            _life: life,
            log,
            packet,
            looked,
            ended: false,
        })
    }

    /// Says which code runs now, for the log.
    pub(crate) fn about(&self, code: &str) {
        self.log.about(code);
    }

    /// One call and its answer.
    ///
    /// # Errors
    /// When the process has ended instead; nobody may call it any more.
    pub(crate) fn call(&mut self, message: &str, patience: &Patience) -> Result<Answer, End> {
        if message.len() > PACKET {
            let message = format!(
                "the call has {} bytes, at most {PACKET} go: are parameters that long?",
                message.len()
            );
            return Ok(Err(Raised { message, traceback: String::new() }));
        }
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        if let Err(error) = rustix::net::send(&self.control, message.as_bytes(), flags) {
            return Err(self.died(&format!("cannot be reached ({error})")));
        }
        let json = self.receive(patience)?;
        let nonsense = |what: &dyn std::fmt::Display| format!("answered what is no answer: {what}");
        let packet = Packet::deserialize(json).map_err(|e| self.died(&nonsense(&e)))?;
        if packet.outbox > self.outbox.size() {
            let followed = self.outbox.follow(self.launch.settings.outbox_max);
            followed.map_err(|e| self.died(&format!("shared memory: {e}")))?;
        }
        let packet = match packet.long {
            None => packet,
            Some((at, len)) => self.long(at, len).map_err(|e| self.died(&nonsense(&e)))?,
        };
        add(&self.launch.counters.calls, 1);
        match (packet.ok, packet.error) {
            (Some(ok), None) => Ok(Ok(ok)),
            (None, Some(raised)) => Ok(Err(raised)),
            _ => Err(self.died(&nonsense(&"neither a result nor an error"))),
        }
    }

    fn long(&self, at: usize, len: usize) -> Result<Packet, String> {
        if len > LONGEST {
            return Err(format!("{len} bytes"));
        }
        let mut bytes = vec![0; len];
        self.outbox.read(at, &mut bytes).map_err(|e| e.to_string())?;
        serde_json::from_slice(&bytes).map_err(|e| e.to_string())
    }

    /// The next packet.
    fn receive(&mut self, patience: &Patience) -> Result<Json, End> {
        let begun = Instant::now();
        let (mut seen, mut since) = (self.progress(), begun);
        loop {
            let now = Instant::now();
            let progress = self.progress();
            if progress != seen {
                (seen, since) = (progress, now);
            }
            let allowed = if seen.0 == IN_BATCH { patience.batch } else { patience.step };
            let left =
                allowed.saturating_sub(now - since).min(patience.total.saturating_sub(now - begun));
            if left.is_zero() {
                let end = End { at: place(seen.0), why: Why::Late(allowed) };
                self.end();
                return Err(end);
            }
            if patience.stop.as_ref().is_some_and(|stop| stop.load(Ordering::Relaxed)) {
                return Err(self.kill("not needed any more"));
            }
            if let Some(reason) = self.far_too_large(now) {
                return Err(self.kill(&reason));
            }
            let look = (allowed / 8).clamp(Duration::from_millis(2), Duration::from_millis(100));
            if let Some(json) = self.arrived(left.min(look))? {
                return Ok(json);
            }
        }
    }

    /// Waits for a packet, or the process's end.
    fn arrived(&mut self, wait: Duration) -> Result<Option<Json>, End> {
        self.launch.waiting.call();
        let mut polled =
            [PollFd::new(&self.control, PollFlags::IN), PollFd::new(&self.pidfd, PollFlags::IN)];
        let wait = rustix::time::Timespec {
            tv_sec: wait.as_secs() as _,
            tv_nsec: wait.subsec_nanos() as _,
        };
        match poll(&mut polled, Some(&wait)) {
            Ok(0) | Err(rustix::io::Errno::INTR) => return Ok(None),
            Ok(_) => {}
            Err(error) => return Err(self.died(&format!("cannot be watched ({error})"))),
        }
        let ended = !polled[1].revents().is_empty();
        // What it said before its end counts.
        match rustix::net::recv(&self.control, &mut self.packet[..], RecvFlags::DONTWAIT) {
            Ok((0, _)) => Err(self.died("closed its connection")),
            Ok((n, _)) => match serde_json::from_slice(&self.packet[..n]) {
                Ok(json) => Ok(Some(json)),
                Err(error) => Err(self.died(&format!("answered what is no JSON ({error})"))),
            },
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) if !ended => Ok(None),
            Err(_) => Err(self.died("closed its connection")),
        }
    }

    /// Number of the event and how often one was written.
    fn progress(&self) -> (u64, u64) {
        (self.outbox.word(0).unwrap_or(NO_EVENT), self.outbox.word(8).unwrap_or(0))
    }

    /// Ends it, if it has not ended by itself, and says how that was.
    pub(crate) fn died(&mut self, otherwise: &str) -> End {
        let reason = self.own_end().unwrap_or_else(|| otherwise.to_owned());
        self.kill(&reason)
    }

    /// Ends it for a reason of ours.
    pub(crate) fn kill(&mut self, reason: &str) -> End {
        self.end();
        End::died(place(self.progress().0), reason)
    }

    /// How it ended by itself. Its connection closes a moment before it has.
    fn own_end(&self) -> Option<String> {
        let mut polled = [PollFd::new(&self.pidfd, PollFlags::IN)];
        let closing = rustix::time::Timespec { tv_sec: 0, tv_nsec: 200_000_000 };
        let _ = poll(&mut polled, Some(&closing));
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        let status = rustix::process::waitid(WaitId::PidFd(self.pidfd.as_fd()), options).ok()??;
        if let Some(signal) = status.terminating_signal() {
            return Some(format!("killed by signal {signal}{}", signal_name(signal)));
        }
        Some(match status.exit_status()? as i32 {
            BROKEN => "ended since user code closed a descriptor that is not its own".into(),
            NO_MEMORY => "ended since there was no memory left even to say so".into(),
            code => format!("exited with code {code}"),
        })
    }

    /// Kills it and all that it started, and reads what it has printed: the last line on stderr.
    fn end(&mut self) -> String {
        if !self.ended {
            // The number cannot be another group's: nobody has waited for the process yet.
            let _ = rustix::process::kill_process_group(self.pid, Signal::KILL);
            let _ = self.child.wait();
            self.ended = true;
        }
        self.log.finish()
    }

    /// What makes it a process to be replaced before the next call; looks once a second.
    pub(crate) fn too_large(&mut self, now: Instant) -> Option<String> {
        let most = self.launch.settings.memory_max;
        self.look(now).filter(|&bytes| bytes > most).map(|bytes| too_much(bytes, most))
    }

    /// What makes it one to be killed during a call: a quarter more.
    fn far_too_large(&mut self, now: Instant) -> Option<String> {
        let most = self.launch.settings.memory_max;
        let bytes = self.look(now).filter(|&bytes| bytes > most.saturating_add(most / 4))?;
        Some(too_much(bytes, most))
    }

    fn look(&mut self, now: Instant) -> Option<u64> {
        if now.duration_since(self.looked) < Duration::from_secs(1) {
            return None;
        }
        self.looked = now;
        own_memory(self.child.id())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
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

fn place(number: u64) -> At {
    match number {
        NO_EVENT => At::Nowhere,
        IN_BATCH => At::Batch,
        number => usize::try_from(number).map_or(At::Nowhere, At::Event),
    }
}

fn too_much(bytes: u64, most: u64) -> String {
    let mib = |bytes: u64| bytes >> 20;
    format!("took {} MiB of memory, python.memory_max is {} MiB", mib(bytes), mib(most))
}

/// Bytes in memory that are the process's alone: neither the ring nor files that others share.
fn own_memory(pid: u32) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/statm")).ok()?;
    let mut pages = text.split(' ').skip(1).map_while(|n| n.parse::<u64>().ok());
    let (resident, shared) = (pages.next()?, pages.next()?);
    Some(resident.saturating_sub(shared) * rustix::param::page_size() as u64)
}

fn signal_name(signal: i32) -> String {
    let names = [
        (4, "SIGILL"),
        (6, "SIGABRT"),
        (7, "SIGBUS"),
        (8, "SIGFPE"),
        (9, "SIGKILL"),
        (11, "SIGSEGV"),
        (15, "SIGTERM"),
    ];
    let name = names.into_iter().find(|(number, _)| *number == signal);
    name.map_or(String::new(), |(_, name)| format!(" ({name})"))
}
