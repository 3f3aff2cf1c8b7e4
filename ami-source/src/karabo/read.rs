//! Messages of karabo-bridge, protocols 1.0 and 2.x: what each source says of a train.

use crate::karabo::msgpack::{DEPTH, Item, Reader};
use crate::live::Message;
use ami_graph::data::value::{DType, MAX_RANK, Scalar};
use std::ops::Range;

/// Properties of a message at most.
const PROPERTIES: usize = 4096;
/// Bytes of a name at most, and of a text.
const NAME: usize = 200;
const TEXT: usize = 4096;
/// Bytes of an array at most.
const LARGEST: usize = 1 << 34;

/// A value where it lies.
#[derive(Debug, Clone, PartialEq)]
pub enum Val {
    Scalar(Scalar),
    Text(String),
    Array { dtype: DType, shape: Vec<usize>, bytes: Bytes },
}

/// Bytes of an array.
#[derive(Debug, Clone, PartialEq)]
pub enum Bytes {
    /// In a frame of the message.
    Frame(usize, Range<usize>),
    /// Made of a list.
    Own(Vec<u8>),
}

/// What one source says of a train.
#[derive(Debug, Default, PartialEq)]
pub struct Part {
    pub source: String,
    pub train: Option<u64>,
    /// ns since 1970.
    pub stamp_ns: Option<u64>,
    pub properties: Vec<(String, Val)>,
}

/// What a message says.
#[derive(Debug, Default, PartialEq)]
pub struct Train {
    pub parts: Vec<Part>,
    /// Values of kinds that are not read, or too many of them.
    pub left_out: u64,
}

/// What a value is: its type and its axes.
pub fn kind(value: &Val) -> (DType, &[usize]) {
    match value {
        Val::Scalar(scalar) => (scalar.dtype(), &[]),
        Val::Text(_) => (DType::Str, &[]),
        Val::Array { dtype, shape, .. } => (*dtype, shape),
    }
}

/// Why a message says nothing.
#[derive(Debug, PartialEq, Eq)]
pub enum Nonsense {
    /// The server says that it could not answer.
    Refusal,
    /// It breaks off, or is not what the protocol wants.
    Damaged,
}

/// Reads a message. The empty frame before a reply is not part of it.
pub fn read(message: &Message) -> Result<Train, Nonsense> {
    let first = usize::from(message.frame(0).is_empty());
    let mut train = Train::default();
    let read = match message.frames.len() - first.min(message.frames.len()) {
        0 => None,
        1 if message.frame(first).starts_with(b"Error") => return Err(Nonsense::Refusal),
        1 => old(message, first, &mut train),
        n if n % 2 == 1 => None,
        _ => new(message, first, &mut train),
    };
    match read {
        Some(()) if !train.parts.is_empty() => Ok(train),
        _ => Err(Nonsense::Damaged),
    }
}

/// A key as text, whether it was sent as text or as bytes.
fn key<'a>(item: Item<'a>) -> Option<&'a str> {
    match item {
        Item::Text(text) => Some(text),
        Item::Bytes(bytes) => std::str::from_utf8(bytes).ok(),
        _ => None,
    }
}

/// Protocol 1.0: one map of all sources.
fn old(message: &Message, frame: usize, train: &mut Train) -> Option<()> {
    let mut reader = Reader::new(message.frame(frame));
    let Item::Map(sources) = reader.item()? else { return None };
    for _ in 0..sources {
        let source = key(reader.item()?)?;
        let Item::Map(values) = reader.item()? else { return None };
        let mut part = Part { source: name(source)?, ..Part::default() };
        for _ in 0..values {
            let property = key(reader.item()?)?;
            match property {
                "metadata" => metadata(&mut reader, &mut part)?,
                _ => property_of(&mut reader, frame, property, DEPTH, &mut part, train)?,
            }
        }
        train.parts.push(part);
    }
    reader.ended().then_some(())
}

/// Protocol 2.x: pairs of a header and what it speaks of.
fn new(message: &Message, first: usize, train: &mut Train) -> Option<()> {
    for at in (first..message.frames.len()).step_by(2) {
        let header = header(message.frame(at))?;
        let payload = message.frame(at + 1);
        if train.parts.last().is_none_or(|part| part.source != header.source) {
            train.parts.push(Part { source: header.source, ..Part::default() });
        }
        let mut part = train.parts.pop()?;
        match header.content {
            Content::Values(meta) => {
                (part.train, part.stamp_ns) = (meta.train, meta.stamp_ns);
                let mut reader = Reader::new(payload);
                let Item::Map(values) = reader.item()? else { return None };
                for _ in 0..values {
                    let property = key(reader.item()?)?;
                    property_of(&mut reader, at + 1, property, DEPTH, &mut part, train)?;
                }
            }
            Content::Array { path, dtype, shape } => {
                let whole = Bytes::Frame(at + 1, 0..payload.len());
                match array(dtype.as_deref(), shape, whole, payload) {
                    Some(value) => put(&path, value, &mut part, train),
                    None => train.left_out += 1,
                }
            }
            Content::Unknown => train.left_out += 1,
        }
        train.parts.push(part);
    }
    Some(())
}

struct Header {
    source: String,
    content: Content,
}

enum Content {
    Values(Part),
    Array { path: String, dtype: Option<String>, shape: Vec<usize> },
    Unknown,
}

fn header(bytes: &[u8]) -> Option<Header> {
    let mut reader = Reader::new(bytes);
    let Item::Map(entries) = reader.item()? else { return None };
    let (mut source, mut content, mut path, mut dtype, mut shape) = (None, None, None, None, None);
    let mut meta = Part::default();
    for _ in 0..entries {
        let entry = key(reader.item()?)?;
        if entry == "metadata" {
            metadata(&mut reader, &mut meta)?;
            continue;
        }
        let item = reader.item()?;
        match (entry, item) {
            ("source", item) => source = Some(name(key(item)?)?),
            ("content", item) => content = Some(key(item)?),
            ("path", item) => path = Some(key(item)?.to_owned()),
            ("dtype", item) => dtype = Some(key(item)?.to_owned()),
            ("shape", Item::Array(axes)) => shape = Some(axes_of(&mut reader, axes)?),
            (_, item) => reader.skip(item, DEPTH)?,
        }
    }
    let content = match content? {
        "msgpack" => Content::Values(meta),
        // The name of servers before 2.2.
        "array" | "ImageData" => Content::Array { path: path?, dtype, shape: shape? },
        _ => Content::Unknown,
    };
    Some(Header { source: source?, content })
}

fn axes_of(reader: &mut Reader<'_>, axes: usize) -> Option<Vec<usize>> {
    if axes > 32 {
        return None;
    }
    let axis = |_| match reader.item()? {
        Item::Int(axis) => usize::try_from(axis).ok(),
        _ => None,
    };
    (0..axes).map(axis).collect()
}

/// Train and time; the rest is stepped over.
fn metadata(reader: &mut Reader<'_>, part: &mut Part) -> Option<()> {
    let Item::Map(entries) = reader.item()? else { return None };
    let (mut seconds, mut sec, mut attoseconds) = (None, None, None);
    for _ in 0..entries {
        let entry = key(reader.item()?)?;
        let item = reader.item()?;
        match (entry, item) {
            ("timestamp.tid", Item::Int(train)) => part.train = u64::try_from(train).ok(),
            ("timestamp.tid", Item::Large(train)) => part.train = Some(train),
            ("timestamp", Item::Float(value)) => seconds = Some(value),
            ("timestamp.sec", Item::Text(text)) => sec = text.parse::<u64>().ok(),
            ("timestamp.sec", Item::Int(value)) => sec = u64::try_from(value).ok(),
            // 18 digits; nines of them are nanoseconds.
            ("timestamp.frac", Item::Text(text)) => attoseconds = text.parse::<u64>().ok(),
            ("timestamp.frac", Item::Int(value)) => attoseconds = u64::try_from(value).ok(),
            (_, item) => reader.skip(item, DEPTH)?,
        }
    }
    let exact = sec.zip(attoseconds).and_then(|(sec, attoseconds)| {
        sec.checked_mul(1_000_000_000)?.checked_add(attoseconds / 1_000_000_000)
    });
    let rounded = seconds.filter(|s| *s > 0.0 && *s < 1e10).map(|s| (s * 1e9) as u64);
    part.stamp_ns = exact.filter(|ns| *ns > 0).or(rounded);
    Some(())
}

/// A name without what names of fields cannot have; None when it is too long.
fn name(text: &str) -> Option<String> {
    let clean = |c: char| if c.is_whitespace() || c.is_control() { '_' } else { c };
    (text.len() <= NAME).then(|| text.chars().map(clean).collect())
}

fn put(path: &str, value: Val, part: &mut Part, train: &mut Train) {
    let all: usize = train.parts.iter().map(|p| p.properties.len()).sum();
    match name(path) {
        Some(path) if all + part.properties.len() < PROPERTIES => {
            part.properties.push((path, value));
        }
        _ => train.left_out += 1,
    }
}

/// Reads the value of a property; maps become properties with dots.
fn property_of(
    reader: &mut Reader<'_>,
    frame: usize,
    path: &str,
    depth: usize,
    part: &mut Part,
    train: &mut Train,
) -> Option<()> {
    let depth = depth.checked_sub(1)?;
    let value = match reader.item()? {
        Item::Nil => return Some(()),
        Item::Bool(value) => Val::Scalar(Scalar::Bool(value)),
        Item::Int(value) => Val::Scalar(Scalar::I64(value)),
        Item::Large(value) => Val::Scalar(Scalar::U64(value)),
        Item::Float(value) => Val::Scalar(Scalar::F64(value)),
        Item::Text(text) if text.len() <= TEXT => Val::Text(text.to_owned()),
        Item::Bytes(bytes) => {
            let shape = vec![bytes.len()];
            Val::Array { dtype: DType::U8, shape, bytes: Bytes::Frame(frame, reader.place(bytes)) }
        }
        Item::Array(len) => match list(reader, len)? {
            Some(value) => value,
            None => {
                train.left_out += u64::from(len > 0);
                return Some(());
            }
        },
        Item::Map(len) => match numpy(&mut reader.clone(), frame, len) {
            Some((value, after)) => {
                *reader = after;
                value
            }
            None => {
                for _ in 0..len {
                    let inner = format!("{path}.{}", key(reader.item()?)?);
                    let inner = if inner.len() <= NAME { inner } else { "too.long".into() };
                    property_of(reader, frame, &inner, depth, part, train)?;
                }
                return Some(());
            }
        },
        Item::Text(_) | Item::Other => {
            train.left_out += 1;
            return Some(());
        }
    };
    put(path, value, part, train);
    Some(())
}

/// An array or element of numpy, as msgpack-numpy writes it. None of another map.
fn numpy<'a>(reader: &mut Reader<'a>, frame: usize, len: usize) -> Option<(Val, Reader<'a>)> {
    let (mut nd, mut dtype, mut shape, mut data) = (None, None, Vec::new(), None);
    for _ in 0..len {
        let entry = key(reader.item()?)?;
        match (entry, reader.item()?) {
            ("nd", Item::Bool(value)) => nd = Some(value),
            ("type", item) => dtype = Some(key(item)?.to_owned()),
            ("shape", Item::Array(axes)) => shape = axes_of(reader, axes)?,
            ("data", Item::Bytes(bytes)) => data = Some((reader.place(bytes), bytes)),
            // Bytes that happen to be text, of a server that has no type for bytes.
            ("data", Item::Text(text)) => {
                data = Some((reader.place(text.as_bytes()), text.as_bytes()));
            }
            ("kind", _) => {}
            _ => return None,
        }
    }
    nd?;
    let (place, bytes) = data?;
    let value = array(dtype.as_deref(), shape, Bytes::Frame(frame, place), bytes)?;
    Some((value, reader.clone()))
}

/// A list of numbers, as float64 whatever they are; None of any other, which is stepped over.
fn list(reader: &mut Reader<'_>, len: usize) -> Option<Option<Val>> {
    let (mut numbers, mut fits) = (Vec::new(), true);
    for _ in 0..len {
        match reader.item()? {
            Item::Int(value) => numbers.push(value as f64),
            Item::Float(value) => numbers.push(value),
            Item::Bool(value) => numbers.push(f64::from(u8::from(value))),
            item => {
                fits = false;
                reader.skip(item, DEPTH)?;
            }
        }
    }
    if !fits || len == 0 {
        return Some(None);
    }
    let bytes = Bytes::Own(bytemuck::cast_slice(&numbers).to_vec());
    Some(Some(Val::Array { dtype: DType::F64, shape: vec![len], bytes }))
}

/// An array of numpy's type, if it is one that is read and its bytes are as many as they should be.
fn array(dtype: Option<&str>, shape: Vec<usize>, place: Bytes, bytes: &[u8]) -> Option<Val> {
    let dtype = dtype_of(dtype?)?;
    let count = shape.iter().try_fold(1usize, |n, &axis| n.checked_mul(axis))?;
    let expected = count.checked_mul(dtype.size()).filter(|n| *n <= LARGEST)?;
    if expected != bytes.len() || shape.len() > MAX_RANK {
        return None;
    }
    if shape.is_empty() {
        return crate::xtc2::scalar(dtype, bytes).map(Val::Scalar);
    }
    Some(Val::Array { dtype, shape, bytes: place })
}

/// Element type by numpy's name or code.
fn dtype_of(text: &str) -> Option<DType> {
    let named = DType::ALL.into_iter().find(|d| *d != DType::Str && d.name() == text);
    named.or_else(|| DType::from_numpy(text))
}
