//! The ventilator's loop: sockets in, steps of the pump, effects of the flow out.

mod report;
mod seats;
mod setup;

use crate::flow::Effect;
use crate::flow::busy_lanes::Processors;
use crate::flow::quarantine::Quarantine;
use crate::pump::watchdog::{State, Watchdog};
use crate::pump::{Pump, Step};
use crate::ventilator::seats::Seats;
use crate::ventilator::setup::{dead_rings, make_pump, make_ring, remove};
use ami_proto::codec;
use ami_proto::config::Config;
use ami_proto::control::manager_to_members::Phase;
use ami_proto::control::member_to_manager::Role;
use ami_proto::control::reporter::Reporter;
use ami_proto::data_path::ids::host_number;
use ami_proto::data_path::root_to_hosts::RootMessage;
use ami_proto::data_path::to_root::ToRoot;
use ami_proto::data_path::to_ventilator::ToVentilator;
use ami_proto::data_path::ventilator_to_worker::LaneMessage;
use ami_proto::health::ignored::Ignored;
use ami_proto::process::daemon::{Daemon, now_ns, pin};
use ami_proto::socket::endpoint::Endpoint;
use ami_proto::socket::{self, Inlet, Queue, Socket};
use ami_source::url::{Epoch, SourceSpec};
use anyhow::Context;
use report::FieldRates;
use rustix::time::ClockId;
use std::num::NonZero;
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};
use zmq::Message;

/// Dead and stuck workers are looked for this often.
const WATCH: Duration = Duration::from_millis(20);

/// How long a ventilator that stops waits for the decision about its last flushes.
const LAST_WAIT: Duration = Duration::from_secs(1);

/// Contexts and manifests are handed to the collector again at most this often.
const TELL_AGAIN: Duration = Duration::from_millis(200);

/// Runs until asked to stop.
///
/// # Errors
/// When the source cannot be opened or breaks, or ring and sockets cannot be made.
pub fn run(config: &Config, daemon: &mut Daemon) -> anyhow::Result<()> {
    // Before it confines itself: workers have the others.
    let processors = std::thread::available_parallelism().map_or(1, NonZero::get);
    pin(&config.ventilator.cpus)?;
    let mut ventilator = Ventilator::new(config, daemon, processors)?;
    daemon.ready(&config.ventilator.source);
    while !daemon.stopping() {
        ventilator.turn(daemon)?;
    }
    ventilator.stop()
}

/// Checks the source URL (`--check`); whether its files are there is known when it is opened.
///
/// # Errors
/// When the source is missing or no source URL.
pub fn check(config: &Config) -> anyhow::Result<()> {
    source_spec(config).map(|_| ())
}

fn source_spec(config: &Config) -> anyhow::Result<SourceSpec> {
    anyhow::ensure!(
        !config.ventilator.source.is_empty(),
        "no source: set ventilator.source, for example to \"sim:pump-probe\" or \"xtc2:FILE\""
    );
    Ok(config.ventilator.source.parse::<SourceSpec>()?)
}

struct Ventilator {
    host: String,
    epoch: u64,
    counter: bool,
    quarantine: Quarantine,
    pump: Pump,
    /// None where the configuration says how many lanes are busy.
    processors: Option<Processors>,
    begun: Instant,
    seats: Seats,
    intake: Inlet,
    collector: Socket,
    root: Socket,
    decisions: Inlet,
    reporter: Reporter,
    frames: Vec<Message>,
    watched: Instant,
    told: Instant,
    watchdog: Watchdog,
    state: State,
    schema_told: bool,
    end_told: bool,
    rates: FieldRates,
    foreign: Ignored,
}

impl Ventilator {
    fn new(config: &Config, daemon: &Daemon, processors: usize) -> anyhow::Result<Ventilator> {
        let spec = source_spec(config)?;
        let host = config.instance.host.clone();
        let (dead, inheritance) = dead_rings(config, &host);
        let identity = ami_source::identity(&config.ventilator.source, &spec);
        let taken = inheritance.taken(&identity);
        let source = ami_source::open(&spec, host_number(&host), &host, taken)?;
        let epoch = daemon.life;
        let context = daemon.context.clone();
        let connect = |kind, endpoint: Endpoint, what| {
            socket::connect(&context, kind, Queue::Protocol, &endpoint.connect(config), what)
        };
        let ring = make_ring(config, &host, epoch, &dead)?;
        let mut pump = make_pump(config, &spec, identity, source, ring);
        pump.inherit(inheritance);
        pump.record(true);
        // Now that this life answers for them.
        remove(&dead);
        // A collector that knew the last life is not going to ask.
        pump.flow.collector_hello(&host, now_ns());
        let deadline = Duration::from_millis(config.ventilator.lane_deadline_ms);
        // Timestamps in the ring are ns since the Unix epoch, or a counter's.
        let stamps = if spec.epoch == Epoch::Counter { Epoch::Counter } else { Epoch::Unix };
        Ok(Ventilator {
            quarantine: Quarantine::new(config.instance.run_dir.clone(), &host, epoch, stamps),
            intake: socket::bind(
                &context,
                zmq::PULL,
                Queue::Protocol,
                &Endpoint::Ventilator.bind(config),
                "ventilator",
            )?,
            collector: connect(zmq::PUSH, Endpoint::Collector, "host collector")?,
            root: connect(zmq::PUSH, Endpoint::Root, "root collector")?,
            decisions: connect(zmq::SUB, Endpoint::Decisions, "root's decisions")?.into(),
            reporter: Reporter::new(&context, config, daemon, Role::Ventilator, "ventilator")?,
            seats: Seats::new(context.clone(), config.ventilator.lanes, deadline),
            host,
            epoch,
            counter: spec.epoch == Epoch::Counter,
            pump,
            processors: (config.ventilator.busy_lanes == 0)
                .then(|| Processors::new(processors, used_ns())),
            begun: Instant::now(),
            frames: Vec::new(),
            watched: Instant::now(),
            told: Instant::now(),
            watchdog: Watchdog::default(),
            state: State::Held("starting"),
            schema_told: false,
            end_told: false,
            rates: FieldRates::default(),
            foreign: Ignored::default(),
        })
    }

    fn turn(&mut self, daemon: &mut Daemon) -> anyhow::Result<()> {
        self.receive()?;
        if self.watched.elapsed() >= WATCH {
            self.watch();
        }
        let step = self.pump.step(now_ns())?;
        self.pump.record(step == Step::Worked);
        self.perform()?;
        self.note(step);
        self.report(daemon);
        daemon.beat();
        match step {
            Step::Worked => self.wait(Duration::ZERO, false),
            Step::Idle(due) => self.wait(due.unwrap_or(WATCH).min(WATCH), true),
            Step::Blocked(_) | Step::Ended => self.wait(WATCH, false),
        }
    }

    fn wait(&mut self, timeout: Duration, idle: bool) -> anyhow::Result<()> {
        let inlets = [&self.intake, &self.decisions, self.reporter.inlet()];
        // Only one who waits for the source is to be woken by it.
        let source = if idle { self.pump.wakes() } else { None };
        let pidfds = self.seats.pidfds().map(|(_, fd)| fd).chain(source.map(|fd| fd.as_raw_fd()));
        Ok(socket::wait_for_any(inlets.into_iter(), pidfds, timeout)?)
    }

    fn receive(&mut self) -> anyhow::Result<()> {
        while self.intake.receive(&mut self.frames)? {
            let header = self.frames.first().map(|f| codec::decode::<ToVentilator>(f));
            match header {
                Some(Ok(message)) => self.on_intake(message),
                Some(Err(error)) => self.foreign.note("the ventilator", error),
                None => {}
            }
        }
        while self.decisions.receive(&mut self.frames)? {
            let header = self.frames.first().map(|f| codec::decode::<RootMessage>(f));
            match header {
                Some(Ok(message)) => self.on_root(message),
                Some(Err(error)) => self.foreign.note("the ventilator", error),
                None => {}
            }
        }
        while let Some((announce, json)) = self.reporter.announcement() {
            if announce.phase == Phase::Withdraw {
                continue;
            }
            self.pump.change.announced(announce.version, json);
            self.reporter.prepared(announce.version, Vec::new());
            if announce.phase == Phase::Activate {
                self.pump.change.activate(announce.version, self.pump.untouched());
            }
        }
        if let Some((version, not_before)) = self.pump.change.promise(now_ns()) {
            let (host, epoch) = (self.host.clone(), self.epoch);
            let promise = ToRoot::Promise { host, epoch, version, not_before };
            socket::send(&self.root, [codec::encode(&promise)])?;
        }
        Ok(())
    }

    fn on_intake(&mut self, message: ToVentilator) {
        match message {
            ToVentilator::Hello { endpoint, name, pid, purpose } => {
                let ring = &mut self.pump.ring;
                let Some(lane) = self.seats.admit(ring, &endpoint, &name, pid) else { return };
                let generation = self.seats.get(lane).map_or(0, |s| s.generation);
                let welcome = LaneMessage::Welcome {
                    epoch: self.epoch,
                    lane,
                    generation,
                    ring: self.pump.ring.path().display().to_string(),
                    host: self.host.clone(),
                    counter: self.counter,
                };
                self.seats.send(lane, &welcome, None);
                self.pump.flow.join(lane, purpose);
            }
            ToVentilator::Credit { epoch, lane, generation, done, flushed } => {
                if epoch == self.epoch && self.seats.holder(lane, generation).is_some() {
                    self.pump.flow.credit(lane, done, flushed);
                }
            }
            ToVentilator::Bye { epoch, lane, generation } => {
                if epoch == self.epoch && self.seats.holder(lane, generation).is_some() {
                    self.dismiss(lane, "left", None);
                }
            }
            ToVentilator::CollectorHello { life: _ } => {
                self.pump.flow.collector_hello(&self.host, now_ns());
            }
            ToVentilator::Need { epoch, flush, units } => self.pump.flow.need(epoch, flush, &units),
        }
    }

    fn on_root(&mut self, message: RootMessage) {
        match message {
            RootMessage::Watermark { host, epoch, life, flushes, durable: _ } => {
                if host == self.host {
                    self.pump.flow.decided(epoch, life, flushes);
                }
            }
            RootMessage::Decision { version, heartbeat, life: _ } => {
                self.pump.change.decided(version, heartbeat);
            }
            // The host collector hands on what it was told; what was said before it was reached is
            // said again.
            RootMessage::NeedContext { host, epoch }
                if host == self.host
                    && self.pump.flow.knows(epoch)
                    && self.told.elapsed() >= TELL_AGAIN =>
            {
                self.told = Instant::now();
                self.pump.flow.collector_hello(&self.host, now_ns());
            }
            RootMessage::NeedContext { .. } => {}
        }
    }

    fn dismiss(&mut self, lane: u32, reason: &str, died_over: Option<u64>) {
        self.seats.remove(&mut self.pump.ring, lane, reason);
        self.pump.flow.leave(lane, died_over);
    }

    fn watch(&mut self) {
        self.watched = Instant::now();
        for lane in self.seats.dead() {
            let died_over = self.pump.ring.lane(lane as usize).cursor();
            self.dismiss(lane, "process gone", died_over);
        }
        for lane in self.seats.stuck(&self.pump.ring, self.pump.flow.busy_lanes()) {
            // Slowness is no strike.
            self.dismiss(lane, "no progress", None);
        }
        if let Some(processors) = &mut self.processors {
            processors.look(self.begun.elapsed().as_nanos() as u64, used_ns());
            self.pump.flow.use_lanes(processors.left());
        }
        self.pump.flow.tick(now_ns());
    }

    fn perform(&mut self) -> anyhow::Result<()> {
        for effect in self.pump.flow.effects() {
            match effect {
                Effect::Lane(lane, message) => self.seats.send(lane, &message, None),
                Effect::LaneGraphs(lane, version) => {
                    if let Some(json) = self.pump.change.graphs(version) {
                        self.seats.send(lane, &LaneMessage::Graphs(version), Some(json));
                    }
                }
                Effect::Collector(message) => {
                    socket::send(&self.collector, [codec::encode(&message)])?;
                }
                Effect::CollectorGraphs(version) => {
                    if let Some(json) = self.pump.change.graphs(version) {
                        let message = ami_proto::data_path::to_collector::ToCollector::Graphs(
                            self.epoch, version,
                        );
                        socket::send(&self.collector, [codec::encode(&message), json.to_vec()])?;
                    }
                }
                Effect::Free(position) => self.pump.ring.free_to(position),
                Effect::Quarantine(unit) => self.quarantine.take(&self.pump.ring, &unit),
            }
        }
        Ok(())
    }

    fn note(&mut self, step: Step) {
        let state = self.watchdog.judge(self.pump.seen(step, now_ns()));
        if state != self.state {
            match state.alarming() {
                true => tracing::warn!(state = state.name(), before = self.state.name(), "source"),
                false => tracing::info!(state = state.name(), before = self.state.name(), "source"),
            }
            self.state = state;
        }
        if step == Step::Ended && !self.end_told {
            self.end_told = true;
            self.pump.flow.broadcast(&LaneMessage::End);
            tracing::info!(events = self.pump.counts.taken, "end of data");
        }
        self.reporter.active(self.pump.change.active());
        if !self.schema_told && self.pump.schema().is_some() {
            self.schema_told = true;
            self.reporter.schema(self.pump.schema().map(|s| (**s).clone()));
        }
    }

    /// Ends the open flush and waits a moment for the root's decision. What is still undecided then
    /// stays in the ring's file, and the next life answers for it.
    fn stop(mut self) -> anyhow::Result<()> {
        self.pump.close(now_ns());
        let asked = Instant::now();
        while !self.pump.flow.drained() && asked.elapsed() < LAST_WAIT {
            self.receive()?;
            self.watch();
            self.pump.record(false);
            self.perform()?;
            self.wait(WATCH, false)?;
        }
        self.pump.flow.broadcast(&LaneMessage::Quit);
        self.perform()?;
        if !self.pump.flow.drained() {
            tracing::warn!(
                flushes = self.pump.flow.in_flight(),
                ring = %self.pump.ring.path().display(),
                "stopped before everything was decided: the ring stays, and the next start answers for it"
            );
            return Ok(());
        }
        self.pump.ring.remove().context("removing the ring")
    }
}

/// Processor time of this process.
fn used_ns() -> u64 {
    let used = rustix::time::clock_gettime(ClockId::ProcessCPUTime);
    Duration::try_from(used).unwrap_or_default().as_nanos() as u64
}
