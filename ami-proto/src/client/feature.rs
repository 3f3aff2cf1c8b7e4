//! One published value: its header, its arrays, and its truth label in words.

use crate::client::array::NdArray;
use serde_json::{Map, Value};
use std::fmt::Write;

/// Most array buffers of one message that are believed.
const MAX_ARRAYS: usize = 4096;

/// A feature as it came from the store.
#[derive(Debug, Clone, PartialEq)]
pub struct Feature {
    /// The header, as `docs/clients.md` has it.
    pub header: Map<String, Value>,
    /// The arrays in the header's order.
    pub arrays: Vec<NdArray>,
}

impl Feature {
    /// From a header and as many buffers as it names, taken from `buffers`.
    ///
    /// # Errors
    /// When header and buffers do not fit together.
    pub fn new(
        header: Value,
        buffers: &mut impl Iterator<Item = Vec<u8>>,
    ) -> Result<Feature, String> {
        let Value::Object(header) = header else { return Err("a header that is no object".into()) };
        let described =
            header.get("arrays").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        if described.len() > MAX_ARRAYS {
            return Err(format!("{} arrays in one message", described.len()));
        }
        let mut arrays = Vec::new();
        for array in described {
            let text = |key: &str| array.get(key).and_then(Value::as_str).unwrap_or_default();
            let shape: Option<Vec<usize>> = array
                .get("shape")
                .and_then(Value::as_array)
                .and_then(|s| s.iter().map(|d| d.as_u64().map(|d| d as usize)).collect());
            let shape = shape.ok_or_else(|| format!("array {:?} has no shape", text("name")))?;
            let bytes =
                buffers.next().ok_or_else(|| format!("no buffer for array {:?}", text("name")))?;
            arrays.push(NdArray::new(text("name"), text("dtype"), shape, bytes)?);
        }
        Ok(Feature { header, arrays })
    }

    /// A text of the header; empty if it is not there.
    pub fn text(&self, key: &str) -> &str {
        self.header.get(key).and_then(Value::as_str).unwrap_or_default()
    }

    /// A number of the header.
    pub fn number(&self, key: &str) -> Option<u64> {
        self.header.get(key).and_then(Value::as_u64)
    }

    /// Its topic.
    pub fn topic(&self) -> &str {
        self.text("topic")
    }

    /// Scalar and text outputs in order.
    pub fn values(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.header
            .get("values")
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
            .map(|(k, v)| (k.as_str(), v))
    }

    /// The scalar that a strip chart shows: the output `value`, else the first number.
    pub fn scalar(&self) -> Option<f64> {
        let values = || self.values().filter_map(|(name, v)| Some((name, number(v)?)));
        values().find(|(name, _)| *name == "value").or_else(|| values().next()).map(|(_, v)| v)
    }

    /// Whether all of the heartbeat and all of the window is in it.
    pub fn complete(&self) -> (bool, bool) {
        let flag = |key: &str| self.header.get(key).and_then(Value::as_bool).unwrap_or(false);
        (flag("complete"), flag("window_complete"))
    }

    /// The truth label on one line.
    pub fn label(&self) -> String {
        let window = match self.header.get("window") {
            Some(Value::String(window)) => window.clone(),
            Some(window) => window.to_string(),
            None => "?".into(),
        };
        // What is missing comes first: a narrow terminal cuts off the rest.
        let mut line = format!("window {window}: {}", self.share("window_", "events"));
        let heartbeat = self.number("heartbeat").map_or(String::new(), |h| format!(" {h}"));
        let _ = write!(line, " · heartbeat{heartbeat}: {}", self.share("", "events"));
        for key in ["units", "hosts"] {
            if let Some([Value::Number(n), Value::Number(of)]) =
                self.header.get(key).and_then(Value::as_array).map(Vec::as_slice)
            {
                let _ = write!(line, " · {n}/{of} {key}");
            }
        }
        for key in ["run", "step"] {
            if let Some(n) = self.number(key) {
                let _ = write!(line, " · {key} {n}");
            }
        }
        line
    }

    /// `12000/12000 events complete`, `9/? events incomplete, dropped: 3 lost`.
    fn share(&self, prefix: &str, what: &str) -> String {
        let count = |key: &str| self.number(&format!("{prefix}{key}"));
        let events = count("events").map_or("?".into(), |n| n.to_string());
        let expected = count("expected").map_or("?".into(), |n| n.to_string());
        let complete = self.header.get(&format!("{prefix}complete")).and_then(Value::as_bool);
        let word = if complete == Some(true) { "complete" } else { "INCOMPLETE" };
        let dropped: Vec<String> = self
            .header
            .get(&format!("{prefix}dropped"))
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
            .map(|(reason, n)| format!("{n} {reason}"))
            .collect();
        let mut text = format!("{events}/{expected} {what} {word}");
        if !dropped.is_empty() {
            let _ = write!(text, ", dropped: {}", dropped.join(", "));
        }
        text
    }
}

/// A value of a header as a number; the strings that stand for what JSON cannot say included.
pub fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Number(n) => n.as_f64(),
        Value::Bool(b) => Some(f64::from(u8::from(*b))),
        Value::String(s) => match s.as_str() {
            "NaN" => Some(f64::NAN),
            "Infinity" => Some(f64::INFINITY),
            "-Infinity" => Some(f64::NEG_INFINITY),
            _ => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn header() -> Value {
        json!({"topic": "g/n", "run": 12, "heartbeat": 7, "window": "run",
               "events": 9, "expected": null, "dropped": {"lost": 3}, "units": [8, 9], "hosts": [1, 1],
               "complete": false, "window_events": 20, "window_expected": 20, "window_complete": true,
               "arrays": [{"name": "a", "dtype": "|u1", "shape": [2]}],
               "values": {"outside": 17, "value": "NaN"}})
    }

    #[test]
    fn the_label_says_what_is_missing() {
        let feature = Feature::new(header(), &mut [vec![1, 2]].into_iter()).unwrap();
        assert_eq!(
            feature.label(),
            "window run: 20/20 events complete · heartbeat 7: 9/? events INCOMPLETE, dropped: 3 lost · 8/9 units · 1/1 hosts · run 12"
        );
        assert!(feature.scalar().unwrap().is_nan());
        assert_eq!(feature.complete(), (false, true));
    }

    #[test]
    fn damaged_messages_are_refused_not_believed() {
        let feature =
            |header: Value, buffers: Vec<Vec<u8>>| Feature::new(header, &mut buffers.into_iter());
        assert!(feature(header(), vec![]).unwrap_err().contains("no buffer"));
        assert!(feature(header(), vec![vec![1]]).is_err());
        assert!(feature(json!([1]), vec![]).is_err());
        let negative = json!({"arrays": [{"name": "a", "dtype": "|u1", "shape": [-1]}]});
        assert!(feature(negative, vec![vec![1]]).unwrap_err().contains("no shape"));
    }
}
