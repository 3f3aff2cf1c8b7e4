//! A message as it came, and recordings of messages.

use crate::live::Feed;
use crate::live::inflow::Room;

/// One message of a peer. Its place in the queue is free again when it is dropped.
#[derive(Debug)]
pub struct Message {
    /// Its frames.
    pub frames: Vec<zmq::Message>,
    /// Which of the sockets it came by, in the order of the URL's addresses where each has its own.
    pub from: usize,
    /// When it was received, ns since 1970.
    pub at_ns: u64,
    _room: Option<Room>,
}

impl Message {
    /// As it was received.
    pub(crate) fn received(
        frames: Vec<zmq::Message>,
        from: usize,
        at_ns: u64,
        room: Room,
    ) -> Message {
        Message { frames, from, at_ns, _room: Some(room) }
    }

    /// Of bytes that are there.
    pub fn of(frames: &[impl AsRef<[u8]>], from: usize, at_ns: u64) -> Message {
        let frames = frames.iter().map(|f| zmq::Message::from(f.as_ref())).collect();
        Message { frames, from, at_ns, _room: None }
    }

    /// A frame's bytes; none when there is no such frame.
    pub fn frame(&self, at: usize) -> &[u8] {
        self.frames.get(at).map_or(&[], |frame| frame)
    }

    /// Bytes of all frames.
    pub fn bytes(&self) -> usize {
        self.frames.iter().map(|f| f.len()).sum()
    }
}

/// Messages that were written down, as if they came one millisecond after another: for tests of what
/// they come to.
#[derive(Debug)]
pub struct Recorded {
    messages: std::vec::IntoIter<Vec<Vec<u8>>>,
    at_ns: u64,
}

/// When the first recorded message comes.
const BEGIN_NS: u64 = 1_700_000_000_000_000_000;

impl Recorded {
    /// Frames of each message.
    pub fn new(messages: Vec<Vec<Vec<u8>>>) -> Recorded {
        Recorded { messages: messages.into_iter(), at_ns: BEGIN_NS }
    }
}

impl Feed for Recorded {
    fn next(&mut self) -> anyhow::Result<Option<Message>> {
        let Some(frames) = self.messages.next() else { return Ok(None) };
        self.at_ns += 1_000_000;
        Ok(Some(Message::of(&frames, 0, self.at_ns)))
    }

    fn ended(&self) -> bool {
        self.messages.as_slice().is_empty()
    }

    fn now_ns(&self) -> u64 {
        // At the end everything has waited long enough.
        if self.ended() { u64::MAX } else { self.at_ns }
    }
}
