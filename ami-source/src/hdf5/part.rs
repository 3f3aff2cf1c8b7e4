//! A part of what is read: rows that are events, each with a time, and the fields that they have. A file is
//! one part, or one for each of its detectors.

use crate::hdf5::column::Column;
use crate::hdf5::counts::{Count, Counts};
use crate::hdf5::format::{Problem, Result};
use crate::hdf5::stamps::Scale;
use ami_graph::data::schema::Field;
use ami_graph::data::value::{DType, MAX_RANK, Value};
use ami_proto::data_path::chunk::{ChunkWriter, Full};
use std::cell::RefCell;
use std::rc::Rc;

/// Bytes of one field in one event.
const MAX_VALUE: u64 = 1 << 30;

/// Which rows of a dataset are an event's.
#[derive(Debug, Clone)]
pub enum Rows {
    /// The row of its number.
    Each,
    /// Those that an index says; as one value, or (true) as many along a first axis.
    Spans(Rc<RefCell<Spans>>, bool),
}

/// An index: where an event's rows begin, and how many there are.
#[derive(Debug)]
pub struct Spans {
    /// First row.
    pub first: Column,
    /// Rows; None: up to where the next event's begin.
    pub count: Option<Column>,
}

impl Spans {
    /// First row and rows of an event in a dataset of `all` rows; None when they cannot be.
    fn of(&mut self, event: u64, all: u64) -> Result<Option<(u64, u64)>> {
        let first = self.first.count(event)?;
        let count = match &mut self.count {
            Some(count) => count.count(event)?,
            None if event + 1 < self.first.rows() => {
                self.first.count(event + 1)?.wrapping_sub(first)
            }
            None => all.saturating_sub(first),
        };
        let inside = first.checked_add(count).is_some_and(|end| end <= all);
        Ok(inside.then_some((first, count)))
    }
}

/// A field of a part.
#[derive(Debug)]
pub struct PartField {
    /// What it is on offer as.
    pub field: Field,
    /// Its dataset.
    pub column: Column,
    /// Which rows are an event's.
    pub rows: Rows,
    /// Its place in the schema.
    pub at: usize,
}

/// When the events of a part were.
#[derive(Debug)]
pub enum Stamps {
    /// A dataset says so.
    Column(Box<Column>, Scale),
    /// So many ns apart, by their ids, or by their numbers where there are none.
    Every(u64),
}

/// Rows that are events.
#[derive(Debug)]
pub struct Part {
    /// What tells it from others: a file's name, a detector's path.
    pub name: String,
    /// Fields with a value for each event.
    pub fields: Vec<PartField>,
    /// Values that hold for all of them.
    pub held: Vec<(Field, Value)>,
    /// Datasets that are none of these, and why.
    pub left_out: Vec<(String, String)>,
    /// When they were.
    pub stamps: Stamps,
    /// What joins them with others' events: pulse or train ids.
    pub ids: Option<Column>,
    /// Events there are.
    pub len: u64,
    /// The next one.
    pub at: u64,
    /// Its file is still being written: what is damaged may be whole in a moment.
    pub live: bool,
    /// Fields whose value of the next event is damaged.
    pub damaged: Vec<usize>,
}

/// Memory for lists, kept from one event to the next.
#[derive(Debug, Default)]
pub struct Scratch(Vec<u8>);

impl Part {
    /// Id and timestamp of the next event; None when there is none (now). Without ids its time joins it.
    ///
    /// # Errors
    /// When the file is damaged there.
    pub fn head(&mut self) -> Result<Option<(u64, u64)>> {
        if self.at >= self.len {
            return Ok(None);
        }
        let id = match &mut self.ids {
            Some(ids) => Some(ids.count(self.at)?),
            None => None,
        };
        let stamp = match &mut self.stamps {
            Stamps::Column(column, scale) if column.dtype.is_float() => {
                scale.float(column.number(self.at)?)
            }
            Stamps::Column(column, scale) => scale.whole(column.count(self.at)?),
            Stamps::Every(ns) => id.unwrap_or(self.at).saturating_mul(*ns),
        };
        Ok(Some((id.unwrap_or(stamp), stamp)))
    }

    /// Goes behind the next event.
    pub fn advance(&mut self) {
        self.at += 1;
        self.damaged.clear();
    }

    /// Asks the file how many events there are now. True when there are more.
    ///
    /// # Errors
    /// When the file is damaged, as it may be for moments while it is written.
    pub fn refresh(&mut self) -> Result<bool> {
        let before = self.len;
        let mut len = u64::MAX;
        for field in &mut self.fields {
            field.column.refresh()?;
            if let Rows::Spans(spans, _) = &field.rows {
                let mut spans = spans.borrow_mut();
                spans.first.refresh()?;
                if let Some(count) = &mut spans.count {
                    count.refresh()?;
                }
                len = len.min(spans.first.rows());
            } else if field.column.dataset.grows() {
                len = len.min(field.column.rows());
            }
        }
        if let Stamps::Column(column, _) = &mut self.stamps {
            column.refresh()?;
            len = len.min(column.rows());
        }
        if let Some(ids) = &mut self.ids {
            ids.refresh()?;
            len = len.min(ids.rows());
        }
        if len != u64::MAX {
            self.len = len.max(before);
        }
        Ok(self.len > before)
    }

    /// Writes the fields of the next event that are not there yet (`seen`, by place in the schema).
    ///
    /// # Errors
    /// The ring has no room, the file is gone, or a value is damaged: then the event is to be taken back
    /// and written again, without that value.
    pub fn write(
        &mut self,
        seen: &mut [bool],
        out: &mut ChunkWriter<'_>,
        scratch: &mut Scratch,
        counts: &Counts,
    ) -> std::result::Result<(), Stop> {
        for (number, field) in self.fields.iter_mut().enumerate() {
            match seen.get_mut(field.at) {
                Some(seen) if !*seen => *seen = true,
                _ => {
                    counts.add(Count::DuplicateFields);
                    continue;
                }
            }
            if self.damaged.contains(&number) {
                counts.add(Count::DamagedValues);
                continue;
            }
            match field.write(self.at, out, scratch, counts) {
                Err(Stop::Damaged(what)) if !self.live => {
                    tracing::debug!(field = field.field.name, event = self.at, what, "damaged");
                    // An array may be half written: the event begins anew without it.
                    self.damaged.push(number);
                    return Err(Stop::Again);
                }
                done => done?,
            }
        }
        Ok(())
    }
}

/// Why an event is not written.
#[derive(Debug)]
pub enum Stop {
    /// The ring has no room now.
    Full,
    /// Once more, without what was damaged.
    Again,
    /// A value is damaged, or not wholly written yet.
    Damaged(&'static str),
    /// The file cannot be read any more.
    Broken(anyhow::Error),
}

impl From<Full> for Stop {
    fn from(_: Full) -> Stop {
        Stop::Full
    }
}

impl From<Problem> for Stop {
    fn from(problem: Problem) -> Stop {
        match problem {
            Problem::Damaged(what) => Stop::Damaged(what),
            Problem::Limit(_) | Problem::Unsupported(_) => Stop::Damaged("more than is read"),
            io @ Problem::Io(_) => Stop::Broken(io.into()),
        }
    }
}

impl PartField {
    fn write(
        &mut self,
        event: u64,
        out: &mut ChunkWriter<'_>,
        scratch: &mut Scratch,
        counts: &Counts,
    ) -> std::result::Result<(), Stop> {
        let all = self.column.rows();
        let (first, count, many) = match &self.rows {
            Rows::Each if event >= all => {
                counts.add(Count::ShorterFields);
                return Ok(());
            }
            Rows::Each => (event, 1, false),
            Rows::Spans(spans, many) => match spans.borrow_mut().of(event, all)? {
                Some((first, count)) => (first, count, *many),
                None => {
                    counts.add(Count::BadSpans);
                    return Ok(());
                }
            },
        };
        // Nothing came from that source with this event.
        if count == 0 && !many {
            return Ok(());
        }
        self.value(first, if many { Some(count) } else { None }, out, scratch, counts)
    }

    /// One row, or so many along a first axis.
    fn value(
        &mut self,
        first: u64,
        many: Option<u64>,
        out: &mut ChunkWriter<'_>,
        Scratch(list): &mut Scratch,
        counts: &Counts,
    ) -> std::result::Result<(), Stop> {
        let column = &mut self.column;
        if column.dtype == DType::Str {
            out.text(self.at, &column.text(first)?);
            return Ok(());
        }
        if column.is_list() {
            column.list(first, list)?;
            let len = list.len() / column.dtype.size();
            out.array(self.at, &[len])?.copy_from_slice(list);
            return Ok(());
        }
        let rows = many.unwrap_or(1);
        if rows.checked_mul(column.row_bytes() as u64).is_none_or(|n| n > MAX_VALUE) {
            counts.add(Count::BadSpans);
            return Ok(());
        }
        if many.is_none() && column.shape.is_empty() {
            let mut word = [0; 8];
            let word = &mut word[..column.dtype.size()];
            column.numbers(first, 1, word)?;
            out.scalar_bytes(self.at, column.dtype, word);
            return Ok(());
        }
        let mut axes = [0; MAX_RANK + 1];
        let lead = usize::from(many.is_some());
        axes[0] = rows as usize;
        axes[lead..lead + column.shape.len()].copy_from_slice(&column.shape);
        let to = out.array(self.at, &axes[..lead + column.shape.len()])?;
        column.numbers(first, rows, to)?;
        Ok(())
    }
}
