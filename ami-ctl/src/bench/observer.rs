//! Clients of a run: one that measures, others that only read, and one in Python.

use super::BenchError;
use ami_proto::config::Config;
use ami_proto::daemon::now_ns;
use ami_proto::endpoint::Endpoint;
use ami_proto::metrics::Metrics;
use ami_proto::socket::{self, Context, PollEvents, Queue, Socket};
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use zmq::Message;

/// The client in Python.
const PYTHON: &str = include_str!("latency.py");

/// What a client saw.
#[derive(Debug, Default, Clone)]
pub struct Seen {
    /// Wall clock, and events merged since the run began, when values came first and last.
    pub first: Option<(u64, u64)>,
    /// See `first`.
    pub last: Option<(u64, u64)>,
    /// Frames of whole heartbeats.
    pub heartbeats: u64,
    /// Of these, complete ones.
    pub complete: u64,
    /// Heartbeat, and ns from its last event to its whole frame here.
    pub latencies: Vec<(u64, u64)>,
}

/// Topic and header of a message.
type Head<'a> = (&'a [u8], &'a [u8]);

/// A subscription to everything of the graph `bench`.
struct Subscriber {
    socket: Socket,
    // The socket lives in it.
    _context: Context,
    frames: Vec<Message>,
}

impl Subscriber {
    fn new(config: &Config) -> Result<Subscriber, BenchError> {
        let context = Context::new(config, Metrics::default());
        let address = Endpoint::Store.connect(config);
        let queue = Queue::Bounded(1000);
        let socket = socket::connect(&context, zmq::XSUB, queue, &address, "store")?;
        socket.set_linger(0)?;
        socket::send(&socket, [b"\x01bench/".to_vec()])?;
        Ok(Subscriber { socket, _context: context, frames: Vec::new() })
    }

    /// The next message, if one comes soon.
    fn next(&mut self) -> Result<Option<Head<'_>>, BenchError> {
        if !socket::receive(&self.socket, &mut self.frames)? {
            let mut items = [self.socket.as_poll_item(PollEvents::POLLIN)];
            socket::wait(&mut items, Duration::from_millis(50))?;
            return Ok(None);
        }
        Ok(match &self.frames[..] {
            [topic, header, ..] => Some((&topic[..], &header[..])),
            _ => None,
        })
    }
}

/// A client in a thread of its own.
pub struct Observer {
    stop: Arc<AtomicBool>,
    seen: Arc<Mutex<Seen>>,
    thread: JoinHandle<Result<(), BenchError>>,
}

impl Observer {
    /// Subscribes, also before the store is there.
    pub fn start(config: &Config) -> Result<Observer, BenchError> {
        let mut subscriber = Subscriber::new(config)?;
        let (stop, seen) =
            (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Seen::default())));
        let (stopped, shared) = (stop.clone(), seen.clone());
        let thread = std::thread::spawn(move || {
            let mut made = BTreeMap::new();
            while !stopped.load(Ordering::Relaxed) {
                if let Some((topic, header)) = subscriber.next()? {
                    let now = now_ns();
                    let Ok(header) = serde_json::from_slice::<Value>(header) else { continue };
                    let mut seen = shared.lock().unwrap_or_else(PoisonError::into_inner);
                    seen.message(topic, &header, now, &mut made);
                }
            }
            Ok(())
        });
        Ok(Observer { stop, seen, thread })
    }

    /// Ends it.
    pub fn stop(self) -> Result<Seen, BenchError> {
        self.stop.store(true, Ordering::Relaxed);
        if let Ok(result) = self.thread.join() {
            result?;
        }
        Ok(std::mem::take(&mut *self.seen.lock().unwrap_or_else(PoisonError::into_inner)))
    }
}

impl Seen {
    fn message(&mut self, topic: &[u8], header: &Value, now: u64, made: &mut BTreeMap<u64, u64>) {
        let number = |key: &str| header[key].as_u64();
        let Some(heartbeat) = number("heartbeat") else { return };
        match topic {
            b"bench/n" => {
                let Some(events) = number("window_events") else { return };
                self.first.get_or_insert((now, events));
                self.last = Some((now, events));
            }
            b"bench/clock" => {
                if let Some(at) = header["values"]["value"].as_u64() {
                    made.insert(heartbeat, at);
                }
            }
            b"bench/@heartbeat" => {
                self.heartbeats += 1;
                self.complete += u64::from(header["complete"] == true);
                if let Some(at) = made.remove(&heartbeat) {
                    self.latencies.push((heartbeat, now.saturating_sub(at)));
                }
            }
            _ => {}
        }
    }
}

/// Clients that only read, as slowly as the machine lets them after all others.
pub struct Crowd {
    stop: Arc<AtomicBool>,
    /// Messages of the image that were received and that were missed.
    counts: Arc<[AtomicU64; 2]>,
    threads: Vec<JoinHandle<Result<(), BenchError>>>,
}

impl Crowd {
    /// So many clients.
    pub fn start(config: &Config, clients: usize) -> Result<Crowd, BenchError> {
        let stop = Arc::new(AtomicBool::new(false));
        let counts = Arc::new([AtomicU64::new(0), AtomicU64::new(0)]);
        let threads = (0..clients).map(|_| {
            let (stop, counts, config) = (stop.clone(), counts.clone(), config.clone());
            std::thread::Builder::new().spawn(move || read(&config, &stop, &counts))
        });
        let threads = threads.collect::<Result<_, _>>().map_err(BenchError::thread)?;
        Ok(Crowd { stop, counts, threads })
    }

    /// Ends them: messages received and missed.
    pub fn stop(self) -> Result<(u64, u64), BenchError> {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads {
            if let Ok(result) = thread.join() {
                result?;
            }
        }
        let [received, missed] = &*self.counts;
        Ok((received.load(Ordering::Relaxed), missed.load(Ordering::Relaxed)))
    }
}

fn read(config: &Config, stop: &AtomicBool, counts: &[AtomicU64; 2]) -> Result<(), BenchError> {
    // Clients are other machines: here they get what the system leaves. It holds for this thread
    // and those of its own ZeroMQ context.
    let _ = rustix::process::nice(19);
    let mut subscriber = Subscriber::new(config)?;
    let mut newest = None;
    while !stop.load(Ordering::Relaxed) {
        let Some((b"bench/image", header)) = subscriber.next()? else { continue };
        let Ok(header) = serde_json::from_slice::<Value>(header) else { continue };
        let Some(seq) = header["seq"].as_u64() else { continue };
        let gap = newest.map_or(0, |n: u64| seq.saturating_sub(n + 1));
        newest = Some(seq);
        counts[0].fetch_add(1, Ordering::Relaxed);
        counts[1].fetch_add(gap, Ordering::Relaxed);
    }
    Ok(())
}

/// The client in Python.
pub struct Python {
    child: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Python {
    /// Starts it; None where there is no Python with pyzmq.
    pub fn start(config: &Config) -> Option<Python> {
        let mut places = vec![PathBuf::from("python3"), PathBuf::from(".venv/bin/python")];
        places.extend(crate::environment::python());
        let python = places.into_iter().rev().find(|python| {
            let has = ["-c", "import zmq"];
            let quiet = Command::new(python).args(has).stderr(Stdio::null()).status();
            quiet.is_ok_and(|s| s.success())
        })?;
        let mut child = Command::new(python)
            .args(["-c", PYTHON, &Endpoint::Store.connect(config)])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .ok()?;
        let mut lines = BufReader::new(child.stdout.take()?).lines();
        // Subscribed before the system starts.
        lines.next()?.ok()?;
        Some(Python { child, lines })
    }

    /// Ends it: heartbeats, and ns from the last event to the whole frame in Python.
    pub fn stop(mut self) -> Vec<(u64, u64)> {
        drop(self.child.stdin.take());
        let mut latencies = Vec::new();
        for line in self.lines.by_ref().map_while(Result::ok) {
            let mut words = line.split(' ').map_while(|w| w.parse().ok());
            let (Some(heartbeat), Some(ns)) = (words.next(), words.next()) else { break };
            latencies.push((heartbeat, ns));
        }
        latencies
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn latency_is_from_the_last_event_to_the_whole_frame() {
        let (mut seen, mut made) = (Seen::default(), BTreeMap::new());
        let header = |events: u64, value: u64| json!({"heartbeat": 7, "window_events": events, "complete": true, "values": {"value": value}});
        seen.message(b"bench/n", &header(10, 10), 1000, &mut made);
        seen.message(b"bench/clock", &header(10, 900), 1100, &mut made);
        seen.message(b"bench/@heartbeat", &header(10, 0), 1200, &mut made);
        seen.message(b"bench/n", &header(30, 30), 2000, &mut made);
        assert_eq!((seen.first, seen.last), (Some((1000, 10)), Some((2000, 30))));
        assert_eq!((seen.heartbeats, seen.complete, &seen.latencies[..]), (1, 1, &[(7, 300)][..]));
    }
}
