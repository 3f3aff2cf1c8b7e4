//! karabo-bridge, the protocol by which European XFEL's programs take data (EXtra-foam, notebooks): each
//! heartbeat of a graph is a train.

mod clients;
mod train;

pub use train::{source, train};

use crate::heartbeats::Heartbeat;
use ami_proto::socket::SocketError;
use ami_proto::socket::foreign::{Bounds, Foreign, Received, Side};
use anyhow::bail;
use clients::{Clients, Given};
use std::os::fd::RawFd;
use zmq::Message;

/// Requests that wait; a client has one.
const WAITING: i32 = 1024;
/// Trains that wait for one client that does not read: as karabo-bridge has it.
const SENDING: i32 = 1;
/// Largest frame of a request.
const REQUEST: i64 = 1024;

/// How trains are given out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pattern {
    /// To each who asks, the oldest of the newest trains that it has not had.
    Rep,
    /// To all who are there.
    Pub,
    /// To one of those who are there, in turn.
    Push,
}

impl Pattern {
    /// From the configuration.
    ///
    /// # Errors
    /// Says which there are.
    pub fn read(name: &str) -> anyhow::Result<Pattern> {
        Ok(match name {
            "rep" => Pattern::Rep,
            "pub" => Pattern::Pub,
            "push" => Pattern::Push,
            other => {
                bail!("gateway.karabo_pattern = {other:?} is not one of \"rep\", \"pub\", \"push\"")
            }
        })
    }

    fn socket(self) -> zmq::SocketType {
        match self {
            // Answers in any order: a client that waits for a train keeps no other one waiting.
            Pattern::Rep => zmq::ROUTER,
            Pattern::Pub => zmq::PUB,
            Pattern::Push => zmq::PUSH,
        }
    }
}

/// What was counted since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Trains made.
    pub trains: u64,
    /// Trains handed to a client, or to all of them at once.
    pub sent: u64,
    /// Trains that nobody took.
    pub unsent: u64,
    /// Requests.
    pub requests: u64,
    /// Requests that are none.
    pub bad_requests: u64,
}

/// Serves trains at an address.
#[derive(Debug)]
pub struct Karabo {
    pattern: Pattern,
    socket: Foreign,
    clients: Clients,
    frames: Vec<Message>,
    /// See [`Counts`].
    pub counts: Counts,
}

impl Karabo {
    /// Binds.
    ///
    /// # Errors
    /// When the address is senseless, or in use.
    pub fn bind(address: &str, pattern: Pattern) -> Result<Karabo, SocketError> {
        let bounds = Bounds { waiting: WAITING, sending: SENDING, frame: REQUEST };
        let addresses = [address.to_owned()];
        let at = (Side::Bind, &addresses[..]);
        let socket = Foreign::open(pattern.socket(), at, "", bounds, "karabo-bridge")?;
        let (clients, frames, counts) = (Clients::default(), Vec::new(), Counts::default());
        Ok(Karabo { pattern, socket, clients, frames, counts })
    }

    /// Becomes readable when there may be requests.
    ///
    /// # Errors
    /// Those of ZeroMQ.
    pub fn wakes(&self) -> Result<RawFd, zmq::Error> {
        self.socket.descriptor()
    }

    /// A heartbeat is a new train.
    ///
    /// # Errors
    /// Those of ZeroMQ.
    pub fn publish(&mut self, heartbeat: &Heartbeat) -> Result<(), zmq::Error> {
        self.counts.trains += 1;
        let frames = train(heartbeat);
        if self.pattern == Pattern::Rep {
            let given = self.clients.train(&heartbeat.graph, frames);
            return self.answer(given);
        }
        match self.socket.send(frames.into_iter().map(Message::from).collect())? {
            true => self.counts.sent += 1,
            false => self.counts.unsent += 1,
        }
        Ok(())
    }

    /// Answers requests that are there, and looks who came and went.
    ///
    /// # Errors
    /// Those of ZeroMQ.
    pub fn serve(&mut self) -> Result<(), zmq::Error> {
        self.socket.changes()?;
        if self.pattern != Pattern::Rep {
            return Ok(());
        }
        let mut frames = std::mem::take(&mut self.frames);
        // An edge of the descriptor may be lost in sending: so until there is nothing.
        loop {
            match self.socket.receive(&mut frames)? {
                Received::Message => self.request(&frames)?,
                Received::TooLarge => self.counts.bad_requests += 1,
                Received::Nothing => break,
            }
        }
        self.frames = frames;
        Ok(())
    }

    /// `[identity, "", "next"]`.
    fn request(&mut self, frames: &[Message]) -> Result<(), zmq::Error> {
        self.counts.requests += 1;
        let Some((identity, rest)) = frames.split_first() else { return Ok(()) };
        let given = match rest {
            [empty, next] if empty.is_empty() && &next[..] == b"next" => {
                self.clients.next(identity)
            }
            _ => {
                self.counts.bad_requests += 1;
                let told = b"Error: bad request, \"next\" is one".to_vec();
                vec![Given { identity: identity.to_vec(), frames: vec![told].into() }]
            }
        };
        self.answer(given)
    }

    fn answer(&mut self, given: Vec<Given>) -> Result<(), zmq::Error> {
        for Given { identity, frames } in given {
            let head = [Message::from(identity), Message::new()];
            let message = head.into_iter().chain(frames.iter().map(|f| Message::from(&f[..])));
            match self.socket.send(message.collect()) {
                Ok(true) => self.counts.sent += 1,
                // Who asked is gone, or does not read.
                Ok(false) | Err(zmq::Error::EHOSTUNREACH) => self.counts.unsent += 1,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Clients that are connected.
    pub fn peers(&self) -> usize {
        self.socket.peers()
    }
}
