//! The newest rows: values of some events, tuples kept together, in event order.
//!
//! Event order is the key (timestamp, host, sequence number), so which rows are the newest does
//! not depend on the split. A sample keeps the rows with the greatest hashes of their keys instead
//! of the newest, which no split changes either. With `unique`, of rows that are equal only the newest counts; that,
//! too, survives any split: a row among the newest n overall is among the newest n of its lane.

use crate::data::bytes::{Reader, Writer};
use crate::data::column_views::selected;
use crate::data::feed::Feed;
use crate::data::reused_lists::Few;
use crate::data::value::{Array, DType, Value};
use crate::error::DecodeError;
use crate::merge::row_values::Cells;
use std::collections::HashSet;

/// Rows together may take this many bytes; arrays of varying shape are not costed beforehand.
const MAX_BYTES: usize = 256 << 20;

/// Event order: timestamp, host, sequence number.
pub type Key = (u64, u32, u64);

/// Which rows stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// The newest.
    Newest,
    /// The newest, of equal ones only the newest.
    Unique,
    /// A uniform sample, chosen by the hash of the key.
    Sample,
}

/// The rows that stay.
#[derive(Debug, Clone)]
pub struct Rows {
    limit: usize,
    choice: Choice,
    /// In the order of [`Rows::rank`], as the columns.
    keys: Vec<Key>,
    columns: Vec<Cells>,
    /// Set when the rows became too large; they are gone then.
    too_large: bool,
}

impl Rows {
    /// No rows yet, of inputs of these element types.
    pub fn new(limit: usize, choice: Choice, dtypes: impl Iterator<Item = DType>) -> Rows {
        let cells = |dtype| match dtype {
            DType::Str => Cells::Values(Vec::new()),
            dtype => Cells::Scalars(dtype, Vec::new()),
        };
        let columns = dtypes.map(cells).collect();
        Rows { limit, choice, keys: Vec::new(), columns, too_large: false }
    }

    /// No rows yet, of one input whose type the first row tells.
    pub fn of_any_type(limit: usize) -> Rows {
        Rows::new(limit, Choice::Newest, [DType::Str].into_iter())
    }

    /// Most bytes that rows of these inputs take: twice the limit before it is enforced. A text is
    /// taken to be at most 4 KiB.
    pub fn size(limit: usize, inputs: &[(DType, Vec<u32>)]) -> u64 {
        let row: u64 = inputs.iter().fold(24, |sum: u64, (dtype, axes)| {
            let each = if *dtype == DType::Str { 4096 } else { dtype.size() as u64 };
            let bytes = axes.iter().fold(each, |n, &a| n.saturating_mul(u64::from(a)));
            sum.saturating_add(bytes.saturating_add(if axes.is_empty() { 0 } else { 64 }))
        });
        row.saturating_mul(if limit == 1 { 1 } else { 2 * limit as u64 }).saturating_add(64)
    }

    /// Number of inputs.
    pub fn width(&self) -> usize {
        self.columns.len()
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        24 * self.keys.len() + self.columns.iter().map(Cells::bytes).sum::<usize>()
    }

    /// What decides whether a row stays: the greatest do.
    fn rank(&self, key: &Key) -> (u64, Key) {
        (if self.choice == Choice::Sample { hash(key) } else { 0 }, *key)
    }

    /// Adds the events that take part.
    pub fn absorb(&mut self, feed: &Feed<'_>) {
        let times = feed.events.timestamps;
        let key = |i: usize| (times[i], feed.events.host, feed.events.first_sequence + i as u64);
        let mut events = match self.choice {
            Choice::Sample => self.sampled(feed, key),
            Choice::Newest | Choice::Unique => self.recent(feed, key),
        };
        if self.limit == 1
            && let (Some(held), Some(&new)) = (self.keys.last(), events.first())
            && self.rank(held) > self.rank(&key(new))
        {
            events.clear();
        }
        self.keys.extend(events.iter().map(|&i| key(i)));
        for (cells, column) in self.columns.iter_mut().zip(feed.columns) {
            cells.extend(column, &events);
        }
        self.order();
        self.bound();
    }

    /// The newest events of a batch, in order.
    fn recent(&self, feed: &Feed<'_>, key: impl Fn(usize) -> Key) -> Few<usize> {
        let unique = self.choice == Choice::Unique;
        let times = feed.events.timestamps;
        let sorted = times.is_sorted();
        let enough = if sorted && !unique { self.limit } else { usize::MAX };
        let mut events: Few<usize> = selected(feed.mask, times.len()).rev().take(enough).collect();
        events.reverse();
        if !sorted {
            events.sort_by_key(|&i| key(i));
        }
        if !unique {
            events.drain(..events.len().saturating_sub(self.limit));
        }
        events
    }

    /// The events of a batch that would stay beside the rows that are there, in the order of rank.
    fn sampled(&self, feed: &Feed<'_>, key: impl Fn(usize) -> Key) -> Few<usize> {
        let least =
            self.keys.len().checked_sub(self.limit).map(|place| self.rank(&self.keys[place]));
        let events = selected(feed.mask, feed.events.timestamps.len());
        let ranked = events.map(|i| (self.rank(&key(i)), i));
        let mut stay: Vec<_> = ranked.filter(|(rank, _)| Some(*rank) > least).collect();
        stay.sort_unstable();
        stay.drain(..stay.len().saturating_sub(self.limit));
        stay.into_iter().map(|(_, i)| i).collect()
    }

    /// Adds the rows of another store. False when it was made otherwise.
    pub fn merge(&mut self, other: Rows) -> bool {
        if (self.limit, self.choice, self.columns.len())
            != (other.limit, other.choice, other.columns.len())
        {
            return false;
        }
        self.too_large |= other.too_large;
        self.keys.extend(other.keys);
        for (mine, theirs) in self.columns.iter_mut().zip(other.columns) {
            mine.append(theirs);
        }
        self.order();
        self.trim();
        self.bound();
        true
    }

    fn order(&mut self) {
        if !self.keys.is_sorted_by_key(|key| self.rank(key)) {
            let mut rows: Vec<usize> = (0..self.keys.len()).collect();
            rows.sort_by_key(|&r| self.rank(&self.keys[r]));
            self.pick(&rows);
        }
        // Trimming moves what stays, so it waits until that is less than what goes.
        if self.keys.len() >= 2 * self.limit {
            self.trim();
        }
    }

    fn pick(&mut self, rows: &[usize]) {
        self.keys = rows.iter().map(|&r| self.keys[r]).collect();
        self.columns.iter_mut().for_each(|cells| cells.pick(rows));
    }

    /// The rows that stay, in the order of rank.
    fn staying(&self) -> Vec<usize> {
        let count = self.keys.len();
        if self.choice != Choice::Unique {
            return (count.saturating_sub(self.limit)..count).collect();
        }
        let mut seen: HashSet<Mark> = HashSet::new();
        let mut rows: Vec<usize> = (0..count)
            .rev()
            .filter(|&row| {
                let mut writer = Writer::default();
                self.columns.iter().for_each(|cells| cells.mark(row, &mut writer));
                seen.insert((writer.header, writer.frames))
            })
            .take(self.limit)
            .collect();
        rows.reverse();
        rows
    }

    /// The rows that stay, oldest first.
    pub fn in_order(&self) -> Vec<usize> {
        let mut rows = self.staying();
        if self.choice == Choice::Sample {
            rows.sort_by_key(|&row| self.keys[row]);
        }
        rows
    }

    /// The key of a row.
    pub fn key(&self, row: usize) -> Key {
        self.keys[row]
    }

    /// The value of the only input in a row.
    pub fn at(&self, row: usize) -> Value {
        self.columns[0].at(row)
    }

    /// The values of the only input in these rows, on a new first axis.
    ///
    /// # Errors
    /// When arrays differ in shape.
    pub fn stack(&self, rows: &[usize]) -> Result<Value, String> {
        self.columns[0].stack(rows)
    }

    /// Forgets, of rows in event order, those that are not later than a timestamp.
    pub fn forget_until(&mut self, timestamp: u64) {
        let gone = self.keys.partition_point(|key| key.0 <= timestamp);
        self.keys.drain(..gone);
        self.columns.iter_mut().for_each(|cells| cells.drop_first(gone));
    }

    fn trim(&mut self) {
        if self.choice != Choice::Unique {
            let gone = self.keys.len().saturating_sub(self.limit);
            self.keys.drain(..gone);
            return self.columns.iter_mut().for_each(|cells| cells.drop_first(gone));
        }
        let rows = self.staying();
        if rows.len() < self.keys.len() {
            self.pick(&rows);
        }
    }

    fn bound(&mut self) {
        if self.bytes() > MAX_BYTES {
            self.trim();
        }
        if self.too_large || self.bytes() > MAX_BYTES {
            self.too_large = true;
            self.keys.clear();
            self.columns.iter_mut().for_each(|cells| cells.pick(&[]));
        }
    }

    /// The values of the newest row.
    pub fn single(&self) -> Result<Vec<Option<Value>>, String> {
        self.fits()?;
        let last = self.keys.len().checked_sub(1);
        Ok(self.columns.iter().map(|cells| last.map(|row| cells.at(row))).collect())
    }

    /// All rows, one array per input, rows on a new first axis.
    ///
    /// # Errors
    /// When arrays differ in shape, or texts would have to be stacked.
    pub fn stacked(&self) -> Result<Vec<Option<Value>>, String> {
        self.fits()?;
        let rows = self.in_order();
        self.columns.iter().map(|cells| cells.stack(&rows).map(Some)).collect()
    }

    /// Times of the rows, float64 seconds since the Unix epoch.
    pub fn times(&self) -> Value {
        let times: Vec<f64> =
            self.in_order().iter().map(|&row| self.keys[row].0 as f64 / 1e9).collect();
        Value::Array(Array::from_elements(&[times.len()], &times))
    }

    /// # Errors
    /// When the rows have become too large, and are gone.
    pub fn fits(&self) -> Result<(), String> {
        if self.too_large {
            let mib = MAX_BYTES >> 20;
            return Err(format!(
                "the kept arrays take more than {mib} MiB; ask for fewer, or for a smaller region"
            ));
        }
        Ok(())
    }

    /// Gives the rows away as bytes.
    pub fn encode(mut self, writer: &mut Writer) {
        self.trim();
        writer.u64(self.limit as u64);
        writer.u8(self.choice as u8);
        writer.bool(self.too_large);
        writer.u32(self.keys.len() as u32);
        for (timestamp, host, sequence) in &self.keys {
            writer.u64(*timestamp);
            writer.u32(*host);
            writer.u64(*sequence);
        }
        writer.u32(self.columns.len() as u32);
        self.columns.into_iter().for_each(|cells| cells.encode(writer));
    }

    /// Reads what [`Rows::encode`] wrote.
    ///
    /// # Errors
    /// When the bytes are not rows.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Rows, DecodeError> {
        let limit = reader.u64("limit of rows")?;
        if limit == 0 || limit > MAX_ROWS {
            return Err(DecodeError::invalid("limit of rows", limit));
        }
        let choice = match reader.u8("choice of rows")? {
            0 => Choice::Newest,
            1 => Choice::Unique,
            2 => Choice::Sample,
            other => return Err(DecodeError::invalid("choice of rows", other)),
        };
        let too_large = reader.bool("rows")?;
        let count = reader.count(20, "rows")?;
        let mut keys = Vec::with_capacity(count);
        for _ in 0..count {
            keys.push((reader.u64("key")?, reader.u32("key")?, reader.u64("key")?));
        }
        let columns = (0..reader.count(1, "columns of rows")?)
            .map(|_| Cells::decode(reader, count))
            .collect::<Result<_, _>>()?;
        let rows = Rows { limit: limit as usize, choice, keys, columns, too_large };
        if !rows.keys.is_sorted_by_key(|key| rows.rank(key)) {
            return Err(DecodeError::invalid("keys of rows", "not in order"));
        }
        Ok(rows)
    }
}

/// Bits as good as random that depend on the event only (the finalizer of splitmix64).
fn hash(&(timestamp, host, sequence): &Key) -> u64 {
    let mix = |mut x: u64| {
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    };
    let step = |x: u64| mix(x.wrapping_add(0x9e37_79b9_7f4a_7c15));
    step(step(step(timestamp) ^ u64::from(host)) ^ sequence)
}

/// Most rows that may be asked for.
pub const MAX_ROWS: u64 = 1_000_000;

/// A row's bits.
type Mark = (Vec<u8>, Vec<Vec<u8>>);
