//! Units that workers die of.
//!
//! Only the death of a process is a strike, and only for the unit that its cursor in shared memory
//! named. A unit with two strikes is run alone, on a lane that has nothing else on hand; the third
//! death gives it up: a declared drop that covers it as a partial would. So workers that are killed
//! at random are no poison: three of them would have to die over the same unit.

use crate::flow::quarantine::Poisonous;
use crate::flow::{Effect, Flow};
use ami_proto::data_path::to_collector::ToCollector;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Reason of the drop.
const POISON: &str = "poison";
/// Deaths after which a unit is run alone, and after which it is given up.
const SUSPECT: u32 = 2;
const GUILTY: u32 = 3;

/// See the module's documentation.
#[derive(Debug, Clone, Default)]
pub struct Poison {
    /// Deaths, by unit.
    strikes: BTreeMap<u64, u32>,
    /// Units that wait to be run alone.
    suspects: VecDeque<u64>,
    /// The unit that is being run alone.
    solo: Option<Solo>,
    /// Units given up.
    given_up: BTreeSet<u64>,
}

#[derive(Debug, Clone, Copy)]
struct Solo {
    unit: u64,
    lane: u32,
    /// False while the lane still works off what it had.
    sent: bool,
}

impl Poison {
    /// Whether the unit is dealt with here.
    pub fn has(&self, unit: u64) -> bool {
        self.given_up.contains(&unit)
            || self.suspects.contains(&unit)
            || self.solo.is_some_and(|s| s.unit == unit)
    }

    /// Whether the lane is kept for a unit that is run alone.
    pub fn keeps(&self, lane: u32) -> bool {
        self.solo.is_some_and(|s| s.lane == lane)
    }

    /// Units below are decided.
    pub(super) fn forget(&mut self, first: u64) {
        self.strikes = self.strikes.split_off(&first);
        self.given_up = self.given_up.split_off(&first);
        self.suspects.retain(|u| *u >= first);
        // A lane that was not yet sent its unit is free again.
        self.solo = self.solo.filter(|s| s.sent || s.unit >= first);
    }

    /// A lane is gone.
    pub(super) fn leave(&mut self, lane: u32) {
        if let Some(solo) = self.solo.take_if(|s| s.lane == lane)
            && !solo.sent
        {
            self.suspects.push_front(solo.unit);
        }
    }
}

impl Flow {
    /// A worker died over a unit.
    pub(super) fn strike(&mut self, lane: u32, unit: u64) {
        let index = unit.checked_sub(self.first_unit).map(|i| i as usize);
        let Some(entry) = index.and_then(|i| self.units.get(i)) else { return };
        // The cursor is a worker's word: it can only accuse what the worker was given.
        if entry.lane != Some(lane) {
            return;
        }
        let strikes = self.poison.strikes.entry(unit).or_default();
        *strikes += 1;
        tracing::warn!(unit, lane, strikes, "a worker died over this unit");
        if *strikes >= GUILTY {
            self.give_up(unit);
        }
    }

    fn give_up(&mut self, unit: u64) {
        self.poison.strikes.remove(&unit);
        self.poison.given_up.insert(unit);
        let Some(entry) = self.units.get((unit - self.first_unit) as usize) else { return };
        let (descriptor, flush) = (entry.descriptor, entry.flush);
        if let Some(context) = self.contexts.get(&descriptor.context)
            && let Some(schema) = self.schemas.get(&context.conditions.schema)
        {
            let (context, schema) = (context.clone(), schema.clone());
            let poisonous = Poisonous { unit: descriptor, context, schema };
            self.effects.push(Effect::Quarantine(Box::new(poisonous)));
        }
        self.tell_given_up(flush, unit);
    }

    /// Declares the unit dropped if it was given up; false if it was not.
    pub(super) fn tell_given_up(&mut self, flush: u64, unit: u64) -> bool {
        let given_up = self.poison.given_up.contains(&unit);
        if given_up {
            let (epoch, reason) = (self.epoch, POISON.to_string());
            let dropped = ToCollector::Dropped { epoch, flush, unit, reason };
            self.effects.push(Effect::Collector(dropped));
        }
        given_up
    }

    /// Where a unit of a lane that is gone goes.
    pub(super) fn again(&mut self, unit: u64) {
        if self.poison.has(unit) || self.replays.contains(&unit) {
            return;
        }
        match self.poison.strikes.get(&unit) {
            Some(strikes) if *strikes >= SUSPECT => self.poison.suspects.push_back(unit),
            _ => self.replays.push_back(unit),
        }
    }

    /// Runs units alone, one at a time, each on a lane that gets nothing else meanwhile.
    pub(super) fn dispatch_suspects(&mut self) {
        loop {
            let Some(solo) = self.poison.solo else {
                let working = self.lanes.iter().filter(|(_, l)| l.works());
                let lane = working.min_by_key(|(_, l)| l.outstanding()).map(|(n, _)| *n);
                let Some(lane) = lane else { return };
                let Some(unit) = self.poison.suspects.pop_front() else { return };
                self.poison.solo = Some(Solo { unit, lane, sent: false });
                continue;
            };
            if self.lanes.get(&solo.lane).is_some_and(|l| l.outstanding() > 0) {
                return;
            }
            if solo.sent {
                self.poison.solo = None;
            } else {
                self.poison.solo = Some(Solo { sent: true, ..solo });
                self.send(solo.lane, solo.unit, true);
            }
        }
    }
}
