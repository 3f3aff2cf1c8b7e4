//! Sockets: the only file that makes ZeroMQ sockets, with the options that ami relies on.
//!
//! LINGER is bounded (a last flush is sent, an exit never hangs); high-water marks are off in the
//! data path, where credit and flushes in flight bound what is queued, and small where the newest
//! value is all that counts.

use crate::config::Config;
use crate::endpoint::ENDPOINTS;
use crate::guard::{self, Guard};
use crate::keys::{KeyError, Role};
use crate::metrics::Metrics;
use crate::security::{Peer, Security, is_open};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;
pub use zmq::{DONTWAIT, PollEvents, PollItem, SNDMORE, Socket};
use zmq::{Message, SocketType};

/// Where sockets are made: ZeroMQ's context, and what secures its tcp endpoints. Keep it as long as
/// its sockets: a daemon's lives in [`Daemon`](crate::daemon::Daemon).
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

    fn secure_client(&self, socket: &Socket) -> Result<(), Insecure> {
        let Some(security) = self.security()? else { return Ok(()) };
        socket.set_curve_serverkey(&security.server.public_bytes())?;
        socket.set_curve_publickey(&security.own.public_bytes())?;
        Ok(socket.set_curve_secretkey(&security.own.secret_bytes().unwrap_or_default())?)
    }

    fn secure_server(&self, socket: &Socket, address: &str) -> Result<(), Insecure> {
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
        // Unique in the process: sockets may be bound again elsewhere.
        let name = format!("inproc://monitor-{}", address.replace("://", "-"));
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
    fn inproc(&self, kind: SocketType) -> Result<Socket, zmq::Error> {
        let socket = self.inner.zmq.socket(kind)?;
        socket.set_rcvhwm(0)?;
        socket.set_sndhwm(0)?;
        socket.set_linger(0)?;
        Ok(socket)
    }
}

/// Why a socket could not be secured.
enum Insecure {
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

/// A socket that could not be made.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// Somebody has it already.
    #[error(
        "{address} is in use: is another {what} running? Stop it, or configure another address"
    )]
    InUse {
        /// The endpoint.
        address: String,
        /// What it is for.
        what: &'static str,
    },
    /// Its keys cannot be used.
    #[error("cannot secure {address} ({what}): {source}")]
    Insecure {
        /// The endpoint.
        address: String,
        /// What it is for.
        what: &'static str,
        /// What is wrong.
        source: KeyError,
    },
    /// Anything else.
    #[error("cannot {verb} {address} ({what}): {source}")]
    Failed {
        /// `bind` or `connect`.
        verb: &'static str,
        /// The endpoint.
        address: String,
        /// What it is for.
        what: &'static str,
        /// ZeroMQ's reason.
        source: zmq::Error,
    },
}

/// How a socket's queue behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Queue {
    /// Unbounded here, since the protocol bounds it: the data path. Nothing is queued for a peer
    /// that is not there: the protocol says it again.
    Protocol,
    /// As `Protocol`, but queued also before the peer is reached: a lane's first messages are said
    /// only once.
    Lane,
    /// Requests of strangers: messages of at most so many bytes, and few answers that wait.
    Requests(i64),
    /// So many messages; beyond, they are dropped or refused: status and results.
    Bounded(i32),
}

/// Longest subscription, bytes.
const LARGEST_TOPIC: i64 = 16 << 10;
/// Answers that wait for one client that does not read them.
pub const WAITING_ANSWERS: i32 = 32;

fn make(context: &Context, kind: SocketType, queue: Queue) -> Result<Socket, zmq::Error> {
    let socket = context.inner.zmq.socket(kind)?;
    let hwm = match queue {
        Queue::Protocol | Queue::Lane => 0,
        Queue::Requests(_) => WAITING_ANSWERS,
        Queue::Bounded(n) => n,
    };
    let largest = match (queue, kind) {
        (Queue::Requests(most), _) => most,
        // Subscriptions and acknowledgements.
        (_, zmq::XPUB | zmq::PUB) => LARGEST_TOPIC,
        _ => context.inner.largest,
    };
    // Larger frames are refused before they are received: the peer is disconnected.
    socket.set_maxmsgsize(largest)?;
    socket.set_sndhwm(hwm)?;
    socket.set_rcvhwm(hwm)?;
    socket.set_linger(500)?;
    socket.set_reconnect_ivl(10)?;
    socket.set_reconnect_ivl_max(200)?;
    Ok(socket)
}

/// A bound socket of a kind that only ever has one owner.
///
/// # Errors
/// When the address is in use or senseless.
pub fn bind(
    context: &Context,
    kind: SocketType,
    queue: Queue,
    address: &str,
    what: &'static str,
) -> Result<Socket, SocketError> {
    let failed = |source| match source {
        zmq::Error::EADDRINUSE => SocketError::InUse { address: address.into(), what },
        source => SocketError::Failed { verb: "bind", address: address.into(), what, source },
    };
    let socket = make(context, kind, queue).map_err(failed)?;
    if address.starts_with("tcp://") {
        context.secure_server(&socket, address).map_err(insecure(address, what, &failed))?;
    }
    socket.bind(address).map_err(failed)?;
    Ok(socket)
}

/// A connected socket; the other side may come later.
///
/// # Errors
/// When the address is senseless.
pub fn connect(
    context: &Context,
    kind: SocketType,
    queue: Queue,
    address: &str,
    what: &'static str,
) -> Result<Socket, SocketError> {
    let failed =
        |source| SocketError::Failed { verb: "connect", address: address.into(), what, source };
    let socket = make(context, kind, queue).map_err(failed)?;
    if kind == zmq::PUSH && queue != Queue::Lane {
        socket.set_immediate(true).map_err(failed)?;
    }
    if kind == zmq::SUB {
        socket.set_subscribe(b"").map_err(failed)?;
    }
    if address.starts_with("tcp://") {
        context.secure_client(&socket).map_err(insecure(address, what, &failed))?;
    }
    socket.connect(address).map_err(failed)?;
    Ok(socket)
}

fn insecure(
    address: &str,
    what: &'static str,
    failed: &impl Fn(zmq::Error) -> SocketError,
) -> impl Fn(Insecure) -> SocketError {
    move |error| match error {
        Insecure::Key(source) => SocketError::Insecure { address: address.into(), what, source },
        Insecure::Zmq(error) => failed(error),
    }
}

/// Bounds a socket's queues per peer by bytes: ZeroMQ counts messages, so the bound follows the
/// largest message.
#[derive(Debug, Clone, Copy)]
pub struct ByteBound {
    bytes: usize,
    most: i32,
    least: i32,
    set: i32,
    pressed: bool,
}

impl ByteBound {
    /// At most so many bytes and messages per subscriber; but `least` messages always.
    pub const fn new(bytes: usize, most: i32, least: i32) -> ByteBound {
        ByteBound { bytes, most, least, set: most, pressed: false }
    }

    /// Holds every subscriber to one message, or to what it was.
    ///
    /// # Errors
    /// Those of ZeroMQ.
    pub fn press(&mut self, socket: &Socket, short: bool) -> Result<(), zmq::Error> {
        self.pressed = short;
        socket.set_sndhwm(if short { 1 } else { self.set })
    }

    /// A message of this size is about to be sent.
    ///
    /// # Errors
    /// Those of ZeroMQ.
    pub fn sending(&mut self, socket: &Socket, size: usize) -> Result<(), zmq::Error> {
        let fits = i32::try_from(self.bytes / size.max(1)).unwrap_or(i32::MAX);
        let bound = fits.max(self.least).min(self.most.max(1));
        if bound < self.set {
            // Also holds for subscribers that are there already.
            self.set = bound;
            if !self.pressed {
                socket.set_sndhwm(bound)?;
            }
        }
        Ok(())
    }
}

/// Receives one multipart message into `frames` if one is there, without copying.
///
/// # Errors
/// Those of ZeroMQ other than "nothing there".
pub fn receive(socket: &Socket, frames: &mut Vec<Message>) -> Result<bool, zmq::Error> {
    frames.clear();
    loop {
        let mut message = Message::new();
        match socket.recv(&mut message, DONTWAIT) {
            Ok(()) => frames.push(message),
            Err(zmq::Error::EAGAIN | zmq::Error::EINTR) if frames.is_empty() => return Ok(false),
            Err(zmq::Error::EINTR) => continue,
            Err(error) => return Err(error),
        }
        if !socket.get_rcvmore()? {
            return Ok(true);
        }
    }
}

/// Sends one multipart message without waiting; false when the queue is full (nothing was sent).
///
/// # Errors
/// Those of ZeroMQ other than "queue full".
pub fn send<I>(socket: &Socket, frames: I) -> Result<bool, zmq::Error>
where
    I: IntoIterator,
    I::Item: Into<Message>,
{
    let mut frames = frames.into_iter().peekable();
    while let Some(frame) = frames.next() {
        let more = if frames.peek().is_some() { SNDMORE } else { 0 };
        let message: Message = frame.into();
        match socket.send(message, more | DONTWAIT) {
            Ok(()) => {}
            Err(zmq::Error::EAGAIN) => return Ok(false),
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}

/// Waits until one of the items is ready or the time is over. A signal ends the wait early.
///
/// # Errors
/// Those of ZeroMQ.
pub fn wait(items: &mut [PollItem<'_>], timeout: Duration) -> Result<(), zmq::Error> {
    // Rounded up, so that a wait for a part of a millisecond does not spin.
    let milliseconds = timeout.as_micros().div_ceil(1000) as i64;
    match zmq::poll(items, milliseconds) {
        Ok(_) | Err(zmq::Error::EINTR) => Ok(()),
        Err(error) => Err(error),
    }
}

/// A lock on a role in a run directory, held for the process' life: ZeroMQ itself would silently
/// take an ipc path away from a living process.
#[derive(Debug)]
pub struct RoleLock {
    _file: File,
}

/// The role is taken, or the run directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Somebody holds it.
    #[error("another {role} is running in {dir}: stop it, or use another instance.run_dir")]
    Taken {
        /// The role.
        role: String,
        /// The run directory.
        dir: PathBuf,
    },
    /// The directory cannot be made or written.
    #[error("run directory {dir}: {source}: create it for this user, or set instance.run_dir")]
    Directory {
        /// The run directory.
        dir: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

impl RoleLock {
    /// Takes the role, creating the run directory (mode 0700) if it is not there.
    ///
    /// # Errors
    /// When the role is taken or the directory cannot be used.
    pub fn take(dir: &Path, role: &str) -> Result<RoleLock, LockError> {
        use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
        let failed = |source| LockError::Directory { dir: dir.into(), source };
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(failed)?;
        let file = std::fs::OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(dir.join(format!("{role}.lock")))
            .map_err(failed)?;
        match file.try_lock() {
            Ok(()) => Ok(RoleLock { _file: file }),
            Err(std::fs::TryLockError::WouldBlock) => {
                Err(LockError::Taken { role: role.into(), dir: dir.into() })
            }
            Err(std::fs::TryLockError::Error(source)) => Err(failed(source)),
        }
    }
}
