//! From the source into units: heartbeats, segments, contexts, chunks, holding and dropping.
//! Touches no socket; the time is an argument.

mod arena;
pub(crate) mod change;
mod idle;
mod journal;
mod live;
pub(crate) mod timeline;
mod transitions;
mod view;
pub(crate) mod watchdog;
mod write;

use crate::flow::Flow;
use crate::flow::thin::Thinner;
use crate::pump::change::{Change, Gate};
use crate::pump::timeline::{Place, Timeline};
use ami_graph::data::schema::{Held, Schema};
use ami_proto::data_path::chunk::Staging;
use ami_proto::data_path::ids::{Conditions, Key};
use ami_proto::data_path::transition::TransitionKind;
use ami_proto::data_path::ventilator_to_worker::StepValues;
use ami_shm::RingWriter;
use ami_source::source::{Next, Source};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Staged events of a slow source are handed on after this time, so that workers do them while the
/// heartbeat is still open.
const HAND_ON_NS: u64 = 5_000_000;

/// The flushes of an earlier life are waited for so long: late ones still join the run.
const OWING_NS: u64 = 5_000_000_000;

/// What a step came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Something was taken: go on at once.
    Worked,
    /// The source has nothing now; perhaps when it is due.
    Idle(Option<Duration>),
    /// Workers, collector or root must do something first.
    Blocked(&'static str),
    /// The source ended.
    Ended,
}

/// Options of the pump.
#[derive(Debug, Clone)]
pub struct Options {
    /// Which source it is, see [`ami_source::identity`]: another does not go on where this one was.
    pub source: String,
    /// Orders hosts where timestamps are equal.
    pub host: u32,
    /// Most events of a unit.
    pub chunk_events: usize,
    /// Bytes after which a unit is closed.
    pub chunk_bytes: usize,
    /// Hold until so many workers are there.
    pub workers: usize,
    /// Hold until a graph is active.
    pub wait_for_graph: bool,
    /// Drop instead of waiting when workers are slow.
    pub drop: bool,
    /// Timestamps grow as time passes: silence means that heartbeats are empty.
    pub clocked: bool,
    /// A heartbeat without new events is closed after this time, ns.
    pub idle_close_ns: u64,
    /// A heartbeat of a live source is closed after this time, ns.
    pub cap_ns: u64,
}

/// Counts of the epoch.
#[derive(Debug, Default, Clone)]
pub struct Counts {
    /// Events taken from the source.
    pub taken: u64,
    /// Of these, dropped, by reason.
    pub dropped: BTreeMap<&'static str, u64>,
    /// Of these, folded into a later heartbeat.
    pub late: u64,
    /// Heartbeats closed.
    pub heartbeats: u64,
    /// Transitions taken.
    pub transitions: u64,
}

/// See the module's documentation.
pub struct Pump {
    source: Box<dyn Source>,
    /// The ring.
    pub ring: RingWriter,
    /// Units, flushes, lanes.
    pub flow: Flow,
    /// Graph versions.
    pub change: Change,
    timeline: Timeline,
    /// What is kept of a live source's events.
    pub thinner: Thinner,
    options: Options,
    staging: Staging,
    schema: Option<Arc<Schema>>,
    conditions: Conditions,
    held: Held,
    /// What the newest BeginStep of the run set.
    step_values: StepValues,
    context: u32,
    segment: u64,
    steps: u32,
    sequence: u64,
    chunk: Option<(u64, u64)>,
    opened_ns: u64,
    event_ns: u64,
    margin: usize,
    held_back: bool,
    ended: bool,
    /// The announced event is of a closed heartbeat.
    late: bool,
    /// Events that earlier lives took.
    before: u64,
    /// Wait for graphs also when nothing may be held: without them the root would take what it
    /// accumulated for abandoned.
    await_graphs: bool,
    /// When it was first held for the flushes of earlier lives.
    owing_ns: Option<u64>,
    /// Writings of the tally.
    recorded: u64,
    unwritable: bool,
    /// Counts of the epoch.
    pub counts: Counts,
}

impl Pump {
    /// Before anything was taken.
    pub fn new(
        source: Box<dyn Source>,
        ring: RingWriter,
        flow: Flow,
        timeline: Timeline,
        options: Options,
    ) -> Pump {
        let conditions = Conditions { reading: ring.epoch(), ..Conditions::default() };
        Pump {
            source,
            ring,
            flow,
            change: Change::default(),
            timeline,
            thinner: Thinner::default(),
            options,
            staging: Staging::default(),
            schema: None,
            conditions,
            held: Held::new(),
            step_values: StepValues::new(),
            context: 0,
            segment: 0,
            steps: 0,
            sequence: 0,
            chunk: None,
            opened_ns: 0,
            event_ns: 0,
            margin: 0,
            held_back: true,
            ended: false,
            late: false,
            before: 0,
            await_graphs: false,
            owing_ns: None,
            recorded: 0,
            unwritable: false,
            counts: Counts::default(),
        }
    }

    /// Takes what comes next, if it may be taken.
    ///
    /// # Errors
    /// When the source is broken.
    pub fn step(&mut self, now_ns: u64) -> anyhow::Result<Step> {
        if self.ended {
            self.change_while_idle();
            return Ok(Step::Ended);
        }
        match self.source.next()? {
            Next::Transition(_) => self.on_transition(now_ns),
            Next::Event(timestamp) => self.on_event(timestamp, now_ns),
            Next::Pending => self.on_pending(now_ns),
            Next::End => {
                if !self.seal() {
                    return Ok(Step::Blocked("ring full"));
                }
                // Also without an open flush: the root learns that this host ended.
                self.flow.begin(self.key(), self.context, 0, self.ring.next_position());
                self.flow.flush(true, true, now_ns);
                self.timeline.close();
                self.ended = true;
                Ok(Step::Worked)
            }
        }
    }

    /// Takes nothing more: what was taken is handed on.
    pub fn close(&mut self, now_ns: u64) {
        if self.seal() {
            self.flow.flush(true, false, now_ns);
        }
        self.record(true);
    }

    /// Who is held, silent or at the end does not wait for the decided heartbeat: it would not come, or
    /// only with the graphs. Of others the heartbeats until then would be made late.
    fn change_while_idle(&mut self) {
        if self.timeline.open().is_none()
            && let Some((version, from)) = self.change.idle()
        {
            self.apply(version);
            // The promise: no heartbeat below the decided one will be opened any more.
            if from > self.timeline.earliest() {
                self.timeline.skip(from);
            }
        }
    }

    fn apply(&mut self, version: u64) {
        self.conditions.version = version;
        self.segment += 1;
        self.new_context();
        self.flow.transition(TransitionKind::GraphUpdate, self.event_ns, Vec::new());
        self.change.applied(version, self.flow.oldest_version());
    }

    /// A lossless source is held until there is somebody to do the work, and what an earlier life
    /// left is decided: so heartbeats come in order.
    fn holding(&mut self, now_ns: u64) -> Option<&'static str> {
        if !self.held_back {
            return None;
        }
        self.change_while_idle();
        let no_graph = self.change.active() == 0;
        if no_graph && (self.await_graphs || self.options.wait_for_graph && !self.options.drop) {
            return Some("waiting: no graph is active");
        }
        if !self.options.drop {
            if self.flow.workers() < self.options.workers {
                return Some("waiting: not all workers are there");
            }
            let since = *self.owing_ns.get_or_insert(now_ns);
            if self.flow.owes() && now_ns.saturating_sub(since) < OWING_NS {
                return Some("waiting: the root decides what the last life left");
            }
        }
        self.held_back = false;
        None
    }

    fn on_event(&mut self, timestamp: u64, now_ns: u64) -> anyhow::Result<Step> {
        if let Some(reason) = self.holding(now_ns) {
            return Ok(Step::Blocked(reason));
        }
        if !self.options.drop && !self.flow.ready() {
            return Ok(Step::Blocked("workers or root behind"));
        }
        if self.options.drop && self.flow.full() && self.flow.is_open() {
            // Nobody decides: what is dropped now is declared with the open flush.
            self.drop_event("overload", timestamp);
            return Ok(Step::Worked);
        }
        let (before, max) = match self.timeline.place(timestamp) {
            Place::Open { before } => (before, usize::MAX),
            Place::Late => (0, 1),
            Place::Quarantine => {
                self.begin(timestamp, now_ns);
                self.drop_event("timestamp", timestamp);
                return Ok(Step::Worked);
            }
            Place::Next { heartbeat } => match self.enter(heartbeat, now_ns) {
                Some(step) => return Ok(step),
                None => (self.timeline.start(heartbeat + 1), usize::MAX),
            },
            Place::NewBase { heartbeat } => {
                if !self.boundary(now_ns) {
                    return Ok(Step::Blocked("ring full"));
                }
                self.timeline.rebase();
                self.timeline.enter(heartbeat);
                self.thin_heartbeat();
                (self.timeline.start(heartbeat + 1), usize::MAX)
            }
        };
        self.late = self.timeline.open().is_some_and(|h| self.timeline.heartbeat(timestamp) < h);
        self.begin(timestamp, now_ns);
        self.take(timestamp, before, if self.late { 1 } else { max }, now_ns)
    }

    /// Ends the open heartbeat, or opens one; a step instead when something comes before the event.
    fn enter(&mut self, heartbeat: u64, now_ns: u64) -> Option<Step> {
        if !self.seal() {
            return Some(Step::Blocked("ring full"));
        }
        if self.flow.is_open() {
            self.flow.flush(true, false, now_ns);
            // Workers hear of it before the next heartbeat's events are written.
            return Some(Step::Worked);
        }
        if self.timeline.open().is_some() {
            self.counts.heartbeats += 1;
            self.timeline.close();
        }
        match self.change.gate(heartbeat) {
            Gate::Go => {}
            Gate::Wait => return Some(Step::Blocked("waiting for the root's decision on a graph")),
            Gate::Apply(version) => self.apply(version),
        }
        self.timeline.enter(heartbeat);
        self.thin_heartbeat();
        None
    }

    fn key(&self) -> Key {
        let heartbeat = self.timeline.open().unwrap_or_else(|| self.timeline.earliest());
        Key { segment: self.segment, heartbeat }
    }

    fn begin(&mut self, timestamp: u64, now_ns: u64) {
        if !self.flow.is_open() {
            self.opened_ns = now_ns;
        }
        self.flow.begin(self.key(), self.context, timestamp, self.ring.next_position());
    }

    fn drop_event(&mut self, reason: &'static str, timestamp: u64) {
        self.source.skip();
        self.counts.taken += 1;
        *self.counts.dropped.entry(reason).or_default() += 1;
        let known = if reason == "timestamp" { 0 } else { timestamp };
        self.flow.drop_events(reason, 1, known);
    }

    /// Ends the open heartbeat's part of this segment and begins a new segment.
    fn boundary(&mut self, now_ns: u64) -> bool {
        if !self.seal() {
            return false;
        }
        self.flow.flush(true, false, now_ns);
        self.timeline.part();
        self.segment += 1;
        true
    }
}

#[cfg(test)]
mod tests;
