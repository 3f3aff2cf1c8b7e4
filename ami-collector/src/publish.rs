//! Result messages: topic, JSON header, one raw buffer per array, as clients get them.

use crate::frames::Ready;
use ami_graph::published::{Published, ScalarOrText, Truth};
use ami_graph::value::Scalar;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Frames of one message.
pub type Frames = Vec<Vec<u8>>;

/// Sequence numbers by topic.
#[derive(Debug, Default)]
pub struct Publisher {
    /// By topic.
    pub seqs: BTreeMap<String, u64>,
    /// Messages made.
    pub messages: u64,
}

impl Publisher {
    /// Messages of a heartbeat: its features, then a marker per graph.
    pub fn heartbeat(
        &mut self,
        ready: &Ready,
        truth: &Truth,
        complete: bool,
        published: Vec<Published>,
    ) -> Vec<(String, Frames)> {
        let mut messages = Vec::with_capacity(published.len() + 1);
        let mut graphs: BTreeMap<String, (u64, Map<String, Value>)> = BTreeMap::new();
        for feature in published {
            let seq = self.next(&feature.topic);
            let (graph, topic) = (feature.graph.clone(), feature.topic.clone());
            let entry = graphs.entry(graph).or_insert_with(|| (feature.version, Map::new()));
            entry.1.insert(topic.clone(), seq.into());
            let frames = feature_message(ready, truth, complete, seq, feature);
            messages.push((topic, frames));
        }
        for (graph, (version, topics)) in graphs {
            let topic = format!("{graph}/@heartbeat");
            let seq = self.next(&topic);
            let mut header = common(ready, truth, complete, &topic, seq, &graph, version);
            header.insert("topics".into(), Value::Object(topics));
            header.insert("arrays".into(), json!([]));
            header.insert("values".into(), json!({}));
            let frames = vec![topic.clone().into_bytes(), bytes(header)];
            messages.push((topic, frames));
        }
        self.messages += messages.len() as u64;
        messages
    }

    fn next(&mut self, topic: &str) -> u64 {
        match self.seqs.get_mut(topic) {
            Some(seq) => {
                *seq += 1;
                *seq
            }
            None => {
                self.seqs.insert(topic.to_string(), 1);
                1
            }
        }
    }
}

/// Whether a topic is of one of these features, or the heartbeat marker of one of their graphs.
pub fn is_offered(topic: &str, features: &BTreeSet<String>) -> bool {
    let marker = topic.strip_suffix("/@heartbeat");
    let of = |graph: &str| features.iter().any(|f| f.split('/').next() == Some(graph));
    features.contains(topic) || marker.is_some_and(of)
}

/// The message that says which topics are gone.
pub fn retire_message(topics: &[String]) -> Frames {
    vec![b"@retire".to_vec(), json!({ "topics": topics }).to_string().into_bytes()]
}

fn bytes(header: Map<String, Value>) -> Vec<u8> {
    Value::Object(header).to_string().into_bytes()
}

fn common(
    ready: &Ready,
    truth: &Truth,
    complete: bool,
    topic: &str,
    seq: u64,
    graph: &str,
    version: u64,
) -> Map<String, Value> {
    let mut header = Map::new();
    let pending = &ready.pending;
    let mut put = |key: &str, value: Value| header.insert(key.to_string(), value);
    put("topic", topic.into());
    put("seq", seq.into());
    put("graph", graph.into());
    put("version", version.into());
    put("run", ready.key.run.into());
    put("step", ready.key.step.into());
    put("segment", pending.segment.into());
    put("heartbeat", ready.key.heartbeat.into());
    put("timestamp_ns", pending.timestamp_ns.into());
    put("events", truth.events.into());
    put("expected", truth.expected.into());
    put("dropped", json!(truth.dropped));
    put("late", pending.late.into());
    put("units", json!([pending.units.0, pending.units.1]));
    put("hosts", json!([ready.hosts.0, ready.hosts.1]));
    put("complete", complete.into());
    header
}

fn feature_message(
    ready: &Ready,
    truth: &Truth,
    complete: bool,
    seq: u64,
    feature: Published,
) -> Frames {
    let (topic, graph) = (&feature.topic, &feature.graph);
    let mut header = common(ready, truth, complete, topic, seq, graph, feature.version);
    let window = &feature.window_truth;
    header.insert("window".into(), feature.window.clone());
    header.insert("window_events".into(), window.events.into());
    header.insert("window_expected".into(), window.expected.into());
    header.insert("window_dropped".into(), json!(window.dropped));
    header.insert("window_complete".into(), window.complete().into());
    header.insert("op".into(), feature.op.clone().into());
    let describe = |(name, array): &(String, ami_graph::value::Array)| json!({ "name": name, "dtype": array.dtype().numpy(), "shape": array.shape() });
    header.insert("arrays".into(), feature.arrays.iter().map(describe).collect());
    let values: Map<String, Value> =
        feature.values.iter().map(|(n, v)| (n.clone(), value(v))).collect();
    header.insert("values".into(), Value::Object(values));
    if let Some(error) = &feature.error {
        header.insert("error".into(), error.clone().into());
    }
    let mut frames = vec![topic.clone().into_bytes(), bytes(header)];
    frames.extend(feature.arrays.iter().map(|(_, array)| array.bytes().to_vec()));
    frames
}

/// JSON has no NaN and no infinities: they travel as text.
fn value(value: &ScalarOrText) -> Value {
    match value {
        ScalarOrText::Text(text) => text.clone().into(),
        ScalarOrText::Scalar(scalar) => match scalar {
            Scalar::Bool(v) => (*v).into(),
            Scalar::U8(v) => (*v).into(),
            Scalar::U16(v) => (*v).into(),
            Scalar::U32(v) => (*v).into(),
            Scalar::U64(v) => (*v).into(),
            Scalar::I8(v) => (*v).into(),
            Scalar::I16(v) => (*v).into(),
            Scalar::I32(v) => (*v).into(),
            Scalar::I64(v) => (*v).into(),
            Scalar::F32(v) => float(f64::from(*v)),
            Scalar::F64(v) => float(*v),
        },
    }
}

fn float(value: f64) -> Value {
    if value.is_nan() {
        "NaN".into()
    } else if value.is_infinite() {
        if value > 0.0 { "Infinity".into() } else { "-Infinity".into() }
    } else {
        value.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frames::{FrameKey, Pending};
    use ami_graph::value::Array;

    #[test]
    fn a_message_is_as_documented() {
        let key = FrameKey { heartbeat: 9, run: 12, step: 3, version: 7 };
        let pending = Pending { events: 4, units: (1, 1), timestamp_ns: 5, ..Pending::default() };
        let ready = Ready { key, pending, hosts: (1, 1) };
        let truth = ready.pending.truth(true);
        let feature = Published {
            topic: "g/n".into(),
            graph: "g".into(),
            node: "n".into(),
            version: 7,
            op: "profile".into(),
            window: json!("run"),
            window_truth: truth.clone(),
            arrays: vec![("edges".into(), Array::from_elements(&[2], &[0.0f64, 1.0]))],
            values: vec![("outside".into(), ScalarOrText::Scalar(Scalar::F64(f64::NAN)))],
            error: None,
        };
        let mut publisher = Publisher::default();
        let messages = publisher.heartbeat(&ready, &truth, true, vec![feature]);
        assert_eq!(messages.len(), 2);
        let (_, feature) = &messages[0];
        let header: Value = serde_json::from_slice(&feature[1]).unwrap();
        assert_eq!(header["arrays"], json!([{"name": "edges", "dtype": "<f8", "shape": [2]}]));
        assert_eq!(header["values"]["outside"], "NaN");
        assert_eq!((&header["heartbeat"], &header["complete"]), (&json!(9), &json!(true)));
        assert_eq!(feature[2].len(), 16);
        let (topic, marker) = &messages[1];
        assert_eq!((topic.as_str(), &marker[0]), ("g/@heartbeat", &b"g/@heartbeat".to_vec()));
        let marker: Value = serde_json::from_slice(&marker[1]).unwrap();
        assert_eq!(marker["topics"], json!({"g/n": 1}));
        let offered = BTreeSet::from(["g/n".to_string()]);
        assert!(is_offered("g/n", &offered) && is_offered("g/@heartbeat", &offered));
        assert!(!is_offered("g/m", &offered) && !is_offered("h/@heartbeat", &offered));
    }
}
