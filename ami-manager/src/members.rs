//! Who is there: the last report of every member, and what follows from it.

use ami_graph::data::schema::Schema;
use ami_proto::control::member_to_manager::{Report, Role};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A member not heard of for so long is not live: it holds nothing up.
pub const LIVE_NS: u64 = 5_000_000_000;
/// A member not heard of for so long is no longer listed.
pub const FORGET_NS: u64 = 300_000_000_000;
/// Most members that are listed.
pub const MAX_MEMBERS: usize = 1024;
/// Largest report, in bytes.
pub const MAX_REPORT: usize = 16 << 20;
/// Most bytes of the reports of all members together.
pub const MAX_BYTES: usize = 256 << 20;

type Key = (Role, String, String);

/// One member.
#[derive(Debug, Clone)]
pub struct Member {
    /// What it said last.
    pub report: Report,
    /// When, by the loop's clock.
    pub heard_ns: u64,
    bytes: usize,
    schema: Option<Arc<Schema>>,
}

impl Member {
    /// Whether it was heard of lately and is not on its way out.
    pub fn live(&self, now_ns: u64) -> bool {
        now_ns.saturating_sub(self.heard_ns) < LIVE_NS && self.report.state != "stopping"
    }

    /// Whether versions take effect on it. Host collectors follow the partials' version, the store
    /// follows the results'.
    pub fn takes_part(&self) -> bool {
        matches!(self.report.role, Role::Ventilator | Role::Worker | Role::Root)
    }

    /// Its answer to this version in preparation: None, ready (empty), or why not.
    pub fn answer(&self, version: u64) -> Option<&[String]> {
        self.report.prepared.as_ref().filter(|p| p.version == version).map(|p| &p.refused[..])
    }

    /// For people.
    pub fn label(&self) -> String {
        let Report { role, name, host, .. } = &self.report;
        format!("{} {name} on {host}", role.name())
    }
}

/// All members.
#[derive(Debug, Default)]
pub struct Members {
    table: BTreeMap<Key, Member>,
    bytes: usize,
}

impl Members {
    /// Takes a report of so many bytes.
    ///
    /// # Errors
    /// When it is not taken: too large, too many members, or of a life that is over.
    pub fn hear(&mut self, now_ns: u64, mut report: Report, bytes: usize) -> Result<(), String> {
        let key = (report.role, report.host.clone(), report.name.clone());
        let known = self.table.get(&key);
        if known.is_some_and(|m| m.report.life > report.life && m.live(now_ns)) {
            return Err(format!("{} {}: of a life that is over", report.role.name(), report.name));
        }
        let before = known.map_or(0, |m| m.bytes);
        let schema = report.schema.take().map(Arc::new);
        if bytes > MAX_REPORT || self.bytes - before + bytes > MAX_BYTES {
            return Err(format!(
                "{} {}: {bytes} bytes are too many",
                report.role.name(),
                report.name
            ));
        }
        if known.is_none() && self.table.len() >= MAX_MEMBERS && !self.evict(now_ns) {
            return Err(format!("there are {MAX_MEMBERS} members already"));
        }
        let member = Member { report, heard_ns: now_ns, bytes, schema };
        let replaced = self.table.insert(key, member).map_or(0, |m| m.bytes);
        self.bytes = self.bytes - replaced + bytes;
        Ok(())
    }

    /// Makes room by forgetting the member that has been silent the longest, if it is not live.
    fn evict(&mut self, now_ns: u64) -> bool {
        let oldest =
            self.table.iter().filter(|(_, m)| !m.live(now_ns)).min_by_key(|(_, m)| m.heard_ns);
        let Some(key) = oldest.map(|(key, _)| key.clone()) else { return false };
        self.bytes -= self.table.remove(&key).map_or(0, |m| m.bytes);
        true
    }

    /// Forgets who has been silent for long.
    pub fn forget(&mut self, now_ns: u64) {
        self.table.retain(|_, m| now_ns.saturating_sub(m.heard_ns) < FORGET_NS);
        self.bytes = self.table.values().map(|m| m.bytes).sum();
    }

    /// Everybody listed, sorted by role, host and name.
    pub fn all(&self) -> impl Iterator<Item = &Member> {
        self.table.values()
    }

    /// Live members that versions take effect on.
    pub fn participants(&self, now_ns: u64) -> impl Iterator<Item = &Member> {
        self.table.values().filter(move |m| m.live(now_ns) && m.takes_part())
    }

    /// Ventilators with their fields: the live ones, else those that were there.
    pub fn sources(&self, now_ns: u64) -> Vec<(&Member, &Arc<Schema>)> {
        let with_schema = || self.table.values().filter_map(|m| Some((m, m.schema.as_ref()?)));
        let live: Vec<_> = with_schema().filter(|(m, _)| m.live(now_ns)).collect();
        if live.is_empty() { with_schema().collect() } else { live }
    }

    /// The distinct schemas of the sources.
    pub fn schemas(&self, now_ns: u64) -> Vec<Arc<Schema>> {
        let mut distinct: Vec<Arc<Schema>> = Vec::new();
        for (_, schema) in self.sources(now_ns) {
            if !distinct.contains(schema) {
                distinct.push(schema.clone());
            }
        }
        distinct
    }

    /// Newest version that is in effect on every live member; 0 if there is none.
    pub fn in_effect(&self, now_ns: u64) -> u64 {
        self.participants(now_ns).map(|m| m.report.version).min().unwrap_or(0)
    }
}
