//! Decides the flushes of every host, each whole and once. Pure.
//!
//! Per (host, epoch) flushes are numbered without gaps; the first forward of a flush wins. The
//! watermark counts flushes decided without a gap; labels count only decisions. Where a host says
//! that it holds flushes no more which this root lacks, they are lost: how many events were in them
//! follows from how far the epoch had come before and after.

use crate::root::heartbeats::HOSTS;
use ami_proto::data_path::ids::Progress;
use ami_proto::data_path::to_collector::Manifest;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A decided flush: what a host has passed when everything up to it is decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// How far the epoch has come with it.
    pub progress: Progress,
    /// Events taken for it.
    pub events: u64,
}

impl Mark {
    /// Of a flush.
    pub fn of(manifest: &Manifest) -> Mark {
        Mark { progress: manifest.progress(), events: manifest.events() }
    }
}

/// Events that are lost, and where they are declared: no later than they were taken, in their run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Loss {
    /// How many.
    pub events: u64,
    /// Declared with the heartbeat of this flush.
    pub at: Progress,
}

/// What followed from a decision, or from what a host holds no more.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// What the host has passed, in order: a flush may come before an earlier one whose workers
    /// are slower.
    pub passed: Vec<Progress>,
    /// What is lost.
    pub lost: Vec<Loss>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Epoch {
    /// How far it is decided.
    at: Progress,
    /// As far as the last checkpoint knows.
    durable: u64,
    above: BTreeMap<u64, Mark>,
}

/// One host's present epoch, and those before.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Host {
    epochs: BTreeMap<u64, Epoch>,
}

/// Epochs kept per host.
const EPOCHS: usize = 4;

/// Flushes above a watermark that are remembered: many times what a ventilator lets be undecided.
const ABOVE: usize = 1 << 16;

/// See the module's documentation.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootBuilder {
    hosts: BTreeMap<String, Host>,
}

impl RootBuilder {
    /// A host forwards a flush. None: it was decided before, or is nobody's. Otherwise it is to be
    /// merged.
    pub fn forward(&mut self, host: &str, epoch: u64, flush: u64, mark: Mark) -> Option<Outcome> {
        let life = self.epoch(host, epoch)?;
        if flush < life.at.flushes || life.above.contains_key(&flush) || life.above.len() >= ABOVE {
            return None;
        }
        life.above.insert(flush, mark);
        Some(Outcome { passed: life.pass(), lost: Vec::new() })
    }

    /// A host holds nothing up to `base`.
    pub fn base(&mut self, host: &str, epoch: u64, base: &Progress) -> Outcome {
        let Some(life) = self.epoch(host, epoch) else { return Outcome::default() };
        if base.flushes <= life.at.flushes {
            return Outcome::default();
        }
        let kept = life.above.split_off(&base.flushes);
        let decided = std::mem::replace(&mut life.above, kept);
        let lost = losses(&life.at, base, decided.values());
        let mut passed: Vec<Progress> = decided.values().map(|m| m.progress).collect();
        passed.push(*base);
        life.at = *base;
        passed.extend(life.pass());
        Outcome { passed, lost }
    }

    fn epoch(&mut self, host: &str, epoch: u64) -> Option<&mut Epoch> {
        if !self.hosts.contains_key(host) {
            if self.hosts.len() >= HOSTS {
                return None;
            }
            self.hosts.insert(host.to_string(), Host::default());
        }
        let epochs = &mut self.hosts.get_mut(host)?.epochs;
        let oldest = epochs.first_key_value().map(|(e, _)| *e);
        if !epochs.contains_key(&epoch) && epochs.len() >= EPOCHS {
            // Of an epoch that was forgotten nothing can be told from what was decided.
            if oldest.is_none_or(|o| epoch < o) {
                return None;
            }
            epochs.pop_first();
        }
        Some(epochs.entry(epoch).or_default())
    }

    /// Whether it is a host's newest epoch.
    pub fn is_newest(&self, host: &str, epoch: u64) -> bool {
        let epochs = self.hosts.get(host).map(|h| &h.epochs);
        epochs.and_then(|e| e.last_key_value()).is_none_or(|(newest, _)| *newest == epoch)
    }

    /// Number after the newest flush decided without a gap, and after the newest that is durable.
    pub fn watermark(&self, host: &str, epoch: u64) -> (u64, u64) {
        let host = self.hosts.get(host);
        host.and_then(|h| h.epochs.get(&epoch)).map_or((0, 0), |e| (e.at.flushes, e.durable))
    }

    /// All watermarks: host, epoch, flushes decided, flushes durable.
    pub fn watermarks(&self) -> impl Iterator<Item = (&str, u64, (u64, u64))> {
        self.hosts.iter().flat_map(|(host, h)| {
            h.epochs.iter().map(move |(e, l)| (host.as_str(), *e, (l.at.flushes, l.durable)))
        })
    }

    /// A checkpoint in which this was the state has been written.
    pub fn durable(&mut self, written: &RootBuilder) {
        for (name, host) in &mut self.hosts {
            let Some(written) = written.hosts.get(name) else { continue };
            for (epoch, life) in &mut host.epochs {
                let flushes = written.epochs.get(epoch).map_or(0, |w| w.at.flushes);
                life.durable = life.durable.max(flushes);
            }
        }
    }

    /// Everything decided counts as durable: as restored from a checkpoint.
    pub fn restored(mut self) -> RootBuilder {
        for life in self.hosts.values_mut().flat_map(|h| h.epochs.values_mut()) {
            life.durable = life.at.flushes;
        }
        self
    }
}

impl Epoch {
    fn pass(&mut self) -> Vec<Progress> {
        let mut passed = Vec::new();
        while let Some(mark) = self.above.remove(&self.at.flushes) {
            // Counted here, not taken from the sender: the number cannot run away.
            self.at = Progress { flushes: self.at.flushes.saturating_add(1), ..mark.progress };
            passed.push(mark.progress);
        }
        passed
    }
}

/// Events taken between two points of an epoch that are in none of the flushes decided there. Those
/// of the newer point's run are declared there, except what lies in earlier steps of the older
/// point's run; so `run` windows are exact always, `step` windows unless whole steps are lost.
fn losses<'a>(
    from: &Progress,
    to: &Progress,
    decided: impl Iterator<Item = &'a Mark> + Clone,
) -> Vec<Loss> {
    let missing = |taken: u64, before: u64, of: &dyn Fn(&Mark) -> bool| {
        let there = decided.clone().filter(|m| of(m)).fold(0u64, |n, m| n.saturating_add(m.events));
        taken.saturating_sub(before).saturating_sub(there)
    };
    let all = missing(to.taken.epoch, from.taken.epoch, &|_| true);
    let same_run = from.flushes > 0 && from.conditions.run == to.conditions.run;
    let same_segment = from.flushes > 0 && from.key.segment == to.key.segment;
    let newer = if same_segment {
        all
    } else if same_run {
        let segment = to.key.segment;
        missing(to.taken.segment, 0, &|m| m.progress.key.segment == segment)
    } else {
        let run = to.conditions.run;
        missing(to.taken.run, 0, &|m| m.progress.conditions.run == run)
    };
    let older = Loss { events: all - newer.min(all), at: *from };
    let newer = Loss { events: newer, at: *to };
    [older, newer].into_iter().filter(|l| l.events > 0).collect()
}

#[cfg(test)]
mod tests;
