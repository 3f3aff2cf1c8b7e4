//! What the system says of a process: its memory, and how it ended.

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{WaitId, WaitIdOptions};
use std::os::fd::{AsFd, OwnedFd};

/// The host's exit codes that are no user's.
const BROKEN: i32 = 70;
const NO_MEMORY: i32 = 71;

/// How a process ended by itself. Its connection closes a moment before it has.
pub(crate) fn own_end(pidfd: &OwnedFd) -> Option<String> {
    let mut polled = [PollFd::new(pidfd, PollFlags::IN)];
    let closing = rustix::time::Timespec { tv_sec: 0, tv_nsec: 200_000_000 };
    let _ = poll(&mut polled, Some(&closing));
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    let status = rustix::process::waitid(WaitId::PidFd(pidfd.as_fd()), options).ok()??;
    if let Some(signal) = status.terminating_signal() {
        return Some(format!("killed by signal {signal}{}", signal_name(signal)));
    }
    Some(match status.exit_status()? as i32 {
        BROKEN => "ended since user code closed a descriptor that is not its own".into(),
        NO_MEMORY => "ended since there was no memory left even to say so".into(),
        code => format!("exited with code {code}"),
    })
}

/// What is told of a process that has too much.
pub(crate) fn too_much(bytes: u64, most: u64) -> String {
    let mib = |bytes: u64| bytes >> 20;
    format!("took {} MiB of memory, python.memory_max is {} MiB", mib(bytes), mib(most))
}

/// Bytes in memory that are the process's alone: neither the ring nor files that others share.
pub(crate) fn own_memory(pid: u32) -> Option<u64> {
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
