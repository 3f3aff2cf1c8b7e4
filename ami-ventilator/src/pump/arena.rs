//! The ring as the arena of chunks.

use ami_proto::data_path::chunk::Arena;
use ami_shm::RingWriter;

/// The ring, with some room held back so that the index of an open chunk always finds its place.
pub struct RingArena<'a> {
    /// The ring.
    pub ring: &'a mut RingWriter,
    /// Bytes held back; 0 when sealing.
    pub margin: usize,
}

impl Arena for RingArena<'_> {
    fn reserve(&mut self, len: usize) -> Option<u64> {
        if self.margin > 0 && self.ring.free() < len.saturating_add(self.margin) {
            return None;
        }
        self.ring.reserve(len)
    }

    fn bytes_mut(&mut self, position: u64, len: usize) -> &mut [u8] {
        self.ring.bytes_mut(position, len)
    }

    fn write(&mut self, position: u64, from: &[u8]) {
        self.ring.write(position, from);
    }

    fn rewind(&mut self, position: u64) {
        self.ring.rewind(position);
    }

    fn head(&self) -> u64 {
        self.ring.next_position()
    }
}
