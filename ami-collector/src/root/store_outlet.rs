//! The way to the store: bounded in bytes, newest wins. Pure.
//!
//! The store acknowledges what it has taken. While too much is on its way, a topic's newest value
//! waits here in place of the older one, which is counted; so a store that sleeps costs nothing and
//! has the newest values when it wakes.

use crate::root::result_messages::Frames;
use std::collections::{BTreeMap, BTreeSet};

/// See the module's documentation.
#[derive(Debug)]
pub struct Outlet {
    bound: usize,
    /// A store is there.
    open: bool,
    in_flight: usize,
    waiting: BTreeSet<String>,
    last: BTreeMap<String, Frames>,
    /// Values that were overtaken by newer ones before they could be sent.
    pub conflated: u64,
}

fn size(frames: &Frames) -> usize {
    frames.iter().map(|part| part.len()).sum()
}

impl Outlet {
    /// At most about so many bytes on their way.
    pub fn new(bound: usize) -> Outlet {
        Outlet {
            bound,
            open: false,
            in_flight: 0,
            waiting: BTreeSet::new(),
            last: BTreeMap::new(),
            conflated: 0,
        }
    }

    /// Takes a message; what is to be sent now.
    pub fn put(&mut self, topic: &str, frames: Frames) -> Option<Frames> {
        let fits = self.open && self.waiting.is_empty() && self.in_flight <= self.bound;
        let out = fits.then(|| frames.clone());
        match &out {
            Some(out) => self.in_flight += size(out),
            None if self.open => {
                self.conflated += u64::from(!self.waiting.insert(topic.to_string()));
            }
            None => {}
        }
        self.last.insert(topic.to_string(), frames);
        out
    }

    /// A store came: everything is to be sent, and nothing is on its way.
    pub fn opened(&mut self) {
        self.open = true;
        self.in_flight = 0;
        self.waiting = self.last.keys().cloned().collect();
    }

    /// The store has taken so many bytes more.
    pub fn acknowledged(&mut self, bytes: usize) {
        self.in_flight = self.in_flight.saturating_sub(bytes);
    }

    /// The next waiting message that may be sent.
    pub fn next(&mut self) -> Option<Frames> {
        if self.in_flight > self.bound {
            return None;
        }
        while let Some(topic) = self.waiting.pop_first() {
            if let Some(frames) = self.last.get(&topic) {
                self.in_flight += size(frames);
                return Some(frames.clone());
            }
        }
        None
    }

    /// Forgets topics.
    pub fn retain(&mut self, keep: impl Fn(&str) -> bool) -> Vec<String> {
        let gone: Vec<String> = self.last.keys().filter(|t| !keep(t)).cloned().collect();
        self.last.retain(|t, _| keep(t));
        self.waiting.retain(|t| keep(t));
        gone
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::root::result_messages::Part;

    fn message(n: u8) -> Frames {
        vec![Part::Text(vec![n; 60])]
    }

    #[test]
    fn a_sleeping_store_has_the_newest_when_it_wakes() {
        let mut outlet = Outlet::new(100);
        assert!(outlet.put("a", message(0)).is_none(), "nobody is there");
        outlet.opened();
        assert_eq!(outlet.next(), Some(message(0)));
        assert!(outlet.put("a", message(1)).is_some());
        assert!(outlet.put("a", message(2)).is_none(), "120 bytes are on their way");
        assert!(outlet.put("a", message(3)).is_none());
        assert!(outlet.put("b", message(9)).is_none());
        assert_eq!(outlet.conflated, 1);
        assert_eq!(outlet.next(), None);
        outlet.acknowledged(120);
        assert_eq!(outlet.next(), Some(message(3)));
        assert_eq!(outlet.next(), Some(message(9)));
        assert_eq!(outlet.next(), None);
        outlet.acknowledged(9999);
        assert!(outlet.put("a", message(4)).is_some());
    }

    #[test]
    fn retired_topics_are_not_sent() {
        let mut outlet = Outlet::new(100);
        outlet.put("a", message(0));
        outlet.put("b", message(1));
        assert_eq!(outlet.retain(|t| t == "b"), ["a"]);
        outlet.opened();
        assert_eq!(outlet.next(), Some(message(1)));
        assert_eq!(outlet.next(), None);
    }
}
