//! A heartbeat as a train of karabo-bridge, protocol 2.2: frames that alternate between a header and
//! what it announces. Source: `docs/gateway.md`, and the wire as `karabo-bridge` 0.7 reads it.

use crate::heartbeats::Heartbeat;
use ami_proto::client::feature::{Feature, number};
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// Keys of a header that go along with the values, behind `.ami.`: how far they can be trusted.
const TOLD: [&str; 9] = [
    "window_complete",
    "window_events",
    "window_expected",
    "complete",
    "events",
    "expected",
    "version",
    "run",
    "step",
];

/// A header of the wire.
#[derive(Serialize)]
#[serde(untagged)]
enum Header<'a> {
    Plain {
        source: &'a str,
        content: &'static str,
        metadata: Metadata<'a>,
    },
    Array {
        source: &'a str,
        content: &'static str,
        path: &'a str,
        dtype: String,
        shape: &'a [usize],
    },
}

#[derive(Serialize)]
struct Metadata<'a> {
    source: &'a str,
    timestamp: f64,
    #[serde(rename = "timestamp.sec")]
    sec: String,
    #[serde(rename = "timestamp.frac")]
    frac: String,
    #[serde(rename = "timestamp.tid")]
    tid: u64,
}

/// The name under which a graph is a source.
pub fn source(graph: &str) -> String {
    format!("ami/{graph}")
}

/// The frames of a train. Its number is the heartbeat's, its one source the graph; a property is
/// `node.output`.
pub fn train(heartbeat: &Heartbeat) -> Vec<Vec<u8>> {
    let source = source(&heartbeat.graph);
    let (sec, ns) =
        (heartbeat.timestamp_ns / 1_000_000_000, heartbeat.timestamp_ns % 1_000_000_000);
    let metadata = Metadata {
        source: &source,
        timestamp: heartbeat.timestamp_ns as f64 / 1e9,
        sec: sec.to_string(),
        // Attoseconds.
        frac: format!("{:018}", ns * 1_000_000_000),
        tid: heartbeat.number,
    };
    let mut plain = BTreeMap::new();
    let mut arrays = Vec::new();
    for feature in &heartbeat.features {
        let name = named(&heartbeat.graph, feature);
        for (output, value) in feature.values() {
            plain.insert(property(name, output), scalar(value));
        }
        for key in TOLD {
            if let Some(value) = feature.header.get(key).filter(|value| !value.is_null()) {
                plain.insert(format!("{name}.ami.{key}"), Plain::Other(value.clone()));
            }
        }
        for array in &feature.arrays {
            let path = property(name, &array.name);
            let (dtype, shape) = (numpy(array.dtype.numpy()), &array.shape[..]);
            let header =
                Header::Array { source: &source, content: "array", path: &path, dtype, shape };
            arrays.extend([packed(&header), array.bytes().to_vec()]);
        }
    }
    let header = Header::Plain { source: &source, content: "msgpack", metadata };
    [packed(&header), packed(&plain)].into_iter().chain(arrays).collect()
}

/// What a property is called before the output: the topic without its graph.
fn named<'a>(graph: &str, feature: &'a Feature) -> &'a str {
    let topic = feature.topic();
    topic.strip_prefix(graph).and_then(|rest| rest.strip_prefix('/')).unwrap_or(topic)
}

/// `node.output`; also of a topic that is itself that of one output.
fn property(name: &str, output: &str) -> String {
    match name.strip_suffix(output) {
        Some(node) if node.ends_with('.') => name.to_owned(),
        _ => format!("{name}.{output}"),
    }
}

/// A value beside arrays.
#[derive(Serialize)]
#[serde(untagged)]
enum Plain {
    Float(f64),
    Other(Value),
}

/// Numbers that JSON cannot say are text in a header of ours.
fn scalar(value: &Value) -> Plain {
    match value {
        Value::String(_) => number(value).map_or_else(|| Plain::Other(value.clone()), Plain::Float),
        other => Plain::Other(other.clone()),
    }
}

fn packed(value: &impl Serialize) -> Vec<u8> {
    // Maps of text, numbers and lists can always be written to memory.
    rmp_serde::to_vec_named(value).unwrap_or_default()
}

/// numpy's long name of a type, from its short one, as `<f8`.
fn numpy(short: &str) -> String {
    let (kind, size) = short.trim_start_matches(['<', '|']).split_at(1);
    let bits = size.parse().unwrap_or(1) * 8;
    match kind {
        "b" => "bool".into(),
        "i" => format!("int{bits}"),
        "f" => format!("float{bits}"),
        _ => format!("uint{bits}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::rc::Rc;

    fn unpacked(frame: &[u8]) -> Value {
        rmp_serde::from_slice(frame).unwrap()
    }

    fn heartbeat(features: Vec<(Value, Vec<u8>)>) -> Heartbeat {
        let feature = |(header, bytes): (Value, Vec<u8>)| {
            Rc::new(Feature::new(header, &mut std::iter::once(bytes)).unwrap())
        };
        Heartbeat {
            graph: "g".into(),
            number: 17,
            timestamp_ns: 1_790_000_000_000_000_123,
            features: features.into_iter().map(feature).collect(),
        }
    }

    #[test]
    fn a_train_is_pairs_of_frames_with_one_source() {
        let array = json!({"topic": "g/scan", "seq": 1, "values": {"outside": 3}, "window_complete": true,
                           "expected": null, "arrays": [{"name": "mean", "dtype": "<f8", "shape": [1, 2]}]});
        let bytes: Vec<u8> = [1.5f64, 2.5].iter().flat_map(|x| x.to_le_bytes()).collect();
        let scalar = json!({"topic": "g/rate.value", "seq": 1, "values": {"value": 2.0}});
        let frames = train(&heartbeat(vec![(array, bytes.clone()), (scalar, vec![])]));
        assert_eq!(frames.len(), 4);
        let header = unpacked(&frames[0]);
        assert_eq!((&header["source"], &header["content"]), (&json!("ami/g"), &json!("msgpack")));
        let metadata = &header["metadata"];
        assert_eq!(metadata["timestamp.tid"], 17);
        assert_eq!(metadata["timestamp.sec"], "1790000000");
        assert_eq!(metadata["timestamp.frac"], "000000123000000000");
        let plain = unpacked(&frames[1]);
        assert_eq!(
            plain,
            json!({"scan.outside": 3, "scan.ami.window_complete": true, "rate.value": 2.0})
        );
        let announced = json!({"source": "ami/g", "content": "array", "path": "scan.mean",
                               "dtype": "float64", "shape": [1, 2]});
        assert_eq!(unpacked(&frames[2]), announced);
        assert_eq!(frames[3], bytes);
    }

    #[test]
    fn numbers_that_json_cannot_say_are_numbers() {
        let values =
            json!({"topic": "g/a", "values": {"value": "NaN", "name": "x", "far": "-Infinity"}});
        let frames = train(&heartbeat(vec![(values, vec![])]));
        // A float in msgpack begins with 0xcb.
        assert_eq!(frames[1].iter().filter(|byte| **byte == 0xcb).count(), 2, "{:?}", frames[1]);
        assert!(frames[1].windows(2).any(|w| w == [0xa1, b'x']));
    }

    #[test]
    fn types_have_the_names_that_numpy_gives_them() {
        let names = ["|b1", "|u1", "<u2", "<i8", "<f4", "<f8"].map(numpy);
        assert_eq!(names, ["bool", "uint8", "uint16", "int64", "float32", "float64"]);
    }

    #[test]
    fn nothing_published_is_a_train_without_properties() {
        let frames = train(&heartbeat(vec![]));
        assert_eq!((frames.len(), frames[1].as_slice()), (2, &[0x80][..]));
    }
}
