//! A socket to programs that are not ours: detectors, bridges of facilities, scripts. It is watched:
//! who comes and who goes is known, since a source has to say whether its peer is gone or silent.

use crate::socket::{SocketError, make_foreign};
use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use zmq::{DONTWAIT, Message, PollEvents, PollItem, SNDMORE, Socket, SocketEvent, SocketType};

/// Who opens the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// This process: the others have addresses.
    Connect,
    /// The others: this process has one.
    Bind,
}

/// What may wait and how large it may be.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Messages of one peer that wait here; beyond, they wait with the peer.
    pub waiting: i32,
    /// Messages to one peer that wait here; beyond, they are not taken, or dropped where all get them.
    pub sending: i32,
    /// Largest frame, bytes: who sends a larger one is disconnected.
    pub frame: i64,
}

/// Frames of one message that are kept; who sends more sends nothing of use.
const MOST_FRAMES: usize = 1 << 16;

/// What a look at a socket found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Received {
    /// A message.
    Message,
    /// A message of more frames or bytes than are taken; it is gone.
    TooLarge,
    /// Nothing is there.
    Nothing,
}

/// Peers that came and went since the last look.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Changes {
    /// Connections that came about.
    pub came: u64,
    /// Connections that ended.
    pub went: u64,
}

/// See the module's documentation.
pub struct Foreign {
    // Before the context, which waits for its sockets.
    monitor: Socket,
    socket: Socket,
    /// Descriptors of the connections there are.
    peers: HashSet<u32>,
    frame: i64,
}

impl std::fmt::Debug for Foreign {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Foreign({} peers)", self.peers.len())
    }
}

impl Foreign {
    /// Opens a socket at these addresses; one that subscribes, to topics that begin so. Peers may come
    /// later and go: they are found again.
    ///
    /// # Errors
    /// When an address is senseless, or in use.
    pub fn open(
        kind: SocketType,
        (side, addresses): (Side, &[String]),
        topic: &str,
        bounds: Bounds,
        what: &'static str,
    ) -> Result<Foreign, SocketError> {
        let all = addresses.join(",");
        let verb = if side == Side::Bind { "bind" } else { "connect" };
        let failed = |address: &str, source| match source {
            zmq::Error::EADDRINUSE => SocketError::InUse { address: address.into(), what },
            source => SocketError::Failed { verb, address: address.into(), what, source },
        };
        static MONITORS: AtomicU64 = AtomicU64::new(0);
        let name = format!("inproc://foreign-{}", MONITORS.fetch_add(1, Ordering::Relaxed));
        let context = zmq::Context::new();
        let (socket, monitor) =
            make_foreign(&context, kind, bounds, &name).map_err(|e| failed(&all, e))?;
        if kind == zmq::SUB {
            socket.set_subscribe(topic.as_bytes()).map_err(|e| failed(&all, e))?;
        }
        for address in addresses {
            let done = match side {
                Side::Bind => socket.bind(address),
                Side::Connect => socket.connect(address),
            };
            done.map_err(|e| failed(address, e))?;
        }
        Ok(Foreign { monitor, socket, peers: HashSet::new(), frame: bounds.frame })
    }

    /// Receives one message into `frames` if one is there, without copying.
    ///
    /// # Errors
    /// Those of ZeroMQ other than "nothing there".
    pub fn receive(&self, frames: &mut Vec<Message>) -> Result<Received, zmq::Error> {
        frames.clear();
        let (mut more, mut bytes, mut begun, mut whole) = (true, 0, false, true);
        while more {
            let mut message = Message::new();
            match self.socket.recv(&mut message, DONTWAIT) {
                Ok(()) => {
                    begun = true;
                    more = message.get_more();
                    bytes += message.len() as u64;
                    // All frames of a message together are as large as one may be.
                    whole &= frames.len() < MOST_FRAMES && bytes <= self.frame.unsigned_abs();
                    match whole {
                        true => frames.push(message),
                        false => frames.clear(),
                    }
                }
                Err(zmq::Error::EAGAIN | zmq::Error::EINTR) if !begun => {
                    return Ok(Received::Nothing);
                }
                Err(zmq::Error::EINTR) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(if whole { Received::Message } else { Received::TooLarge })
    }

    /// Sends one message without waiting; false when nobody takes it now.
    ///
    /// # Errors
    /// Those of ZeroMQ other than "nobody takes it": also that a peer which was named is gone.
    pub fn send(&self, frames: Vec<Message>) -> Result<bool, zmq::Error> {
        let last = frames.len().saturating_sub(1);
        for (at, frame) in frames.into_iter().enumerate() {
            let more = if at < last { SNDMORE } else { 0 };
            match self.socket.send(frame, more | DONTWAIT) {
                Ok(()) => {}
                Err(zmq::Error::EAGAIN) => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    /// Who came and went since the last look.
    ///
    /// # Errors
    /// Those of ZeroMQ.
    pub fn changes(&mut self) -> Result<Changes, zmq::Error> {
        const CAME: [i32; 2] = [SocketEvent::CONNECTED as i32, SocketEvent::ACCEPTED as i32];
        let mut changes = Changes::default();
        loop {
            let event = match self.monitor.recv_multipart(DONTWAIT) {
                Ok(frames) => frames,
                Err(zmq::Error::EAGAIN | zmq::Error::EINTR) => return Ok(changes),
                Err(error) => return Err(error),
            };
            let Some((kind, value)) = event.first().and_then(|f| f.split_first_chunk::<2>()) else {
                continue;
            };
            let Some(value) = value.first_chunk::<4>().map(|v| u32::from_ne_bytes(*v)) else {
                continue;
            };
            if CAME.contains(&i32::from(u16::from_ne_bytes(*kind))) {
                changes.came += 1;
                self.peers.insert(value);
            } else if self.peers.remove(&value) {
                changes.went += 1;
            }
        }
    }

    /// Connections there are, as the last look found them.
    pub fn peers(&self) -> usize {
        self.peers.len()
    }

    /// Becomes readable when something may have come; what was there before must have been received.
    ///
    /// # Errors
    /// Those of ZeroMQ.
    pub fn descriptor(&self) -> Result<std::os::fd::RawFd, zmq::Error> {
        self.socket.get_fd()
    }

    /// For a poll: the monitor, then the socket.
    pub fn items(&self) -> [PollItem<'_>; 2] {
        [&self.monitor, &self.socket].map(|s| s.as_poll_item(PollEvents::POLLIN))
    }
}
