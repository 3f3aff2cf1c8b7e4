//! The thread beside a source: it keeps the clients connected and takes what the server offers, so
//! that buffers go back at once whatever the source waits for.
//!
//! All clients of a source belong to one life of the server, a session. When one of them sees the
//! server go, all leave and look for it again.

use crate::shmem::client::{Client, Heard, Joined};
use crate::shmem::inbox::{Back, Datagram, Inbox, Lease, Read};
use crate::shmem::message::{Message, Names, index};
use crate::shmem::order::{Arrival, SETTLE_NS};
use crate::shmem::tally::Tally;
use crate::xtc2::dgram::Header;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::sync::Arc;
use std::time::Duration;

/// How often is looked for a server.
const LOOK: Duration = Duration::from_millis(100);
/// How long is slept when all is well: only what is readable wakes.
const LONG: Duration = Duration::from_secs(1);
/// So long after something was read it is looked often, for a transition may wait for events until it
/// is known that there are none.
const WATCHFUL_NS: u64 = 3 * SETTLE_NS;
/// How long is slept then.
const SHORT: Duration = Duration::from_millis(20);

/// See the module's documentation.
pub struct Receiver {
    names: Names,
    /// Buffers that a client may hold back; 0: what is read is given back at once.
    hold: usize,
    inbox: Arc<Inbox>,
    clients: Vec<Client>,
    session: u64,
    /// Events read in this round.
    round: Vec<Read>,
    /// No queue of events had any in this round.
    quiet: bool,
    watchful_ns: u64,
    /// Why there is no connection, as it was told last.
    told: String,
}

/// The server is gone.
struct Gone;

impl Receiver {
    /// `clients` clients of the server of a tag.
    pub fn new(tag: &str, clients: usize, hold: usize, inbox: Arc<Inbox>) -> Receiver {
        let clients = (0..clients).map(|_| Client::new()).collect();
        let (names, round, told) = (Names::new(tag), Vec::new(), String::new());
        let (session, quiet, watchful_ns) = (0, false, 0);
        Receiver { names, hold, inbox, clients, session, round, quiet, watchful_ns, told }
    }

    /// Until the source is gone.
    pub fn run(mut self) {
        while !self.inbox.stopping() {
            let room = self.inbox.room();
            let began_ns = self.inbox.now_ns();
            self.quiet = true;
            let mut busy = self.release();
            for at in 0..self.clients.len() {
                match self.serve(at, room) {
                    Ok(did) => busy |= did,
                    Err(Gone) => {
                        self.leave();
                        break;
                    }
                }
            }
            self.hand_on();
            if self.quiet {
                self.inbox.quiet(began_ns);
            }
            if busy {
                self.watchful_ns = began_ns + WATCHFUL_NS;
            } else {
                self.sleep(room, began_ns < self.watchful_ns);
            }
        }
    }

    /// One message of each kind of one client; true when there was any.
    fn serve(&mut self, at: usize, (events, transitions): (bool, bool)) -> Result<bool, Gone> {
        if !matches!(self.clients[at], Client::Joined(_)) {
            self.look(at);
            return Ok(false);
        }
        let mut busy = self.joined(at).is_some_and(Joined::give_back_delayed);
        let mut event = None;
        if events && self.may_read(at) {
            let received = self.joined(at).map_or(Ok(None), |joined| joined.events.receive());
            event = received.map_err(|_| Gone)?;
            self.quiet &= event.is_none();
        } else {
            // One that holds all it may has events that are looked at first.
            let holds = self.joined(at).is_some_and(|joined| joined.begun && joined.held > 0);
            self.quiet &= events && holds;
        }
        // After that the event was there: whatever the server told before it is there, too.
        while transitions && self.transition(at)? {
            busy = true;
        }
        if let Some(message) = event {
            busy = true;
            self.event(at, &message)?;
        }
        Ok(busy)
    }

    fn joined(&mut self, at: usize) -> Option<&mut Joined> {
        match &mut self.clients[at] {
            Client::Joined(joined) => Some(joined),
            _ => None,
        }
    }

    /// Whether a client may take one more event now.
    fn may_read(&self, at: usize) -> bool {
        match &self.clients[at] {
            Client::Joined(joined) => joined.begun && (self.hold == 0 || joined.held < self.hold),
            _ => false,
        }
    }

    /// A client without a server looks for one.
    fn look(&mut self, at: usize) {
        let told = self.clients[at].advance(&self.names, &self.inbox);
        if let Err(error) = told {
            let reason = format!("{error:#}");
            if reason != self.told {
                tracing::warn!(client = at, "not connected: {reason}; tried again and again");
                self.told = reason;
            }
        }
        let Client::Joined(joined) = &self.clients[at] else { return };
        let (slot, buffers, size) = (joined.hello.slot, joined.hello.buffers, joined.hello.size);
        let serial = joined.hello.serial;
        tracing::info!(client = at, slot, buffers, size, serial, "connected");
        self.told.clear();
        self.inbox.tallies.add(Tally::Connections);
        let joined = self.count();
        if joined == 1 {
            self.session += 1;
        }
        self.inbox.joined(joined, self.session);
    }

    fn count(&self) -> usize {
        self.clients.iter().filter(|client| matches!(client, Client::Joined(_))).count()
    }

    /// Reads a transition and gives it back; false when there was none.
    fn transition(&mut self, at: usize) -> Result<bool, Gone> {
        let (session, inbox) = (self.session, self.inbox.clone());
        let Some(joined) = self.joined(at) else { return Ok(false) };
        let message = match joined.line.hear() {
            Heard::Message(message) => message,
            Heard::Nothing => return Ok(false),
            Heard::Gone(_) => return Err(Gone),
        };
        joined.begun = true;
        let mut block = Default::default();
        let read = index(&message).map(|index| joined.memory.read(index, 0, &mut block));
        let said = joined.line.say(&message);
        let at_ns = inbox.now_ns();
        match read {
            None | Some(Err(_)) => inbox.tallies.add(Tally::BadMessages),
            Some(Ok(None)) => inbox.tallies.add(Tally::BadDatagrams),
            Some(Ok(Some(header))) => {
                let body = Datagram { block, lease: None };
                let arrival = Arrival { session, client: at, header, at_ns, body };
                // The server sends the last event of a batch like a transition, to all clients.
                match header.is_event() {
                    false => inbox.transition(arrival),
                    true if at == 0 => self.round.push(arrival),
                    true => {}
                }
            }
        }
        if said { Ok(true) } else { Err(Gone) }
    }

    /// Reads an event, and gives it back unless it is held.
    fn event(&mut self, at: usize, message: &Message) -> Result<(), Gone> {
        let (session, inbox, hold) = (self.session, self.inbox.clone(), self.hold > 0);
        let mut block = inbox.block();
        let Some(joined) = self.joined(at) else { return Ok(()) };
        let index = index(message).filter(|index| *index < joined.hello.buffers);
        let Some(index) = index else {
            // Not given back: there is no such buffer.
            inbox.tallies.add(Tally::BadMessages);
            inbox.put_back(block);
            return Ok(());
        };
        let read = joined.memory.read(index, joined.guess, &mut block);
        let header = read.ok().flatten();
        let event = header.filter(Header::is_event);
        let Some(header) = event else {
            let bad = header.map_or(Tally::BadDatagrams, |_| Tally::WrongChannel);
            inbox.tallies.add(bad);
            inbox.put_back(block);
            return if joined.give_back(message, &inbox) { Ok(()) } else { Err(Gone) };
        };
        joined.guess = block.len();
        let lease = hold.then(|| {
            joined.held += 1;
            Lease::new(&inbox, Back { session, client: at, message: *message })
        });
        let returned = hold || joined.give_back(message, &inbox);
        let (at_ns, body) = (inbox.now_ns(), Datagram { block, lease });
        self.round.push(Arrival { session, client: at, header, at_ns, body });
        if returned { Ok(()) } else { Err(Gone) }
    }

    /// The events of this round, the oldest first: each client's come in order, but not all of them
    /// together.
    fn hand_on(&mut self) {
        if self.round.len() > 1 {
            self.round.sort_by_key(|read| read.header.timestamp());
        }
        for read in self.round.drain(..) {
            self.inbox.event(read);
        }
    }

    /// Gives back what the source is done with; what is of an earlier life is nobody's any more.
    fn release(&mut self) -> bool {
        if self.hold == 0 {
            return false;
        }
        let (inbox, session) = (self.inbox.clone(), self.session);
        let mut busy = false;
        for back in inbox.take_back().into_iter().filter(|back| back.session == session) {
            busy = true;
            if let Some(joined) = self.joined(back.client) {
                // A broken queue is seen when it is read.
                joined.release(&back, &inbox);
            }
        }
        busy
    }

    /// The server is gone: its life is over.
    fn leave(&mut self) {
        self.hand_on();
        tracing::warn!("the server is gone; looked for again and again");
        let lost = self.count() as u64;
        self.inbox.tallies.more(Tally::ConnectionsLost, lost);
        self.clients.iter_mut().for_each(|client| *client = Client::later());
        self.inbox.joined(0, self.session + 1);
    }

    /// Until there is something to do.
    fn sleep(&self, (events, transitions): (bool, bool), watchful: bool) {
        let kick = self.inbox.kick();
        let mut fds = vec![PollFd::from_borrowed_fd(kick, PollFlags::IN)];
        let mut most = if watchful { SHORT } else { LONG };
        for (at, client) in self.clients.iter().enumerate() {
            match client {
                Client::Away(_) => most = most.min(LOOK),
                Client::Seeking(queue, _) => {
                    most = most.min(LOOK);
                    fds.extend(queue.fd().map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)));
                }
                Client::Calling(line, _) => {
                    most = most.min(LOOK);
                    fds.push(PollFd::new(&line.tcp, PollFlags::IN));
                }
                Client::Joined(joined) => {
                    let line = transitions.then_some(&joined.line.tcp);
                    fds.extend(line.map(|tcp| PollFd::new(tcp, PollFlags::IN)));
                    let queue = joined.events.fd().filter(|_| events && self.may_read(at));
                    fds.extend(queue.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)));
                    let back = joined.returns().fd().filter(|_| !joined.unreturned.is_empty());
                    fds.extend(back.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::OUT)));
                }
            }
        }
        let time = Timespec::try_from(most).ok();
        // Whatever it says: all are asked.
        let _ = poll(&mut fds, time.as_ref());
        if self.hold == 0 {
            // Nothing is given back; the kick only woke.
            drop(self.inbox.take_back());
        }
    }
}
