//! Which heartbeat each graph version takes effect at. Pure.

use std::collections::BTreeMap;

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

    /// A decision that cannot be recorded is none: given up, which needs no record, since every host
    /// would have to promise anew.
    pub fn give_up(&mut self) {
        self.decided = self.decided.map(|(version, _)| (version, None));
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
