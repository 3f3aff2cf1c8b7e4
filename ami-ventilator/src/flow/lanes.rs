//! Lanes of the flow: who takes which unit, credit, death, replay.

use crate::flow::thin::Backlog;
use crate::flow::{Effect, Flow};
use ami_proto::data_path::to_ventilator::Purpose;
use ami_proto::data_path::ventilator_to_worker::{Descriptor, LaneMessage};
use std::collections::{BTreeSet, VecDeque};

/// A lane that has no more than this on hand keeps getting units: few lanes serve light loads.
const STICKY: u64 = 2;

/// A lane that did nothing for this time is not busy but hangs, ns. A worker that waits for a
/// processor must not be taken for one: another lane would make it wait longer.
pub(super) const LOOK_NS: u64 = 50_000_000;

/// What a peer was told.
#[derive(Debug, Clone, Default)]
pub struct Told {
    pub schemas: BTreeSet<u32>,
    pub graphs: BTreeSet<u64>,
    pub contexts: BTreeSet<u32>,
}

/// One worker's or recorder's seat.
#[derive(Debug, Clone, Default)]
pub struct Lane {
    /// A recorder: gets a copy of every unit, and holds the ring until it has done it.
    record: bool,
    /// Number of the first unit that a recorder gets.
    joined: u64,
    pub(super) sent: u64,
    done: u64,
    flushed: u64,
    /// Units sent to it, with whether it is to be sent as a partial of its own, and their number in
    /// the lane's order.
    on_hand: VecDeque<(u64, bool, u64)>,
    told: Told,
    /// What was done when lanes were looked at last, if something was on hand then.
    looked: Option<u64>,
    /// Nothing was done from one look to the next.
    slow: bool,
}

impl Lane {
    /// Units sent and not yet done.
    pub fn outstanding(&self) -> u64 {
        self.sent - self.done
    }

    /// Whether it does units for the graphs.
    pub fn works(&self) -> bool {
        !self.record
    }

    /// Whether it has something to do and gets on with it.
    fn is_busy(&self) -> bool {
        self.works() && self.outstanding() > 0 && !self.slow
    }

    fn look(&mut self) {
        let looked = (self.outstanding() > 0).then_some(self.done);
        self.slow = looked.is_some() && looked == self.looked;
        self.looked = looked;
    }

    /// A recorder's first unit that it has not done.
    pub(super) fn holds_from(&self) -> Option<u64> {
        self.record.then(|| self.joined + self.done)
    }

    /// Whether the partial with this unit was sent: it will not come from this lane again.
    pub fn has_sent(&self, unit: u64, flush: u64) -> bool {
        match self.on_hand.iter().rfind(|(u, ..)| *u == unit) {
            None => true,
            Some((_, true, order)) => *order < self.done,
            Some((_, false, _)) => flush < self.flushed,
        }
    }
}

impl Flow {
    /// A worker or recorder takes a lane.
    pub fn join(&mut self, lane: u32, purpose: Purpose) {
        let joined = self.first_unit + self.units.len() as u64;
        let record = purpose == Purpose::Record;
        self.lanes.insert(lane, Lane { record, joined, ..Lane::default() });
        if let Some(context) = self.contexts.last_key_value().map(|(n, _)| *n) {
            self.tell_lane(lane, context);
        }
        self.dispatch();
    }

    /// A lane is fenced or left: its undecided units are done again on others, each alone.
    /// `died_over` is the unit that the cursor of a dead process names.
    pub fn leave(&mut self, lane: u32, died_over: Option<u64>) {
        if self.lanes.remove(&lane).is_none() {
            return;
        }
        self.poison.leave(lane);
        if let Some(unit) = died_over {
            self.strike(lane, unit);
        }
        if self.sticky == Some(lane) {
            self.sticky = None;
        }
        if let Some(open) = &mut self.open {
            open.lanes.remove(&lane);
        }
        let mut held = Vec::new();
        for unit in self.units.iter_mut().filter(|u| u.lane == Some(lane)) {
            unit.lane = None;
            held.push(unit.descriptor.unit);
        }
        held.into_iter().for_each(|unit| self.again(unit));
        self.free();
        self.dispatch();
    }

    /// Credit comes back.
    pub fn credit(&mut self, lane: u32, done: u64, flushed: u64) {
        let Some(entry) = self.lanes.get_mut(&lane) else { return };
        // Counts only grow, and never beyond what was sent: anything else is a stranger's.
        let before = entry.done;
        entry.done = done.clamp(before, entry.sent);
        self.credited += entry.done - before;
        entry.flushed = entry.flushed.max(flushed);
        let first = self.first_unit;
        while entry.on_hand.front().is_some_and(|(u, ..)| *u < first) {
            entry.on_hand.pop_front();
        }
        self.free();
        self.dispatch();
    }

    /// Grows whenever a lane or the root gets something done.
    pub fn progress(&self) -> u64 {
        self.watermark + self.credited
    }

    /// What workers have not done.
    pub fn backlog(&self) -> Backlog {
        let working = self.lanes.values().filter(|l| l.works());
        let on_hand = working.flat_map(|l| {
            l.on_hand.iter().filter(|(_, _, order)| *order >= l.done).map(|(unit, ..)| *unit)
        });
        let waiting = self.waiting.iter().chain(&self.replays).copied();
        let unit = |n: u64| self.units.get(n.checked_sub(self.first_unit)? as usize);
        let (mut heartbeats, mut undone, mut waits) = (BTreeSet::new(), 0, 0);
        for (n, is_waiting) in on_hand.map(|n| (n, false)).chain(waiting.map(|n| (n, true))) {
            let Some(unit) = unit(n) else { continue };
            let events = u64::from(unit.descriptor.events);
            heartbeats.insert(unit.key);
            undone += events;
            waits += if is_waiting { events } else { 0 };
        }
        let done = self.made.saturating_sub(undone);
        Backlog { heartbeats: heartbeats.len(), waiting: waits, done }
    }

    /// Lanes that hold units, for the deadline.
    pub fn busy_lanes(&self) -> impl Iterator<Item = (u32, u64)> {
        self.lanes.iter().filter(|(_, l)| l.outstanding() > 0).map(|(n, l)| (*n, l.done))
    }

    /// Gives units to lanes with room: those of dead lanes first, they hold up a heartbeat.
    pub(super) fn dispatch(&mut self) {
        self.dispatch_suspects();
        while let Some(&unit) = self.replays.front() {
            let Some(lane) = self.choose() else { return };
            self.replays.pop_front();
            self.send(lane, unit, true);
        }
        while let Some(&unit) = self.waiting.front() {
            let Some(lane) = self.choose() else { return };
            self.waiting.pop_front();
            self.send(lane, unit, false);
        }
    }

    /// Gives every recorder its copy of a unit.
    pub(super) fn copy_to_recorders(&mut self, descriptor: Descriptor) {
        let recorders = self.lanes.iter().filter(|(_, l)| l.record);
        for lane in recorders.map(|(n, _)| *n).collect::<Vec<_>>() {
            self.tell_lane(lane, descriptor.context);
            if let Some(seat) = self.lanes.get_mut(&lane) {
                seat.sent += 1;
                self.effects.push(Effect::Lane(lane, LaneMessage::Unit(descriptor)));
            }
        }
    }

    /// Frees the ring below the watermark, as far as recorders are done with it.
    pub(super) fn free(&mut self) {
        let held = self.lanes.values().filter_map(Lane::holds_from).min().unwrap_or(u64::MAX);
        let mut position = None;
        while let Some(&(unit, end)) = self.freeable.front() {
            if unit > held {
                break;
            }
            position = Some(end);
            self.freeable.pop_front();
        }
        if let Some(position) = position {
            self.effects.push(Effect::Free(position));
        }
    }

    /// Changes how many lanes get units at a time, of those that get on with them. What lanes have on
    /// hand they do in any case.
    pub fn use_lanes(&mut self, busy_lanes: usize) {
        self.limits.busy_lanes = busy_lanes;
    }

    /// Lanes that may get a unit: those with room; but once as many are busy as there are
    /// processors for, only the first of these. Further ones would not do more, and each costs a state
    /// per flush.
    pub(super) fn open_lanes(&self) -> impl Iterator<Item = (u32, &Lane)> {
        let mut busy = self.lanes.iter().filter(|(_, l)| l.is_busy()).map(|(n, _)| *n);
        let last = busy.nth(self.limits.busy_lanes.saturating_sub(1));
        let open = move |n: u32, l: &Lane| {
            let wanted = last.is_none_or(|last| n <= last && l.is_busy());
            wanted && l.works() && l.outstanding() < self.limits.credits && !self.poison.keeps(n)
        };
        self.lanes.iter().filter(move |(n, l)| open(**n, l)).map(|(n, l)| (*n, l))
    }

    fn choose(&mut self) -> Option<u32> {
        let keeps_up = |(n, l): &(u32, &Lane)| Some(*n) == self.sticky && l.outstanding() < STICKY;
        let sticky = self.open_lanes().find(keeps_up);
        let free = || self.open_lanes().min_by_key(|(_, l)| l.outstanding());
        self.sticky = sticky.or_else(free).map(|(n, _)| n);
        self.sticky
    }

    /// Tells lanes that get on from those that hang or have long units.
    pub(super) fn look_at_lanes(&mut self, now_ns: u64) {
        if now_ns.saturating_sub(self.looked_ns) >= LOOK_NS {
            self.looked_ns = now_ns;
            self.lanes.values_mut().for_each(Lane::look);
            self.dispatch();
        }
    }

    pub(super) fn send(&mut self, lane: u32, unit: u64, alone: bool) {
        let Some(index) = unit.checked_sub(self.first_unit) else { return };
        let Some(entry) = self.units.get_mut(index as usize) else { return };
        entry.lane = Some(lane);
        let (descriptor, flush, key) = (entry.descriptor, entry.flush, entry.key);
        self.tell_lane(lane, descriptor.context);
        let Some(seat) = self.lanes.get_mut(&lane) else { return };
        seat.on_hand.push_back((unit, alone, seat.sent));
        seat.sent += 1;
        let message = if alone {
            LaneMessage::Replay { unit: descriptor, flush, key }
        } else {
            if let Some(open) = &mut self.open {
                open.lanes.insert(lane);
            }
            LaneMessage::Unit(descriptor)
        };
        self.effects.push(Effect::Lane(lane, message));
    }

    /// Tells all lanes of a context before units need it, so that plans are compiled ahead.
    pub(super) fn tell_lanes(&mut self, context: u32) {
        let lanes: Vec<u32> = self.lanes.keys().copied().collect();
        for lane in lanes {
            self.tell_lane(lane, context);
        }
    }

    fn tell_lane(&mut self, lane: u32, context: u32) {
        let Some(context) = self.contexts.get(&context) else { return };
        let Some(seat) = self.lanes.get_mut(&lane) else { return };
        if !seat.told.contexts.insert(context.number) {
            return;
        }
        let oldest = self.contexts.first_key_value().map_or(0, |(n, _)| *n);
        seat.told.contexts = seat.told.contexts.split_off(&oldest);
        let (schema, version) = (context.conditions.schema, context.conditions.version);
        // A graph may be applied before a live source has said what it has: there is no schema yet.
        if let Some(fields) = self.schemas.get(&schema)
            && seat.told.schemas.insert(schema)
        {
            self.effects.push(Effect::Lane(lane, LaneMessage::Schema(schema, (**fields).clone())));
        }
        if seat.told.graphs.insert(version) {
            self.effects.push(Effect::LaneGraphs(lane, version));
        }
        self.effects.push(Effect::Lane(lane, LaneMessage::Context(context.clone())));
    }
}
