//! An environment: its process, begun anew whenever it has ended, and what it must know.

mod persist;

pub(crate) use persist::{Done, Request, Unfit};

use crate::attempts::{Attempts, Next};
use crate::counters::add;
use crate::health::{Health, one_line};
use crate::launch::Launch;
use crate::pack::{Packed, RING, Ring};
use crate::process::{Answer, End, Patience, Process, Raised, Unstarted, Why};
use crate::python::LOADING;
use ami_graph::op::foreign::UserCode;
use serde_json::{Value as Json, json};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

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
                target.health.note(&target.label, raised, 1);
                Err(Stop::Told(message))
            }
        }
    }

    /// A call without events.
    fn ask(&mut self, call: &str, about: &Json, packed: &Packed<'_>) -> Result<Answer, Stop> {
        let text = about.to_string();
        let body = format!(",{}", &text[1..text.len() - 1]);
        let patience = Patience { step: LOADING, batch: LOADING, total: LOADING, stop: None };
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
        packed.write(&mut process.its.inbox).map_err(Stop::Told)?;
        let inbox = process.its.inbox.size();
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

fn told(raised: &Raised) -> String {
    one_line(&raised.message)
}
