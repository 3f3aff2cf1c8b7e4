//! What is kept by exact key: `by_key`, `scan` and `unique`.
//!
//! Keys are numbers or texts. When there are more than the limit, the smallest stay: a key among
//! the smallest overall is among the smallest of every part of the data, so no part lets it go,
//! and what stays does not depend on the split.

use crate::data::batch::Column;
use crate::data::bytes::{Reader, Writer, scalar_from_bytes};
use crate::data::column_views::{Mask, Number, selected, typed};
use crate::data::owned_column::scalar_bytes;
use crate::data::value::{Array, DType, Scalar, Value};
use crate::error::DecodeError;
use crate::with_type;
use serde_json::json;
use std::collections::BTreeMap;

/// Most keys that may be asked for.
pub const MAX_KEYS: u64 = 100_000;
/// Longest text of a key, in bytes; longer ones are cut.
pub const MAX_TEXT: usize = 256;

/// A key. Numbers are ordered as numbers, not-a-number last, which is one key; the two zeros are
/// one key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    /// A number, as bits that are ordered as it is.
    Number(u64),
    /// A text.
    Text(Box<str>),
}

/// Bits that are ordered as the numbers of one element type.
pub fn rank(scalar: Scalar) -> u64 {
    const SIGN: u64 = 1 << 63;
    let signed = |v: i64| v as u64 ^ SIGN;
    let float = |v: f64| {
        let bits = if v == 0.0 { 0 } else { v.to_bits() };
        match (v.is_nan(), bits & SIGN) {
            (true, _) => u64::MAX,
            (false, 0) => bits | SIGN,
            _ => !bits,
        }
    };
    match scalar {
        Scalar::Bool(v) => v.into(),
        Scalar::U8(v) => v.into(),
        Scalar::U16(v) => v.into(),
        Scalar::U32(v) => v.into(),
        Scalar::U64(v) => v,
        Scalar::I8(v) => signed(v.into()),
        Scalar::I16(v) => signed(v.into()),
        Scalar::I32(v) => signed(v.into()),
        Scalar::I64(v) => signed(v),
        Scalar::F32(v) => float(v.into()),
        Scalar::F64(v) => float(v),
    }
}

/// The number of an element type that has this [`rank`].
fn unrank(dtype: DType, rank: u64) -> Scalar {
    const SIGN: u64 = 1 << 63;
    let float = match rank {
        u64::MAX => f64::NAN,
        rank if rank & SIGN != 0 => f64::from_bits(rank ^ SIGN),
        rank => f64::from_bits(!rank),
    };
    match dtype {
        DType::F32 => Scalar::F32(float as f32),
        DType::F64 => Scalar::F64(float),
        DType::I8 | DType::I16 | DType::I32 | DType::I64 => {
            scalar_from_bytes(dtype, &(rank ^ SIGN).to_le_bytes())
        }
        _ => scalar_from_bytes(dtype, &rank.to_le_bytes()),
    }
}

impl Key {
    /// A text, cut if it is too long.
    pub fn text(text: &str) -> Key {
        Key::Text(text[..text.floor_char_boundary(MAX_TEXT)].into())
    }
}

/// Hands each key among the events that take part to `f`, with its events in order. False when
/// the column holds no keys.
pub fn each_key(column: &Column<'_>, mask: Mask<'_>, mut f: impl FnMut(Key, &[usize])) -> bool {
    let mut events = Vec::new();
    match column {
        Column::Scalars { dtype, data, .. } => {
            let mut keys: Vec<(u64, usize)> = with_type!(*dtype, T => {
                let numbers = typed::<T>(data);
                selected(mask, numbers.len()).map(|i| (rank(numbers[i].scalar(*dtype)), i)).collect()
            });
            if !keys.is_sorted() {
                keys.sort_unstable();
            }
            for group in keys.chunk_by(|a, b| a.0 == b.0) {
                events.clear();
                events.extend(group.iter().map(|(_, i)| *i));
                f(Key::Number(group[0].0), &events);
            }
            true
        }
        Column::Strings(texts) => {
            let present = selected(mask, texts.len()).filter_map(|i| Some((texts[i]?, i)));
            let mut keys: Vec<(&str, usize)> = present.collect();
            keys.sort_unstable();
            for group in keys.chunk_by(|a, b| a.0 == b.0) {
                events.clear();
                events.extend(group.iter().map(|(_, i)| *i));
                f(Key::text(group[0].0), &events);
            }
            true
        }
        Column::Absent | Column::Constant(_) | Column::Arrays { .. } => false,
    }
}

/// What is kept for one key.
pub trait Cell: Clone + Send + std::fmt::Debug + 'static {
    /// Events in it.
    fn events(&self) -> u64;
    /// Adds the events of another of the same kind.
    fn merge(&mut self, other: Self);
    /// Bytes held.
    fn bytes(&self) -> usize;
}

impl Cell for u64 {
    fn events(&self) -> u64 {
        *self
    }

    fn merge(&mut self, other: u64) {
        *self = self.saturating_add(other);
    }

    fn bytes(&self) -> usize {
        8
    }
}

/// Cells by key, at most so many.
#[derive(Debug, Clone)]
pub struct Keyed<C> {
    /// Element type of the keys.
    pub dtype: DType,
    limit: usize,
    cells: BTreeMap<Key, C>,
    /// Events whose key did not stay.
    left_out: u64,
}

impl<C: Cell> Keyed<C> {
    /// No keys yet.
    pub fn new(dtype: DType, limit: usize) -> Keyed<C> {
        Keyed { dtype, limit, cells: BTreeMap::new(), left_out: 0 }
    }

    /// The cell of a key for so many further events, made if need be; None when the key is
    /// beyond the limit.
    pub fn at(&mut self, key: Key, events: u64, new: impl FnOnce() -> C) -> Option<&mut C> {
        if self.cells.len() >= self.limit && !self.cells.contains_key(&key) {
            if self.cells.last_key_value().is_none_or(|(largest, _)| *largest < key) {
                self.left_out = self.left_out.saturating_add(events);
                return None;
            }
            self.let_go();
        }
        Some(self.cells.entry(key).or_insert_with(new))
    }

    fn let_go(&mut self) {
        if let Some((_, cell)) = self.cells.pop_last() {
            self.left_out = self.left_out.saturating_add(cell.events());
        }
    }

    /// Adds a cell.
    pub fn add(&mut self, key: Key, cell: C) {
        use std::collections::btree_map::Entry;
        match self.cells.entry(key) {
            Entry::Occupied(mine) => mine.into_mut().merge(cell),
            Entry::Vacant(place) => {
                place.insert(cell);
            }
        }
        if self.cells.len() > self.limit {
            self.let_go();
        }
    }

    /// Adds all of another. False when it was made otherwise.
    pub fn merge(&mut self, other: Keyed<C>) -> bool {
        if (self.dtype, self.limit) != (other.dtype, other.limit) {
            return false;
        }
        other.cells.into_iter().for_each(|(key, cell)| self.add(key, cell));
        self.left_out = self.left_out.saturating_add(other.left_out);
        true
    }

    /// Number of keys.
    pub fn len(&self) -> usize {
        self.cells.len()
    }

    /// Cells in the order of their keys.
    pub fn cells(&self) -> impl Iterator<Item = &C> + Clone {
        self.cells.values()
    }

    /// The keys as an array; for texts their numbers 0, 1, …, as arrays hold no text.
    pub fn keys(&self) -> Value {
        if self.dtype == DType::Str {
            let places: Vec<i64> = (0..self.cells.len() as i64).collect();
            return Value::Array(Array::from_elements(&[places.len()], &places));
        }
        let number = |key: &Key| match key {
            Key::Number(rank) => scalar_bytes(unrank(self.dtype, *rank)),
            Key::Text(_) => Default::default(),
        };
        let mut array = Array::zeros(self.dtype, &[self.cells.len()]);
        let places = array.bytes_mut().chunks_exact_mut(self.dtype.size());
        for (place, key) in places.zip(self.cells.keys()) {
            place.copy_from_slice(&number(key)[..self.dtype.size()]);
        }
        Value::Array(array)
    }

    /// Texts that are keys, as a JSON list; None where keys are numbers.
    pub fn labels(&self) -> Option<Value> {
        let text = |key: &Key| match key {
            Key::Text(text) => text.to_string(),
            Key::Number(_) => String::new(),
        };
        let texts: Vec<String> = self.cells.keys().map(text).collect();
        (self.dtype == DType::Str).then(|| Value::Str(json!(texts).to_string()))
    }

    /// Events whose key did not stay, as int64.
    pub fn overflowed(&self) -> Value {
        Value::Scalar(Scalar::I64(i64::try_from(self.left_out).unwrap_or(i64::MAX)))
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        let each = if self.dtype == DType::Str { 64 + MAX_TEXT } else { 64 };
        128 + self.cells.values().map(|cell| each + cell.bytes()).sum::<usize>()
    }

    /// As bytes; `each` writes a cell.
    pub fn encode(self, writer: &mut Writer, mut each: impl FnMut(C, &mut Writer)) {
        writer.dtype(self.dtype);
        writer.u64(self.limit as u64);
        writer.u64(self.left_out);
        writer.u32(self.cells.len() as u32);
        for (key, cell) in self.cells {
            match key {
                Key::Number(rank) => writer.u64(rank),
                Key::Text(text) => writer.text(&text),
            }
            each(cell, writer);
        }
    }

    /// Reads what [`Keyed::encode`] wrote.
    ///
    /// # Errors
    /// When the bytes are not that.
    pub fn decode(
        reader: &mut Reader<'_>,
        mut each: impl FnMut(&mut Reader<'_>) -> Result<C, DecodeError>,
    ) -> Result<Keyed<C>, DecodeError> {
        let dtype = reader.dtype("keys")?;
        let limit = reader.u64("limit of keys")?;
        if limit == 0 || limit > MAX_KEYS {
            return Err(DecodeError::invalid("limit of keys", limit));
        }
        let mut keyed = Keyed::new(dtype, limit as usize);
        keyed.left_out = reader.u64("keys")?;
        for _ in 0..reader.count(4, "keys")? {
            let key = match dtype {
                DType::Str => Key::text(reader.text("key")?),
                _ => Key::Number(reader.u64("key")?),
            };
            let cell = each(reader)?;
            keyed.add(key, cell);
        }
        Ok(keyed)
    }
}

/// Most bytes that so many keys take, each with a cell of so many bytes.
pub fn size(limit: usize, dtype: DType, cell: u64) -> u64 {
    let key = if dtype == DType::Str { 64 + MAX_TEXT as u64 } else { 64 };
    (limit as u64).saturating_mul(cell.saturating_add(key)).saturating_add(256)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_ordered_as_numbers_and_come_back() {
        let numbers = [f64::NEG_INFINITY, -1.5, -5e-324, 0.0, 5e-324, 2.0, f64::INFINITY];
        let ranks: Vec<u64> = numbers.iter().map(|&x| rank(Scalar::F64(x))).collect();
        assert!(ranks.is_sorted_by(|a, b| a < b));
        for (x, r) in numbers.iter().zip(ranks) {
            assert_eq!(unrank(DType::F64, r), Scalar::F64(*x));
        }
        assert_eq!(rank(Scalar::F64(-0.0)), rank(Scalar::F64(0.0)));
        assert_eq!(rank(Scalar::F64(-f64::NAN)), u64::MAX);
        for x in [-128i8, -1, 0, 127] {
            assert_eq!(unrank(DType::I8, rank(Scalar::I8(x))), Scalar::I8(x));
        }
        assert!(rank(Scalar::I64(-1)) < rank(Scalar::I64(0)));
    }

    #[test]
    fn the_smallest_keys_stay_and_the_others_are_counted() {
        let mut keyed: Keyed<u64> = Keyed::new(DType::I32, 2);
        for key in [5, 3, 9, 1, 3, 5] {
            if let Some(cell) = keyed.at(Key::Number(rank(Scalar::I32(key))), 1, || 0) {
                *cell += 1;
            }
        }
        assert_eq!(keyed.keys(), Value::Array(Array::from_elements(&[2], &[1, 3])));
        assert_eq!(keyed.cells().copied().collect::<Vec<_>>(), [1, 2]);
        assert_eq!(keyed.overflowed(), Value::Scalar(Scalar::I64(3)));
    }
}
