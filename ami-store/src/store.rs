//! What the store knows: last values, a bounded history, consistent frames. Pure.

use serde_json::{Map, Value};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// One published message.
#[derive(Debug, Clone)]
pub struct Message {
    /// The JSON header as it came.
    pub header: Arc<[u8]>,
    /// Buffers, one per array.
    pub buffers: Arc<[Vec<u8>]>,
    /// Number within its topic.
    pub seq: u64,
    /// Its heartbeat.
    pub heartbeat: u64,
    /// When it came, ns since the Unix epoch.
    pub received_ns: u64,
}

impl Message {
    fn bytes(&self) -> usize {
        self.header.len() + self.buffers.iter().map(Vec::len).sum::<usize>() + 64
    }
}

/// Why a message of the root was not kept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IngestError {
    /// Fewer than two frames.
    #[error("message of {0} frames; topic and header are the least")]
    Frames(usize),
    /// The topic is not text, the header not a JSON object with seq and heartbeat.
    #[error("message {0:?}: topic or header cannot be read")]
    Header(String),
    /// Not as many buffers as the header says.
    #[error("message {topic:?}: {found} buffers where the header names {named}")]
    Buffers {
        /// The topic.
        topic: String,
        /// Buffers that came.
        found: usize,
        /// Arrays that the header names.
        named: usize,
    },
}

/// See the module's documentation.
#[derive(Debug)]
pub struct Store {
    most: usize,
    most_bytes: usize,
    topics: BTreeMap<String, VecDeque<Message>>,
    bytes: usize,
    /// Newest consistent frame by graph: its messages, whatever the history forgets.
    frames: BTreeMap<String, Vec<Message>>,
    /// Messages kept since the start.
    pub messages: u64,
}

impl Store {
    /// Keeps at most so many messages per topic, and so many bytes of history in all.
    pub fn new(most: usize, most_bytes: usize) -> Store {
        Store {
            most,
            most_bytes,
            topics: BTreeMap::new(),
            bytes: 0,
            frames: BTreeMap::new(),
            messages: 0,
        }
    }

    /// Keeps a message of the root: topic, header, buffers.
    ///
    /// # Errors
    /// When it is not of that form.
    pub fn ingest(&mut self, frames: &[&[u8]], now_ns: u64) -> Result<(), IngestError> {
        let [topic, header, buffers @ ..] = frames else {
            return Err(IngestError::Frames(frames.len()));
        };
        let unreadable = || IngestError::Header(String::from_utf8_lossy(topic).into_owned());
        let name = std::str::from_utf8(topic).map_err(|_| unreadable())?;
        let parsed: Map<String, Value> =
            serde_json::from_slice(header).map_err(|_| unreadable())?;
        if name == "@retire" {
            self.retire(&parsed);
            return Ok(());
        }
        let number = |key: &str| parsed.get(key).and_then(Value::as_u64);
        let (Some(seq), Some(heartbeat)) = (number("seq"), number("heartbeat")) else {
            return Err(unreadable());
        };
        let named = parsed.get("arrays").and_then(Value::as_array).map_or(0, Vec::len);
        if named != buffers.len() {
            return Err(IngestError::Buffers { topic: name.into(), found: buffers.len(), named });
        }
        if let Some(graph) = name.strip_suffix("/@heartbeat")
            && let Some(topics) = parsed.get("topics").and_then(Value::as_object)
        {
            let member = |(topic, seq): (&String, &Value)| {
                let (history, seq) = (self.topics.get(topic)?, seq.as_u64()?);
                history.iter().rev().find(|m| m.seq == seq).cloned()
            };
            let members: Vec<Message> = topics.iter().filter_map(member).collect();
            // A marker before its features (a store that just came) makes no frame.
            if members.len() == topics.len() {
                self.frames.insert(graph.to_string(), members);
            }
        }
        let buffers = buffers.iter().map(|b| b.to_vec()).collect();
        let header = Arc::from(*header);
        self.keep(name, Message { header, buffers, seq, heartbeat, received_ns: now_ns });
        Ok(())
    }

    fn keep(&mut self, topic: &str, message: Message) {
        self.messages += 1;
        self.bytes += message.bytes();
        if !self.topics.contains_key(topic) {
            self.topics.insert(topic.to_string(), VecDeque::new());
        }
        let Some(history) = self.topics.get_mut(topic) else { return };
        // A root that was restarted, or a repetition for a new subscriber: no history twice.
        while history.back().is_some_and(|last| last.seq >= message.seq) {
            self.bytes -= history.pop_back().map_or(0, |m| m.bytes());
        }
        history.push_back(message);
        if history.len() > self.most {
            self.bytes -= history.pop_front().map_or(0, |m| m.bytes());
        }
        self.shrink();
    }

    /// Forgets the oldest of the longest histories until all fit; last values always stay.
    fn shrink(&mut self) {
        while self.bytes > self.most_bytes {
            let heaviest = self
                .topics
                .values_mut()
                .filter(|h| h.len() > 1)
                .max_by_key(|h| h.len() * h.front().map_or(0, Message::bytes));
            let Some(history) = heaviest else { return };
            self.bytes -= history.pop_front().map_or(0, |m| m.bytes());
        }
    }

    fn retire(&mut self, header: &Map<String, Value>) {
        for topic in header.get("topics").and_then(Value::as_array).into_iter().flatten() {
            let Some(topic) = topic.as_str() else { continue };
            let gone = self.topics.remove(topic).unwrap_or_default();
            self.bytes -= gone.iter().map(Message::bytes).sum::<usize>();
            if let Some(graph) = topic.strip_suffix("/@heartbeat") {
                self.frames.remove(graph);
            }
        }
    }

    /// The last value of a topic.
    pub fn latest(&self, topic: &str) -> Option<&Message> {
        self.topics.get(topic)?.back()
    }

    /// Last values of all topics with a prefix, in order.
    pub fn latest_with(&self, prefix: &str) -> impl Iterator<Item = (&str, &Message)> {
        let from = self.topics.range(prefix.to_string()..);
        let prefix = prefix.to_string();
        from.take_while(move |(t, _)| t.starts_with(&prefix))
            .filter_map(|(t, h)| Some((t.as_str(), h.back()?)))
    }

    /// Values of a topic from a heartbeat on: the newest `limit` of them, oldest first.
    pub fn history(&self, topic: &str, since: u64, limit: usize) -> Option<Vec<&Message>> {
        let history = self.topics.get(topic)?;
        let mut newest: Vec<&Message> =
            history.iter().rev().take_while(|m| m.heartbeat >= since).take(limit).collect();
        newest.reverse();
        Some(newest)
    }

    /// All features of the newest consistent frame of a graph; None when there is none of it (yet).
    pub fn snapshot(&self, graph: &str) -> Option<&[Message]> {
        self.frames.get(graph).map(Vec::as_slice)
    }

    /// Topics known.
    pub fn topics(&self) -> impl Iterator<Item = &str> {
        self.topics.keys().map(String::as_str)
    }

    /// Graphs with a consistent frame.
    pub fn graphs(&self) -> impl Iterator<Item = &str> {
        self.frames.keys().map(String::as_str)
    }

    /// Bytes kept.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn put(store: &mut Store, topic: &str, seq: u64, heartbeat: u64, size: usize) {
        let header = json!({"topic": topic, "seq": seq, "heartbeat": heartbeat,
            "arrays": [{"name": "value", "dtype": "|u1", "shape": [size]}], "values": {}});
        let buffer = vec![seq as u8; size];
        store.ingest(&[topic.as_bytes(), header.to_string().as_bytes(), &buffer], 0).unwrap();
    }

    #[test]
    fn last_values_histories_and_prefixes() {
        let mut store = Store::new(3, 1 << 20);
        (1..=5).for_each(|n| put(&mut store, "g/a", n, 10 + n, 4));
        put(&mut store, "g/b", 1, 15, 4);
        put(&mut store, "h/a", 1, 15, 4);
        assert_eq!(store.latest("g/a").unwrap().seq, 5);
        let seqs: Vec<u64> = store.history("g/a", 14, 10).unwrap().iter().map(|m| m.seq).collect();
        assert_eq!(seqs, [4, 5]);
        assert_eq!(store.history("g/a", 0, 99).unwrap().len(), 3, "bounded");
        assert_eq!(store.latest_with("g/").count(), 2);
        put(&mut store, "g/a", 5, 15, 4);
        assert_eq!(store.history("g/a", 15, 99).unwrap().len(), 1, "a repetition is no history");
    }

    #[test]
    fn a_snapshot_is_of_one_heartbeat_even_while_the_next_comes() {
        // One value per feature: the next heartbeat's overtakes the frame's.
        let mut store = Store::new(1, 1 << 20);
        put(&mut store, "g/a", 1, 7, 4);
        put(&mut store, "g/b", 1, 7, 4);
        let marker =
            json!({"seq": 1, "heartbeat": 7, "arrays": [], "topics": {"g/a": 1, "g/b": 1}});
        store.ingest(&[b"g/@heartbeat", marker.to_string().as_bytes()], 0).unwrap();
        put(&mut store, "g/a", 2, 8, 4);
        let heartbeats: Vec<u64> =
            store.snapshot("g").unwrap().iter().map(|m| m.heartbeat).collect();
        assert_eq!(heartbeats, [7, 7]);
    }

    #[test]
    fn bytes_are_bounded_and_last_values_stay() {
        let mut store = Store::new(1000, 10_000);
        for n in 1..=100 {
            put(&mut store, "g/big", n, n, 1000);
            put(&mut store, "g/small", n, n, 1);
        }
        assert!(store.bytes() <= 10_000);
        assert_eq!(store.latest("g/big").unwrap().seq, 100);
        assert_eq!(store.latest("g/small").unwrap().seq, 100);
    }

    #[test]
    fn retired_topics_are_gone() {
        let mut store = Store::new(10, 1 << 20);
        put(&mut store, "g/a", 1, 7, 4);
        store.ingest(&[b"@retire", br#"{"topics": ["g/a", "g/none"]}"#], 0).unwrap();
        assert!(store.latest("g/a").is_none());
        assert_eq!(store.bytes(), 0);
    }

    #[test]
    fn garbage_is_refused_with_a_reason() {
        let mut store = Store::new(10, 1 << 20);
        assert_eq!(store.ingest(&[b"x"], 0), Err(IngestError::Frames(1)));
        assert!(matches!(store.ingest(&[b"x", b"{"], 0), Err(IngestError::Header(_))));
        assert!(matches!(store.ingest(&[b"\xff", b"{}"], 0), Err(IngestError::Header(_))));
        let header = br#"{"seq":1,"heartbeat":2,"arrays":[{}]}"#;
        assert!(matches!(store.ingest(&[b"x", header], 0), Err(IngestError::Buffers { .. })));
    }
}
