//! Answers to clients that ask faster than they read: a bounded number of bytes of them waits here,
//! and ZeroMQ has one for each client. Pure: who sends is given.
//!
//! Whoever never reads loses first: beyond the bound the oldest answers go.

use std::collections::{HashSet, VecDeque};

/// An answer with the address in front of it.
pub type Reply = Vec<Vec<u8>>;

/// What became of an attempt to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    /// It is on its way, or its client is gone.
    Done,
    /// The client has not read the one before.
    Full,
}

/// Answers that wait.
#[derive(Debug)]
pub struct Answers {
    most: usize,
    waiting: VecDeque<Reply>,
    bytes: usize,
    /// Answers that were given up.
    pub lost: u64,
}

fn bytes(reply: &Reply) -> usize {
    reply.iter().map(Vec::len).sum()
}

impl Answers {
    /// At most so many bytes wait; one answer always may.
    pub const fn new(most: usize) -> Answers {
        Answers { most, waiting: VecDeque::new(), bytes: 0, lost: 0 }
    }

    /// Whether any waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Puts one behind those that wait.
    pub fn give(&mut self, reply: Reply) {
        self.bytes += bytes(&reply);
        self.waiting.push_back(reply);
        while self.bytes > self.most && self.waiting.len() > 1 {
            self.drop_oldest();
        }
    }

    /// Gives up all: memory is short.
    pub fn clear(&mut self) {
        while !self.waiting.is_empty() {
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) {
        self.bytes -= self.waiting.pop_front().map_or(0, |reply| bytes(&reply));
        self.lost += 1;
    }

    /// Sends what can be sent, each client's in their order. What is sent may be taken out of the reply.
    ///
    /// # Errors
    /// Those of `send`.
    pub fn send<E>(
        &mut self,
        mut send: impl FnMut(&mut Reply) -> Result<Sent, E>,
    ) -> Result<(), E> {
        let mut full: HashSet<Vec<u8>> = HashSet::new();
        let mut failure = None;
        let mut keep = VecDeque::new();
        for mut reply in self.waiting.drain(..) {
            let client = reply.first().cloned().unwrap_or_default();
            if failure.is_some() || full.contains(&client) {
                keep.push_back(reply);
                continue;
            }
            let size = bytes(&reply);
            match send(&mut reply) {
                Ok(Sent::Full) => {
                    full.insert(client);
                    keep.push_back(reply);
                    continue;
                }
                Ok(Sent::Done) => {}
                Err(error) => failure = Some(error),
            }
            self.bytes -= size;
        }
        self.waiting = keep;
        failure.map_or(Ok(()), Err)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;

    fn reply(client: u8, answer: u8) -> Reply {
        vec![vec![client], vec![answer; 10]]
    }

    /// What is sent while these clients do not read.
    fn sent(answers: &mut Answers, deaf: &[u8]) -> Vec<(u8, u8)> {
        let mut out = Vec::new();
        let done = answers.send::<Infallible>(|r| {
            if deaf.contains(&r[0][0]) {
                return Ok(Sent::Full);
            }
            out.push((r[0][0], r[1][0]));
            Ok(Sent::Done)
        });
        assert!(done.is_ok());
        out
    }

    #[test]
    fn a_client_that_does_not_read_holds_up_nobody_and_keeps_its_order() {
        let mut answers = Answers::new(1000);
        for (client, answer) in [(1, 1), (1, 2), (2, 3), (1, 4), (2, 5)] {
            answers.give(reply(client, answer));
        }
        assert_eq!(sent(&mut answers, &[1]), [(2, 3), (2, 5)]);
        assert_eq!(sent(&mut answers, &[]), [(1, 1), (1, 2), (1, 4)]);
        assert!(answers.is_empty() && answers.bytes == 0 && answers.lost == 0);
    }

    #[test]
    fn the_oldest_go_where_too_many_bytes_wait() {
        let mut answers = Answers::new(33);
        (0..5).for_each(|n| answers.give(reply(1, n)));
        assert_eq!((answers.lost, answers.bytes), (2, 33));
        assert_eq!(sent(&mut answers, &[]), [(1, 2), (1, 3), (1, 4)]);
        answers.give(vec![vec![1], vec![0; 1000]]);
        assert_eq!((answers.lost, answers.is_empty()), (2, false), "one always may");
        answers.clear();
        assert_eq!((answers.lost, answers.bytes), (3, 0));
    }
}
