//! Which data are of one stream: a host whose source begins anew begins a new one for all. Pure.
//!
//! A *reading* is one pass over a source from its beginning; a ventilator that goes on after a crash
//! goes on with its reading. Two readings may say the same run number and the same times, so windows
//! must not take them for one run. Hosts that begin anew together, in whatever order, begin one
//! *generation*: it counts up when a host leaves a reading that it had in this generation.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// See the module's documentation.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Readings {
    generation: u64,
    /// By host: its newest reading, and the generation in which that began.
    hosts: BTreeMap<String, (u64, u64)>,
}

impl Readings {
    /// The generation of what a host says of a reading.
    pub fn generation(&mut self, host: &str, reading: u64) -> u64 {
        match self.hosts.get(host) {
            Some((known, _)) if *known == reading => return self.generation,
            // Of before: readings are numbered as time goes.
            Some((known, began)) if *known > reading => return began.saturating_sub(1),
            Some((_, began)) if *began == self.generation => self.generation += 1,
            _ => {}
        }
        self.hosts.insert(host.to_owned(), (reading, self.generation));
        self.generation
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_that_begins_anew_begins_a_generation() {
        let mut readings = Readings::default();
        assert_eq!([5, 5, 9, 9].map(|r| readings.generation("a", r)), [0, 0, 1, 1]);
        assert_eq!(readings.generation("a", 5), 0, "what comes late of the reading before");
        assert_eq!(readings.generation("a", 12), 2);
    }

    #[test]
    fn hosts_that_begin_anew_together_begin_one() {
        let mut readings = Readings::default();
        for host in ["a", "b"] {
            assert_eq!(readings.generation(host, 1), 0);
        }
        assert_eq!(readings.generation("b", 3), 1);
        assert_eq!(readings.generation("a", 1), 1, "one that goes on joins");
        assert_eq!(readings.generation("a", 4), 1);
        assert_eq!(readings.generation("b", 3), 1);
        assert_eq!(readings.generation("a", 6), 2);
    }
}
