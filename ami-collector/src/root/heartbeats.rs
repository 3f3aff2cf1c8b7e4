//! Heartbeats of all hosts: what belongs together, who has contributed, when one is due. Pure.

use ami_graph::data::frame::Truth;
use ami_graph::wire::partial::Partial;
use ami_proto::data_path::ventilator_to_worker::StepValues;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Hosts known at most: whoever sends more names is no beamline.
pub const HOSTS: usize = 1024;

/// What parts of a heartbeat belong together on all hosts. Ordered as time goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct FrameKey {
    /// Counts the times that a source began anew.
    pub generation: u64,
    /// Number of the heartbeat.
    pub heartbeat: u64,
    /// Run.
    pub run: u32,
    /// Step; none before the run's first.
    pub step: Option<u32>,
    /// Version of the graph set.
    pub version: u64,
}

/// An open heartbeat.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Pending {
    /// Merged state; in a checkpoint beside this.
    #[serde(skip)]
    pub partial: Partial,
    /// Events merged.
    pub events: u64,
    /// Dropped, by reason.
    pub dropped: BTreeMap<String, u64>,
    /// Units merged, of those made.
    pub units: (u64, u64),
    /// Late events among them.
    pub late: u64,
    /// Newest timestamp, ns.
    pub timestamp_ns: u64,
    /// What BeginStep set, as the first host has it.
    pub step_values: StepValues,
    /// Segment of the first contribution.
    pub segment: u64,
    /// Hosts whose share is whole.
    pub done: BTreeSet<String>,
    /// Hosts that contributed anything.
    pub hosts: BTreeSet<String>,
    /// When it began to be waited for.
    pub since_ns: u64,
}

impl Pending {
    /// True when no host had any event.
    pub fn is_empty(&self) -> bool {
        self.events == 0 && self.dropped.is_empty() && self.units.1 == 0
    }

    /// Adds another contribution. False states, which do not merge, are left out and said.
    pub fn add(&mut self, other: Pending) {
        self.segment = self.segment.max(other.segment);
        self.timestamp_ns = self.timestamp_ns.max(other.timestamp_ns);
        self.events = self.events.saturating_add(other.events);
        self.units.0 = self.units.0.saturating_add(other.units.0);
        self.units.1 = self.units.1.saturating_add(other.units.1);
        self.late = self.late.saturating_add(other.late);
        if self.step_values.is_empty() {
            self.step_values = other.step_values;
        }
        for (reason, count) in other.dropped {
            let sum = self.dropped.entry(reason).or_default();
            *sum = sum.saturating_add(count);
        }
        self.hosts.extend(other.hosts);
        if let Err(error) = self.partial.merge(other.partial) {
            tracing::warn!(%error, "states do not merge");
        }
    }

    /// The truth label's part that speaks of events; `whole` when every host's share is known.
    pub fn truth(&self, whole: bool) -> Truth {
        let dropped = self.dropped.values().fold(0u64, |sum, n| sum.saturating_add(*n));
        Truth {
            events: self.events,
            expected: whole.then_some(self.events.saturating_add(dropped)),
            dropped: self.dropped.clone(),
        }
    }
}

/// What of the heartbeats goes into a checkpoint.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Saved {
    /// By host: the newest frame of which everything in order has come; whether its source ended.
    hosts: BTreeMap<String, (Option<FrameKey>, bool)>,
    published: Option<FrameKey>,
    /// Open frames; their states go beside.
    pub open: Vec<(FrameKey, Pending)>,
    /// Frames that were published without some hosts.
    incomplete: Vec<(FrameKey, Incomplete)>,
}

/// What is known of a frame that was published without some hosts.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Incomplete {
    /// Counts of all that has come, without states.
    pending: Pending,
    /// Hosts that were waited for in vain.
    missing: BTreeSet<String>,
}

/// A heartbeat that is due.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Ready {
    /// Which.
    pub key: FrameKey,
    /// What.
    pub pending: Pending,
    /// Hosts whose share is known, of those expected.
    pub hosts: (u32, u32),
}

impl Ready {
    /// Whether every host's share is known.
    pub fn whole(&self) -> bool {
        self.hosts.0 == self.hosts.1
    }
}

#[derive(Debug, Default)]
struct Host {
    /// The newest frame of which everything in order has come.
    position: Option<FrameKey>,
    /// When data of it came last.
    heard_ns: u64,
    /// When it last said that it lives.
    alive_ns: u64,
    ended: bool,
}

/// See the module's documentation.
#[derive(Debug)]
pub struct Frames {
    hosts: BTreeMap<String, Host>,
    /// Configured hosts; empty: those heard of.
    configured: Vec<String>,
    late_after_ns: u64,
    host_timeout_ns: u64,
    open: BTreeMap<FrameKey, Pending>,
    published: Option<FrameKey>,
    incomplete: BTreeMap<FrameKey, Incomplete>,
    /// Hosts that are missing in one of these.
    missing: BTreeSet<String>,
    /// One of them has passed something since it was looked whether any is settled.
    news: bool,
}

/// Frames that are remembered because hosts are missing in them; of older ones the share stays unknown.
const INCOMPLETE: usize = 10_000;

impl Frames {
    /// For configured hosts, or those heard of within the timeout.
    pub fn new(configured: Vec<String>, late_after_ns: u64, host_timeout_ns: u64) -> Frames {
        Frames {
            hosts: BTreeMap::new(),
            configured,
            late_after_ns,
            host_timeout_ns,
            open: BTreeMap::new(),
            published: None,
            incomplete: BTreeMap::new(),
            missing: BTreeSet::new(),
            news: false,
        }
    }

    /// For a checkpoint, with the states.
    pub fn save(&self) -> Saved {
        Saved {
            hosts: self
                .hosts
                .iter()
                .map(|(name, host)| (name.clone(), (host.position, host.ended)))
                .collect(),
            published: self.published,
            open: self.open.iter().map(|(key, pending)| (*key, pending.clone())).collect(),
            incomplete: self.incomplete.clone().into_iter().collect(),
        }
    }

    /// Goes on from a checkpoint. Everything is as if it had just been heard: hosts get the time to
    /// come back.
    pub fn restore(&mut self, saved: Saved, now_ns: u64) {
        for (name, (position, ended)) in saved.hosts {
            let host = Host { position, heard_ns: now_ns, alive_ns: now_ns, ended };
            self.hosts.insert(name, host);
        }
        self.published = saved.published;
        self.incomplete = saved.incomplete.into_iter().collect();
        (self.missing, self.news) = (self.all_missing(), true);
        for (key, pending) in saved.open {
            self.open.insert(key, Pending { since_ns: now_ns, ..pending });
        }
    }

    /// Whether a frame was published already and is not open again.
    pub fn is_past(&self, key: FrameKey) -> bool {
        self.published.is_some_and(|p| key <= p) && !self.open.contains_key(&key)
    }

    /// Hosts whose share of a frame is known, of those that are expected or contributed.
    pub fn known(&self, key: FrameKey, pending: &Pending, now_ns: u64) -> (u32, u32) {
        let expected = self.expected(now_ns);
        let all: BTreeSet<&String> = expected.iter().chain(&pending.hosts).collect();
        let known = all.iter().filter(|h| self.knows(key, pending, h)).count();
        (known as u32, all.len() as u32)
    }

    fn knows(&self, key: FrameKey, pending: &Pending, host: &str) -> bool {
        let passed = |h: &Host| h.position.is_some_and(|p| p > key);
        pending.done.contains(host) || self.hosts.get(host).is_some_and(passed)
    }

    /// Whether a host may be heard: it is known, or not too many are.
    pub fn admits(&self, host: &str) -> bool {
        self.hosts.len() < HOSTS || self.hosts.contains_key(host)
    }

    /// Data of a host came.
    pub fn heard(&mut self, host: &str, now_ns: u64) {
        let entry = self.hosts.entry(host.to_string()).or_default();
        (entry.heard_ns, entry.alive_ns) = (now_ns, now_ns);
    }

    /// A host lives, perhaps without data.
    pub fn alive(&mut self, host: &str, now_ns: u64) {
        self.hosts.entry(host.to_string()).or_default().alive_ns = now_ns;
    }

    /// Hosts that are waited for.
    pub fn expected(&self, now_ns: u64) -> Vec<String> {
        if !self.configured.is_empty() {
            return self.configured.clone();
        }
        let alive = |h: &Host| !h.ended && now_ns.saturating_sub(h.heard_ns) < self.host_timeout_ns;
        self.hosts.iter().filter(|(_, h)| alive(h)).map(|(n, _)| n.clone()).collect()
    }

    /// Hosts that must promise to follow a graph change: those waited for, but for those that have
    /// been gone for the timeout, or never came since `started_ns`. Such a host learns of the
    /// decision when it comes.
    pub fn deciding(&self, now_ns: u64, started_ns: u64) -> Vec<String> {
        let last = |name: &String| self.hosts.get(name).map_or(started_ns, |h| h.alive_ns);
        let here = |name: &String| now_ns.saturating_sub(last(name)) < self.host_timeout_ns;
        self.expected(now_ns).into_iter().filter(here).collect()
    }

    /// The open frame of a key; None when it was published already: the data are late.
    pub fn open(&mut self, key: FrameKey, now_ns: u64) -> Option<&mut Pending> {
        let left = self.published.is_some_and(|p| key.generation < p.generation);
        let near = |p: FrameKey| p.heartbeat.saturating_sub(key.heartbeat) < 1 << 32;
        let behind = self.published.is_some_and(|p| key <= p && near(p));
        let single = self.hosts.len() <= 1;
        if (left || behind && !single) && !self.open.contains_key(&key) {
            return None;
        }
        Some(
            self.open
                .entry(key)
                .or_insert_with(|| Pending { since_ns: now_ns, ..Pending::default() }),
        )
    }

    /// Everything of a host up to here has come; `last` when the frame itself is whole. What an
    /// earlier epoch of it says late does not put it back.
    pub fn passed(&mut self, host: &str, key: FrameKey, last: bool, end: bool, newest: bool) {
        let entry = self.hosts.entry(host.to_string()).or_default();
        if newest {
            entry.ended = end;
        }
        if last {
            let pending = self.open.get_mut(&key);
            let past = self.incomplete.get_mut(&key).map(|past| &mut past.pending);
            if let Some(pending) = pending.or(past) {
                pending.done.insert(host.to_string());
            }
            if newest {
                entry.position = Some(key);
            }
            self.news |= self.missing.contains(host);
        }
    }

    fn all_missing(&self) -> BTreeSet<String> {
        self.incomplete.values().flat_map(|past| past.missing.iter().cloned()).collect()
    }

    /// Counts of a frame that was published without some hosts are added to it. Its segment; None when nobody
    /// was missing in it, or it is too long ago.
    pub fn late(&mut self, key: FrameKey, late: Pending) -> Option<u64> {
        let past = self.incomplete.get_mut(&key)?;
        let segment = past.pending.segment;
        past.pending.add(late);
        past.pending.segment = segment;
        Some(segment)
    }

    /// Frames of which all shares are known now that were not when they were published, with all their
    /// counts.
    pub fn settled(&mut self) -> Vec<(FrameKey, Pending)> {
        if self.incomplete.is_empty() || !std::mem::take(&mut self.news) {
            return Vec::new();
        }
        let known = |(key, past): (&FrameKey, &Incomplete)| {
            past.missing.iter().all(|host| self.knows(*key, &past.pending, host)).then_some(*key)
        };
        let keys: Vec<FrameKey> = self.incomplete.iter().filter_map(known).collect();
        let take = |key| Some((key, self.incomplete.remove(&key)?.pending));
        let settled = keys.into_iter().filter_map(take).collect();
        self.missing = self.all_missing();
        settled
    }

    /// Remembers a frame that is published without these hosts.
    fn remember(&mut self, key: FrameKey, pending: &Pending, missing: BTreeSet<String>) {
        let Pending { events, dropped, segment, timestamp_ns, done, .. } = pending;
        let pending = Pending {
            events: *events,
            dropped: dropped.clone(),
            segment: *segment,
            timestamp_ns: *timestamp_ns,
            done: done.clone(),
            ..Pending::default()
        };
        self.missing.extend(missing.iter().cloned());
        self.incomplete.insert(key, Incomplete { pending, missing });
        while self.incomplete.len() > INCOMPLETE {
            self.incomplete.pop_first();
        }
    }

    /// Frames that are due, in order: whole, or waited for long enough.
    pub fn due(&mut self, now_ns: u64) -> Vec<Ready> {
        let expected = self.expected(now_ns);
        let mut ready = Vec::new();
        while let Some((&key, pending)) = self.open.first_key_value() {
            // Also hosts that ended or are not expected: what they began they must finish.
            let all: BTreeSet<&String> = expected.iter().chain(&pending.hosts).collect();
            let count = all.iter().filter(|h| self.knows(key, pending, h)).count();
            let waited = now_ns.saturating_sub(pending.since_ns) >= self.late_after_ns;
            // What a living host has begun it will end: workers may be slow, units be replayed.
            let lives = |h: &&String| {
                let host = self.hosts.get(*h);
                host.is_some_and(|h| now_ns.saturating_sub(h.alive_ns) < self.host_timeout_ns)
            };
            let begun = pending.hosts.iter().any(|h| !self.knows(key, pending, h) && lives(&h));
            if count < all.len() && (!waited || begun) {
                break;
            }
            let hosts = (count as u32, all.len() as u32);
            let unknown = all.iter().filter(|h| !self.knows(key, pending, h));
            let missing: BTreeSet<String> = unknown.map(|h| (*h).clone()).collect();
            if let Some(pending) = self.open.remove(&key) {
                self.published = Some(key);
                if !missing.is_empty() && !pending.is_empty() {
                    self.remember(key, &pending, missing);
                }
                ready.push(Ready { key, pending, hosts });
            }
        }
        ready
    }

    /// Frames that are open.
    pub fn len(&self) -> usize {
        self.open.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(heartbeat: u64) -> FrameKey {
        FrameKey { generation: 0, heartbeat, run: 1, step: Some(0), version: 1 }
    }

    fn add(frames: &mut Frames, host: &str, heartbeat: u64, events: u64, last: bool) -> bool {
        frames.heard(host, 0);
        let Some(pending) = frames.open(key(heartbeat), 0) else { return false };
        pending.events += events;
        pending.hosts.insert(host.into());
        frames.passed(host, key(heartbeat), last, false, true);
        true
    }

    fn due(frames: &mut Frames, now: u64) -> Vec<(u64, u64, (u32, u32))> {
        frames.due(now).into_iter().map(|r| (r.key.heartbeat, r.pending.events, r.hosts)).collect()
    }

    #[test]
    fn a_configured_host_that_is_gone_holds_up_no_decision() {
        let mut frames = Frames::new(vec!["a".into(), "b".into()], 100, 1000);
        frames.heard("a", 900);
        assert_eq!(frames.deciding(999, 0), ["a", "b"], "b may still come");
        assert_eq!(frames.deciding(1000, 0), ["a"]);
        frames.alive("b", 1001);
        assert_eq!(frames.deciding(1500, 0), ["a", "b"]);
        assert_eq!(frames.expected(9000), ["a", "b"], "results say that they are missing");
    }

    #[test]
    fn a_frame_waits_for_every_host_and_an_empty_share_is_known() {
        let mut frames = Frames::new(vec!["a".into(), "b".into()], 100, 1000);
        add(&mut frames, "a", 1, 10, true);
        assert_eq!(due(&mut frames, 0), []);
        add(&mut frames, "b", 2, 5, true);
        assert_eq!(due(&mut frames, 0), [(1, 10, (2, 2))], "b went past 1 without events");
        add(&mut frames, "a", 2, 7, true);
        assert_eq!(due(&mut frames, 0), [(2, 12, (2, 2))]);
    }

    #[test]
    fn a_silent_host_is_waited_for_only_so_long_and_its_data_are_late() {
        let mut frames = Frames::new(vec!["a".into(), "b".into()], 100, 1000);
        add(&mut frames, "b", 0, 1, true);
        add(&mut frames, "a", 1, 10, true);
        assert_eq!(due(&mut frames, 99), [(0, 1, (2, 2))]);
        assert_eq!(due(&mut frames, 100), [(1, 10, (1, 2))]);
        assert!(!add(&mut frames, "b", 1, 5, true), "late");
        assert!(add(&mut frames, "b", 2, 5, true));
    }

    #[test]
    fn an_unfinished_frame_is_not_due() {
        let mut frames = Frames::new(vec![], 100, 1000);
        add(&mut frames, "a", 1, 10, false);
        assert_eq!(due(&mut frames, 900), [], "however long it takes, while the host lives");
        add(&mut frames, "a", 1, 4, true);
        assert_eq!(due(&mut frames, 0), [(1, 14, (1, 1))]);
    }

    #[test]
    fn a_time_base_set_back_publishes_on_one_host() {
        let mut frames = Frames::new(vec![], 100, 1000);
        add(&mut frames, "a", 1000, 1, true);
        assert_eq!(due(&mut frames, 0).len(), 1);
        assert!(add(&mut frames, "a", 5, 1, true));
        assert_eq!(due(&mut frames, 0), [(5, 1, (1, 1))]);
    }
}
