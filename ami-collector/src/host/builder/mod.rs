//! Builds a host's flushes from partials and manifests. Pure: time is an argument.
//!
//! The first partial for a unit wins; a partial of which one unit is already covered is ignored
//! whole. Once merged units and declared drops cover a manifest exactly, the flush is forwarded, and
//! again until the root has decided about it. It is held until it is in a checkpoint of the root: a
//! root that is restarted asks for it again.
//!
//! What is held is bounded in bytes. Decided flushes are let go first; then partials are refused,
//! which are asked for again when there is room.

mod epoch;

use crate::host::builder::epoch::{Entry, Epoch};
use crate::host::flush_states::{States, Unfit};
use ami_proto::data_path::ids::Progress;
use ami_proto::data_path::to_collector::Manifest;
use std::collections::BTreeMap;

/// A flush, ready for the root.
#[derive(Debug, Clone)]
pub struct Forward {
    /// Units that were given up are in `dropped`.
    pub manifest: Manifest,
    /// Events merged.
    pub merged: u64,
    /// Units merged, of those made.
    pub units: (u32, u32),
    /// Their states.
    pub states: States,
}

/// What is to be done outside.
#[derive(Debug, Clone)]
pub enum Effect {
    /// Encode, send to the root, keep for resending.
    Forward(Box<Forward>),
    /// Send again what was forwarded.
    Resend(u64, u64),
    /// Forget what was forwarded.
    Forget(u64, u64),
    /// Ask the ventilator for units of a flush; all of the manifest's when empty.
    Need(u64, u64, Vec<u64>),
    /// Ask the ventilator where it is.
    Hello,
}

/// Times, ns, and sizes.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Units missing for so long are asked for.
    pub ask_after: u64,
    /// Forwarded for so long, and nothing decided meanwhile: send again.
    pub resend: u64,
    /// Bytes of states held.
    pub bytes: usize,
}

/// Counts of things that should be rare.
#[derive(Debug, Default, Clone, Copy)]
pub struct Counts {
    /// Flushes forwarded.
    pub flushes: u64,
    /// Events merged.
    pub events: u64,
    /// Partials of units already covered (a replay came, too).
    pub repeated: u64,
    /// Partials that contradict their manifest or cannot be merged.
    pub rejected: u64,
    /// Partials and manifests of flushes already decided, or of epochs that are over.
    pub outdated: u64,
    /// Partials for which there was no memory: they are asked for again.
    pub refused: u64,
    /// Decided flushes let go before they were in a checkpoint, for lack of memory.
    pub let_go: u64,
}

/// See the module's documentation.
#[derive(Debug, Clone)]
pub struct HostBuilder {
    limits: Limits,
    epochs: BTreeMap<u64, Epoch>,
    /// Right after a start units are asked for at once: who had sent them will not send again.
    fresh: bool,
    bytes: usize,
    asked_ns: u64,
    effects: Vec<Effect>,
    /// Counts since the start.
    pub counts: Counts,
}

/// Epochs kept: the living ventilator's and what is undecided of those before.
const EPOCHS: usize = 4;

/// Flushes sent again at a time: a root that was just restarted is not buried.
const RESENDS: usize = 64;

impl HostBuilder {
    /// Knows nothing yet.
    pub fn new(limits: Limits) -> HostBuilder {
        HostBuilder {
            limits,
            epochs: BTreeMap::new(),
            fresh: true,
            bytes: 0,
            asked_ns: 0,
            effects: Vec::new(),
            counts: Counts::default(),
        }
    }

    /// What is to be done, in order.
    pub fn effects(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.effects)
    }

    /// Flushes not yet decided.
    pub fn pending(&self) -> usize {
        self.epochs.values().map(Epoch::undecided).sum()
    }

    /// Bytes of states held, undecided or not in a checkpoint yet.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// How far flushes are held no more, by epoch.
    pub fn bases(&self) -> Vec<(u64, Progress)> {
        self.epochs.iter().map(|(epoch, life)| (*epoch, life.base)).collect()
    }

    /// How far flushes of an epoch are held no more.
    pub fn base(&self, epoch: u64) -> Progress {
        self.epochs.get(&epoch).map(|e| e.base).unwrap_or_default()
    }

    /// A ventilator's life, with how far its ring is freed. That is not what the root's present life
    /// has decided: it may know less than the one that had the ring freed.
    pub fn epoch(&mut self, epoch: u64, freed: &Progress) {
        self.epochs.entry(epoch).or_default();
        while self.epochs.len() > EPOCHS {
            let oldest = self.epochs.keys().copied().find(|e| *e != epoch);
            oldest.into_iter().for_each(|e| self.forget_epoch(e));
        }
        let Some(life) = self.epochs.get_mut(&epoch) else { return };
        let gone = life.begin_at(freed);
        self.forget(epoch, gone);
    }

    fn forget_epoch(&mut self, epoch: u64) {
        let Some(life) = self.epochs.remove(&epoch) else { return };
        self.forget(epoch, life.into_entries());
    }

    fn forget(&mut self, epoch: u64, gone: Vec<(u64, Entry)>) {
        for (flush, entry) in gone {
            self.bytes -= entry.bytes;
            self.effects.push(Effect::Forget(epoch, flush));
        }
    }

    /// The epoch of a message: one that is known, or newer than all known.
    fn known(&mut self, epoch: u64) -> bool {
        let newest = self.epochs.last_key_value().map(|(e, _)| *e);
        if !self.epochs.contains_key(&epoch) && newest.is_none_or(|n| n < epoch) {
            self.epoch(epoch, &Progress::default());
            self.effects.push(Effect::Hello);
        }
        self.epochs.contains_key(&epoch)
    }

    /// A worker's partial.
    pub fn partial(
        &mut self,
        epoch: u64,
        flush: u64,
        units: &[(u64, u32)],
        states: impl Into<States>,
        now_ns: u64,
    ) {
        let states = states.into();
        let known = self.known(epoch);
        let Some(life) = self.epochs.get_mut(&epoch).filter(|l| known && !l.is_past(flush)) else {
            self.counts.outdated += 1;
            return;
        };
        let entry = life.flushes.get(&flush);
        if entry.is_some_and(|e| e.forwarded || units.iter().any(|(u, _)| e.has(*u))) {
            self.counts.repeated += 1;
            return;
        }
        let manifest = entry.and_then(|e| e.manifest.as_ref());
        if manifest.is_some_and(|m| !fits(m, units)) {
            self.counts.rejected += 1;
            return;
        }
        let next = life.is_next(flush);
        if !self.room(states.bytes(), next) {
            self.counts.refused += 1;
            self.remember_refused(epoch, flush, units);
            return;
        }
        self.merge(epoch, flush, units, states, now_ns);
    }

    /// Asked for again as soon as there is room; before its manifest is here, after a time.
    fn remember_refused(&mut self, epoch: u64, flush: u64, units: &[(u64, u32)]) {
        let entry = self.epochs.get_mut(&epoch).and_then(|e| e.flushes.get_mut(&flush));
        if let Some(entry) = entry.filter(|e| e.manifest.is_some()) {
            entry.refused.extend(units.iter().map(|(unit, _)| unit));
        }
    }

    fn merge(&mut self, epoch: u64, flush: u64, units: &[(u64, u32)], states: States, now_ns: u64) {
        let Some(life) = self.epochs.get_mut(&epoch) else { return };
        let entry = life.entry(flush, now_ns);
        self.bytes -= entry.bytes;
        match entry.states.add(states) {
            Ok(()) => entry.covered.extend(units.iter().copied()),
            Err(unfit) => {
                tracing::warn!(?unfit, "partial rejected");
                self.counts.rejected += 1;
                match unfit {
                    Unfit::New(_) => {}
                    Unfit::Held(_) => entry.covered = units.iter().copied().collect(),
                    Unfit::All(_) => {
                        entry.clear();
                        self.effects.push(Effect::Need(epoch, flush, Vec::new()));
                    }
                }
            }
        }
        entry.weigh();
        self.bytes += entry.bytes;
        self.complete(epoch, flush, now_ns);
    }

    /// Makes room for so many bytes, letting go of what is decided. The next flush to be decided is
    /// never refused: on it all others wait.
    fn room(&mut self, bytes: usize, next: bool) -> bool {
        let limit = self.limits.bytes;
        while self.bytes.saturating_add(bytes) > limit {
            let oldest = self.epochs.iter_mut().find_map(|(e, life)| Some((*e, life.let_go()?)));
            let Some((epoch, gone)) = oldest else { break };
            self.counts.let_go += 1;
            self.forget(epoch, vec![gone]);
        }
        next || self.bytes.saturating_add(bytes) <= limit
    }

    /// A ventilator's manifest.
    pub fn manifest(&mut self, manifest: Manifest, now_ns: u64) {
        let (epoch, flush, fresh) = (manifest.epoch, manifest.flush, self.fresh);
        let known = self.known(epoch);
        let Some(life) = self.epochs.get_mut(&epoch).filter(|l| known && !l.is_past(flush)) else {
            self.counts.outdated += 1;
            return;
        };
        let entry = life.entry(flush, now_ns);
        if entry.manifest.is_some() {
            return;
        }
        let covered: Vec<(u64, u32)> = entry.covered.iter().map(|(u, e)| (*u, *e)).collect();
        self.bytes -= entry.bytes;
        if !fits(&manifest, &covered) {
            self.counts.rejected += 1;
            entry.clear();
        }
        entry.manifest = Some(manifest);
        entry.weigh();
        self.bytes += entry.bytes;
        if fresh {
            entry.since_ns = now_ns.saturating_sub(self.limits.ask_after);
        }
        self.complete(epoch, flush, now_ns);
    }

    /// A unit that will never come.
    pub fn given_up(&mut self, epoch: u64, flush: u64, unit: u64, reason: &str, now_ns: u64) {
        let Some(entry) = self.epochs.get_mut(&epoch).and_then(|e| e.flushes.get_mut(&flush))
        else {
            return;
        };
        let named = entry.manifest.as_ref().is_some_and(|m| m.units.iter().any(|u| u.0 == unit));
        if entry.forwarded || !named || entry.covered.contains_key(&unit) {
            return;
        }
        entry.given_up.insert(unit, reason.to_string());
        self.complete(epoch, flush, now_ns);
    }

    fn complete(&mut self, epoch: u64, flush: u64, now_ns: u64) {
        let Some(entry) = self.epochs.get_mut(&epoch).and_then(|e| e.flushes.get_mut(&flush))
        else {
            return;
        };
        let Some(manifest) = &entry.manifest else { return };
        if entry.forwarded || !manifest.units.iter().all(|(u, _)| entry.has(*u)) {
            return;
        }
        let mut manifest = manifest.clone();
        let made = manifest.units.len() as u32;
        for (unit, events) in &manifest.units {
            if let Some(reason) = entry.given_up.get(unit) {
                let sum = manifest.dropped.entry(reason.clone()).or_default();
                *sum = sum.saturating_add(u64::from(*events));
            }
        }
        manifest.units.retain(|(u, _)| entry.covered.contains_key(u));
        let merged: u64 = manifest.units.iter().map(|(_, e)| u64::from(*e)).sum();
        self.counts.flushes += 1;
        self.counts.events += merged;
        let units = (manifest.units.len() as u32, made);
        // Its bytes stay counted: they are held encoded now.
        let states = std::mem::take(&mut entry.states);
        (entry.forwarded, entry.since_ns) = (true, now_ns);
        self.effects.push(Effect::Forward(Box::new(Forward { manifest, merged, units, states })));
    }

    /// What was forwarded as it came cannot be read, not by the root either: its units are asked for again.
    pub fn unreadable(&mut self, epoch: u64, flush: u64) {
        let entry = self.epochs.get_mut(&epoch).and_then(|e| e.flushes.get_mut(&flush));
        let Some(entry) = entry.filter(|e| e.forwarded) else { return };
        let events: u64 = entry.covered.values().map(|e| u64::from(*e)).sum();
        self.counts.rejected += 1;
        self.counts.flushes -= 1;
        self.counts.events -= events;
        self.bytes -= entry.bytes;
        entry.forwarded = false;
        entry.clear();
        entry.weigh();
        self.bytes += entry.bytes;
    }

    /// The root decided the flushes below `flushes`; those below `durable` need not be held. An
    /// older life's word is ignored; a newer life's lower watermark replaces the old one, and what
    /// is held above it is sent again.
    pub fn decided(
        &mut self,
        epoch: u64,
        root_life: u64,
        (flushes, durable): (u64, u64),
        now_ns: u64,
    ) {
        let Some(life) = self.epochs.get_mut(&epoch) else { return };
        if !life.note_decided(root_life, flushes, now_ns) {
            return;
        }
        let gone = life.settle(durable.min(flushes));
        self.forget(epoch, gone);
    }

    /// Asks for what is missing, sends again what is undecided.
    pub fn tick(&mut self, now_ns: u64) {
        let mut lacking = false;
        for (&epoch, life) in &mut self.epochs {
            lacking |= life.lacks_next();
            for effect in life.due(epoch, self.limits, RESENDS, now_ns) {
                self.effects.push(effect);
            }
        }
        if lacking && now_ns.saturating_sub(self.asked_ns) >= self.limits.ask_after {
            self.asked_ns = now_ns;
            self.effects.push(Effect::Hello);
        }
        self.fresh = false;
    }

    /// The root lacked what flushes need to be understood: everything undecided is sent again.
    pub fn resend_all(&mut self, epoch: u64) {
        if let Some(life) = self.epochs.get_mut(&epoch) {
            life.resend_all();
        }
    }
}

/// Whether every unit is the manifest's, with the same number of events.
fn fits(manifest: &Manifest, units: &[(u64, u32)]) -> bool {
    units.iter().all(|u| manifest.units.contains(u))
}

#[cfg(test)]
mod tests;
