//! Columns that own their data: what a node computes for the events of one batch.
//!
//! Every buffer is kept from batch to batch, so that in steady state filling a column allocates
//! nothing per event. A `start_…` method begins a batch; the other methods fill it; [`view`]
//! lends the result as the [`Column`] that the next node reads.
//!
//! [`view`]: OwnedColumn::view

use crate::data::batch::{ArrayRef, Column, Dims};
use crate::data::reused_lists::Lists;
use crate::data::value::{DType, Element, Scalar, Value};

/// Which of the buffers below hold the batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Form {
    #[default]
    Absent,
    Constant,
    Scalars,
    Strings,
    Arrays,
}

/// Owned counterpart of [`Column`]; see the module.
#[derive(Debug, Clone)]
pub struct OwnedColumn {
    form: Form,
    dtype: DType,
    events: usize,
    /// Elements of scalars and arrays; u64 so that every element type can be viewed in place.
    words: Vec<u64>,
    /// Words of `words` taken by arrays; the rest is spare from earlier batches.
    used: usize,
    /// One byte per event, for scalars; 0 = absent.
    present: Vec<u8>,
    /// Per event: axis lengths and first word.
    items: Vec<Option<(Dims, usize)>>,
    text: String,
    /// Per event: first byte and end in `text`.
    strings: Vec<Option<(usize, usize)>>,
    constant: Option<Value>,
}

impl Default for OwnedColumn {
    fn default() -> Self {
        OwnedColumn {
            form: Form::Absent,
            dtype: DType::F64,
            events: 0,
            words: Vec::new(),
            used: 0,
            present: Vec::new(),
            items: Vec::new(),
            text: String::new(),
            strings: Vec::new(),
            constant: None,
        }
    }
}

impl OwnedColumn {
    /// Absent in every event.
    pub fn new() -> OwnedColumn {
        OwnedColumn::default()
    }

    /// Absent in every event of this batch.
    pub fn set_absent(&mut self) {
        self.form = Form::Absent;
    }

    /// The same value in every event of this batch.
    pub fn set_constant(&mut self, value: Value) {
        self.form = Form::Constant;
        self.constant = Some(value);
    }

    /// Begins a batch of scalars, all present; their values are unspecified until written.
    /// Write through [`scalars_mut`](Self::scalars_mut) and [`present_mut`](Self::present_mut).
    pub fn start_scalars(&mut self, dtype: DType, events: usize) {
        self.begin(Form::Scalars, dtype);
        self.events = events;
        let words = (events * dtype.size()).div_ceil(8);
        if self.words.len() < words {
            self.words.resize(words, 0);
        }
        self.present.clear();
        self.present.resize(events, 1);
    }

    /// Begins a batch of scalars of which none is there yet; [`push_scalar`](Self::push_scalar)
    /// and [`push_absent`](Self::push_absent) add one event each.
    pub fn start_pushed_scalars(&mut self, dtype: DType) {
        self.start_scalars(dtype, 0);
    }

    /// Begins a batch of arrays; [`push_array`](Self::push_array), [`push_zeros`](Self::push_zeros)
    /// and [`push_absent`](Self::push_absent) add one event each.
    pub fn start_arrays(&mut self, dtype: DType) {
        self.begin(Form::Arrays, dtype);
        self.items.clear();
        self.used = 0;
    }

    /// Begins a batch of texts; [`push_str`](Self::push_str) and
    /// [`push_absent`](Self::push_absent) add one event each.
    pub fn start_strings(&mut self) {
        self.begin(Form::Strings, DType::Str);
        self.strings.clear();
        self.text.clear();
    }

    fn begin(&mut self, form: Form, dtype: DType) {
        self.form = form;
        self.dtype = dtype;
        self.events = 0;
    }

    /// The scalars of this batch as bytes, to write.
    pub fn scalar_bytes_mut(&mut self) -> &mut [u8] {
        let bytes = self.events * self.dtype.size();
        &mut bytemuck::cast_slice_mut(&mut self.words)[..bytes]
    }

    /// The scalars of this batch to write, if they are of type `T` (u8 also serves bool).
    pub fn scalars_mut<T: Element>(&mut self) -> Option<&mut [T]> {
        let bool_as_u8 = self.dtype == DType::Bool && T::DTYPE == DType::U8;
        (self.form == Form::Scalars && (self.dtype == T::DTYPE || bool_as_u8))
            .then(|| bytemuck::cast_slice_mut(self.scalar_bytes_mut()))
    }

    /// One byte per event of a batch of scalars: 0 = absent.
    pub fn present_mut(&mut self) -> &mut [u8] {
        &mut self.present
    }

    /// Adds one event's scalar. Panics when the type is not the column's: a caller's mistake.
    pub fn push_scalar(&mut self, value: Scalar) {
        assert_eq!(value.dtype(), self.dtype, "scalar of another type than its column");
        self.push_scalar_bytes(&scalar_bytes(value)[..self.dtype.size()]);
    }

    /// Adds one event's scalar as its bytes. Panics when there are not exactly as many as the
    /// type has: a caller's mistake.
    pub fn push_scalar_bytes(&mut self, value: &[u8]) {
        self.grow_scalars();
        let size = self.dtype.size();
        let place = (self.events - 1) * size;
        let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut self.words);
        bytes[place..place + size].copy_from_slice(value);
    }

    fn grow_scalars(&mut self) {
        self.events += 1;
        let words = (self.events * self.dtype.size()).div_ceil(8);
        if self.words.len() < words {
            self.words.resize(words.max(2 * self.words.len()), 0);
        }
        self.present.push(1);
    }

    /// Adds an event without a value to scalars, arrays or texts.
    pub fn push_absent(&mut self) {
        match self.form {
            Form::Scalars => {
                self.grow_scalars();
                self.present[self.events - 1] = 0;
            }
            Form::Arrays => {
                self.items.push(None);
                self.events += 1;
            }
            Form::Strings => {
                self.strings.push(None);
                self.events += 1;
            }
            Form::Absent | Form::Constant => {}
        }
    }

    /// Adds one event's array of zeros and lends its bytes to be filled in.
    /// Panics when the number of elements overflows: a caller's mistake.
    pub fn push_zeros(&mut self, dims: Dims) -> &mut [u8] {
        let bytes = self.reserve_array(dims);
        bytes.fill(0);
        bytes
    }

    /// Adds one event's array. Panics when `data` is not as long as `dims` says: a caller's
    /// mistake.
    pub fn push_array(&mut self, dims: Dims, data: &[u8]) {
        self.reserve_array(dims).copy_from_slice(data);
    }

    /// Adds an array whose bytes are left as an earlier batch had them.
    pub(crate) fn reserve_array(&mut self, dims: Dims) -> &mut [u8] {
        let count = dims.count().expect("element count checked by the caller");
        let bytes = count * self.dtype.size();
        let first = self.used;
        self.used += bytes.div_ceil(8);
        if self.words.len() < self.used {
            // Not beyond what is used: doubling a buffer of large images would waste memory, and
            // the next batches find it large enough anyway.
            self.words.resize(self.used, 0);
        }
        self.items.push(Some((dims, first)));
        self.events += 1;
        &mut bytemuck::cast_slice_mut(&mut self.words[first..])[..bytes]
    }

    /// Adds one event's text.
    pub fn push_str(&mut self, text: &str) {
        let first = self.text.len();
        self.text.push_str(text);
        self.strings.push(Some((first, self.text.len())));
        self.events += 1;
    }

    /// Number of events filled in so far; 0 for absent and constant columns.
    pub fn events(&self) -> usize {
        match self.form {
            Form::Absent | Form::Constant => 0,
            Form::Scalars | Form::Arrays | Form::Strings => self.events,
        }
    }

    /// The batch as nodes read it.
    pub fn view(&self) -> Column<'_> {
        self.view_in(&mut Lists::default())
    }

    /// As [`view`](Self::view), in kept memory.
    pub fn view_in(&self, lists: &mut Lists) -> Column<'_> {
        let bytes: &[u8] = bytemuck::cast_slice(&self.words);
        match (self.form, &self.constant) {
            (Form::Absent, _) | (Form::Constant, None) => Column::Absent,
            (Form::Constant, Some(value)) => Column::Constant(value),
            (Form::Scalars, _) => Column::Scalars {
                dtype: self.dtype,
                data: &bytes[..self.events * self.dtype.size()],
                present: self.present.contains(&0).then_some(&self.present[..]),
            },
            (Form::Strings, _) => {
                let mut texts = lists.texts();
                texts.extend(self.strings.iter().map(|s| s.map(|(a, b)| &self.text[a..b])));
                Column::Strings(texts)
            }
            (Form::Arrays, _) => {
                let mut items = lists.arrays();
                items.extend(self.items.iter().map(|item| self.item(*item, bytes)));
                Column::Arrays { dtype: self.dtype, items }
            }
        }
    }

    fn item<'a>(&self, item: Option<(Dims, usize)>, bytes: &'a [u8]) -> Option<ArrayRef<'a>> {
        let (dims, first) = item?;
        let length = dims.count()? * self.dtype.size();
        Some(ArrayRef { dims, data: &bytes[8 * first..8 * first + length] })
    }
}

/// A scalar's bytes, little-endian, filled up with zeros.
pub(crate) fn scalar_bytes(value: Scalar) -> [u8; 8] {
    fn fill<const N: usize>(bytes: [u8; N]) -> [u8; 8] {
        let mut word = [0; 8];
        word[..N].copy_from_slice(&bytes);
        word
    }
    match value {
        Scalar::Bool(v) => fill([u8::from(v)]),
        Scalar::U8(v) => fill([v]),
        Scalar::U16(v) => fill(v.to_le_bytes()),
        Scalar::U32(v) => fill(v.to_le_bytes()),
        Scalar::U64(v) => fill(v.to_le_bytes()),
        Scalar::I8(v) => fill(v.to_le_bytes()),
        Scalar::I16(v) => fill(v.to_le_bytes()),
        Scalar::I32(v) => fill(v.to_le_bytes()),
        Scalar::I64(v) => fill(v.to_le_bytes()),
        Scalar::F32(v) => fill(v.to_le_bytes()),
        Scalar::F64(v) => fill(v.to_le_bytes()),
    }
}

/// The scalar that these bytes, as many as the type has, stand for. They need no alignment.
pub(crate) fn scalar_of(dtype: DType, bytes: &[u8]) -> Scalar {
    use bytemuck::pod_read_unaligned as read;
    match dtype {
        DType::Bool => Scalar::Bool(bytes[0] != 0),
        DType::U8 => Scalar::U8(bytes[0]),
        DType::U16 => Scalar::U16(read(bytes)),
        DType::U32 => Scalar::U32(read(bytes)),
        DType::U64 => Scalar::U64(read(bytes)),
        DType::I8 => Scalar::I8(read(bytes)),
        DType::I16 => Scalar::I16(read(bytes)),
        DType::I32 => Scalar::I32(read(bytes)),
        DType::I64 => Scalar::I64(read(bytes)),
        DType::F32 => Scalar::F32(read(bytes)),
        DType::F64 => Scalar::F64(read(bytes)),
        DType::Str => unreachable!("text is no scalar of a fixed size"),
    }
}

/// Failures of single events in one batch: how many, and what the first one was.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventErrors {
    /// Events that failed.
    pub count: u64,
    /// Why; of the first failure since this was cleared, as formatting each would cost too much.
    pub last: Option<String>,
}

impl EventErrors {
    /// Counts one failure; `message` is only called when none is noted yet.
    pub fn record(&mut self, message: impl FnOnce() -> String) {
        self.count += 1;
        if self.last.is_none() {
            self.last = Some(message());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scalars_with_absent_events() {
        let mut column = OwnedColumn::new();
        for _ in 0..2 {
            column.start_pushed_scalars(DType::U16);
            column.push_scalar(Scalar::U16(7));
            column.push_absent();
            column.push_scalar_bytes(&9u16.to_le_bytes());
            let Column::Scalars { dtype, data, present } = column.view() else { panic!() };
            assert_eq!((dtype, data.len()), (DType::U16, 6));
            assert_eq!(data[0], 7);
            assert_eq!(data[4], 9);
            assert_eq!(present, Some(&[1, 0, 1][..]));
        }
        column.start_scalars(DType::F64, 2);
        column.scalars_mut::<f64>().unwrap().copy_from_slice(&[1.5, 2.5]);
        assert!(column.scalars_mut::<f32>().is_none());
        assert!(matches!(column.view(), Column::Scalars { present: None, .. }));
    }

    #[test]
    fn arrays_lie_aligned_in_one_reused_buffer() {
        let mut column = OwnedColumn::new();
        for round in 0..3u8 {
            column.start_arrays(DType::U8);
            column.push_array(Dims::new(&[3]).unwrap(), &[round, 2, 3]);
            column.push_absent();
            column.push_zeros(Dims::new(&[2, 1]).unwrap())[1] = 5;
            let Column::Arrays { items, .. } = column.view() else { panic!() };
            assert_eq!(items[0].unwrap().data, &[round, 2, 3]);
            assert!(items[1].is_none());
            assert_eq!(items[2].unwrap().data, &[0, 5]);
            assert_eq!(items[2].unwrap().data.as_ptr() as usize % 8, 0);
        }
    }

    #[test]
    fn texts_constants_and_absence() {
        let mut column = OwnedColumn::new();
        assert!(matches!(column.view(), Column::Absent));
        column.start_strings();
        column.push_str("on");
        column.push_absent();
        column.push_str("");
        let Column::Strings(texts) = column.view() else { panic!() };
        assert_eq!(texts, [Some("on"), None, Some("")]);
        column.set_constant(Value::Scalar(Scalar::I64(3)));
        assert!(matches!(column.view(), Column::Constant(Value::Scalar(Scalar::I64(3)))));
    }

    #[test]
    fn only_the_first_failure_is_formatted() {
        let mut errors = EventErrors::default();
        errors.record(|| "first".into());
        errors.record(|| unreachable!());
        assert_eq!((errors.count, errors.last.as_deref()), (2, Some("first")));
    }
}
