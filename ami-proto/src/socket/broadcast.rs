//! A socket that publishes to whoever subscribes, without letting strangers fill this process.
//!
//! libzmq keeps every subscription of every peer, about 40 bytes of memory for each byte of a topic,
//! and has no limit. So different topics are counted here. When they are more than any client needs,
//! the socket is closed with all that it keeps, and opened again a little later: honest peers come
//! back by themselves and miss what was said meanwhile, as they do when they are slow.

use crate::health::throttle::Throttle;
use crate::socket::{Context, Frame, Inlet, Queue, SocketError, bind_made, make, send};
use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::{Duration, Instant};
use zmq::Message;

/// Bytes of all different topics that were subscribed to since the socket was opened; the peers of
/// one system ask for far less, again and again.
const TOPIC_BYTES: usize = 512 << 10;
/// What a topic counts beside its letters.
const PER_TOPIC: usize = 16;
/// Messages that are taken one after the other without a pause: not even all clients that come back
/// to a store at once have so many.
const AT_ONCE: usize = 200_000;
/// Until what the old socket held is free: longer than sockets linger.
const PAUSE: Duration = Duration::from_millis(600);

/// What peers have subscribed to since the socket was opened.
#[derive(Debug, Default)]
struct Heard {
    topics: HashSet<u64>,
    bytes: usize,
    /// Messages since there was none.
    run: usize,
}

impl Heard {
    /// A message came; false when these are too many.
    fn bears(&mut self, frame: &[u8]) -> bool {
        self.run += 1;
        if let [1, topic @ ..] = frame {
            let mut hasher = DefaultHasher::new();
            topic.hash(&mut hasher);
            if self.topics.insert(hasher.finish()) {
                self.bytes += topic.len() + PER_TOPIC;
            }
        }
        self.bytes <= TOPIC_BYTES && self.run <= AT_ONCE
    }
}

/// See the module's documentation.
pub struct Broadcast {
    context: Context,
    queue: Queue,
    address: String,
    what: &'static str,
    socket: Inlet,
    heard: Heard,
    /// When it is to be bound again; None while it is.
    opens: Option<Instant>,
    throttle: Throttle,
}

impl std::fmt::Debug for Broadcast {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Broadcast({})", self.address)
    }
}

impl Broadcast {
    /// A bound XPUB socket that tells of every subscription.
    ///
    /// # Errors
    /// When the address is in use or senseless.
    pub fn bind(
        context: &Context,
        queue: Queue,
        address: &str,
        what: &'static str,
    ) -> Result<Broadcast, SocketError> {
        let socket = unbound(context, queue).map_err(|source| SocketError::Failed {
            verb: "make",
            address: address.into(),
            what,
            source,
        })?;
        bind_made(context, socket.socket(), address, what)?;
        Ok(Broadcast {
            context: context.clone(),
            queue,
            address: address.into(),
            what,
            socket,
            heard: Heard::default(),
            opens: None,
            throttle: Throttle::new(5, Duration::from_secs(10)),
        })
    }

    /// To wait for. Another one after a [`receive`](Self::receive) or a [`limit`](Self::limit).
    pub fn inlet(&self) -> &Inlet {
        &self.socket
    }

    /// As [`send`](super::send).
    ///
    /// # Errors
    /// Those of ZeroMQ other than "queue full".
    pub fn send<I>(&self, frames: I) -> Result<bool, zmq::Error>
    where
        I: IntoIterator,
        I::Item: Frame,
    {
        send(self.socket.socket(), frames)
    }

    /// As [`Inlet::receive`]: what peers say, to be called each turn until there is nothing.
    ///
    /// # Errors
    /// Those of ZeroMQ.
    pub fn receive(&mut self, frames: &mut Vec<Message>) -> Result<bool, zmq::Error> {
        self.open();
        let there = self.socket.receive(frames)?;
        match frames.first() {
            Some(frame) if !self.heard.bears(frame) => {
                self.tell();
                self.close()?;
                frames.clear();
                return Ok(false);
            }
            Some(_) => {}
            None => self.heard.run = 0,
        }
        Ok(there)
    }

    /// From now on so many messages at most wait for each peer. The bound of a socket with peers cannot be
    /// changed: it is closed, with what waits for them, and they come back by themselves.
    ///
    /// # Errors
    /// Those of ZeroMQ.
    pub fn limit(&mut self, messages: i32) -> Result<(), zmq::Error> {
        self.queue = Queue::Bounded(messages);
        self.close()
    }

    /// Says why all peers are disconnected.
    fn tell(&mut self) {
        if let Some(unsaid) = self.throttle.pass(Instant::now()) {
            let (address, what, topics) = (&self.address, self.what, self.heard.topics.len());
            tracing::warn!(
                address,
                topics,
                unsaid,
                "peers subscribe to more than there can be ({what}): all are disconnected and may come again"
            );
        }
    }

    /// Takes the address and all peers away.
    fn close(&mut self) -> Result<(), zmq::Error> {
        if self.opens.is_some() {
            // Not open again yet: only what it will be is new.
            self.socket = unbound(&self.context, self.queue)?;
            return Ok(());
        }
        let old = self.socket.socket();
        let bound = old.get_last_endpoint()?.unwrap_or_default();
        old.unbind(&bound)?;
        self.socket = unbound(&self.context, self.queue)?;
        self.heard = Heard::default();
        self.opens = Some(Instant::now() + PAUSE);
        Ok(())
    }

    /// Opens again, if it is closed, once the old socket is gone.
    fn open(&mut self) {
        if self.opens.is_none_or(|at| Instant::now() < at) {
            return;
        }
        match bind_made(&self.context, self.socket.socket(), &self.address, self.what) {
            Ok(()) => self.opens = None,
            Err(error) => {
                self.opens = Some(Instant::now() + PAUSE);
                tracing::error!(%error, "trying again");
            }
        }
    }
}

fn unbound(context: &Context, queue: Queue) -> Result<Inlet, zmq::Error> {
    let socket = make(context, zmq::XPUB, queue)?;
    // Every subscription is seen, also the second one of a topic.
    socket.set_xpub_verbose(true)?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use super::super::wait;
    use super::*;

    #[test]
    fn what_a_system_subscribes_to_is_borne_for_ever_and_a_flood_is_not() {
        let mut heard = Heard::default();
        for n in 0..3_000_000u64 {
            heard.run = 0;
            assert!(heard.bears(format!("\x01graph/node-{}", n % 10_000).as_bytes()));
            assert!(heard.bears(&[2, 0, 0]), "no subscription");
        }
        let mut flood = (0..).map(|n: u64| heard.bears(format!("\x01{n}").as_bytes()));
        assert!(flood.by_ref().take(100_000).any(|bears| !bears));
        let mut heard = Heard::default();
        assert!((0..=AT_ONCE).any(|_| !heard.bears(b"\x02")), "not one turn for ever");
    }

    #[test]
    fn it_comes_back_without_what_strangers_left() {
        let dir = tempfile::tempdir().unwrap();
        let address = format!("ipc://{}/pub", dir.path().display());
        let context = Context::ipc();
        let mut broadcast =
            Broadcast::bind(&context, Queue::Bounded(10), &address, "test").unwrap();
        let honest = super::super::connect(&context, zmq::SUB, Queue::Bounded(10), &address, "t");
        let (honest, stranger) =
            (Inlet::from(honest.unwrap()), zmq::Context::new().socket(zmq::XSUB).unwrap());
        stranger.set_linger(0).unwrap();
        stranger.connect(&address).unwrap();
        let mut frames = Vec::new();
        let mut sent = 0u64;
        let deadline = Instant::now() + Duration::from_secs(60);
        while broadcast.opens.is_none() && Instant::now() < deadline {
            sent += 1;
            let _ = stranger.send(format!("\x01{sent:0>1000}").as_str(), zmq::DONTWAIT);
            wait([broadcast.inlet()], Duration::ZERO).unwrap();
            while broadcast.receive(&mut frames).unwrap() {}
        }
        assert!(sent > 100 && broadcast.opens.is_some(), "{sent}");
        stranger.disconnect(&address).unwrap();
        while !honest.receive(&mut frames).unwrap() && Instant::now() < deadline {
            while broadcast.receive(&mut frames).unwrap() {}
            broadcast.send(["word"]).unwrap();
            wait([&honest, broadcast.inlet()], Duration::from_millis(10)).unwrap();
        }
        assert!(broadcast.opens.is_none() && Instant::now() < deadline);
    }
}
