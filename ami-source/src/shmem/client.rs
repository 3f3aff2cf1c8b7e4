//! One client of a server: finds it, is taken by it, reads messages and gives them back. Nothing
//! here waits.

use crate::shmem::inbox::{Back, Inbox};
use crate::shmem::memory::Memory;
use crate::shmem::message::{Hello, LEN, Message, Names, port};
use crate::shmem::mqueue::Queue;
use crate::shmem::tally::Tally;
use anyhow::{Context, bail};
use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::{Duration, Instant};

/// What is not there is looked for again after this time.
const AGAIN: Duration = Duration::from_millis(250);
/// The discovery queue is opened anew so often: a new server makes a new one of the same name.
const ANEW: Duration = Duration::from_secs(1);
/// A server that has no room is asked again after this time, for each asking costs it a place in
/// its table.
const NO_ROOM: Duration = Duration::from_secs(1);
/// In serial mode one client gets everything.
const NEEDLESS: Duration = Duration::from_secs(60);
/// A server accepts within this time; else it is frozen, or no server.
const ACCEPT: Duration = Duration::from_secs(1);
/// And says hello within this.
const HELLO: Duration = Duration::from_secs(10);

/// How far it is.
#[derive(Debug)]
pub enum Client {
    /// Nothing to be done before this time.
    Away(Instant),
    /// Waits for the server to say where it listens; since when.
    Seeking(Queue, Instant),
    /// Connected; waits for the hello, since when.
    Calling(Line, Instant),
    /// Taken.
    Joined(Box<Joined>),
}

/// A TCP connection that carries messages.
#[derive(Debug)]
pub struct Line {
    pub(super) tcp: TcpStream,
    bytes: Message,
    have: usize,
}

/// What came over a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// A message.
    Message(Message),
    /// Nothing yet.
    Nothing,
    /// The other end is gone; with so many bytes of a message.
    Gone(usize),
}

/// A client that a server took.
#[derive(Debug)]
pub struct Joined {
    /// What the server said.
    pub hello: Hello,
    /// The connection for transitions.
    pub line: Line,
    /// Where events come from.
    pub events: Queue,
    returns: Queue,
    /// The buffers.
    pub memory: Memory,
    /// Events whose return found the queue full.
    pub unreturned: VecDeque<Message>,
    /// Events that are held back.
    pub held: usize,
    /// A transition came: from here on events are those of its state.
    pub begun: bool,
    /// Size of the last event, which the next one's may be.
    pub guess: usize,
}

impl Line {
    fn new(tcp: TcpStream) -> std::io::Result<Line> {
        tcp.set_nonblocking(true)?;
        tcp.set_nodelay(true)?;
        Ok(Line { tcp, bytes: [0; LEN], have: 0 })
    }

    /// The next message, if all of it is there.
    pub fn hear(&mut self) -> Heard {
        loop {
            match self.tcp.read(&mut self.bytes[self.have..]) {
                Ok(0) => return Heard::Gone(self.have),
                Ok(n) if self.have + n == LEN => {
                    self.have = 0;
                    return Heard::Message(self.bytes);
                }
                Ok(n) => self.have += n,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Heard::Nothing,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return Heard::Gone(self.have),
            }
        }
    }

    /// Sends a message; false when the other end is gone or does not read.
    pub fn say(&mut self, message: &Message) -> bool {
        self.tcp.write_all(message).is_ok()
    }
}

impl Client {
    /// One that begins to look for a server.
    pub fn new() -> Client {
        Client::Away(Instant::now())
    }

    /// Looks again after a moment.
    pub fn later() -> Client {
        Client::Away(Instant::now() + AGAIN)
    }

    /// Goes on towards a server; what is in its way.
    ///
    /// # Errors
    /// What an operator is to know: why there is no connection.
    pub fn advance(&mut self, names: &Names, inbox: &Inbox) -> anyhow::Result<()> {
        let next = match self {
            Client::Away(until) if Instant::now() >= *until => Client::seek(names),
            Client::Seeking(queue, since) => match queue.receive() {
                // Connects at once: until it does the server tells nobody else.
                Ok(Some(message)) => Client::call(&message, inbox),
                Ok(None) if since.elapsed() < ANEW => return Ok(()),
                Ok(None) => Client::seek(names).and_then(|client| {
                    let Client::Seeking(queue, _) = &client else { return Ok(client) };
                    match queue.receive()? {
                        Some(message) => Client::call(&message, inbox),
                        None => Err(nothing_said(names)),
                    }
                }),
                Err(error) => Err(error.into()),
            },
            Client::Calling(line, since) => match line.hear() {
                Heard::Message(hello) => Client::join(line, &hello, names, inbox),
                Heard::Nothing if since.elapsed() < HELLO => return Ok(()),
                Heard::Nothing => Err(anyhow::anyhow!("the server accepts but says nothing")),
                Heard::Gone(_) => {
                    inbox.tallies.add(Tally::Rejected);
                    *self = Client::Away(Instant::now() + NO_ROOM);
                    bail!("the server has no place free for another client");
                }
            },
            Client::Away(_) | Client::Joined(_) => return Ok(()),
        };
        match next {
            Ok(next) => {
                *self = next;
                Ok(())
            }
            Err(error) => {
                *self = Client::later();
                Err(error)
            }
        }
    }

    fn seek(names: &Names) -> anyhow::Result<Client> {
        let name = names.discovery();
        let queue = Queue::reader(&name)
            .with_context(|| format!("no message queue {name}: no server of this tag runs here"))?;
        Ok(Client::Seeking(queue, Instant::now()))
    }

    fn call(message: &Message, inbox: &Inbox) -> anyhow::Result<Client> {
        let Some(port) = port(message) else {
            inbox.tallies.add(Tally::BadMessages);
            bail!("the server's discovery message names no TCP port");
        };
        let address = (Ipv4Addr::LOCALHOST, port).into();
        let tcp = TcpStream::connect_timeout(&address, ACCEPT).inspect_err(|_| {
            inbox.tallies.add(Tally::NoServer);
        });
        let tcp = tcp.with_context(|| format!("nobody answers at TCP port {port}"))?;
        Ok(Client::Calling(Line::new(tcp)?, Instant::now()))
    }

    fn join(
        line: &mut Line,
        hello: &Message,
        names: &Names,
        inbox: &Inbox,
    ) -> anyhow::Result<Client> {
        let hello = Hello::read(hello).map_err(|reason| {
            inbox.tallies.add(Tally::BadMessages);
            anyhow::anyhow!("the server's hello cannot be true: {reason}")
        })?;
        if hello.serial && inbox.clients() > 0 {
            tracing::warn!("the server gives every event to every client: one of them is enough");
            return Ok(Client::Away(Instant::now() + NEEDLESS));
        }
        let memory = Memory::open(names, &hello)?;
        let (events, returns) = (names.queue(hello.slot), names.queue(hello.return_queue));
        let open = |name: String, queue: std::io::Result<Queue>| {
            queue.with_context(|| format!("message queue {name} cannot be opened"))
        };
        Ok(Client::Joined(Box::new(Joined {
            hello,
            line: Line { tcp: line.tcp.try_clone()?, bytes: [0; LEN], have: 0 },
            events: open(events.clone(), Queue::reader(&events))?,
            returns: open(returns.clone(), Queue::writer(&returns))?,
            memory,
            unreturned: VecDeque::new(),
            held: 0,
            begun: false,
            guess: 0,
        })))
    }
}

fn nothing_said(names: &Names) -> anyhow::Error {
    anyhow::anyhow!(
        "{} is empty: the server is busy, frozen or dead, or another client took its message and \
         never connected; if it stays so, restart the server",
        names.discovery()
    )
}

impl Joined {
    /// Gives an event back; one that finds no room is given back later. False when the queue is
    /// broken.
    pub fn give_back(&mut self, message: &Message, inbox: &Inbox) -> bool {
        if self.unreturned.is_empty() {
            match self.returns.send(message) {
                Ok(true) => return true,
                Ok(false) => {}
                Err(_) => return false,
            }
        }
        inbox.tallies.add(Tally::DelayedReturns);
        // The server has no more buffers than this; one that repeats them is not to fill memory.
        if self.unreturned.len() < self.hello.buffers {
            self.unreturned.push_back(*message);
        }
        true
    }

    /// Gives back what found no room before; true when something was.
    pub fn give_back_delayed(&mut self) -> bool {
        let before = self.unreturned.len();
        while let Some(message) = self.unreturned.front() {
            match self.returns.send(message) {
                Ok(true) => drop(self.unreturned.pop_front()),
                Ok(false) | Err(_) => break,
            }
        }
        self.unreturned.len() < before
    }

    /// Gives back what was held back.
    pub fn release(&mut self, back: &Back, inbox: &Inbox) -> bool {
        self.held = self.held.saturating_sub(1);
        self.give_back(&back.message, inbox)
    }

    /// The queue that events are given back to.
    pub fn returns(&self) -> &Queue {
        &self.returns
    }
}
