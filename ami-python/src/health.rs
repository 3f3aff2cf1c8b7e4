//! How a piece of user code does: its newest traceback, and whether it is switched off.

use crate::process::Raised;
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// So many ended processes ...
const STRIKES: usize = 3;
/// ... within this time switch code off.
const WITHIN: Duration = Duration::from_secs(60);
/// Of one piece of code, exceptions are logged at most so often.
const BETWEEN_LINES: Duration = Duration::from_secs(10);
/// Longest message that is told.
const LONGEST_MESSAGE: usize = 1000;

/// What went wrong last with one piece of user code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Traceback {
    /// File of the code.
    pub file: String,
    /// Name in it.
    pub name: String,
    /// One line.
    pub message: String,
    /// The frames of the user's own files; empty where a process ended.
    pub traceback: String,
    /// Why it is switched off, if it is.
    pub off: Option<String>,
    /// How often it failed.
    pub times: u64,
}

/// Shared by all uses of the same code with the same parameters.
#[derive(Debug, Default)]
pub(crate) struct Health(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    strikes: VecDeque<Instant>,
    off: Option<String>,
    last: Option<Raised>,
    times: u64,
    logged: Option<Instant>,
}

impl Health {
    /// Why the code is switched off, if it is.
    pub(crate) fn off(&self) -> Option<String> {
        self.lock().off.clone()
    }

    /// Keeps what was raised so many times, and logs it unless that was done a moment ago.
    pub(crate) fn note(&self, label: &str, raised: Raised, times: u64) {
        let mut inner = self.lock();
        inner.times = inner.times.saturating_add(times);
        if inner.logged.is_none_or(|at| at.elapsed() >= BETWEEN_LINES) {
            inner.logged = Some(Instant::now());
            tracing::warn!(code = label, "{}\n{}", raised.message, raised.traceback);
        }
        inner.last = Some(raised);
    }

    /// Code has ended a process: the reason if that switches it off.
    pub(crate) fn strike(&self, reason: &str, now: Instant) -> Option<String> {
        let mut inner = self.lock();
        inner.last = Some(Raised { message: one_line(reason), traceback: String::new() });
        inner.times = inner.times.saturating_add(1);
        inner.strikes.push_back(now);
        while inner.strikes.front().is_some_and(|first| now.duration_since(*first) > WITHIN) {
            inner.strikes.pop_front();
        }
        if inner.strikes.len() >= STRIKES {
            let hint = "change the code or its parameters to switch it on";
            inner.off = Some(format!(
                "switched off: {}; {STRIKES} times within a minute; {hint}",
                one_line(reason)
            ));
        }
        inner.off.clone()
    }

    /// What there is to tell.
    pub(crate) fn traceback(&self, file: &str, name: &str) -> Option<Traceback> {
        let inner = self.lock();
        let Raised { message, traceback } = inner.last.clone()?;
        let off = inner.off.clone();
        let (file, name, times) = (file.to_owned(), name.to_owned(), inner.times);
        Some(Traceback { file, name, message, traceback, off, times })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A message of a process as one line of limited length.
pub(crate) fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(LONGEST_MESSAGE).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_within_a_minute_switch_off() {
        let (health, begun) = (Health::default(), Instant::now());
        let at = |seconds| begun + Duration::from_secs(seconds);
        assert_eq!(health.strike("a", at(0)), None);
        assert_eq!(health.strike("b", at(30)), None);
        assert_eq!(health.strike("c", at(61)), None, "the first is too long ago");
        let off = health.strike("exited\n with code 3", at(70)).unwrap();
        assert!(off.starts_with("switched off: exited with code 3;"), "{off}");
        assert_eq!(health.off(), Some(off));
    }
}
