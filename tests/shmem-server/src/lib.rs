//! A server of LCLS-II's monitoring shared memory, written from a description of the protocol and
//! not from ami's client, for tests: what it does next is told by its caller, step by step, so that
//! every race of the protocol can be made to happen. [`reference`](mod@reference) is the least client that works;
//! [`dgram`] reads and builds datagrams; `main.rs` serves files.

pub mod dgram;
pub mod queue;
pub mod reference;
mod slot;

use anyhow::Context;
use queue::Mqueue;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use slot::Slot;
use std::collections::VecDeque;
use std::fs::File;
use std::net::TcpListener;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::time::Duration;

/// Buffers for transitions, of every server.
pub const TRANSITIONS: usize = 18;
/// The one message.
pub type Message = [u8; 16];

/// What a server is started with.
#[derive(Debug, Clone)]
pub struct Options {
    /// Part of every name.
    pub tag: String,
    /// Buffers for events.
    pub events: usize,
    /// Queues, and so clients.
    pub queues: usize,
    /// Bytes of a buffer.
    pub size: usize,
    /// Every event to every client, one after the other.
    pub serial: bool,
}

/// What happened to events.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Counts {
    /// Put into a queue.
    pub posted: u64,
    /// Of these, taken back unread: stolen for a newer one, at Enable, or from a client that died.
    pub stolen: u64,
    /// No buffer, or no queue with room.
    pub dropped: u64,
    /// Given back by clients.
    pub returned: u64,
    /// Given back though nobody had it, or no such buffer.
    pub wrong: u64,
    /// Transitions for which there was no buffer.
    pub skipped: u64,
    /// Clients that found no slot.
    pub rejected: u64,
}

/// A server.
#[derive(Debug)]
pub struct Server {
    options: Options,
    memory: File,
    discovery: Mqueue,
    /// One for each client, and the one that events come back in.
    queues: Vec<Mqueue>,
    listener: TcpListener,
    slots: Vec<Option<Slot>>,
    free: VecDeque<usize>,
    /// Which client's queue an event's buffer was put into last.
    owner: Vec<Option<usize>>,
    next: usize,
    steal: usize,
    /// Cached begins: service and buffer.
    cache: Vec<(u8, usize)>,
    /// What happened.
    pub counts: Counts,
}

/// Names of what the server of a tag makes: memory, discovery queue, and its other queues.
pub fn names(tag: &str, queues: usize) -> (String, String, Vec<String>) {
    let queue = |i| format!("/PdsToMonitorEvQueue_{tag}_{i}");
    (
        format!("/dev/shm/PdsMonitorSharedMemory_{tag}"),
        format!("/PdsFromMonitorDiscovery_{tag}"),
        (0..=queues).map(queue).collect(),
    )
}

/// Removes what a server left behind.
pub fn clean(tag: &str, queues: usize) {
    let (memory, discovery, queues) = names(tag, queues);
    let _ = std::fs::remove_file(memory);
    queues.iter().chain([&discovery]).for_each(|name| queue::unlink(name));
}

/// Room for so many events in the queues of this machine, at most 8.
pub fn most_events() -> usize {
    let limit = std::fs::read_to_string("/proc/sys/fs/mqueue/msg_max").unwrap_or_default();
    limit.trim().parse().unwrap_or(8).clamp(1, 8)
}

impl Server {
    /// Makes memory and queues, and waits for clients.
    ///
    /// # Errors
    /// When the system does not let it: too many messages in a queue, no room.
    pub fn start(options: Options) -> anyhow::Result<Server> {
        let (path, discovery, queues) = names(&options.tag, options.queues);
        queues.iter().chain([&discovery]).for_each(|name| queue::unlink(name));
        let memory =
            File::options().read(true).write(true).create(true).truncate(false).open(&path);
        let memory = memory.with_context(|| path.clone())?;
        let bytes = (options.events + TRANSITIONS) * options.size;
        memory.set_len((bytes.div_ceil(4096) * 4096) as u64)?;
        let room =
            |i| if i == options.queues { options.events } else { options.events / options.queues };
        let queues: Result<Vec<Mqueue>, _> = queues
            .iter()
            .enumerate()
            .map(|(i, name)| Mqueue::create(name, room(i).max(1)))
            .collect();
        let listener = (32768..65535).find_map(|port| TcpListener::bind(("127.0.0.1", port)).ok());
        let listener = listener.context("no port is free")?;
        listener.set_nonblocking(true)?;
        let server = Server {
            memory,
            discovery: Mqueue::create(&discovery, 2)?,
            queues: queues?,
            listener,
            slots: (0..options.queues).map(|_| None).collect(),
            free: (0..options.events).collect(),
            owner: vec![None; options.events],
            next: 0,
            steal: 0,
            cache: Vec::new(),
            counts: Counts::default(),
            options,
        };
        server.announce()?;
        Ok(server)
    }

    /// Tells one client where to connect.
    fn announce(&self) -> anyhow::Result<()> {
        let port = self.listener.local_addr()?.port();
        let mut message = [0; 16];
        message[..4].copy_from_slice(&u32::from(port).to_le_bytes());
        self.discovery.send(&message);
        Ok(())
    }

    /// The message about a buffer, or the hello to a slot.
    pub fn message(&self, index: usize) -> Message {
        let Options { events, queues, size, serial, .. } = self.options;
        let back = if serial { 0 } else { queues };
        let shape = (events + TRANSITIONS) | queues << 8 | back << 16;
        let mut message = [0; 16];
        for (at, word) in [index, shape, size].into_iter().enumerate() {
            message[at * 4..][..4].copy_from_slice(&(word as u32).to_le_bytes());
        }
        message
    }

    /// How many clients are connected.
    pub fn clients(&self) -> usize {
        self.slots.iter().flatten().count()
    }

    /// Event buffers that nobody has.
    pub fn free(&self) -> usize {
        self.free.len()
    }

    /// Does what clients ask for: takes new ones, lets dead ones go, takes back what is given back.
    pub fn poll(&mut self) {
        while let Ok((stream, _)) = self.listener.accept() {
            match self.slots.iter().position(Option::is_none) {
                Some(at) => {
                    let mut slot = Slot::new(stream);
                    if slot.send(&self.message(at)) {
                        self.slots[at] = Some(slot);
                        self.catch_up(at);
                    }
                }
                None => self.counts.rejected += 1,
            }
            let _ = self.announce();
        }
        for at in 0..self.slots.len() {
            let Some(slot) = &mut self.slots[at] else { continue };
            if !slot.receive() {
                self.retire(at);
            } else if slot.behind && slot.outstanding.is_empty() {
                slot.behind = false;
                self.catch_up(at);
            }
        }
        while let Some(message) = self.queues[self.options.queues].receive() {
            self.take_back(&message);
        }
    }

    /// Sleeps until a client asks for something, or the time is over.
    pub fn wait(&self, most: Duration) {
        let slots = self.slots.iter().flatten().map(Slot::fd);
        let back = self.queues[self.options.queues].fd();
        let fds = slots.chain([back, self.listener.as_fd()]);
        let mut fds: Vec<PollFd<'_>> =
            fds.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)).collect();
        let _ = poll(&mut fds, Timespec::try_from(most).ok().as_ref());
    }

    fn take_back(&mut self, message: &Message) {
        let index = queue::index(message);
        if index >= self.options.events || self.free.contains(&index) {
            self.counts.wrong += 1;
            return;
        }
        self.counts.returned += 1;
        self.owner[index] = None;
        self.free.push_back(index);
    }

    /// Sends the transitions of the present state.
    fn catch_up(&mut self, at: usize) {
        for (service, index) in self.cache.clone() {
            let message = self.message(index);
            if let Some(slot) = &mut self.slots[at] {
                slot.transition(service, index, &message);
            }
        }
    }

    /// A client is gone: what it had is free.
    fn retire(&mut self, at: usize) {
        self.slots[at] = None;
        self.pull_back(at);
        for index in 0..self.options.events {
            if self.owner[index] == Some(at) && !self.free.contains(&index) {
                self.owner[index] = None;
                self.free.push_back(index);
            }
        }
    }

    fn pull_back(&mut self, at: usize) {
        while let Some(message) = self.queues[at].receive() {
            let index = queue::index(&message);
            self.counts.stolen += 1;
            self.owner[index] = None;
            self.free.push_back(index);
        }
    }

    /// Whether an event would find a buffer and a place in a queue, and steal none.
    pub fn has_room(&self) -> bool {
        !self.free.is_empty() && self.queues[..self.options.queues].iter().any(|q| !q.is_full())
    }

    /// Offers an event: into a free buffer, else into the oldest that is not yet read.
    pub fn event(&mut self, dgram: &[u8]) {
        let index = self.free.pop_front().or_else(|| self.steal());
        let Some(index) = index else {
            self.counts.dropped += 1;
            return;
        };
        self.put(index, dgram);
        self.post(index);
    }

    fn steal(&mut self) -> Option<usize> {
        for _ in 0..self.options.queues {
            let at = self.steal;
            self.steal = (self.steal + 1) % self.options.queues;
            if let Some(message) = self.queues[at].receive() {
                self.counts.stolen += 1;
                return Some(queue::index(&message));
            }
        }
        None
    }

    fn post(&mut self, index: usize) {
        let message = self.message(index);
        for step in 0..self.options.queues {
            let at =
                if self.options.serial { step } else { (self.next + step) % self.options.queues };
            if self.queues[at].send(&message) {
                self.next = (at + 1) % self.options.queues;
                self.owner[index] = Some(at);
                self.counts.posted += 1;
                return;
            }
        }
        self.counts.dropped += 1;
        self.free.push_back(index);
    }

    /// Tells all clients the present state, as if they had missed it.
    pub fn tell_again(&mut self) {
        (0..self.slots.len()).for_each(|at| self.catch_up(at));
    }

    /// Events in queues that nobody has read.
    pub fn unread(&self) -> usize {
        self.queues[..self.options.queues].iter().map(Mqueue::len).sum()
    }

    /// Transitions that clients have not given back.
    pub fn unreturned(&self) -> usize {
        self.slots.iter().flatten().map(|slot| slot.outstanding.len()).sum()
    }

    /// Writes whatever bytes into a buffer.
    pub fn put(&self, index: usize, bytes: &[u8]) {
        assert!(bytes.len() <= self.options.size, "a datagram of {} bytes", bytes.len());
        self.memory.write_all_at(bytes, (index * self.options.size) as u64).unwrap();
    }

    /// Sends whatever message as an event's.
    pub fn send_raw(&self, queue: usize, message: &Message) -> bool {
        self.queues[queue].send(message)
    }

    /// Offers a transition to all clients.
    pub fn transition(&mut self, dgram: &[u8]) {
        self.poll();
        let service = dgram::service(dgram);
        let events = self.options.events;
        let used = |index: &usize| {
            self.cache.iter().any(|(_, cached)| cached == index)
                || self.slots.iter().flatten().any(|slot| slot.has(*index))
        };
        let Some(index) = (events..events + TRANSITIONS).find(|index| !used(index)) else {
            self.counts.skipped += 1;
            return;
        };
        self.put(index, dgram);
        self.remember(service, index);
        if service == dgram::ENABLE {
            (0..self.options.queues).for_each(|at| self.pull_back(at));
        }
        let message = self.message(index);
        for slot in self.slots.iter_mut().flatten() {
            slot.broadcast(service, index, &message);
        }
    }

    /// Begins (even) are kept until their end (the odd number behind) comes.
    fn remember(&mut self, service: u8, index: usize) {
        if service == dgram::SLOW_UPDATE || service < dgram::CONFIGURE {
            return;
        }
        let level = service & !1;
        self.cache.retain(|(cached, _)| *cached < level);
        if service.is_multiple_of(2) {
            self.cache.push((service, index));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let (_, discovery, queues) = names(&self.options.tag, self.options.queues);
        queues.iter().chain([&discovery]).for_each(|name| queue::unlink(name));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_those_of_a_real_server() {
        let tag = format!("capture{}", std::process::id());
        let size = 0x10000;
        let options = Options { tag: tag.clone(), events: 8, queues: 1, size, serial: false };
        let hex = |message: &Message| -> String {
            message
                .chunks(4)
                .map(|w| w.iter().map(|b| format!("{b:02x}")).collect::<String>() + " ")
                .collect()
        };
        let server = Server::start(options.clone()).unwrap();
        assert_eq!(hex(&server.message(0)), "00000000 1a010100 00000100 00000000 ");
        assert_eq!(hex(&server.message(8)), "08000000 1a010100 00000100 00000000 ");
        drop(server);
        let server = Server::start(Options { queues: 2, serial: true, ..options }).unwrap();
        assert_eq!(hex(&server.message(1)), "01000000 1a020000 00000100 00000000 ");
        drop(server);
        clean(&tag, 2);
    }
}
