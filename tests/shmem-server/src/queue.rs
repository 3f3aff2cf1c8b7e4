//! Message queues as the server makes them.

use crate::Message;
use anyhow::Context;
use nix::mqueue::{
    MQ_OFlag, MqAttr, MqdT, mq_close, mq_getattr, mq_open, mq_receive, mq_send, mq_unlink,
};
use nix::sys::stat::Mode;
use std::os::fd::{AsFd, BorrowedFd};

/// A queue, open at both ends.
#[derive(Debug)]
pub struct Mqueue(Option<MqdT>);

/// The buffer in a message.
pub fn index(message: &Message) -> usize {
    u32::from_le_bytes([message[0], message[1], message[2], message[3]]) as usize
}

/// Removes a name, if it is there.
pub fn unlink(name: &str) {
    let _ = mq_unlink(name);
}

impl Mqueue {
    /// Makes one with room for so many messages.
    ///
    /// # Errors
    /// When the system allows fewer messages (`/proc/sys/fs/mqueue/msg_max`).
    pub fn create(name: &str, room: usize) -> anyhow::Result<Mqueue> {
        let flags = MQ_OFlag::O_CREAT | MQ_OFlag::O_RDWR | MQ_OFlag::O_NONBLOCK;
        let attributes = MqAttr::new(0, room as i64, size_of::<Message>() as i64, 0);
        let queue = mq_open(name, flags, Mode::from_bits_truncate(0o666), Some(&attributes));
        Ok(Mqueue(Some(queue.with_context(|| format!("{name} for {room} messages"))?)))
    }

    /// Opens one that is there.
    pub fn open(name: &str) -> Option<Mqueue> {
        let flags = MQ_OFlag::O_RDWR | MQ_OFlag::O_NONBLOCK;
        mq_open(name, flags, Mode::empty(), None).ok().map(|queue| Mqueue(Some(queue)))
    }

    fn get(&self) -> &MqdT {
        self.0.as_ref().unwrap()
    }

    /// False when it is full.
    pub fn send(&self, message: &Message) -> bool {
        mq_send(self.get(), message, 0).is_ok()
    }

    /// The oldest message.
    pub fn receive(&self) -> Option<Message> {
        let mut message = [0; 16];
        mq_receive(self.get(), &mut message, &mut 0).ok().map(|_| message)
    }

    /// Readable when there is a message.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.get().as_fd()
    }

    /// Messages in it.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        mq_getattr(self.get()).map_or(0, |a| a.curmsgs() as usize)
    }

    /// Whether it has no room.
    pub fn is_full(&self) -> bool {
        mq_getattr(self.get()).is_ok_and(|a| a.curmsgs() >= a.maxmsg())
    }
}

impl Drop for Mqueue {
    fn drop(&mut self) {
        let _ = self.0.take().map(mq_close);
    }
}
