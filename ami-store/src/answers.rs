//! Answers to clients that ask faster than they read: a bounded number of bytes of them waits here,
//! and ZeroMQ has one for each client. Pure: who sends is given.
//!
//! Beyond the bound the oldest answers of whoever has most go, so that those who read lose nothing.

use std::collections::{BTreeMap, VecDeque};

/// An answer with the address in front of it, whose first frame names the client.
pub type Reply = Vec<Vec<u8>>;

/// What became of an attempt to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    /// It is on its way, or its client is gone.
    Done,
    /// The client has not read the one before.
    Full,
}

#[derive(Debug, Default)]
struct Waiting {
    replies: VecDeque<Reply>,
    bytes: usize,
}

/// Answers that wait.
#[derive(Debug)]
pub struct Answers {
    most: usize,
    clients: BTreeMap<Vec<u8>, Waiting>,
    bytes: usize,
    /// Answers that were given up.
    pub lost: u64,
}

/// What a frame takes beside its bytes: its `Vec` and the allocator's share. Answers to garbage are short and many.
const FRAME: usize = 64;

fn bytes(reply: &Reply) -> usize {
    reply.iter().map(|frame| frame.len() + FRAME).sum()
}

impl Answers {
    /// At most so many bytes wait.
    pub const fn new(most: usize) -> Answers {
        Answers { most, clients: BTreeMap::new(), bytes: 0, lost: 0 }
    }

    /// Whether any waits.
    pub fn is_empty(&self) -> bool {
        self.clients.is_empty()
    }

    /// Sends one, or puts it behind those of its client that wait. What is sent is taken out of it.
    ///
    /// # Errors
    /// Those of `send`.
    pub fn give<E>(
        &mut self,
        mut reply: Reply,
        send: impl FnOnce(&mut Reply) -> Result<Sent, E>,
    ) -> Result<(), E> {
        let client = reply.first().cloned().unwrap_or_default();
        if !self.clients.contains_key(&client) && send(&mut reply)? == Sent::Done {
            return Ok(());
        }
        let size = bytes(&reply);
        let waiting = self.clients.entry(client).or_default();
        waiting.bytes += size;
        waiting.replies.push_back(reply);
        self.bytes += size;
        while self.bytes > self.most {
            self.give_up();
        }
        Ok(())
    }

    /// Gives up the oldest answer of the client that has most.
    fn give_up(&mut self) {
        let most = self.clients.iter().max_by_key(|(_, waiting)| waiting.bytes);
        let Some(client) = most.map(|(client, _)| client.clone()) else { return };
        self.take(&client);
        self.lost += 1;
    }

    /// Takes away a client's oldest answer.
    fn take(&mut self, client: &[u8]) {
        let Some(waiting) = self.clients.get_mut(client) else { return };
        let size = waiting.replies.pop_front().map_or(0, |reply| bytes(&reply));
        waiting.bytes -= size;
        self.bytes -= size;
        if waiting.replies.is_empty() {
            self.clients.remove(client);
        }
    }

    /// Gives up all: memory is short.
    pub fn clear(&mut self) {
        self.lost += self.clients.values().map(|w| w.replies.len() as u64).sum::<u64>();
        *self = Answers { lost: self.lost, ..Answers::new(self.most) };
    }

    /// Sends what can be sent, each client's in their order.
    ///
    /// # Errors
    /// Those of `send`.
    pub fn send<E>(
        &mut self,
        mut send: impl FnMut(&mut Reply) -> Result<Sent, E>,
    ) -> Result<(), E> {
        for waiting in self.clients.values_mut() {
            while let Some(mut reply) = waiting.replies.pop_front() {
                let size = bytes(&reply);
                if send(&mut reply)? == Sent::Full {
                    waiting.replies.push_front(reply);
                    break;
                }
                waiting.bytes -= size;
                self.bytes -= size;
            }
        }
        self.clients.retain(|_, waiting| !waiting.replies.is_empty());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;

    /// What one takes: an address of one byte, an answer of ten.
    const REPLY: usize = 11 + 2 * FRAME;

    /// Clients that do not read, and what was sent to the others.
    #[derive(Default)]
    struct Clients {
        deaf: Vec<u8>,
        heard: Vec<(u8, u8)>,
    }

    impl Clients {
        fn take(&mut self, reply: &mut Reply) -> Result<Sent, Infallible> {
            if self.deaf.contains(&reply[0][0]) {
                return Ok(Sent::Full);
            }
            self.heard.push((reply[0][0], reply[1][0]));
            reply.clear();
            Ok(Sent::Done)
        }

        fn give(&mut self, answers: &mut Answers, client: u8, answer: u8) {
            let reply = vec![vec![client], vec![answer; 10]];
            assert!(answers.give(reply, |r| self.take(r)).is_ok());
        }
    }

    #[test]
    fn a_client_that_does_not_read_holds_up_nobody_and_keeps_its_order() {
        let (mut answers, mut clients) = (Answers::new(10_000), Clients::default());
        clients.deaf = vec![1];
        for (client, answer) in [(1, 1), (1, 2), (2, 3), (1, 4), (2, 5)] {
            clients.give(&mut answers, client, answer);
        }
        assert_eq!(clients.heard, [(2, 3), (2, 5)]);
        clients.deaf.clear();
        clients.give(&mut answers, 1, 6);
        assert_eq!(answers.bytes, 4 * REPLY, "not before those that wait");
        assert!(answers.send(|r| clients.take(r)).is_ok());
        assert_eq!(clients.heard[2..], [(1, 1), (1, 2), (1, 4), (1, 6)]);
        assert!(answers.is_empty() && answers.bytes == 0 && answers.lost == 0);
    }

    #[test]
    fn the_oldest_of_who_has_most_go_where_too_many_bytes_wait() {
        let (mut answers, mut clients) = (Answers::new(4 * REPLY), Clients::default());
        clients.deaf = vec![1, 2];
        clients.give(&mut answers, 2, 9);
        (0..6).for_each(|n| clients.give(&mut answers, 1, n));
        assert_eq!((answers.lost, answers.bytes), (3, 4 * REPLY));
        clients.deaf.clear();
        assert!(answers.send(|r| clients.take(r)).is_ok());
        assert_eq!(clients.heard, [(1, 3), (1, 4), (1, 5), (2, 9)]);
        clients.deaf = vec![1];
        clients.give(&mut answers, 1, 0);
        answers.clear();
        assert_eq!((answers.lost, answers.bytes, answers.is_empty()), (4, 0, true));
    }
}
