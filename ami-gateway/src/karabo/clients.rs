//! Who asked for the next train, and what each has had. Pure.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::rc::Rc;

/// Clients that are remembered; of the one forgotten all trains are new again.
const MOST_CLIENTS: usize = 1024;

/// The frames of a train; shared by those who get it.
type Frames = Rc<[Vec<u8>]>;

/// A train for a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Given {
    /// The client.
    pub identity: Vec<u8>,
    /// The train.
    pub frames: Frames,
}

#[derive(Debug, Default)]
struct Client {
    /// Number of the newest train that it was given.
    had: u64,
    waits: bool,
}

/// The newest train of each graph, and who has had it.
#[derive(Debug, Default)]
pub struct Clients {
    /// By graph: the train and its number, which counts all of them.
    newest: BTreeMap<String, (u64, Frames)>,
    number: u64,
    clients: HashMap<Vec<u8>, Client>,
    /// In the order in which they came.
    order: VecDeque<Vec<u8>>,
}

impl Clients {
    /// A new train: for all who wait.
    pub fn train(&mut self, graph: &str, frames: Vec<Vec<u8>>) -> Vec<Given> {
        self.number += 1;
        let frames = Frames::from(frames);
        self.newest.insert(graph.to_owned(), (self.number, Rc::clone(&frames)));
        let waiting = self.clients.iter_mut().filter(|(_, client)| client.waits);
        let mut given = Vec::new();
        for (identity, client) in waiting {
            *client = Client { had: self.number, waits: false };
            given.push(Given { identity: identity.clone(), frames: Rc::clone(&frames) });
        }
        given
    }

    /// A client asks: it gets the oldest train that is new to it, or waits for one.
    pub fn next(&mut self, identity: &[u8]) -> Vec<Given> {
        if !self.clients.contains_key(identity) {
            self.order.push_back(identity.to_vec());
            if self.order.len() > MOST_CLIENTS
                && let Some(oldest) = self.order.pop_front()
            {
                self.clients.remove(&oldest);
            }
        }
        let client = self.clients.entry(identity.to_vec()).or_default();
        let new = self.newest.values().filter(|(number, _)| *number > client.had);
        match new.min_by_key(|(number, _)| *number) {
            Some((number, frames)) => {
                *client = Client { had: *number, waits: false };
                vec![Given { identity: identity.to_vec(), frames: Rc::clone(frames) }]
            }
            None => {
                client.waits = true;
                Vec::new()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn train(clients: &mut Clients, graph: &str, n: u8) -> Vec<(Vec<u8>, u8)> {
        told(clients.train(graph, vec![vec![n]]))
    }

    fn told(given: Vec<Given>) -> Vec<(Vec<u8>, u8)> {
        let mut told: Vec<_> = given.into_iter().map(|g| (g.identity, g.frames[0][0])).collect();
        told.sort();
        told
    }

    #[test]
    fn each_client_gets_each_train_once_and_the_newest() {
        let mut clients = Clients::default();
        assert_eq!(train(&mut clients, "g", 1), []);
        assert_eq!(train(&mut clients, "g", 2), []);
        assert_eq!(told(clients.next(b"a")), [(b"a".to_vec(), 2)]);
        assert_eq!(told(clients.next(b"a")), [], "it waits");
        assert_eq!(told(clients.next(b"b")), [(b"b".to_vec(), 2)], "and keeps nobody waiting");
        assert_eq!(told(clients.next(b"b")), []);
        assert_eq!(train(&mut clients, "g", 3), [(b"a".to_vec(), 3), (b"b".to_vec(), 3)]);
        assert_eq!(train(&mut clients, "g", 4), []);
    }

    #[test]
    fn trains_of_several_graphs_come_one_after_the_other() {
        let mut clients = Clients::default();
        train(&mut clients, "g", 1);
        train(&mut clients, "h", 2);
        assert_eq!(told(clients.next(b"a")), [(b"a".to_vec(), 1)]);
        train(&mut clients, "g", 3);
        assert_eq!(told(clients.next(b"a")), [(b"a".to_vec(), 2)]);
        assert_eq!(told(clients.next(b"a")), [(b"a".to_vec(), 3)]);
    }

    #[test]
    fn clients_are_bounded() {
        let mut clients = Clients::default();
        for n in 0..3 * MOST_CLIENTS as u64 {
            clients.next(&n.to_le_bytes());
        }
        assert_eq!((clients.clients.len(), clients.order.len()), (MOST_CLIENTS, MOST_CLIENTS));
    }
}
