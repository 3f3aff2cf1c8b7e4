//! Writing a chunk: events into staging columns and the ring's arena, sealed at the end.

use crate::data_path::chunk::stage::Stage;
use crate::data_path::chunk::{
    ARRAY_ENTRY, ARRAYS, Arena, ENTRY, Full, HEADER, MAGIC, SCALARS, SPARSE, STRINGS, align, code,
};
use ami_graph::data::batch::Dims;
use ami_graph::data::schema::{Kind, Schema};
use ami_graph::data::value::{DType, Element};

/// Memory for the open chunk's columns, kept from chunk to chunk.
#[derive(Debug, Default)]
pub struct Staging {
    timestamps: Vec<u64>,
    stages: Vec<Stage>,
    /// Events that had each field, since the schema began.
    seen: Vec<u64>,
}

impl Staging {
    /// For the fields of a schema. Held fields have no column.
    pub fn new(schema: &Schema) -> Staging {
        let stages = schema
            .fields
            .iter()
            .map(|f| Stage::new(f.dtype, if f.kind == Kind::Held { 0 } else { f.rank }))
            .collect();
        Staging { timestamps: Vec::new(), stages, seen: vec![0; schema.fields.len()] }
    }

    /// Events in sealed chunks that had each field, by field index.
    pub fn seen(&self) -> &[u64] {
        &self.seen
    }

    /// Events staged.
    pub fn events(&self) -> usize {
        self.timestamps.len()
    }

    /// Timestamps of the staged events.
    pub fn timestamps(&self) -> &[u64] {
        &self.timestamps
    }

    /// Forgets the staged events.
    pub fn clear(&mut self) {
        self.timestamps.clear();
        self.stages.iter_mut().for_each(Stage::clear);
    }
}

/// A chunk as it stands in the ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sealed {
    /// Where the chunk starts; arrays' offsets are relative to it.
    pub start: u64,
    /// Where its index starts.
    pub index: u64,
    /// Bytes of the index.
    pub index_len: usize,
    /// Where it ends.
    pub end: u64,
    /// Number of events.
    pub events: usize,
}

/// The open chunk. Sources write events into it.
///
/// Per event: [`event`](Self::event), then any of [`scalar`](Self::scalar), [`text`](Self::text),
/// [`array`](Self::array), [`arrays`](Self::arrays), each field at most once; a field not set is
/// absent. An event that meets [`Full`] is taken back with [`cancel`](Self::cancel).
pub struct ChunkWriter<'a> {
    staging: &'a mut Staging,
    arena: &'a mut dyn Arena,
    /// Head of the arena when the chunk was opened.
    start: u64,
    /// Head of the arena when the open event began.
    event_start: u64,
    max_events: usize,
    max_bytes: usize,
}

impl<'a> ChunkWriter<'a> {
    /// Continues the chunk that was opened at `start` with what `staging` already holds.
    pub fn new(
        staging: &'a mut Staging,
        arena: &'a mut dyn Arena,
        start: u64,
        max_events: usize,
        max_bytes: usize,
    ) -> ChunkWriter<'a> {
        let event_start = arena.head();
        ChunkWriter { staging, arena, start, event_start, max_events, max_bytes }
    }

    /// Events that may still be added; 0 once the chunk is large enough in bytes.
    pub fn room(&self) -> usize {
        let bytes = (self.arena.head() - self.start) as usize;
        if bytes >= self.max_bytes {
            0
        } else {
            self.max_events.saturating_sub(self.staging.events())
        }
    }

    /// Starts the next event.
    pub fn event(&mut self, timestamp: u64) {
        self.event_start = self.arena.head();
        self.staging.timestamps.push(timestamp);
    }

    /// Takes back the event started last, with all that it set.
    pub fn cancel(&mut self) {
        self.staging.timestamps.pop();
        let rows = self.staging.events();
        self.staging.stages.iter_mut().for_each(|s| s.truncate(rows));
        self.arena.rewind(self.event_start);
    }

    /// Sets a scalar field of the open event. A wrong field or type is the source's mistake and
    /// leaves the field absent.
    pub fn scalar<T: Element>(&mut self, field: usize, value: T) {
        self.scalar_bytes(field, T::DTYPE, bytemuck::bytes_of(&value));
    }

    /// Sets a scalar field from the element's little-endian bytes.
    pub fn scalar_bytes(&mut self, field: usize, dtype: DType, bytes: &[u8]) {
        let events = self.staging.events();
        let Some(stage) = self.staging.stages.get_mut(field) else { return };
        if stage.kind != SCALARS || stage.dtype != dtype || stage.rows >= events {
            return;
        }
        stage.pad(events - 1);
        stage.data.extend_from_slice(bytes);
        stage.mask.push(1);
        stage.rows += 1;
        stage.present += 1;
    }

    /// Sets a text field of the open event.
    pub fn text(&mut self, field: usize, text: &str) {
        let events = self.staging.events();
        let Some(stage) = self.staging.stages.get_mut(field) else { return };
        if stage.kind != STRINGS || stage.rows >= events {
            return;
        }
        stage.pad(events - 1);
        stage.data.extend_from_slice(&(stage.text.len() as u32).to_le_bytes());
        stage.data.extend_from_slice(&(text.len() as u32).to_le_bytes());
        stage.text.extend_from_slice(text.as_bytes());
        stage.rows += 1;
        stage.present += 1;
    }

    /// Sets an array field of the open event; the caller fills the bytes (C order, little-endian).
    ///
    /// # Errors
    /// [`Full`] when the ring has no room now.
    pub fn array(&mut self, field: usize, shape: &[usize]) -> Result<&mut [u8], Full> {
        self.arrays(&[field], None, shape)
    }

    /// Sets an array field to a copy of bytes that are there already, in the way that is fastest
    /// for the ring. Returns the copy.
    ///
    /// # Errors
    /// [`Full`] when the ring has no room now.
    pub fn array_from(
        &mut self,
        field: usize,
        shape: &[usize],
        bytes: &[u8],
    ) -> Result<&mut [u8], Full> {
        match self.lay(&[field], None, shape)? {
            Some((position, len)) if len == bytes.len() => {
                self.arena.write(position, bytes);
                Ok(self.arena.bytes_mut(position, len))
            }
            _ => Ok(&mut []),
        }
    }

    /// Sets several array fields of one shape and type, one behind the other in memory, and
    /// optionally a field that is their stack (the same bytes, with a first axis of their number).
    /// Returns the bytes of all. Scalars of several segments: an empty `shape` sets only the stack.
    ///
    /// # Errors
    /// [`Full`] when the ring has no room now.
    pub fn arrays(
        &mut self,
        fields: &[usize],
        stack: Option<usize>,
        shape: &[usize],
    ) -> Result<&mut [u8], Full> {
        Ok(match self.lay(fields, stack, shape)? {
            Some((position, total)) => self.arena.bytes_mut(position, total),
            None => &mut [],
        })
    }

    /// Reserves room for arrays and notes where they are: position and bytes; None for fields that
    /// do not exist.
    fn lay(
        &mut self,
        fields: &[usize],
        stack: Option<usize>,
        shape: &[usize],
    ) -> Result<Option<(u64, usize)>, Full> {
        let stages = &self.staging.stages;
        let first = fields.first().or(stack.as_ref()).and_then(|&f| stages.get(f));
        let Some(dtype) = first.map(|s| s.dtype) else { return Ok(None) };
        let each = shape.iter().product::<usize>() * dtype.size();
        let total = each * fields.len();
        let position = self.arena.reserve(total.max(1)).ok_or(Full)?;
        let offset = position - self.start;
        if !shape.is_empty() {
            for (i, &field) in fields.iter().enumerate() {
                self.place(field, dtype, offset + (i * each) as u64, shape);
            }
        }
        if let Some(field) = stack {
            let mut whole = vec![fields.len()];
            whole.extend_from_slice(shape);
            self.place(field, dtype, offset, &whole);
        }
        Ok(Some((position, total)))
    }

    fn place(&mut self, field: usize, dtype: DType, offset: u64, shape: &[usize]) {
        let events = self.staging.events();
        let Some(stage) = self.staging.stages.get_mut(field) else { return };
        let Some(dims) = Dims::new(shape) else { return };
        if stage.kind != ARRAYS || stage.dtype != dtype || stage.rows >= events {
            return;
        }
        stage.pad(events - 1);
        stage.data.extend_from_slice(&offset.to_le_bytes());
        stage.data.extend_from_slice(&(dims.axes().len() as u32).to_le_bytes());
        let start = stage.data.len();
        stage.data.resize(start + ARRAY_ENTRY - 12, 0);
        for (to, axis) in stage.data[start..].chunks_exact_mut(4).zip(dims.axes()) {
            to.copy_from_slice(&axis.to_le_bytes());
        }
        stage.rows += 1;
        stage.present += 1;
    }

    /// Adds `timestamps.len()` events at once; fill their scalars with [`column`](Self::column).
    pub fn extend(&mut self, timestamps: &[u64]) {
        self.event_start = self.arena.head();
        self.staging.timestamps.extend_from_slice(timestamps);
    }

    /// The elements of a scalar field for all events not yet filled, to be set; empty when field or
    /// type are wrong.
    pub fn column<T: Element>(&mut self, field: usize) -> &mut [T] {
        let events = self.staging.events();
        let Some(stage) = self.staging.stages.get_mut(field) else { return &mut [] };
        if stage.kind != SCALARS || stage.dtype != T::DTYPE {
            return &mut [];
        }
        let from = stage.data.len();
        stage.present += events - stage.rows;
        stage.rows = events;
        stage.mask.resize(events, 1);
        stage.data.resize(events * size_of::<T>(), 0);
        bytemuck::try_cast_slice_mut(&mut stage.data[from..]).unwrap_or(&mut [])
    }

    /// Writes the index behind the arrays. The staged events are gone afterwards.
    ///
    /// # Errors
    /// [`Full`] when the ring has no room for the index now; nothing changed, try again later.
    pub fn seal(&mut self, host: u32, first_sequence: u64) -> Result<Sealed, Full> {
        let events = self.staging.events();
        let columns = self.staging.stages.iter().filter(|s| s.present > 0).count();
        let times = align(HEADER);
        let directory = times + align(events * 8);
        let mut len = align(directory + columns * ENTRY);
        for stage in self.staging.stages.iter().filter(|s| s.present > 0) {
            len = align(len + stage.encoded(events));
        }
        let index = self.arena.reserve(len).ok_or(Full)?;
        let out = self.arena.bytes_mut(index, len);
        put_header(out, events, columns, host, first_sequence);
        out[times..times + events * 8]
            .copy_from_slice(bytemuck::cast_slice(&self.staging.timestamps));
        let mut at = align(directory + columns * ENTRY);
        let mut entry = directory;
        for (field, stage) in self.staging.stages.iter_mut().enumerate() {
            if stage.present == 0 {
                continue;
            }
            self.staging.seen[field] += stage.present as u64;
            stage.pad(events);
            let size = stage.encoded(events);
            let kind =
                if stage.kind == SCALARS && stage.present < events { SPARSE } else { stage.kind };
            out[entry..entry + 4].copy_from_slice(&(field as u32).to_le_bytes());
            out[entry + 4..entry + 8].copy_from_slice(&[kind, code(stage.dtype), 0, 0]);
            out[entry + 8..entry + 16].copy_from_slice(&(at as u64).to_le_bytes());
            out[entry + 16..entry + 24].copy_from_slice(&(size as u64).to_le_bytes());
            stage.encode(events, &mut out[at..at + size]);
            at = align(at + size);
            entry += ENTRY;
        }
        self.staging.clear();
        let end = self.arena.head();
        Ok(Sealed { start: self.start, index, index_len: len, end, events })
    }
}

fn put_header(out: &mut [u8], events: usize, columns: usize, host: u32, first_sequence: u64) {
    out[..4].copy_from_slice(&MAGIC.to_le_bytes());
    out[4..8].copy_from_slice(&(events as u32).to_le_bytes());
    out[8..12].copy_from_slice(&(columns as u32).to_le_bytes());
    out[12..16].copy_from_slice(&host.to_le_bytes());
    out[16..24].copy_from_slice(&first_sequence.to_le_bytes());
}
