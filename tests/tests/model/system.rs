//! The event path at a small size: the ventilator's flow, the host collector's builder and the root's
//! builder are the real ones; workers, checkpoint and what lies between are modelled.

use ami_collector::host::builder::{self as host_builder, HostBuilder};
use ami_collector::root::builder::{Mark, RootBuilder};
use ami_graph::data::schema::{Held, Schema};
use ami_graph::wire::partial::Partial;
use ami_proto::data_path::chunk::Sealed;
use ami_proto::data_path::ids::{Conditions, Key, Progress};
use ami_proto::data_path::to_collector::{Manifest, ToCollector};
use ami_proto::data_path::to_ventilator::Purpose;
use ami_proto::data_path::ventilator_to_worker::LaneMessage;
use ami_ventilator::flow::{Effect, Flow, Limits};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

pub const EPOCH: u64 = 1;
pub const HOST: &str = "h";

/// What the source does, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    Unit,
    Flush,
}

/// A worker: what it holds of the open flush, and what it says it has done.
#[derive(Debug, Clone, Default)]
pub struct Worker {
    pub open: Vec<(u64, u32)>,
    pub done: u64,
    pub flushed: u64,
    /// Its lane was taken away: it will notice at the next unit.
    pub fenced: bool,
    /// Killed, and the ventilator does not know yet.
    pub dead: bool,
    /// The unit that it was killed over.
    pub over: Option<u64>,
}

/// A partial on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    pub flush: u64,
    pub units: Vec<(u64, u32)>,
}

/// A forward on its way, and as it is kept for resending.
#[derive(Debug, Clone)]
pub struct Forwarded {
    pub base: Progress,
    pub manifest: Manifest,
}

/// A message from the host collector to the ventilator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ask {
    Hello,
    Need(u64, Vec<u64>),
}

/// The root's word, as a subscriber last heard it or is to hear it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Watermark {
    pub life: u64,
    pub flushes: u64,
    pub durable: u64,
}

/// What the root has merged and declared: part of its checkpoint. Unit `n` has `1 << n` events, so
/// that sums of events tell which units they are.
#[derive(Debug, Clone, Default)]
pub struct Ledger {
    pub merged: Vec<u64>,
    pub dropped: u64,
    pub lost: u64,
}

/// Everything.
#[derive(Debug, Clone)]
pub struct System {
    pub script: VecDeque<Source>,
    pub flow: Flow,
    units: u64,
    heartbeat: u64,
    /// Ring positions below are free.
    freed: u64,
    pub lanes: BTreeMap<u32, VecDeque<LaneMessage>>,
    pub workers: BTreeMap<u32, Worker>,
    next_lane: u32,
    pub partials: BTreeMap<u32, VecDeque<Sent>>,
    pub to_collector: VecDeque<ToCollector>,
    pub collector: HostBuilder,
    pub kept: BTreeMap<u64, Forwarded>,
    pub asks: VecDeque<Ask>,
    pub forwards: VecDeque<Forwarded>,
    pub root: RootBuilder,
    pub ledger: Ledger,
    checkpoint: (RootBuilder, Ledger),
    pub life: u64,
    /// The newest word of the root's present life, and of the one before.
    pub word: Watermark,
    pub stale: Option<Watermark>,
}

fn collector() -> HostBuilder {
    // Any age is old enough: when something is repeated is a choice of the search.
    HostBuilder::new(host_builder::Limits { ask_after: 0, resend: 0, bytes: usize::MAX })
}

/// Whether a worker does something for others when it gets a message.
fn acts(message: &LaneMessage) -> bool {
    matches!(message, LaneMessage::Unit(_) | LaneMessage::Replay { .. } | LaneMessage::Flush { .. })
}

impl System {
    /// So many lanes; `units[n]` units in flush `n`.
    pub fn new(lanes: u32, units: &[usize]) -> System {
        let limits = Limits { credits: 2, busy_lanes: 8, flushes_in_flight: 8, repeat_ns: 0 };
        let mut flow = Flow::new(EPOCH, limits);
        flow.schema(Arc::new(Schema::default()));
        let conditions = Conditions { version: 1, run: 1, step: Some(0), ..Conditions::default() };
        flow.context(conditions, Held::new(), BTreeMap::new());
        let flush = |n: &usize| [vec![Source::Unit; *n], vec![Source::Flush]].concat();
        let mut system = System {
            script: units.iter().flat_map(flush).collect(),
            flow,
            units: 0,
            heartbeat: 0,
            freed: 0,
            lanes: BTreeMap::new(),
            workers: BTreeMap::new(),
            next_lane: 0,
            partials: BTreeMap::new(),
            to_collector: VecDeque::new(),
            collector: collector(),
            kept: BTreeMap::new(),
            asks: VecDeque::from([Ask::Hello]),
            forwards: VecDeque::new(),
            root: RootBuilder::default(),
            ledger: Ledger::default(),
            checkpoint: (RootBuilder::default(), Ledger::default()),
            life: 1,
            word: Watermark { life: 1, ..Watermark::default() },
            stale: None,
        };
        (0..lanes).for_each(|_| system.join());
        system.settle();
        system
    }

    /// Sum of the events of every unit, made or to be made.
    pub fn all_events(&self) -> u64 {
        let left = self.script.iter().filter(|s| **s == Source::Unit).count() as u64;
        (1 << (self.units + left)) - 1
    }

    /// Takes what the flow wants done to where it goes.
    fn perform(&mut self) {
        for effect in self.flow.effects() {
            match effect {
                Effect::Lane(lane, message) => {
                    self.lanes.entry(lane).or_default().push_back(message);
                }
                Effect::Collector(message) => self.to_collector.push_back(message),
                Effect::Free(position) => self.freed = self.freed.max(position),
                Effect::LaneGraphs(..) | Effect::CollectorGraphs(_) | Effect::Quarantine(_) => {}
            }
        }
    }

    /// A worker takes a new lane.
    pub fn join(&mut self) {
        let lane = self.next_lane;
        self.next_lane += 1;
        self.workers.insert(lane, Worker::default());
        self.flow.join(lane, Purpose::Work);
        self.perform();
    }

    /// Whether the source may go on.
    pub fn source_ready(&self) -> bool {
        match self.script.front() {
            Some(Source::Unit) => self.flow.ready(),
            Some(Source::Flush) => true,
            None => false,
        }
    }

    pub fn source(&mut self) {
        match self.script.pop_front() {
            Some(Source::Unit) => {
                let (start, events) = (self.units * 64, 1 << self.units);
                let key = Key { segment: 0, heartbeat: self.heartbeat };
                self.flow.begin(key, 0, 0, start);
                let end = start + 64;
                let sealed = Sealed { start, index: start, index_len: 64, end, events };
                self.flow.unit(&sealed, 0, self.units);
                self.units += 1;
            }
            Some(Source::Flush) => {
                self.flow.flush(true, self.script.is_empty(), 0);
                self.heartbeat += 1;
            }
            None => {}
        }
        self.perform();
    }

    /// What changes nothing that is modelled is taken at once: no order of that matters to anybody.
    pub fn settle(&mut self) {
        self.lanes.values_mut().for_each(|queue| queue.retain(acts));
        self.to_collector.retain(|m| {
            !matches!(
                m,
                ToCollector::Schema(..) | ToCollector::Context(..) | ToCollector::Graphs(..)
            )
        });
    }

    /// Whether a living worker is about to begin a unit.
    pub fn begins(&self, lane: u32) -> bool {
        let next = self.lanes.get(&lane).and_then(|l| l.front());
        matches!(next, Some(LaneMessage::Unit(_) | LaneMessage::Replay { .. }))
    }

    /// The worker of a lane does the next message of its lane.
    pub fn work(&mut self, lane: u32) {
        let Some(message) = self.lanes.get_mut(&lane).and_then(VecDeque::pop_front) else { return };
        let Some(worker) = self.workers.get_mut(&lane) else { return };
        match message {
            LaneMessage::Unit(unit) => {
                if worker.fenced || unit.start < self.freed {
                    return self.reseat(lane);
                }
                worker.open.push((unit.unit, unit.events));
                worker.done += 1;
            }
            LaneMessage::Replay { unit, flush, .. } => {
                if worker.fenced || unit.start < self.freed {
                    return self.reseat(lane);
                }
                worker.done += 1;
                self.send_partial(lane, flush, vec![(unit.unit, unit.events)]);
            }
            LaneMessage::Flush { flush, .. } => {
                let units = std::mem::take(&mut worker.open);
                worker.flushed = flush + 1;
                // Also when it is fenced and does not know: the late partial.
                if !units.is_empty() {
                    self.send_partial(lane, flush, units);
                }
            }
            _ => {}
        }
        self.credit(lane);
    }

    fn send_partial(&mut self, lane: u32, flush: u64, units: Vec<(u64, u32)>) {
        self.partials.entry(lane).or_default().push_back(Sent { flush, units });
    }

    fn credit(&mut self, lane: u32) {
        let Some(worker) = self.workers.get(&lane).filter(|w| !w.fenced) else { return };
        self.flow.credit(lane, worker.done, worker.flushed);
        self.perform();
    }

    /// A worker without a lane takes another; what it held is forgotten.
    pub fn reseat(&mut self, lane: u32) {
        self.take_away(lane, None);
        self.workers.remove(&lane);
        self.lanes.remove(&lane);
        self.join();
    }

    fn take_away(&mut self, lane: u32, died_over: Option<u64>) {
        self.flow.leave(lane, died_over);
        self.perform();
    }

    /// The ventilator takes a lane for dead whose worker lives.
    pub fn fence(&mut self, lane: u32) {
        if let Some(worker) = self.workers.get_mut(&lane) {
            worker.fenced = true;
        }
        self.take_away(lane, None);
    }

    /// `kill -9` of a worker, over the unit that it was to do next, or before it began it.
    pub fn kill_worker(&mut self, lane: u32, begun: bool) {
        let next = self.lanes.get(&lane).and_then(|l| l.front()).filter(|_| begun);
        let over = next.and_then(|m| match m {
            LaneMessage::Unit(unit) | LaneMessage::Replay { unit, .. } => Some(unit.unit),
            _ => None,
        });
        if let Some(worker) = self.workers.get_mut(&lane) {
            (worker.dead, worker.over) = (true, over);
        }
        self.lanes.remove(&lane);
    }

    /// The ventilator sees that a worker is gone; another takes a lane.
    pub fn bury(&mut self, lane: u32) {
        let over = self.workers.remove(&lane).and_then(|w| w.over);
        self.take_away(lane, over);
        self.lanes.remove(&lane);
        self.join();
    }

    /// A partial reaches the host collector.
    pub fn receive_partial(&mut self, lane: u32) {
        let Some(sent) = self.partials.get_mut(&lane).and_then(VecDeque::pop_front) else { return };
        if self.partials.get(&lane).is_some_and(VecDeque::is_empty) {
            self.partials.remove(&lane);
        }
        self.collector.partial(EPOCH, sent.flush, &sent.units, Partial::default(), 0);
        self.collected();
    }

    /// A message of the ventilator reaches the host collector.
    pub fn receive_manifest(&mut self) {
        match self.to_collector.pop_front() {
            Some(ToCollector::Manifest(manifest)) => self.collector.manifest(manifest, 0),
            Some(ToCollector::Epoch { epoch, decided, .. }) => {
                self.collector.epoch(epoch, &decided);
            }
            Some(ToCollector::Dropped { epoch, flush, unit, reason }) => {
                self.collector.given_up(epoch, flush, unit, &reason, 0);
            }
            _ => {}
        }
        self.collected();
    }

    /// Takes what the host collector wants done to where it goes.
    fn collected(&mut self) {
        for effect in self.collector.effects() {
            match effect {
                host_builder::Effect::Forward(forward) => {
                    let (base, manifest) = (self.collector.base(EPOCH), forward.manifest);
                    let flush = manifest.flush;
                    let forwarded = Forwarded { base, manifest };
                    self.forwards.push_back(forwarded.clone());
                    self.kept.insert(flush, forwarded);
                }
                host_builder::Effect::Resend(_, flush) => {
                    self.forwards.extend(self.kept.get(&flush).cloned());
                }
                host_builder::Effect::Forget(_, flush) => {
                    self.kept.remove(&flush);
                }
                host_builder::Effect::Need(_, flush, units) => {
                    self.asks.push_back(Ask::Need(flush, units));
                }
                host_builder::Effect::Hello => self.asks.push_back(Ask::Hello),
            }
        }
        // Counts are not what the search tells states apart by.
        self.collector.counts = Default::default();
    }

    /// A request of the host collector reaches the ventilator.
    pub fn receive_ask(&mut self) {
        match self.asks.pop_front() {
            Some(Ask::Hello) => self.flow.collector_hello(HOST, 0),
            Some(Ask::Need(flush, units)) => self.flow.need(EPOCH, flush, &units),
            None => {}
        }
        self.perform();
    }

    /// A forward reaches the root.
    pub fn receive_forward(&mut self) {
        let Some(Forwarded { base, manifest }) = self.forwards.pop_front() else { return };
        self.receive_base(&base);
        let (epoch, flush) = (manifest.epoch, manifest.flush);
        if self.root.forward(HOST, epoch, flush, Mark::of(&manifest)).is_some() {
            self.ledger.merged.extend(manifest.units.iter().map(|u| u.0));
            self.ledger.merged.sort_unstable();
            self.ledger.dropped += manifest.dropped.values().sum::<u64>();
        }
        self.speak();
    }

    fn receive_base(&mut self, base: &Progress) {
        let outcome = self.root.base(HOST, EPOCH, base);
        self.ledger.lost += outcome.lost.iter().map(|l| l.events).sum::<u64>();
    }

    fn speak(&mut self) {
        let (flushes, durable) = self.root.watermark(HOST, EPOCH);
        self.word = Watermark { life: self.life, flushes, durable };
    }

    /// The root's checkpoint is written.
    pub fn write_checkpoint(&mut self) {
        self.checkpoint = (self.root.clone(), self.ledger.clone());
        let written = self.root.clone();
        self.root.durable(&written);
        self.speak();
    }

    /// The ventilator hears the root.
    pub fn hear_ventilator(&mut self, word: Watermark) {
        self.flow.decided(EPOCH, word.life, word.flushes);
        self.perform();
    }

    /// The host collector hears the root.
    pub fn hear_collector(&mut self, word: Watermark) {
        self.collector.decided(EPOCH, word.life, (word.flushes, word.durable), 0);
        self.collected();
    }

    /// Time passes for those who repeat.
    pub fn tick(&mut self) {
        self.collector.tick(0);
        self.collected();
        for (_, base) in self.collector.bases() {
            self.receive_base(&base);
        }
        self.speak();
        self.flow.tick(0);
        self.perform();
    }

    /// `kill -9` of the host collector; what was on its way to it is lost with it, or is not.
    pub fn kill_collector(&mut self, losing: bool) {
        self.collector = collector();
        self.kept.clear();
        if losing {
            self.partials.clear();
            self.to_collector.clear();
            self.asks.clear();
            self.forwards.clear();
        }
        self.asks.push_back(Ask::Hello);
    }

    /// `kill -9` of the root, and a new life from its checkpoint.
    pub fn kill_root(&mut self, losing: bool) {
        let (root, ledger) = self.checkpoint.clone();
        (self.root, self.ledger) = (root.restored(), ledger);
        self.stale = Some(self.word);
        self.life += 1;
        if losing {
            self.forwards.clear();
        }
        self.speak();
    }
}
