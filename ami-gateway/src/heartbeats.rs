//! Features become heartbeats: all values of a graph that belong together. Pure.

use ami_proto::client::feature::Feature;
use serde_json::Value;
use std::collections::BTreeMap;
use std::rc::Rc;

/// Topics that are kept; who publishes more is no graph.
const MOST_TOPICS: usize = 65_536;

/// All values of a graph in one heartbeat.
#[derive(Debug, Clone, PartialEq)]
pub struct Heartbeat {
    /// The graph.
    pub graph: String,
    /// The heartbeat's number.
    pub number: u64,
    /// Timestamp of its newest event, ns since the Unix epoch.
    pub timestamp_ns: u64,
    /// The values, by topic.
    pub features: Vec<Rc<Feature>>,
}

/// Gathers features until their heartbeat is whole.
#[derive(Debug, Default)]
pub struct Gathering {
    /// The newest of each topic.
    newest: BTreeMap<String, Rc<Feature>>,
    /// The last mark of each graph: a subscription repeats it.
    marks: BTreeMap<String, u64>,
    /// Heartbeats of which some values were missed on the way: they are left out.
    pub torn: u64,
}

impl Gathering {
    /// Takes what was published next: the heartbeat that it ends, if it does.
    pub fn take(&mut self, feature: Feature) -> Option<Heartbeat> {
        let topic = feature.topic().to_owned();
        let Some(graph) = topic.strip_suffix("/@heartbeat") else {
            if self.newest.len() < MOST_TOPICS || self.newest.contains_key(&topic) {
                self.newest.insert(topic, Rc::new(feature));
            }
            return None;
        };
        let seq = feature.number("seq")?;
        if self.marks.insert(graph.to_owned(), seq) == Some(seq) {
            return None;
        }
        let topics = feature.header.get("topics").and_then(Value::as_object)?;
        // What the graph does not publish any more is not kept.
        let prefix = format!("{graph}/");
        self.newest.retain(|t, _| !t.starts_with(&prefix) || topics.contains_key(t));
        let features: Option<Vec<Rc<Feature>>> = topics
            .iter()
            .map(|(topic, seq)| {
                let newest = self.newest.get(topic)?;
                (newest.number("seq") == seq.as_u64()).then(|| Rc::clone(newest))
            })
            .collect();
        let Some(features) = features else {
            self.torn += 1;
            return None;
        };
        Some(Heartbeat {
            graph: graph.to_owned(),
            number: feature.number("heartbeat")?,
            timestamp_ns: feature.number("timestamp_ns").unwrap_or(0),
            features,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn feature(header: Value) -> Feature {
        Feature::new(header, &mut std::iter::empty()).unwrap()
    }

    fn value(topic: &str, seq: u64) -> Feature {
        feature(json!({"topic": topic, "seq": seq, "values": {"value": seq}}))
    }

    fn mark(heartbeat: u64, seq: u64, topics: Value) -> Feature {
        feature(
            json!({"topic": "g/@heartbeat", "seq": seq, "heartbeat": heartbeat, "topics": topics}),
        )
    }

    #[test]
    fn a_heartbeat_has_the_values_that_belong_to_it() {
        let mut gathering = Gathering::default();
        assert_eq!(gathering.take(value("g/a", 1)), None);
        assert_eq!(gathering.take(value("g/b", 5)), None);
        let whole = gathering.take(mark(7, 1, json!({"g/a": 1, "g/b": 5}))).unwrap();
        assert_eq!((whole.graph.as_str(), whole.number, whole.features.len()), ("g", 7, 2));
        // A node that published nothing this time is not in it.
        gathering.take(value("g/a", 2));
        let next = gathering.take(mark(8, 2, json!({"g/a": 2}))).unwrap();
        assert_eq!(next.features.len(), 1);
        assert_eq!(gathering.torn, 0);
    }

    #[test]
    fn what_is_not_whole_is_left_out_and_counted() {
        let mut gathering = Gathering::default();
        gathering.take(value("g/a", 3));
        assert_eq!(gathering.take(mark(7, 1, json!({"g/a": 2}))), None, "overtaken");
        assert_eq!(gathering.take(mark(8, 2, json!({"g/a": 3, "g/b": 1}))), None, "not seen");
        assert_eq!(gathering.torn, 2);
    }

    #[test]
    fn a_mark_that_is_repeated_is_no_new_heartbeat() {
        let mut gathering = Gathering::default();
        gathering.take(value("g/a", 1));
        assert!(gathering.take(mark(7, 1, json!({"g/a": 1}))).is_some());
        assert_eq!(gathering.take(mark(7, 1, json!({"g/a": 1}))), None);
    }

    #[test]
    fn a_graph_that_shrinks_keeps_nothing() {
        let mut gathering = Gathering::default();
        gathering.take(value("g/a", 1));
        gathering.take(value("h/a", 1));
        gathering.take(mark(7, 1, json!({})));
        assert_eq!(gathering.newest.keys().collect::<Vec<_>>(), ["h/a"]);
    }
}
