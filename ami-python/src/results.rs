//! Results in the outbox become columns. Nothing there is trusted: the process may be broken, and user
//! code may write everywhere.

use crate::pack::{ABSENT, ROW};
use ami_graph::data::batch::Dims;
use ami_graph::data::owned_column::OwnedColumn;
use ami_graph::data::types::Type;
use ami_graph::data::value::DType;
use ami_graph::op::plain::Plain;
use ami_shm::Arena;
use serde::Deserialize;
use serde_json::Value as Json;

/// A column as the host describes it.
#[derive(Debug, Deserialize)]
struct Described {
    k: String,
    at: usize,
    #[serde(default)]
    p: Option<usize>,
    #[serde(default)]
    stride: usize,
    #[serde(default)]
    shape: Vec<usize>,
}

/// Which events can have a result.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Events<'a> {
    pub count: usize,
    /// 0: it was not given to user code; None: all were.
    pub mask: Option<&'a [u8]>,
}

impl Events<'_> {
    pub(crate) fn has(&self, event: usize) -> bool {
        self.mask.is_none_or(|mask| mask.get(event).is_some_and(|m| *m != 0))
    }

    pub(crate) fn taking_part(&self) -> usize {
        self.mask.map_or(self.count, |mask| mask.iter().filter(|m| **m != 0).count())
    }
}

/// Fills the columns of all outputs.
///
/// # Errors
/// Says what does not fit; the columns are then not to be used.
pub(crate) fn outputs(
    described: &Json,
    outbox: &Arena,
    types: &[Type],
    events: Events<'_>,
    into: &mut [OwnedColumn],
) -> Result<(), String> {
    let described: Vec<Option<Described>> =
        Vec::deserialize(described).map_err(|e| format!("outputs: {e}"))?;
    if described.len() != types.len() {
        return Err(format!("{} outputs instead of {}", described.len(), types.len()));
    }
    for ((one, of), column) in described.iter().zip(types).zip(into) {
        match one {
            None => absent(of, events.count, column),
            Some(one) => Reading { one, of, events, outbox }.column(column)?,
        }
    }
    Ok(())
}

/// No value in any event.
pub(crate) fn absent(of: &Type, events: usize, column: &mut OwnedColumn) {
    match (of.dtype, of.is_scalar()) {
        (DType::Str, _) => column.start_strings(),
        (dtype, true) => column.start_pushed_scalars(dtype),
        (dtype, false) => column.start_arrays(dtype),
    }
    (0..events).for_each(|_| column.push_absent());
}

/// A state at `[offset, length]`.
///
/// # Errors
/// When it lies outside or is none.
pub(crate) fn state(described: &Json, outbox: &Arena, most: u64) -> Result<Plain, StateError> {
    let bad = |e: &dyn std::fmt::Display| StateError::Broken(format!("state: {e}"));
    let (at, len) = <(usize, usize)>::deserialize(described).map_err(|e| bad(&e))?;
    if len as u64 > most {
        return Err(StateError::TooLarge(format!("the state has {len} bytes, {most} are allowed")));
    }
    // Looked at before the memory is asked for.
    outbox.read(at.saturating_add(len), &mut []).map_err(|e| bad(&e))?;
    let mut bytes = vec![0; len];
    outbox.read(at, &mut bytes).map_err(|e| bad(&e))?;
    Plain::new(bytes).map_err(|e| bad(&e))
}

/// Why there is no state.
#[derive(Debug, PartialEq)]
pub(crate) enum StateError {
    /// User code made too much of it.
    TooLarge(String),
    /// It is none.
    Broken(String),
}

struct Reading<'a> {
    one: &'a Described,
    of: &'a Type,
    events: Events<'a>,
    outbox: &'a Arena,
}

impl Reading<'_> {
    fn column(&self, column: &mut OwnedColumn) -> Result<(), String> {
        match (&self.one.k[..], self.of.dtype, self.of.is_scalar()) {
            ("t", DType::Str, _) => self.texts(column),
            ("s", dtype, true) if dtype != DType::Str => self.scalars(column),
            ("d", dtype, false) if dtype != DType::Str => self.dense(column),
            ("a", dtype, false) if dtype != DType::Str => self.arrays(column),
            (kind, ..) => Err(format!("a column of kind {kind:?} for {}", self.of)),
        }
    }

    fn read(&self, at: usize, into: &mut [u8]) -> Result<(), String> {
        self.outbox.read(at, into).map_err(|e| e.to_string())
    }

    fn scalars(&self, column: &mut OwnedColumn) -> Result<(), String> {
        let count = self.events.count;
        column.start_scalars(self.of.dtype, count);
        self.read(self.one.at, column.scalar_bytes_mut())?;
        if self.of.dtype == DType::Bool {
            truth(column.scalar_bytes_mut());
        }
        let present = column.present_mut();
        if let Some(at) = self.one.p {
            self.read(at, present)?;
            truth(present);
        }
        if self.events.mask.is_some() {
            for (event, present) in present.iter_mut().enumerate() {
                *present &= u8::from(self.events.has(event));
            }
        }
        Ok(())
    }

    fn dense(&self, column: &mut OwnedColumn) -> Result<(), String> {
        let Described { at, stride, ref shape, .. } = *self.one;
        let (dims, len) = self.dims(shape)?;
        if stride < len && self.events.count > 1 {
            return Err(format!("arrays of {len} bytes at distances of {stride}"));
        }
        column.start_arrays(self.of.dtype);
        for event in 0..self.events.count {
            if !self.events.has(event) {
                column.push_absent();
                continue;
            }
            let place = event.checked_mul(stride).and_then(|offset| offset.checked_add(at));
            self.array(place.unwrap_or(usize::MAX), dims, len, column)?;
        }
        Ok(())
    }

    fn arrays(&self, column: &mut OwnedColumn) -> Result<(), String> {
        column.start_arrays(self.of.dtype);
        // As each result was written by itself, all together have no more bytes than the outbox.
        let mut left = self.outbox.size();
        let table = self.table::<ROW>()?;
        for (event, row) in table.as_chunks::<ROW>().0.iter().enumerate() {
            if row[0] == ABSENT || !self.events.has(event) {
                column.push_absent();
                continue;
            }
            let number = |word: &u64| usize::try_from(*word).unwrap_or(usize::MAX);
            let shape: Vec<usize> = row[3..].iter().take(number(&row[2])).map(number).collect();
            if row[0] != 0 || row[2] != shape.len() as u64 {
                return Err(format!("map {} and {} axes", row[0], row[2]));
            }
            let (dims, len) = self.dims(&shape)?;
            left = left.checked_sub(len).ok_or("arrays that lie over each other")?;
            self.array(number(&row[1]), dims, len, column)?;
        }
        Ok(())
    }

    /// One array's shape, which must be as declared, and its bytes.
    fn dims(&self, shape: &[usize]) -> Result<(Dims, usize), String> {
        let bad = || format!("shape {shape:?} for {}", self.of);
        let rank = self.of.rank.is_none_or(|rank| rank == shape.len());
        let fixed = self.of.shape.as_ref().is_none_or(|declared| declared == shape);
        let dims = Dims::new(shape).filter(|_| rank && fixed).ok_or_else(bad)?;
        let len = dims.count().and_then(|count| count.checked_mul(self.of.dtype.size()));
        match len {
            Some(len) if len <= self.outbox.size() => Ok((dims, len)),
            _ => Err(bad()),
        }
    }

    fn array(
        &self,
        at: usize,
        dims: Dims,
        len: usize,
        column: &mut OwnedColumn,
    ) -> Result<(), String> {
        // Looked at before there is memory for it.
        self.read(at.saturating_add(len), &mut [])?;
        let bytes = column.push_zeros(dims);
        self.read(at, bytes)?;
        if self.of.dtype == DType::Bool {
            truth(bytes);
        }
        Ok(())
    }

    fn texts(&self, column: &mut OwnedColumn) -> Result<(), String> {
        column.start_strings();
        let mut left = self.outbox.size();
        let mut bytes = Vec::new();
        for (event, [at, len]) in self.table::<2>()?.as_chunks::<2>().0.iter().enumerate() {
            if *len == ABSENT || !self.events.has(event) {
                column.push_absent();
                continue;
            }
            let (at, len) = (usize::try_from(*at), usize::try_from(*len));
            let (Ok(at), Ok(len)) = (at, len) else {
                return Err("a text beyond all memory".into());
            };
            left = left.checked_sub(len).ok_or("texts that lie over each other")?;
            bytes.resize(len, 0);
            self.read(at, &mut bytes)?;
            column.push_str(std::str::from_utf8(&bytes).map_err(|e| format!("a text: {e}"))?);
        }
        Ok(())
    }

    /// A table with so many words for each event.
    fn table<const WORDS: usize>(&self) -> Result<Vec<u64>, String> {
        let mut bytes = vec![0; self.events.count * WORDS * 8];
        self.read(self.one.at, &mut bytes)?;
        Ok(bytes.as_chunks::<8>().0.iter().map(|word| u64::from_le_bytes(*word)).collect())
    }
}

/// Bytes that say yes or no, whatever they are.
fn truth(bytes: &mut [u8]) {
    bytes.iter_mut().for_each(|byte| *byte = u8::from(*byte != 0));
}
