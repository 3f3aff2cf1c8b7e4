//! A client as users write one: plain ZeroMQ and JSON, nothing of ami's own code.

use serde_json::Value;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// One value of a feature.
#[derive(Debug, Clone, PartialEq)]
pub struct Feature {
    /// The JSON header.
    pub header: Value,
    /// Raw bytes by array name.
    pub arrays: BTreeMap<String, Vec<u8>>,
}

impl Feature {
    fn new(header: Value, buffers: &[Vec<u8>]) -> Feature {
        let names = header["arrays"].as_array().cloned().unwrap_or_default();
        assert_eq!(names.len(), buffers.len(), "{header}");
        let name = |a: &Value| a["name"].as_str().unwrap_or_default().to_string();
        let arrays = names.iter().map(name).zip(buffers.iter().cloned()).collect();
        Feature { header, arrays }
    }

    /// An integer of the header.
    pub fn int(&self, key: &str) -> i64 {
        self.header[key].as_i64().unwrap_or_else(|| panic!("{key}: {}", self.header))
    }

    /// The step; -1 where there is none.
    pub fn step(&self) -> i64 {
        self.header["step"].as_i64().unwrap_or(-1)
    }

    /// A scalar output.
    pub fn value(&self, name: &str) -> f64 {
        self.header["values"][name].as_f64().unwrap_or_else(|| panic!("{name}: {}", self.header))
    }

    /// An array output of float64.
    pub fn f64s(&self, name: &str) -> Vec<f64> {
        self.arrays[name]
            .chunks_exact(8)
            .map(|b| f64::from_le_bytes(b.try_into().unwrap()))
            .collect()
    }

    /// An array output of 64-bit integers.
    pub fn i64s(&self, name: &str) -> Vec<i64> {
        self.arrays[name]
            .chunks_exact(8)
            .map(|b| i64::from_le_bytes(b.try_into().unwrap()))
            .collect()
    }

    /// Whether the heartbeat was complete.
    pub fn complete(&self) -> bool {
        self.header["complete"] == true
    }
}

/// One request, all frames of the answer: JSON where they are JSON.
pub fn request_frames(address: &str, json: &str) -> Option<Vec<Vec<u8>>> {
    request_within(address, json, Duration::from_secs(45))
}

/// As [`request_frames`], of somebody who may be away.
pub fn request_within(address: &str, json: &str, time: Duration) -> Option<Vec<Vec<u8>>> {
    let context = zmq::Context::new();
    let socket = context.socket(zmq::REQ).unwrap();
    socket.set_linger(0).unwrap();
    socket.set_rcvtimeo(time.as_millis() as i32).unwrap();
    socket.connect(address).unwrap();
    socket.send(json, 0).unwrap();
    socket.recv_multipart(0).ok()
}

/// One request that is answered by JSON.
pub fn request(address: &str, json: &str) -> Vec<Value> {
    let frames = request_frames(address, json)
        .unwrap_or_else(|| panic!("no answer from {address} to {json}"));
    frames.iter().map(|f| serde_json::from_slice(f).unwrap()).collect()
}

/// The newest value of a feature; None when there is none yet.
pub fn get(address: &str, topic: &str) -> Option<Feature> {
    get_within(address, topic, Duration::from_secs(45))
}

/// As [`get`], of a store that may be away.
pub fn get_within(address: &str, topic: &str, time: Duration) -> Option<Feature> {
    let frames = request_within(address, &serde_json::json!({ "get": topic }).to_string(), time)?;
    let header: Value = serde_json::from_slice(&frames[0]).unwrap();
    // A feature without a value has an error, too, but a topic beside it.
    header.get("topic").is_some().then(|| Feature::new(header, &frames[1..]))
}

/// All values of a feature that the store has.
pub fn history(address: &str, topic: &str) -> Vec<Feature> {
    let query = serde_json::json!({ "history": topic, "limit": 1_000_000 }).to_string();
    let frames = request_frames(address, &query).expect("an answer");
    let headers: Vec<Value> = serde_json::from_slice(&frames[0]).unwrap();
    let mut buffers = &frames[1..];
    let mut take = |header: Value| {
        let (mine, rest) = buffers.split_at(header["arrays"].as_array().map_or(0, Vec::len));
        buffers = rest;
        Feature::new(header, mine)
    };
    headers.into_iter().map(&mut take).collect()
}

/// A subscription.
pub struct Subscriber {
    socket: zmq::Socket,
    _context: zmq::Context,
}

impl Subscriber {
    /// To all topics with a prefix.
    #[expect(clippy::disallowed_methods, reason = "before there are peers")]
    pub fn new(address: &str, prefix: &str) -> Subscriber {
        let context = zmq::Context::new();
        let socket = context.socket(zmq::SUB).unwrap();
        socket.set_rcvhwm(0).unwrap();
        socket.set_linger(0).unwrap();
        socket.connect(address).unwrap();
        socket.set_subscribe(prefix.as_bytes()).unwrap();
        Subscriber { socket, _context: context }
    }

    /// The next value, if one comes within the time.
    pub fn next(&self, timeout: Duration) -> Option<Feature> {
        self.socket.set_rcvtimeo(timeout.as_millis() as i32).unwrap();
        let frames = self.socket.recv_multipart(0).ok()?;
        let header = serde_json::from_slice(&frames[1]).unwrap();
        Some(Feature::new(header, &frames[2..]))
    }

    /// Everything that comes within the time.
    pub fn gather(&self, time: Duration) -> Vec<Feature> {
        let end = Instant::now() + time;
        let mut features = Vec::new();
        while let Some(left) = end.checked_duration_since(Instant::now()) {
            features.extend(self.next(left.max(Duration::from_millis(1))));
        }
        features
    }

    /// Values until one satisfies the condition, that one included.
    pub fn until(&self, condition: impl Fn(&Feature) -> bool) -> Vec<Feature> {
        let start = Instant::now();
        let mut features = Vec::new();
        loop {
            assert!(
                start.elapsed() < crate::DEADLINE,
                "waited for a value; have {}",
                features.len()
            );
            if let Some(feature) = self.next(Duration::from_millis(200)) {
                let done = condition(&feature);
                features.push(feature);
                if done {
                    return features;
                }
            }
        }
    }
}
