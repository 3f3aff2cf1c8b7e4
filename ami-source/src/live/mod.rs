//! What the sources of ZeroMQ messages share: the thread that receives, and the order of what comes.
//!
//! ```text
//! peers ─► sockets ─► [thread] ─► queue, bounded in bytes ─► Wire: message ─► transitions, events ─► reader
//! ```
//!
//! A [`Wire`] knows a protocol and no socket: it gets messages and says what they come to. [`Live`]
//! is the source around it. So each protocol is tested with messages alone, and [`Feed`] may as well
//! be a recording of them.

mod addresses;
mod asking;
#[cfg(test)]
pub(crate) mod drained;
pub(crate) mod fields;
mod inflow;
mod message;

pub(crate) use addresses::{addresses, detector};
pub use inflow::{Inflow, Plan, Replies};
pub use message::{Message, Recorded};

use crate::source::{Next, Source, Transition, Written};
use crate::timed::Timed;
use ami_proto::data_path::chunk::{ChunkWriter, Full};
use std::collections::VecDeque;
use std::os::fd::BorrowedFd;
use std::time::Duration;

/// Messages looked at before the reader is asked again: what comes to nothing must not hold it.
const STRETCH: usize = 256;

/// What messages came to.
#[derive(Debug)]
pub enum Ahead<E> {
    /// A transition.
    Transition(Transition),
    /// An event of this timestamp.
    Event(u64, E),
}

/// A protocol: what its messages come to.
pub trait Wire {
    /// An event as it came: it holds its message.
    type Event;

    /// Takes a message and adds what it comes to, if anything. Damage is counted.
    fn on(&mut self, message: Message, ahead: &mut VecDeque<Ahead<Self::Event>>);

    /// Writes an event that was begun at `stamp`. What is damaged in it is left out, and counted once.
    ///
    /// # Errors
    /// When the ring has no room: the caller takes the event back.
    fn write(
        &mut self,
        event: &mut Self::Event,
        stamp: u64,
        out: &mut ChunkWriter<'_>,
    ) -> Result<(), Full>;

    /// The event was taken, written or dropped.
    fn taken(&mut self, _event: Self::Event, _written: bool) {}

    /// Nothing is there to be taken: adds what waited for more to come, if it has waited long enough.
    fn idle(&mut self, _now_ns: u64, _ahead: &mut VecDeque<Ahead<Self::Event>>) {}

    /// Things worth telling, by name.
    fn counters(&self) -> Vec<(&'static str, u64)>;
}

/// Where messages come from.
pub trait Feed {
    /// The next message, if one is there.
    ///
    /// # Errors
    /// When there will never be one again, and should be.
    fn next(&mut self) -> anyhow::Result<Option<Message>>;

    /// Nothing will come any more.
    fn ended(&self) -> bool {
        false
    }

    /// No peer is there.
    fn lost(&self) -> bool {
        false
    }

    /// Now, ns since 1970.
    fn now_ns(&self) -> u64;

    /// Becomes readable when something may have come.
    fn wakes(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    /// Things worth telling, by name.
    fn counters(&self) -> Vec<(&'static str, u64)> {
        Vec::new()
    }
}

/// The source of a protocol's messages.
#[derive(Debug)]
pub struct Live<F, W: Wire> {
    feed: F,
    wire: W,
    ahead: VecDeque<Ahead<W::Event>>,
    /// The last look ended before all was looked at.
    more: bool,
}

impl<F: Feed, W: Wire> Live<F, W> {
    /// Before the first message.
    pub fn new(feed: F, wire: W) -> Live<F, W> {
        Live { feed, wire, ahead: VecDeque::new(), more: false }
    }

    fn take(&mut self, written: bool) {
        if let Some(Ahead::Event(_, event)) = self.ahead.pop_front() {
            self.wire.taken(event, written);
        }
    }
}

impl<F: Feed, W: Wire> Source for Live<F, W> {
    fn next(&mut self) -> anyhow::Result<Next> {
        self.more = false;
        for _ in 0..STRETCH {
            match self.ahead.front() {
                Some(Ahead::Event(stamp, _)) => return Ok(Next::Event(*stamp)),
                Some(Ahead::Transition(t)) => return Ok(Next::Transition(t.timestamp)),
                None => {}
            }
            match self.feed.next()? {
                Some(message) => self.wire.on(message, &mut self.ahead),
                None => {
                    self.wire.idle(self.feed.now_ns(), &mut self.ahead);
                    if self.ahead.is_empty() {
                        return Ok(if self.feed.ended() { Next::End } else { Next::Pending });
                    }
                }
            }
        }
        self.more = true;
        Ok(Next::Pending)
    }

    fn transition(&mut self) -> Option<Transition> {
        match self.ahead.pop_front()? {
            Ahead::Transition(transition) => Some(transition),
            event => {
                self.ahead.push_front(event);
                None
            }
        }
    }

    fn write(
        &mut self,
        out: &mut ChunkWriter<'_>,
        before: u64,
        max: usize,
    ) -> anyhow::Result<Written> {
        let mut last = None;
        let mut written = 0;
        while written < max && out.room() > 0 {
            let stamp = match self.next() {
                Ok(Next::Event(stamp)) => stamp,
                // What is written stands; the next call meets the error again.
                Err(error) if written == 0 => return Err(error),
                _ => break,
            };
            if last.is_some_and(|last| stamp < last || stamp >= before) {
                break;
            }
            let Some(Ahead::Event(_, event)) = self.ahead.front_mut() else { break };
            out.event(stamp);
            if self.wire.write(event, stamp, out).is_err() {
                out.cancel();
                return Ok(Written::Full(written));
            }
            self.take(true);
            last = Some(stamp);
            written += 1;
        }
        Ok(Written::Events(written))
    }

    fn skip(&mut self) {
        if let Some(Ahead::Event(..)) = self.ahead.front() {
            self.take(false);
        }
    }

    fn counters(&self) -> Vec<(&'static str, u64)> {
        [self.feed.counters(), self.wire.counters()].concat()
    }

    fn canned(&self) -> bool {
        false
    }

    fn lost(&self) -> bool {
        self.feed.lost()
    }

    fn due_in(&self) -> Option<Duration> {
        self.more.then_some(Duration::ZERO)
    }

    fn wakes(&self) -> Option<BorrowedFd<'_>> {
        self.feed.wakes()
    }
}

impl<F: Feed, W: Wire> Timed for Live<F, W> {}
