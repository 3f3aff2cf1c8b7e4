//! The least client that works: it reads every datagram and gives it back, and does nothing else.
//! What a server can post is measured with it.

use crate::queue::{self, Mqueue};
use crate::{Message, names};
use anyhow::Context;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::time::Duration;

/// A connected client.
#[derive(Debug)]
pub struct Client {
    tcp: TcpStream,
    events: Mqueue,
    returns: Mqueue,
    memory: File,
    size: usize,
    bytes: Vec<u8>,
}

/// What it read.
#[derive(Debug, PartialEq, Eq)]
pub enum Taken {
    /// An event.
    Event(Vec<u8>),
    /// A transition.
    Transition(Vec<u8>),
    /// Nothing was there.
    Nothing,
    /// The server is gone.
    End,
}

impl Client {
    /// Takes the discovery message; None when there is none.
    pub fn discover(tag: &str) -> Option<u16> {
        let message = Mqueue::open(&names(tag, 0).1)?.receive()?;
        u16::try_from(queue::index(&message)).ok()
    }

    /// Connects; waits until there is a server with a place.
    ///
    /// # Errors
    /// When the server has no place or cannot be understood.
    pub fn connect(tag: &str) -> anyhow::Result<Client> {
        let port = loop {
            match Client::discover(tag) {
                Some(port) => break port,
                None => std::thread::sleep(Duration::from_millis(10)),
            }
        };
        let mut tcp = TcpStream::connect(("127.0.0.1", port))?;
        let mut hello = [0; 16];
        tcp.read_exact(&mut hello).context("no place")?;
        tcp.set_nonblocking(true)?;
        let (slot, queues, back) = (queue::index(&hello), hello[5] as usize, hello[6] as usize);
        let size = u32::from_le_bytes([hello[8], hello[9], hello[10], hello[11]]) as usize;
        let (memory, _, all) = names(tag, queues);
        let back = if back == 0 { slot + 1 } else { back };
        let open = |at: usize| Mqueue::open(&all[at]).with_context(|| all[at].clone());
        let memory = File::open(memory)?;
        Ok(Client {
            tcp,
            events: open(slot)?,
            returns: open(back)?,
            memory,
            size,
            bytes: Vec::new(),
        })
    }

    /// What comes next.
    pub fn take(&mut self) -> Taken {
        let mut message: Message = [0; 16];
        match self.tcp.read(&mut message) {
            Ok(0) => return Taken::End,
            Ok(_) => {
                let dgram = self.copy(&message);
                let _ = self.tcp.write_all(&message);
                return Taken::Transition(dgram);
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(_) => return Taken::End,
        }
        let Some(message) = self.events.receive() else { return Taken::Nothing };
        let dgram = self.copy(&message);
        while !self.returns.send(&message) {
            std::thread::yield_now();
        }
        Taken::Event(dgram)
    }

    /// Sleeps until there is something, or the time is over.
    pub fn wait(&self, most: Duration) {
        let fds = [self.tcp.as_fd(), self.events.fd()];
        let mut fds = fds.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN));
        let _ = poll(&mut fds, Timespec::try_from(most).ok().as_ref());
    }

    fn copy(&mut self, message: &Message) -> Vec<u8> {
        let at = (queue::index(message) * self.size) as u64;
        let mut header = [0; 24];
        self.memory.read_exact_at(&mut header, at).unwrap();
        let extent = u32::from_le_bytes([header[20], header[21], header[22], header[23]]);
        self.bytes.resize(12 + extent as usize, 0);
        self.memory.read_exact_at(&mut self.bytes, at).unwrap();
        self.bytes.clone()
    }
}
