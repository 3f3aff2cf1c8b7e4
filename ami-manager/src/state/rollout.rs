//! How a version comes into effect: prepared by all, then activated, then waited for.

use super::{Client, Effect, Request, State};
use crate::commands::{self, document, refusal};
use crate::edit::{assemble, faulty};
use crate::history::{Entry, Record};
use crate::members::Member;
use crate::validate::verdict;
use ami_graph::graph::spec::{GraphSet, VersionedGraph};
use ami_proto::control::ctl_to_manager::{Edit, Refusal};
use ami_proto::control::manager_to_members::{Announce, Phase};
use ami_proto::control::member_to_manager::Role;
use serde_json::{Value, json};
use std::sync::Arc;

/// Announcements are repeated after this time while somebody has not answered …
pub const FAST_NS: u64 = 250_000_000;
/// … and after this time when everybody has: for who has not reported yet, and so is not known to lack it.
pub const SLOW_NS: u64 = 5_000_000_000;
/// A withdrawal is repeated for so long.
const WITHDRAW_NS: u64 = 2_000_000_000;
/// A version that is activated but not in effect holds up the next edit no longer than this.
pub const SETTLE_NS: u64 = 10_000_000_000;
/// Members need this long to find a manager that has just started.
pub const GRACE_NS: u64 = 1_000_000_000;
/// How long a client waits unless it says so, and at most.
const WAIT_S: (u64, u64) = (30, 3600);
/// Largest JSON of a graph set with its files.
const MAX_SET: usize = 128 << 20;

/// A version in preparation.
pub struct Rollout {
    pub version: u64,
    pub graph: String,
    pub who: String,
    pub client: Client,
    set: Arc<GraphSet>,
    json: Arc<[u8]>,
    edit: Edit,
    notes: Vec<String>,
    began_ns: u64,
    announced_ns: Option<u64>,
}

/// A version that is activated and not yet in effect everywhere.
pub struct Settling {
    pub version: u64,
    since_ns: u64,
}

/// A version that members are told to forget.
pub struct Withdrawal {
    version: u64,
    since_ns: u64,
    announced_ns: Option<u64>,
}

/// A client that waits for its version to be in effect.
pub struct Waiter {
    client: Client,
    graph: String,
    version: u64,
    deadline_ns: u64,
    not_ready: Vec<String>,
    pub notes: Vec<String>,
}

impl State {
    /// Takes up an edit: refused, or in preparation. It comes back if code that it names is still being read.
    pub(super) fn begin(
        &mut self,
        now_ns: u64,
        request: Request,
        out: &mut Vec<Effect>,
    ) -> Option<Request> {
        let prepared = self.prepare(now_ns, &request);
        if self.world.waits() {
            return Some(request);
        }
        let client = request.client;
        match prepared {
            Ok((entry, rollout)) => {
                for (hash, bytes) in &rollout.set.files {
                    if !self.active.files.contains_key(hash) {
                        out.push(Effect::Store(hash.clone(), bytes.clone()));
                    }
                }
                self.record(Record::Version(entry), out);
                self.rollout = Some(rollout);
            }
            Err(refusal) => {
                out.push(Effect::Reply { client, document: document(&refusal), edit: true });
            }
        }
        None
    }

    fn prepare(&self, now_ns: u64, request: &Request) -> Result<(Entry, Rollout), Refusal> {
        let Request { client, command, wall_ns } = request;
        let edit = commands::edit(command).map(|(_, edit)| edit.clone()).unwrap_or_default();
        let mut draft = self.against().draft(command)?;
        let version = self.next_version();
        let may_bring_code = client.may_bring_code();
        let set = assemble(&self.active, version, &mut draft, &*self.world, may_bring_code)
            .map_err(|errors| faulty(&draft.graph, errors))?;
        let set = Arc::new(set);
        let schemas = self.members.schemas(now_ns);
        let (graph, strictness) = (draft.graph.as_str(), draft.strictness);
        let verdict = verdict(&*self.world, &self.active, &set, graph, &schemas, strictness);
        if !verdict.errors.is_empty() {
            return Err(faulty(graph, verdict.errors));
        }
        let json: Arc<[u8]> = set.to_json_bytes().into();
        if json.len() > MAX_SET {
            let error = format!("all graphs with their files have {} bytes as JSON", json.len());
            return Err(refusal(error, format!("at most {MAX_SET} are sent to the members")));
        }
        let entry = Entry {
            version,
            graph: draft.graph.clone(),
            who: edit.who.clone(),
            when_ns: *wall_ns,
            what: draft.what,
            content: draft.content.map(|(spec, resets)| VersionedGraph { version, spec, resets }),
        };
        let rollout = Rollout {
            version,
            graph: draft.graph,
            who: edit.who.clone(),
            client: client.clone(),
            set,
            json,
            edit,
            notes: verdict.warnings,
            began_ns: now_ns,
            announced_ns: None,
        };
        Ok((entry, rollout))
    }

    /// Decides about the version in preparation, if it can be decided.
    pub(super) fn progress(&mut self, now_ns: u64, out: &mut Vec<Effect>) {
        let Some(rollout) = &self.rollout else { return };
        let version = rollout.version;
        let refusals: Vec<(&Member, &[String])> = self
            .members
            .all()
            .filter(|m| m.live(now_ns))
            .filter_map(|m| Some((m, m.answer(version).filter(|why| !why.is_empty())?)))
            .collect();
        if !refusals.is_empty() {
            let refusal = refused(version, &refusals);
            return self.withdraw(now_ns, refusal, out);
        }
        let participants = || self.members.participants(now_ns);
        let nobody = participants().next().is_none();
        if nobody && now_ns.saturating_sub(self.started_ns) < GRACE_NS {
            return;
        }
        let silent: Vec<String> =
            participants().filter(|m| m.answer(version).is_none()).map(Member::label).collect();
        let late = now_ns.saturating_sub(rollout.began_ns) >= self.prepare_timeout_ns;
        if silent.is_empty() || late {
            self.activate(now_ns, silent, nobody, out);
        }
    }

    fn withdraw(&mut self, now_ns: u64, refusal: Refusal, out: &mut Vec<Effect>) {
        let Some(rollout) = self.rollout.take() else { return };
        let why = refusal.error.clone();
        self.record(Record::Withdrawn { version: rollout.version, why }, out);
        self.withdrawal =
            Some(Withdrawal { version: rollout.version, since_ns: now_ns, announced_ns: None });
        let document = document(&refusal);
        out.push(Effect::Reply { client: rollout.client, document, edit: true });
    }

    fn activate(&mut self, now_ns: u64, silent: Vec<String>, nobody: bool, out: &mut Vec<Effect>) {
        let Some(rollout) = self.rollout.take() else { return };
        let version = rollout.version;
        self.record(Record::Active(version), out);
        (self.active, self.json) = (rollout.set, rollout.json);
        self.announced_ns = None;
        self.settling = Some(Settling { version, since_ns: now_ns });
        let seconds = match rollout.edit.timeout_s {
            0 => WAIT_S.0,
            given => given.min(WAIT_S.1),
        };
        let mut waiter = Waiter {
            client: rollout.client,
            graph: rollout.graph,
            version,
            deadline_ns: now_ns + seconds * 1_000_000_000,
            not_ready: silent,
            notes: rollout.notes,
        };
        if nobody {
            waiter.notes.push("no member is running: it takes effect when members come".into());
        }
        if nobody || rollout.edit.no_wait {
            // Announced before it is answered, so that whoever asks next finds it on its way.
            self.announce(now_ns, out);
            let answer = self.answer(now_ns, waiter);
            return out.push(answer);
        }
        self.waiters.push(waiter);
    }

    /// Lets the next edit come when this one is in effect, or has had its time.
    pub(super) fn settle(&mut self, now_ns: u64) {
        let Some(settling) = &self.settling else { return };
        let all = self.members.participants(now_ns).all(|m| m.report.version >= settling.version);
        if all || now_ns.saturating_sub(settling.since_ns) >= SETTLE_NS {
            self.settling = None;
        }
    }

    /// Answers who waits for what is in effect now, and who has waited long enough.
    pub(super) fn answer_waiters(&mut self, now_ns: u64, out: &mut Vec<Effect>) {
        let in_effect = self.members.in_effect(now_ns);
        let over = |w: &mut Waiter| in_effect >= w.version || now_ns >= w.deadline_ns;
        let done: Vec<Waiter> = self.waiters.extract_if(.., over).collect();
        for waiter in done {
            out.push(self.answer(now_ns, waiter));
        }
    }

    pub(super) fn answer(&self, now_ns: u64, waiter: Waiter) -> Effect {
        let (there, missing): (Vec<&Member>, Vec<&Member>) =
            self.members.participants(now_ns).partition(|m| m.report.version >= waiter.version);
        let mut document = json!({
            "graph": waiter.graph,
            "version": waiter.version,
            "in_effect": missing.is_empty() && !there.is_empty(),
            "members": there.iter().map(|m| m.label()).collect::<Vec<_>>(),
            "waiting_for": missing.iter().map(|m| waited_for(m, waiter.version)).collect::<Vec<_>>(),
            "not_ready": waiter.not_ready,
        });
        if there.is_empty() && missing.is_empty() {
            document["waiting_for"] = json!(["no member is running"]);
        }
        if !waiter.notes.is_empty() {
            document["warning"] = waiter.notes.join("; ").into();
        }
        Effect::Reply { client: waiter.client, document, edit: true }
    }

    /// Publishes what is due.
    pub(super) fn announce(&mut self, now_ns: u64, out: &mut Vec<Effect>) {
        let life = self.life;
        let message = |version, phase, json: &Arc<[u8]>| {
            Effect::Announce(Announce { life, version, phase }, json.clone())
        };
        if let Some(withdrawal) = &mut self.withdrawal {
            if due(&mut withdrawal.announced_ns, now_ns, FAST_NS) {
                out.push(message(withdrawal.version, Phase::Withdraw, &Arc::from([])));
            }
            if now_ns.saturating_sub(withdrawal.since_ns) >= WITHDRAW_NS {
                self.withdrawal = None;
            }
        }
        let interval = self.interval(now_ns);
        if self.active.version > 0 && due(&mut self.announced_ns, now_ns, interval) {
            out.push(message(self.active.version, Phase::Activate, &self.json));
        }
        if let Some(rollout) = &mut self.rollout {
            let interval = fast(rollout.json.len());
            if due(&mut rollout.announced_ns, now_ns, interval) {
                out.push(message(rollout.version, Phase::Prepare, &rollout.json));
            }
        }
    }

    /// How often the active set is repeated: often while somebody lacks it, and a large one seldom.
    fn interval(&self, now_ns: u64) -> u64 {
        let version = self.active.version;
        let knows = |m: &Member| {
            let prepared = m.report.prepared.as_ref().map_or(0, |p| p.version);
            prepared.max(m.report.version) >= version
        };
        // The store follows results and answers nothing.
        let listens =
            |m: &&Member| m.live(now_ns) && !matches!(m.report.role, Role::Store | Role::Gateway);
        let all_know = self.members.all().filter(listens).all(knows);
        if self.settling.is_some() || !all_know {
            return fast(self.json.len());
        }
        // 4 MB/s at most.
        SLOW_NS.max(self.json.len() as u64 * 250)
    }
}

/// Under 64 MB/s.
fn fast(bytes: usize) -> u64 {
    FAST_NS.max(bytes as u64 * 16)
}

fn due(last: &mut Option<u64>, now_ns: u64, interval: u64) -> bool {
    let due = last.is_none_or(|last| now_ns.saturating_sub(last) >= interval);
    if due {
        *last = Some(now_ns);
    }
    due
}

fn refused(version: u64, refusals: &[(&Member, &[String])]) -> Refusal {
    let list: Vec<String> =
        refusals.iter().map(|(m, why)| format!("{}: {}", m.label(), why.join("; "))).collect();
    let entries = |(m, why): &(&Member, &[String])| -> Value {
        json!({ "member": m.label(), "host": m.report.host, "reasons": why })
    };
    Refusal {
        error: format!("version {version} was refused by {}", list.join(" and by ")),
        hint: "nothing was changed; correct the graph, or that member, and repeat the edit".into(),
        errors: refusals.iter().map(entries).collect(),
    }
}

/// A member that is waited for, with what it says.
pub(super) fn waited_for(member: &Member, version: u64) -> String {
    let report = &member.report;
    let answer = match member.answer(version) {
        None => "has not answered".to_string(),
        Some([]) => "is ready".to_string(),
        Some(why) => format!("refuses: {}", why.join("; ")),
    };
    format!("{} ({}, at version {}, {answer})", member.label(), report.state, report.version)
}
