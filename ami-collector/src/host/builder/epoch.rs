//! One life of a ventilator as its host collector sees it: flushes by number, what of them is
//! decided, what is held.

use crate::host::builder::{Effect, Limits};
use crate::host::flush_states::States;
use ami_proto::data_path::ids::{Progress, Taken};
use ami_proto::data_path::to_collector::Manifest;
use std::collections::{BTreeMap, BTreeSet};

/// What a flush takes beside its state, and a unit in it: for the account of bytes.
const ENTRY_BYTES: usize = 512;
const UNIT_BYTES: usize = 64;

/// A flush.
#[derive(Debug, Clone, Default)]
pub struct Entry {
    pub manifest: Option<Manifest>,
    pub states: States,
    /// Events by unit covered.
    pub covered: BTreeMap<u64, u32>,
    /// Reason by unit given up.
    pub given_up: BTreeMap<u64, String>,
    /// Units that came when there was no room.
    pub refused: BTreeSet<u64>,
    pub forwarded: bool,
    pub resends: u32,
    pub since_ns: u64,
    /// Bytes accounted for.
    pub bytes: usize,
}

impl Entry {
    /// Whether a unit is covered or given up.
    pub fn has(&self, unit: u64) -> bool {
        self.covered.contains_key(&unit) || self.given_up.contains_key(&unit)
    }

    /// Begins anew.
    pub fn clear(&mut self) {
        self.states = States::None;
        self.covered.clear();
    }

    /// Units to ask for: of the next flush that the root waits for those that were refused, since it
    /// has room now; of all, after a time, what is missing.
    fn wanted(&mut self, next: bool, ask_after: u64, now_ns: u64) -> Option<Vec<u64>> {
        let manifest = self.manifest.as_ref()?;
        let late = now_ns.saturating_sub(self.since_ns) >= ask_after;
        if !late && (!next || self.refused.is_empty()) {
            return None;
        }
        let refused = std::mem::take(&mut self.refused);
        let asked = |unit: &u64| !self.has(*unit) && (late || refused.contains(unit));
        let units: Vec<u64> = manifest.units.iter().map(|u| u.0).filter(asked).collect();
        self.since_ns = now_ns;
        // To ask for none would be to ask for all.
        (!units.is_empty()).then_some(units)
    }

    /// Accounts for what it holds now.
    pub fn weigh(&mut self) {
        let units = self.manifest.as_ref().map_or(self.covered.len(), |m| m.units.len());
        self.bytes = self.states.bytes() + ENTRY_BYTES + units * UNIT_BYTES;
    }
}

/// See the module's documentation.
#[derive(Debug, Clone, Default)]
pub struct Epoch {
    /// Flushes up to here are held no more.
    pub base: Progress,
    /// Flushes below are decided, says the newest life of the root.
    watermark: u64,
    /// The most that any life of the root has decided.
    most: u64,
    root_life: u64,
    /// When the root decided something last.
    progressed_ns: u64,
    pub flushes: BTreeMap<u64, Entry>,
}

impl Epoch {
    /// Flushes not decided.
    pub fn undecided(&self) -> usize {
        self.flushes.range(self.watermark..).count()
    }

    /// Whether it is the next flush that the root waits for.
    pub fn is_next(&self, flush: u64) -> bool {
        flush <= self.watermark.max(self.base.flushes)
    }

    /// Whether nothing of a flush is wanted any more.
    pub fn is_past(&self, flush: u64) -> bool {
        flush < self.watermark.max(self.base.flushes) && !self.flushes.contains_key(&flush)
    }

    /// The entry of a flush, made if it is not there.
    pub fn entry(&mut self, flush: u64, now_ns: u64) -> &mut Entry {
        let new = || Entry { since_ns: now_ns, ..Entry::default() };
        self.flushes.entry(flush).or_insert_with(new)
    }

    /// All flushes.
    pub fn into_entries(self) -> Vec<(u64, Entry)> {
        self.flushes.into_iter().collect()
    }

    /// A life of the root has decided so far. False when a newer life has spoken already.
    pub fn note_decided(&mut self, root_life: u64, flushes: u64, now_ns: u64) -> bool {
        if root_life < self.root_life {
            return false;
        }
        if flushes > self.watermark {
            self.progressed_ns = now_ns;
        }
        self.most = self.most.max(flushes);
        if root_life > self.root_life && flushes < self.watermark {
            self.watermark = flushes;
            self.resend_all();
        }
        self.root_life = root_life;
        self.watermark = self.watermark.max(flushes);
        true
    }

    /// The ventilator has freed everything up to here. What is held below, down to the first hole,
    /// stays; the base lies there.
    pub fn begin_at(&mut self, decided: &Progress) -> Vec<(u64, Entry)> {
        let held = |flush: &u64| self.flushes.get(flush).is_some_and(|e| e.forwarded);
        let lowest = (self.base.flushes..decided.flushes).rev().take_while(held).last();
        match lowest {
            Some(lowest) if lowest == self.base.flushes => Vec::new(),
            Some(lowest) => {
                let first = self.flushes.get(&lowest).and_then(|e| e.manifest.as_ref());
                self.base = first.map_or(*decided, before);
                self.split(self.base.flushes)
            }
            None if decided.flushes > self.base.flushes => {
                self.base = *decided;
                self.split(decided.flushes)
            }
            None => Vec::new(),
        }
    }

    fn split(&mut self, flush: u64) -> Vec<(u64, Entry)> {
        let kept = self.flushes.split_off(&flush);
        std::mem::replace(&mut self.flushes, kept).into_iter().collect()
    }

    /// Flushes below are in a checkpoint of the root: they are given away.
    pub fn settle(&mut self, durable: u64) -> Vec<(u64, Entry)> {
        let gone = self.split(durable);
        if let Some(manifest) = gone.last().and_then(|(_, e)| e.manifest.as_ref()) {
            self.base = manifest.progress();
        }
        gone
    }

    /// Gives away the oldest flush if it is decided.
    pub fn let_go(&mut self) -> Option<(u64, Entry)> {
        let flush = *self.flushes.first_key_value()?.0;
        if flush >= self.watermark {
            return None;
        }
        let entry = self.flushes.remove(&flush)?;
        if let Some(manifest) = &entry.manifest {
            self.base = manifest.progress();
        }
        Some((flush, entry))
    }

    /// Whether the root wants a flush that an earlier life of it had decided and that is not here:
    /// only the ventilator can say what was in it.
    pub fn lacks_next(&self) -> bool {
        let known = self.flushes.get(&self.watermark).is_some_and(|e| e.manifest.is_some());
        self.watermark < self.most && self.base.flushes <= self.watermark && !known
    }

    /// What is undecided is sent again soon.
    pub fn resend_all(&mut self) {
        self.progressed_ns = 0;
        for (_, entry) in self.flushes.range_mut(self.watermark..) {
            if entry.forwarded {
                (entry.since_ns, entry.resends) = (0, 0);
            }
        }
    }

    /// What is to be sent again, at most so many flushes, and asked for.
    pub fn due(&mut self, epoch: u64, limits: Limits, most: usize, now_ns: u64) -> Vec<Effect> {
        let mut effects = Vec::new();
        let mut resent = 0;
        let next = self.watermark.max(self.base.flushes);
        // The root says up to where it has all: its silence about a flush begins when all before are there.
        let (mut expected, mut had_ns) = (next, self.progressed_ns);
        for (&flush, entry) in self.flushes.range_mut(self.watermark..) {
            if !entry.forwarded {
                let units = entry.wanted(flush <= next, limits.ask_after, now_ns);
                effects.extend(units.map(|units| Effect::Need(epoch, flush, units)));
                continue;
            }
            let in_order = flush <= expected;
            expected = expected.max(flush + u64::from(in_order));
            had_ns = had_ns.max(entry.since_ns);
            let silent = now_ns.saturating_sub(had_ns);
            // Ever more seldom: a root that sleeps is not buried.
            if in_order && resent < most && silent >= limits.resend << entry.resends.min(4) {
                entry.since_ns = now_ns;
                entry.resends += 1;
                resent += 1;
                effects.push(Effect::Resend(epoch, flush));
            }
        }
        effects
    }
}

/// How far an epoch had come before a flush. Where a run or segment began with it, that one.
fn before(manifest: &Manifest) -> Progress {
    let (events, taken) = (manifest.events(), manifest.taken);
    Progress {
        flushes: manifest.flush,
        taken: Taken {
            epoch: taken.epoch.saturating_sub(events),
            run: taken.run.saturating_sub(events),
            segment: taken.segment.saturating_sub(events),
        },
        last: false,
        end: false,
        ..manifest.progress()
    }
}
