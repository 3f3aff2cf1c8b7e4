//! The event path's bookkeeping on a host: units, flushes, lanes, replay, acknowledgement. Pure:
//! inputs and time come as arguments, what is to be sent is returned as effects.
//!
//! Invariants: units and flushes are numbered without gaps; the units of a flush follow each other;
//! a unit's id, events and place never change, also when it is done again; what lies below the
//! watermark is forgotten, nothing else ever is.

use crate::flow::quarantine::Poisonous;
use ami_graph::data::schema::{Held, Schema};
use ami_proto::data_path::chunk::Sealed;
use ami_proto::data_path::ids::{Conditions, Key, Progress, Taken};
use ami_proto::data_path::to_collector::{Manifest, ToCollector};
use ami_proto::data_path::transition::TransitionKind;
use ami_proto::data_path::ventilator_to_worker::{Context, Descriptor, LaneMessage, StepValues};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

mod answer;
pub(crate) mod busy_lanes;
mod decided;
mod lanes;
pub mod past;
mod poison;
pub(crate) mod quarantine;
pub(crate) mod thin;
pub use lanes::Lane;

/// What is to be done outside.
#[derive(Debug, Clone)]
pub enum Effect {
    /// Send on a lane.
    Lane(u32, LaneMessage),
    /// Send a lane the graphs of a version.
    LaneGraphs(u32, u64),
    /// Send to the host collector.
    Collector(ToCollector),
    /// Send the host collector the graphs of a version.
    CollectorGraphs(u64),
    /// Ring positions below are free.
    Free(u64),
    /// Save a unit that was given up.
    Quarantine(Box<Poisonous>),
}

/// Limits of the flow.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Units a lane may have on hand.
    pub credits: u64,
    /// Lanes that get units at a time, of those that get on with them; see [`Flow::use_lanes`].
    pub busy_lanes: usize,
    /// Undecided flushes.
    pub flushes_in_flight: usize,
    /// Undecided manifests are repeated after this time, ns.
    pub repeat_ns: u64,
}

#[derive(Debug, Clone)]
struct Unit {
    descriptor: Descriptor,
    flush: u64,
    key: Key,
    /// Who has it; None while it waits for a lane.
    lane: Option<u32>,
}

#[derive(Debug, Clone)]
struct Flush {
    manifest: Manifest,
    /// Ring position after its last unit.
    end: u64,
    sent_ns: u64,
}

/// The open flush.
#[derive(Debug, Clone)]
struct Open {
    key: Key,
    units: Vec<(u64, u32)>,
    lanes: BTreeSet<u32>,
    dropped: BTreeMap<String, u64>,
    late: u64,
    timestamp_ns: u64,
    context: u32,
    start: u64,
}

/// See the module's documentation.
#[derive(Debug, Clone)]
pub struct Flow {
    epoch: u64,
    limits: Limits,
    /// Units that are not decided; the first is number `first_unit`.
    units: VecDeque<Unit>,
    first_unit: u64,
    /// Flushes that are closed but not decided; the first is number `watermark`.
    flushes: VecDeque<Flush>,
    watermark: u64,
    /// How far the epoch is decided, and closed.
    decided: Progress,
    closed: Progress,
    root_life: u64,
    open: Option<Open>,
    /// Units that wait for a lane, in order.
    waiting: VecDeque<u64>,
    /// Units of dead lanes, to be done again alone.
    replays: VecDeque<u64>,
    lanes: BTreeMap<u32, Lane>,
    sticky: Option<u32>,
    /// When lanes were looked at last.
    looked_ns: u64,
    schemas: BTreeMap<u32, Arc<Schema>>,
    contexts: BTreeMap<u32, Context>,
    /// What the host collector was told in its present life.
    told: lanes::Told,
    position: u64,
    /// Decided, and held only by recorders: number after the last unit, ring position.
    freeable: VecDeque<(u64, u64)>,
    /// Earlier lives that are still to be answered for.
    owed: Vec<answer::Owed>,
    poison: poison::Poison,
    /// Events in units so far.
    made: u64,
    /// Units that lanes were done with so far.
    credited: u64,
    /// Flushes or contexts changed since the journal was written.
    unwritten: bool,
    /// The watermark moved since the tally was written.
    touched: bool,
    effects: Vec<Effect>,
}

impl Flow {
    /// An epoch's begin.
    pub fn new(epoch: u64, limits: Limits) -> Flow {
        Flow {
            epoch,
            limits,
            units: VecDeque::new(),
            first_unit: 0,
            flushes: VecDeque::new(),
            watermark: 0,
            decided: Progress::default(),
            closed: Progress::default(),
            root_life: 0,
            open: None,
            waiting: VecDeque::new(),
            replays: VecDeque::new(),
            lanes: BTreeMap::new(),
            sticky: None,
            looked_ns: 0,
            schemas: BTreeMap::new(),
            contexts: BTreeMap::new(),
            told: lanes::Told::default(),
            position: 0,
            freeable: VecDeque::new(),
            owed: Vec::new(),
            poison: poison::Poison::default(),
            made: 0,
            credited: 0,
            unwritten: true,
            touched: true,
            effects: Vec::new(),
        }
    }

    /// What is to be done, in order.
    pub fn effects(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.effects)
    }

    /// A new schema.
    pub fn schema(&mut self, schema: Arc<Schema>) -> u32 {
        let number = self.schemas.last_key_value().map_or(0, |(n, _)| n + 1);
        self.schemas.insert(number, schema);
        self.unwritten = true;
        number
    }

    /// A new context; units from here on carry it.
    pub fn context(&mut self, conditions: Conditions, held: Held, step_values: StepValues) -> u32 {
        let number = self.contexts.last_key_value().map_or(0, |(n, _)| n + 1);
        self.forget_unused();
        self.contexts.insert(number, Context { number, conditions, held, step_values });
        self.unwritten = true;
        self.tell_lanes(number);
        number
    }

    /// Number of lanes that work.
    pub fn workers(&self) -> usize {
        self.lanes.values().filter(|l| l.works()).count()
    }

    /// Undecided flushes, the open one not counted.
    pub fn in_flight(&self) -> usize {
        self.flushes.len()
    }

    /// Whether as much is undecided as may be.
    pub fn full(&self) -> bool {
        self.flushes.len() >= self.limits.flushes_in_flight
    }

    /// Whether another unit can be taken on: a lane has room, and not too much is undecided.
    pub fn ready(&self) -> bool {
        !self.full() && self.waiting.is_empty() && self.open_lanes().next().is_some()
    }

    /// Whether all is decided and nothing is open.
    pub fn drained(&self) -> bool {
        self.flushes.is_empty() && self.open.is_none() && self.owed.is_empty()
    }

    /// Undecided units.
    pub fn pending_units(&self) -> usize {
        self.units.len()
    }

    /// Flushes below are decided.
    pub fn watermark(&self) -> u64 {
        self.watermark
    }

    /// Whether a flush is open.
    pub fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Opens a flush for a heartbeat, if none is open.
    pub fn begin(&mut self, key: Key, context: u32, timestamp_ns: u64, start: u64) {
        if self.open.is_none() {
            self.open = Some(Open {
                key,
                units: Vec::new(),
                lanes: BTreeSet::new(),
                dropped: BTreeMap::new(),
                late: 0,
                timestamp_ns,
                context,
                start,
            });
        }
    }

    /// Events of the open flush that are in no unit.
    pub fn drop_events(&mut self, reason: &str, count: u64, timestamp_ns: u64) {
        if let Some(open) = &mut self.open {
            *open.dropped.entry(reason.to_string()).or_default() += count;
            open.timestamp_ns = open.timestamp_ns.max(timestamp_ns);
        }
    }

    /// Events of the open flush that are of an earlier heartbeat.
    pub fn late(&mut self, count: u64) {
        if let Some(open) = &mut self.open {
            open.late += count;
        }
    }

    /// Ring bytes of the open flush up to a position.
    pub fn open_bytes(&self, position: u64) -> u64 {
        self.open.as_ref().map_or(0, |o| position.saturating_sub(o.start))
    }

    /// Units of the open flush.
    pub fn open_units(&self) -> usize {
        self.open.as_ref().map_or(0, |o| o.units.len())
    }

    /// A unit of the open flush.
    pub fn unit(&mut self, sealed: &Sealed, context: u32, timestamp_ns: u64) {
        let Some(open) = &mut self.open else { return };
        let unit = self.first_unit + self.units.len() as u64;
        let descriptor = Descriptor {
            unit,
            context,
            heartbeat: open.key.heartbeat,
            start: sealed.start,
            index: sealed.index,
            index_len: sealed.index_len as u32,
            events: sealed.events as u32,
        };
        open.units.push((unit, sealed.events as u32));
        self.made += sealed.events as u64;
        open.context = context;
        open.timestamp_ns = open.timestamp_ns.max(timestamp_ns);
        let flush = self.watermark + self.flushes.len() as u64;
        self.position = sealed.end;
        self.units.push_back(Unit { descriptor, flush, key: open.key, lane: None });
        self.waiting.push_back(unit);
        self.copy_to_recorders(descriptor);
        self.dispatch();
    }

    /// Ends the open flush, if any: lanes send what they hold of it, the collector learns what it
    /// consists of.
    pub fn flush(&mut self, last: bool, end: bool, now_ns: u64) {
        let Some(open) = self.open.take() else { return };
        let flush = self.watermark + self.flushes.len() as u64;
        let conditions = self.conditions(open.context);
        let mut manifest = Manifest {
            epoch: self.epoch,
            flush,
            key: open.key,
            context: open.context,
            conditions,
            taken: Taken::default(),
            timestamp_ns: open.timestamp_ns,
            units: open.units,
            dropped: open.dropped,
            late: open.late,
            last,
            end,
        };
        manifest.taken = taken(&self.closed, &manifest);
        self.closed = manifest.progress();
        // Units that no lane has taken yet are sent to one later, each as a partial of its own:
        // the flush message to lanes must not overtake them.
        let from = manifest.units.first().map_or(u64::MAX, |u| u.0);
        let unsent: Vec<u64> = self.waiting.iter().copied().filter(|u| *u >= from).collect();
        self.waiting.retain(|u| *u < from);
        self.replays.extend(unsent);
        for lane in open.lanes {
            self.effects.push(Effect::Lane(lane, LaneMessage::Flush { flush, key: open.key }));
        }
        self.flushes.push_back(Flush { manifest, end: self.position, sent_ns: now_ns });
        self.unwritten = true;
        self.send_manifest(flush);
        self.dispatch();
    }

    /// What a context says of its units.
    fn conditions(&self, context: u32) -> Conditions {
        self.contexts.get(&context).map(|c| c.conditions).unwrap_or_default()
    }

    fn send_manifest(&mut self, flush: u64) {
        let Some(index) = flush.checked_sub(self.watermark) else { return };
        let Some(entry) = self.flushes.get(index as usize) else { return };
        let manifest = entry.manifest.clone();
        self.tell_collector(manifest.context);
        let units: Vec<u64> = manifest.units.iter().map(|u| u.0).collect();
        self.effects.push(Effect::Collector(ToCollector::Manifest(manifest)));
        for unit in units {
            self.tell_given_up(flush, unit);
        }
    }

    fn tell_collector(&mut self, context: u32) {
        let Some(context) = self.contexts.get(&context) else { return };
        let (schema, version) = (context.conditions.schema, context.conditions.version);
        if self.told.contexts.contains(&context.number) {
            return;
        }
        if let Some(fields) = self.schemas.get(&schema)
            && self.told.schemas.insert(schema)
        {
            let message = ToCollector::Schema(self.epoch, schema, (**fields).clone());
            self.effects.push(Effect::Collector(message));
        }
        if self.told.graphs.insert(version) {
            self.effects.push(Effect::CollectorGraphs(version));
        }
        self.told.contexts.insert(context.number);
        self.effects.push(Effect::Collector(ToCollector::Context(self.epoch, context.clone())));
    }

    /// A transition passed that set these held fields; the newest context has their values.
    pub fn transition(&mut self, kind: TransitionKind, timestamp: u64, set: Vec<u32>) {
        self.broadcast(&LaneMessage::Transition { kind, timestamp, set });
    }

    /// Tells every lane.
    pub fn broadcast(&mut self, message: &LaneMessage) {
        for &lane in self.lanes.keys() {
            self.effects.push(Effect::Lane(lane, message.clone()));
        }
    }
}

/// Events taken with this flush, after those before it.
fn taken(before: &Progress, manifest: &Manifest) -> Taken {
    let events = manifest.events();
    let run = before.conditions.run == manifest.conditions.run;
    let segment = before.key.segment == manifest.key.segment;
    Taken {
        epoch: before.taken.epoch + events,
        run: if run { before.taken.run } else { 0 } + events,
        segment: if segment { before.taken.segment } else { 0 } + events,
    }
}

#[cfg(test)]
mod tests;
