//! A dataset row by row, as ami has its values: small rows through a window that is read at once, large
//! ones from the file to where they are to lie.

use crate::hdf5::dataset::Dataset;
use crate::hdf5::format::attribute::{long, text};
use crate::hdf5::format::element::{Change, Class, change_in_place, widen};
use crate::hdf5::format::{Problem, Result, damaged, unsupported};
use ami_graph::data::value::{DType, MAX_RANK};

/// Rows of at least so many bytes go past the window.
const LARGE: usize = 16 << 10;
/// Bytes of a row.
const MAX_ROW: usize = 1 << 30;

/// A dataset, row by row.
#[derive(Debug)]
pub struct Column {
    /// The dataset.
    pub dataset: Dataset,
    /// Its elements here.
    pub dtype: DType,
    /// Axes of a row; empty for a scalar.
    pub shape: Vec<usize>,
    change: Change,
    /// Bytes of a row in the file and here; of one element's number here.
    stored: usize,
    bytes: usize,
    size: usize,
    window: Vec<u8>,
    /// First row in the window, and rows.
    first: u64,
    rows: u64,
    /// Bytes of the window at most.
    room: usize,
    wide: Vec<u8>,
}

impl Column {
    /// For a dataset whose rows can be values of a field.
    ///
    /// # Errors
    /// Why they cannot.
    pub fn new(dataset: Dataset) -> std::result::Result<Column, String> {
        match Column::plan(&dataset) {
            Ok((dtype, change, size, shape, stored, bytes)) => Ok(Column {
                dataset,
                dtype,
                shape,
                change,
                stored,
                bytes,
                size,
                window: Vec::new(),
                first: 0,
                rows: 0,
                room: 64 << 10,
                wide: Vec::new(),
            }),
            Err(problem) => Err(problem.to_string()),
        }
    }

    #[allow(clippy::type_complexity)]
    fn plan(dataset: &Dataset) -> Result<(DType, Change, usize, Vec<usize>, usize, usize)> {
        let element = &dataset.element;
        if let Some(filter) = crate::hdf5::decode::refused(&dataset.filters) {
            return unsupported(format!("compressed by {filter}, which"));
        }
        let (dtype, change) = match &element.class {
            Class::Number(dtype, change) => (*dtype, *change),
            Class::Text(_) | Class::LongText => (DType::Str, Change::None),
            Class::List(dtype, change, _) => (*dtype, *change),
            Class::Refused(what) => return unsupported(format!("a type ({what}) that")),
        };
        let axes = dataset.shape().iter().skip(1).chain(&element.axes);
        let shape: Option<Vec<usize>> =
            axes.map(|n| u32::try_from(*n).ok().map(|n| n as usize)).collect();
        let shape = shape.ok_or_else(|| Problem::Limit("an axis of more than 2^32".into()))?;
        if shape.len() > MAX_RANK {
            return Err(Problem::Limit(format!("rows of more than {MAX_RANK} axes")));
        }
        let single = matches!(element.class, Class::Text(_) | Class::LongText | Class::List(..));
        if single && !shape.is_empty() {
            return unsupported("more than one text or list in a row");
        }
        let count = dataset.space.per_row().and_then(|n| usize::try_from(n).ok());
        let stored = count.and_then(|n| n.checked_mul(element.size));
        let numbers = element.axes.iter().product::<u64>() as usize;
        let bytes =
            count.and_then(|n| n.checked_mul(numbers)).and_then(|n| n.checked_mul(dtype.size()));
        match (stored, bytes) {
            (Some(stored), Some(bytes)) if bytes.max(stored) <= MAX_ROW => {
                let bytes = if single { stored } else { bytes };
                Ok((dtype, change, dtype.size(), shape, stored, bytes))
            }
            _ => Err(Problem::Limit("rows of more than 1 GiB".into())),
        }
    }

    /// Bytes that it may keep of rows that are small.
    pub fn keep_at_most(&mut self, bytes: usize) {
        self.room = bytes.max(self.stored).max(64);
    }

    /// Rows there are.
    pub fn rows(&self) -> u64 {
        self.dataset.rows()
    }

    /// Bytes of a row here.
    pub fn row_bytes(&self) -> usize {
        self.bytes
    }

    /// True for lists: each row has a length of its own.
    pub fn is_list(&self) -> bool {
        matches!(self.dataset.element.class, Class::List(..))
    }

    /// Asks the file again how many rows there are.
    ///
    /// # Errors
    /// As [`Dataset::refresh`].
    pub fn refresh(&mut self) -> Result<()> {
        self.rows = 0;
        self.dataset.refresh()
    }

    /// Writes `n` rows of numbers from `row` on to `out`.
    ///
    /// # Errors
    /// When the file has no such rows or is damaged there.
    pub fn numbers(&mut self, row: u64, n: u64, out: &mut [u8]) -> Result<()> {
        let whole = usize::try_from(n).ok().and_then(|n| n.checked_mul(self.bytes));
        if whole != Some(out.len()) {
            return damaged("rows of another size than their dataset's");
        }
        if self.bytes >= LARGE || out.len() > self.room {
            return self.read(row, n, out);
        }
        let mut row = row;
        let mut out = out;
        while !out.is_empty() {
            let have = self.look(row)?;
            let at = (row - self.first) as usize * self.bytes;
            let take = (have as usize).saturating_mul(self.bytes).min(out.len());
            let (now, later) = out.split_at_mut(take);
            now.copy_from_slice(&self.window[at..at + take]);
            row += (take / self.bytes.max(1)) as u64;
            out = later;
        }
        Ok(())
    }

    /// The number of a row, as float64.
    ///
    /// # Errors
    /// As [`numbers`](Self::numbers).
    pub fn number(&mut self, row: u64) -> Result<f64> {
        let mut word = [0; 8];
        let bytes = word.get_mut(..self.bytes).filter(|_| self.shape.is_empty());
        let bytes = bytes.ok_or(Problem::Damaged("no single number"))?;
        let len = bytes.len();
        self.numbers(row, 1, bytes)?;
        let number = crate::hdf5::format::attribute::number(self.dtype, Change::None, &word[..len]);
        number.ok_or(Problem::Damaged("no number"))
    }

    /// The whole number of a row; floats are rounded down, what is negative is 0.
    ///
    /// # Errors
    /// As [`numbers`](Self::numbers).
    pub fn count(&mut self, row: u64) -> Result<u64> {
        if !self.dtype.is_integer() || !self.shape.is_empty() {
            return self.number(row).map(|x| x as u64);
        }
        let (mut word, size) = ([0; 8], self.bytes.min(8));
        self.numbers(row, 1, &mut word[..size])?;
        let signed = matches!(self.dtype, DType::I8 | DType::I16 | DType::I32 | DType::I64);
        let negative = signed && word[size.saturating_sub(1)] & 0x80 != 0;
        Ok(if negative { 0 } else { u64::from_le_bytes(word) })
    }

    /// The text of a row.
    ///
    /// # Errors
    /// As [`numbers`](Self::numbers).
    pub fn text(&mut self, row: u64) -> Result<String> {
        self.look(row)?;
        let at = (row - self.first) as usize * self.stored;
        let bytes = &self.window[at..at + self.stored];
        match self.dataset.element.class {
            Class::LongText => {
                let object = long(self.dataset.store(), bytes)?;
                Ok(object.map_or(String::new(), |o| text(o.bytes()).to_owned()))
            }
            _ => Ok(text(bytes).to_owned()),
        }
    }

    /// The numbers of a row of a list; their bytes go to `out`.
    ///
    /// # Errors
    /// As [`numbers`](Self::numbers).
    pub fn list(&mut self, row: u64, out: &mut Vec<u8>) -> Result<()> {
        let Class::List(_, change, width) = self.dataset.element.class else {
            return damaged("no list");
        };
        self.look(row)?;
        let at = (row - self.first) as usize * self.stored;
        let object = long(self.dataset.store(), &self.window[at..at + self.stored])?;
        let bytes = object.as_ref().map_or(&[][..], |o| o.bytes());
        let bytes = &bytes[..bytes.len() / width.max(1) * width];
        out.clear();
        if let Change::Half(big) = change {
            out.resize(bytes.len() * 2, 0);
            widen(big, bytes, out);
        } else {
            out.extend_from_slice(bytes);
            change_in_place(change, width, out);
        }
        Ok(())
    }

    /// Has a row in the window; rows there from it on.
    fn look(&mut self, row: u64) -> Result<u64> {
        if row >= self.first && row - self.first < self.rows {
            return Ok(self.rows - (row - self.first));
        }
        let all = self.rows();
        if row >= all {
            return damaged("a row that its dataset does not have");
        }
        let most = (self.room / self.bytes.max(self.stored).max(1)).max(1) as u64;
        let rows = most.min(all - row);
        let mut window = std::mem::take(&mut self.window);
        self.rows = 0;
        window.resize(rows as usize * self.bytes, 0);
        let done = self.read(row, rows, &mut window);
        self.window = window;
        done?;
        (self.first, self.rows) = (row, rows);
        Ok(rows)
    }

    /// Reads rows and makes them what they are here.
    fn read(&mut self, row: u64, n: u64, out: &mut [u8]) -> Result<()> {
        let shape = self.dataset.shape();
        let mut start = vec![0; shape.len()];
        let mut count = shape.to_vec();
        match (start.first_mut(), count.first_mut()) {
            (Some(start), Some(count)) => (*start, *count) = (row, n),
            _ if row == 0 && n == 1 => {}
            _ => return damaged("a row of a scalar"),
        }
        if let Change::Half(big) = self.change {
            let mut stored = std::mem::take(&mut self.wide);
            stored.resize(out.len() / 2, 0);
            let done = self.dataset.read(&start, &count, &mut stored);
            widen(big, &stored, out);
            self.wide = stored;
            return done;
        }
        self.dataset.read(&start, &count, out)?;
        change_in_place(self.change, self.size, out);
        Ok(())
    }
}
