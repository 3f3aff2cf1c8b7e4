//! Which part of the ring is free, reserved and published: pure arithmetic on virtual positions.

use crate::layout::ALIGN;

/// `tail..head` is published, `head..next` reserved, the rest free.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Space {
    capacity: u64,
    tail: u64,
    head: u64,
    next: u64,
}

impl Space {
    pub(crate) fn new(capacity: usize) -> Space {
        Space { capacity: capacity as u64, tail: 0, head: 0, next: 0 }
    }

    pub(crate) fn tail(&self) -> u64 {
        self.tail
    }

    pub(crate) fn head(&self) -> u64 {
        self.head
    }

    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    /// Bytes not reserved; a reservation may still fail when they are not in one piece.
    pub(crate) fn free(&self) -> usize {
        // Saturating: see the empty ring in `reserve`.
        self.capacity.saturating_sub(self.next - self.tail) as usize
    }

    pub(crate) fn fits(&self, len: usize) -> bool {
        len as u64 <= self.capacity
    }

    pub(crate) fn reserve(&mut self, len: usize) -> Option<u64> {
        if !self.fits(len) {
            return None;
        }
        let to_end = self.capacity - self.next % self.capacity;
        let skip = if len as u64 > to_end { to_end } else { 0 };
        let start = self.next + skip;
        let end = (start + len as u64).next_multiple_of(ALIGN as u64);
        // In an empty ring the skipped gap holds nothing worth keeping, and counting it would
        // refuse for ever a record that is longer than half of the ring.
        let oldest = if self.tail == self.next { start } else { self.tail };
        if end - oldest > self.capacity {
            return None;
        }
        self.next = end;
        Some(start)
    }

    /// False if the position is not inside what is reserved.
    pub(crate) fn rewind(&mut self, position: u64) -> bool {
        let Some(position) = position.checked_next_multiple_of(ALIGN as u64) else { return false };
        let ok = (self.head..=self.next).contains(&position);
        if ok {
            self.next = position;
        }
        ok
    }

    pub(crate) fn publish(&mut self) {
        self.head = self.next;
    }

    /// False if the position is not yet published.
    pub(crate) fn free_to(&mut self, position: u64) -> bool {
        let ok = position <= self.head;
        if ok {
            self.tail = self.tail.max(position);
        }
        ok
    }

    pub(crate) fn is_reserved(&self, position: u64, len: usize) -> bool {
        position >= self.head && in_one_piece(position, len, self.next, self.capacity)
    }

    pub(crate) fn is_published(&self, position: u64, len: usize) -> bool {
        position >= self.tail && in_one_piece(position, len, self.head, self.capacity)
    }
}

/// Whether `position..position + len` ends by `end` and does not straddle the arena's end.
pub(crate) fn in_one_piece(position: u64, len: usize, end: u64, capacity: u64) -> bool {
    position.checked_add(len as u64).is_some_and(|last| last <= end)
        && len as u64 <= capacity - position % capacity
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_of_the_whole_capacity_fits_an_empty_ring_anywhere() {
        let mut space = Space::new(4096);
        for _ in 0..4 {
            let small = space.reserve(1000).unwrap();
            assert_eq!(small % 64, 0);
            assert_eq!(space.reserve(4096), None);
            space.publish();
            assert!(space.free_to(space.head()));
            let whole = space.reserve(4096).unwrap();
            assert_eq!(whole % 4096, 0);
            assert_eq!((space.free(), space.reserve(1)), (0, None));
            space.publish();
            assert!(space.free_to(space.head()));
        }
        assert!(!space.fits(4097) && space.reserve(4097).is_none());
    }

    #[test]
    fn published_bytes_cannot_be_rewound_nor_reserved_ones_freed() {
        let mut space = Space::new(4096);
        space.reserve(64).unwrap();
        space.publish();
        space.reserve(64).unwrap();
        assert!(!space.rewind(0) && !space.rewind(192) && !space.rewind(u64::MAX));
        assert!(!space.free_to(65) && space.free_to(64) && space.free_to(0));
        assert_eq!(space.tail(), 64, "the tail never goes back");
        assert!(space.rewind(65), "part of a reservation");
        assert_eq!(space.next(), 128);
    }
}
