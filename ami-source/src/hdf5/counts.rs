//! What was left out or went wrong in files, counted by name.

use std::cell::Cell;

/// A thing that is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // `NAMES` says each in words
pub enum Count {
    DamagedValues,
    FieldsLeftOut,
    LinksBroken,
    ShorterFields,
    DuplicateFields,
    BadSpans,
    NotYetWritten,
    Grown,
}

const NAMES: [&str; 8] = [
    "damaged_values",
    "fields_left_out",
    "broken_links",
    "rows_beyond_a_field",
    "duplicate_fields",
    "bad_spans",
    "not_yet_written",
    "grown",
];

/// The numbers.
#[derive(Debug, Default)]
pub struct Counts([Cell<u64>; NAMES.len()]);

impl Counts {
    /// One more of it.
    pub fn add(&self, what: Count) {
        self.more(what, 1);
    }

    /// So many more of it.
    pub fn more(&self, what: Count, n: u64) {
        let cell = &self.0[what as usize];
        cell.set(cell.get().saturating_add(n));
    }

    /// So many.
    pub fn get(&self, what: Count) -> u64 {
        self.0[what as usize].get()
    }

    /// Adds all of another.
    pub fn take(&self, other: &Counts) {
        for (to, from) in self.0.iter().zip(&other.0) {
            to.set(to.get().saturating_add(from.take()));
        }
    }

    /// Sets all to 0.
    pub fn clear(&self) {
        self.0.iter().for_each(|cell| cell.set(0));
    }

    /// Every name with its number.
    pub fn list(&self) -> Vec<(&'static str, u64)> {
        NAMES.into_iter().zip(self.0.iter().map(Cell::get)).collect()
    }
}
