//! Decides the flushes of every host, each whole and once. Pure.
//!
//! Per (host, epoch) flushes are numbered without gaps; the first forward of a flush wins. The
//! watermark counts flushes decided without a gap; labels count only decisions.

use crate::frames::FrameKey;
use std::collections::BTreeMap;

/// What a host has passed when everything up to a flush is decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// The heartbeat's part that the flush belongs to.
    pub key: FrameKey,
    /// It is the last of it.
    pub last: bool,
    /// The source ended with it.
    pub end: bool,
}

#[derive(Debug)]
struct Epoch {
    /// Flushes below are decided.
    watermark: u64,
    above: BTreeMap<u64, Mark>,
}

/// One host's present epoch, and those before.
#[derive(Debug, Default)]
struct Host {
    epochs: BTreeMap<u64, Epoch>,
}

/// Epochs kept per host.
const EPOCHS: usize = 4;

/// See the module's documentation.
#[derive(Debug, Default)]
pub struct RootBuilder {
    hosts: BTreeMap<String, Host>,
}

impl RootBuilder {
    /// A host forwards a flush; `base` is where a root without memory begins. None: it was decided
    /// before. Otherwise it is to be merged, and the marks, in order, are what the host has passed
    /// now: a flush may come before an earlier one whose workers are slower.
    pub fn forward(
        &mut self,
        host: &str,
        epoch: u64,
        flush: u64,
        base: u64,
        mark: Mark,
    ) -> Option<Vec<Mark>> {
        let epochs = &mut self.hosts.entry(host.to_string()).or_default().epochs;
        let life = epochs.entry(epoch).or_insert(Epoch { watermark: base, above: BTreeMap::new() });
        if flush < life.watermark || life.above.contains_key(&flush) {
            return None;
        }
        life.above.insert(flush, mark);
        let mut passed = Vec::new();
        while let Some(mark) = life.above.remove(&life.watermark) {
            life.watermark += 1;
            passed.push(mark);
        }
        while epochs.len() > EPOCHS {
            epochs.pop_first();
        }
        Some(passed)
    }

    /// Number after the newest flush decided without a gap.
    pub fn watermark(&self, host: &str, epoch: u64) -> u64 {
        let host = self.hosts.get(host);
        host.and_then(|h| h.epochs.get(&epoch)).map_or(0, |e| e.watermark)
    }

    /// All watermarks: host, epoch, flushes.
    pub fn watermarks(&self) -> impl Iterator<Item = (&str, u64, u64)> {
        self.hosts.iter().flat_map(|(host, h)| {
            h.epochs.iter().map(move |(e, l)| (host.as_str(), *e, l.watermark))
        })
    }
}

/// The decisions about graph versions: which heartbeat each takes effect at.
///
/// Every expected host has promised not to pass a heartbeat undecided; the decision is the highest
/// of these, so that none has passed it.
#[derive(Debug, Default)]
pub struct Versions {
    /// The newest decision: version, heartbeat (None: given up).
    decided: Option<(u64, Option<u64>)>,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    version: u64,
    promises: BTreeMap<String, u64>,
    since_ns: u64,
}

impl Versions {
    /// As restored.
    pub fn restored(decided: Option<(u64, Option<u64>)>) -> Versions {
        Versions { decided, open: None }
    }

    /// The newest decision, to be repeated.
    pub fn decided(&self) -> Option<(u64, Option<u64>)> {
        self.decided
    }

    /// A host's promise.
    pub fn promise(&mut self, host: &str, version: u64, not_before: u64, now_ns: u64) {
        // One that was given up may be tried again.
        let settled = |d: (u64, Option<u64>)| d.0 > version || (d.0 == version && d.1.is_some());
        if self.decided.is_some_and(settled) {
            return;
        }
        if self.open.as_ref().is_none_or(|o| o.version < version) {
            self.open = Some(Open { version, promises: BTreeMap::new(), since_ns: now_ns });
        }
        if let Some(open) = self.open.as_mut().filter(|o| o.version == version) {
            open.promises.insert(host.to_string(), not_before);
        }
    }

    /// A decision that is due: all expected hosts have promised, or one did not in time. It is to
    /// be recorded durably, then told.
    pub fn due(
        &mut self,
        expected: &[String],
        now_ns: u64,
        give_up_ns: u64,
    ) -> Option<(u64, Option<u64>)> {
        let open = self.open.as_ref()?;
        let all = expected.iter().all(|h| open.promises.contains_key(h));
        let heartbeat = open.promises.values().max().copied();
        let decision = match (all, now_ns.saturating_sub(open.since_ns) >= give_up_ns) {
            (true, _) => (open.version, heartbeat),
            (false, true) => (open.version, None),
            (false, false) => return None,
        };
        self.decided = Some(decision);
        self.open = None;
        Some(decision)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(heartbeat: u64) -> Mark {
        Mark { key: FrameKey { heartbeat, run: 1, step: 0, version: 1 }, last: true, end: false }
    }

    #[test]
    fn flushes_are_decided_once_in_any_order_and_passed_in_order() {
        let mut root = RootBuilder::default();
        assert_eq!(root.forward("a", 1, 1, 0, mark(1)), Some(vec![]));
        assert_eq!(root.watermark("a", 1), 0);
        assert_eq!(root.forward("a", 1, 0, 0, mark(0)), Some(vec![mark(0), mark(1)]));
        assert_eq!(root.watermark("a", 1), 2);
        assert_eq!(root.forward("a", 1, 1, 0, mark(1)), None);
        let anew = root.forward("a", 2, 0, 0, mark(2));
        assert_eq!(anew, Some(vec![mark(2)]), "a new epoch begins anew");
    }

    #[test]
    fn a_root_without_memory_begins_at_the_hosts_base() {
        let mut root = RootBuilder::default();
        assert_eq!(root.forward("a", 1, 8, 7, mark(8)), Some(vec![]));
        assert_eq!(root.watermark("a", 1), 7);
        assert_eq!(root.forward("a", 1, 7, 7, mark(7)), Some(vec![mark(7), mark(8)]));
        assert_eq!(root.watermark("a", 1), 9);
    }

    #[test]
    fn a_version_takes_effect_where_no_host_has_passed() {
        let hosts = ["a".to_string(), "b".to_string()];
        let mut versions = Versions::default();
        versions.promise("a", 3, 10, 0);
        assert_eq!(versions.due(&hosts, 99, 100), None);
        versions.promise("b", 3, 14, 50);
        assert_eq!(versions.due(&hosts, 99, 100), Some((3, Some(14))));
        versions.promise("a", 3, 20, 99);
        assert_eq!(versions.due(&hosts, 99, 100), None);
        assert_eq!(versions.decided(), Some((3, Some(14))));
    }

    #[test]
    fn a_host_that_does_not_promise_makes_it_given_up() {
        let hosts = ["a".to_string(), "b".to_string()];
        let mut versions = Versions::default();
        versions.promise("a", 3, 10, 0);
        assert_eq!(versions.due(&hosts, 100, 100), Some((3, None)));
    }
}
