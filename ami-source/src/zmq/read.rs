//! What a message says: names, values and where arrays lie.

use crate::live::Message;
use ami_graph::data::value::{DType, MAX_RANK, Scalar};
use serde::Deserialize;
use serde_json::Value as Json;

/// Bytes of a header at most.
const HEADER: usize = 256 << 10;
/// Bytes of a name at most, and of a text.
const NAME: usize = 200;
const TEXT: usize = 4096;

/// The header, as programs write it; what else it has is not read.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Header {
    topic: Option<String>,
    timestamp_ns: Option<u64>,
    run: Option<u32>,
    seq: Option<u64>,
    id: Option<Json>,
    topics: Option<Json>,
    values: serde_json::Map<String, Json>,
    arrays: Vec<Array>,
    window_events: Option<u64>,
    window_complete: Option<bool>,
}

#[derive(Deserialize)]
struct Array {
    name: String,
    dtype: String,
    shape: Vec<usize>,
}

/// A value, or where it lies.
#[derive(Debug, Clone, PartialEq)]
pub enum Val {
    Scalar(Scalar),
    Text(String),
    /// In a frame of the message.
    Array {
        dtype: DType,
        shape: Vec<usize>,
        frame: usize,
    },
}

/// What a message says.
#[derive(Debug, Default, PartialEq)]
pub struct Said {
    /// Of which feature, where it is one.
    pub topic: Option<String>,
    pub seq: Option<u64>,
    /// The end of a frame of features: no value of its own.
    pub marker: bool,
    pub timestamp_ns: Option<u64>,
    pub run: Option<u32>,
    /// What its sender calls it, for the answer.
    pub id: Option<Json>,
    pub values: Vec<(String, Val)>,
    /// Values of kinds that are not read.
    pub left_out: u64,
}

/// Why a message says nothing: what its sender is told.
#[derive(Debug, PartialEq, Eq)]
pub struct Mistake(pub String);

/// Reads a message from a frame on. Names without a detector get `detector:raw:` before them; those of a
/// feature its topic.
pub fn read(message: &Message, first: usize, detector: &str) -> Result<Said, Mistake> {
    // A topic does not begin like a header.
    let with_topic = !message.frame(first).starts_with(b"{");
    let at = first + usize::from(with_topic);
    let bytes = message.frame(at);
    if bytes.is_empty() || bytes.len() > HEADER {
        return Err(Mistake(format!("a header of {} bytes; 1 to {HEADER} are read", bytes.len())));
    }
    let header: Header =
        serde_json::from_slice(bytes).map_err(|e| Mistake(format!("the header: {e}")))?;
    let buffers = message.frames.len() - at - 1;
    if buffers != header.arrays.len() {
        let told = header.arrays.len();
        return Err(Mistake(format!("{told} arrays in the header, {buffers} buffers behind it")));
    }
    let prefix = match &header.topic {
        Some(topic) => format!("{topic}:"),
        None => format!("{detector}:raw:"),
    };
    let mut said = Said {
        marker: header.topics.is_some(),
        seq: header.seq,
        timestamp_ns: header.timestamp_ns,
        run: header.run,
        id: header.id,
        ..Said::default()
    };
    for (name, value) in &header.values {
        said.put(&prefix, name, scalar(value));
    }
    for (array, frame) in header.arrays.iter().zip(at + 1..) {
        said.put(&prefix, &array.name, array.lies_in(frame, message.frame(frame).len())?);
    }
    if header.topic.is_some() {
        let events = header.window_events.map(|n| Val::Scalar(Scalar::U64(n)));
        said.put(&prefix, "window_events", events);
        let complete = header.window_complete.map(|c| Val::Scalar(Scalar::Bool(c)));
        said.put(&prefix, "window_complete", complete);
    }
    said.topic = header.topic;
    Ok(said)
}

impl Said {
    fn put(&mut self, prefix: &str, name: &str, value: Option<Val>) {
        let name = match name.contains(':') {
            true => name.to_owned(),
            false => format!("{prefix}{name}"),
        };
        let clean = |c: char| if c.is_whitespace() || c.is_control() { '_' } else { c };
        match value {
            Some(value) if name.len() <= NAME => {
                self.values.push((name.chars().map(clean).collect(), value));
            }
            _ => self.left_out += 1,
        }
    }
}

/// None of null, lists and objects, and of texts that are too long.
fn scalar(value: &Json) -> Option<Val> {
    Some(match value {
        Json::Bool(value) => Val::Scalar(Scalar::Bool(*value)),
        Json::Number(number) => Val::Scalar(match (number.as_i64(), number.as_u64()) {
            (Some(value), _) => Scalar::I64(value),
            (None, Some(value)) => Scalar::U64(value),
            (None, None) => Scalar::F64(number.as_f64()?),
        }),
        Json::String(text) => match text.as_str() {
            // Numbers that JSON has no words for.
            "NaN" => Val::Scalar(Scalar::F64(f64::NAN)),
            "Infinity" => Val::Scalar(Scalar::F64(f64::INFINITY)),
            "-Infinity" => Val::Scalar(Scalar::F64(f64::NEG_INFINITY)),
            text if text.len() <= TEXT => Val::Text(text.to_owned()),
            _ => return None,
        },
        _ => return None,
    })
}

impl Array {
    /// None of a type that is not read.
    fn lies_in(&self, frame: usize, bytes: usize) -> Result<Option<Val>, Mistake> {
        let Array { name, dtype, shape } = self;
        let named = DType::ALL.into_iter().find(|d| *d != DType::Str && d.name() == dtype.as_str());
        let Some(dtype) = named.or_else(|| DType::from_numpy(dtype)) else { return Ok(None) };
        let count = shape.iter().try_fold(1usize, |n, &axis| n.checked_mul(axis));
        if count.and_then(|n| n.checked_mul(dtype.size())) != Some(bytes) {
            let told = format!("{shape:?} of {dtype}");
            return Err(Mistake(format!("array {name:?}: {told} are not {bytes} bytes")));
        }
        if !(1..=MAX_RANK).contains(&shape.len()) {
            return Err(Mistake(format!(
                "array {name:?}: {} axes; 1 to {MAX_RANK} are read, a scalar goes to \"values\"",
                shape.len()
            )));
        }
        Ok(Some(Val::Array { dtype, shape: shape.clone(), frame }))
    }
}
