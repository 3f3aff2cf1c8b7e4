//! What the way of a result takes with nothing to do on it: the limit of P4.
//!
//! From the ventilator by worker, host collector, root and store to a client are five hand-overs from
//! process to process, each through the threads of two ZeroMQ contexts. Here relays stand for these
//! daemons, started as P4's system is. At the end of a heartbeat, as often as P4 has one, they hand on
//! as many messages of about the same sizes, through sockets of the same kinds, and compute nothing; the
//! same client reads them.

use crate::bench::cases::Case;
use crate::bench::error::BenchError;
use crate::bench::measured::Latencies;
use crate::bench::observer::Observer;
use crate::bench::system::{self, Dir};
use crate::client::system::assignment;
use ami_proto::config::Config;
use ami_proto::process::cpu_latency;
use ami_proto::process::daemon::now_ns;
use ami_proto::socket::endpoint::Endpoint;
use ami_proto::socket::{self, Context, Inlet, Queue};
use clap::ValueEnum;
use rustix::process::{Signal, set_parent_process_death_signal};
use serde_json::{Value, json};
use std::process::{Child, Stdio};
use std::time::Duration;
use zmq::Message;

/// Enough for a 99th percentile.
const HEARTBEATS: u64 = 500;
const PERIOD: Duration = Duration::from_millis(10);
/// Until all are connected.
const START: Duration = Duration::from_millis(500);
const QUEUE: Queue = Queue::Bounded(1000);
/// A header of the store has some hundred bytes.
const FILL: usize = 400;
/// Bytes of a frame between daemons: a manifest, or the states of a few scalars.
const FRAME: usize = 200;

/// Whom a relay stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Stage {
    /// Gets a unit and the flush, hands on a partial.
    Worker,
    /// Gets the manifest and a partial, hands on a flush.
    Host,
    /// Gets a flush, publishes features.
    Root,
    /// Publishes each feature.
    Store,
}

impl Stage {
    /// Messages of a heartbeat that come before something is handed on.
    fn waits_for(self) -> usize {
        match self {
            Stage::Worker | Stage::Host => 2,
            Stage::Root | Stage::Store => 1,
        }
    }

    fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_string())
    }
}

/// Time from the first process to the client, with the launcher and client of this case.
///
/// # Errors
/// When there are no sockets or processes.
pub fn latency(case: &Case) -> Result<Latencies, BenchError> {
    let _awake = cpu_latency::hold(0);
    let dir = Dir::make()?;
    let run_dir = assignment("instance.run_dir", &dir.path.display().to_string());
    let config = Config::load(None, &[run_dir])?;
    let observer = Observer::start(&config, case.python)?;
    let address = |name: &str| format!("ipc://{}", dir.path.join(name).display());
    let [worker, host, root, results] = ["worker", "host", "root", "results"].map(address);
    let relay = |stage, from: &str, to: &str| Relay::start(case, stage, from, to);
    let _relays = [
        relay(Stage::Worker, &worker, &host)?,
        relay(Stage::Host, &host, &root)?,
        relay(Stage::Root, &root, &results)?,
        relay(Stage::Store, &results, &Endpoint::Store.bind(&config))?,
    ];
    let context = Context::ipc();
    let connect =
        |address: &str| socket::connect(&context, zmq::PUSH, QUEUE, address, "measurement");
    let (worker, host) = (connect(&worker)?, connect(&host)?);
    std::thread::sleep(START);
    for heartbeat in 0..HEARTBEATS {
        std::thread::sleep(PERIOD);
        let mut message = [heartbeat, now_ns()].map(u64::to_le_bytes).concat();
        message.resize(FRAME, 0);
        for socket in [&worker, &worker, &host] {
            socket::send(socket, [&message[..]])?;
        }
    }
    std::thread::sleep(PERIOD);
    Ok(Latencies::of(&observer.stop()?))
}

/// A process that hands on; it goes with this.
struct Relay(Child);

impl Relay {
    fn start(case: &Case, stage: Stage, from: &str, to: &str) -> Result<Relay, BenchError> {
        let mut command = system::own(case)?;
        command.args(["bench", "--relay", &stage.name(), from, to]).stdin(Stdio::null());
        Ok(Relay(command.spawn().map_err(|e| BenchError::started(case.launcher, e))?))
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Takes heartbeats at an address and hands them on to another, until its process is killed.
///
/// # Errors
/// When its sockets cannot be made.
pub fn relay(stage: Stage, from: &str, to: &str) -> Result<(), BenchError> {
    // Best effort: the parent kills it where it can.
    let _ = set_parent_process_death_signal(Some(Signal::KILL));
    let context = Context::ipc();
    let intake = match stage {
        Stage::Store => socket::connect(&context, zmq::SUB, QUEUE, from, "measurement")?.into(),
        _ => socket::bind(&context, zmq::PULL, QUEUE, from, "measurement")?,
    };
    let outlet = match stage {
        Stage::Root | Stage::Store => socket::bind(&context, zmq::PUB, QUEUE, to, "measurement")?,
        _ => socket::connect(&context, zmq::PUSH, QUEUE, to, "measurement")?.into(),
    };
    let (mut frames, mut came): (Vec<Message>, usize) = (Vec::new(), 0);
    loop {
        socket::wait([&intake], PERIOD * 100)?;
        while intake.receive(&mut frames)? {
            came += 1;
            if came % stage.waits_for() == 0 {
                hand_on(stage, &outlet, &mut frames)?;
            }
        }
    }
}

fn hand_on(stage: Stage, outlet: &Inlet, frames: &mut Vec<Message>) -> Result<(), BenchError> {
    match (stage, frames.first()) {
        (Stage::Root, Some(first)) => publish(outlet, first)?,
        (Stage::Store, _) => {
            socket::send(outlet.socket(), frames.drain(..))?;
        }
        (_, Some(first)) => {
            socket::send(outlet.socket(), [&first[..], &[0; FRAME]])?;
        }
        (_, None) => {}
    }
    Ok(())
}

/// What the root says of a heartbeat of P4.
fn publish(outlet: &Inlet, message: &[u8]) -> Result<(), BenchError> {
    let mut numbers = message.chunks_exact(8).filter_map(|n| n.try_into().ok());
    let (Some(heartbeat), Some(made)) = (numbers.next(), numbers.next()) else { return Ok(()) };
    let (heartbeat, made) = (u64::from_le_bytes(heartbeat), u64::from_le_bytes(made));
    let header = |values: Value| {
        json!({"heartbeat": heartbeat, "window_events": heartbeat, "complete": true,
               "values": {"value": values}, "fill": " ".repeat(FILL)})
    };
    for (topic, value) in [("clock", made), ("n", 0), ("mean", 0), ("@heartbeat", 0)] {
        let message = [format!("bench/{topic}"), header(value.into()).to_string()];
        socket::send(outlet.socket(), message.map(String::into_bytes))?;
    }
    Ok(())
}
