//! The lanes' outer side: a PUSH socket, a pidfd and a place in the ring's lane table each.

use ami_proto::codec;
use ami_proto::data_path::ventilator_to_worker::LaneMessage;
use ami_proto::socket::{self, Queue, Socket};
use ami_shm::RingWriter;
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use std::collections::BTreeMap;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::time::{Duration, Instant};

/// A worker or recorder on a lane.
pub struct Seat {
    /// Where its stream goes.
    pub endpoint: String,
    /// Its name.
    pub name: String,
    /// This holder of the lane.
    pub generation: u64,
    socket: Socket,
    pidfd: OwnedFd,
    /// Progress seen last, and when.
    progress: (u64, Instant),
}

/// All seats, by lane.
pub struct Seats {
    context: socket::Context,
    seats: BTreeMap<u32, Seat>,
    lanes: u32,
    generation: u64,
    deadline: Duration,
}

impl Seats {
    /// No seats, of so many lanes.
    pub fn new(context: socket::Context, lanes: usize, deadline: Duration) -> Seats {
        Seats { context, seats: BTreeMap::new(), lanes: lanes as u32, generation: 0, deadline }
    }

    /// Gives a newcomer a lane; None when it has one already or cannot have one.
    pub fn admit(
        &mut self,
        ring: &mut RingWriter,
        endpoint: &str,
        name: &str,
        pid: u32,
    ) -> Option<u32> {
        if self.seats.values().any(|s| s.endpoint == endpoint) {
            return None;
        }
        let Some(lane) = (0..self.lanes).find(|l| !self.seats.contains_key(l)) else {
            tracing::warn!(name, lanes = self.lanes, "no lane is free: raise ventilator.lanes");
            return None;
        };
        // A process that is gone by now gets no seat; the descriptor cannot mean another later.
        let pidfd = i32::try_from(pid).ok().and_then(Pid::from_raw);
        let pidfd = pidfd.and_then(|p| pidfd_open(p, PidfdFlags::NONBLOCK).ok())?;
        let socket =
            socket::connect(&self.context, zmq::PUSH, Queue::Lane, endpoint, "a worker's lane");
        let socket = match socket {
            Ok(socket) => socket,
            Err(error) => {
                tracing::warn!(%error, name, "worker not admitted");
                return None;
            }
        };
        // A dead worker's queue is worth nothing: its units are replayed elsewhere.
        let _ = socket.set_linger(0);
        self.generation += 1;
        let generation = self.generation;
        ring.open_lane(lane as usize, generation);
        let seat = Seat {
            endpoint: endpoint.to_string(),
            name: name.to_string(),
            generation,
            socket,
            pidfd,
            progress: (0, Instant::now()),
        };
        self.seats.insert(lane, seat);
        tracing::info!(name, lane, pid, "worker takes a lane");
        Some(lane)
    }

    /// The seat of a lane.
    pub fn get(&self, lane: u32) -> Option<&Seat> {
        self.seats.get(&lane)
    }

    /// Number of seats.
    pub fn len(&self) -> usize {
        self.seats.len()
    }

    /// The lane of this holder, if it still has it.
    pub fn holder(&self, lane: u32, generation: u64) -> Option<&Seat> {
        self.seats.get(&lane).filter(|s| s.generation == generation)
    }

    /// Takes a lane away: its holder, should it live, finds itself fenced.
    pub fn remove(&mut self, ring: &mut RingWriter, lane: u32, reason: &str) {
        if let Some(seat) = self.seats.remove(&lane) {
            ring.fence(lane as usize);
            tracing::warn!(name = seat.name, lane, reason, "lane fenced");
        }
    }

    /// Sends on a lane; `body` follows as a frame of its own.
    pub fn send(&self, lane: u32, message: &LaneMessage, body: Option<&[u8]>) {
        let Some(seat) = self.seats.get(&lane) else { return };
        let frames = std::iter::once(codec::encode(message)).chain(body.map(<[u8]>::to_vec));
        if let Err(error) = socket::send(&seat.socket, frames) {
            tracing::warn!(%error, name = seat.name, "cannot send on a lane");
        }
    }

    /// Descriptors that become readable when a holder dies.
    pub fn pidfds(&self) -> impl Iterator<Item = (u32, RawFd)> {
        self.seats.iter().map(|(lane, seat)| (*lane, seat.pidfd.as_raw_fd()))
    }

    /// Lanes whose process is gone.
    pub fn dead(&self) -> Vec<u32> {
        use rustix::event::{PollFd, PollFlags, poll};
        let gone = |seat: &Seat| {
            let mut fds = [PollFd::new(&seat.pidfd, PollFlags::IN)];
            poll(&mut fds, Some(&rustix::time::Timespec { tv_sec: 0, tv_nsec: 0 }))
                .is_ok_and(|n| n > 0)
        };
        self.seats.iter().filter(|(_, s)| gone(s)).map(|(l, _)| *l).collect()
    }

    /// Busy lanes that made no progress for the deadline although they wait for nobody.
    pub fn stuck(&mut self, ring: &RingWriter, busy: impl Iterator<Item = (u32, u64)>) -> Vec<u32> {
        let now = Instant::now();
        let busy: BTreeMap<u32, u64> = busy.collect();
        let mut stuck = Vec::new();
        for (&lane, seat) in &mut self.seats {
            let view = ring.lane(lane as usize);
            let progress =
                view.progress().wrapping_add(busy.get(&lane).copied().unwrap_or(0) << 32);
            let waits = view.waiting() || !busy.contains_key(&lane);
            if waits || progress != seat.progress.0 {
                seat.progress = (progress, now);
            } else if now - seat.progress.1 >= self.deadline {
                stuck.push(lane);
            }
        }
        stuck
    }
}
