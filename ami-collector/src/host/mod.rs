//! The host collector's loop: partials and manifests in, flushes out.

pub mod builder;
pub mod flush_states;
mod kept_contexts;

use crate::host::builder::{Effect, Forward, HostBuilder, Limits};
use crate::host::flush_states::States;
use crate::host::kept_contexts::{Kind, Name, Told};
use ami_proto::codec;
use ami_proto::config::Config;
use ami_proto::control::manager_to_members::Phase;
use ami_proto::control::member_to_manager::Role;
use ami_proto::control::reporter::Reporter;
use ami_proto::data_path::root_to_hosts::RootMessage;
use ami_proto::data_path::to_collector::ToCollector;
use ami_proto::data_path::to_root::ToRoot;
use ami_proto::data_path::to_ventilator::ToVentilator;
use ami_proto::health::ignored::Ignored;
use ami_proto::process::daemon::{Daemon, now_ns};
use ami_proto::socket::endpoint::Endpoint;
use ami_proto::socket::{self, Inlet, Queue, Socket};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use zmq::Message;

/// How often missing units and undecided flushes are looked at.
const TICK: Duration = Duration::from_millis(20);

/// The ventilator is asked for its epoch again after this time.
const HELLO: Duration = Duration::from_millis(200);

/// The root is told that this host lives this often.
const ALIVE: Duration = Duration::from_secs(1);

/// What the root asks for again is sent at most this often: it asks once per flush.
const AGAIN: Duration = Duration::from_millis(100);

/// Runs until asked to stop.
///
/// # Errors
/// When sockets cannot be made.
pub fn run(config: &Config, daemon: &mut Daemon) -> anyhow::Result<()> {
    let mut host = Host::new(config, daemon)?;
    daemon.ready("host collector");
    while !daemon.stopping() {
        host.turn(daemon)?;
    }
    Ok(())
}

struct Host {
    name: String,
    life: u64,
    builder: HostBuilder,
    intake: Inlet,
    root: Socket,
    decisions: Inlet,
    ventilator: Socket,
    reporter: Reporter,
    frames: Vec<Message>,
    /// Encoded flushes that are not in a checkpoint of the root, for resending.
    forwarded: BTreeMap<(u64, u64), Vec<Vec<u8>>>,
    /// What the ventilator told of its epoch, as it goes to the root.
    told: Told,
    epoch: Option<u64>,
    hello: Option<Instant>,
    alive: Option<Instant>,
    again: Option<Instant>,
    ticked: Instant,
    foreign: Ignored,
}

impl Host {
    fn new(config: &Config, daemon: &Daemon) -> anyhow::Result<Host> {
        let context = daemon.context.clone();
        let connect = |kind, endpoint: Endpoint, what| {
            socket::connect(&context, kind, Queue::Protocol, &endpoint.connect(config), what)
        };
        let limits = Limits {
            ask_after: config.collector.ask_after_ms * 1_000_000,
            resend: config.collector.resend_ms * 1_000_000,
            bytes: config.hold_bytes(),
        };
        if limits.bytes < config.collector.hold_bytes {
            let (asked, holds) = (config.collector.hold_bytes, limits.bytes);
            tracing::warn!(asked, holds, "collector.hold_bytes is held to a quarter of memory_max");
        }
        Ok(Host {
            name: config.instance.host.clone(),
            life: daemon.life,
            builder: HostBuilder::new(limits),
            intake: socket::bind(
                &context,
                zmq::PULL,
                Queue::Protocol,
                &Endpoint::Collector.bind(config),
                "host collector",
            )?,
            root: connect(zmq::PUSH, Endpoint::Root, "root collector")?,
            decisions: connect(zmq::SUB, Endpoint::Decisions, "root's decisions")?.into(),
            ventilator: connect(zmq::PUSH, Endpoint::Ventilator, "ventilator")?,
            reporter: Reporter::new(&context, config, daemon, Role::Collector, "collector")?,
            frames: Vec::new(),
            forwarded: BTreeMap::new(),
            told: Told::default(),
            epoch: None,
            hello: None,
            alive: None,
            again: None,
            ticked: Instant::now(),
            foreign: Ignored::default(),
        })
    }

    fn turn(&mut self, daemon: &mut Daemon) -> anyhow::Result<()> {
        if self.epoch.is_none() {
            self.hello()?;
        }
        // A bounded number of messages, so that acknowledgements are not starved by partials.
        for _ in 0..256 {
            if !self.intake.receive(&mut self.frames)? {
                break;
            }
            self.on_intake()?;
            // At once: the root waits.
            self.perform()?;
        }
        while self.decisions.receive(&mut self.frames)? {
            self.on_root()?;
        }
        if self.ticked.elapsed() >= TICK {
            self.ticked = Instant::now();
            self.builder.tick(now_ns());
        }
        if self.alive.is_none_or(|a| a.elapsed() >= ALIVE) {
            self.alive = Some(Instant::now());
            let alive = ToRoot::Alive { host: self.name.clone(), bases: self.builder.bases() };
            socket::send(&self.root, [codec::encode(&alive)])?;
        }
        self.perform()?;
        self.follow_manager();
        self.report(daemon);
        daemon.beat();
        Ok(socket::wait([&self.intake, &self.decisions, self.reporter.inlet()], TICK)?)
    }

    /// Asks the ventilator for its epoch and what is undecided of it.
    fn hello(&mut self) -> anyhow::Result<()> {
        if self.hello.is_none_or(|h| h.elapsed() >= HELLO) {
            self.hello = Some(Instant::now());
            let hello = ToVentilator::CollectorHello { life: self.life };
            socket::send(&self.ventilator, [codec::encode(&hello)])?;
        }
        Ok(())
    }

    fn on_intake(&mut self) -> anyhow::Result<()> {
        let Some(header) = self.frames.first() else { return Ok(()) };
        let message = match codec::decode::<ToCollector>(header) {
            Ok(message) => message,
            Err(error) => {
                self.foreign.note("the host collector", error);
                return Ok(());
            }
        };
        let now = now_ns();
        match message {
            ToCollector::Partial { epoch, flush, version: _, units } => {
                let states = States::Came(self.frames.drain(1..).map(|f| f.to_vec()).collect());
                self.builder.partial(epoch, flush, &units, states, now);
            }
            ToCollector::Epoch { epoch, host: _, decided } => {
                self.epoch = self.epoch.max(Some(epoch));
                self.builder.epoch(epoch, &decided);
            }
            ToCollector::Manifest(manifest) => {
                self.builder.manifest(manifest, now);
            }
            ToCollector::Dropped { epoch, flush, unit, reason } => {
                self.builder.given_up(epoch, flush, unit, &reason, now);
            }
            ToCollector::Schema(epoch, number, schema) => {
                let host = self.name.clone();
                let message = ToRoot::Schema { host, epoch, number, schema };
                self.tell((epoch, Kind::Schema, number.into()), &message, None)?;
            }
            ToCollector::Context(epoch, context) => {
                let key = (epoch, Kind::Context, context.number.into());
                let host = self.name.clone();
                self.tell(key, &ToRoot::Context { host, epoch, context }, None)?;
            }
            ToCollector::Graphs(epoch, version) => {
                let json = self.frames.get(1).map(|f| f.to_vec());
                self.tell((epoch, Kind::Graphs, version), &ToRoot::Graphs { version }, json)?;
            }
        }
        Ok(())
    }

    /// Hands on to the root what flushes need to be understood, and keeps it for when it asks.
    fn tell(&mut self, key: Name, message: &ToRoot, body: Option<Vec<u8>>) -> anyhow::Result<()> {
        let frames: Vec<Vec<u8>> = std::iter::once(codec::encode(message)).chain(body).collect();
        socket::send(&self.root, frames.iter().map(Vec::as_slice))?;
        self.told.keep(key, frames);
        Ok(())
    }

    fn on_root(&mut self) -> anyhow::Result<()> {
        let Some(Ok(message)) = self.frames.first().map(|f| codec::decode::<RootMessage>(f)) else {
            self.foreign.note("the host collector", "not of the root");
            return Ok(());
        };
        match message {
            RootMessage::Watermark { host, epoch, life, flushes, durable } if host == self.name => {
                self.builder.decided(epoch, life, (flushes, durable), now_ns());
            }
            RootMessage::NeedContext { host, epoch }
                if host == self.name && self.again.is_none_or(|a| a.elapsed() >= AGAIN) =>
            {
                self.again = Some(Instant::now());
                for frames in self.told.of(epoch) {
                    socket::send(&self.root, frames.iter().map(Vec::as_slice))?;
                }
                self.builder.resend_all(epoch);
            }
            _ => {}
        }
        Ok(())
    }

    fn perform(&mut self) -> anyhow::Result<()> {
        for effect in self.builder.effects() {
            match effect {
                Effect::Forward(forward) => self.forward(*forward)?,
                Effect::Resend(epoch, flush) => {
                    if let Some(frames) = self.forwarded.get(&(epoch, flush)) {
                        socket::send(&self.root, frames.iter().map(Vec::as_slice))?;
                    }
                }
                Effect::Forget(epoch, flush) => {
                    self.forwarded.remove(&(epoch, flush));
                }
                Effect::Need(epoch, flush, units) => {
                    let need = ToVentilator::Need { epoch, flush, units };
                    socket::send(&self.ventilator, [codec::encode(&need)])?;
                }
                Effect::Hello => self.hello()?,
            }
        }
        Ok(())
    }

    fn forward(&mut self, forward: Forward) -> anyhow::Result<()> {
        let (epoch, flush) = (forward.manifest.epoch, forward.manifest.flush);
        let header = codec::encode(&ToRoot::Forward {
            host: self.name.clone(),
            base: self.builder.base(epoch),
            manifest: forward.manifest,
            merged: forward.merged,
            units: forward.units,
        });
        let read = matches!(forward.states, States::Merged(_));
        let frames: Vec<Vec<u8>> =
            std::iter::once(header).chain(forward.states.into_frames()).collect();
        socket::send(&self.root, frames.iter().map(Vec::as_slice))?;
        // Only now: the root waits, and does not take what it cannot read.
        if !read && let Err(error) = flush_states::read(&frames[1..]) {
            tracing::warn!(%error, "partial rejected");
            self.builder.unreadable(epoch, flush);
            return Ok(());
        }
        self.forwarded.insert((epoch, flush), frames);
        Ok(())
    }

    /// States describe themselves, so there is nothing to compile here: every version is fine.
    fn follow_manager(&mut self) {
        while let Some((announce, _)) = self.reporter.announcement() {
            if announce.phase != Phase::Withdraw {
                self.reporter.prepared(announce.version, Vec::new());
                self.reporter.active(announce.version);
            }
        }
    }

    fn report(&mut self, daemon: &Daemon) {
        if !self.reporter.due() {
            return;
        }
        let (counts, metrics) = (self.builder.counts, &daemon.metrics);
        metrics.set("ami_events_total", counts.events as f64);
        metrics.set("ami_flushes_total", counts.flushes as f64);
        metrics.set("ami_flushes_pending", self.builder.pending() as f64);
        metrics.set("ami_partials_repeated_total", counts.repeated as f64);
        metrics.set("ami_partials_rejected_total", counts.rejected as f64);
        metrics.set("ami_partials_outdated_total", counts.outdated as f64);
        metrics.set("ami_partials_refused_total", counts.refused as f64);
        metrics.set("ami_flushes_let_go_total", counts.let_go as f64);
        metrics.set("ami_held_bytes", (self.builder.bytes() + self.told.bytes()) as f64);
        metrics.set("ami_foreign_messages_total", self.foreign.total() as f64);
        let state = if self.epoch.is_some() { "running" } else { "waiting for the ventilator" };
        self.reporter.state(state);
        self.reporter.send(daemon);
    }
}
