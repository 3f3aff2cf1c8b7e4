//! Who changed what, when: every version of every graph, and the graph set that follows from it.

use ami_graph::graph::spec::{GraphSet, VersionedGraph};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Beyond so many bytes of records the oldest versions are given up.
pub const MAX_BYTES: usize = 64 << 20;
/// So many of the newest versions are kept then …
pub const KEEP_VERSIONS: usize = 1000;
/// … and fewer if they have more bytes than this.
pub const KEEP_BYTES: usize = 32 << 20;

/// One version: an edit of one graph.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Version of the graph set, and of this graph.
    pub version: u64,
    /// The graph.
    pub graph: String,
    /// Who made it.
    pub who: String,
    /// When, ns since the Unix epoch.
    pub when_ns: u64,
    /// What was done, for people.
    pub what: String,
    /// The graph since then; None: removed.
    pub content: Option<VersionedGraph>,
}

/// One line of the journal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Record {
    /// A manager began its life.
    Life(u64),
    /// A version was accepted and is being prepared.
    Version(Entry),
    /// It was activated.
    Active(u64),
    /// It was withdrawn.
    Withdrawn {
        /// The version.
        version: u64,
        /// Why.
        why: String,
    },
}

#[derive(Debug, Clone, PartialEq)]
enum Fate {
    Pending,
    Active,
    Withdrawn(String),
}

#[derive(Debug, Clone, PartialEq)]
struct Kept {
    entry: Entry,
    fate: Fate,
    bytes: usize,
}

/// All versions, by number.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct History {
    versions: BTreeMap<u64, Kept>,
    life: u64,
    bytes: usize,
}

impl History {
    /// Takes up a record, as the journal has it. Records that contradict what came before are of no
    /// effect, since a journal may have been put together by hand.
    pub fn take(&mut self, record: Record) {
        match record {
            Record::Life(life) => self.life = self.life.max(life),
            Record::Version(entry) => {
                // What is counted is what the journal keeps; specs of versions dominate it.
                let bytes = serde_json::to_vec(&entry).map_or(0, |v| v.len()) + 128;
                self.bytes += bytes;
                let kept = Kept { entry, fate: Fate::Pending, bytes };
                if let Some(old) = self.versions.insert(kept.entry.version, kept) {
                    self.bytes -= old.bytes;
                }
            }
            Record::Active(version) => self.decide(version, Fate::Active),
            Record::Withdrawn { version, why } => self.decide(version, Fate::Withdrawn(why)),
        }
    }

    fn decide(&mut self, version: u64, fate: Fate) {
        if let Some(kept) = self.versions.get_mut(&version) {
            kept.fate = fate;
        }
    }

    /// The newest life on record.
    pub fn life(&self) -> u64 {
        self.life
    }

    /// The newest number that was ever given to a version, also to one that was withdrawn.
    pub fn newest(&self) -> u64 {
        self.versions.last_key_value().map_or(0, |(version, _)| *version)
    }

    /// The newest version that is neither activated nor withdrawn.
    pub fn pending(&self) -> Option<u64> {
        self.versions.values().rev().find(|k| k.fate == Fate::Pending).map(|k| k.entry.version)
    }

    /// Versions of a graph with why they were withdrawn, oldest first.
    pub fn of(&self, graph: &str) -> impl DoubleEndedIterator<Item = (&Entry, Option<&str>)> {
        let graph = graph.to_string();
        self.versions.values().filter(move |k| k.entry.graph == graph).filter_map(|k| {
            match &k.fate {
                Fate::Pending => None,
                Fate::Active => Some((&k.entry, None)),
                Fate::Withdrawn(why) => Some((&k.entry, Some(why.as_str()))),
            }
        })
    }

    /// Versions of a graph that were activated, oldest first.
    pub fn active_of(&self, graph: &str) -> impl DoubleEndedIterator<Item = &Entry> {
        self.of(graph).filter(|(_, withdrawn)| withdrawn.is_none()).map(|(entry, _)| entry)
    }

    /// The newest version that was activated, of any graph.
    pub fn last_active(&self) -> Option<&Entry> {
        self.versions.values().rev().find(|k| k.fate == Fate::Active).map(|k| &k.entry)
    }

    /// Names of all graphs that ever were.
    pub fn graphs(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.versions.values().map(|k| k.entry.graph.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// The graph set that is active, without its files.
    pub fn set(&self) -> GraphSet {
        let mut set = GraphSet::default();
        for kept in self.versions.values().filter(|k| k.fate == Fate::Active) {
            let Entry { version, graph, content, .. } = &kept.entry;
            set.version = *version;
            match content {
                Some(content) => set.graphs.insert(graph.clone(), content.clone()),
                None => set.graphs.remove(graph),
            };
        }
        set
    }

    /// Gives up the oldest versions when there are too many bytes; true if it did.
    pub fn trim(&mut self) -> bool {
        if self.bytes <= MAX_BYTES {
            return false;
        }
        let live = self.set();
        let needed = |k: &Kept| {
            k.fate == Fate::Pending
                || live.graphs.get(&k.entry.graph).is_some_and(|g| g.version == k.entry.version)
                || k.entry.version == live.version
        };
        let (mut versions, mut bytes) = (0, 0);
        let mut given_up = Vec::new();
        for (version, kept) in self.versions.iter().rev() {
            versions += 1;
            bytes += kept.bytes;
            if (versions > KEEP_VERSIONS || bytes > KEEP_BYTES) && !needed(kept) {
                given_up.push(*version);
            }
        }
        for version in &given_up {
            self.bytes -= self.versions.remove(version).map_or(0, |k| k.bytes);
        }
        !given_up.is_empty()
    }

    /// The records that make this history again.
    pub fn records(&self) -> Vec<Record> {
        let mut records = vec![Record::Life(self.life)];
        for (version, kept) in &self.versions {
            records.push(Record::Version(kept.entry.clone()));
            match &kept.fate {
                Fate::Pending => {}
                Fate::Active => records.push(Record::Active(*version)),
                Fate::Withdrawn(why) => {
                    records.push(Record::Withdrawn { version: *version, why: why.clone() });
                }
            }
        }
        records
    }
}

/// A time for people: UTC to the second.
pub fn utc(when_ns: u64) -> String {
    let seconds = when_ns / 1_000_000_000;
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    // Civil date from days since 1970, counting years from March, so that leap days come last.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let (h, m, s) = (rest / 3600, rest / 60 % 60, rest % 60);
    format!("{year:04}-{month:02}-{day:02}T{h:02}:{m:02}:{s:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(version: u64, graph: &str, bytes: usize) -> Record {
        let spec = format!(r#"{{"name":"{graph}","nodes":{{"n":{{"op":"count","in":"x"}}}}}}"#);
        let spec = serde_json::from_str(&spec).unwrap();
        let content = Some(VersionedGraph { version, spec, resets: BTreeMap::new() });
        let what = "x".repeat(bytes);
        let (graph, who) = (graph.to_string(), String::new());
        Record::Version(Entry { version, graph, who, when_ns: 0, what, content })
    }

    #[test]
    fn times_are_civil() {
        assert_eq!(utc(0), "1970-01-01T00:00:00Z");
        assert_eq!(utc(951_782_400_000_000_000), "2000-02-29T00:00:00Z");
        assert_eq!(utc(1_763_654_321_000_000_000), "2025-11-20T15:58:41Z");
    }

    #[test]
    fn beyond_the_limit_old_versions_go_but_what_is_active_stays() {
        let mut history = History::default();
        for (version, graph) in [(1, "old"), (2, "busy")] {
            history.take(entry(version, graph, 100));
            history.take(Record::Active(version));
        }
        assert!(!history.trim());
        for version in 3..80 {
            history.take(entry(version, "busy", 1 << 20));
            history.take(Record::Active(version));
        }
        let set = history.set();
        assert!(history.trim());
        assert_eq!(history.set(), set);
        assert!(history.bytes <= KEEP_BYTES + 1024);
        assert!(history.of("busy").count() >= 30 && history.of("busy").count() <= 32);
        let mut again = History::default();
        history.records().into_iter().for_each(|r| again.take(r));
        assert_eq!(again, history);
    }
}
