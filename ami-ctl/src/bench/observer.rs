//! Clients of a run: one that measures, in Python or in Rust, and others that only read.

use crate::bench::error::BenchError;
use ami_proto::config::Config;
use ami_proto::health::metrics::Metrics;
use ami_proto::process::daemon::now_ns;
use ami_proto::socket::endpoint::Endpoint;
use ami_proto::socket::{self, Context, Inlet, Queue};
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use zmq::Message;

/// The client in Python.
const PYTHON: &str = include_str!("latency.py");

/// What a client saw.
#[derive(Debug, Default, Clone, serde::Deserialize)]
pub struct Seen {
    /// Wall clock, and events merged since the run began, when values came first and last.
    pub first: Option<(u64, u64)>,
    /// See `first`.
    pub last: Option<(u64, u64)>,
    /// Frames of whole heartbeats.
    pub heartbeats: u64,
    /// Of these, complete ones.
    pub complete: u64,
    /// Heartbeat, and ns from its last event to a value here.
    pub values: Vec<(u64, u64)>,
    /// Heartbeat, and ns from its last event to its whole frame here.
    pub latencies: Vec<(u64, u64)>,
}

/// Topic and header of a message.
type Head<'a> = (&'a [u8], &'a [u8]);

/// A subscription to everything of the graph `bench`.
struct Subscriber {
    socket: Inlet,
    frames: Vec<Message>,
}

impl Subscriber {
    fn new(config: &Config, context: &Context) -> Result<Subscriber, BenchError> {
        let address = Endpoint::Store.connect(config);
        let queue = Queue::Bounded(1000);
        let socket = socket::connect(context, zmq::XSUB, queue, &address, "store")?;
        socket.set_linger(0)?;
        socket::send(&socket, [b"\x01bench/".to_vec()])?;
        Ok(Subscriber { socket: socket.into(), frames: Vec::new() })
    }

    /// The next message, if one is there.
    fn next(&mut self) -> Result<Option<Head<'_>>, BenchError> {
        if !self.socket.receive(&mut self.frames)? {
            return Ok(None);
        }
        Ok(match &self.frames[..] {
            [topic, header, ..] => Some((&topic[..], &header[..])),
            _ => None,
        })
    }
}

/// The client that measures. One alone, since another would take its processor time.
pub enum Observer {
    /// In a process of its own.
    Python(Python),
    /// In a thread.
    Rust(Watch),
}

impl Observer {
    /// Subscribes, also before the store is there. In Python only where there is one with pyzmq.
    ///
    /// # Errors
    /// When its socket cannot be made.
    pub fn start(config: &Config, python: bool) -> Result<Observer, BenchError> {
        let python = if python { Python::start(config) } else { None };
        Ok(match python {
            Some(python) => Observer::Python(python),
            None => Observer::Rust(Watch::start(config)?),
        })
    }

    /// What it is written in.
    pub fn name(&self) -> &'static str {
        match self {
            Observer::Python(_) => "python",
            Observer::Rust(_) => "rust",
        }
    }

    /// Ends it: what it saw.
    ///
    /// # Errors
    /// When it does not say so.
    pub fn stop(self) -> Result<Seen, BenchError> {
        match self {
            Observer::Python(python) => python.stop(),
            Observer::Rust(watch) => watch.stop(),
        }
    }
}

/// A client in a thread of its own.
pub struct Watch {
    stop: Arc<AtomicBool>,
    seen: Arc<Mutex<Seen>>,
    thread: JoinHandle<Result<(), BenchError>>,
}

impl Watch {
    fn start(config: &Config) -> Result<Watch, BenchError> {
        let context = Context::new(config, Metrics::default());
        let mut subscriber = Subscriber::new(config, &context)?;
        let (stop, seen) =
            (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Seen::default())));
        let (stopped, shared) = (stop.clone(), seen.clone());
        let thread = std::thread::spawn(move || {
            // The socket lives in it.
            let _context = context;
            let mut made = BTreeMap::new();
            while !stopped.load(Ordering::Relaxed) {
                socket::wait([&subscriber.socket], Duration::from_millis(50))?;
                while let Some((topic, header)) = subscriber.next()? {
                    let now = now_ns();
                    let Ok(header) = serde_json::from_slice::<Value>(header) else { continue };
                    let mut seen = shared.lock().unwrap_or_else(PoisonError::into_inner);
                    seen.message(topic, &header, now, &mut made);
                }
            }
            Ok(())
        });
        Ok(Watch { stop, seen, thread })
    }

    fn stop(self) -> Result<Seen, BenchError> {
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
                    self.values.push((heartbeat, now.saturating_sub(at)));
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

/// Clients that only read.
pub struct Crowd {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<(u64, u64), BenchError>>,
}

impl Crowd {
    /// So many clients.
    pub fn start(config: &Config, clients: usize) -> Result<Crowd, BenchError> {
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, config) = (stop.clone(), config.clone());
        let thread = std::thread::Builder::new().spawn(move || read(&config, clients, &stopped));
        Ok(Crowd { stop, thread: thread.map_err(BenchError::thread)? })
    }

    /// Ends them: messages of the image that were received and that were missed.
    pub fn stop(self) -> Result<(u64, u64), BenchError> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap_or(Err(BenchError::Clients))
    }
}

fn read(config: &Config, clients: usize, stop: &AtomicBool) -> Result<(u64, u64), BenchError> {
    // Clients are other machines. Here they get what the system leaves: this thread and the one of
    // its ZeroMQ context, however many they are, since a hundred threads of the least priority
    // would still get more than the system's.
    let _ = rustix::process::nice(19);
    let context = Context::new(config, Metrics::default());
    let subscribers =
        (0..clients).map(|_| Subscriber::new(config, &context)).collect::<Result<Vec<_>, _>>();
    let mut subscribers: Vec<(Subscriber, Option<u64>)> =
        subscribers?.into_iter().map(|s| (s, None)).collect();
    let (mut received, mut missed) = (0, 0);
    while !stop.load(Ordering::Relaxed) {
        let inlets = subscribers.iter().map(|(s, _)| &s.socket);
        socket::wait_for_any(inlets, std::iter::empty(), Duration::from_millis(50))?;
        for (subscriber, newest) in &mut subscribers {
            let Some((b"bench/image", header)) = subscriber.next()? else { continue };
            let Ok(header) = serde_json::from_slice::<Value>(header) else { continue };
            let Some(seq) = header["seq"].as_u64() else { continue };
            missed += newest.map_or(0, |n: u64| seq.saturating_sub(n + 1));
            received += 1;
            *newest = Some(seq);
        }
    }
    Ok((received, missed))
}

/// The client in Python.
pub struct Python {
    child: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Python {
    /// None where there is no Python with pyzmq.
    fn start(config: &Config) -> Option<Python> {
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

    fn stop(mut self) -> Result<Seen, BenchError> {
        drop(self.child.stdin.take());
        let line = self.lines.next().and_then(Result::ok);
        line.and_then(|line| serde_json::from_str(&line).ok()).ok_or(BenchError::Python)
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
    fn what_python_says_is_read() {
        let said = r#"{"first": [1, 2], "last": null, "heartbeats": 3, "complete": 2, "values": [[7, 200]], "latencies": [[7, 300]]}"#;
        let seen: Seen = serde_json::from_str(said).unwrap();
        assert_eq!((seen.first, seen.last), (Some((1, 2)), None));
        assert_eq!((seen.heartbeats, seen.complete), (3, 2));
        assert_eq!((&seen.values[..], &seen.latencies[..]), (&[(7, 200)][..], &[(7, 300)][..]));
    }

    #[test]
    fn latency_is_from_the_last_event_to_a_value_and_to_the_whole_frame() {
        let (mut seen, mut made) = (Seen::default(), BTreeMap::new());
        let header = |events: u64, value: u64| json!({"heartbeat": 7, "window_events": events, "complete": true, "values": {"value": value}});
        seen.message(b"bench/n", &header(10, 10), 1000, &mut made);
        seen.message(b"bench/clock", &header(10, 900), 1100, &mut made);
        seen.message(b"bench/@heartbeat", &header(10, 0), 1200, &mut made);
        seen.message(b"bench/n", &header(30, 30), 2000, &mut made);
        assert_eq!((seen.first, seen.last), (Some((1000, 10)), Some((2000, 30))));
        assert_eq!((seen.heartbeats, seen.complete), (1, 1));
        assert_eq!((&seen.values[..], &seen.latencies[..]), (&[(7, 200)][..], &[(7, 300)][..]));
    }
}
