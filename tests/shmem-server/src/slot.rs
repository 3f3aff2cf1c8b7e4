//! A connected client, as the server sees it.

use crate::{Message, dgram, queue};
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsFd, BorrowedFd};

/// See the module's documentation.
#[derive(Debug)]
pub struct Slot {
    tcp: TcpStream,
    part: Vec<u8>,
    /// Transitions that it has not given back: service and buffer.
    pub outstanding: Vec<(u8, usize)>,
    /// It missed transitions and is told the state once it gave back what it has.
    pub behind: bool,
}

impl Slot {
    /// Connected just now.
    pub fn new(tcp: TcpStream) -> Slot {
        tcp.set_nonblocking(true).unwrap();
        tcp.set_nodelay(true).unwrap();
        Slot { tcp, part: Vec::new(), outstanding: Vec::new(), behind: false }
    }

    /// Readable when it says something.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.tcp.as_fd()
    }

    /// Sends a message; false when the client is gone.
    pub fn send(&mut self, message: &Message) -> bool {
        self.tcp.write_all(message).is_ok()
    }

    /// Whether it has a transition's buffer.
    pub fn has(&self, index: usize) -> bool {
        self.outstanding.iter().any(|(_, held)| *held == index)
    }

    /// Sends a transition.
    pub fn transition(&mut self, service: u8, index: usize, message: &Message) {
        self.outstanding.push((service, index));
        // A client that is gone is seen when it is read.
        let _ = self.send(message);
    }

    /// The same, unless the client is behind.
    pub fn broadcast(&mut self, service: u8, index: usize, message: &Message) {
        let begin = service.is_multiple_of(2) && service != dgram::SLOW_UPDATE;
        if begin && self.outstanding.iter().any(|(held, _)| *held == dgram::ENABLE) {
            self.behind = true;
        }
        if !self.behind || service == dgram::SLOW_UPDATE {
            self.transition(service, index, message);
        }
    }

    /// Takes what it gives back; false when it is gone.
    pub fn receive(&mut self) -> bool {
        let mut bytes = [0; 256];
        loop {
            match self.tcp.read(&mut bytes) {
                Ok(0) => return false,
                Ok(n) => self.part.extend_from_slice(&bytes[..n]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(_) => return false,
            }
        }
        while self.part.len() >= size_of::<Message>() {
            let rest = self.part.split_off(size_of::<Message>());
            let message: Message = std::mem::replace(&mut self.part, rest).try_into().unwrap();
            let index = queue::index(&message);
            if let Some(at) = self.outstanding.iter().position(|(_, held)| *held == index) {
                self.outstanding.remove(at);
            }
        }
        true
    }
}
