//! The root collector's loop: flushes of all hosts in, results out.

pub mod builder;
pub mod checkpoint;
mod fields;
mod graph_versions;
mod heartbeats;
mod known_graphs;
mod merge;
mod readings;
mod report;
mod result_messages;
mod state;
pub mod state_file;
mod store_outlet;

use crate::root::builder::RootBuilder;
use crate::root::checkpoint::saver::Saver;
use crate::root::graph_versions::Versions;
use crate::root::heartbeats::{Frames, Ready};
use crate::root::known_graphs::KnownGraphs;
use crate::root::readings::Readings;
use crate::root::result_messages::Publisher;
use crate::root::state_file::{State, StateFile};
use crate::root::store_outlet::Outlet;
use ami_graph::data::schema::Schema;
use ami_graph::graph::spec::GraphSet;
use ami_graph::op::foreign::Foreign;
use ami_graph::plan::Plan;
use ami_graph::root::RootStage;
use ami_proto::codec;
use ami_proto::config::Config;
use ami_proto::control::manager_to_members::Phase;
use ami_proto::control::member_to_manager::Role;
use ami_proto::control::reporter::Reporter;
use ami_proto::data_path::root_to_hosts::RootMessage;
use ami_proto::data_path::to_root::ToRoot;
use ami_proto::data_path::ventilator_to_worker::Context;
use ami_proto::health::ignored::Ignored;
use ami_proto::process::daemon::{Daemon, now_ns};
use ami_proto::socket::delayed::Delayed;
use ami_proto::socket::endpoint::Endpoint;
use ami_proto::socket::{self, Broadcast, Inlet, Queue};
use ami_python::Python;
use anyhow::Context as _;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};
use zmq::Message;

/// How often lateness and decisions are looked at.
const TICK: Duration = Duration::from_millis(10);

/// Messages are left after this time, to publish, decide, answer and report.
const TURN: Duration = Duration::from_millis(20);

/// Watermarks and decisions are repeated this often.
const REPEAT: Duration = Duration::from_millis(250);

/// Bytes on their way to a store that does not read; beyond, newer values replace waiting ones.
const RESULT_BYTES: usize = 64 << 20;

/// Schemas and contexts kept per host; flushes in flight need only the newest few.
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
    root.save_last();
    root.acknowledge()
}

/// What the flushes of one host refer to, by epoch and number.
#[derive(Default)]
struct Host {
    schemas: BTreeMap<(u64, u32), Arc<Schema>>,
    contexts: BTreeMap<(u64, u32), Context>,
}

/// Keeps the newest.
fn keep<T>(all: &mut BTreeMap<(u64, u32), T>, number: (u64, u32), one: T) {
    all.insert(number, one);
    while all.len() > KEEP {
        all.pop_first();
    }
}

/// What runs user code.
fn python(config: &Config, daemon: &Daemon) -> Arc<Python> {
    let python = Python::new(config.python.clone(), &config.instance.run_dir, "root");
    python.while_waiting(daemon.pulse());
    Arc::new(python)
}

/// The heartbeats that are open.
fn frames(config: &Config) -> Frames {
    let late_after = config.root.late_after_ms * 1_000_000;
    let timeout = config.root.host_timeout_s * 1_000_000_000;
    Frames::new(config.root.hosts.clone(), late_after, timeout)
}

struct Root {
    life: u64,
    state: StateFile,
    kept: State,
    started_ns: u64,
    builder: RootBuilder,
    versions: Versions,
    frames: Frames,
    readings: Readings,
    hosts: BTreeMap<String, Host>,
    /// Of all hosts; None when it is to be made anew.
    fields: Option<Arc<Schema>>,
    graphs: KnownGraphs,
    stage: Option<(Arc<Plan>, RootStage)>,
    prepared: Option<Arc<Plan>>,
    /// The newest heartbeat published, without its state; and whether what it says has changed
    /// since, when last that was said.
    newest: Option<Ready>,
    changed: bool,
    said: Instant,
    saver: Saver,
    publisher: Publisher,
    /// Hosts and epochs whose flushes came since their watermark was told, and when that will be.
    owed: BTreeSet<(String, u64)>,
    later: Delayed,
    config: Config,
    /// What runs user code.
    python: Arc<Python>,
    intake: Inlet,
    decisions: Broadcast,
    results: Broadcast,
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
    lost: u64,
    mismatched: u64,
    foreign: Ignored,
}

impl Root {
    fn new(config: &Config, daemon: &Daemon) -> anyhow::Result<Root> {
        let context = daemon.context.clone();
        let given = &config.root.state_dir;
        let dir = if given.as_os_str().is_empty() { &config.instance.run_dir } else { given };
        let state = StateFile::new(dir);
        let mut kept = state.load();
        // Also after a lost state file a life is newer than the ones before.
        kept.life = (kept.life + 1).max(daemon.life);
        if let Err(error) = state.save(kept) {
            tracing::error!("{error:#}: graphs cannot be changed until that is mended");
        }
        let broadcast = |queue, endpoint: Endpoint, what| {
            Broadcast::bind(&context, queue, &endpoint.bind(config), what)
        };
        let (intake, path) = (Endpoint::Root.bind(config), dir.join("root.checkpoint"));
        let (every, most) = (config.root.checkpoint_s, config.root.checkpoint_bytes);
        let mut root = Root {
            life: kept.life,
            state,
            kept,
            started_ns: now_ns(),
            builder: RootBuilder::default(),
            versions: Versions::restored(kept.decision),
            frames: frames(config),
            readings: Readings::default(),
            hosts: BTreeMap::new(),
            fields: None,
            graphs: KnownGraphs::default(),
            stage: None,
            prepared: None,
            newest: None,
            changed: false,
            said: Instant::now(),
            saver: Saver::new(path.clone(), every, most).context("starting a thread")?,
            publisher: Publisher::default(),
            owed: BTreeSet::new(),
            later: Delayed::default(),
            intake: socket::bind(&context, zmq::PULL, Queue::Protocol, &intake, "root collector")?,
            decisions: broadcast(Queue::Bounded(10_000), Endpoint::Decisions, "decisions")?,
            results: broadcast(Queue::Protocol, Endpoint::Results, "results")?,
            reporter: Reporter::new(&context, config, daemon, Role::Root, "root")?,
            config: config.clone(),
            python: python(config, daemon),
            parts: Vec::new(),
            repeated: None,
            outlet: Outlet::new(RESULT_BYTES),
            counts: Counts::default(),
        };
        if every > 0.0 {
            root.restore(&path);
        }
        Ok(root)
    }

    fn turn(&mut self, daemon: &mut Daemon) -> anyhow::Result<()> {
        let begun = Instant::now();
        while begun.elapsed() < TURN && self.intake.receive(&mut self.parts)? {
            self.on_intake()?;
        }
        self.publish_due()?;
        if self.later.due(Instant::now()) {
            self.acknowledge()?;
        }
        self.save();
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
        let inlets =
            [&self.intake, self.decisions.inlet(), self.results.inlet(), self.reporter.inlet()];
        Ok(socket::wait(inlets, self.later.wait(Instant::now(), TICK))?)
    }

    fn on_intake(&mut self) -> anyhow::Result<()> {
        let Some(header) = self.parts.first() else { return Ok(()) };
        let message = match codec::decode::<ToRoot>(header) {
            Ok(message) => message,
            Err(error) => {
                self.counts.foreign.note("the root", error);
                return Ok(());
            }
        };
        if message.host().is_some_and(|host| !self.frames.admits(host)) {
            self.counts.foreign.note("the root", "of a host that is not configured");
            return Ok(());
        }
        match message {
            ToRoot::Forward { host, base, manifest, merged, units } => {
                self.on_forward(&host, &base, &manifest, merged, units)?;
            }
            ToRoot::Schema { host, epoch, number, schema } => {
                self.frames.heard(&host, now_ns());
                let schemas = &mut self.hosts.entry(host).or_default().schemas;
                keep(schemas, (epoch, number), Arc::new(schema));
                self.fields = None;
            }
            ToRoot::Graphs { version } => self.on_graphs(version),
            ToRoot::Context { host, epoch, context } => {
                self.frames.heard(&host, now_ns());
                let contexts = &mut self.hosts.entry(host).or_default().contexts;
                keep(contexts, (epoch, context.number), context);
            }
            ToRoot::Alive { host, bases } => {
                self.frames.alive(&host, now_ns());
                for (epoch, base) in bases {
                    self.on_base(&host, epoch, &base)?;
                }
            }
            ToRoot::Promise { host, epoch: _, version, not_before } => {
                self.frames.heard(&host, now_ns());
                self.versions.promise(&host, version, not_before, now_ns());
            }
        }
        Ok(())
    }

    fn on_graphs(&mut self, version: u64) {
        let json = self.parts.get(1).map(|f| f.to_vec()).unwrap_or_default();
        match GraphSet::from_json_bytes(&json) {
            Ok(set) if set.version == version => self.graphs.insert(Arc::new(set), json),
            _ => self.counts.foreign.note("the root", "graphs that cannot be read"),
        }
    }

    fn decide(&mut self) -> anyhow::Result<()> {
        let now = now_ns();
        let expected = self.frames.deciding(now, self.started_ns);
        let give_up = self.config.root.decide_after_ms * 1_000_000;
        let Some((version, heartbeat)) = self.versions.due(&expected, now, give_up) else {
            return Ok(());
        };
        // Durable before anybody acts on it: after a crash the same must be said.
        let kept = State { decision: Some((version, heartbeat)), ..self.kept };
        let heartbeat = match self.state.save(kept) {
            Ok(()) => heartbeat,
            Err(error) => {
                tracing::error!("{error:#}: no graph can be changed until that is mended");
                self.versions.give_up();
                None
            }
        };
        self.kept.decision = Some((version, heartbeat));
        match heartbeat {
            Some(heartbeat) => tracing::info!(version, heartbeat, "graphs take effect"),
            None => tracing::warn!(version, "graph change given up"),
        }
        self.tell(&RootMessage::Decision { version, heartbeat, life: self.life })
    }

    fn repeat(&mut self) -> anyhow::Result<()> {
        self.repeated = Some(Instant::now());
        if let Some((version, heartbeat)) = self.versions.decided() {
            self.tell(&RootMessage::Decision { version, heartbeat, life: self.life })?;
        }
        for (host, epoch, (flushes, durable)) in self.builder.watermarks() {
            let (host, life) = (host.to_string(), self.life);
            self.tell(&RootMessage::Watermark { host, epoch, life, flushes, durable })?;
        }
        Ok(())
    }

    fn tell(&self, message: &RootMessage) -> anyhow::Result<()> {
        // A host that misses it hears the repetition.
        self.decisions.send([codec::encode(message)])?;
        Ok(())
    }

    /// What the store says: that it came, and how much it has taken.
    fn on_store(&mut self) -> anyhow::Result<()> {
        // Hosts have nothing to say there but that they subscribe.
        while self.decisions.receive(&mut self.parts)? {}
        while self.results.receive(&mut self.parts)? {
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
            self.results.send(frames)?;
        }
        Ok(())
    }

    fn follow_manager(&mut self) {
        while let Some((announce, json)) = self.reporter.announcement() {
            if announce.phase == Phase::Withdraw {
                continue;
            }
            let refused = match GraphSet::from_json_bytes(&json) {
                Ok(set) => self.compile_aside(set, json),
                Err(error) => vec![error.to_string()],
            };
            self.reporter.prepared(announce.version, refused);
        }
    }

    fn plan(&self, set: Arc<GraphSet>, schema: Arc<Schema>) -> Arc<Plan> {
        let (limits, code) = (self.config.limits(), Some(self.python.clone() as Arc<dyn Foreign>));
        Arc::new(Plan::with_code(set, schema, &limits, code))
    }

    fn compile_aside(&mut self, set: GraphSet, json: Vec<u8>) -> Vec<String> {
        if self.graphs.get(set.version).is_some() {
            return Vec::new();
        }
        let (set, schema) = (Arc::new(set), self.all_fields());
        if !schema.fields.is_empty() {
            let plan = self.plan(set.clone(), schema);
            let refused = plan.code_errors();
            // What was refused is not known: asked again, it is refused again.
            if !refused.is_empty() {
                return refused;
            }
            self.prepared = Some(plan);
        }
        self.graphs.insert(set, json);
        Vec::new()
    }
}
