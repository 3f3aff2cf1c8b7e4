//! The guard of a process' tcp endpoints: answers ZeroMQ's questions who may come in (ZAP, RFC 27),
//! and tells who was refused.
//!
//! A peer with a key of its own is refused here, by its key. One without, with another mechanism or
//! with a wrong server key fails earlier, inside libzmq; the sockets' monitors tell of those.

use crate::health::metrics::Metrics;
use crate::health::throttle::Throttle;
use crate::security::credentials::Allowed;
use crate::security::keys::Role;
use crate::socket::{self, Inlet, Socket};
use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};
use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use zmq::{Message, SocketEvent};

/// How often it looks whether it is to stop.
const TICK: Duration = Duration::from_millis(100);
/// Refusals that are logged at once, and one more per second.
const LINES: u32 = 20;
/// Connections whose address is remembered.
const MOST: usize = 10_000;

/// Runs a thread as long as it is held.
#[derive(Debug)]
pub(crate) struct Guard {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    watched: mpsc::Sender<Watched>,
    pub(crate) allowed: Arc<Allowed>,
}

/// A socket's monitor.
struct Watched {
    monitor: Inlet,
    endpoint: String,
    /// Addresses of connections by descriptor.
    peers: HashMap<u32, String>,
    /// A handshake failed; the connection is closed next.
    failed: bool,
}

impl Guard {
    /// Starts before the first socket is bound: one that finds no guard would let everybody in.
    pub(crate) fn start(
        zap: Socket,
        allowed: Arc<Allowed>,
        metrics: Metrics,
    ) -> std::io::Result<Guard> {
        let (watched, incoming) = mpsc::channel::<Watched>();
        let stop = Arc::new(AtomicBool::new(false));
        metrics.set(REFUSED, 0.0);
        let mut watch = Watch {
            zap: zap.into(),
            allowed: allowed.clone(),
            metrics,
            watched: Vec::new(),
            own: pidfd_open(getpid(), PidfdFlags::empty()).ok(),
            throttle: Throttle::new(LINES, Duration::from_secs(1)),
            refused: 0,
        };
        let stopped = stop.clone();
        let thread = std::thread::Builder::new().name("guard".into()).spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                for new in incoming.try_iter() {
                    // A socket that was closed and opened again has a new monitor.
                    watch.watched.retain(|w| w.endpoint != new.endpoint);
                    watch.watched.push(new);
                }
                if let Err(error) = watch.turn() {
                    // Without answers nobody comes in: that is the safe side.
                    tracing::error!(%error, "the guard of the tcp endpoints failed");
                    std::thread::sleep(TICK);
                }
            }
        })?;
        Ok(Guard { stop, thread: Some(thread), watched, allowed })
    }

    /// Tells also of handshakes that fail inside libzmq.
    pub(crate) fn watch(&self, monitor: Socket, endpoint: &str) {
        let endpoint = endpoint.to_string();
        let watched =
            Watched { monitor: monitor.into(), endpoint, peers: HashMap::new(), failed: false };
        // It lives as long as this.
        let _ = self.watched.send(watched);
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The number of refused peers.
const REFUSED: &str = "ami_refused_peers_total";

/// Events of a socket that are looked at.
pub(crate) const EVENTS: i32 = SocketEvent::ACCEPTED as i32
    | SocketEvent::DISCONNECTED as i32
    | SocketEvent::HANDSHAKE_FAILED_NO_DETAIL as i32
    | SocketEvent::HANDSHAKE_FAILED_PROTOCOL as i32;

struct Watch {
    zap: Inlet,
    allowed: Arc<Allowed>,
    metrics: Metrics,
    watched: Vec<Watched>,
    own: Option<OwnedFd>,
    throttle: Throttle,
    refused: u64,
}

impl Drop for Watch {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // libzmq lets everybody in where nobody answers it: rather no process than an open one.
            tracing::error!("the guard of the tcp endpoints panicked: the process ends");
            std::process::abort();
        }
    }
}

impl Watch {
    fn turn(&mut self) -> Result<(), zmq::Error> {
        let monitors = self.watched.iter().map(|w| &w.monitor);
        let inlets = std::iter::once(&self.zap).chain(monitors);
        socket::wait_for_any(inlets, std::iter::empty(), TICK)?;
        let mut frames = Vec::new();
        // Addresses first: the connection of a refused peer is soon gone.
        let mut watched = std::mem::take(&mut self.watched);
        for each in &mut watched {
            while each.monitor.receive(&mut frames)? {
                if let Some(address) = each.event(&frames, self.own.as_ref()) {
                    let reason = "no CURVE handshake: no key, or not this system's server key";
                    self.refuse(&each.endpoint, &address, "none shown", reason);
                }
            }
        }
        self.watched = watched;
        while self.zap.receive(&mut frames)? {
            let answer = self.answer(&frames);
            socket::send(self.zap.socket(), answer)?;
        }
        Ok(())
    }

    /// `version, request, domain, address, identity, mechanism, credentials` → `version, request,
    /// status, text, user, metadata`.
    fn answer(&mut self, frames: &[Message]) -> Vec<Vec<u8>> {
        let reply = |status: &str, text: &str, user: &str| {
            let request = frames.get(1).map_or(Vec::new(), |f| f.to_vec());
            let fields = [status, text, user, ""].map(|f| f.as_bytes().to_vec());
            [vec![b"1.0".to_vec(), request], fields.to_vec()].concat()
        };
        let [_, _, domain, address, _, mechanism, credentials @ ..] = frames else {
            return reply("500", "no ZAP request", "");
        };
        let text = |f: &Message| String::from_utf8_lossy(f).into_owned();
        let (domain, address) = (text(domain), text(address));
        let key = match credentials {
            [key] if &mechanism[..] == b"CURVE" => zmq::z85_encode(key).unwrap_or_default(),
            _ => String::new(),
        };
        let (endpoint, need) = parse_domain(&domain);
        match self.allowed.find(&key) {
            Some(peer) if peer.role.permits(need) => return reply("200", "OK", &key),
            Some(peer) => {
                let reason = format!("its role is {}, {} is needed", peer.role.name(), need.name());
                let who = format!("{key} ({})", peer.name.unwrap_or_default());
                self.refuse(endpoint, &address, &who, &reason);
            }
            None => self.refuse(endpoint, &address, &key, "its key is not allowed"),
        }
        reply("400", "refused", "")
    }

    fn refuse(&mut self, endpoint: &str, address: &str, key: &str, reason: &str) {
        self.refused += 1;
        self.metrics.set(REFUSED, self.refused as f64);
        if let Some(unsaid) = self.throttle.pass(Instant::now()) {
            let total = self.refused;
            tracing::warn!(address, key, endpoint, reason, total, unsaid, "peer refused");
        }
    }
}

impl Watched {
    /// The address of a peer whose handshake failed, once its connection is closed.
    fn event(&mut self, frames: &[Message], own: Option<&OwnedFd>) -> Option<String> {
        let (event, value) = frames.first()?.split_first_chunk::<2>()?;
        let event = i32::from(u16::from_ne_bytes(*event));
        let value = u32::from_ne_bytes(value.try_into().ok()?);
        if event == SocketEvent::ACCEPTED as i32 {
            if let Some(address) = own.and_then(|own| address_of(own, value))
                && self.peers.len() < MOST
            {
                self.peers.insert(value, address);
            }
        } else if event == SocketEvent::DISCONNECTED as i32 {
            let address = self.peers.remove(&value);
            if std::mem::take(&mut self.failed) {
                let gone = || "unknown (it was gone at once)".to_string();
                return Some(address.unwrap_or_else(gone));
            }
        } else {
            self.failed = true;
        }
        None
    }
}

/// Who is at the other end of a connection of this process. libzmq tells only the descriptor, which
/// may be closed by now.
fn address_of(own: &OwnedFd, descriptor: u32) -> Option<String> {
    let descriptor = i32::try_from(descriptor).ok()?;
    let copy = pidfd_getfd(own, descriptor, PidfdGetfdFlags::empty()).ok()?;
    let peer = rustix::net::getpeername(&copy).ok()??;
    let peer = std::net::SocketAddr::try_from(peer).ok()?;
    Some(peer.to_string())
}

/// The ZAP domain of an endpoint says what it needs.
pub(crate) fn domain(endpoint: &str, need: Role) -> String {
    format!("{} {endpoint}", need.name())
}

fn parse_domain(domain: &str) -> (&str, Role) {
    let (need, endpoint) = domain.split_once(' ').unwrap_or(("", domain));
    (endpoint, Role::parse(need).unwrap_or(Role::Daemon))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn domains_carry_the_need() {
        assert_eq!(parse_domain(&domain("tcp://*:1", Role::View)), ("tcp://*:1", Role::View));
        assert_eq!(parse_domain("nonsense"), ("nonsense", Role::Daemon));
    }
}
