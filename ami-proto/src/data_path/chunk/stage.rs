//! The values of one field while a chunk is open, and how they become its column.

use crate::data_path::chunk::{
    ABSENT, ABSENT_TEXT, ARRAY_ENTRY, ARRAYS, SCALARS, STRINGS, TEXT_ENTRY, align,
};
use ami_graph::data::value::DType;

/// Staged values of one field. Rows are added lazily: a row that an event does not set stays behind
/// and is filled with "absent" when the next one is set or the chunk is sealed.
#[derive(Debug)]
pub(super) struct Stage {
    pub(super) dtype: DType,
    pub(super) kind: u8,
    pub(super) rows: usize,
    pub(super) present: usize,
    pub(super) data: Vec<u8>,
    pub(super) mask: Vec<u8>,
    pub(super) text: Vec<u8>,
}

impl Stage {
    pub(super) fn new(dtype: DType, rank: usize) -> Stage {
        let kind = match (dtype, rank) {
            (DType::Str, _) => STRINGS,
            (_, 0) => SCALARS,
            _ => ARRAYS,
        };
        Stage { dtype, kind, rows: 0, present: 0, data: vec![], mask: vec![], text: vec![] }
    }

    const fn width(&self) -> usize {
        match self.kind {
            STRINGS => TEXT_ENTRY,
            ARRAYS => ARRAY_ENTRY,
            _ => self.dtype.size(),
        }
    }

    /// Fills with absent rows up to `rows`.
    pub(super) fn pad(&mut self, rows: usize) {
        if self.rows >= rows {
            return;
        }
        match self.kind {
            ARRAYS => {
                for _ in self.rows..rows {
                    self.data.extend_from_slice(&ABSENT.to_le_bytes());
                    self.data.extend_from_slice(&[0; ARRAY_ENTRY - 8]);
                }
            }
            STRINGS => {
                for _ in self.rows..rows {
                    self.data.extend_from_slice(&ABSENT_TEXT.to_le_bytes());
                    self.data.extend_from_slice(&[0; 4]);
                }
            }
            _ => {
                self.data.resize(rows * self.dtype.size(), 0);
                self.mask.resize(rows, 0);
            }
        }
        self.rows = rows;
    }

    /// Takes back rows from `rows` on.
    pub(super) fn truncate(&mut self, rows: usize) {
        if self.rows <= rows {
            return;
        }
        // Only the newest row is ever taken back, so at most one present value goes.
        self.present -= 1;
        self.data.truncate(rows * self.width());
        if self.kind == SCALARS {
            self.mask.truncate(rows);
        }
        self.rows = rows;
    }

    pub(super) fn clear(&mut self) {
        self.rows = 0;
        self.present = 0;
        self.data.clear();
        self.mask.clear();
        self.text.clear();
    }

    /// Bytes of the column in the index.
    pub(super) fn encoded(&self, events: usize) -> usize {
        match self.kind {
            STRINGS => events * TEXT_ENTRY + self.text.len(),
            ARRAYS => events * ARRAY_ENTRY,
            _ if self.present == events => events * self.dtype.size(),
            _ => align(events) + events * self.dtype.size(),
        }
    }

    pub(super) fn encode(&self, events: usize, out: &mut [u8]) {
        match self.kind {
            SCALARS if self.present < events => {
                let start = align(events);
                out[..events].copy_from_slice(&self.mask);
                out[start..].copy_from_slice(&self.data);
            }
            STRINGS => {
                let start = events * TEXT_ENTRY;
                out[..start].copy_from_slice(&self.data);
                out[start..].copy_from_slice(&self.text);
            }
            _ => out.copy_from_slice(&self.data),
        }
    }
}
