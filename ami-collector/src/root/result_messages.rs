//! Result messages: topic, JSON header, one raw buffer per array, as clients get them.

use crate::root::heartbeats::Ready;
use ami_graph::data::frame::Truth;
use ami_graph::data::value::{Array, Scalar};
use ami_graph::root::published::{Published, ScalarOrText};
use ami_proto::socket::Frame;
use serde::{Serialize, Serializer};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Deref;

/// Frames of one message.
pub type Frames = Vec<Part>;

/// One frame. A clone of an array shares its elements: they are copied once, into a message.
#[derive(Debug, Clone, PartialEq)]
pub enum Part {
    /// Topic or header.
    Text(Vec<u8>),
    /// A buffer.
    Array(Array),
}

impl Deref for Part {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Part::Text(text) => text,
            Part::Array(array) => array.bytes(),
        }
    }
}

impl Frame for Part {
    fn into_message(self) -> zmq::Message {
        match self {
            Part::Text(text) => text.into_message(),
            Part::Array(array) => array.bytes().into(),
        }
    }
}

/// Sequence numbers by topic.
#[derive(Debug, Default)]
pub struct Publisher {
    /// By topic.
    pub seqs: BTreeMap<String, u64>,
    /// Messages made.
    pub messages: u64,
}

impl Publisher {
    /// Messages of a heartbeat: its features, then a marker per graph. Each is sent as soon as it is
    /// made: the first value does not wait for the last.
    ///
    /// # Errors
    /// Those of `send`, which gets topic and message.
    pub fn heartbeat<E>(
        &mut self,
        ready: &Ready,
        truth: &Truth,
        complete: bool,
        published: Vec<Published>,
        mut send: impl FnMut(&str, Frames) -> Result<(), E>,
    ) -> Result<(), E> {
        let heartbeat = Heartbeat { ready, truth, complete };
        let mut graphs: BTreeMap<String, Topics> = BTreeMap::new();
        for feature in published {
            let seq = self.next(&feature.topic);
            let header = heartbeat.feature(seq, &feature);
            let Published { graph, topic, version, arrays, .. } = feature;
            let mut frames = message(&topic, header);
            frames.extend(arrays.into_iter().map(|(_, array)| Part::Array(array)));
            send(&topic, frames)?;
            self.messages += 1;
            let topics = graphs.entry(graph).or_insert(Topics { version, seqs: BTreeMap::new() });
            topics.seqs.insert(topic, seq);
        }
        for (graph, topics) in graphs {
            let topic = format!("{graph}/@heartbeat");
            let seq = self.next(&topic);
            let header = heartbeat.marker(&topic, seq, &graph, topics);
            send(&topic, message(&topic, header))?;
            self.messages += 1;
        }
        Ok(())
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

/// What a graph published: topics and their sequence numbers.
struct Topics {
    version: u64,
    seqs: BTreeMap<String, u64>,
}

/// Whether a topic is of one of these features, or the heartbeat marker of one of their graphs.
pub fn is_offered(topic: &str, features: &BTreeSet<String>) -> bool {
    let marker = topic.strip_suffix("/@heartbeat");
    let of = |graph: &str| features.iter().any(|f| f.split('/').next() == Some(graph));
    features.contains(topic) || marker.is_some_and(of)
}

/// The message that says which topics are gone.
pub fn retire_message(topics: &[String]) -> Frames {
    message("@retire", json(&BTreeMap::from([("topics", topics)])))
}

/// What every header says, in this order.
#[derive(Serialize)]
struct Common<'a> {
    topic: &'a str,
    seq: u64,
    graph: &'a str,
    version: u64,
    run: u32,
    step: Option<u32>,
    segment: u64,
    heartbeat: u64,
    timestamp_ns: u64,
    events: u64,
    expected: Option<u64>,
    dropped: &'a BTreeMap<String, u64>,
    late: u64,
    units: (u64, u64),
    hosts: (u32, u32),
    complete: bool,
}

/// The header of a graph's marker: what a heartbeat published, with sequence numbers.
#[derive(Serialize)]
struct Marker<'a> {
    #[serde(flatten)]
    common: Common<'a>,
    topics: BTreeMap<String, u64>,
    arrays: [(); 0],
    values: Values<'a>,
}

/// The header of a feature.
#[derive(Serialize)]
struct Feature<'a> {
    #[serde(flatten)]
    common: Common<'a>,
    window: &'a serde_json::Value,
    window_events: u64,
    window_expected: Option<u64>,
    window_dropped: &'a BTreeMap<String, u64>,
    window_complete: bool,
    op: &'a str,
    arrays: Vec<Described<'a>>,
    values: Values<'a>,
    /// Said only of a value that speaks of an earlier heartbeat.
    #[serde(skip_serializing_if = "Option::is_none")]
    speaks_of: Option<u64>,
    /// Said only when false.
    #[serde(skip_serializing_if = "Option::is_none")]
    exact: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
}

#[derive(Serialize)]
struct Described<'a> {
    name: &'a str,
    dtype: &'static str,
    shape: &'a [usize],
}

impl<'a> Described<'a> {
    fn of((name, array): &'a (String, Array)) -> Described<'a> {
        Described { name, dtype: array.dtype().numpy(), shape: array.shape() }
    }
}

/// By name, in the op's order.
struct Values<'a>(&'a [(String, ScalarOrText)]);

impl Serialize for Values<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, Plain(value))))
    }
}

/// JSON has no NaN and no infinities: they travel as text.
struct Plain<'a>(&'a ScalarOrText);

impl Serialize for Plain<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            ScalarOrText::Text(text) => serializer.serialize_str(text),
            ScalarOrText::Scalar(scalar) => match *scalar {
                Scalar::Bool(v) => serializer.serialize_bool(v),
                Scalar::U8(v) => serializer.serialize_u8(v),
                Scalar::U16(v) => serializer.serialize_u16(v),
                Scalar::U32(v) => serializer.serialize_u32(v),
                Scalar::U64(v) => serializer.serialize_u64(v),
                Scalar::I8(v) => serializer.serialize_i8(v),
                Scalar::I16(v) => serializer.serialize_i16(v),
                Scalar::I32(v) => serializer.serialize_i32(v),
                Scalar::I64(v) => serializer.serialize_i64(v),
                Scalar::F32(v) => float(f64::from(v), serializer),
                Scalar::F64(v) => float(v, serializer),
            },
        }
    }
}

fn float<S: Serializer>(value: f64, serializer: S) -> Result<S::Ok, S::Error> {
    if value.is_nan() {
        serializer.serialize_str("NaN")
    } else if value.is_infinite() {
        serializer.serialize_str(if value > 0.0 { "Infinity" } else { "-Infinity" })
    } else {
        serializer.serialize_f64(value)
    }
}

/// What the features of a heartbeat have in common.
struct Heartbeat<'a> {
    ready: &'a Ready,
    truth: &'a Truth,
    complete: bool,
}

impl<'a> Heartbeat<'a> {
    fn common(&self, topic: &'a str, seq: u64, graph: &'a str, version: u64) -> Common<'a> {
        let Ready { key, pending, hosts } = self.ready;
        Common {
            topic,
            seq,
            graph,
            version,
            run: key.run,
            step: key.step,
            segment: pending.segment,
            heartbeat: key.heartbeat,
            timestamp_ns: pending.timestamp_ns,
            events: self.truth.events,
            expected: self.truth.expected,
            dropped: &self.truth.dropped,
            late: pending.late,
            units: pending.units,
            hosts: *hosts,
            complete: self.complete,
        }
    }

    fn marker(&self, topic: &str, seq: u64, graph: &str, topics: Topics) -> Vec<u8> {
        let header = Marker {
            common: self.common(topic, seq, graph, topics.version),
            topics: topics.seqs,
            arrays: [],
            values: Values(&[]),
        };
        json(&header)
    }

    fn feature(&self, seq: u64, feature: &Published) -> Vec<u8> {
        let window = &feature.window_truth;
        let header = Feature {
            common: self.common(&feature.topic, seq, &feature.graph, feature.version),
            window: &feature.window,
            window_events: window.events,
            window_expected: window.expected,
            window_dropped: &window.dropped,
            window_complete: window.complete(),
            op: &feature.op,
            arrays: feature.arrays.iter().map(Described::of).collect(),
            values: Values(&feature.values),
            speaks_of: feature.speaks_of,
            exact: (!feature.exact).then_some(false),
            error: feature.error.as_deref(),
        };
        json(&header)
    }
}

fn message(topic: &str, header: Vec<u8>) -> Frames {
    vec![Part::Text(topic.into()), Part::Text(header)]
}

/// About what a header takes.
const HEADER_BYTES: usize = 1024;

/// Keys here are texts, so that nothing can fail.
fn json(header: &impl Serialize) -> Vec<u8> {
    let mut text = Vec::with_capacity(HEADER_BYTES);
    serde_json::to_writer(&mut text, header).expect("a header is writable as JSON");
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::root::heartbeats::{FrameKey, Pending};
    use serde_json::{Value, json};

    #[test]
    fn a_message_is_as_documented() {
        let key = FrameKey { generation: 0, heartbeat: 9, run: 12, step: Some(3), version: 7 };
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
            speaks_of: None,
            exact: true,
            error: None,
        };
        let mut publisher = Publisher::default();
        let mut messages = Vec::new();
        let mut keep = |topic: &str, frames| -> Result<(), ()> {
            messages.push((topic.to_string(), frames));
            Ok(())
        };
        publisher.heartbeat(&ready, &truth, true, vec![feature], &mut keep).unwrap();
        assert_eq!(messages.len(), 2);
        let (_, feature) = &messages[0];
        let header: Value = serde_json::from_slice(&feature[1]).unwrap();
        assert_eq!(header["arrays"], json!([{"name": "edges", "dtype": "<f8", "shape": [2]}]));
        assert_eq!(header["values"]["outside"], "NaN");
        assert_eq!((&header["heartbeat"], &header["complete"]), (&json!(9), &json!(true)));
        assert_eq!(feature[2].len(), 16);
        let (topic, marker) = &messages[1];
        assert_eq!((topic.as_str(), &*marker[0]), ("g/@heartbeat", &b"g/@heartbeat"[..]));
        let marker: Value = serde_json::from_slice(&marker[1]).unwrap();
        assert_eq!(marker["topics"], json!({"g/n": 1}));
        let offered = BTreeSet::from(["g/n".to_string()]);
        assert!(is_offered("g/n", &offered) && is_offered("g/@heartbeat", &offered));
        assert!(!is_offered("g/m", &offered) && !is_offered("h/@heartbeat", &offered));
    }
}
