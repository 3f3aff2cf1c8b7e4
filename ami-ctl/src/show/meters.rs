//! What the members' numbers mean for people: rates from two reports, drops, utilisation, lag.

use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// A metric's name taken apart: `ami_x{a="b"}` is `ami_x` with label a = b.
pub fn split(name: &str) -> (&str, Vec<(&str, &str)>) {
    let Some((base, rest)) = name.split_once('{') else { return (name, Vec::new()) };
    let labels = rest.trim_end_matches('}').split("\",").filter_map(|label| {
        let (key, value) = label.split_once('=')?;
        Some((key.trim(), value.trim_matches('"')))
    });
    (base, labels.collect())
}

/// One member of a status document.
#[derive(Debug, Clone, Copy)]
pub struct Member<'a>(pub &'a Value);

impl<'a> Member<'a> {
    /// A text of it.
    pub fn text(self, key: &str) -> &'a str {
        self.0.get(key).and_then(Value::as_str).unwrap_or_default()
    }

    /// Role, host and name: who it is, also in the next document.
    pub fn identity(self) -> (String, String, String) {
        (self.text("role").into(), self.text("host").into(), self.text("name").into())
    }

    fn metrics(self) -> Option<&'a Map<String, Value>> {
        self.0.get("metrics").and_then(Value::as_object)
    }

    /// One number.
    pub fn metric(self, name: &str) -> Option<f64> {
        self.metrics()?.get(name)?.as_f64()
    }

    /// A number by a label of its metric, such as drops by reason.
    pub fn by_label(self, base: &str, label: &str) -> BTreeMap<&'a str, f64> {
        let mut found = BTreeMap::new();
        for (name, value) in self.metrics().into_iter().flatten() {
            let (this, labels) = split(name);
            if this == base
                && let Some((_, key)) = labels.iter().find(|(k, _)| *k == label)
                && let Some(value) = value.as_f64()
            {
                *found.entry(*key).or_default() += value;
            }
        }
        found
    }

    /// Events declared dropped, by reason; only reasons that occurred.
    pub fn drops(self) -> BTreeMap<&'a str, f64> {
        let mut drops = self.by_label("ami_dropped_events_total", "reason");
        drops.retain(|_, n| *n > 0.0);
        drops
    }

    /// The share of its memory that it uses.
    pub fn memory(self) -> Option<f64> {
        Some(self.metric("ami_resident_bytes")? / self.metric("ami_memory_max_bytes")?)
    }

    /// Whether it was heard of lately.
    pub fn alive(self) -> bool {
        self.0.get("alive").and_then(Value::as_bool).unwrap_or(true)
    }
}

/// The members of a status document.
pub fn members(status: &Value) -> impl Iterator<Item = Member<'_>> {
    status.get("members").and_then(Value::as_array).into_iter().flatten().map(Member)
}

/// A status document and an earlier one, for what changes per second.
#[derive(Debug, Clone, Copy)]
pub struct Rates<'a> {
    before: Option<&'a Value>,
}

impl<'a> Rates<'a> {
    /// Against an earlier document.
    pub fn since(before: Option<&'a Value>) -> Rates<'a> {
        Rates { before }
    }

    /// Change per second of a counter; None without an earlier report of the same life.
    pub fn rate(self, member: Member<'_>, name: &str) -> Option<f64> {
        let before = members(self.before?).find(|m| m.identity() == member.identity())?;
        if before.0.get("pid") != member.0.get("pid") {
            return None;
        }
        let time = |m: Member<'_>| m.metric("ami_report_time_ns");
        let seconds = (time(member)? - time(before)?) / 1e9;
        let change = member.metric(name)? - before.metric(name).unwrap_or(0.0);
        (seconds > 0.0).then(|| change / seconds)
    }
}

/// Whether every living member has reported again since `before`.
pub fn all_newer(before: &Value, now: &Value) -> bool {
    members(now).filter(|m| m.alive()).all(|m| {
        let old = members(before).find(|b| b.identity() == m.identity());
        old.is_none_or(|o| o.metric("ami_report_time_ns") != m.metric("ami_report_time_ns"))
    })
}

/// `3 lost, 17 overload`; empty without drops.
pub fn drops_text(drops: &BTreeMap<&str, f64>) -> String {
    drops
        .iter()
        .map(|(reason, n)| format!("{} {reason}", crate::print::short(*n)))
        .collect::<Vec<_>>()
        .join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn status(pid: u32, seconds: f64, events: f64) -> Value {
        json!({"members": [{"role": "worker", "host": "h", "name": "w", "pid": pid, "metrics": {
            "ami_report_time_ns": seconds * 1e9, "ami_events_total": events,
            "ami_dropped_events_total{reason=\"lost\"}": 3.0, "ami_dropped_events_total{reason=\"late\"}": 0.0}}]})
    }

    #[test]
    fn rates_are_per_second_of_the_same_life() {
        let (before, now, reborn) =
            (status(1, 10.0, 100.0), status(1, 12.0, 300.0), status(2, 12.0, 5.0));
        let rate = |now: &Value| {
            Rates::since(Some(&before)).rate(members(now).next().unwrap(), "ami_events_total")
        };
        assert_eq!(rate(&now), Some(100.0));
        assert_eq!(rate(&reborn), None);
        assert_eq!(rate(&before), None, "no time between");
        assert!(all_newer(&before, &now) && !all_newer(&now, &now));
    }

    #[test]
    fn labels_come_apart() {
        assert_eq!(split("ami_x"), ("ami_x", vec![]));
        assert_eq!(split("ami_x{a=\"1\",b=\"c,d\"}"), ("ami_x", vec![("a", "1"), ("b", "c,d")]));
        assert_eq!(split("ami_x{broken"), ("ami_x", vec![]));
        let now = status(1, 0.0, 0.0);
        assert_eq!(drops_text(&members(&now).next().unwrap().drops()), "3 lost");
    }
}
