//! The worker's loop: take a seat, follow the lane's stream, return credit, report.

mod report;

use crate::lane::{Intake, Seat};
use crate::plans::Plans;
use crate::work::{Done, Work, WorkError};
use ami_graph::graph::spec::GraphSet;
use ami_proto::codec;
use ami_proto::config::Config;
use ami_proto::control::manager_to_members::Phase;
use ami_proto::control::member_to_manager::Role;
use ami_proto::control::reporter::Reporter;
use ami_proto::data_path::to_collector::ToCollector;
use ami_proto::data_path::to_ventilator::ToVentilator;
use ami_proto::data_path::ventilator_to_worker::{Descriptor, LaneMessage};
use ami_proto::health::ignored::Ignored;
use ami_proto::process::daemon::{Daemon, now_ns, pin};
use ami_proto::socket::delayed::Delayed;
use ami_proto::socket::endpoint::Endpoint;
use ami_proto::socket::{self, Queue, Socket};
use ami_python::Python;
use std::sync::Arc;
use std::time::{Duration, Instant};
use zmq::Message;

/// Credit is returned after so many units, or half of what the ventilator gives, or a moment later when
/// idle: a message per unit would cost more than the unit.
const CREDIT_BATCH: u64 = 4;

/// A lane that always has more is left after this time, to answer and report to the manager.
const TURN: Duration = Duration::from_millis(20);
/// A seat is asked for again after this time.
const HELLO: Duration = Duration::from_millis(50);
/// After so much silence on the lane it is asked whether the seat is still worth anything.
const QUIET: Duration = Duration::from_millis(100);

/// Runs until asked to stop.
///
/// # Errors
/// When sockets cannot be made.
pub fn run(config: &Config, daemon: &mut Daemon) -> anyhow::Result<()> {
    pin(&config.worker.cpus)?;
    let mut worker = Worker::new(config, daemon)?;
    daemon.ready("waiting for the ventilator");
    while !daemon.stopping() {
        worker.turn(daemon)?;
    }
    worker.leave();
    Ok(())
}

struct Worker {
    name: String,
    run_dir: std::path::PathBuf,
    context: socket::Context,
    ventilator: Socket,
    collector: Socket,
    reporter: Reporter,
    intake: Intake,
    seat: Option<Seat>,
    hello: Option<Instant>,
    /// When something came down the lane last.
    heard: Instant,
    plans: Plans,
    python: Arc<Python>,
    /// Says that the daemon is not stuck.
    pulse: Arc<dyn Fn() + Send + Sync>,
    work: Work,
    /// The context of the newest unit.
    told: Option<u32>,
    credited: u64,
    flushed: u64,
    credited_flush: u64,
    credit_batch: u64,
    later: Delayed,
    busy: Duration,
    since: Instant,
    frames: Vec<Message>,
    foreign: Ignored,
}

impl Worker {
    fn new(config: &Config, daemon: &Daemon) -> anyhow::Result<Worker> {
        let context = daemon.context.clone();
        let name = match config.worker.name.as_str() {
            "" => format!("worker-{}", std::process::id()),
            name => name.to_string(),
        };
        let run_dir = config.instance.run_dir.clone();
        let ventilator = socket::connect(
            &context,
            zmq::PUSH,
            Queue::Protocol,
            &Endpoint::Ventilator.connect(config),
            "ventilator",
        )?;
        let collector = socket::connect(
            &context,
            zmq::PUSH,
            Queue::Protocol,
            &Endpoint::Collector.connect(config),
            "host collector",
        )?;
        let reporter = Reporter::new(&context, config, daemon, Role::Worker, &name)?;
        let intake = Intake::bind(&context, &run_dir, &name, daemon.life)?;
        let python = Arc::new(Python::new(config.python.clone(), &run_dir, &name));
        Ok(Worker {
            name,
            run_dir,
            context,
            ventilator,
            collector,
            reporter,
            intake,
            seat: None,
            hello: None,
            heard: Instant::now(),
            plans: Plans::new(config.limits(), &config.instance.host, Some(python.clone())),
            python,
            pulse: Arc::new(daemon.pulse()),
            work: Work::default(),
            told: None,
            credited: 0,
            flushed: 0,
            credited_flush: 0,
            credit_batch: (config.ventilator.credits as u64 / 2).clamp(1, CREDIT_BATCH),
            later: Delayed::default(),
            busy: Duration::ZERO,
            since: Instant::now(),
            frames: Vec::new(),
            foreign: Ignored::default(),
        })
    }

    fn turn(&mut self, daemon: &mut Daemon) -> anyhow::Result<()> {
        if self.seat.is_none() && self.hello.is_none_or(|t| t.elapsed() >= HELLO) {
            self.hello = Some(Instant::now());
            socket::send(&self.ventilator, [self.intake.hello(&self.name)])?;
        }
        let started = Instant::now();
        let mut any = false;
        while !daemon.stopping()
            && started.elapsed() < TURN
            && self.intake.inlet.receive(&mut self.frames)?
        {
            any = true;
            self.on_lane_message()?;
            daemon.beat();
        }
        if any {
            self.heard = Instant::now();
            self.busy += started.elapsed();
        } else if self.heard.elapsed() >= QUIET {
            self.heard = Instant::now();
            self.check_seat()?;
        }
        self.owe_credit()?;
        self.announcements();
        self.report(daemon);
        daemon.beat();
        let timeout = if self.seat.is_some() { Duration::from_millis(100) } else { HELLO };
        let timeout = self.later.wait(Instant::now(), timeout);
        Ok(socket::wait([&self.intake.inlet, self.reporter.inlet()], timeout)?)
    }

    /// Whether the ventilator still lives and counts on this lane. Asked only once everything that
    /// it had sent is done: flushes of a life that ended are worth as much as any.
    fn check_seat(&mut self) -> anyhow::Result<()> {
        let Some(seat) = &self.seat else { return Ok(()) };
        if seat.slot.fenced() {
            return self.give_up(&WorkError::Fenced.into());
        }
        if !seat.ring.writer_lives() {
            return self.reseat("the ventilator is gone");
        }
        Ok(())
    }

    fn on_lane_message(&mut self) -> anyhow::Result<()> {
        let Some(header) = self.frames.first() else { return Ok(()) };
        let message = match codec::decode::<LaneMessage>(header) {
            Ok(message) => message,
            Err(error) => {
                self.foreign.note("this worker's lane", error);
                return Ok(());
            }
        };
        match self.follow(message) {
            Ok(()) => Ok(()),
            Err(error) if error.is::<zmq::Error>() => Err(error),
            // A unit, a ring, a graph set that cannot be read: whatever said so, a new lane says
            // all again.
            Err(error) => self.give_up(&error),
        }
    }

    fn follow(&mut self, message: LaneMessage) -> anyhow::Result<()> {
        match message {
            LaneMessage::Welcome { epoch, lane, generation, ring, .. } => {
                self.welcomed(epoch, lane, generation, &ring)?;
            }
            LaneMessage::Schema(number, schema) => self.plans.schema(number, schema),
            LaneMessage::Graphs(version) => self.graphs(version)?,
            LaneMessage::Context(context) => {
                self.reporter.active(context.conditions.version);
                self.plans.context(context);
            }
            LaneMessage::Unit(unit) => {
                self.tell_code(&unit);
                if let Some(seat) = &self.seat {
                    seat.enter();
                    self.work.unit(&seat.ring, &seat.slot, &mut self.plans, unit)?;
                }
                if self.work.done - self.credited >= self.credit_batch {
                    self.give_credit()?;
                }
            }
            LaneMessage::Flush { flush, .. } => {
                if let Some(done) = self.work.flush() {
                    self.send_partial(flush, done)?;
                }
                self.flushed = flush.saturating_add(1);
            }
            LaneMessage::Replay { unit, flush, .. } => {
                self.tell_code(&unit);
                if let Some(seat) = &self.seat {
                    seat.enter();
                    let done = self.work.replay(&seat.ring, &seat.slot, &mut self.plans, unit)?;
                    self.send_partial(flush, done)?;
                }
            }
            LaneMessage::End => self.reporter.state("ended"),
            LaneMessage::Transition { .. } => {}
            LaneMessage::Quit => self.reseat("the ventilator stops")?,
        }
        Ok(())
    }

    fn welcomed(
        &mut self,
        epoch: u64,
        lane: u32,
        generation: u64,
        ring: &str,
    ) -> anyhow::Result<()> {
        if self.seat.is_some() {
            // Two lives of the ventilator know this endpoint, and their streams would mix: leave
            // both and ask anew, from another.
            self.bye(epoch, lane, generation)?;
            return self.reseat("a second ventilator sends on this lane");
        }
        match Seat::take(epoch, lane, generation, ring) {
            Ok(seat) => {
                let (file, addresses) = seat.ring.mapped();
                self.python.set_ring(file, addresses);
                let (slot, pulse) = (seat.slot.clone(), self.pulse.clone());
                self.python.while_waiting(move || {
                    slot.beat();
                    pulse();
                });
                self.seat = Some(seat);
                tracing::info!(lane, generation, "seated");
                Ok(())
            }
            // The ventilator died meanwhile; or it lives, and does not wait for this lane then.
            Err(error) => {
                self.bye(epoch, lane, generation)?;
                self.reseat(&format!("{error:#}"))
            }
        }
    }

    /// Tells user code, if there is any, of the run and step that a unit is of.
    fn tell_code(&mut self, unit: &Descriptor) {
        if self.told != Some(unit.context)
            && let Some(seen) = self.plans.seen(unit.context)
        {
            self.told = Some(unit.context);
            if seen.plan.has_code() {
                self.python.set_context(&seen.for_code());
            }
        }
    }

    fn bye(&self, epoch: u64, lane: u32, generation: u64) -> anyhow::Result<()> {
        let bye = ToVentilator::Bye { epoch, lane, generation };
        socket::send(&self.ventilator, [codec::encode(&bye)])?;
        Ok(())
    }

    fn graphs(&mut self, version: u64) -> anyhow::Result<()> {
        let json = self.frames.get(1).map(|f| GraphSet::from_json_bytes(f));
        match json {
            Some(Ok(set)) if set.version == version => self.plans.graphs(Arc::new(set)),
            Some(Err(error)) => {
                anyhow::bail!("graphs of version {version} cannot be read: {error}")
            }
            _ => anyhow::bail!("graphs of version {version} did not come with their announcement"),
        }
        Ok(())
    }

    fn send_partial(&mut self, flush: u64, done: Done) -> anyhow::Result<()> {
        let Some(seat) = &self.seat else { return Ok(()) };
        let header = codec::encode(&ToCollector::Partial {
            epoch: seat.epoch,
            flush,
            version: done.version,
            units: done.units,
        });
        let (states, arrays) = done.partial.encode();
        socket::send(&self.collector, [header, states].into_iter().chain(arrays))?;
        Ok(())
    }

    /// The seat is lost: nothing of the open flush may be sent, a new seat is asked for.
    fn give_up(&mut self, error: &anyhow::Error) -> anyhow::Result<()> {
        if let Some(seat) = &self.seat {
            self.bye(seat.epoch, seat.lane, seat.generation)?;
        }
        self.reseat(&error.to_string())
    }

    fn reseat(&mut self, reason: &str) -> anyhow::Result<()> {
        tracing::warn!(reason, "leaving the lane");
        self.forget();
        // A new endpoint: what is still on its way belongs to the old seat.
        self.intake = Intake::bind(&self.context, &self.run_dir, &self.name, now_ns())?;
        Ok(())
    }

    fn forget(&mut self) {
        self.python.clear_ring();
        self.python.while_waiting(|| ());
        self.seat = None;
        self.hello = None;
        self.work = Work::default();
        self.plans = self.plans.emptied();
        self.told = None;
        (self.credited, self.flushed, self.credited_flush) = (0, 0, 0);
    }

    /// The ventilator has more credit left than this: it does not wait.
    fn owe_credit(&mut self) -> anyhow::Result<()> {
        let now = Instant::now();
        if self.credited != self.work.done || self.credited_flush != self.flushed {
            self.later.note(now);
        }
        if self.later.due(now) { self.give_credit() } else { Ok(()) }
    }

    fn give_credit(&mut self) -> anyhow::Result<()> {
        let Some(seat) = &self.seat else { return Ok(()) };
        if self.credited == self.work.done && self.credited_flush == self.flushed {
            return Ok(());
        }
        (self.credited, self.credited_flush) = (self.work.done, self.flushed);
        let credit = ToVentilator::Credit {
            epoch: seat.epoch,
            lane: seat.lane,
            generation: seat.generation,
            done: self.work.done,
            flushed: self.flushed,
        };
        socket::send(&self.ventilator, [codec::encode(&credit)])?;
        Ok(())
    }

    fn announcements(&mut self) {
        while let Some((announce, json)) = self.reporter.announcement() {
            if announce.phase == Phase::Withdraw {
                continue;
            }
            let refused = match GraphSet::from_json_bytes(&json) {
                Ok(set) => self.plans.prepare(Arc::new(set)),
                Err(error) => vec![error.to_string()],
            };
            self.reporter.prepared(announce.version, refused);
        }
    }

    fn leave(&mut self) {
        // What is done need not be done again.
        let _ = self.give_credit();
        if let Some(seat) = &self.seat {
            let _ = self.bye(seat.epoch, seat.lane, seat.generation);
        }
    }
}
