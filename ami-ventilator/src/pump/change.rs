//! Changes of the graph set, as the ventilator takes part in them. Pure.
//!
//! The manager announces a version and, once every member can compile it, lets it take effect. The
//! ventilator then promises the root to wait for its decision before the first heartbeat of which nothing
//! was made yet; the root names one heartbeat for all hosts, or gives up. What reaches a promised
//! heartbeat undecided waits for the root, never for the manager.

use std::collections::BTreeMap;

/// What a heartbeat about to be opened must do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gate {
    /// Open it.
    Go,
    /// Wait for the root's decision.
    Wait,
    /// Let this version take effect first.
    Apply(u64),
}

#[derive(Debug, Clone, Copy)]
struct Promised {
    version: u64,
    not_before: u64,
    sent_ns: Option<u64>,
}

/// The versions that a ventilator knows.
#[derive(Debug, Default)]
pub struct Change {
    active: u64,
    graphs: BTreeMap<u64, Vec<u8>>,
    promised: Option<Promised>,
    /// First heartbeat by version decided and not yet in effect: a host that lags may have several
    /// before it.
    decisions: BTreeMap<u64, u64>,
}

/// A promise is repeated after this time, ns.
const REPEAT: u64 = 50_000_000;

impl Change {
    /// Version in effect; 0 before the first.
    pub fn active(&self) -> u64 {
        self.active
    }

    /// JSON of a version.
    pub fn graphs(&self, version: u64) -> Option<&[u8]> {
        self.graphs.get(&version).map(Vec::as_slice)
    }

    /// The manager announced a version.
    pub fn announced(&mut self, version: u64, json: Vec<u8>) {
        if version > self.active {
            self.graphs.entry(version).or_insert(json);
        }
    }

    /// The manager lets a version take effect. `untouched` is the first heartbeat of which nothing was made
    /// yet: one of which a part went out stays of one version.
    pub fn activate(&mut self, version: u64, untouched: u64) {
        let newer = self.promised.is_none_or(|p| p.version < version);
        let decided = self.decisions.last_key_value().is_some_and(|(v, _)| *v >= version);
        if version > self.active && newer && !decided && self.graphs.contains_key(&version) {
            self.promised = Some(Promised { version, not_before: untouched, sent_ns: None });
        }
    }

    /// A promise to be (re)sent to the root: version and heartbeat.
    pub fn promise(&mut self, now_ns: u64) -> Option<(u64, u64)> {
        let promised = self.promised.as_mut()?;
        if promised.sent_ns.is_some_and(|t| now_ns.saturating_sub(t) < REPEAT) {
            return None;
        }
        promised.sent_ns = Some(now_ns);
        Some((promised.version, promised.not_before))
    }

    /// The root decided: the first heartbeat with the version, or none: given up.
    pub fn decided(&mut self, version: u64, heartbeat: Option<u64>) {
        if self.promised.is_some_and(|p| p.version <= version) {
            self.promised = None;
        }
        if let Some(heartbeat) = heartbeat
            && version > self.active
        {
            self.decisions.insert(version, heartbeat);
        }
    }

    /// What opening this heartbeat must do.
    pub fn gate(&self, heartbeat: u64) -> Gate {
        let due = |&(_, from): &(u64, u64)| heartbeat >= from;
        if let Some((version, _)) = self.decided_newest_first().find(due) {
            return Gate::Apply(version);
        }
        match self.promised {
            Some(p) if heartbeat >= p.not_before => Gate::Wait,
            _ => Gate::Go,
        }
    }

    /// For a source that is idle, with no heartbeat open: the version to let take effect at once, and the
    /// first heartbeat that may follow.
    pub fn idle(&self) -> Option<(u64, u64)> {
        self.decided_newest_first().next()
    }

    /// Versions whose graphs are here, with the heartbeats from which they are in effect.
    fn decided_newest_first(&self) -> impl Iterator<Item = (u64, u64)> {
        let here = |&(version, _): &(u64, u64)| self.graphs.contains_key(&version);
        self.decisions.iter().rev().map(|(version, from)| (*version, *from)).filter(here)
    }

    /// A version took effect; graphs below `needed` are forgotten.
    pub fn applied(&mut self, version: u64, needed: u64) {
        self.active = version;
        self.decisions.retain(|v, _| *v > version);
        self.graphs.retain(|v, _| *v >= needed.min(version));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_takes_effect_at_the_decided_heartbeat_and_not_before() {
        let mut change = Change::default();
        change.announced(1, b"{}".to_vec());
        assert_eq!(change.gate(10), Gate::Go, "prepared is not promised");
        change.activate(1, 12);
        assert_eq!(change.promise(0), Some((1, 12)));
        assert_eq!(change.promise(1), None);
        assert_eq!((change.gate(11), change.gate(12)), (Gate::Go, Gate::Wait));
        change.decided(1, Some(20));
        assert_eq!((change.gate(19), change.gate(20)), (Gate::Go, Gate::Apply(1)));
        change.applied(1, 0);
        assert_eq!(change.gate(21), Gate::Go);
    }

    #[test]
    fn of_two_versions_ahead_each_takes_effect_at_its_own_heartbeat() {
        let ahead = || {
            let mut change = Change::default();
            for (version, heartbeat) in [(2, 50), (3, 90)] {
                change.announced(version, b"{}".to_vec());
                change.decided(version, Some(heartbeat));
            }
            change
        };
        let mut change = ahead();
        assert_eq!((change.gate(49), change.gate(50)), (Gate::Go, Gate::Apply(2)));
        change.applied(2, 0);
        assert_eq!((change.gate(89), change.gate(90)), (Gate::Go, Gate::Apply(3)));
        let mut change = ahead();
        assert_eq!((change.idle(), change.gate(95)), (Some((3, 90)), Gate::Apply(3)));
        change.applied(3, 0);
        assert_eq!((change.idle(), change.gate(95)), (None, Gate::Go));
    }

    #[test]
    fn a_given_up_version_holds_nothing() {
        let mut change = Change::default();
        change.announced(1, b"{}".to_vec());
        change.activate(1, 5);
        change.decided(1, None);
        assert_eq!(change.gate(5), Gate::Go);
        assert_eq!(change.promise(0), None);
    }

    #[test]
    fn a_decision_waits_for_the_graphs_themselves() {
        let mut change = Change::default();
        change.decided(3, Some(0));
        assert_eq!(change.gate(9), Gate::Go);
        change.announced(3, b"{}".to_vec());
        assert_eq!(change.gate(9), Gate::Apply(3));
        assert_eq!(change.idle(), Some((3, 0)));
    }
}
