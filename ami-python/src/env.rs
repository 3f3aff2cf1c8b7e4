//! An environment: its process, begun anew whenever it has ended, and calls that outlive a process.

use crate::attempts::{Attempts, Next};
use crate::counters::add;
use crate::health::{Health, one_line};
use crate::pack::{Packed, RING, Ring};
use crate::process::{Answer, End, Launch, Patience, Process, Raised, Unstarted, Why};
use crate::results::Events;
use ami_graph::op::foreign::UserCode;
use ami_shm::Arena;
use serde_json::{Value as Json, json};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

/// Longest time for what is imported or constructed.
const LOAD: Duration = Duration::from_secs(60);

/// One use of user code, and what is known of it.
#[derive(Debug)]
pub(crate) struct Target {
    /// What it is called between here and the host.
    pub id: u64,
    /// For the log.
    pub label: String,
    /// Shared with all uses of the same code.
    pub health: Arc<Health>,
}

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

/// Why there is no answer.
enum Stop {
    End(End),
    Told(String),
}

/// An environment of one member, or of one piece of code that works beside it.
#[derive(Debug)]
pub(crate) struct Env {
    launch: Arc<Launch>,
    process: Option<Process>,
    // What the process knows.
    loaded: HashSet<u64>,
    mapped: Option<u64>,
    /// States it has kept: token, and the bytes as they were answered.
    kept: HashMap<u64, (u64, Vec<u8>)>,
    /// A ring that it could not map.
    unmappable: Option<u64>,
    /// Uses that are no more, still to be told.
    dropped: Vec<u64>,
}

impl Env {
    pub(crate) fn new(launch: Arc<Launch>) -> Env {
        Env {
            launch,
            process: None,
            loaded: HashSet::new(),
            mapped: None,
            kept: HashMap::new(),
            unmappable: None,
            dropped: Vec::new(),
        }
    }

    /// A use is no more.
    pub(crate) fn forget(&mut self, id: u64) {
        self.kept.remove(&id);
        if self.loaded.remove(&id) {
            self.dropped.push(id);
        }
    }

    /// Does without a process that runs nothing.
    pub(crate) fn rest(&mut self) {
        if self.loaded.is_empty() {
            self.gone();
        }
    }

    /// The process has kept this state of that use under a token.
    pub(crate) fn keep(&mut self, id: u64, token: u64, state: &[u8]) {
        let (kept, bytes) = self.kept.entry(id).or_default();
        *kept = token;
        bytes.clear();
        bytes.extend_from_slice(state);
    }

    /// Describes code.
    ///
    /// # Errors
    /// What is wrong with it, or with the environment.
    pub(crate) fn describe(
        &mut self,
        file: &str,
        source: &str,
        name: Option<&str>,
    ) -> Result<Json, String> {
        let mut packed = Packed::default();
        let source = [packed.put(source.as_bytes()), source.len()];
        let about = json!({"file": file, "name": name, "source": source});
        self.twice(|env| {
            env.start()?;
            env.ask("describe", &about, &packed)
        })
    }

    /// Makes ready to run code.
    ///
    /// # Errors
    /// As for [`Env::describe`].
    pub(crate) fn load(&mut self, target: &Target, code: &UserCode) -> Result<(), String> {
        self.twice(|env| {
            env.start()?;
            env.ready(target, code).map(|()| Ok(Json::Null))
        })
        .map(|_| ())
    }

    /// Does what needs no event, once more if the process dies.
    fn twice(
        &mut self,
        mut run: impl FnMut(&mut Env) -> Result<Answer, Stop>,
    ) -> Result<Json, String> {
        let mut attempts = Attempts::default();
        loop {
            match run(self) {
                Ok(Ok(json)) => return Ok(json),
                Ok(Err(raised)) => return Err(told(&raised)),
                Err(Stop::Told(reason)) => return Err(reason),
                Err(Stop::End(end)) => {
                    if let Next::GiveUp(reason) = attempts.ended(&end, |_| false) {
                        return Err(reason);
                    }
                }
            }
        }
    }

    /// The ring, if the process can map it.
    pub(crate) fn map<'a>(&mut self, ring: Option<&'a Ring>) -> Option<&'a Ring> {
        let ring = ring.filter(|ring| self.unmappable != Some(ring.number))?;
        if self.start().is_ok() && matches!(self.ready_ring(ring), Err(Stop::Told(_))) {
            return None;
        }
        Some(ring)
    }

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
            tracing::warn!(
                "python {} {}: {:?} {:?}",
                self.launch.env,
                target.label,
                end.at,
                end.why
            );
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
        target.health.note(raised);
        message
    }

    fn read<T>(
        &mut self,
        answer: &Json,
        events: Events<'_>,
        read: &mut impl FnMut(&Json, &Arena, Events<'_>) -> Result<T, Unfit>,
    ) -> Result<T, Stop> {
        let Some(process) = &mut self.process else { return Err(Stop::Told("no process".into())) };
        match read(answer, &process.outbox, events) {
            Ok(value) => Ok(value),
            Err(Unfit::Refused(reason)) => Err(Stop::Told(reason)),
            Err(Unfit::Broken(reason)) => {
                let end =
                    process.kill(&format!("gave a result that is none: {}", one_line(&reason)));
                // Which event it was at says nothing any more.
                Err(self.lost(End { at: crate::process::At::Nowhere, ..end }))
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

    /// A process, if there is none.
    fn start(&mut self) -> Result<(), Stop> {
        if self.process.is_none() {
            match Process::start(&self.launch) {
                Ok(process) => self.process = Some(process),
                Err(Unstarted::Told(reason)) => return Err(Stop::Told(reason)),
                Err(Unstarted::End(end)) => return Err(self.lost(end)),
            }
        }
        Ok(())
    }

    fn replace_if_too_large(&mut self, target: &Target) {
        let reason = self.process.as_mut().and_then(|process| process.too_large(Instant::now()));
        if let Some(reason) = reason {
            let (env, label) = (&self.launch.env, &target.label);
            tracing::warn!("python {env} {label}: the process {reason}: it is replaced");
            self.gone();
        }
    }

    /// Nothing is known by a process that is to come.
    fn gone(&mut self) {
        self.process = None;
        self.loaded.clear();
        self.kept.clear();
        self.mapped = None;
        self.dropped.clear();
    }

    fn lost(&mut self, end: End) -> Stop {
        let counters = &self.launch.counters;
        match end.why {
            Why::Late(_) => add(&counters.timeouts, 1),
            Why::Died(_) => add(&counters.deaths, 1),
        }
        self.gone();
        Stop::End(end)
    }

    /// The process has the ring.
    fn ready_ring(&mut self, ring: &Ring) -> Result<(), Stop> {
        if self.mapped == Some(ring.number) {
            return Ok(());
        }
        let about = json!({"m": RING, "path": ring.path});
        match self.ask("map", &about, &Packed::default())? {
            Ok(_) => {
                self.mapped = Some(ring.number);
                Ok(())
            }
            Err(raised) => {
                self.unmappable = Some(ring.number);
                let (env, path) = (&self.launch.env, ring.path.display());
                let reason = format!("python {env}: cannot map the ring {path}: {}", told(&raised));
                tracing::warn!("{reason}: fields are copied instead");
                Err(Stop::Told(reason))
            }
        }
    }

    /// The process has the code.
    fn ready(&mut self, target: &Target, code: &UserCode) -> Result<(), Stop> {
        while let Some(id) = self.dropped.pop() {
            // What it answers changes nothing.
            let _ = self.ask("unload", &json!({"id": id}), &Packed::default())?;
        }
        if self.loaded.contains(&target.id) {
            return Ok(());
        }
        let mut packed = Packed::default();
        let source = [packed.put(code.source.as_bytes()), code.source.len()];
        let UserCode { file, name, params, .. } = code;
        let about = json!({"id": target.id, "source": source, "file": file, "name": name, "params": params});
        if let Some(process) = &self.process {
            process.about(&target.label);
        }
        match self.ask("load", &about, &packed)? {
            Ok(_) => {
                self.loaded.insert(target.id);
                Ok(())
            }
            Err(raised) => {
                let message = told(&raised);
                target.health.note(raised);
                Err(Stop::Told(message))
            }
        }
    }

    /// A call without events.
    fn ask(&mut self, call: &str, about: &Json, packed: &Packed<'_>) -> Result<Answer, Stop> {
        let text = about.to_string();
        let body = format!(",{}", &text[1..text.len() - 1]);
        let patience = Patience { step: LOAD, batch: LOAD, total: LOAD, stop: None };
        self.send(call, None, &body, packed, &patience)
    }

    fn send(
        &mut self,
        call: &str,
        target: Option<&Target>,
        body: &str,
        packed: &Packed<'_>,
        patience: &Patience,
    ) -> Result<Answer, Stop> {
        let Some(process) = &mut self.process else { return Err(Stop::Told("no process".into())) };
        packed.write(&mut process.inbox).map_err(Stop::Told)?;
        let inbox = process.inbox.size();
        let id = target.map_or(String::new(), |target| {
            process.about(&target.label);
            format!(r#","id":{}"#, target.id)
        });
        let message = format!(r#"{{"call":"{call}"{id},"inbox":{inbox}{body}}}"#);
        match process.call(&message, patience) {
            Ok(answer) => Ok(answer),
            Err(end) => Err(self.lost(end)),
        }
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

fn told(raised: &Raised) -> String {
    one_line(&raised.message)
}
