//! The root collector's loop: flushes of all hosts in, results out.

use crate::frames::{FrameKey, Frames, Ready};
use crate::outlet::Outlet;
use crate::publish::{Publisher, is_offered, retire_message};
use crate::root_builder::{Mark, RootBuilder, Versions};
use crate::state_file::{State, StateFile};
use ami_graph::partial::{NodeReport, Partial};
use ami_graph::plan::Plan;
use ami_graph::published::Frame;
use ami_graph::root::RootStage;
use ami_graph::schema::Schema;
use ami_graph::spec::GraphSet;
use ami_proto::codec;
use ami_proto::config::Config;
use ami_proto::daemon::{Daemon, now_ns};
use ami_proto::endpoint::Endpoint;
use ami_proto::manager_to_members::Phase;
use ami_proto::member_to_manager::{NodeErrors, Role};
use ami_proto::reporter::Reporter;
use ami_proto::root_to_hosts::RootMessage;
use ami_proto::socket::{self, PollEvents, Queue, Socket};
use ami_proto::to_collector::Manifest;
use ami_proto::to_root::ToRoot;
use ami_proto::ventilator_to_worker::Context;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};
use zmq::Message;

/// How often lateness and decisions are looked at.
const TICK: Duration = Duration::from_millis(10);

/// Watermarks and decisions are repeated this often.
const REPEAT: Duration = Duration::from_millis(250);

/// Bytes on their way to a store that does not read; beyond, newer values replace waiting ones.
const RESULT_BYTES: usize = 64 << 20;

/// Contexts kept per host; flushes in flight need only the newest few.
const KEEP: usize = 4096;

/// Runs until asked to stop.
///
/// # Errors
/// When sockets or the state file cannot be used.
pub fn run(config: &Config, daemon: &mut Daemon) -> anyhow::Result<()> {
    let mut root = Root::new(config, daemon)?;
    daemon.ready("root collector");
    while !daemon.stopping() {
        root.turn(daemon)?;
    }
    Ok(())
}

#[derive(Default)]
struct Host {
    schemas: BTreeMap<(u64, u32), Arc<Schema>>,
    contexts: BTreeMap<(u64, u32), Context>,
}

struct Root {
    life: u64,
    state: StateFile,
    kept: State,
    builder: RootBuilder,
    versions: Versions,
    frames: Frames,
    hosts: BTreeMap<String, Host>,
    graphs: BTreeMap<u64, Arc<GraphSet>>,
    stage: Option<(Arc<Plan>, RootStage)>,
    prepared: Option<Arc<Plan>>,
    publisher: Publisher,
    config: Config,
    intake: Socket,
    decisions: Socket,
    results: Socket,
    reporter: Reporter,
    parts: Vec<Message>,
    repeated: Option<Instant>,
    outlet: Outlet,
    counts: Counts,
}

#[derive(Default)]
struct Counts {
    heartbeats: u64,
    /// From a heartbeat's first flush to its publication, of the newest.
    lag_ns: u64,
    complete: u64,
    events: u64,
    known: u64,
    late: u64,
    mismatched: u64,
    foreign: u64,
}

impl Root {
    fn new(config: &Config, daemon: &Daemon) -> anyhow::Result<Root> {
        let context = zmq::Context::new();
        let dir = match config.root.state_dir.as_os_str().is_empty() {
            true => &config.instance.run_dir,
            false => &config.root.state_dir,
        };
        let state = StateFile::new(dir);
        let mut kept = state.load();
        // Also after a lost state file a life is newer than the ones before.
        kept.life = (kept.life + 1).max(daemon.life);
        state.save(kept)?;
        let bind = |kind, queue, endpoint: Endpoint, what| {
            socket::bind(&context, kind, queue, &endpoint.bind(config), what)
        };
        let results = bind(zmq::XPUB, Queue::Protocol, Endpoint::Results, "results")?;
        results.set_xpub_verbose(true)?;
        let late_after = config.root.late_after_ms * 1_000_000;
        let timeout = config.root.host_timeout_s * 1_000_000_000;
        Ok(Root {
            life: kept.life,
            state,
            kept,
            builder: RootBuilder::default(),
            versions: Versions::restored(kept.decision),
            frames: Frames::new(config.root.hosts.clone(), late_after, timeout),
            hosts: BTreeMap::new(),
            graphs: BTreeMap::new(),
            stage: None,
            prepared: None,
            publisher: Publisher::default(),
            intake: bind(zmq::PULL, Queue::Protocol, Endpoint::Root, "root collector")?,
            decisions: bind(zmq::PUB, Queue::Bounded(10_000), Endpoint::Decisions, "decisions")?,
            results,
            reporter: Reporter::new(&context, config, daemon, Role::Root, "root")?,
            config: config.clone(),
            parts: Vec::new(),
            repeated: None,
            outlet: Outlet::new(RESULT_BYTES),
            counts: Counts::default(),
        })
    }

    fn turn(&mut self, daemon: &mut Daemon) -> anyhow::Result<()> {
        for _ in 0..256 {
            if !socket::receive(&self.intake, &mut self.parts)? {
                break;
            }
            self.on_intake()?;
        }
        self.publish_due()?;
        self.decide()?;
        self.on_store()?;
        self.follow_manager();
        if self.repeated.is_none_or(|r| r.elapsed() >= REPEAT) {
            self.repeat()?;
        }
        // In effect here once decided: what is published next carries it.
        if let Some((version, Some(_))) = self.versions.decided() {
            self.reporter.active(version);
        }
        self.report(daemon);
        daemon.beat();
        let mut items = [&self.intake, &self.results, self.reporter.socket()]
            .map(|s| s.as_poll_item(PollEvents::POLLIN));
        Ok(socket::wait(&mut items, TICK)?)
    }

    fn on_intake(&mut self) -> anyhow::Result<()> {
        let Some(header) = self.parts.first() else { return Ok(()) };
        let message = match codec::decode::<ToRoot>(header) {
            Ok(message) => message,
            Err(error) => {
                self.counts.foreign += 1;
                tracing::warn!(%error, "message to the root ignored");
                return Ok(());
            }
        };
        match message {
            ToRoot::Forward { host, base, manifest, merged, units } => {
                self.on_forward(&host, base, &manifest, merged, units)?;
            }
            ToRoot::Schema { host, epoch, number, schema } => {
                let schemas = &mut self.hosts.entry(host).or_default().schemas;
                schemas.insert((epoch, number), Arc::new(schema));
                while schemas.len() > KEEP {
                    schemas.pop_first();
                }
            }
            ToRoot::Graphs { version } => {
                match self.parts.get(1).map(|f| GraphSet::from_json_bytes(f)) {
                    Some(Ok(set)) if set.version == version => {
                        self.graphs.insert(version, Arc::new(set));
                    }
                    _ => self.counts.foreign += 1,
                }
            }
            ToRoot::Context { host, epoch, context } => {
                self.frames.heard(&host, now_ns());
                let contexts = &mut self.hosts.entry(host).or_default().contexts;
                contexts.insert((epoch, context.number), context);
                while contexts.len() > KEEP {
                    contexts.pop_first();
                }
            }
            ToRoot::Alive { host } => self.frames.alive(&host, now_ns()),
            ToRoot::Promise { host, epoch: _, version, not_before } => {
                self.frames.heard(&host, now_ns());
                self.versions.promise(&host, version, not_before, now_ns());
            }
        }
        Ok(())
    }

    fn on_forward(
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
        let conditions = context.conditions;
        let key = FrameKey {
            heartbeat: manifest.key.heartbeat,
            run: conditions.run,
            step: conditions.step,
            version: conditions.version,
        };
        let mark = Mark { key, last: manifest.last, end: manifest.end };
        match self.builder.forward(host, epoch, flush, base, mark) {
            None => self.counts.known += 1,
            Some(passed) => {
                self.merge(host, key, manifest, merged, units, partial);
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
        key: FrameKey,
        manifest: &Manifest,
        merged: u64,
        units: (u32, u32),
        partial: Partial,
    ) {
        self.counts.events += merged;
        let Some(pending) = self.frames.open(key, now_ns()) else {
            self.merge_late(key, manifest, merged, partial);
            return;
        };
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
    fn merge_late(&mut self, key: FrameKey, manifest: &Manifest, merged: u64, partial: Partial) {
        self.counts.late += merged;
        let pending = crate::frames::Pending {
            events: merged,
            dropped: manifest.dropped.clone(),
            segment: manifest.key.segment,
            timestamp_ns: manifest.timestamp_ns,
            ..Default::default()
        };
        let ready = Ready { key, pending, hosts: (0, 0) };
        let frame = self.frame(&ready, true);
        match &mut self.stage {
            Some((plan, stage)) if plan.version() == key.version => stage.late(&frame, partial),
            _ => self.counts.mismatched += merged,
        }
    }

    fn publish_due(&mut self) -> anyhow::Result<()> {
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
            step_values: BTreeMap::new(),
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
    fn all_fields(&self) -> Schema {
        let mut schema = Schema::default();
        for host in self.hosts.values() {
            let Some(newest) = host.schemas.values().next_back() else { continue };
            let new = newest.fields.iter().filter(|f| schema.find(&f.name).is_none());
            let new: Vec<_> = new.cloned().collect();
            schema.fields.extend(new);
        }
        schema
    }

    fn decide(&mut self) -> anyhow::Result<()> {
        let now = now_ns();
        let expected = self.frames.expected(now);
        let give_up = self.config.root.decide_after_ms * 1_000_000;
        let Some((version, heartbeat)) = self.versions.due(&expected, now, give_up) else {
            return Ok(());
        };
        self.kept.decision = Some((version, heartbeat));
        // Durable before anybody acts on it: after a crash the same must be said.
        self.state.save(self.kept)?;
        match heartbeat {
            Some(heartbeat) => tracing::info!(version, heartbeat, "graphs take effect"),
            None => tracing::warn!(version, "graph change given up: not every host promised"),
        }
        self.tell(&RootMessage::Decision { version, heartbeat, life: self.life })
    }

    fn repeat(&mut self) -> anyhow::Result<()> {
        self.repeated = Some(Instant::now());
        if let Some((version, heartbeat)) = self.versions.decided() {
            self.tell(&RootMessage::Decision { version, heartbeat, life: self.life })?;
        }
        for (host, epoch, flushes) in self.builder.watermarks() {
            let host = host.to_string();
            self.tell(&RootMessage::Watermark { host, epoch, life: self.life, flushes })?;
        }
        Ok(())
    }

    fn tell(&self, message: &RootMessage) -> anyhow::Result<()> {
        // A host that misses it hears the repetition.
        socket::send(&self.decisions, [codec::encode(message)])?;
        Ok(())
    }

    /// What the store says: that it came, and how much it has taken.
    fn on_store(&mut self) -> anyhow::Result<()> {
        while socket::receive(&self.results, &mut self.parts)? {
            match self.parts.first().map(|f| &f[..]) {
                Some([1, ..]) => self.outlet.opened(),
                Some([2, bytes @ ..]) => {
                    let bytes = bytes.try_into().map_or(0, u64::from_le_bytes);
                    self.outlet.acknowledged(usize::try_from(bytes).unwrap_or(usize::MAX));
                }
                _ => {}
            }
        }
        while let Some(frames) = self.outlet.next() {
            socket::send(&self.results, frames)?;
        }
        Ok(())
    }

    fn follow_manager(&mut self) {
        while let Some((announce, json)) = self.reporter.announcement() {
            if announce.phase == Phase::Withdraw {
                continue;
            }
            let refused = match GraphSet::from_json_bytes(&json) {
                Ok(set) => self.compile_aside(set),
                Err(error) => vec![error.to_string()],
            };
            self.reporter.prepared(announce.version, refused);
        }
    }

    fn compile_aside(&mut self, set: GraphSet) -> Vec<String> {
        let version = set.version;
        if self.graphs.contains_key(&version) {
            return Vec::new();
        }
        let set = Arc::new(set);
        self.graphs.insert(version, set.clone());
        let schema = Arc::new(self.all_fields());
        if !schema.fields.is_empty() {
            self.prepared = Some(Arc::new(Plan::new(set, schema, &self.config.limits())));
        }
        Vec::new()
    }

    fn report(&mut self, daemon: &Daemon) {
        if !self.reporter.due() {
            return;
        }
        let (counts, metrics) = (&self.counts, &daemon.metrics);
        metrics.set("ami_heartbeats_total", counts.heartbeats as f64);
        metrics.set("ami_complete_heartbeats_total", counts.complete as f64);
        metrics.set("ami_events_total", counts.events as f64);
        metrics.set("ami_late_events_total", counts.late as f64);
        metrics.set("ami_mismatched_events_total", counts.mismatched as f64);
        metrics.set("ami_flushes_repeated_total", counts.known as f64);
        metrics.set("ami_foreign_messages_total", counts.foreign as f64);
        metrics.set("ami_results_total", self.publisher.messages as f64);
        metrics.set("ami_results_conflated_total", self.outlet.conflated as f64);
        metrics.set("ami_open_heartbeats", self.frames.len() as f64);
        metrics.set("ami_lag_ns", counts.lag_ns as f64);
        for (node, report) in self.node_reports() {
            let name = format!("ami_node_seconds_total{{node=\"{node}\"}}");
            metrics.set(&name, report.cost_ns as f64 / 1e9);
        }
        let nodes = self.node_errors();
        self.reporter.nodes(nodes);
        let state = if counts.heartbeats > 0 { "running" } else { "waiting for data" };
        self.reporter.state(state);
        self.reporter.send(daemon);
    }

    /// Reports of all nodes with their names.
    fn node_reports(&self) -> Vec<(String, &NodeReport)> {
        let Some((plan, stage)) = &self.stage else { return Vec::new() };
        let names = plan.set().ordinals();
        let named = |report: &NodeReport| {
            let (graph, node) = names.get(report.ordinal as usize)?;
            Some(format!("{graph}/{node}"))
        };
        stage.reports().iter().filter_map(|r| Some((named(r)?, r))).collect()
    }

    fn node_errors(&self) -> Vec<NodeErrors> {
        let failed = self.node_reports().into_iter().filter(|(_, r)| r.errors > 0);
        failed
            .map(|(node, r)| NodeErrors { node, errors: r.errors, message: r.message.clone() })
            .collect()
    }
}
