//! Where sockets are made, and what secures their tcp endpoints.

use crate::config::Config;
use crate::health::metrics::Metrics;
use crate::security::credentials::{Peer, Security, is_open};
use crate::security::keys::{KeyError, Role};
use crate::socket::endpoint::ENDPOINTS;
use crate::socket::guard::{self, Guard};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use zmq::{Message, Socket, SocketType};

/// Where sockets are made: ZeroMQ's context, and what secures its tcp endpoints. Keep it as long as
/// its sockets: a daemon's lives in [`Daemon`](crate::process::daemon::Daemon).
#[derive(Clone)]
pub struct Context {
    inner: Arc<Inner>,
}

struct Inner {
    // Ends before the context, which waits for its sockets.
    guard: Mutex<Option<Guard>>,
    zmq: zmq::Context,
    config: crate::config::Security,
    security: OnceLock<Result<Option<Security>, KeyError>>,
    /// What a peer needs to be let in, by tcp endpoint.
    needs: Vec<(String, Role)>,
    /// Largest frame that is received, bytes.
    largest: i64,
    metrics: Metrics,
}

impl std::fmt::Debug for Context {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Context(security {})", self.inner.config.mode)
    }
}

/// What a frame may have beyond the states of a member: a header, and files of a graph as text.
const BESIDE_STATES: i64 = 128 << 20;

impl Context {
    /// For the sockets of a process; refused peers are counted in the metrics. Nothing is read yet.
    pub fn new(config: &Config, metrics: Metrics) -> Context {
        let needs = ENDPOINTS.iter().map(|e| (e.0.bind(config), e.0.need())).collect();
        let states = i64::try_from(config.manager.state_bytes).unwrap_or(i64::MAX);
        let inner = Inner {
            guard: Mutex::default(),
            zmq: zmq::Context::new(),
            config: config.security.clone(),
            security: OnceLock::new(),
            needs,
            largest: states.saturating_add(BESIDE_STATES),
            metrics,
        };
        Context { inner: Arc::new(inner) }
    }

    /// For sockets that stay on this machine, without a system.
    pub fn ipc() -> Context {
        let inner = Inner {
            guard: Mutex::default(),
            zmq: zmq::Context::new(),
            config: crate::config::Security {
                mode: "off".into(),
                key: PathBuf::new(),
                server_key: PathBuf::new(),
                allowed: PathBuf::new(),
            },
            security: OnceLock::new(),
            needs: Vec::new(),
            largest: i64::MAX,
            metrics: Metrics::default(),
        };
        Context { inner: Arc::new(inner) }
    }

    /// The keys in use; None where security is off.
    ///
    /// # Errors
    /// When they cannot be read, are open to others, or libzmq has no CURVE.
    pub fn security(&self) -> Result<Option<&Security>, KeyError> {
        let loaded = self.inner.security.get_or_init(|| Security::load(&self.inner.config));
        loaded.as_ref().map(Option::as_ref).map_err(Clone::clone)
    }

    /// Who sent a message: the peer whose key opened the connection, if that is still allowed.
    /// Everybody on a socket that asks for no key may do all.
    pub fn peer(&self, frame: &mut Message) -> Option<Peer> {
        // Only the guard gives a connection a user.
        let Some(key) = frame.gets("User-Id") else { return Some(Peer::LOCAL) };
        let guard = self.inner.guard.lock().unwrap_or_else(PoisonError::into_inner);
        guard.as_ref()?.allowed.find(key)
    }

    pub(super) fn zmq(&self) -> &zmq::Context {
        &self.inner.zmq
    }

    /// Largest frame that its sockets receive, bytes.
    pub(super) fn largest(&self) -> i64 {
        self.inner.largest
    }

    pub(super) fn secure_client(&self, socket: &Socket) -> Result<(), Insecure> {
        let Some(security) = self.security()? else { return Ok(()) };
        socket.set_curve_serverkey(&security.server.public_bytes())?;
        socket.set_curve_publickey(&security.own.public_bytes())?;
        Ok(socket.set_curve_secretkey(&security.own.secret_bytes().unwrap_or_default())?)
    }

    pub(super) fn secure_server(&self, socket: &Socket, address: &str) -> Result<(), Insecure> {
        let Some(security) = self.security()? else {
            if is_open(address) {
                tracing::warn!(
                    address,
                    "OPEN TO THE NETWORK WITHOUT KEYS: whoever reaches this port can use it; set \
                     security.mode = \"curve\", or bind ipc or 127.0.0.1"
                );
            }
            return Ok(());
        };
        let need = self.inner.needs.iter().find(|n| n.0 == address).map_or(Role::Daemon, |n| n.1);
        socket.set_curve_server(true)?;
        socket.set_curve_secretkey(&security.own.secret_bytes().unwrap_or_default())?;
        socket.set_zap_domain(&guard::domain(address, need))?;
        let mut guard = self.inner.guard.lock().unwrap_or_else(PoisonError::into_inner);
        let guard = match &mut *guard {
            Some(guard) => guard,
            none => none.insert(self.start_guard(security)?),
        };
        // Unique in the process: what is closed and opened again has another monitor.
        static MONITORS: AtomicU64 = AtomicU64::new(0);
        let name = format!("inproc://monitor-{}", MONITORS.fetch_add(1, Ordering::Relaxed));
        socket.monitor(&name, guard::EVENTS)?;
        let monitor = self.inproc(zmq::PAIR)?;
        monitor.connect(&name)?;
        guard.watch(monitor, address);
        Ok(())
    }

    fn start_guard(&self, security: &Security) -> Result<Guard, Insecure> {
        let allowed = security.allowed()?;
        let zap = self.inproc(zmq::REP)?;
        zap.bind("inproc://zeromq.zap.01")?;
        Guard::start(zap, allowed, self.inner.metrics.clone()).map_err(|e| {
            Insecure::Key(KeyError::Io {
                path: self.inner.config.key.clone(),
                action: "start a thread that checks who comes",
                reason: e.to_string(),
            })
        })
    }

    /// For use within the process: nothing is lost there, nor left behind.
    #[expect(clippy::disallowed_methods, reason = "before there are peers")]
    fn inproc(&self, kind: SocketType) -> Result<Socket, zmq::Error> {
        let socket = self.inner.zmq.socket(kind)?;
        socket.set_rcvhwm(0)?;
        socket.set_sndhwm(0)?;
        socket.set_linger(0)?;
        Ok(socket)
    }
}

/// Why a socket could not be secured.
pub(super) enum Insecure {
    Key(KeyError),
    Zmq(zmq::Error),
}

impl From<KeyError> for Insecure {
    fn from(error: KeyError) -> Insecure {
        Insecure::Key(error)
    }
}

impl From<zmq::Error> for Insecure {
    fn from(error: zmq::Error) -> Insecure {
        Insecure::Zmq(error)
    }
}
