//! Calls that outlive a process: made again in a fresh one, without the events that are to blame.

use super::{Env, Stop, Target, told};
use crate::attempts::{Attempts, Next};
use crate::counters::add;
use crate::health::one_line;
use crate::pack::{Packed, Ring};
use crate::process::{Answer, At, End, Patience, Raised};
use crate::results::Events;
use ami_graph::op::foreign::UserCode;
use ami_shm::Arena;
use serde_json::Value as Json;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

/// A call, to be made as often as it takes.
#[derive(Debug)]
pub(crate) struct Request<'a> {
    pub call: &'static str,
    /// The rest of the call: members of a JSON object, each behind a comma.
    pub body: String,
    pub packed: Packed<'a>,
    /// Of a call that absorbs: the state before it, if there is one.
    pub state: Option<Option<&'a [u8]>>,
    pub events: usize,
    pub mask: Option<&'a [u8]>,
    pub patience: Patience,
}

/// What an answered call gave.
#[derive(Debug)]
pub(crate) struct Done<T> {
    pub value: T,
    /// Events that were found to have ended a process, and why.
    pub left_out: Vec<(usize, String)>,
}

/// Why an answer is not used.
#[derive(Debug)]
pub(crate) enum Unfit {
    /// It says what cannot be: the process is broken.
    Broken(String),
    /// User code wants what it may not have.
    Refused(String),
}

impl Env {
    /// Makes a call until it is answered: in a fresh process where one has ended, without the events that
    /// were to blame. `read` looks at the answer.
    ///
    /// # Errors
    /// What the code raised for the call as a whole, why processes ended, or why the code is off.
    pub(crate) fn persist<T>(
        &mut self,
        target: &Target,
        code: &UserCode,
        ring: Option<&Ring>,
        request: &mut Request<'_>,
        mut read: impl FnMut(&Json, &Arena, Events<'_>) -> Result<T, Unfit>,
    ) -> Result<Done<T>, String> {
        let mut attempts = Attempts::default();
        let begun = Instant::now();
        let result = loop {
            if let Some(off) = target.health.off() {
                break Err(off);
            }
            let mask = attempts.mask(request.mask, request.events);
            let events = Events { count: request.events, mask: mask.as_deref() };
            let end = match self.attempt(target, code, ring, request, &attempts, events) {
                Ok(Err(raised))
                    if raised.message == "unknown token"
                        && self.kept.remove(&target.id).is_some() =>
                {
                    continue;
                }
                Ok(Err(raised)) => break Err(self.raised(target, raised)),
                Ok(Ok(answer)) => match self.read(&answer, events, &mut read) {
                    Ok(value) => break Ok(Done { value, left_out: attempts.left_out().to_vec() }),
                    Err(Stop::Told(reason)) => break Err(reason),
                    Err(Stop::End(end)) => end,
                },
                Err(Stop::Told(reason)) => {
                    break Err(target.health.strike(&reason, Instant::now()).unwrap_or(reason));
                }
                Err(Stop::End(end)) => end,
            };
            tracing::warn!("python {}, {}: {end}", self.launch.env, target.label);
            match attempts.ended(&end, |event| event < events.count && events.has(event)) {
                Next::Again => {}
                Next::Without(reason) => {
                    target.health.strike(&reason, Instant::now());
                }
                Next::GiveUp(reason) => {
                    break Err(target.health.strike(&reason, Instant::now()).unwrap_or(reason));
                }
            }
        };
        add(&self.launch.counters.busy_ns, begun.elapsed().as_nanos() as u64);
        result
    }

    fn raised(&self, target: &Target, raised: Raised) -> String {
        let message = told(&raised);
        target.health.note(&target.label, raised, 1);
        message
    }

    fn read<T>(
        &mut self,
        answer: &Json,
        events: Events<'_>,
        read: &mut impl FnMut(&Json, &Arena, Events<'_>) -> Result<T, Unfit>,
    ) -> Result<T, Stop> {
        let Some(process) = &mut self.process else { return Err(Stop::Told("no process".into())) };
        match read(answer, &process.its.outbox, events) {
            Ok(value) => Ok(value),
            Err(Unfit::Refused(reason)) => Err(Stop::Told(reason)),
            Err(Unfit::Broken(reason)) => {
                let end =
                    process.kill(&format!("gave a result that is none: {}", one_line(&reason)));
                // Which event it was at says nothing any more.
                Err(self.lost(End { at: At::Nowhere, ..end }))
            }
        }
    }

    /// One attempt.
    fn attempt(
        &mut self,
        target: &Target,
        code: &UserCode,
        ring: Option<&Ring>,
        request: &mut Request<'_>,
        attempts: &Attempts,
        events: Events<'_>,
    ) -> Result<Answer, Stop> {
        self.replace_if_too_large(target);
        self.start()?;
        if let Some(ring) = ring {
            self.ready_ring(ring)?;
        }
        self.ready(target, code)?;
        let pieces = request.packed.len();
        let mut body = request.body.clone();
        // Writing to a String does not fail.
        let mut say = |name: &str, what: &dyn std::fmt::Display| {
            use std::fmt::Write as _;
            let _ = write!(body, r#","{name}":{what}"#);
        };
        match (request.state, self.kept.get(&target.id)) {
            (None, _) => {}
            (Some(None), _) => say("state", &"null"),
            (Some(Some(state)), Some((token, kept))) if kept == state => say("state", token),
            (Some(Some(state)), _) => {
                let at = request.packed.put(state);
                say("state", &format_args!("[{at},{}]", state.len()));
            }
        }
        if let Some(mask) = events.mask {
            say("mask", &request.packed.put(mask.to_vec()));
        }
        if attempts.one_by_one() {
            say("one_by_one", &true);
        }
        let answer =
            self.send(request.call, Some(target), &body, &request.packed, &request.patience);
        request.packed.truncate(pieces);
        answer
    }
}

impl Patience {
    /// For a call of code with so many events.
    pub(crate) fn of(code: &UserCode, events: usize, stop: Option<Arc<AtomicBool>>) -> Patience {
        let step = Duration::from_millis(code.timeout_ms.max(1));
        let times = |n: usize| step.saturating_mul(u32::try_from(n).unwrap_or(u32::MAX));
        Patience { step, batch: times(events.max(1)), total: times(events.saturating_add(2)), stop }
    }
}
