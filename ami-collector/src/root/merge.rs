//! Flushes into heartbeats, heartbeats into results.

use super::Root;
use crate::frames::{FrameKey, Pending, Ready};
use crate::publish::{is_offered, retire_message};
use crate::root_builder::Mark;
use ami_graph::partial::Partial;
use ami_graph::plan::Plan;
use ami_graph::published::Frame;
use ami_graph::root::RootStage;
use ami_graph::schema::Schema;
use ami_graph::spec::GraphSet;
use ami_proto::daemon::now_ns;
use ami_proto::root_to_hosts::RootMessage;
use ami_proto::socket;
use ami_proto::to_collector::Manifest;
use ami_proto::ventilator_to_worker::Context;
use std::collections::BTreeSet;
use std::sync::Arc;

/// What a flush belongs to on all hosts.
fn frame_key(manifest: &Manifest, context: &Context) -> FrameKey {
    let conditions = context.conditions;
    FrameKey {
        heartbeat: manifest.key.heartbeat,
        run: conditions.run,
        step: conditions.step,
        version: conditions.version,
    }
}

impl Root {
    pub(super) fn on_forward(
        &mut self,
        host: &str,
        base: u64,
        manifest: &Manifest,
        merged: u64,
        units: (u32, u32),
    ) -> anyhow::Result<()> {
        let (epoch, flush) = (manifest.epoch, manifest.flush);
        self.frames.heard(host, now_ns());
        let Some(context) = self.context(host, epoch, manifest.context) else {
            let (host, context) = (host.to_string(), manifest.context);
            return self.tell(&RootMessage::NeedContext { host, epoch, context });
        };
        let bodies: Vec<&[u8]> = self.parts.iter().skip(2).map(|f| &f[..]).collect();
        let partial = match self.parts.get(1).map(|h| Partial::decode(h, &bodies)) {
            Some(Ok(partial)) => partial,
            _ => {
                self.counts.foreign += 1;
                tracing::warn!(host, flush, "flush without readable state ignored");
                return Ok(());
            }
        };
        let key = frame_key(manifest, &context);
        let mark = Mark { key, last: manifest.last, end: manifest.end };
        match self.builder.forward(host, epoch, flush, base, mark) {
            None => self.counts.known += 1,
            Some(passed) => {
                self.merge(host, context, manifest, merged, units, partial);
                for mark in passed {
                    self.frames.passed(host, mark.key, mark.last, mark.end);
                }
            }
        }
        let flushes = self.builder.watermark(host, epoch);
        self.tell(&RootMessage::Watermark {
            host: host.to_string(),
            epoch,
            life: self.life,
            flushes,
        })
    }

    /// The context, if it and what it refers to are known.
    fn context(&self, host: &str, epoch: u64, number: u32) -> Option<Context> {
        let known = self.hosts.get(host)?;
        let context = known.contexts.get(&(epoch, number))?;
        known.schemas.get(&(epoch, context.conditions.schema))?;
        let version = context.conditions.version;
        (version == 0 || self.graphs.contains_key(&version)).then(|| context.clone())
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
        let key = frame_key(manifest, &context);
        self.counts.events += merged;
        let Some(pending) = self.frames.open(key, now_ns()) else {
            self.merge_late(context, manifest, merged, partial);
            return;
        };
        if pending.step_values.is_empty() {
            pending.step_values = context.step_values;
        }
        if units.1 > 0 {
            pending.segment = pending.segment.max(manifest.key.segment);
            pending.timestamp_ns = pending.timestamp_ns.max(manifest.timestamp_ns);
        }
        pending.events += merged;
        pending.units.0 += u64::from(units.0);
        pending.units.1 += u64::from(units.1);
        pending.late += manifest.late;
        for (reason, count) in &manifest.dropped {
            *pending.dropped.entry(reason.clone()).or_default() += count;
        }
        pending.hosts.insert(host.to_string());
        if let Err(error) = pending.partial.merge(partial) {
            self.counts.mismatched += 1;
            tracing::warn!(host, %error, "states do not merge");
        }
    }

    /// Data of a heartbeat that was published without them: they join what is accumulated.
    fn merge_late(&mut self, context: Context, manifest: &Manifest, merged: u64, partial: Partial) {
        let key = frame_key(manifest, &context);
        self.counts.late += merged;
        let pending = Pending {
            events: merged,
            dropped: manifest.dropped.clone(),
            segment: manifest.key.segment,
            timestamp_ns: manifest.timestamp_ns,
            step_values: context.step_values,
            ..Default::default()
        };
        let ready = Ready { key, pending, hosts: (0, 0) };
        let frame = self.frame(&ready, true);
        match &mut self.stage {
            Some((plan, stage)) if plan.version() == key.version => stage.late(&frame, partial),
            _ => self.counts.mismatched += merged,
        }
    }

    pub(super) fn publish_due(&mut self) -> anyhow::Result<()> {
        for mut ready in self.frames.due(now_ns()) {
            if ready.pending.is_empty() {
                continue;
            }
            self.prepare_stage(ready.key.version)?;
            let whole = ready.hosts.0 == ready.hosts.1;
            let frame = self.frame(&ready, whole);
            let complete = whole && frame.truth.complete();
            let partial = std::mem::take(&mut ready.pending.partial);
            let published = match &mut self.stage {
                Some((_, stage)) => stage.close(&frame, partial),
                None => Vec::new(),
            };
            self.counts.heartbeats += 1;
            self.counts.lag_ns = now_ns().saturating_sub(ready.pending.since_ns);
            self.counts.complete += u64::from(complete);
            let messages = self.publisher.heartbeat(&ready, &frame.truth, complete, published);
            for (topic, frames) in messages {
                if let Some(frames) = self.outlet.put(&topic, frames) {
                    socket::send(&self.results, frames)?;
                }
            }
        }
        Ok(())
    }

    fn frame(&self, ready: &Ready, whole: bool) -> Frame {
        let period_ns = self.config.period_ns();
        Frame {
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
            && **plan.schema() == schema
        {
            return Ok(());
        }
        let set = match self.graphs.get(&version) {
            Some(set) => set.clone(),
            None => Arc::new(GraphSet { version, ..GraphSet::default() }),
        };
        let ready =
            self.prepared.take().filter(|p| p.version() == version && **p.schema() == schema);
        let plan = ready
            .unwrap_or_else(|| Arc::new(Plan::new(set, Arc::new(schema), &self.config.limits())));
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
            socket::send(&self.results, retire_message(&gone))?;
        }
        self.graphs = self.graphs.split_off(&version.saturating_sub(64));
        Ok(())
    }

    /// The newest fields of every host, each name once.
    pub(super) fn all_fields(&self) -> Schema {
        let mut schema = Schema::default();
        for host in self.hosts.values() {
            let Some(newest) = host.schemas.values().next_back() else { continue };
            let new = newest.fields.iter().filter(|f| schema.find(&f.name).is_none());
            let new: Vec<_> = new.cloned().collect();
            schema.fields.extend(new);
        }
        schema
    }
}
