//! What the way of a result takes with nothing to do on it: the limit of P4.
//!
//! From the ventilator by worker, host collector, root and store to a client are five hand-overs, each
//! through the threads of two ZeroMQ contexts. Here as many threads, each with a context of its own,
//! hand on a small message as often as P4 has heartbeats, with processors kept awake as there. They
//! are of one process, so that this takes rather less than with daemons.

use super::BenchError;
use ami_proto::cpu_latency;
use ami_proto::daemon::now_ns;
use ami_proto::socket::{self, Context, PollEvents, Queue, Socket};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use zmq::Message;

const HAND_OVERS: usize = 5;
const MESSAGES: usize = 150;
const PAUSE: Duration = Duration::from_millis(10);
/// Nothing here takes so long.
const LONGEST: Duration = Duration::from_secs(20);
const QUEUE: Queue = Queue::Bounded(1000);

/// Median time of a message from the first thread to the last, ms.
///
/// # Errors
/// When there are no sockets or threads.
pub fn p50_ms() -> Result<f64, BenchError> {
    let _awake = cpu_latency::hold(0);
    let dir = crate::environment::runtime_dir().unwrap_or_else(std::env::temp_dir);
    let path = |n: usize| dir.join(format!("ami-bench-{}-{n}.sock", std::process::id()));
    let address = |n: usize| format!("ipc://{}", path(n).display());
    let mut threads = Vec::new();
    for n in 0..HAND_OVERS {
        threads.push(
            Station::new(&address(n), (n + 1 < HAND_OVERS).then(|| address(n + 1)))?.start()?,
        );
    }
    let context = Context::ipc();
    let first = socket::connect(&context, zmq::PUSH, QUEUE, &address(0), "measurement")?;
    for _ in 0..MESSAGES {
        std::thread::sleep(PAUSE);
        socket::send(&first, [now_ns().to_le_bytes().to_vec()])?;
    }
    // An empty message ends them, one after the other.
    socket::send(&first, [Vec::new()])?;
    let mut ages = Vec::new();
    for thread in threads {
        ages = thread.join().unwrap_or(Err(BenchError::Clients))?;
    }
    (0..HAND_OVERS).for_each(|n| drop(std::fs::remove_file(path(n))));
    ages.sort_unstable();
    Ok(ages.get(ages.len() / 2).map_or(f64::NAN, |ns| *ns as f64 / 1e6))
}

/// Takes messages and hands them on.
struct Station {
    intake: Socket,
    next: Option<Socket>,
    _context: Context,
}

impl Station {
    fn new(own: &str, next: Option<String>) -> Result<Station, BenchError> {
        let context = Context::ipc();
        let connect = |to: String| socket::connect(&context, zmq::PUSH, QUEUE, &to, "measurement");
        Ok(Station {
            intake: socket::bind(&context, zmq::PULL, QUEUE, own, "measurement")?,
            next: next.map(connect).transpose()?,
            _context: context,
        })
    }

    fn start(self) -> Result<JoinHandle<Result<Vec<u64>, BenchError>>, BenchError> {
        std::thread::Builder::new().spawn(move || self.run()).map_err(BenchError::thread)
    }

    /// How old messages were here, ns.
    fn run(self) -> Result<Vec<u64>, BenchError> {
        let (mut frames, mut ages): (Vec<Message>, _) = (Vec::new(), Vec::new());
        let begun = Instant::now();
        while begun.elapsed() < LONGEST {
            socket::wait(&mut [self.intake.as_poll_item(PollEvents::POLLIN)], PAUSE * 10)?;
            while socket::receive(&self.intake, &mut frames)? {
                let sent =
                    frames.first().and_then(|f| f[..].try_into().ok()).map(u64::from_le_bytes);
                ages.extend(sent.map(|sent| now_ns().saturating_sub(sent)));
                if let Some(next) = &self.next {
                    socket::send(next, frames.drain(..))?;
                }
                if sent.is_none() {
                    return Ok(ages);
                }
            }
        }
        Ok(ages)
    }
}
