//! What user code prints goes to the log of its member: read at once, so that nobody who prints ever
//! waits, and told as far as a log can take it.

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{OFlags, fcntl_setfl};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// A line is cut here.
const LONGEST_LINE: usize = 4096;
/// So many lines are told in a second.
const LINES_PER_SECOND: u32 = 100;
/// After the end of a process at most so much is still read: what it left in the pipe is less, but
/// others may hold the pipe and go on.
const LEFT_BEHIND: usize = 1 << 20;

/// Cuts bytes into lines.
#[derive(Debug, Default)]
struct Lines {
    begun: Vec<u8>,
}

impl Lines {
    fn feed(&mut self, bytes: &[u8], mut tell: impl FnMut(&str)) {
        for part in bytes.split_inclusive(|&byte| byte == b'\n') {
            let text = part.strip_suffix(b"\n").unwrap_or(part);
            let room = LONGEST_LINE.saturating_sub(self.begun.len());
            self.begun.extend_from_slice(&text[..text.len().min(room)]);
            if text.len() < part.len() {
                self.end(&mut tell);
            }
        }
    }

    fn end(&mut self, mut tell: impl FnMut(&str)) {
        let line = String::from_utf8_lossy(&self.begun);
        if !line.trim().is_empty() {
            tell(line.trim_end());
        }
        self.begun.clear();
    }
}

/// Lets some lines through in each second.
#[derive(Debug)]
struct Limit {
    since: Instant,
    told: u32,
    left_out: u64,
}

impl Limit {
    fn new(now: Instant) -> Limit {
        Limit { since: now, told: 0, left_out: 0 }
    }

    /// Begins the next second, if it is time: how many were left out in the one before.
    fn turn(&mut self, now: Instant) -> Option<u64> {
        if now.duration_since(self.since) < Duration::from_secs(1) {
            return None;
        }
        let left_out = self.left_out;
        *self = Limit::new(now);
        (left_out > 0).then_some(left_out)
    }

    fn lets_through(&mut self) -> bool {
        let there_is_room = self.told < LINES_PER_SECOND;
        match there_is_room {
            true => self.told += 1,
            false => self.left_out += 1,
        }
        there_is_room
    }
}

/// What others say to the thread, and hear from it.
#[derive(Debug, Default)]
struct Shared {
    /// The code that runs.
    about: String,
    /// The newest line on stderr: of an interpreter that did not start it says why.
    last: String,
}

/// Reads stdout and stderr of one process.
#[derive(Debug)]
pub(crate) struct Log {
    shared: Arc<Mutex<Shared>>,
    /// Closed to say that the process has ended.
    running: Option<OwnedFd>,
    thread: Option<JoinHandle<()>>,
}

impl Log {
    /// # Errors
    /// When there are no descriptors or threads left.
    pub(crate) fn start(env: &str, out: OwnedFd, err: OwnedFd) -> std::io::Result<Log> {
        let (ended, running) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
        for pipe in [&out, &err] {
            fcntl_setfl(pipe, OFlags::NONBLOCK)?;
        }
        let shared = Arc::new(Mutex::new(Shared::default()));
        let reader = Reader {
            env: env.to_owned(),
            shared: Arc::clone(&shared),
            lines: Default::default(),
            limit: Limit::new(Instant::now()),
        };
        let run = move || reader.run([Some(out), Some(err)], &ended);
        let thread = std::thread::Builder::new().name("python-log".into()).spawn(run)?;
        Ok(Log { shared, running: Some(running), thread: Some(thread) })
    }

    /// Says which code runs now.
    pub(crate) fn about(&self, code: &str) {
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        if shared.about != code {
            code.clone_into(&mut shared.about);
        }
    }

    /// Tells what the process has left, which must have ended: its last line on stderr.
    pub(crate) fn finish(&mut self) -> String {
        self.running = None;
        if let Some(thread) = self.thread.take() {
            // A panic there has been told by itself.
            let _ = thread.join();
        }
        self.shared.lock().unwrap_or_else(PoisonError::into_inner).last.clone()
    }
}

/// The thread.
struct Reader {
    env: String,
    shared: Arc<Mutex<Shared>>,
    lines: [Lines; 2],
    limit: Limit,
}

impl Reader {
    fn run(mut self, mut pipes: [Option<OwnedFd>; 2], ended: &OwnedFd) {
        while pipes.iter().any(Option::is_some) {
            let mut polled: Vec<PollFd<'_>> =
                pipes.iter().flatten().map(|pipe| PollFd::new(pipe, PollFlags::IN)).collect();
            polled.push(PollFd::new(ended, PollFlags::IN));
            // Wakes to say how many were left out, when nothing more comes.
            let wait = (self.limit.left_out > 0)
                .then_some(rustix::time::Timespec { tv_sec: 1, tv_nsec: 0 });
            let failed =
                poll(&mut polled, wait.as_ref()).is_err_and(|e| e != rustix::io::Errno::INTR);
            let over = failed || polled.last().is_some_and(|p| !p.revents().is_empty());
            let most = if over { LEFT_BEHIND } else { 64 << 10 };
            for (which, pipe) in pipes.iter_mut().enumerate() {
                if pipe.as_ref().is_some_and(|fd| self.drain(which, fd, most)) {
                    *pipe = None;
                }
            }
            self.turn(Instant::now());
            if over {
                break;
            }
        }
        for which in 0..2 {
            let mut lines = std::mem::take(&mut self.lines[which]);
            lines.end(|line| self.tell(which, line));
        }
        self.turn(Instant::now() + Duration::from_secs(1));
    }

    /// Reads what is there, up to so many bytes; whether the pipe has ended.
    fn drain(&mut self, which: usize, pipe: &OwnedFd, most: usize) -> bool {
        let mut buffer = [0; 16 << 10];
        let mut read = 0;
        while read < most {
            match rustix::io::read(pipe, &mut buffer) {
                Ok(0) => return true,
                Ok(n) => {
                    read += n;
                    let mut lines = std::mem::take(&mut self.lines[which]);
                    lines.feed(&buffer[..n], |line| self.tell(which, line));
                    self.lines[which] = lines;
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::AGAIN) => return false,
                Err(_) => return true,
            }
        }
        false
    }

    fn turn(&mut self, now: Instant) {
        if let Some(n) = self.limit.turn(now) {
            tracing::warn!("python {}: {n} lines more left out", self.env);
        }
    }

    fn tell(&mut self, which: usize, line: &str) {
        let about = {
            let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
            if which == 1 {
                line.clone_into(&mut shared.last);
            }
            shared.about.clone()
        };
        self.turn(Instant::now());
        if !self.limit.lets_through() {
            return;
        }
        match which {
            0 => tracing::info!("python {} {about}: {line}", self.env),
            _ => tracing::warn!("python {} {about}: {line}", self.env),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_put_together_and_cut() {
        let mut lines = Lines::default();
        let mut told = Vec::new();
        lines.feed(b"one\ntw", |line| told.push(line.to_owned()));
        lines.feed(b"o\n\n \xff\n", |line| told.push(line.to_owned()));
        for _ in 0..100 {
            lines.feed(&[b'x'; 1000], |line| told.push(line.to_owned()));
        }
        lines.feed(b"\nlast", |line| told.push(line.to_owned()));
        lines.end(|line| told.push(line.to_owned()));
        assert_eq!(told[..3], ["one", "two", " \u{fffd}"]);
        assert_eq!((told[3].len(), &told[4][..]), (LONGEST_LINE, "last"));
    }

    #[test]
    fn a_hundred_lines_a_second() {
        let begun = Instant::now();
        let mut limit = Limit::new(begun);
        assert_eq!((0..250).filter(|_| limit.lets_through()).count(), 100);
        assert_eq!(limit.turn(begun + Duration::from_millis(900)), None);
        assert_eq!(limit.turn(begun + Duration::from_secs(1)), Some(150));
        assert!(limit.lets_through());
        assert_eq!(limit.turn(begun + Duration::from_secs(3)), None);
    }
}
