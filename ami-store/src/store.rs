//! What the store knows: last values, a bounded history, consistent frames. Pure.

use serde::Deserialize;
use serde_json::Value;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// One published message.
#[derive(Debug, Clone)]
pub struct Message {
    /// The JSON header as it came.
    pub header: Arc<Vec<u8>>,
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
    /// Whether another is the same, said again.
    fn is_repeated(&self, other: &Message) -> bool {
        self.seq == other.seq && self.header == other.header
    }

    /// What it takes.
    pub fn bytes(&self) -> usize {
        self.header.capacity() + self.buffers.iter().map(Vec::len).sum::<usize>() + 64
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
    /// A topic that no graph has.
    #[error("a topic of {0} bytes; {LONGEST_TOPIC} are the most")]
    Topic(usize),
    /// A buffer is not as long as its type and shape say.
    #[error("message {topic:?}: array {array}: {found} bytes where dtype and shape say {said}")]
    Length {
        /// The topic.
        topic: String,
        /// Which array.
        array: usize,
        /// Bytes that came.
        found: usize,
        /// What the header says, for people.
        said: String,
    },
    /// There is no room for it: it was passed on, but cannot be asked for.
    #[error(
        "no room for the last value of {topic:?} ({bytes} bytes) beside those of all other features: raise store.history_bytes"
    )]
    Room {
        /// The topic.
        topic: String,
        /// Its size.
        bytes: usize,
    },
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

/// What the store reads of a header.
#[derive(Deserialize)]
struct Header {
    seq: u64,
    heartbeat: u64,
    #[serde(default)]
    arrays: Vec<Value>,
    /// Of a marker: topics and their sequence numbers.
    topics: Option<BTreeMap<String, u64>>,
}

/// What `@retire` says.
#[derive(Deserialize)]
struct Retired {
    topics: Vec<String>,
}

/// A JSON object; lists would do for structs, too, but not for clients.
fn object<'a, T: Deserialize<'a>>(json: &'a [u8]) -> Option<T> {
    // Text as a whole: also where the store does not look, as clients read all of it.
    let text = std::str::from_utf8(json).ok()?;
    text.trim_ascii_start().starts_with('{').then(|| serde_json::from_str(text).ok())?
}

/// A header takes a multiple of so many bytes: with one digit more it fits where an older one was.
const ROOM: usize = 128;

/// Longest name of a topic, bytes.
const LONGEST_TOPIC: usize = 1024;

/// See the module's documentation.
#[derive(Debug)]
pub struct Store {
    most: usize,
    most_bytes: usize,
    topics: BTreeMap<String, VecDeque<Message>>,
    bytes: usize,
    /// Newest consistent frame by graph: its messages, whatever the history forgets.
    frames: BTreeMap<String, Vec<Message>>,
    frame_bytes: usize,
    /// Messages kept since the start.
    pub messages: u64,
}

impl Store {
    /// Keeps at most so many messages per topic, and so many bytes in all: histories, last values
    /// and frames. A message that is also in a frame counts twice.
    pub fn new(most: usize, most_bytes: usize) -> Store {
        Store {
            most,
            most_bytes,
            topics: BTreeMap::new(),
            bytes: 0,
            frames: BTreeMap::new(),
            frame_bytes: 0,
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
        if topic.len() > LONGEST_TOPIC {
            return Err(IngestError::Topic(topic.len()));
        }
        let name = std::str::from_utf8(topic).map_err(|_| unreadable())?;
        if name == "@retire" {
            self.retire(&object(header).ok_or_else(unreadable)?);
            return Ok(());
        }
        let Header { seq, heartbeat, arrays, topics } = object(header).ok_or_else(unreadable)?;
        check_buffers(name, &arrays, buffers)?;
        if let (Some(graph), Some(topics)) = (name.strip_suffix("/@heartbeat"), topics) {
            let member = |(topic, seq): (&String, &u64)| {
                let history = self.topics.get(topic)?;
                history.iter().rev().find(|m| m.seq == *seq).cloned()
            };
            let members: Vec<Message> = topics.iter().filter_map(member).collect();
            // A marker before its features (a store that just came) makes no frame.
            if members.len() == topics.len() {
                self.frame(graph, members);
            }
        }
        let buffers = buffers.iter().map(|b| b.to_vec()).collect();
        let mut room = Vec::with_capacity(header.len().next_multiple_of(ROOM));
        room.extend_from_slice(header);
        let header = Arc::new(room);
        self.keep(name, Message { header, buffers, seq, heartbeat, received_ns: now_ns })
    }

    /// Keeps a frame, if there is room for it; an old one is worse than none.
    fn frame(&mut self, graph: &str, members: Vec<Message>) {
        self.forget_frame(graph);
        let bytes = members.iter().map(Message::bytes).sum::<usize>();
        self.frame_bytes += bytes;
        self.frames.insert(graph.to_string(), members);
        self.shrink();
        if self.bytes() > self.most_bytes {
            self.forget_frame(graph);
        }
    }

    fn forget_frame(&mut self, graph: &str) {
        let gone = self.frames.remove(graph).unwrap_or_default();
        self.frame_bytes -= gone.iter().map(Message::bytes).sum::<usize>();
    }

    fn keep(&mut self, topic: &str, mut message: Message) -> Result<(), IngestError> {
        self.messages += 1;
        let size = message.bytes();
        self.bytes += message.bytes();
        if !self.topics.contains_key(topic) {
            self.topics.insert(topic.to_string(), VecDeque::new());
        }
        let Some(history) = self.topics.get_mut(topic) else { return Ok(()) };
        if let Some(last) = history.back().filter(|last| last.is_repeated(&message)) {
            // Said again, it is no younger.
            message.received_ns = last.received_ns;
        }
        // A root that was restarted, or a repetition for a new subscriber: no history twice.
        while history.back().is_some_and(|last| last.seq >= message.seq) {
            self.bytes -= history.pop_back().map_or(0, |m| m.bytes());
        }
        history.push_back(message);
        if history.len() > self.most {
            self.bytes -= history.pop_front().map_or(0, |m| m.bytes());
        }
        self.shrink();
        if self.bytes() <= self.most_bytes {
            return Ok(());
        }
        let gone = self.topics.remove(topic).unwrap_or_default();
        self.bytes -= gone.iter().map(Message::bytes).sum::<usize>();
        Err(IngestError::Room { topic: topic.into(), bytes: size })
    }

    /// Forgets the oldest of the longest histories until all fit, but no last value.
    fn shrink(&mut self) {
        while self.bytes() > self.most_bytes {
            let heaviest = self
                .topics
                .values_mut()
                .filter(|h| h.len() > 1)
                .max_by_key(|h| h.len() * h.front().map_or(0, Message::bytes));
            let Some(history) = heaviest else { return };
            self.bytes -= history.pop_front().map_or(0, |m| m.bytes());
        }
    }

    fn retire(&mut self, retired: &Retired) {
        for topic in &retired.topics {
            let gone = self.topics.remove(topic).unwrap_or_default();
            self.bytes -= gone.iter().map(Message::bytes).sum::<usize>();
            if let Some(graph) = topic.strip_suffix("/@heartbeat") {
                self.forget_frame(graph);
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
        self.bytes + self.frame_bytes
    }
}

/// Whether there are the buffers that the header names, each as long as dtype and shape say: a
/// client may trust the header.
fn check_buffers(topic: &str, arrays: &[Value], buffers: &[&[u8]]) -> Result<(), IngestError> {
    if arrays.len() != buffers.len() {
        let (found, named) = (buffers.len(), arrays.len());
        return Err(IngestError::Buffers { topic: topic.into(), found, named });
    }
    for (array, (entry, buffer)) in arrays.iter().zip(buffers).enumerate() {
        if length(entry) != Some(buffer.len()) {
            let said = format!("{} {}", entry["dtype"], entry["shape"]);
            let said = said.chars().take(100).collect();
            let found = buffer.len();
            return Err(IngestError::Length { topic: topic.into(), array, found, said });
        }
    }
    Ok(())
}

/// Bytes of an array, by its dtype (`<f8`) and shape.
fn length(entry: &Value) -> Option<usize> {
    let dtype = entry.get("dtype")?.as_str()?;
    let (order, rest) = dtype.split_at_checked(1)?;
    let (kind, size) = rest.split_at_checked(1)?;
    if !"<|".contains(order) || !"biuf".contains(kind) {
        return None;
    }
    let item: usize = size.parse().ok()?;
    let shape = entry.get("shape")?.as_array()?;
    shape.iter().try_fold(item, |bytes, n| bytes.checked_mul(usize::try_from(n.as_u64()?).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Map, json};

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
    fn last_values_and_frames_have_bounds_too() {
        let mut store = Store::new(1000, 10_000);
        let mut refused = 0;
        for n in 0..100 {
            let topic = format!("g/{n}");
            let header = json!({"seq": 1, "heartbeat": 1,
                "arrays": [{"name": "value", "dtype": "|u1", "shape": [1000]}]});
            let frames =
                [topic.as_bytes(), header.to_string().as_bytes(), &[0; 1000]].map(<[u8]>::to_vec);
            let frames: Vec<&[u8]> = frames.iter().map(Vec::as_slice).collect();
            match store.ingest(&frames, 0) {
                Ok(()) => {}
                Err(IngestError::Room { topic: refused_topic, .. }) => {
                    assert_eq!(refused_topic, topic);
                    refused += 1;
                }
                Err(error) => panic!("{error}"),
            }
            assert!(store.bytes() <= 10_000);
        }
        assert!(refused > 80 && store.latest("g/0").is_some() && store.latest("g/99").is_none());
        let topics: Map<String, Value> = (0..8).map(|n| (format!("g/{n}"), json!(1))).collect();
        let marker = json!({"seq": 1, "heartbeat": 1, "topics": topics}).to_string();
        let _ = store.ingest(&[b"g/@heartbeat", marker.as_bytes()], 0);
        assert!(store.bytes() <= 10_000 && store.snapshot("g").is_none(), "no room for a frame");
    }

    #[test]
    fn a_repetition_is_as_old_as_it_was() {
        let mut store = Store::new(10, 1 << 20);
        let header = br#"{"seq":1,"heartbeat":2}"#;
        store.ingest(&[b"g/a", header], 100).unwrap();
        store.ingest(&[b"g/a", header], 900).unwrap();
        assert_eq!(store.latest("g/a").unwrap().received_ns, 100);
        // The same number from a root that was restarted is new.
        store.ingest(&[b"g/a", br#"{"seq":1,"heartbeat":3}"#], 950).unwrap();
        assert_eq!(store.latest("g/a").unwrap().received_ns, 950);
    }

    #[test]
    fn a_buffer_is_as_long_as_the_header_says() {
        let mut store = Store::new(10, 1 << 20);
        let mut put = |array: Value, bytes: usize| {
            let header = json!({"seq": 1, "heartbeat": 2, "arrays": [array]}).to_string();
            store.ingest(&[b"g/a", header.as_bytes(), &vec![0; bytes]], 0)
        };
        put(json!({"dtype": "<f8", "shape": [2, 3]}), 48).unwrap();
        put(json!({"dtype": "|b1", "shape": []}), 1).unwrap();
        let huge = u64::MAX / 4;
        for (array, bytes) in [
            (json!({"dtype": "<f8", "shape": [2, 3]}), 47),
            (json!({"dtype": "<f8", "shape": [huge, huge]}), 48),
            (json!({"dtype": "f", "shape": [1]}), 8),
            (json!({"dtype": "ä8", "shape": [1]}), 8),
            (json!({"dtype": "<f8"}), 8),
            (json!(7), 0),
        ] {
            assert!(matches!(put(array, bytes), Err(IngestError::Length { .. })));
        }
        assert_eq!(store.ingest(&[&[b'x'; 2000], b"{}"], 0), Err(IngestError::Topic(2000)));
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
        let header = b"{\"seq\":1,\"heartbeat\":2,\"op\":\"\xff\"}";
        assert!(matches!(store.ingest(&[b"x", header], 0), Err(IngestError::Header(_))));
        assert!(matches!(store.ingest(&[b"x", b"[1,2]"], 0), Err(IngestError::Header(_))));
        assert!(matches!(store.ingest(&[b"@retire", b"{}"], 0), Err(IngestError::Header(_))));
        let header = br#"{"seq":1,"heartbeat":2,"arrays":[{}]}"#;
        assert!(matches!(store.ingest(&[b"x", header], 0), Err(IngestError::Buffers { .. })));
    }
}
