//! What the way of a result takes with nothing to do on it: the limit of P4.
//!
//! From the ventilator by worker, host collector, root and store to a client are five hand-overs from
//! process to process, each through the threads of two ZeroMQ contexts. Here four relays hand on a
//! heartbeat's number as often as P4 has heartbeats, started as its system is; the last one publishes
//! as many headers as the store does there, and the same client reads them.

use super::BenchError;
use super::cases::Case;
use super::measured::Latencies;
use super::observer::Observer;
use super::system::{self, Dir};
use crate::system::assignment;
use ami_proto::config::Config;
use ami_proto::cpu_latency;
use ami_proto::daemon::now_ns;
use ami_proto::endpoint::Endpoint;
use ami_proto::socket::{self, Context, Queue, Socket};
use rustix::process::{Signal, set_parent_process_death_signal};
use serde_json::{Value, json};
use std::process::{Child, Stdio};
use std::time::Duration;
use zmq::Message;

const RELAYS: usize = 4;
/// Enough for a 99th percentile.
const HEARTBEATS: u64 = 500;
const PERIOD: Duration = Duration::from_millis(10);
/// Until all are connected.
const START: Duration = Duration::from_millis(500);
const QUEUE: Queue = Queue::Bounded(1000);
/// A header of the store has some hundred bytes.
const FILL: usize = 400;

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
    let address = |n: usize| format!("ipc://{}", dir.path.join(format!("relay-{n}")).display());
    let _relays = (0..RELAYS)
        .map(|n| match n + 1 {
            RELAYS => Relay::start(case, "pub", &address(n), &Endpoint::Store.bind(&config)),
            next => Relay::start(case, "push", &address(n), &address(next)),
        })
        .collect::<Result<Vec<_>, _>>()?;
    let context = Context::ipc();
    let first = socket::connect(&context, zmq::PUSH, QUEUE, &address(0), "measurement")?;
    std::thread::sleep(START);
    for heartbeat in 0..HEARTBEATS {
        std::thread::sleep(PERIOD);
        socket::send(&first, [heartbeat, now_ns()].map(|n| n.to_le_bytes().to_vec()))?;
    }
    std::thread::sleep(PERIOD);
    Ok(Latencies::of(&observer.stop()?))
}

/// A process that hands on; it goes with this.
struct Relay(Child);

impl Relay {
    fn start(case: &Case, kind: &str, from: &str, to: &str) -> Result<Relay, BenchError> {
        let mut command = system::own(case)?;
        command.args(["bench", "--relay", kind, from, to]).stdin(Stdio::null());
        Ok(Relay(command.spawn().map_err(|e| BenchError::started(case, e))?))
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Takes heartbeats at an address and hands them on to another, or publishes them there, until its
/// process is killed.
///
/// # Errors
/// When its sockets cannot be made.
pub fn relay(kind: &str, from: &str, to: &str) -> Result<(), BenchError> {
    // Best effort: the parent kills it where it can.
    let _ = set_parent_process_death_signal(Some(Signal::KILL));
    let context = Context::ipc();
    let intake = socket::bind(&context, zmq::PULL, QUEUE, from, "measurement")?;
    let publishes = kind == "pub";
    let outlet = if publishes {
        socket::bind(&context, zmq::PUB, QUEUE, to, "measurement")?
    } else {
        socket::connect(&context, zmq::PUSH, QUEUE, to, "measurement")?.into()
    };
    let mut frames: Vec<Message> = Vec::new();
    loop {
        socket::wait([&intake], PERIOD * 100)?;
        while intake.receive(&mut frames)? {
            if publishes {
                publish(outlet.socket(), &frames)?;
            } else {
                socket::send(outlet.socket(), frames.drain(..))?;
            }
        }
    }
}

/// What the store says of a heartbeat of P4.
fn publish(outlet: &Socket, frames: &[Message]) -> Result<(), BenchError> {
    let number = |frame: &Message| frame[..].try_into().map_or(0, u64::from_le_bytes);
    let numbers: Vec<u64> = frames.iter().map(number).collect();
    let [heartbeat, made] = numbers[..] else { return Ok(()) };
    let header = |values: Value| {
        json!({"heartbeat": heartbeat, "window_events": heartbeat, "complete": true,
               "values": {"value": values}, "fill": " ".repeat(FILL)})
    };
    for (topic, value) in [("clock", made), ("n", 0), ("mean", 0), ("@heartbeat", 0)] {
        let message = [format!("bench/{topic}"), header(value.into()).to_string()];
        socket::send(outlet, message.map(String::into_bytes))?;
    }
    Ok(())
}
