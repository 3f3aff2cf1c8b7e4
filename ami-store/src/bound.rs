//! How many messages may wait for each client, from a bound in bytes. Pure.
//!
//! ZeroMQ counts messages, so the bound follows the largest one. It only falls, and in large steps:
//! to make it hold for clients that are there already, the publisher is opened anew (see
//! [`Broadcast::limit`](ami_proto::socket::Broadcast::limit)), and they miss half a second.

/// The bound of one publisher.
#[derive(Debug, Clone, Copy)]
pub struct Bound {
    bytes: usize,
    least: i32,
    messages: i32,
    pressed: bool,
}

/// A step makes the bound fit messages so many times as large as the one that asked for it.
const STEP: usize = 4;

impl Bound {
    /// At most so many bytes and messages per client; but `least` messages always.
    pub const fn new(bytes: usize, most: i32, least: i32) -> Bound {
        Bound { bytes, least, messages: most, pressed: false }
    }

    /// A message of this size is about to be published: the new bound, if there is one.
    pub fn sending(&mut self, size: usize) -> Option<i32> {
        let fits = |size: usize| i32::try_from(self.bytes / size.max(1)).unwrap_or(i32::MAX);
        if fits(size).max(self.least) >= self.messages {
            return None;
        }
        self.messages = fits(size.saturating_mul(STEP)).max(self.least);
        (!self.pressed).then_some(self.messages)
    }

    /// Memory is short, or is not: the new bound, if there is one. While it is, one message waits.
    pub fn press(&mut self, short: bool) -> Option<i32> {
        if short == self.pressed {
            return None;
        }
        self.pressed = short;
        Some(if short { 1 } else { self.messages })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_falls_seldom_and_never_below_the_least() {
        let mut bound = Bound::new(1 << 20, 1000, 8);
        let sizes = (0..24).map(|n| 1usize << n);
        let falls: Vec<(usize, i32)> =
            sizes.filter_map(|size| Some((size, bound.sending(size)?))).collect();
        // 1000 messages of 1 KiB fit; of 2 KiB 512 do.
        assert_eq!(falls, [(2 << 10, 128), (16 << 10, 16), (128 << 10, 8)]);
        assert_eq!(bound.sending(usize::MAX), None);
        let mut bound = Bound::new(1 << 20, 1000, 8);
        assert_eq!((bound.press(true), bound.press(true)), (Some(1), None));
        assert_eq!((bound.sending(2 << 10), bound.press(false)), (None, Some(128)));
    }
}
