//! States of user code: nested maps of numbers, texts and arrays, as one block of bytes. Its parts are
//! plain data, so it can be kept, sent and added up without the code that made it.
//!
//! The block is a length (u32), a text of JSON, and the arrays one after the other; text and each array
//! are padded to 16 bytes. In the text a number or array is `{"$": [offset behind the text, type,
//! shape]}`; the shape is null for Python's own numbers and `[]` for one of numpy's.

use crate::data::bytes::{Reader, Writer};
use crate::data::value::DType;
use crate::error::DecodeError;
use serde_json::Value as Json;

/// Deepest nesting of maps.
const MAX_DEPTH: usize = 16;

/// A state of user code. What is in it has been looked at: types, shapes and places fit.
#[derive(Debug, Clone, PartialEq)]
pub struct Plain {
    bytes: Vec<u8>,
}

/// A number or array of a state.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Leaf {
    dtype: DType,
    /// First byte in the block, and how many there are.
    start: usize,
    len: usize,
}

impl Plain {
    /// Takes a block, trusting nothing.
    ///
    /// # Errors
    /// When it is not a state; says what of it.
    pub fn new(bytes: Vec<u8>) -> Result<Plain, DecodeError> {
        let plain = Plain { bytes };
        let (text, base) = plain.text()?;
        let mut end = base;
        let mut leaves = Vec::new();
        leaves_of(&text, base, 0, &mut leaves)?;
        for leaf in leaves {
            end = end.max(leaf.start.saturating_add(leaf.len));
        }
        match end <= plain.bytes.len() {
            true => Ok(plain),
            false => Err(invalid(format_args!("{end} bytes in {}", plain.bytes.len()))),
        }
    }

    /// The block.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Adds another state: every number and element is added, a bool is or-ed, texts must be equal.
    ///
    /// # Errors
    /// Names what differs.
    pub fn add(&mut self, other: &Plain) -> Result<(), String> {
        let told = |e: DecodeError| e.to_string();
        let (mine, base) = self.text().map_err(told)?;
        let (theirs, their_base) = other.text().map_err(told)?;
        let mut pairs = Vec::new();
        pair(&mine, &theirs, "state", &mut pairs)?;
        for (a, b, path) in pairs {
            let (a, b) = (leaf(a, base).map_err(told)?, leaf(b, their_base).map_err(told)?);
            if (a.dtype, a.len) != (b.dtype, b.len) {
                return Err(format!(
                    "{path} is {} in one state and {} in another",
                    a.dtype, b.dtype
                ));
            }
            let into = &mut self.bytes[a.start..a.start + a.len];
            add_bytes(a.dtype, into, &other.bytes[b.start..b.start + b.len]);
        }
        Ok(())
    }

    /// The text, and where the arrays begin.
    fn text(&self) -> Result<(Json, usize), DecodeError> {
        let length = self.bytes.first_chunk::<4>().map(|b| u32::from_le_bytes(*b) as usize);
        let length = length.ok_or_else(|| invalid("no length"))?;
        let end = 4usize.saturating_add(length);
        let text = self.bytes.get(4..end).ok_or_else(|| invalid("text is cut off"))?;
        let json = serde_json::from_slice(text).map_err(invalid)?;
        Ok((json, end.next_multiple_of(16)))
    }

    /// Gives the state away as bytes.
    pub fn encode(self, writer: &mut Writer) {
        writer.bytes(self.bytes);
    }

    /// Reads what [`Plain::encode`] wrote.
    ///
    /// # Errors
    /// When the bytes are not a state.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Plain, DecodeError> {
        Plain::new(reader.bytes("state of user code")?.to_vec())
    }
}

fn invalid(reason: impl std::fmt::Display) -> DecodeError {
    DecodeError::invalid("state of user code", reason)
}

/// All numbers and arrays below a part of the text.
fn leaves_of(
    json: &Json,
    base: usize,
    depth: usize,
    all: &mut Vec<Leaf>,
) -> Result<(), DecodeError> {
    match json {
        Json::String(_) => Ok(()),
        Json::Object(map) if map.contains_key("$") => {
            all.push(leaf(json, base)?);
            Ok(())
        }
        Json::Object(map) if depth < MAX_DEPTH => {
            map.values().try_for_each(|value| leaves_of(value, base, depth + 1, all))
        }
        Json::Object(_) => Err(invalid("nested too deep")),
        other => Err(invalid(other)),
    }
}

/// A number or array from its `{"$": [offset, type, shape]}`.
fn leaf(json: &Json, base: usize) -> Result<Leaf, DecodeError> {
    let bad = || invalid(json);
    let parts = json["$"].as_array().filter(|parts| parts.len() == 3).ok_or_else(bad)?;
    let offset = parts[0].as_u64().ok_or_else(bad)?;
    let dtype = parts[1].as_str().and_then(DType::from_numpy).ok_or_else(bad)?;
    let axes = parts[2].as_array().map_or(&[][..], Vec::as_slice);
    let len = axes.iter().try_fold(dtype.size() as u64, |n, axis| n.checked_mul(axis.as_u64()?));
    let start = (base as u64).checked_add(offset).and_then(|start| usize::try_from(start).ok());
    let len = len.and_then(|len| usize::try_from(len).ok()).ok_or_else(bad)?;
    let start = start.filter(|start| start.checked_add(len).is_some()).ok_or_else(bad)?;
    Ok(Leaf { dtype, start, len })
}

type Pair<'a> = (&'a Json, &'a Json, String);

/// What is to be added to what.
fn pair<'a>(
    mine: &'a Json,
    theirs: &'a Json,
    path: &str,
    pairs: &mut Vec<Pair<'a>>,
) -> Result<(), String> {
    match (mine, theirs) {
        (Json::String(a), Json::String(b)) if a == b => Ok(()),
        (Json::Object(a), Json::Object(b)) if a.contains_key("$") && b.contains_key("$") => {
            if a["$"][2] != b["$"][2] {
                return Err(format!("{path} has another shape in another state"));
            }
            pairs.push((mine, theirs, path.to_owned()));
            Ok(())
        }
        (Json::Object(a), Json::Object(b)) if a.len() == b.len() => {
            a.iter().try_for_each(|(k, v)| {
                let path = format!("{path}[{k:?}]");
                let other = b.get(k).ok_or_else(|| format!("{path} is not in every state"))?;
                pair(v, other, &path, pairs)
            })
        }
        _ => Err(format!("{path} differs from state to state and is nothing that can be added")),
    }
}

/// Adds elements as numpy does: integers wrap around, a bool is or-ed.
fn add_bytes(dtype: DType, into: &mut [u8], from: &[u8]) {
    macro_rules! each {
        ($type:ty, $add:expr) => {{
            const SIZE: usize = size_of::<$type>();
            let (into, _) = into.as_chunks_mut::<SIZE>();
            let (from, _) = from.as_chunks::<SIZE>();
            for (a, b) in into.iter_mut().zip(from) {
                let sum: $type = $add(<$type>::from_le_bytes(*a), <$type>::from_le_bytes(*b));
                *a = sum.to_le_bytes();
            }
        }};
    }
    match dtype {
        DType::Bool => into.iter_mut().zip(from).for_each(|(a, b)| *a |= b),
        DType::I8 => each!(i8, i8::wrapping_add),
        DType::U8 => each!(u8, u8::wrapping_add),
        DType::I16 => each!(i16, i16::wrapping_add),
        DType::U16 => each!(u16, u16::wrapping_add),
        DType::I32 => each!(i32, i32::wrapping_add),
        DType::U32 => each!(u32, u32::wrapping_add),
        DType::I64 => each!(i64, i64::wrapping_add),
        DType::U64 => each!(u64, u64::wrapping_add),
        DType::F32 => each!(f32, |a, b| a + b),
        DType::F64 => each!(f64, |a, b| a + b),
        DType::Str => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A block as the Python side writes it.
    fn block(text: &str, arrays: &[u8]) -> Vec<u8> {
        let mut bytes = (text.len() as u32).to_le_bytes().to_vec();
        bytes.extend(text.as_bytes());
        bytes.resize(bytes.len().next_multiple_of(16), 0);
        bytes.extend(arrays);
        bytes
    }

    fn state(n: i64, sums: [f64; 2], unit: &str) -> Plain {
        let text = format!(
            r#"{{"n": {{"$": [0, "i8", null]}}, "in": {{"sum": {{"$": [16, "f8", [2]]}}}}, "unit": "{unit}"}}"#
        );
        let mut arrays = n.to_le_bytes().to_vec();
        arrays.resize(16, 0);
        sums.iter().for_each(|x| arrays.extend(x.to_le_bytes()));
        Plain::new(block(&text, &arrays)).unwrap()
    }

    #[test]
    fn every_number_and_element_is_added() {
        let mut sum = state(3, [1.0, -2.0], "mm");
        sum.add(&state(4, [0.5, 7.0], "mm")).unwrap();
        assert_eq!(sum, state(7, [1.5, 5.0], "mm"));
    }

    #[test]
    fn what_differs_is_named() {
        let refused = |other: &Plain| state(1, [0.0; 2], "mm").add(other).unwrap_err();
        assert!(refused(&state(1, [0.0; 2], "m")).contains(r#"state["unit"]"#));
        let short =
            r#"{"n": {"$": [0, "i8", null]}, "in": {"sum": {"$": [0, "f8", [1]]}}, "unit": "mm"}"#;
        let short = Plain::new(block(short, &[0; 16])).unwrap();
        assert!(refused(&short).contains(r#"state["in"]["sum"] has another shape"#));
    }

    #[test]
    fn what_is_no_state_is_refused() {
        let texts = [
            r#"[1]"#,
            r#"{"a": null}"#,
            r#"{"a": {"$": [0, "O", [1]]}}"#,
            r#"{"a": {"$": [0, "f8", [3]]}}"#,
            r#"{"a": {"$": [18446744073709551615, "f8", null]}}"#,
            r#"{"a": {"$": [0, "f8", [4294967296, 4294967296]]}}"#,
            "{",
        ];
        for text in texts {
            assert!(Plain::new(block(text, &[0; 16])).is_err(), "{text}");
        }
        assert!(Plain::new(vec![255; 8]).is_err());
        let deep = "{\"a\":".repeat(40) + "\"x\"" + &"}".repeat(40);
        assert!(Plain::new(block(&deep, &[])).is_err());
    }
}
