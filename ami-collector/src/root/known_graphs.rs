//! Graph sets that the root knows, by version. Bounded: those learnt first are forgotten first, and asked
//! for again when a flush needs one. So neither many edits nor forged sets can keep a real one out. Pure.

use ami_graph::graph::spec::GraphSet;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// Most sets: as many as a host collector keeps, so that all it sends again fit.
const MOST: usize = 4096;

/// Most bytes of their texts, likewise.
const BYTES: usize = 256 << 20;

/// Versions below the one in effect that late data may still carry.
const BEHIND: u64 = 64;

/// See the module's documentation.
#[derive(Debug, Default)]
pub struct KnownGraphs {
    known: BTreeMap<u64, Known>,
    /// Versions in the order in which they were learnt.
    order: VecDeque<u64>,
    bytes: usize,
}

#[derive(Debug)]
struct Known {
    set: Arc<GraphSet>,
    json: Vec<u8>,
}

impl KnownGraphs {
    /// Learns a set and the JSON that it came as; of one version, the newest text.
    pub fn insert(&mut self, set: Arc<GraphSet>, json: Vec<u8>) {
        let version = set.version;
        self.forget(version);
        self.bytes += json.len();
        self.known.insert(version, Known { set, json });
        self.order.push_back(version);
        while self.known.len() > MOST || self.bytes > BYTES && self.known.len() > 1 {
            let Some(oldest) = self.order.front().copied() else { break };
            self.forget(oldest);
        }
    }

    /// The set of a version.
    pub fn get(&self, version: u64) -> Option<&Arc<GraphSet>> {
        self.known.get(&version).map(|k| &k.set)
    }

    /// The JSON of a version.
    pub fn json(&self, version: u64) -> Option<&[u8]> {
        self.known.get(&version).map(|k| k.json.as_slice())
    }

    /// A version was published with: those far below are needed no more.
    pub fn in_effect(&mut self, version: u64) {
        let kept = self.known.split_off(&version.saturating_sub(BEHIND));
        self.bytes = kept.values().map(|k| k.json.len()).sum();
        self.known = kept;
        self.order.retain(|v| self.known.contains_key(v));
    }

    fn forget(&mut self, version: u64) {
        if let Some(old) = self.known.remove(&version) {
            self.bytes -= old.json.len();
            self.order.retain(|v| *v != version);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(version: u64) -> Arc<GraphSet> {
        Arc::new(GraphSet { version, ..GraphSet::default() })
    }

    #[test]
    fn however_many_came_the_next_is_known() {
        let mut graphs = KnownGraphs::default();
        // None retires: nothing is published meanwhile. Some claim to be far ahead.
        for version in 1..=2 * MOST as u64 {
            graphs
                .insert(set(if version % 2 == 0 { u64::MAX - version } else { version }), vec![0]);
            let newest = if version % 2 == 0 { u64::MAX - version } else { version };
            assert!(graphs.get(newest).is_some());
        }
        assert_eq!((graphs.known.len(), graphs.order.len(), graphs.bytes), (MOST, MOST, MOST));
    }

    #[test]
    fn bytes_are_bounded_and_repetitions_replace() {
        let mut graphs = KnownGraphs::default();
        for version in 1..=5 {
            graphs.insert(set(version), vec![0; BYTES / 4]);
            graphs.insert(set(version), vec![1; BYTES / 4]);
        }
        assert_eq!(graphs.known.keys().copied().collect::<Vec<_>>(), [2, 3, 4, 5]);
        assert_eq!(graphs.bytes, BYTES);
        graphs.insert(set(6), vec![0; 2 * BYTES]);
        assert!(graphs.json(6).is_some(), "one that is too large stands alone");
        assert_eq!(graphs.known.len(), 1);
    }

    #[test]
    fn what_is_far_behind_goes() {
        let mut graphs = KnownGraphs::default();
        (1..=100).for_each(|v| graphs.insert(set(v), vec![0; 2]));
        graphs.in_effect(100);
        assert!(graphs.get(35).is_none() && graphs.get(36).is_some());
        assert_eq!((graphs.order.len(), graphs.bytes), (65, 130));
    }
}
