//! A socket that is received from, and the wait for several of them.
//!
//! libzmq looks by system calls whether a socket has something, and `zmq_poll` lets it look at each socket
//! before the wait and after it: sixty calls of a root for one heartbeat. Of a socket of which all was
//! received only the descriptor has to be asked: it is readable once libzmq has something to do for it
//! (ZMQ_FD in the manual of `zmq_getsockopt`).

use std::cell::Cell;
use std::os::fd::{AsRawFd, RawFd};
use std::time::Duration;
use zmq::{DONTWAIT, Message, PollEvents, PollItem, Socket};

/// See the module's documentation.
pub struct Inlet {
    socket: Socket,
    descriptor: RawFd,
    /// False once nothing was there, until its descriptor says otherwise. Sending may make libzmq take
    /// what came meanwhile, of which the descriptor then says nothing.
    may_have: Cell<bool>,
}

impl std::fmt::Debug for Inlet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Inlet({})", self.descriptor)
    }
}

impl From<Socket> for Inlet {
    fn from(socket: Socket) -> Inlet {
        Inlet { descriptor: socket.as_raw_fd(), socket, may_have: Cell::new(true) }
    }
}

impl Inlet {
    /// The socket, for all but receiving and waiting.
    pub fn socket(&self) -> &Socket {
        self.may_have.set(true);
        &self.socket
    }

    /// Receives one multipart message into `frames` if one is there, without copying. What came after
    /// nothing was there is found after the next [`wait`].
    ///
    /// # Errors
    /// Those of ZeroMQ other than "nothing there".
    pub fn receive(&self, frames: &mut Vec<Message>) -> Result<bool, zmq::Error> {
        frames.clear();
        if !self.may_have.get() {
            return Ok(false);
        }
        let mut more = true;
        while more {
            let mut message = Message::new();
            match self.socket.recv(&mut message, DONTWAIT) {
                Ok(()) => {
                    more = message.get_more();
                    frames.push(message);
                }
                Err(zmq::Error::EAGAIN) if frames.is_empty() => {
                    self.may_have.set(false);
                    return Ok(false);
                }
                Err(zmq::Error::EINTR) if frames.is_empty() => return Ok(false),
                Err(zmq::Error::EINTR) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    fn item(&self) -> PollItem<'static> {
        PollItem::from_fd(self.descriptor, PollEvents::POLLIN)
    }
}

/// Waits until one of the inlets may have something or the time is over. A signal ends the wait early.
///
/// # Errors
/// Those of ZeroMQ.
pub fn wait<const N: usize>(inlets: [&Inlet; N], timeout: Duration) -> Result<(), zmq::Error> {
    poll(inlets, &mut inlets.map(Inlet::item), timeout)
}

/// As [`wait`], for any number of inlets; descriptors that become readable end it, too.
///
/// # Errors
/// Those of ZeroMQ.
pub fn wait_for_any<'a>(
    inlets: impl Iterator<Item = &'a Inlet> + Clone,
    descriptors: impl Iterator<Item = RawFd>,
    timeout: Duration,
) -> Result<(), zmq::Error> {
    let others = descriptors.map(|d| PollItem::from_fd(d, PollEvents::POLLIN));
    let mut items: Vec<PollItem<'_>> = inlets.clone().map(Inlet::item).chain(others).collect();
    poll(inlets, &mut items, timeout)
}

/// The first items are those of the inlets.
fn poll<'a>(
    inlets: impl IntoIterator<Item = &'a Inlet> + Clone,
    items: &mut [PollItem<'_>],
    timeout: Duration,
) -> Result<(), zmq::Error> {
    let may_have = inlets.clone().into_iter().any(|inlet| inlet.may_have.get());
    let timeout = if may_have { Duration::ZERO } else { timeout };
    // Rounded up, so that a wait for a part of a millisecond does not spin.
    let milliseconds = timeout.as_micros().div_ceil(1000) as i64;
    let interrupted = match zmq::poll(items, milliseconds) {
        Ok(_) => false,
        Err(zmq::Error::EINTR) => true,
        Err(error) => return Err(error),
    };
    for (inlet, item) in inlets.into_iter().zip(items) {
        // An error is the socket's to tell.
        if interrupted || item.is_readable() || item.is_error() {
            inlet.may_have.set(true);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Far longer than any machine needs.
    const LONG: Duration = Duration::from_secs(60);

    /// An inlet of which nothing is to be received, and who sends to it.
    fn pair(kind: zmq::SocketType, other: zmq::SocketType) -> (zmq::Context, Inlet, Socket) {
        let context = zmq::Context::new();
        let (socket, peer) = (context.socket(kind).unwrap(), context.socket(other).unwrap());
        socket.bind("inproc://inlet").unwrap();
        peer.connect("inproc://inlet").unwrap();
        let inlet = Inlet::from(socket);
        assert!(!inlet.receive(&mut Vec::new()).unwrap());
        (context, inlet, peer)
    }

    fn receives(inlet: &Inlet) -> Option<Vec<u8>> {
        let mut frames = Vec::new();
        let there = inlet.receive(&mut frames).unwrap();
        there.then(|| frames.iter().flat_map(|f| f.to_vec()).collect())
    }

    #[test]
    fn what_comes_after_nothing_was_there_ends_the_wait() {
        let (_context, inlet, peer) = pair(zmq::PULL, zmq::PUSH);
        wait([&inlet], Duration::from_millis(1)).unwrap();
        assert_eq!(receives(&inlet), None);
        let sender = std::thread::spawn(move || {
            peer.send_multipart(["1", "2"], 0).unwrap();
            peer
        });
        while receives(&inlet).is_none_or(|m| m != b"12") {
            wait([&inlet], LONG).unwrap();
        }
        drop(sender.join().unwrap());
    }

    #[test]
    fn nobody_waits_for_what_was_left() {
        let (_context, inlet, peer) = pair(zmq::PULL, zmq::PUSH);
        peer.send("first", 0).unwrap();
        peer.send("second", 0).unwrap();
        wait([&inlet], LONG).unwrap();
        assert_eq!(receives(&inlet).unwrap(), b"first");
        assert!(inlet.may_have.get(), "the wait would be long");
        wait_for_any([&inlet].into_iter(), std::iter::empty(), LONG).unwrap();
        assert_eq!(receives(&inlet).unwrap(), b"second");
        assert_eq!(receives(&inlet), None);
    }

    #[test]
    fn what_libzmq_took_while_it_was_asked_for_something_else_is_found() {
        let (_context, inlet, peer) = pair(zmq::DEALER, zmq::DEALER);
        peer.send("came meanwhile", 0).unwrap();
        // Sending does this only now and then.
        inlet.socket().get_events().unwrap();
        assert!(inlet.may_have.get(), "the wait would be long");
        wait([&inlet], LONG).unwrap();
        assert_eq!(receives(&inlet).unwrap(), b"came meanwhile");
    }
}
