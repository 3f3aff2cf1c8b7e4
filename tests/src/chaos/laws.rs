//! The laws that everything published must obey, whatever happens to the processes.

use super::stream::{Reference, place};
use crate::client::Feature;
use serde_json::Value;
use std::collections::BTreeMap;

/// Watches one client's stream of features.
#[derive(Debug, Default)]
pub struct Laws {
    /// Newest header by topic.
    newest: BTreeMap<String, Value>,
    /// Shapes of the edited histogram by version.
    shapes: BTreeMap<i64, Value>,
    /// What was wrong; the first few.
    pub violations: Vec<String>,
    /// Features seen.
    pub seen: u64,
    /// Features that were compared with the undisturbed run.
    pub compared: u64,
    /// Markers whose heartbeat was not complete.
    pub incomplete: u64,
    /// A new life of the root may count anew.
    pub may_restart: bool,
}

/// Violations kept: the first says most.
const KEEP: usize = 20;

impl Laws {
    /// Something is wrong.
    pub fn violated(&mut self, what: String) {
        if self.violations.len() < KEEP {
            self.violations.push(what);
        }
    }

    fn hold(&mut self, holds: bool, law: &str, feature: &Feature) {
        if !holds {
            self.violated(format!("{law}: {}", feature.header));
        }
    }

    /// Checks one feature against itself and those before; true when it is new, false when it is
    /// a last value told again.
    pub fn see(&mut self, feature: &Feature) -> bool {
        self.seen += 1;
        self.conserved(feature);
        self.ordered(feature)
    }

    fn conserved(&mut self, feature: &Feature) {
        let header = &feature.header;
        for (events, expected, dropped) in [
            ("events", "expected", "dropped"),
            ("window_events", "window_expected", "window_dropped"),
        ] {
            let Some(total) = header[expected].as_i64() else { continue };
            let parts = header[events].as_i64().unwrap_or(-1) + sum(&header[dropped]);
            self.hold(total == parts, &format!("{expected} = {events} + {dropped}"), feature);
        }
        let pair = |key: &str| (header[key][0].as_i64(), header[key][1].as_i64());
        let (units, hosts) = (pair("units"), pair("hosts"));
        let whole = sum(&header["dropped"]) == 0 && units.0 == units.1 && hosts.0 == hosts.1;
        self.hold(!feature.complete() || whole, "complete says that nothing is missing", feature);
        if header["topic"].as_str().is_some_and(|t| t.ends_with("/@heartbeat")) {
            self.incomplete += u64::from(!feature.complete());
        }
        if header["topic"] == "edited/hist" {
            let shape = header["arrays"].clone();
            let known = self.shapes.entry(feature.int("version")).or_insert(shape.clone()).clone();
            self.hold(known == shape, "one version, one definition", feature);
        }
    }

    fn ordered(&mut self, feature: &Feature) -> bool {
        let topic = feature.header["topic"].as_str().unwrap_or_default().to_string();
        let Some(before) = self.newest.insert(topic, feature.header.clone()) else { return true };
        if before == feature.header {
            return false;
        }
        let key = |header: &Value| {
            let int = |key: &str| header[key].as_i64().unwrap_or(-1);
            (int("run"), int("step"), int("heartbeat"), int("version"))
        };
        if !self.may_restart {
            let seq = feature.int("seq") > before["seq"].as_i64().unwrap_or(i64::MAX);
            self.hold(seq, &format!("seq grows after {}", before["seq"]), feature);
            let later = key(&feature.header) > key(&before);
            self.hold(later, &format!("heartbeats grow after {:?}", key(&before)), feature);
        }
        true
    }

    /// Compares with the undisturbed run: the same value from the same events.
    pub fn compare(&mut self, feature: &Feature, reference: &Reference) {
        if let Some(same) = reference.features.get(&place(feature)) {
            self.compared += 1;
            if let Err(difference) = same_value(same, feature) {
                let at = place(feature);
                self.violated(format!(
                    "{at:?} differs from the undisturbed run: {difference}\n  here  {}\n  there {}",
                    feature.header, same.header
                ));
            }
        } else {
            self.hold(false, "the undisturbed run has no such heartbeat", feature);
        }
    }
}

/// Sum over reasons.
pub fn sum(dropped: &Value) -> i64 {
    let counts = dropped.as_object().into_iter().flat_map(|d| d.values());
    counts.filter_map(Value::as_i64).sum()
}

/// What a feature says of events, apart from how the work was shared and which version it was.
const LABEL: [&str; 12] = [
    "window",
    "events",
    "expected",
    "dropped",
    "hosts",
    "complete",
    "window_events",
    "window_expected",
    "window_dropped",
    "window_complete",
    "timestamp_ns",
    "op",
];

fn same_value(there: &Feature, here: &Feature) -> Result<(), String> {
    for key in LABEL {
        let (a, b) = (&there.header[key], &here.header[key]);
        if a != b {
            return Err(format!("{key} is {b} instead of {a}"));
        }
    }
    // The sum of absolute values that 1e-12 refers to: no value of the stream exceeds 100.
    let scale = here.header["window_events"].as_f64().unwrap_or(1.0).max(1.0) * 100.0;
    let close =
        |a: f64, b: f64| a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= 1e-12 * scale;
    let empty = serde_json::Map::new();
    let values = |f: &Feature| f.header["values"].as_object().unwrap_or(&empty).clone();
    let (a, b) = (values(there), values(here));
    for (name, value) in &a {
        let same = match (value.as_f64(), b.get(name).and_then(Value::as_f64)) {
            (Some(x), Some(y)) if value.is_f64() => close(x, y),
            _ => Some(value) == b.get(name),
        };
        if !same {
            return Err(format!("{name} is {:?} instead of {value}", b.get(name)));
        }
    }
    if a.len() != b.len() || there.header["arrays"] != here.header["arrays"] {
        return Err("other values or arrays".into());
    }
    for (name, bytes) in &there.arrays {
        let described = there.header["arrays"].as_array().into_iter().flatten();
        let is_f64 = described.clone().any(|a| a["name"] == name.as_str() && a["dtype"] == "<f8");
        let same = match is_f64 {
            true => there.f64s(name).iter().zip(here.f64s(name)).all(|(x, y)| close(*x, y)),
            false => here.arrays.get(name) == Some(bytes),
        };
        if !same {
            return Err(format!("array {name} differs"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn feature(seq: i64, events: i64, dropped: i64) -> Feature {
        let header = json!({"topic": "g/n", "seq": seq, "heartbeat": seq, "run": 1, "step": 0,
            "version": 1, "events": events, "expected": 10, "dropped": {"lost": dropped},
            "units": [1, 1], "hosts": [1, 1], "complete": dropped == 0});
        Feature { header, arrays: BTreeMap::new() }
    }

    #[test]
    fn broken_labels_and_orders_are_found() {
        let mut laws = Laws::default();
        assert!(laws.see(&feature(1, 10, 0)));
        assert!(!laws.see(&feature(1, 10, 0)), "told again");
        assert!(laws.see(&feature(2, 8, 2)));
        assert_eq!(laws.violations, [] as [&str; 0]);
        laws.see(&feature(3, 9, 2));
        assert_eq!(laws.violations.len(), 1, "not conserved");
        laws.see(&feature(2, 10, 0));
        assert_eq!(laws.violations.len(), 3, "seq and heartbeat went back");
    }
}
