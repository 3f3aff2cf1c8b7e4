//! Reading a chunk. Every number is checked before use: the bytes are another process's.

use crate::data_path::chunk::{
    ABSENT, ABSENT_TEXT, ALIGN, ARRAY_ENTRY, ARRAYS, ENTRY, HEADER, MAGIC, SCALARS, SPARSE,
    STRINGS, TEXT_ENTRY, align, dtype_of,
};
use ami_graph::data::batch::{ArrayRef, Batch, Column, Dims};
use ami_graph::data::reused_lists::Lists;
use ami_graph::data::schema::{Held, Schema};
use ami_graph::data::value::{DType, MAX_RANK};

/// The bytes are not a chunk of this schema.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("chunk is damaged: {0}")]
pub struct ChunkError(pub &'static str);

/// The chunk's bytes before its index: not in one piece where the ring's end lies between.
pub trait Spans {
    /// Bytes at an offset from the chunk's start; None outside of the chunk.
    fn span(&self, offset: u64, len: usize) -> Option<&[u8]>;
}

impl Spans for &[u8] {
    fn span(&self, offset: u64, len: usize) -> Option<&[u8]> {
        self.get(usize::try_from(offset).ok()?..)?.get(..len)
    }
}

/// A sealed chunk, checked. Its bytes must be aligned to at least 8.
#[derive(Clone, Copy)]
pub struct ChunkView<'a> {
    index: &'a [u8],
    arrays: &'a dyn Spans,
    events: usize,
    columns: usize,
    host: u32,
    first_sequence: u64,
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.try_into().ok().map(u32::from_le_bytes)
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..at + 8)?.try_into().ok().map(u64::from_le_bytes)
}

impl<'a> ChunkView<'a> {
    /// Checks the header. `arrays` are the chunk's bytes from its start on.
    ///
    /// # Errors
    /// When the index is not one.
    pub fn new(arrays: &'a dyn Spans, index: &'a [u8]) -> Result<ChunkView<'a>, ChunkError> {
        let short = ChunkError("index shorter than its header says");
        if u32_at(index, 0) != Some(MAGIC) || index.len() < HEADER {
            return Err(ChunkError("no chunk index here"));
        }
        let number = |at| u32_at(index, at).map(|v| v as usize).ok_or(short.clone());
        let (events, columns) = (number(4)?, number(8)?);
        let directory = align(HEADER) + align(events * 8);
        if directory + columns * ENTRY > index.len() {
            return Err(short);
        }
        let host = u32_at(index, 12).ok_or(short.clone())?;
        let first_sequence = u64_at(index, 16).ok_or(short)?;
        Ok(ChunkView { index, arrays, events, columns, host, first_sequence })
    }

    /// Number of events.
    pub fn events(&self) -> usize {
        self.events
    }

    /// Timestamps of the events.
    ///
    /// # Errors
    /// When the bytes are not aligned.
    pub fn timestamps(&self) -> Result<&'a [u64], ChunkError> {
        let start = align(HEADER);
        bytemuck::try_cast_slice(&self.index[start..start + self.events * 8])
            .map_err(|_| ChunkError("index not aligned"))
    }

    /// The events as columns of a schema; fields not `wanted` are left out (all are when empty).
    ///
    /// # Errors
    /// When a column does not fit the schema or points outside the chunk.
    pub fn batch(
        &self,
        schema: &Schema,
        held: &'a Held,
        wanted: &[bool],
    ) -> Result<Batch<'a>, ChunkError> {
        self.batch_in(&mut Lists::default(), schema, held, wanted)
    }

    /// As [`batch`](Self::batch), in kept memory.
    ///
    /// # Errors
    /// As [`batch`](Self::batch).
    pub fn batch_in(
        &self,
        lists: &mut Lists,
        schema: &Schema,
        held: &'a Held,
        wanted: &[bool],
    ) -> Result<Batch<'a>, ChunkError> {
        let mut columns = lists.columns();
        columns.resize(schema.fields.len(), Column::Absent);
        for (&field, value) in held {
            if let Some(column) = columns.get_mut(field as usize) {
                *column = Column::Constant(value);
            }
        }
        let directory = align(HEADER) + align(self.events * 8);
        for entry in self.index[directory..].chunks_exact(ENTRY).take(self.columns) {
            let field = u32_at(entry, 0).unwrap_or(u32::MAX) as usize;
            if wanted.get(field) == Some(&false) {
                continue;
            }
            let slot = columns.get_mut(field).ok_or(ChunkError("field not in the schema"))?;
            *slot = self.column(lists, entry, schema.fields[field].dtype)?;
        }
        Ok(Batch {
            host: self.host,
            belonging: Default::default(),
            first_sequence: self.first_sequence,
            timestamps: self.timestamps()?,
            columns,
        })
    }

    fn column(
        &self,
        lists: &mut Lists,
        entry: &[u8],
        expected: DType,
    ) -> Result<Column<'a>, ChunkError> {
        let outside = ChunkError("column outside the index");
        let dtype = dtype_of(entry[5]).filter(|d| *d == expected);
        let dtype = dtype.ok_or(ChunkError("column of another type than the schema's"))?;
        let at = u64_at(entry, 8).unwrap_or(u64::MAX) as usize;
        let len = u64_at(entry, 16).unwrap_or(u64::MAX) as usize;
        let end = at.checked_add(len).ok_or(outside.clone())?;
        let data = self.index.get(at..end).ok_or(outside.clone())?;
        let n = self.events;
        let wrong = ChunkError("column of a wrong length");
        match entry[4] {
            SCALARS if len == n * dtype.size() => {
                Ok(Column::Scalars { dtype, data, present: None })
            }
            SPARSE if len == align(n) + n * dtype.size() => {
                let (mask, data) = data.split_at(align(n));
                Ok(Column::Scalars { dtype, data, present: Some(&mask[..n]) })
            }
            ARRAYS if len == n * ARRAY_ENTRY && dtype != DType::Str => {
                let mut items = lists.arrays();
                for entry in data.chunks_exact(ARRAY_ENTRY) {
                    items.push(self.array(entry, dtype)?);
                }
                Ok(Column::Arrays { dtype, items })
            }
            STRINGS if len >= n * TEXT_ENTRY && dtype == DType::Str => {
                let (entries, text) = data.split_at(n * TEXT_ENTRY);
                let mut texts = lists.texts();
                for entry in entries.chunks_exact(TEXT_ENTRY) {
                    texts.push(text_at(entry, text)?);
                }
                Ok(Column::Strings(texts))
            }
            _ => Err(wrong),
        }
    }

    fn array(&self, entry: &[u8], dtype: DType) -> Result<Option<ArrayRef<'a>>, ChunkError> {
        let outside = ChunkError("array outside the chunk");
        let offset = u64_at(entry, 0).unwrap_or(ABSENT);
        if offset == ABSENT {
            return Ok(None);
        }
        let rank = u32_at(entry, 8).unwrap_or(0) as usize;
        let mut shape = [0usize; MAX_RANK];
        for (axis, length) in shape.iter_mut().enumerate() {
            *length = u32_at(entry, 12 + 4 * axis).unwrap_or(0) as usize;
        }
        let shape = shape.get(..rank).ok_or(ChunkError("array of too many axes"))?;
        let dims = Dims::new(shape).ok_or(ChunkError("array of too many axes"))?;
        let len = dims.count().and_then(|n| n.checked_mul(dtype.size())).ok_or(outside.clone())?;
        let data = self.arrays.span(offset, len).ok_or(outside)?;
        // Elements of 8 bytes at most; segments of a stack may lie closer than 64 bytes.
        if !(data.as_ptr() as usize).is_multiple_of(dtype.size().min(ALIGN)) {
            return Err(ChunkError("array not aligned"));
        }
        Ok(Some(ArrayRef { dims, data }))
    }
}

fn text_at<'a>(entry: &[u8], text: &'a [u8]) -> Result<Option<&'a str>, ChunkError> {
    let start = u32_at(entry, 0).unwrap_or(ABSENT_TEXT);
    if start == ABSENT_TEXT {
        return Ok(None);
    }
    let len = u32_at(entry, 4).unwrap_or(0) as usize;
    let bytes = text.get(start as usize..).and_then(|t| t.get(..len));
    let bytes = bytes.ok_or(ChunkError("text outside its column"))?;
    std::str::from_utf8(bytes).map(Some).map_err(|_| ChunkError("text is not UTF-8"))
}
