//! A bound in bytes on what waits for each peer of a socket.

use zmq::Socket;

/// Bounds a socket's queues per peer by bytes: ZeroMQ counts messages, so the bound follows the
/// largest message.
#[derive(Debug, Clone, Copy)]
pub struct ByteBound {
    bytes: usize,
    most: i32,
    least: i32,
    set: i32,
    pressed: bool,
}

impl ByteBound {
    /// At most so many bytes and messages per subscriber; but `least` messages always.
    pub const fn new(bytes: usize, most: i32, least: i32) -> ByteBound {
        ByteBound { bytes, most, least, set: most, pressed: false }
    }

    /// Holds every subscriber to one message, or to what it was.
    ///
    /// # Errors
    /// Those of ZeroMQ.
    pub fn press(&mut self, socket: &Socket, short: bool) -> Result<(), zmq::Error> {
        self.pressed = short;
        socket.set_sndhwm(if short { 1 } else { self.set })
    }

    /// A message of this size is about to be sent.
    ///
    /// # Errors
    /// Those of ZeroMQ.
    pub fn sending(&mut self, socket: &Socket, size: usize) -> Result<(), zmq::Error> {
        let fits = i32::try_from(self.bytes / size.max(1)).unwrap_or(i32::MAX);
        let bound = fits.max(self.least).min(self.most.max(1));
        if bound < self.set {
            // Also holds for subscribers that are there already.
            self.set = bound;
            if !self.pressed {
                socket.set_sndhwm(bound)?;
            }
        }
        Ok(())
    }
}
