//! The loop: polls three sockets, calls the state machine, performs what it says. It never waits
//! for anybody: answers and announcements that a peer does not take are dropped.

use crate::commands::{self, MAX_REQUEST};
use crate::journal::{Journal, JournalError};
use crate::members::MAX_REPORT;
use crate::state::{Client, Effect, Input, JournalHealth, Start, State};
use crate::trying::Trying;
use crate::validate::Engine;
use ami_proto::codec;
use ami_proto::config::Config;
use ami_proto::control::member_to_manager::Report;
use ami_proto::health::metrics::Metrics;
use ami_proto::health::throttle::Throttle;
use ami_proto::process::daemon::{Daemon, now_ns};
use ami_proto::socket::endpoint::Endpoint;
use ami_proto::socket::{self, Broadcast, Context, Inlet, Queue};
use ami_python::Python;
use serde_json::Value;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use zmq::Message;

/// How often the clock is looked at when nothing happens.
const TICK: Duration = Duration::from_millis(50);
/// Most messages taken from one socket before the others have their turn.
const BATCH: usize = 256;
/// A journal that could not be written is tried again after this time.
const RETRY: Duration = Duration::from_secs(5);
/// How often numbers are published.
const NUMBERS: Duration = Duration::from_secs(1);

/// Where the journal is.
fn journal_path(config: &Config) -> PathBuf {
    if config.manager.journal.as_os_str().is_empty() {
        config.instance.run_dir.join("graphs.journal")
    } else {
        config.manager.journal.clone()
    }
}

/// Checks what the configuration's form does not show.
///
/// # Errors
/// When the journal's place is no place for a file.
pub fn check(config: &Config) -> anyhow::Result<()> {
    let path = journal_path(config);
    if std::fs::metadata(&path).is_ok_and(|m| !m.is_file()) {
        return Err(JournalError::NoFile { path }.into());
    }
    Ok(())
}

/// Runs the manager until it is asked to stop.
///
/// # Errors
/// When an address or the journal cannot be had.
pub fn run(config: &Config, daemon: &mut Daemon) -> anyhow::Result<()> {
    let mut manager = Manager::new(config, daemon)?;
    daemon.ready("holding the graphs");
    while !daemon.stopping() {
        manager.turn()?;
        daemon.beat();
    }
    let now = manager.now();
    let effects = manager.state.on(now, Input::Stop);
    manager.perform(effects);
    Ok(())
}

/// Logs how the journal was found.
fn tell(journal: &Journal, notes: &[String]) {
    if let Some(reason) = journal.broken() {
        tracing::error!(reason, "edits go on without a journal; it is tried again");
    }
    for note in notes {
        tracing::warn!(journal = %journal.path().display(), "{note}");
    }
}

/// What reads user code, beside the loop.
fn code(config: &Config) -> std::io::Result<Arc<Trying>> {
    let python = Python::new(config.python.clone(), &config.instance.run_dir, "manager");
    Ok(Arc::new(Trying::start(python.proving())?))
}

struct Manager {
    context: Context,
    commands: Inlet,
    graphs: Broadcast,
    reports: Inlet,
    frames: Vec<Message>,
    state: State,
    journal: Journal,
    /// Why the journal is not written, as it was logged and as the state was told.
    journal_error: Option<String>,
    told: Option<String>,
    retry: Instant,
    metrics: Metrics,
    numbers: Option<Instant>,
    start: Instant,
    requests: u64,
    bad: u64,
    unsent: u64,
    denied: u64,
    throttle: Throttle,
}

impl Manager {
    fn new(config: &Config, daemon: &Daemon) -> anyhow::Result<Manager> {
        let context = daemon.context.clone();
        let bind = |kind, queue, endpoint: Endpoint, what| {
            socket::bind(&context, kind, queue, &endpoint.bind(config), what)
        };
        // A byte more, so that a request at the limit is answered and not cut off.
        let requests = Queue::Requests(MAX_REQUEST as i64 + 1);
        let commands = bind(zmq::ROUTER, requests, Endpoint::Manager, "manager")?;
        // Few: each may carry files, and what is dropped is repeated.
        let address = Endpoint::Graphs.bind(config);
        let graphs = Broadcast::bind(&context, Queue::Bounded(4), &address, "manager")?;
        let reports = bind(zmq::PULL, Queue::Bounded(256), Endpoint::Reports, "manager")?;
        let (journal, contents) = Journal::open(&journal_path(config))?;
        tell(&journal, &contents.notes);
        let health = JournalHealth {
            path: journal.path().display().to_string(),
            error: None,
            notes: contents.notes,
        };
        let (limits, files, code) = (config.limits(), journal.files(), code(config)?);
        let start = Start {
            world: Box::new(Engine { limits, files, code }),
            records: contents.records,
            journal: health,
            life: daemon.life,
            prepare_timeout_ns: config.manager.prepare_timeout_ms.saturating_mul(1_000_000),
        };
        let (state, effects) = State::new(0, start);
        let now = Instant::now();
        let mut manager = Manager {
            context,
            commands,
            graphs,
            reports,
            frames: Vec::new(),
            state,
            journal,
            journal_error: None,
            told: None,
            retry: now,
            metrics: daemon.metrics.clone(),
            numbers: None,
            start: now,
            requests: 0,
            bad: 0,
            unsent: 0,
            denied: 0,
            throttle: Throttle::new(20, Duration::from_secs(1)),
        };
        manager.perform(effects);
        Ok(manager)
    }

    /// Time that never goes back.
    fn now(&self) -> u64 {
        self.start.elapsed().as_nanos() as u64
    }

    fn turn(&mut self) -> anyhow::Result<()> {
        socket::wait([&self.commands, &self.reports, self.graphs.inlet()], TICK)?;
        for _ in 0..BATCH {
            if !self.reports.receive(&mut self.frames)? {
                break;
            }
            self.report();
        }
        for _ in 0..BATCH {
            if !self.commands.receive(&mut self.frames)? {
                break;
            }
            self.request();
        }
        // Members have nothing to say there but that they subscribe.
        while self.graphs.receive(&mut self.frames)? {}
        self.input(Input::Tick);
        self.recover();
        self.publish_numbers();
        Ok(())
    }

    fn input(&mut self, input: Input) {
        let now = self.now();
        let effects = self.state.on(now, input);
        self.perform(effects);
    }

    fn report(&mut self) {
        let decoded = match &self.frames[..] {
            [frame] if frame.len() <= MAX_REPORT => {
                codec::decode::<Report>(frame).map(|r| (r, frame.len())).map_err(|e| e.to_string())
            }
            frames => Err(format!(
                "{} frames of {} bytes are no report",
                frames.len(),
                frames.iter().map(|f| f.len()).sum::<usize>()
            )),
        };
        match decoded {
            Ok((report, bytes)) => self.input(Input::Report { report: Box::new(report), bytes }),
            Err(reason) => self.ignored(&reason),
        }
    }

    fn ignored(&mut self, reason: &str) {
        self.bad += 1;
        // The first ones tell what is wrong; a flood of them must not fill the disk.
        if self.bad.is_power_of_two() {
            tracing::warn!(reason, total = self.bad, "report ignored");
        }
    }

    fn denied(&mut self, reason: &str) {
        self.denied += 1;
        if let Some(unsaid) = self.throttle.pass(Instant::now()) {
            tracing::warn!(reason, total = self.denied, unsaid, "request denied");
        }
    }

    /// A request is `[identity, (empty,) JSON]`; REQ sends the empty frame, DEALER need not.
    fn request(&mut self) {
        self.requests += 1;
        // Any frame of a message tells who sent it, but for the identity, which the router adds.
        let peer = self.frames.last_mut().map(|f| self.context.peer(f));
        let Some((identity, rest)) = self.frames.split_first() else { return };
        let delimited = rest.first().is_some_and(|f| f.is_empty());
        let client = Client { identity: identity.to_vec(), delimited, peer: peer.flatten() };
        match &rest[usize::from(delimited)..] {
            [body] => {
                // One byte beyond the limit is refused like all of them, without a copy of them.
                let bytes = body[..body.len().min(MAX_REQUEST + 1)].to_vec();
                self.input(Input::Request { client, bytes, wall_ns: now_ns() });
            }
            bodies => {
                self.bad += 1;
                let error = format!("a request is one frame of JSON, {} came", bodies.len());
                let refusal = commands::refusal(error, r#"send {"cmd": "status"} on a REQ socket"#);
                self.reply(&client, &commands::document(&refusal));
            }
        }
    }

    fn perform(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Reply { client, mut document, edit } => {
                    if let (true, Some(reason)) = (edit, self.journal.broken()) {
                        document["journal_error"] = reason.into();
                    }
                    self.reply(&client, &document);
                }
                Effect::Announce(announce, json) => {
                    let frames = [codec::encode(&announce), json.to_vec()];
                    let sent = self.graphs.send(frames);
                    self.unsent += u64::from(!matches!(sent, Ok(true)));
                }
                Effect::Store(hash, bytes) => {
                    let kept = self.journal.store(&hash, &bytes);
                    self.journaled(kept);
                }
                Effect::Append(record) => {
                    let kept = self.journal.append(&record);
                    self.journaled(kept);
                }
                Effect::Rewrite => self.rewrite(),
                Effect::Ignored(reason) => self.ignored(&reason),
                Effect::Denied(reason) => self.denied(&reason),
            }
        }
    }

    fn journaled(&mut self, kept: Result<(), String>) {
        let Err(reason) = kept else { return };
        // Said once per failure: what follows it is refused by the journal with the same words.
        if self.journal_error.as_ref() != Some(&reason) {
            tracing::error!(reason, "edits go on without a journal; it is tried again");
            self.journal_error = Some(reason);
            self.retry = Instant::now() + RETRY;
        }
    }

    fn rewrite(&mut self) {
        let written = self.journal.rewrite(&self.state.records());
        self.journaled(written);
    }

    /// Tells the state how the journal is, and tries a broken one again.
    fn recover(&mut self) {
        if self.journal.broken().is_some() && Instant::now() >= self.retry {
            self.retry = Instant::now() + RETRY;
            self.rewrite();
            for (hash, bytes) in self.state.files() {
                if self.journal.broken().is_none() {
                    // A failure is seen by the next look at the journal.
                    let _ = self.journal.store(hash, bytes);
                }
            }
            if self.journal.broken().is_none() {
                tracing::info!("the journal is complete again");
            }
        }
        let broken = self.journal.broken().map(String::from);
        if broken != self.told {
            self.journal_error.clone_from(&broken);
            self.told.clone_from(&broken);
            self.input(Input::Journal(broken));
        }
    }

    fn reply(&mut self, client: &Client, document: &Value) {
        let delimiter = client.delimited.then(Vec::new);
        let body = document.to_string().into_bytes();
        let frames = std::iter::once(client.identity.clone()).chain(delimiter).chain([body]);
        // Not sent: the client has gone, or does not read its answers.
        let sent = socket::send(self.commands.socket(), frames);
        self.unsent += u64::from(!matches!(sent, Ok(true)));
    }

    fn publish_numbers(&mut self) {
        if self.numbers.is_some_and(|n| n.elapsed() < NUMBERS) {
            return;
        }
        self.numbers = Some(Instant::now());
        for (name, value) in self.state.numbers(self.now()) {
            self.metrics.set(name, value);
        }
        self.metrics.set("ami_manager_requests_total", self.requests as f64);
        self.metrics.set("ami_manager_bad_messages_total", self.bad as f64);
        self.metrics.set("ami_manager_unsent_total", self.unsent as f64);
        self.metrics.set("ami_manager_denied_total", self.denied as f64);
        let broken = self.journal.broken().is_some();
        self.metrics.set("ami_manager_journal_ok", if broken { 0.0 } else { 1.0 });
    }
}
