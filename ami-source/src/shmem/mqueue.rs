//! POSIX message queues, opened by name and never waited for. Linux lets them be polled like files.

use crate::shmem::message::{LEN, Message};
use nix::errno::Errno;
use nix::mqueue::{MQ_OFlag, MqdT, mq_close, mq_getattr, mq_open, mq_receive, mq_send};
use nix::sys::stat::Mode;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

/// One end of a queue that somebody else made.
#[derive(Debug)]
pub struct Queue {
    /// None only while it is being closed.
    descriptor: Option<MqdT>,
}

impl Queue {
    /// To receive from it.
    ///
    /// # Errors
    /// When there is none of this name, it may not be read, or its messages are not of the protocol.
    pub fn reader(name: &str) -> io::Result<Queue> {
        Queue::open(name, MQ_OFlag::O_RDONLY)
    }

    /// To send to it.
    ///
    /// # Errors
    /// When there is none of this name, or it may not be written.
    pub fn writer(name: &str) -> io::Result<Queue> {
        Queue::open(name, MQ_OFlag::O_WRONLY)
    }

    fn open(name: &str, access: MQ_OFlag) -> io::Result<Queue> {
        let flags = access | MQ_OFlag::O_NONBLOCK | MQ_OFlag::O_CLOEXEC;
        let queue = Queue { descriptor: Some(mq_open(name, flags, Mode::empty(), None)?) };
        let bytes = mq_getattr(queue.get()?)?.msgsize();
        if bytes != LEN as i64 {
            let reason = format!("{name} has messages of {bytes} bytes, not {LEN}");
            return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
        }
        Ok(queue)
    }

    fn get(&self) -> io::Result<&MqdT> {
        self.descriptor.as_ref().ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    /// The oldest message; None when there is none.
    ///
    /// # Errors
    /// When the queue is broken, or the message is shorter than one of the protocol.
    pub fn receive(&self) -> io::Result<Option<Message>> {
        let mut message = [0; LEN];
        loop {
            match mq_receive(self.get()?, &mut message, &mut 0) {
                Ok(LEN) => return Ok(Some(message)),
                Ok(_) => return Err(io::ErrorKind::InvalidData.into()),
                Err(Errno::EAGAIN) => return Ok(None),
                Err(Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Sends a message; false when the queue is full.
    ///
    /// # Errors
    /// When the queue is broken.
    pub fn send(&self, message: &Message) -> io::Result<bool> {
        loop {
            match mq_send(self.get()?, message, 0) {
                Ok(()) => return Ok(true),
                Err(Errno::EAGAIN) => return Ok(false),
                Err(Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// What becomes readable or writable.
    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.descriptor.as_ref().map(AsFd::as_fd)
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        if let Some(descriptor) = self.descriptor.take() {
            // Nothing can be done about a close that fails.
            let _ = mq_close(descriptor);
        }
    }
}
