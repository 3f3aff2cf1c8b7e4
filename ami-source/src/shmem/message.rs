//! The one message of the protocol, on message queues and on TCP, and the names of what a server
//! makes. Pure.
//!
//! ```text
//!  0 i32 buffer's index (discovery: TCP port; hello: slot)
//!  4 u32 bits 7..0 buffers | 15..8 event queues | 23..16 return queue (0: serial mode)
//!  8 u32 bits 27..0 bytes of a buffer
//! 12 u32 reserved
//! ```

use crate::xtc2::dgram::{HEADER, u32_at};

/// Bytes of a message.
pub const LEN: usize = 16;
/// As many buffers of every server are for transitions; the others are for events.
pub const TRANSITION_BUFFERS: usize = 18;

/// As it travels; what a server sent is given back to it unchanged.
pub type Message = [u8; LEN];

fn word(message: &Message, at: usize) -> u32 {
    u32_at(message, at).unwrap_or(0)
}

/// The buffer that a message is about; None when the index is negative.
pub fn index(message: &Message) -> Option<usize> {
    i32::try_from(word(message, 0)).ok().map(|index| index as usize)
}

/// The TCP port in a discovery message; None when it is none.
pub fn port(message: &Message) -> Option<u16> {
    u16::try_from(word(message, 0)).ok().filter(|port| *port > 0)
}

/// What a server says to a client that it takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hello {
    /// The client's place, from 0.
    pub slot: usize,
    /// Buffers, those for transitions included.
    pub buffers: usize,
    /// Queues of events: as many clients may there be.
    pub queues: usize,
    /// The queue that events are given back to.
    pub return_queue: usize,
    /// Every event visits one client after the other, not one of them.
    pub serial: bool,
    /// Bytes of a buffer.
    pub size: usize,
}

impl Hello {
    /// From a message.
    ///
    /// # Errors
    /// What in it cannot be true.
    pub fn read(message: &Message) -> Result<Hello, String> {
        let shape = word(message, 4);
        let [buffers, queues, return_queue, _] = shape.to_le_bytes().map(usize::from);
        let size = (word(message, 8) & 0x0fff_ffff) as usize;
        let slot = index(message).filter(|slot| *slot < queues);
        let Some(slot) = slot else { return Err(format!("no such slot of {queues}")) };
        if buffers <= TRANSITION_BUFFERS || size < HEADER {
            return Err(format!("{buffers} buffers of {size} bytes"));
        }
        let serial = return_queue == 0;
        let return_queue = if serial { slot + 1 } else { return_queue };
        Ok(Hello { slot, buffers, queues, return_queue, serial, size })
    }
}

/// Names of what the server of a tag makes.
#[derive(Debug, Clone)]
pub struct Names {
    tag: String,
}

impl Names {
    /// Of this tag.
    pub fn new(tag: &str) -> Names {
        Names { tag: tag.to_owned() }
    }

    /// File of the shared memory.
    pub fn memory(&self) -> String {
        format!("/dev/shm/PdsMonitorSharedMemory_{}", self.tag)
    }

    /// The queue with the TCP port.
    pub fn discovery(&self) -> String {
        format!("/PdsFromMonitorDiscovery_{}", self.tag)
    }

    /// A queue of events; the last is the one that the server takes them back from.
    pub fn queue(&self, number: usize) -> String {
        format!("/PdsToMonitorEvQueue_{}_{number}", self.tag)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As written down from a real server: four words in hexadecimal.
    fn captured(words: &str) -> Message {
        let digits: String = words.split(' ').collect();
        let byte = |at: usize| u8::from_str_radix(&digits[2 * at..][..2], 16).unwrap();
        std::array::from_fn(byte)
    }

    #[test]
    fn captured_messages_are_understood() {
        assert_eq!(port(&captured("00800000 00000000 00000000 00000000")), Some(32768));
        let hello = Hello::read(&captured("00000000 1a010100 00000100 00000000")).unwrap();
        let size = 0x10000;
        let expected =
            Hello { slot: 0, buffers: 26, queues: 1, return_queue: 1, serial: false, size };
        assert_eq!(hello, expected);
        assert_eq!(index(&captured("08000000 1a010100 00000100 00000000")), Some(8));
        let serial = Hello::read(&captured("01000000 1a020000 00000100 00000000")).unwrap();
        let expected =
            Hello { slot: 1, buffers: 26, queues: 2, return_queue: 2, serial: true, size };
        assert_eq!(serial, expected);
    }

    #[test]
    fn what_cannot_be_true_is_refused() {
        for words in [
            "01000000 1a010100 00000100 00000000",
            "ffffffff 1a010100 00000100 00000000",
            "00000000 12010100 00000100 00000000",
            "00000000 1a000000 00000100 00000000",
            "00000000 1a010100 17000000 00000000",
        ] {
            assert!(Hello::read(&captured(words)).is_err(), "{words}");
        }
        assert_eq!(port(&[0xff; LEN]), None);
        assert_eq!(port(&[0; LEN]), None);
        assert_eq!(index(&[0xff; LEN]), None);
    }

    #[test]
    fn names_are_those_of_the_specification() {
        let names = Names::new("rix0");
        assert_eq!(names.memory(), "/dev/shm/PdsMonitorSharedMemory_rix0");
        assert_eq!(names.discovery(), "/PdsFromMonitorDiscovery_rix0");
        assert_eq!(names.queue(3), "/PdsToMonitorEvQueue_rix0_3");
    }
}
