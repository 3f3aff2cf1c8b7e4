//! One process of Python: its start, one call after the other, its end.

use crate::counters::add;
use crate::launch::{Launch, Running};
use crate::vitals::{own_end, own_memory, too_much};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::net::sockopt::Timeout;
use rustix::net::{RecvFlags, SendFlags};
use rustix::process::Signal;
use serde::Deserialize;
use serde_json::Value as Json;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Version of what is said between the two halves.
const PROTOCOL: u64 = 1;
/// A packet has at most so many bytes.
const PACKET: usize = 64 << 10;
/// Longest answer beside packets.
const LONGEST: usize = 16 << 20;
/// Longest time until an interpreter has imported numpy; from a network file system that takes some.
const START: Duration = Duration::from_secs(60);
/// Longest time between two looks at a process that is waited for.
const LOOK: Duration = Duration::from_millis(100);
/// In the outbox's first word instead of the number of an event.
const NO_EVENT: u64 = u64::MAX;
const IN_BATCH: u64 = u64::MAX - 1;

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

impl std::fmt::Display for End {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.why {
            Why::Late(after) => write!(f, "took longer than {after:?}")?,
            Why::Died(reason) => f.write_str(reason)?,
        }
        match self.at {
            At::Nowhere => Ok(()),
            At::Event(event) => write!(f, ", at event {event} of the call"),
            At::Batch => f.write_str(", in a batch"),
        }
    }
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
    pub its: Running,
    packet: Vec<u8>,
    /// How long receiving waits now.
    wait: Duration,
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
        let told = |e: std::io::Error| Unstarted::Told(about(format!("{e}: see python.envs")));
        let its = launch.spawn().map_err(told)?;
        let (launch, packet) = (Arc::clone(launch), vec![0; PACKET]);
        let (wait, looked) = (Duration::ZERO, Instant::now());
        let mut process = Process { launch, its, packet, wait, looked, ended: false };
        add(&process.launch.counters.starts, 1);
        let patience = Patience { step: START, batch: START, total: START, stop: None };
        let received = process.receive(&patience);
        let failed = match &received {
            Ok(ready) if ready["ready"] == 1 && ready["protocol"] == PROTOCOL => {
                let (python, numpy) = (&ready["python"], &ready["numpy"]);
                let pid = process.its.child.id();
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

    /// Says which code runs now, for the log.
    pub(crate) fn about(&self, code: &str) {
        self.its.log.about(code);
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
        if let Err(error) = rustix::net::send(&self.its.control, message.as_bytes(), flags) {
            return Err(self.died(&format!("cannot be reached ({error})")));
        }
        let json = self.receive(patience)?;
        let nonsense = |what: &dyn std::fmt::Display| format!("answered what is no answer: {what}");
        let packet = Packet::deserialize(json).map_err(|e| self.died(&nonsense(&e)))?;
        if packet.outbox > self.its.outbox.size() {
            let followed = self.its.outbox.follow(self.launch.settings.outbox_max);
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
        self.its.outbox.read(at, &mut bytes).map_err(|e| e.to_string())?;
        serde_json::from_slice(&bytes).map_err(|e| e.to_string())
    }

    /// The next packet.
    fn receive(&mut self, patience: &Patience) -> Result<Json, End> {
        let (mut seen, mut looked) = (self.progress(), Instant::now());
        let (mut total, mut at_this) = (Duration::ZERO, Duration::ZERO);
        loop {
            let now = Instant::now();
            // A daemon that was itself stopped meanwhile has not waited: it does not hold that against the code.
            let passed = (now - looked).min(2 * LOOK);
            looked = now;
            let progress = self.progress();
            if progress != seen {
                (seen, at_this) = (progress, Duration::ZERO);
            }
            (total, at_this) = (total + passed, at_this + passed);
            let allowed = if seen.0 == IN_BATCH { patience.batch } else { patience.step };
            let left = allowed.saturating_sub(at_this).min(patience.total.saturating_sub(total));
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
            let look = (allowed / 8).clamp(Duration::from_millis(2), LOOK);
            if let Some(json) = self.arrived(left.min(look))? {
                return Ok(json);
            }
        }
    }

    /// Waits for a packet, or the process's end.
    fn arrived(&mut self, wait: Duration) -> Result<Option<Json>, End> {
        self.launch.waiting.call();
        self.receive_for(wait).map_err(|e| self.died(&format!("cannot be watched ({e})")))?;
        match rustix::net::recv(&self.its.control, &mut self.packet[..], RecvFlags::empty()) {
            Ok((0, _)) => Err(self.died("closed its connection")),
            Ok((n, _)) => match serde_json::from_slice(&self.packet[..n]) {
                Ok(json) => Ok(Some(json)),
                Err(error) => Err(self.died(&format!("answered what is no JSON ({error})"))),
            },
            // A child that it left behind may hold its end of the connection open.
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) if !self.gone() => Ok(None),
            Err(_) => Err(self.died("closed its connection")),
        }
    }

    /// How long receiving waits: one call of the system less than polling before it.
    fn receive_for(&mut self, wait: Duration) -> rustix::io::Result<()> {
        if self.wait != wait {
            // None would be for ever.
            let wait = Some(wait.max(Duration::from_micros(1)));
            rustix::net::sockopt::set_socket_timeout(&self.its.control, Timeout::Recv, wait)?;
        }
        self.wait = wait;
        Ok(())
    }

    /// Whether the process has ended.
    fn gone(&self) -> bool {
        let mut polled = [PollFd::new(&self.its.pidfd, PollFlags::IN)];
        poll(&mut polled, Some(&rustix::time::Timespec { tv_sec: 0, tv_nsec: 0 })) == Ok(1)
    }

    /// Number of the event and how often one was written.
    fn progress(&self) -> (u64, u64) {
        (self.its.outbox.word(0).unwrap_or(NO_EVENT), self.its.outbox.word(8).unwrap_or(0))
    }

    /// Ends it, if it has not ended by itself, and says how that was.
    pub(crate) fn died(&mut self, otherwise: &str) -> End {
        let reason = own_end(&self.its.pidfd).unwrap_or_else(|| otherwise.to_owned());
        self.kill(&reason)
    }

    /// Ends it for a reason of ours.
    pub(crate) fn kill(&mut self, reason: &str) -> End {
        self.end();
        End::died(place(self.progress().0), reason)
    }

    /// Kills it and all that it started, and reads what it has printed: the last line on stderr.
    fn end(&mut self) -> String {
        if !self.ended {
            // The number cannot be another group's: nobody has waited for the process yet.
            let _ = rustix::process::kill_process_group(self.its.pid, Signal::KILL);
            let _ = self.its.child.wait();
            self.ended = true;
        }
        self.its.log.finish()
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
        own_memory(self.its.child.id())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}

fn place(number: u64) -> At {
    match number {
        NO_EVENT => At::Nowhere,
        IN_BATCH => At::Batch,
        number => usize::try_from(number).map_or(At::Nowhere, At::Event),
    }
}
