//! Sockets: the only file that makes ZeroMQ sockets, with the options that ami relies on.
//!
//! LINGER is bounded (a last flush is sent, an exit never hangs); high-water marks are off in the
//! data path, where credit and flushes in flight bound what is queued, and small where the newest
//! value is all that counts.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;
use zmq::{Context, Message, SocketType};
pub use zmq::{DONTWAIT, PollEvents, PollItem, SNDMORE, Socket};

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

/// Answers that wait for one client that does not read them.
const WAITING_ANSWERS: i32 = 32;

fn make(context: &Context, kind: SocketType, queue: Queue) -> Result<Socket, zmq::Error> {
    let socket = context.socket(kind)?;
    let hwm = match queue {
        Queue::Protocol | Queue::Lane => 0,
        Queue::Requests(_) => WAITING_ANSWERS,
        Queue::Bounded(n) => n,
    };
    if let Queue::Requests(most) = queue {
        // Larger ones are refused before they are received: the peer is disconnected.
        socket.set_maxmsgsize(most)?;
    }
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
    socket.connect(address).map_err(failed)?;
    Ok(socket)
}

/// Bounds a publisher's queues per subscriber by bytes: ZeroMQ counts messages, so the bound follows
/// the largest message. At least a few heartbeats of small features always fit.
#[derive(Debug, Clone, Copy)]
pub struct ByteBound {
    bytes: usize,
    most: i32,
    set: i32,
}

impl ByteBound {
    /// At most so many bytes and messages per subscriber.
    pub const fn new(bytes: usize, most: i32) -> ByteBound {
        ByteBound { bytes, most, set: most }
    }

    /// A message of this size is about to be sent.
    ///
    /// # Errors
    /// Those of ZeroMQ.
    pub fn sending(&mut self, socket: &Socket, size: usize) -> Result<(), zmq::Error> {
        let fits = i32::try_from(self.bytes / size.max(1)).unwrap_or(i32::MAX);
        let bound = fits.max(64).min(self.most.max(1));
        if bound < self.set {
            // Also holds for subscribers that are there already.
            socket.set_sndhwm(bound)?;
            self.set = bound;
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
