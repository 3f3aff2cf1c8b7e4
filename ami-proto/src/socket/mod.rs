//! Sockets: the only file that makes ZeroMQ sockets, with the options that ami relies on.
//!
//! LINGER is bounded (a last flush is sent, an exit never hangs); high-water marks of senders are off in
//! the data path, where credit and flushes in flight bound what is queued, and small where the newest
//! value is all that counts.

mod broadcast;
mod context;
pub mod delayed;
pub mod endpoint;
pub mod foreign;
mod guard;
mod inlet;

use crate::security::keys::KeyError;
pub use broadcast::Broadcast;
pub use context::Context;
use context::Insecure;
pub use inlet::{Inlet, wait, wait_for_any};
pub use zmq::{DONTWAIT, SNDMORE, Socket};
use zmq::{Message, SocketType};

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
    /// Requests of strangers: messages of at most so many bytes, and few answers that wait; beyond,
    /// answers are dropped.
    Requests(i64),
    /// As `Requests`, for answers that may be large: one waits for a client; beyond, "queue full" is said.
    Queries(i64),
    /// So many messages; beyond, they are dropped or refused: status and results.
    Bounded(i32),
}

/// Longest subscription, bytes: a topic, and what encryption adds.
const LARGEST_TOPIC: i64 = 1024 + 256;
/// Subscriptions of one peer that wait; beyond, the peer waits. Few: libzmq takes all that wait at once,
/// and what comes meanwhile, before one of them is seen here. With 1000 a flood never let it end.
const WAITING_TOPICS: i32 = 4;
/// Messages of one peer of the data path that wait here; beyond, they wait with the peer, where the protocol
/// bounds them. So a stranger's flood does not fill this process.
const WAITING_MESSAGES: i32 = 1000;
/// Requests of a client that wait for their turn, and small answers that wait for one that does not read.
const WAITING_ANSWERS: i32 = 32;

/// A socket with its options. What waits is bounded here, before there are peers, and never again: libzmq 4.3
/// passes a changed bound on to the other end of every connection, also where that is gone by now, and
/// dies of it.
#[expect(clippy::disallowed_methods, reason = "here, and nowhere else")]
fn make(context: &Context, kind: SocketType, queue: Queue) -> Result<Socket, zmq::Error> {
    let socket = context.zmq().socket(kind)?;
    let hwm = match queue {
        Queue::Protocol | Queue::Lane => 0,
        Queue::Requests(_) | Queue::Queries(_) => WAITING_ANSWERS,
        Queue::Bounded(n) => n,
    };
    let largest = match (queue, kind) {
        (Queue::Requests(most) | Queue::Queries(most), _) => most,
        // Subscriptions and acknowledgements.
        (_, zmq::XPUB) => LARGEST_TOPIC,
        _ => context.largest(),
    };
    // Larger frames are refused before they are received: the peer is disconnected.
    socket.set_maxmsgsize(largest)?;
    let answers = matches!(queue, Queue::Queries(_));
    socket.set_sndhwm(if answers { 1 } else { hwm })?;
    if answers {
        socket.set_router_mandatory(true)?;
    }
    socket.set_rcvhwm(match kind {
        zmq::XPUB => WAITING_TOPICS,
        zmq::PULL if hwm == 0 => WAITING_MESSAGES,
        _ => hwm,
    })?;
    // Never 0: libzmq 4.3.4 aborts when a connection breaks just as such a socket is closed, with a
    // message of several frames half on its way (session_base.cpp, clean_pipes).
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
) -> Result<Inlet, SocketError> {
    let failed =
        |source| SocketError::Failed { verb: "make", address: address.into(), what, source };
    let socket = make(context, kind, queue).map_err(failed)?;
    bind_made(context, &socket, address, what)?;
    Ok(socket.into())
}

/// A socket to programs that are not ours, and its monitor. No keys: these protocols have none.
#[expect(clippy::disallowed_methods, reason = "before there are peers")]
fn make_foreign(
    context: &zmq::Context,
    kind: SocketType,
    bounds: foreign::Bounds,
    monitor: &str,
) -> Result<(Socket, Socket), zmq::Error> {
    use zmq::SocketEvent as E;
    let socket = context.socket(kind)?;
    socket.set_maxmsgsize(bounds.frame)?;
    socket.set_rcvhwm(bounds.waiting)?;
    socket.set_sndhwm(bounds.sending)?;
    socket.set_linger(500)?;
    socket.set_reconnect_ivl(100)?;
    socket.set_reconnect_ivl_max(1000)?;
    // A host that is switched off says nothing; a program that is only frozen still answers this.
    socket.set_tcp_keepalive(1)?;
    socket.set_tcp_keepalive_idle(5)?;
    socket.set_tcp_keepalive_intvl(2)?;
    socket.set_tcp_keepalive_cnt(3)?;
    if matches!(kind, zmq::DEALER | zmq::REQ | zmq::PUSH) {
        // What is asked is asked of a peer that is there.
        socket.set_immediate(true)?;
    }
    if kind == zmq::ROUTER {
        // An answer to one who is gone is no answer.
        socket.set_router_mandatory(true)?;
    }
    let events = [E::CONNECTED, E::ACCEPTED, E::DISCONNECTED, E::CLOSED];
    socket.monitor(monitor, events.iter().fold(0, |all, e| all | *e as i32))?;
    let watching = context.socket(zmq::PAIR)?;
    watching.set_linger(0)?;
    watching.connect(monitor)?;
    Ok((socket, watching))
}

fn bind_made(
    context: &Context,
    socket: &Socket,
    address: &str,
    what: &'static str,
) -> Result<(), SocketError> {
    let failed = |source| match source {
        zmq::Error::EADDRINUSE => SocketError::InUse { address: address.into(), what },
        source => SocketError::Failed { verb: "bind", address: address.into(), what, source },
    };
    if address.starts_with("tcp://") {
        context.secure_server(socket, address).map_err(insecure(address, what, &failed))?;
    }
    socket.bind(address).map_err(failed)
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

/// Smaller frames are copied: to have libzmq's thread give memory back costs more.
const SMALL: usize = 2048;

/// What can be sent as a frame.
pub trait Frame {
    /// The frame; large ones are given away without a copy.
    fn into_message(self) -> Message;
}

impl Frame for Message {
    fn into_message(self) -> Message {
        self
    }
}

impl Frame for &[u8] {
    fn into_message(self) -> Message {
        self.into()
    }
}

impl Frame for &str {
    fn into_message(self) -> Message {
        self.into()
    }
}

impl Frame for Vec<u8> {
    fn into_message(self) -> Message {
        if self.len() < SMALL { self.as_slice().into() } else { self.into() }
    }
}

/// Sends one multipart message without waiting; false when the queue is full (nothing was sent).
///
/// # Errors
/// Those of ZeroMQ other than "queue full".
pub fn send<I>(socket: &Socket, frames: I) -> Result<bool, zmq::Error>
where
    I: IntoIterator,
    I::Item: Frame,
{
    let mut frames = frames.into_iter().peekable();
    while let Some(frame) = frames.next() {
        let more = if frames.peek().is_some() { SNDMORE } else { 0 };
        match socket.send(frame.into_message(), more | DONTWAIT) {
            Ok(()) => {}
            Err(zmq::Error::EAGAIN) => return Ok(false),
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}
