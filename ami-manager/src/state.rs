//! The manager's decisions: inputs in, effects out; no socket, file or clock.
//!
//! The loop performs the effects in their order, so whatever is answered or announced is in the
//! journal already. Edits are taken one at a time:
//!
//! ```text
//!     queue ─► validate ─► journal ─► Prepare ──all ready, or out of time──► Activate ─► settled
//!                 │                      └──────any refusal──────► Withdraw      │
//!                 └─► refused                                                    └─► answered
//! ```
//!
//! User code that an edit names is read beside the loop: until it is, the edit stays first in the queue.

mod documents;
mod questions;
mod rollout;

#[cfg(test)]
mod tests;

use crate::commands;
use crate::edit::{Against, load_files};
use crate::history::{History, Record};
use crate::members::Members;
use crate::validate::World;
use ami_graph::data::files::Files;
use ami_graph::graph::spec::GraphSet;
use ami_proto::control::ctl_to_manager::Command;
use ami_proto::control::manager_to_members::Announce;
use ami_proto::control::member_to_manager::Report;
use ami_proto::security::credentials::Peer;
use ami_proto::security::keys::Role;
use questions::allowed;
use rollout::{Rollout, Settling, Waiter, Withdrawal};
use serde_json::Value;
use std::collections::VecDeque;
use std::sync::Arc;

/// Most edits that wait for their turn.
pub const MAX_QUEUE: usize = 64;
/// Versions are numbers that JSON readers of every language hold exactly.
const MAX_VERSION: u64 = 1 << 53;

/// Who asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    /// The socket's name for the connection.
    pub identity: Vec<u8>,
    /// Whether it puts an empty frame before the request, as REQ does.
    pub delimited: bool,
    /// Whose key opened the connection; None where it is no longer allowed.
    pub peer: Option<Peer>,
}

impl Client {
    /// Whether edits of this client may bring or change user code.
    fn may_bring_code(&self) -> bool {
        self.peer.as_ref().is_some_and(|peer| peer.role.permits(Role::Operate))
    }
}

/// What happened.
#[derive(Debug, Clone)]
pub enum Input {
    /// A request came.
    Request {
        /// From whom.
        client: Client,
        /// As it came.
        bytes: Vec<u8>,
        /// When, ns since the Unix epoch: the history's time.
        wall_ns: u64,
    },
    /// A member reported.
    Report {
        /// What it said.
        report: Box<Report>,
        /// Size of the message.
        bytes: usize,
    },
    /// Why the journal is not written at present; None: it is.
    Journal(Option<String>),
    /// Time passed.
    Tick,
    /// The manager stops: nobody is left without an answer.
    Stop,
}

/// What to do about it, in this order.
#[derive(Debug, Clone)]
pub enum Effect {
    /// Answer a client.
    Reply {
        /// Whom.
        client: Client,
        /// With what.
        document: Value,
        /// It answers an edit, and has to say so if the edit could not be journaled.
        edit: bool,
    },
    /// Publish.
    Announce(Announce, Arc<[u8]>),
    /// Keep a file under its hash.
    Store(String, Vec<u8>),
    /// Append to the journal.
    Append(Record),
    /// Write the journal anew from [`State::records`].
    Rewrite,
    /// A report was not taken: log and count it.
    Ignored(String),
    /// A request was not allowed: log and count it.
    Denied(String),
}

/// How the journal is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JournalHealth {
    /// Where it is.
    pub path: String,
    /// Why it is not written at present.
    pub error: Option<String>,
    /// What was wrong with it at start.
    pub notes: Vec<String>,
}

/// What a state is made from.
pub struct Start {
    /// Files and engine.
    pub world: Box<dyn World>,
    /// What the journal held.
    pub records: Vec<Record>,
    /// How the journal is.
    pub journal: JournalHealth,
    /// This life: start time in ns.
    pub life: u64,
    /// A member that has not answered after this time vetoes nothing.
    pub prepare_timeout_ns: u64,
}

struct Request {
    client: Client,
    command: Command,
    wall_ns: u64,
}

/// The state.
pub struct State {
    world: Box<dyn World>,
    prepare_timeout_ns: u64,
    life: u64,
    started_ns: u64,
    history: History,
    /// The set that is active, and its JSON.
    active: Arc<GraphSet>,
    json: Arc<[u8]>,
    announced_ns: Option<u64>,
    members: Members,
    /// Newest version that any member spoke of: a journal may have been lost.
    seen: u64,
    queue: VecDeque<Request>,
    /// The first edit's code was still being read when so much was known.
    reading: Option<u64>,
    /// Questions about graphs whose code was still being read when so much was known.
    unread: Vec<(u64, Request)>,
    rollout: Option<Rollout>,
    settling: Option<Settling>,
    withdrawal: Option<Withdrawal>,
    waiters: Vec<Waiter>,
    journal: JournalHealth,
}

impl State {
    /// Takes up the journal; a version that was still being prepared is withdrawn.
    pub fn new(now_ns: u64, start: Start) -> (State, Vec<Effect>) {
        let mut history = History::default();
        for record in start.records {
            history.take(record);
        }
        let mut active = history.set();
        let missing = load_files(&mut active, &*start.world);
        let mut state = State {
            world: start.world,
            prepare_timeout_ns: start.prepare_timeout_ns,
            life: start.life.max(history.life() + 1),
            started_ns: now_ns,
            json: active.to_json_bytes().into(),
            active: Arc::new(active),
            history,
            announced_ns: None,
            members: Members::default(),
            seen: 0,
            queue: VecDeque::new(),
            reading: None,
            unread: Vec::new(),
            rollout: None,
            settling: None,
            withdrawal: None,
            waiters: Vec::new(),
            journal: start.journal,
        };
        state.journal.notes.extend(missing);
        let mut out = Vec::new();
        state.record(Record::Life(state.life), &mut out);
        while let Some(version) = state.history.pending() {
            let why = "the manager was restarted before every member had answered".to_string();
            state.record(Record::Withdrawn { version, why }, &mut out);
        }
        state.announce(now_ns, &mut out);
        (state, out)
    }

    /// Takes one input; what follows from it is to be done in this order.
    pub fn on(&mut self, now_ns: u64, input: Input) -> Vec<Effect> {
        let mut out = Vec::new();
        match input {
            Input::Request { client, bytes, wall_ns } => {
                self.request(now_ns, client, &bytes, wall_ns, &mut out);
            }
            Input::Report { report, bytes } => self.report(now_ns, *report, bytes, &mut out),
            Input::Journal(error) => self.journal.error = error,
            Input::Tick => self.members.forget(now_ns),
            Input::Stop => {
                self.stop(now_ns, &mut out);
                return out;
            }
        }
        self.advance(now_ns, &mut out);
        out
    }

    /// The records that make this state again.
    pub fn records(&self) -> Vec<Record> {
        self.history.records()
    }

    /// The files of the active set.
    pub fn files(&self) -> &Files {
        &self.active.files
    }

    /// The active set.
    pub fn set(&self) -> &GraphSet {
        &self.active
    }

    /// Numbers for `/metrics`: live members, active version, version in effect everywhere, edits waiting.
    pub fn numbers(&self, now_ns: u64) -> [(&'static str, f64); 4] {
        let live = self.members.all().filter(|m| m.live(now_ns)).count();
        [
            ("ami_manager_members", live as f64),
            ("ami_manager_version", self.active.version as f64),
            ("ami_manager_version_in_effect", self.members.in_effect(now_ns) as f64),
            ("ami_manager_edits_waiting", self.queue.len() as f64),
        ]
    }

    fn against(&self) -> Against<'_> {
        Against { set: &self.active, history: &self.history, world: &*self.world }
    }

    fn record(&mut self, record: Record, out: &mut Vec<Effect>) {
        self.history.take(record.clone());
        out.push(Effect::Append(record));
    }

    fn next_version(&self) -> u64 {
        self.history.newest().max(self.seen) + 1
    }

    fn report(&mut self, now_ns: u64, report: Report, bytes: usize, out: &mut Vec<Effect>) {
        let version = report.version;
        match self.members.hear(now_ns, report, bytes) {
            Ok(()) if version < MAX_VERSION => self.seen = self.seen.max(version),
            Ok(()) => {}
            Err(reason) => out.push(Effect::Ignored(reason)),
        }
    }

    fn request(
        &mut self,
        now_ns: u64,
        client: Client,
        bytes: &[u8],
        wall_ns: u64,
        out: &mut Vec<Effect>,
    ) {
        let mut command = match commands::parse(bytes) {
            Ok(command) => command,
            Err(refusal) => {
                let document = commands::document(&refusal);
                return out.push(Effect::Reply { client, document, edit: false });
            }
        };
        if let Err(refusal) = allowed(&client, &mut command) {
            out.push(Effect::Denied(refusal.error.clone()));
            let document = commands::document(&refusal);
            return out.push(Effect::Reply { client, document, edit: false });
        }
        let request = Request { client, command, wall_ns };
        if commands::edit(&request.command).is_none() {
            return self.answer_question(now_ns, request, out);
        }
        let client = request.client.clone();
        if self.queue.len() >= MAX_QUEUE {
            let error = format!("the manager is busy: {MAX_QUEUE} edits wait for their turn");
            let refusal = commands::refusal(error, "repeat the edit in a moment");
            let document = commands::document(&refusal);
            return out.push(Effect::Reply { client, document, edit: true });
        }
        self.queue.push_back(request);
    }

    fn advance(&mut self, now_ns: u64, out: &mut Vec<Effect>) {
        loop {
            self.progress(now_ns, out);
            self.settle(now_ns);
            if self.rollout.is_some() || self.settling.is_some() {
                break;
            }
            let found = self.world.found();
            if self.reading == Some(found) {
                break;
            }
            let Some(request) = self.queue.pop_front() else { break };
            let unread = self.begin(now_ns, request, out);
            self.reading = unread.is_some().then_some(found);
            if let Some(request) = unread {
                self.queue.push_front(request);
                break;
            }
        }
        self.look_again(now_ns, out);
        self.answer_waiters(now_ns, out);
        self.announce(now_ns, out);
        let grew = out.iter().any(|e| matches!(e, Effect::Append(_)));
        if grew && self.history.trim() {
            out.push(Effect::Rewrite);
        }
    }

    fn stop(&mut self, now_ns: u64, out: &mut Vec<Effect>) {
        let clients: Vec<Client> = self
            .rollout
            .take()
            .map(|r| r.client)
            .into_iter()
            .chain(self.queue.drain(..).map(|r| r.client))
            .chain(self.unread.drain(..).map(|(_, r)| r.client))
            .collect();
        for client in clients {
            let refusal = commands::refusal(
                "the manager is stopping: nothing was done",
                "repeat the request when the manager is back",
            );
            let document = commands::document(&refusal);
            out.push(Effect::Reply { client, document, edit: true });
        }
        for mut waiter in std::mem::take(&mut self.waiters) {
            waiter.notes.push("the manager is stopping; the version stays".into());
            out.push(self.answer(now_ns, waiter));
        }
    }
}
