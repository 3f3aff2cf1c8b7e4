//! Answering for what earlier lives of this ventilator left undecided, and leaving the same to the
//! next one.

use crate::flow::past::{Journal, Past, Tally, lost};
use crate::flow::{Effect, Flow, taken};
use ami_proto::data_path::ids::{Progress, Taken};
use ami_proto::data_path::to_collector::{Manifest, ToCollector};

/// A past life to be answered for, and when its manifests were sent last.
#[derive(Debug, Clone)]
pub struct Owed {
    past: Past,
    sent_ns: u64,
}

impl Flow {
    /// Takes over what earlier lives left undecided.
    pub fn inherit(&mut self, pasts: Vec<Past>) {
        self.owed = pasts.into_iter().map(|past| Owed { past, sent_ns: 0 }).collect();
        self.unwritten = true;
    }

    /// Whether flushes of earlier lives are still undecided.
    pub fn owes(&self) -> bool {
        !self.owed.is_empty()
    }

    /// Whether this life, or one that it answers for, is meant.
    pub fn knows(&self, epoch: u64) -> bool {
        epoch == self.epoch || self.owed.iter().any(|o| o.past.epoch == epoch)
    }

    /// Epoch and how far it is decided, of each life, the present one last: the collector takes the
    /// last that it hears of for the living one.
    pub(super) fn lives(&self) -> Vec<(u64, Progress)> {
        let past = self.owed.iter().map(|o| (o.past.epoch, o.past.decided));
        past.chain([(self.epoch, self.decided)]).collect()
    }

    /// Sends the manifests of earlier lives that were not sent for a while.
    pub(super) fn answer_for_pasts(&mut self, now_ns: u64, after_ns: u64) {
        for owed in &mut self.owed {
            if now_ns.saturating_sub(owed.sent_ns) < after_ns {
                continue;
            }
            owed.sent_ns = now_ns;
            let past = &owed.past;
            let schemas = past.schemas.iter();
            let schemas = schemas.map(|(n, s)| ToCollector::Schema(past.epoch, *n, (**s).clone()));
            let contexts = past.contexts.iter();
            let contexts = contexts.map(|c| ToCollector::Context(past.epoch, c.clone()));
            let manifests = past.manifests.iter().cloned().map(ToCollector::Manifest);
            self.effects.extend(schemas.map(Effect::Collector));
            // The root knows the graphs of the past; a new one hears of them from the manager.
            let versions = past.contexts.iter().map(|c| c.conditions.version);
            self.effects.extend(versions.map(Effect::CollectorGraphs));
            self.effects.extend(contexts.chain(manifests).map(Effect::Collector));
        }
    }

    /// The root has decided flushes of an earlier life.
    pub(super) fn past_decided(&mut self, epoch: u64, life: u64, flushes: u64) {
        for past in self.owed.iter_mut().map(|o| &mut o.past) {
            if past.epoch == epoch && life >= past.root_life {
                past.root_life = life;
                past.decide(flushes);
                self.unwritten = true;
            }
        }
        self.owed.retain(|o| !o.past.manifests.is_empty());
    }

    /// The open flush as it would be lost, `staged` events of it being in no unit yet.
    pub fn open_as_lost(&self, staged: u64) -> Option<Manifest> {
        let open = self.open.as_ref()?;
        let manifest = Manifest {
            epoch: self.epoch,
            flush: self.watermark + self.flushes.len() as u64,
            key: open.key,
            context: open.context,
            conditions: self.conditions(open.context),
            taken: Taken::default(),
            timestamp_ns: open.timestamp_ns,
            units: open.units.clone(),
            dropped: open.dropped.clone(),
            late: open.late,
            // The next life may go on with this heartbeat.
            last: false,
            end: false,
        };
        let mut manifest = lost(manifest, staged);
        manifest.taken = taken(&self.closed, &manifest);
        Some(manifest)
    }

    /// Whether the tally is to be written, although nothing was taken; and the journal.
    pub fn written(&mut self) -> (bool, bool) {
        (std::mem::take(&mut self.touched), std::mem::take(&mut self.unwritten))
    }

    /// What this life leaves should it end now.
    pub fn journal(&self, source: &str, tally: Tally) -> Journal {
        let oldest = self.flushes.front().map(|f| f.manifest.context);
        let contexts = self.contexts.range(oldest.unwrap_or(0)..);
        let life = Past {
            epoch: self.epoch,
            watermark: self.watermark,
            decided: self.decided,
            root_life: self.root_life,
            manifests: self.flushes.iter().map(|f| lost(f.manifest.clone(), 0)).collect(),
            contexts: contexts.map(|(_, c)| c.clone()).collect(),
            schemas: self.schemas.iter().map(|(n, s)| (*n, s.clone())).collect(),
        };
        let before = self.owed.iter().map(|o| o.past.clone()).collect();
        Journal { source: source.to_string(), life, tally, before }
    }

    /// Watermark and the root's life behind it.
    pub fn acknowledged(&self) -> (u64, u64) {
        (self.watermark, self.root_life)
    }
}
