//! Builds a host's flushes from partials and manifests. Pure: time is an argument.
//!
//! The first partial for a unit wins; a partial of which one unit is already covered is ignored
//! whole. Once merged units and declared drops cover a manifest exactly, the flush is forwarded, and
//! again until the root has decided about it.

use ami_graph::partial::Partial;
use ami_proto::to_collector::Manifest;
use std::collections::BTreeMap;

/// A flush, ready for the root.
#[derive(Debug)]
pub struct Forward {
    /// Units that were given up are in `dropped`.
    pub manifest: Manifest,
    /// Events merged.
    pub merged: u64,
    /// Units merged, of those made.
    pub units: (u32, u32),
    /// Their state.
    pub partial: Partial,
}

/// What is to be done outside.
#[derive(Debug)]
pub enum Effect {
    /// Encode, send to the root, keep for resending.
    Forward(Box<Forward>),
    /// Send again what was forwarded.
    Resend(u64, u64),
    /// Forget what was forwarded.
    Forget(u64, u64),
    /// Ask the ventilator for units of a flush; all of the manifest's when empty.
    Need(u64, u64, Vec<u64>),
}

/// Times, ns.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    /// Units missing for so long are asked for.
    pub ask_after: u64,
    /// Forwarded and not decided for so long: send again.
    pub resend: u64,
}

#[derive(Debug, Default)]
struct Entry {
    manifest: Option<Manifest>,
    partial: Partial,
    /// Events by unit covered.
    covered: BTreeMap<u64, u32>,
    /// Reason by unit given up.
    given_up: BTreeMap<u64, String>,
    forwarded: bool,
    resends: u32,
    since_ns: u64,
}

#[derive(Debug, Default)]
struct Epoch {
    watermark: u64,
    root_life: u64,
    flushes: BTreeMap<u64, Entry>,
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
    /// Partials of flushes already decided.
    pub outdated: u64,
}

/// See the module's documentation.
#[derive(Debug)]
pub struct HostBuilder {
    times: Times,
    epochs: BTreeMap<u64, Epoch>,
    /// Right after a start units are asked for at once: who had sent them will not send again.
    fresh: bool,
    effects: Vec<Effect>,
    /// Counts since the start.
    pub counts: Counts,
}

/// Epochs kept: the living ventilator's and what is undecided of the one before.
const EPOCHS: usize = 4;

impl HostBuilder {
    /// Knows nothing yet.
    pub fn new(times: Times) -> HostBuilder {
        HostBuilder {
            times,
            epochs: BTreeMap::new(),
            fresh: true,
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
        self.epochs.values().map(|e| e.flushes.len()).sum()
    }

    /// A ventilator's life, with what is decided of it.
    pub fn epoch(&mut self, epoch: u64, watermark: u64, root_life: u64) {
        self.epochs.entry(epoch).or_default();
        while self.epochs.len() > EPOCHS {
            self.epochs.pop_first();
        }
        self.decided(epoch, root_life, watermark);
    }

    /// Flushes below are decided, as far as this host knows.
    pub fn watermark(&self, epoch: u64) -> u64 {
        self.epochs.get(&epoch).map_or(0, |e| e.watermark)
    }

    /// A worker's partial.
    pub fn partial(
        &mut self,
        epoch: u64,
        flush: u64,
        units: &[(u64, u32)],
        partial: Partial,
        now_ns: u64,
    ) {
        let life = self.epochs.entry(epoch).or_default();
        if flush < life.watermark {
            self.counts.outdated += 1;
            return;
        }
        let entry = life
            .flushes
            .entry(flush)
            .or_insert_with(|| Entry { since_ns: now_ns, ..Entry::default() });
        let known = |u: &u64| entry.covered.contains_key(u) || entry.given_up.contains_key(u);
        if entry.forwarded || units.iter().any(|(u, _)| known(u)) {
            self.counts.repeated += 1;
            return;
        }
        if entry.manifest.as_ref().is_some_and(|m| !fits(m, units)) {
            self.counts.rejected += 1;
            return;
        }
        if entry.partial.merge(partial).is_err() {
            self.counts.rejected += 1;
            // What was merged so far may be half of it: begin anew.
            entry.partial = Partial::default();
            entry.covered.clear();
            self.effects.push(Effect::Need(epoch, flush, Vec::new()));
            return;
        }
        entry.covered.extend(units.iter().copied());
        self.complete(epoch, flush, now_ns);
    }

    /// A ventilator's manifest.
    pub fn manifest(&mut self, manifest: Manifest, now_ns: u64) {
        let (epoch, flush) = (manifest.epoch, manifest.flush);
        let fresh = self.fresh;
        let life = self.epochs.entry(epoch).or_default();
        if flush < life.watermark {
            return;
        }
        let entry = life
            .flushes
            .entry(flush)
            .or_insert_with(|| Entry { since_ns: now_ns, ..Entry::default() });
        if entry.manifest.is_some() {
            return;
        }
        let covered: Vec<(u64, u32)> = entry.covered.iter().map(|(u, e)| (*u, *e)).collect();
        if !fits(&manifest, &covered) {
            self.counts.rejected += 1;
            entry.partial = Partial::default();
            entry.covered.clear();
        }
        entry.manifest = Some(manifest);
        if fresh {
            entry.since_ns = now_ns.saturating_sub(self.times.ask_after);
        }
        self.complete(epoch, flush, now_ns);
    }

    /// A unit that will never come.
    pub fn given_up(&mut self, epoch: u64, flush: u64, unit: u64, reason: &str, now_ns: u64) {
        let Some(entry) = self.epochs.get_mut(&epoch).and_then(|e| e.flushes.get_mut(&flush))
        else {
            return;
        };
        if entry.forwarded || entry.covered.contains_key(&unit) {
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
        let all =
            |(u, _): &(u64, u32)| entry.covered.contains_key(u) || entry.given_up.contains_key(u);
        if entry.forwarded || !manifest.units.iter().all(all) {
            return;
        }
        entry.forwarded = true;
        entry.since_ns = now_ns;
        let mut manifest = manifest.clone();
        let made = manifest.units.len() as u32;
        for (unit, events) in &manifest.units {
            if let Some(reason) = entry.given_up.get(unit) {
                *manifest.dropped.entry(reason.clone()).or_default() += u64::from(*events);
            }
        }
        manifest.units.retain(|(u, _)| entry.covered.contains_key(u));
        let merged = manifest.units.iter().map(|(_, e)| u64::from(*e)).sum();
        self.counts.flushes += 1;
        self.counts.events += merged;
        let units = (manifest.units.len() as u32, made);
        let partial = std::mem::take(&mut entry.partial);
        self.effects.push(Effect::Forward(Box::new(Forward { manifest, merged, units, partial })));
    }

    /// The root decided the flushes below. An older life's word is ignored.
    pub fn decided(&mut self, epoch: u64, root_life: u64, flushes: u64) {
        let Some(life) = self.epochs.get_mut(&epoch) else { return };
        if root_life < life.root_life {
            return;
        }
        life.root_life = root_life;
        life.watermark = life.watermark.max(flushes);
        while let Some(entry) = life.flushes.first_entry() {
            if *entry.key() >= flushes {
                break;
            }
            let flush = *entry.key();
            entry.remove();
            self.effects.push(Effect::Forget(epoch, flush));
        }
    }

    /// Asks for what is missing, sends again what is undecided.
    pub fn tick(&mut self, now_ns: u64) {
        for (&epoch, life) in &mut self.epochs {
            for (&flush, entry) in &mut life.flushes {
                let age = now_ns.saturating_sub(entry.since_ns);
                // Ever more seldom: a root that sleeps is not buried.
                if entry.forwarded && age >= self.times.resend << entry.resends.min(4) {
                    entry.since_ns = now_ns;
                    entry.resends += 1;
                    self.effects.push(Effect::Resend(epoch, flush));
                } else if let Some(manifest) = &entry.manifest
                    && !entry.forwarded
                    && age >= self.times.ask_after
                {
                    entry.since_ns = now_ns;
                    let has =
                        |u: &u64| entry.covered.contains_key(u) || entry.given_up.contains_key(u);
                    let missing = manifest.units.iter().map(|u| u.0).filter(|u| !has(u)).collect();
                    self.effects.push(Effect::Need(epoch, flush, missing));
                }
            }
        }
        self.fresh = false;
    }

    /// The root asks for everything undecided again.
    pub fn resend_all(&mut self, epoch: u64) {
        let Some(life) = self.epochs.get(&epoch) else { return };
        let forwarded = life.flushes.iter().filter(|(_, e)| e.forwarded);
        self.effects.extend(forwarded.map(|(flush, _)| Effect::Resend(epoch, *flush)));
    }
}

/// Whether every unit is the manifest's, with the same number of events.
fn fits(manifest: &Manifest, units: &[(u64, u32)]) -> bool {
    units.iter().all(|u| manifest.units.contains(u))
}

#[cfg(test)]
mod tests;
