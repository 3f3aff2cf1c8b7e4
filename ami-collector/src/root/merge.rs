//! Flushes into heartbeats, heartbeats into results.

use crate::root::builder::{Loss, Mark, Outcome};
use crate::root::fields;
use crate::root::heartbeats::{FrameKey, Pending, Ready};
use crate::root::result_messages::{is_offered, retire_message};
use crate::root::{Host, Root};
use ami_graph::data::frame::{Frame, Truth};
use ami_graph::data::schema::Schema;
use ami_graph::graph::spec::GraphSet;
use ami_graph::root::RootStage;
use ami_graph::root::published::Published;
use ami_graph::wire::partial::Partial;
use ami_proto::data_path::ids::{Conditions, Progress};
use ami_proto::data_path::root_to_hosts::RootMessage;
use ami_proto::data_path::to_collector::Manifest;
use ami_proto::data_path::ventilator_to_worker::Context;
use ami_proto::process::daemon::now_ns;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What was published is said again, after late data, at most this often.
const AGAIN: Duration = Duration::from_millis(100);

impl Root {
    pub(super) fn on_forward(
        &mut self,
        host: &str,
        base: &Progress,
        manifest: &Manifest,
        merged: u64,
        units: (u32, u32),
    ) -> anyhow::Result<()> {
        let (epoch, flush) = (manifest.epoch, manifest.flush);
        self.frames.heard(host, now_ns());
        let context = self.context(host, epoch, manifest.context).cloned();
        let Some(context) = context.filter(|_| self.understands(host, epoch, manifest.conditions))
        else {
            return self.tell(&RootMessage::NeedContext { host: host.to_string(), epoch });
        };
        let bodies: Vec<&[u8]> = self.parts.iter().skip(2).map(|f| &f[..]).collect();
        let partial = match self.parts.get(1).map(|h| Partial::decode(h, &bodies)) {
            Some(Ok(partial)) => partial,
            _ => {
                self.counts.foreign.note("the root", "flush without readable state");
                return Ok(());
            }
        };
        self.on_base(host, epoch, base)?;
        match self.builder.forward(host, epoch, flush, Mark::of(manifest)) {
            None => self.counts.known += 1,
            Some(outcome) => {
                self.merge(host, context, manifest, merged, units, partial);
                self.pass(host, epoch, outcome);
            }
        }
        self.owed.insert((host.to_string(), epoch));
        match manifest.last {
            true => self.later.note(Instant::now()),
            // A ring that is short of room ended it: its ventilator may wait.
            false => self.later.hurry(Instant::now()),
        }
        Ok(())
    }

    /// Tells hosts up to where their flushes are merged; however many came, one message says it.
    pub(super) fn acknowledge(&mut self) -> anyhow::Result<()> {
        while let Some((host, epoch)) = self.owed.pop_first() {
            let (flushes, durable) = self.builder.watermark(&host, epoch);
            let life = self.life;
            self.tell(&RootMessage::Watermark { host, epoch, life, flushes, durable })?;
        }
        Ok(())
    }

    /// A host holds flushes up to here no more: those that this root lacks are lost.
    pub(super) fn on_base(
        &mut self,
        host: &str,
        epoch: u64,
        base: &Progress,
    ) -> anyhow::Result<()> {
        if base.flushes > 0 && !self.understands(host, epoch, base.conditions) {
            return self.tell(&RootMessage::NeedContext { host: host.to_string(), epoch });
        }
        let outcome = self.builder.base(host, epoch, base);
        for loss in &outcome.lost {
            self.declare_lost(host, loss);
        }
        self.pass(host, epoch, outcome);
        Ok(())
    }

    fn pass(&mut self, host: &str, epoch: u64, outcome: Outcome) {
        let newest = self.builder.is_newest(host, epoch);
        for p in outcome.passed {
            let key = self.frame_key(host, &p);
            self.frames.passed(host, key, p.last, p.end, newest);
        }
    }

    /// The heartbeat's part that a flush belongs to.
    fn frame_key(&mut self, host: &str, progress: &Progress) -> FrameKey {
        let conditions = progress.conditions;
        FrameKey {
            generation: self.readings.generation(host, conditions.reading),
            heartbeat: progress.key.heartbeat,
            run: conditions.run,
            step: conditions.step,
            version: conditions.version,
        }
    }

    fn declare_lost(&mut self, host: &str, loss: &Loss) {
        let Loss { events, at } = *loss;
        self.counts.lost = self.counts.lost.wrapping_add(events);
        tracing::warn!(
            host,
            events,
            run = at.conditions.run,
            heartbeat = at.key.heartbeat,
            "events lost: they came after the last checkpoint and no host holds them"
        );
        if at.flushes == 0 {
            // Before all that this root knows: no window speaks of them.
            return;
        }
        let lost = Pending {
            dropped: BTreeMap::from([("lost".to_string(), events)]),
            segment: at.key.segment,
            timestamp_ns: at.timestamp_ns,
            hosts: BTreeSet::from([host.to_string()]),
            ..Pending::default()
        };
        let key = self.frame_key(host, &at);
        let past = self.frames.is_past(key);
        match self.frames.open(key, now_ns()).filter(|_| !past) {
            Some(pending) => pending.add(lost),
            None => self.merge_late(key, lost),
        }
    }

    fn context(&self, host: &str, epoch: u64, number: u32) -> Option<&Context> {
        self.hosts.get(host)?.contexts.get(&(epoch, number))
    }

    /// Whether what flushes with these conditions need is known.
    fn understands(&self, host: &str, epoch: u64, conditions: Conditions) -> bool {
        let known = |h: &Host| h.schemas.contains_key(&(epoch, conditions.schema));
        let version = conditions.version;
        self.hosts.get(host).is_some_and(known)
            && (version == 0 || self.graphs.get(version).is_some())
    }

    fn merge(
        &mut self,
        host: &str,
        context: Context,
        manifest: &Manifest,
        merged: u64,
        units: (u32, u32),
        partial: Partial,
    ) {
        self.counts.events = self.counts.events.wrapping_add(merged);
        let key = self.frame_key(host, &manifest.progress());
        // An empty heartbeat of an idle host says nothing of the others' time.
        let any = manifest.events() > 0;
        let contribution = Pending {
            partial,
            events: merged,
            dropped: manifest.dropped.clone(),
            units: (units.0.into(), units.1.into()),
            late: manifest.late,
            timestamp_ns: if any { manifest.timestamp_ns } else { 0 },
            segment: if any { manifest.key.segment } else { 0 },
            step_values: context.step_values,
            hosts: BTreeSet::from([host.to_string()]),
            ..Pending::default()
        };
        match self.frames.open(key, now_ns()) {
            Some(pending) => pending.add(contribution),
            None => {
                self.counts.late = self.counts.late.wrapping_add(merged);
                self.merge_late(key, contribution);
            }
        }
    }

    /// Data of a heartbeat that was published without them: they join what is accumulated, and what
    /// was published last is said again.
    fn merge_late(&mut self, key: FrameKey, mut late: Pending) {
        let partial = std::mem::take(&mut late.partial);
        // Of a heartbeat in which a host is missing, how many are expected is known when all have come.
        let incomplete = self.frames.late(key, late.clone());
        late.segment = incomplete.unwrap_or(late.segment);
        let ready = Ready { key, pending: late, hosts: (0, 0) };
        let frame = self.frame(&ready, incomplete.is_none());
        let stage = self.stage.as_mut().map(|(_, stage)| stage);
        if !stage.is_some_and(|stage| stage.late(key.version, &frame, partial)) {
            let events = ready.pending.events;
            self.counts.mismatched = self.counts.mismatched.wrapping_add(events);
        }
        if let Some(newest) = self.newest.as_mut().filter(|n| n.key == key) {
            newest.pending.add(ready.pending);
        }
        self.changed = true;
    }

    /// Heartbeats of unknown share whose share is known now.
    fn settle(&mut self) {
        for (key, pending) in self.frames.settled() {
            let expected = pending.truth(true).expected;
            let counts = Pending {
                segment: pending.segment,
                timestamp_ns: pending.timestamp_ns,
                ..Pending::default()
            };
            let mut frame = self.frame(&Ready { key, pending: counts, hosts: (0, 0) }, false);
            frame.truth.expected = expected;
            if let Some((_, stage)) = &mut self.stage {
                stage.late(key.version, &frame, Partial::default());
                self.changed = true;
            }
        }
    }

    pub(super) fn publish_due(&mut self) -> anyhow::Result<()> {
        self.settle();
        for mut ready in self.frames.due(now_ns()) {
            if ready.pending.is_empty() {
                continue;
            }
            self.prepare_stage(ready.key.version)?;
            let frame = self.frame(&ready, ready.whole());
            let partial = std::mem::take(&mut ready.pending.partial);
            let published = match &mut self.stage {
                Some((_, stage)) => stage.close(&frame, partial),
                None => Vec::new(),
            };
            let complete = ready.whole() && frame.truth.complete();
            self.counts.heartbeats += 1;
            self.counts.lag_ns = now_ns().saturating_sub(ready.pending.since_ns);
            self.counts.complete += u64::from(complete);
            self.publish(&ready, &frame.truth, published)?;
            self.newest = Some(ready);
            self.changed = false;
        }
        // Code over published values has something new to say.
        self.changed |= self.newest.is_some() && self.python.take_news();
        if self.changed && self.said.elapsed() >= AGAIN {
            self.publish_again()?;
        }
        Ok(())
    }

    /// What was published last, as it is now.
    fn publish_again(&mut self) -> anyhow::Result<()> {
        self.changed = false;
        let Some(mut ready) = self.newest.take() else { return Ok(()) };
        ready.hosts = self.frames.known(ready.key, &ready.pending, now_ns());
        let frame = self.frame(&ready, ready.whole());
        let version = self.stage.as_ref().map(|(plan, _)| plan.version());
        if let Some((_, stage)) = self.stage.as_mut().filter(|_| version == Some(ready.key.version))
        {
            let published = stage.again(&frame);
            self.publish(&ready, &frame.truth, published)?;
        }
        self.newest = Some(ready);
        Ok(())
    }

    fn publish(
        &mut self,
        ready: &Ready,
        truth: &Truth,
        published: Vec<Published>,
    ) -> anyhow::Result<()> {
        self.said = Instant::now();
        let complete = ready.whole() && truth.complete();
        let (outlet, results) = (&mut self.outlet, &self.results);
        self.publisher.heartbeat(ready, truth, complete, published, |topic, frames| {
            if let Some(frames) = outlet.put(topic, frames) {
                results.send(frames)?;
            }
            Ok(())
        })
    }

    fn frame(&self, ready: &Ready, whole: bool) -> Frame {
        let period_ns = self.config.period_ns();
        Frame {
            generation: ready.key.generation,
            run: ready.key.run,
            step: ready.key.step,
            segment: ready.pending.segment,
            heartbeat: ready.key.heartbeat,
            timestamp_ns: ready.pending.timestamp_ns,
            period_ns,
            truth: ready.pending.truth(whole),
            step_values: ready.pending.step_values.clone(),
        }
    }

    /// The stage for a version and the fields of all hosts; accumulated state is carried over.
    fn prepare_stage(&mut self, version: u64) -> anyhow::Result<()> {
        let schema = self.all_fields();
        if let Some((plan, _)) = &self.stage
            && plan.version() == version
            && *plan.schema() == schema
        {
            return Ok(());
        }
        let set = match self.graphs.get(version) {
            Some(set) => set.clone(),
            None => Arc::new(GraphSet { version, ..GraphSet::default() }),
        };
        let ready =
            self.prepared.take().filter(|p| p.version() == version && *p.schema() == schema);
        let plan = ready.unwrap_or_else(|| self.plan(set, schema));
        for error in plan.errors() {
            tracing::warn!(%error, "node switched off");
        }
        match &mut self.stage {
            Some((old, stage)) => {
                stage.update(plan.clone());
                *old = plan.clone();
            }
            None => self.stage = Some((plan.clone(), RootStage::new(plan.clone()))),
        }
        let topics: BTreeSet<String> = plan.features().into_iter().map(|f| f.topic).collect();
        let gone = self.outlet.retain(|topic| is_offered(topic, &topics));
        if !gone.is_empty() {
            self.results.send(retire_message(&gone))?;
        }
        self.python.set_version(version);
        self.graphs.in_effect(version);
        Ok(())
    }

    /// The newest fields of every host; made anew only after a host has told new ones, since every
    /// heartbeat asks.
    pub(super) fn all_fields(&mut self) -> Arc<Schema> {
        let newest = self.hosts.values().filter_map(|host| host.schemas.values().next_back());
        let all = || Arc::new(fields::of_all(newest.map(|schema| &**schema)));
        self.fields.get_or_insert_with(all).clone()
    }
}
