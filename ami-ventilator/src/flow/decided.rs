//! Acknowledgement: what the host collector lacks, what the root has decided, what may be forgotten.

use crate::flow::{Effect, Flow, lanes};
use ami_proto::data_path::to_collector::ToCollector;

impl Flow {
    /// A host collector started, or lacks everything: hand it watermark, contexts and manifests.
    pub fn collector_hello(&mut self, host: &str, now_ns: u64) {
        self.told = lanes::Told::default();
        for (epoch, decided) in self.lives() {
            let host = host.to_string();
            let epoch = ToCollector::Epoch { epoch, host, decided };
            self.effects.push(Effect::Collector(epoch));
        }
        self.answer_for_pasts(now_ns, 0);
        for flush in self.watermark..self.watermark + self.flushes.len() as u64 {
            self.send_manifest(flush);
        }
        self.flushes.iter_mut().for_each(|f| f.sent_ns = now_ns);
    }

    /// A host collector lacks units. Those that a living lane still works on will come; the others
    /// are done again, or declared lost where the ring no longer holds them.
    pub fn need(&mut self, epoch: u64, flush: u64, units: &[u64]) {
        let all: Vec<u64> = match units {
            // Of an earlier life no units are known; those it lacks the collector names next time.
            [] => flush
                .checked_sub(self.watermark)
                .filter(|_| epoch == self.epoch)
                .and_then(|i| self.flushes.get(i as usize))
                .map(|f| f.manifest.units.iter().map(|u| u.0).collect())
                .unwrap_or_default(),
            units => units.to_vec(),
        };
        for unit in all {
            // Given up, or just being run alone.
            if epoch == self.epoch && (self.tell_given_up(flush, unit) || self.poison.has(unit)) {
                continue;
            }
            let known = epoch == self.epoch && unit >= self.first_unit;
            match known.then(|| self.units.get((unit - self.first_unit) as usize)).flatten() {
                None => self.effects.push(Effect::Collector(ToCollector::Dropped {
                    epoch,
                    flush,
                    unit,
                    reason: "lost".into(),
                })),
                Some(found) if found.flush != flush => {}
                Some(found) => {
                    let working = found.lane.and_then(|l| self.lanes.get(&l));
                    let sent = working.is_none_or(|l| l.has_sent(unit, flush));
                    if sent && !self.replays.contains(&unit) && !self.waiting.contains(&unit) {
                        self.replays.push_back(unit);
                    }
                }
            }
        }
        self.dispatch();
    }

    /// The root has decided the flushes below `flushes`. An older life's word is ignored; a newer
    /// life's lower watermark changes nothing here: what was freed stays freed.
    pub fn decided(&mut self, epoch: u64, life: u64, flushes: u64) {
        if epoch != self.epoch {
            return self.past_decided(epoch, life, flushes);
        }
        if life < self.root_life {
            return;
        }
        self.root_life = life;
        self.touched = true;
        let mut free = None;
        while self.watermark < flushes {
            let Some(flush) = self.flushes.pop_front() else { break };
            self.watermark += 1;
            self.decided = flush.manifest.progress();
            let count = flush.manifest.units.len();
            for _ in 0..count {
                if let Some(unit) = self.units.pop_front() {
                    self.first_unit = unit.descriptor.unit + 1;
                }
            }
            free = Some((self.first_unit, flush.end));
        }
        let Some(free) = free else { return };
        self.freeable.push_back(free);
        let first = self.first_unit;
        self.replays.retain(|u| *u >= first);
        self.waiting.retain(|u| *u >= first);
        self.poison.forget(first);
        self.forget_contexts();
        self.free();
        self.dispatch();
    }

    /// Forgets contexts that no event was seen with: a source may be silent for long and still say
    /// what holds. The number of the newest is not given again.
    pub(super) fn forget_unused(&mut self) {
        let units = self.units.back().map(|u| u.descriptor.context);
        let flushes = self.flushes.back().map(|f| f.manifest.context);
        let open = self.open.as_ref().map(|o| o.context);
        let used = units.max(flushes).max(open);
        let newest = self.contexts.last_key_value().map(|(n, _)| *n);
        self.contexts.retain(|n, _| Some(*n) <= used || Some(*n) == newest);
    }

    fn forget_contexts(&mut self) {
        let newest = self.contexts.last_key_value().map_or(0, |(n, _)| *n);
        let oldest = self
            .flushes
            .iter()
            .map(|f| f.manifest.context)
            .chain(self.units.front().map(|u| u.descriptor.context))
            .chain(self.open.as_ref().map(|o| o.context))
            .min()
            .unwrap_or(newest)
            .min(newest);
        self.contexts = self.contexts.split_off(&oldest);
        let schema = self.contexts.values().map(|c| c.conditions.schema).min().unwrap_or(0);
        // The newest schema stays even before a context carries it.
        let newest = self.schemas.last_key_value().map_or(0, |(n, _)| *n);
        self.schemas = self.schemas.split_off(&schema.min(newest));
        self.told.contexts = self.told.contexts.split_off(&oldest);
    }

    /// The oldest graph version that may still be needed.
    pub fn oldest_version(&self) -> u64 {
        self.contexts.values().map(|c| c.conditions.version).min().unwrap_or(0)
    }

    /// Repeats manifests that were not decided for a while, and looks how lanes get on.
    pub fn tick(&mut self, now_ns: u64) {
        self.look_at_lanes(now_ns);
        self.answer_for_pasts(now_ns, self.limits.repeat_ns);
        let due: Vec<u64> = (self.watermark..)
            .zip(&self.flushes)
            .filter(|(_, f)| now_ns.saturating_sub(f.sent_ns) >= self.limits.repeat_ns)
            .map(|(n, _)| n)
            .collect();
        for flush in due {
            self.flushes[(flush - self.watermark) as usize].sent_ns = now_ns;
            self.send_manifest(flush);
        }
    }
}
