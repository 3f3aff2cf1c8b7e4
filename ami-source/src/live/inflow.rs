//! The thread that receives: from sockets into a queue that is bounded in bytes.
//!
//! While the queue is full nothing is received. Then messages wait in libzmq, where few have room, and
//! beyond with the peer: what it does with them is its protocol's. A ZeroMQ descriptor only tells
//! changes, so the reader sleeps on one of ours.

use crate::live::asking::Asking;
use crate::live::{Feed, Message};
use ami_proto::process::daemon::now_ns;
use ami_proto::socket::foreign::{Bounds, Foreign, Received, Side};
use rustix::event::{EventfdFlags, eventfd};
use std::collections::VecDeque;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use zmq::{PollEvents, PollItem, SocketType};

/// What is to be received.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Kind of the sockets.
    pub kind: SocketType,
    /// Who opens connections.
    pub side: Side,
    /// Addresses, socket by socket.
    pub sockets: Vec<Vec<String>>,
    /// What a SUB socket subscribes to: topics that begin so.
    pub topic: String,
    /// What libzmq lets wait.
    pub bounds: Bounds,
    /// Bytes of the queue; it may be exceeded by one message.
    pub queue_bytes: usize,
    /// What is sent to get a message, again once one came. None: messages come by themselves.
    pub request: Option<&'static [&'static [u8]]>,
    /// What it is for, in errors.
    pub what: &'static str,
}

/// Bytes that a message and a frame need beside their own.
const OVERHEAD: usize = 128;
/// Messages taken from one socket before the others are looked at.
const BURST: usize = 64;
/// How often the thread looks whether it is to stop, should it not be told.
const TICK_MS: i64 = 500;

struct Shared {
    queue: Mutex<VecDeque<Message>>,
    replies: Mutex<VecDeque<(usize, Vec<zmq::Message>)>>,
    /// Why the thread ended.
    broken: Mutex<Option<String>>,
    bytes: AtomicUsize,
    limit: usize,
    /// A peer is to be there: it has an address.
    awaited: bool,
    /// The thread waits for room.
    full: AtomicBool,
    stop: AtomicBool,
    peers: AtomicUsize,
    came: AtomicU64,
    went: AtomicU64,
    messages: AtomicU64,
    received: AtomicU64,
    too_large: AtomicU64,
    undelivered: AtomicU64,
    again: AtomicU64,
    /// Wakes the reader.
    wake: OwnedFd,
    /// Wakes the thread.
    poke: OwnedFd,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes", self.bytes.load(SeqCst))
    }
}

/// A message's place in the queue.
#[derive(Debug)]
pub struct Room {
    shared: Arc<Shared>,
    bytes: usize,
}

impl Drop for Room {
    fn drop(&mut self) {
        self.shared.bytes.fetch_sub(self.bytes, SeqCst);
        if self.shared.full.swap(false, SeqCst) {
            ring(&self.shared.poke);
        }
    }
}

fn ring(bell: &OwnedFd) {
    // It can only fail when it rings already.
    let _ = rustix::io::write(bell, &1u64.to_ne_bytes());
}

fn silence(bell: &OwnedFd) {
    let _ = rustix::io::read(bell, &mut [0; 8]);
}

/// See the module's documentation.
#[derive(Debug)]
pub struct Inflow {
    shared: Arc<Shared>,
    /// Taken from the queue all at once.
    taken: VecDeque<Message>,
    thread: Option<JoinHandle<()>>,
}

impl Inflow {
    /// Opens the sockets and begins to receive.
    ///
    /// # Errors
    /// When an address is senseless or in use.
    pub fn start(plan: Plan) -> anyhow::Result<Inflow> {
        let open = |addresses: &Vec<String>| {
            Foreign::open(plan.kind, (plan.side, addresses), &plan.topic, plan.bounds, plan.what)
        };
        let sockets = plan.sockets.iter().map(open).collect::<Result<Vec<_>, _>>()?;
        let bell = || eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC);
        let shared = Arc::new(Shared {
            queue: Mutex::default(),
            replies: Mutex::default(),
            broken: Mutex::default(),
            bytes: AtomicUsize::new(0),
            limit: plan.queue_bytes,
            awaited: plan.side == Side::Connect,
            full: AtomicBool::new(false),
            stop: AtomicBool::new(false),
            peers: AtomicUsize::new(0),
            came: AtomicU64::new(0),
            went: AtomicU64::new(0),
            messages: AtomicU64::new(0),
            received: AtomicU64::new(0),
            too_large: AtomicU64::new(0),
            undelivered: AtomicU64::new(0),
            again: AtomicU64::new(0),
            wake: bell()?,
            poke: bell()?,
        });
        let asked = sockets.iter().map(|_| Asking::default()).collect();
        let mut receiver = Receiver { sockets, asked, request: plan.request, shared };
        let shared = receiver.shared.clone();
        let thread = std::thread::Builder::new().name("inflow".into()).spawn(move || {
            if let Err(error) = receiver.run() {
                let mut broken = lock(&receiver.shared.broken);
                *broken = Some(error.to_string());
                ring(&receiver.shared.wake);
            }
        })?;
        Ok(Inflow { shared, taken: VecDeque::new(), thread: Some(thread) })
    }

    /// How to send answers, from wherever.
    pub fn replies(&self) -> Replies {
        Replies(self.shared.clone())
    }
}

/// Sends answers by the sockets of an [`Inflow`].
#[derive(Debug, Clone)]
pub struct Replies(Arc<Shared>);

impl Replies {
    /// By this socket, soon. One that nobody takes is counted.
    pub fn send(&self, socket: usize, frames: Vec<zmq::Message>) {
        lock(&self.0.replies).push_back((socket, frames));
        ring(&self.0.poke);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for Inflow {
    fn drop(&mut self) {
        self.shared.stop.store(true, SeqCst);
        ring(&self.shared.poke);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Feed for Inflow {
    fn next(&mut self) -> anyhow::Result<Option<Message>> {
        if self.taken.is_empty() {
            // First the bell: what comes behind rings it again.
            silence(&self.shared.wake);
            std::mem::swap(&mut self.taken, &mut *lock(&self.shared.queue));
        }
        if let Some(message) = self.taken.pop_front() {
            return Ok(Some(message));
        }
        match &*lock(&self.shared.broken) {
            Some(reason) => anyhow::bail!("receiving failed: {reason}"),
            None => Ok(None),
        }
    }

    fn lost(&self) -> bool {
        self.shared.awaited && self.shared.peers.load(SeqCst) == 0
    }

    fn now_ns(&self) -> u64 {
        now_ns()
    }

    fn wakes(&self) -> Option<BorrowedFd<'_>> {
        Some(self.shared.wake.as_fd())
    }

    fn counters(&self) -> Vec<(&'static str, u64)> {
        let s = &self.shared;
        vec![
            ("messages", s.messages.load(SeqCst)),
            ("message_bytes", s.received.load(SeqCst)),
            ("messages_too_large", s.too_large.load(SeqCst)),
            ("connections", s.came.load(SeqCst)),
            ("disconnections", s.went.load(SeqCst)),
            ("answers_undelivered", s.undelivered.load(SeqCst)),
            ("asked_again", s.again.load(SeqCst)),
        ]
    }
}

/// The thread's part.
struct Receiver {
    sockets: Vec<Foreign>,
    /// By socket.
    asked: Vec<Asking>,
    request: Option<&'static [&'static [u8]]>,
    shared: Arc<Shared>,
}

impl Receiver {
    fn run(&mut self) -> Result<(), zmq::Error> {
        while !self.shared.stop.load(SeqCst) {
            self.look_who_is_there()?;
            self.reply()?;
            let mut got = false;
            for socket in 0..self.sockets.len() {
                got |= self.receive(socket)?;
            }
            if !got {
                self.wait()?;
            }
        }
        Ok(())
    }

    fn look_who_is_there(&mut self) -> Result<(), zmq::Error> {
        let before = self.shared.peers.load(SeqCst);
        let mut peers = 0;
        for (socket, asked) in self.sockets.iter_mut().zip(&mut self.asked) {
            let changes = socket.changes()?;
            self.shared.came.fetch_add(changes.came, SeqCst);
            self.shared.went.fetch_add(changes.went, SeqCst);
            if changes.went > 0 {
                asked.forget();
            }
            peers += socket.peers();
        }
        self.shared.peers.store(peers, SeqCst);
        if (before == 0) != (peers == 0) {
            ring(&self.shared.wake);
        }
        Ok(())
    }

    fn reply(&mut self) -> Result<(), zmq::Error> {
        while let Some((socket, frames)) = { lock(&self.shared.replies).pop_front() } {
            let sent = match self.sockets.get(socket).map(|s| s.send(frames)) {
                Some(Ok(sent)) => sent,
                Some(Err(zmq::Error::EHOSTUNREACH)) | None => false,
                Some(Err(error)) => return Err(error),
            };
            if !sent {
                self.shared.undelivered.fetch_add(1, SeqCst);
            }
        }
        Ok(())
    }

    fn has_room(&self) -> bool {
        self.shared.bytes.load(SeqCst) < self.shared.limit
    }

    /// Receives what is there and has room; whether anything was.
    fn receive(&mut self, at: usize) -> Result<bool, zmq::Error> {
        let mut frames = Vec::new();
        for n in 0..BURST {
            if !self.has_room() {
                return Ok(n > 0);
            }
            self.ask(at)?;
            match self.sockets[at].receive(&mut frames)? {
                Received::Nothing => return Ok(n > 0),
                Received::TooLarge => {
                    self.shared.too_large.fetch_add(1, SeqCst);
                    self.asked[at].answered(now_ns());
                }
                Received::Message => {
                    self.asked[at].answered(now_ns());
                    self.push(std::mem::take(&mut frames), at);
                }
            }
        }
        Ok(true)
    }

    /// Sends a request, where there are any and it is time for one.
    fn ask(&mut self, at: usize) -> Result<(), zmq::Error> {
        let (socket, asked) = (&self.sockets[at], &mut self.asked[at]);
        let Some(request) = self.request else { return Ok(()) };
        if socket.peers() > 0 && asked.is_due(now_ns()) {
            let frames = request.iter().map(|f| zmq::Message::from(*f)).collect();
            if socket.send(frames)? {
                asked.asked(now_ns());
                let again: u64 = self.asked.iter().map(|a| a.again).sum();
                self.shared.again.store(again, SeqCst);
            }
        }
        Ok(())
    }

    fn push(&self, frames: Vec<zmq::Message>, from: usize) {
        let shared = &self.shared;
        let content: usize = frames.iter().map(|f| f.len()).sum();
        let bytes = content + (1 + frames.len()) * OVERHEAD;
        shared.messages.fetch_add(1, SeqCst);
        shared.received.fetch_add(content as u64, SeqCst);
        shared.bytes.fetch_add(bytes, SeqCst);
        let room = Room { shared: shared.clone(), bytes };
        let mut queue = lock(&shared.queue);
        let first = queue.is_empty();
        queue.push_back(Message::received(frames, from, now_ns(), room));
        drop(queue);
        if first {
            ring(&shared.wake);
        }
    }

    /// Until something may have come, gone or been taken.
    fn wait(&self) -> Result<(), zmq::Error> {
        // Said before it is looked at: who makes room meanwhile rings.
        self.shared.full.store(true, SeqCst);
        let has_room = self.has_room();
        if has_room {
            self.shared.full.store(false, SeqCst);
        }
        let mut items = vec![PollItem::from_fd(self.shared.poke.as_raw_fd(), PollEvents::POLLIN)];
        for socket in &self.sockets {
            let [monitor, socket] = socket.items();
            items.push(monitor);
            if has_room {
                items.push(socket);
            }
        }
        match zmq::poll(&mut items, TICK_MS) {
            Ok(_) | Err(zmq::Error::EINTR) => {}
            Err(error) => return Err(error),
        }
        silence(&self.shared.poke);
        Ok(())
    }
}
