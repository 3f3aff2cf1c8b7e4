//! What lies between the receiver's thread and the source: arrivals, memory to be used again, and
//! what is to be given back to the server.

use crate::shmem::memory::Block;
use crate::shmem::message::Message;
use crate::shmem::order::Arrival;
use crate::shmem::tally::Tallies;
use rustix::event::{EventfdFlags, eventfd};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Bytes of events that wait for the source; what comes beyond waits in the server's memory, where
/// the server may take it back.
const ROOM: usize = 64 << 20;
/// Bytes of transitions that wait. A server may send no more than 18 that are not given back.
const TRANSITION_ROOM: usize = 64 << 20;
/// Blocks that are kept for use again, and their bytes.
const SPARE: (usize, usize) = (64, ROOM);

/// A datagram, and what gives its buffer back once it is dropped, where it is held back.
#[derive(Debug)]
pub struct Datagram {
    /// Its bytes.
    pub block: Block,
    /// None where the buffer was given back when it was read.
    pub lease: Option<Lease>,
}

/// An arrival with its datagram.
pub type Read = Arrival<Datagram>;

/// A buffer of the server that is held back.
#[derive(Debug)]
pub struct Lease {
    inbox: Arc<Inbox>,
    back: Option<Back>,
}

/// What is to be given back.
#[derive(Debug)]
pub struct Back {
    /// To the server of this life.
    pub session: u64,
    /// By this client.
    pub client: usize,
    /// As it was sent.
    pub message: Message,
}

impl Lease {
    /// Holds a buffer.
    pub fn new(inbox: &Arc<Inbox>, back: Back) -> Lease {
        Lease { inbox: inbox.clone(), back: Some(back) }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(back) = self.back.take() {
            self.inbox.lock().back.push(back);
            ring(&self.inbox.kick);
        }
    }
}

#[derive(Debug, Default)]
struct State {
    transitions: Vec<Read>,
    events: Vec<Read>,
    /// Memory of what was read and not yet given back to `spare`.
    event_bytes: usize,
    transition_bytes: usize,
    spare: Vec<Block>,
    spare_bytes: usize,
    back: Vec<Back>,
    /// The source was told that there is something.
    told: bool,
    /// The receiver waits for room.
    cramped: bool,
    living: u64,
}

impl State {
    fn keep(&mut self, block: Block) {
        let bytes = self.spare_bytes + block.footprint();
        if self.spare.len() < SPARE.0 && bytes <= SPARE.1 {
            self.spare_bytes = bytes;
            self.spare.push(block);
        }
    }
}

/// Shared by both.
#[derive(Debug)]
pub struct Inbox {
    state: Mutex<State>,
    /// Readable when there is something for the source.
    bell: OwnedFd,
    /// Readable when there is something for the receiver.
    kick: OwnedFd,
    stopping: AtomicBool,
    joined: AtomicUsize,
    quiet_ns: AtomicU64,
    began: Instant,
    /// What is counted.
    pub tallies: Tallies,
}

fn ring(fd: &OwnedFd) {
    // A counter that is full is readable: the other side is told.
    let _ = rustix::io::write(fd, &1u64.to_ne_bytes());
}

fn still(fd: &OwnedFd) {
    let _ = rustix::io::read(fd, &mut [0u8; 8]);
}

impl Inbox {
    /// Empty.
    ///
    /// # Errors
    /// When the system has no descriptor left.
    pub fn new() -> io::Result<Inbox> {
        let flags = EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC;
        Ok(Inbox {
            state: Mutex::default(),
            bell: eventfd(0, flags)?,
            kick: eventfd(0, flags)?,
            stopping: AtomicBool::new(false),
            joined: AtomicUsize::new(0),
            quiet_ns: AtomicU64::new(0),
            began: Instant::now(),
            tallies: Tallies::default(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it is held; and if it did, the queues would still be whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Time of arrivals, ns.
    pub fn now_ns(&self) -> u64 {
        self.began.elapsed().as_nanos() as u64
    }

    // For the receiver.

    /// Whether events, and whether transitions, may be read. If not, a kick says when.
    pub fn room(&self) -> (bool, bool) {
        let mut state = self.lock();
        let room = (state.event_bytes < ROOM, state.transition_bytes < TRANSITION_ROOM);
        state.cramped = room != (true, true);
        room
    }

    /// Memory for a datagram.
    pub fn block(&self) -> Block {
        let mut state = self.lock();
        let block = state.spare.pop().unwrap_or_default();
        state.spare_bytes -= block.footprint().min(state.spare_bytes);
        block
    }

    /// Memory that was not needed.
    pub fn put_back(&self, block: Block) {
        self.lock().keep(block);
    }

    /// Hands on a transition.
    pub fn transition(&self, read: Read) {
        let mut state = self.lock();
        state.transition_bytes += read.body.block.footprint();
        state.transitions.push(read);
        self.tell(state);
    }

    /// Hands on an event.
    pub fn event(&self, read: Read) {
        let mut state = self.lock();
        state.event_bytes += read.body.block.footprint();
        state.events.push(read);
        self.tell(state);
    }

    fn tell(&self, mut state: MutexGuard<'_, State>) {
        let told = std::mem::replace(&mut state.told, true);
        drop(state);
        if !told {
            ring(&self.bell);
        }
    }

    /// So many clients of ours are connected; sessions below `living` are over.
    pub fn joined(&self, clients: usize, living: u64) {
        self.joined.store(clients, Ordering::Relaxed);
        let mut state = self.lock();
        state.living = living;
        self.tell(state);
    }

    /// At this time no queue of events had any; what was read before was handed on.
    pub fn quiet(&self, at_ns: u64) {
        self.quiet_ns.store(at_ns, Ordering::Release);
    }

    /// What is to be given back.
    pub fn take_back(&self) -> Vec<Back> {
        still(&self.kick);
        std::mem::take(&mut self.lock().back)
    }

    /// Becomes readable when there is something to give back, room again, or the end.
    pub fn kick(&self) -> BorrowedFd<'_> {
        self.kick.as_fd()
    }

    /// True once the source is gone.
    pub fn stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    // For the source.

    /// All that was read since, transitions first, and the first session that lives. Nothing when
    /// there is nothing new.
    pub fn pull(&self, mut take: impl FnMut(bool, Read), living: &mut Option<u64>) {
        let mut state = self.lock();
        if !std::mem::take(&mut state.told) {
            return;
        }
        still(&self.bell);
        *living = Some(state.living);
        state.transitions.drain(..).for_each(|read| take(false, read));
        state.events.drain(..).for_each(|read| take(true, read));
    }

    /// A datagram that was taken: its buffer is given back if it was held, its memory used again.
    pub fn recycle(&self, event: bool, datagram: Datagram) {
        let Datagram { block, lease } = datagram;
        drop(lease);
        let mut state = self.lock();
        let bytes = if event { &mut state.event_bytes } else { &mut state.transition_bytes };
        *bytes = bytes.saturating_sub(block.footprint());
        // Configure may be far larger than events are.
        if event {
            state.keep(block);
        }
        let cramped = std::mem::take(&mut state.cramped);
        drop(state);
        if cramped {
            ring(&self.kick);
        }
    }

    /// Becomes readable when there is something to pull.
    pub fn bell(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }

    /// When the queues of events were last found empty, ns; what was read before can be pulled.
    pub fn quiet_ns(&self) -> u64 {
        self.quiet_ns.load(Ordering::Acquire)
    }

    /// How many clients of ours are connected.
    pub fn clients(&self) -> usize {
        self.joined.load(Ordering::Relaxed)
    }

    /// Ends the receiver.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
        ring(&self.kick);
    }
}
