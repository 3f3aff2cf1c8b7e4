//! What a call takes along: columns that lie in the ring by their place, everything else in the inbox.

use ami_graph::data::batch::{ArrayRef, Column, Dims};
use ami_graph::data::column_views::{Expanded, expand};
use ami_graph::data::value::{DType, MAX_RANK};
use ami_shm::Arena;
use std::borrow::Cow;
use std::fmt::Write as _;
use std::ops::Range;
use std::path::PathBuf;

/// In a table, instead of a map or a length: the event has no value.
pub(crate) const ABSENT: u64 = u64::MAX;
/// u64 words of a row of a table of arrays: map, offset, rank, axis lengths.
pub(crate) const ROW: usize = 3 + MAX_RANK;
/// The host's number of the ring.
pub(crate) const RING: u64 = 1;
/// Where a piece may begin: fit for every vector instruction.
const ALIGN: usize = 64;

/// A file that this process and the host both map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ring {
    /// Counts up with each: the host must map it anew.
    pub number: u64,
    pub path: PathBuf,
    /// Its bytes in this process.
    pub addresses: Range<usize>,
}

impl Ring {
    /// Offset in the file of bytes that lie in it.
    fn place(&self, bytes: &[u8]) -> Option<usize> {
        let start = bytes.as_ptr() as usize;
        let end = start.checked_add(bytes.len())?;
        (start >= self.addresses.start && end <= self.addresses.end)
            .then(|| start - self.addresses.start)
    }
}

/// Pieces for the inbox, one behind the other.
#[derive(Debug, Default)]
pub(crate) struct Packed<'a> {
    pieces: Vec<(usize, Cow<'a, [u8]>)>,
    size: usize,
}

impl<'a> Packed<'a> {
    /// Adds a piece: its offset.
    pub(crate) fn put(&mut self, bytes: impl Into<Cow<'a, [u8]>>) -> usize {
        let (at, bytes) = (self.size, bytes.into());
        self.size = (at + bytes.len()).next_multiple_of(ALIGN);
        self.pieces.push((at, bytes));
        at
    }

    fn put_words(&mut self, words: &[u64]) -> usize {
        self.put(words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<u8>>())
    }

    /// How many pieces there are; for [`truncate`](Self::truncate).
    pub(crate) fn len(&self) -> usize {
        self.pieces.len()
    }

    /// Takes the newest pieces away.
    pub(crate) fn truncate(&mut self, pieces: usize) {
        if let Some((at, _)) = self.pieces.get(pieces) {
            self.size = *at;
            self.pieces.truncate(pieces);
        }
    }

    /// Copies all into an inbox, which grows if it must.
    pub(crate) fn write(&self, inbox: &mut Arena) -> Result<(), String> {
        if self.size > inbox.size() {
            let size = self.size.max(2 * inbox.size());
            inbox.grow(size).map_err(|e| format!("no {size} bytes of shared memory: {e}"))?;
        }
        for (at, bytes) in &self.pieces {
            inbox.write(*at, bytes).map_err(|e| e.to_string())?;
        }
        Ok(())
    }

    /// The same pieces without what they borrow from.
    pub(crate) fn into_owned(self) -> Packed<'static> {
        let own = |(at, bytes): (usize, Cow<'a, [u8]>)| (at, Cow::Owned(bytes.into_owned()));
        Packed { pieces: self.pieces.into_iter().map(own).collect(), size: self.size }
    }
}

/// Packs the columns of so many events: their description, a list in JSON.
pub(crate) fn columns<'a>(
    columns: &[&'a Column<'a>],
    events: usize,
    ring: Option<&Ring>,
    packed: &mut Packed<'a>,
) -> String {
    let mut text = String::from("[");
    for (i, column) in columns.iter().enumerate() {
        if i > 0 {
            text.push(',');
        }
        one_column(column, events, ring, packed, &mut text);
    }
    text.push(']');
    text
}

fn one_column<'a>(
    column: &'a Column<'a>,
    events: usize,
    ring: Option<&Ring>,
    packed: &mut Packed<'a>,
    text: &mut String,
) {
    // Writing to a String does not fail.
    let _ = match column {
        Column::Absent => write!(text, "null"),
        Column::Constant(_) => {
            constant(column, events, packed, text);
            Ok(())
        }
        Column::Scalars { dtype, data, present } => {
            let (map, at) = locate(data, ring, packed);
            let code = code(*dtype);
            let _ = write!(text, r#"{{"k":"s","t":"{code}","m":{map},"at":{at},"p":"#);
            match present {
                None => write!(text, "null}}"),
                Some(present) => write!(text, "{}}}", packed.put(*present)),
            }
        }
        Column::Strings(texts) => {
            let at = texts_table(texts, packed);
            write!(text, r#"{{"k":"t","at":{at}}}"#)
        }
        Column::Arrays { dtype, items } => match dense(*dtype, items, ring, packed) {
            Some(made) => write!(text, "{made}"),
            None => {
                let at = arrays_table(items, ring, packed);
                write!(text, r#"{{"k":"a","t":"{}","at":{at}}}"#, code(*dtype))
            }
        },
    };
}

/// A held value: one array serves all events, as one view whose events lie at no distance.
fn constant(column: &Column<'_>, events: usize, packed: &mut Packed<'_>, text: &mut String) {
    let mut memory = Expanded::default();
    let count = if column_is_text(column) { events } else { 1 };
    let Some(expanded) = expand(column, count, &mut memory) else { return };
    let _ = match &expanded {
        Column::Scalars { dtype, data, .. } => {
            let at = packed.put(data.repeat(events));
            write!(text, r#"{{"k":"s","t":"{}","m":0,"at":{at},"p":null}}"#, code(*dtype))
        }
        Column::Arrays { dtype, items } => match items.first() {
            Some(Some(item)) => {
                let at = packed.put(item.data.to_vec());
                let (code, axes) = (code(*dtype), axes(&item.dims));
                write!(
                    text,
                    r#"{{"k":"d","t":"{code}","m":0,"at":{at},"stride":0,"shape":{axes}}}"#
                )
            }
            _ => write!(text, "null"),
        },
        Column::Strings(texts) => {
            let at = texts_table(texts, packed);
            write!(text, r#"{{"k":"t","at":{at}}}"#)
        }
        Column::Absent | Column::Constant(_) => write!(text, "null"),
    };
}

fn column_is_text(column: &Column<'_>) -> bool {
    matches!(column, Column::Constant(ami_graph::data::value::Value::Str(_)))
}

/// Map and offset of bytes: where they lie, or where they will be copied to.
fn locate<'a>(bytes: &'a [u8], ring: Option<&Ring>, packed: &mut Packed<'a>) -> (u64, usize) {
    match ring.and_then(|ring| ring.place(bytes)) {
        Some(at) => (RING, at),
        None => (0, packed.put(bytes)),
    }
}

/// Arrays of one shape in every event, at equal distances in one file.
fn dense<'a>(
    dtype: DType,
    items: &[Option<ArrayRef<'a>>],
    ring: Option<&Ring>,
    packed: &mut Packed<'a>,
) -> Option<String> {
    let first = items.first()?.as_ref()?;
    let dims = first.dims;
    if !items.iter().all(|item| item.is_some_and(|item| item.dims == dims)) {
        return None;
    }
    let places = |ring: &Ring| -> Option<Vec<usize>> {
        items.iter().flatten().map(|item| ring.place(item.data)).collect()
    };
    let (map, at, stride) = match ring.and_then(places) {
        Some(places) => {
            let stride = places.get(1).map_or(0, |second| second.wrapping_sub(places[0]));
            let even = places.windows(2).all(|pair| pair[1].wrapping_sub(pair[0]) == stride);
            (even && stride <= isize::MAX as usize).then_some((RING, places[0], stride))?
        }
        None if ring
            .is_some_and(|ring| items.iter().flatten().any(|i| ring.place(i.data).is_some())) =>
        {
            return None;
        }
        None => {
            let at = packed.size;
            items.iter().flatten().for_each(|item| {
                packed.put(item.data);
            });
            (0, at, first.data.len().next_multiple_of(ALIGN))
        }
    };
    let (code, axes) = (code(dtype), axes(&dims));
    Some(format!(
        r#"{{"k":"d","t":"{code}","m":{map},"at":{at},"stride":{stride},"shape":{axes}}}"#
    ))
}

fn arrays_table<'a>(
    items: &[Option<ArrayRef<'a>>],
    ring: Option<&Ring>,
    packed: &mut Packed<'a>,
) -> usize {
    let mut table = vec![0; items.len() * ROW];
    for (row, item) in table.chunks_exact_mut(ROW).zip(items) {
        let Some(item) = item else {
            row[0] = ABSENT;
            continue;
        };
        let (map, at) = locate(item.data, ring, packed);
        let axes = item.dims.axes();
        (row[0], row[1], row[2]) = (map, at as u64, axes.len() as u64);
        row[3..].iter_mut().zip(axes).for_each(|(word, axis)| *word = u64::from(*axis));
    }
    packed.put_words(&table)
}

fn texts_table(texts: &[Option<&str>], packed: &mut Packed<'_>) -> usize {
    let mut all = Vec::new();
    let base = packed.size as u64;
    let mut table = Vec::with_capacity(2 * texts.len());
    for text in texts {
        match text {
            None => table.extend([0, ABSENT]),
            Some(text) => {
                table.extend([base + all.len() as u64, text.len() as u64]);
                all.extend_from_slice(text.as_bytes());
            }
        }
    }
    packed.put(all);
    packed.put_words(&table)
}

fn axes(dims: &Dims) -> String {
    let axes: Vec<String> = dims.axes().iter().map(ToString::to_string).collect();
    format!("[{}]", axes.join(","))
}

/// numpy's code without the byte order.
fn code(dtype: DType) -> &'static str {
    match dtype {
        DType::Bool => "?",
        other => other.numpy().trim_start_matches(['<', '|']),
    }
}
