//! What the states of reductions take in: some events' values, and which of the events take part.

use crate::data::batch::Column;
use crate::data::column_views::Mask;
use crate::data::owned_column::EventErrors;

/// When and in which order the events of a batch happened.
#[derive(Debug, Clone, Copy)]
pub struct Events<'a> {
    /// Number that orders hosts where timestamps are equal.
    pub host: u32,
    /// Number of the first event; the others follow without gaps.
    pub first_sequence: u64,
    /// One per event, ns since the Unix epoch.
    pub timestamps: &'a [u64],
}

/// What a state absorbs: columns without constants, and which events take part.
#[derive(Debug)]
pub struct Feed<'a> {
    /// Order of the events.
    pub events: Events<'a>,
    /// One per input.
    pub columns: &'a [&'a Column<'a>],
    /// Events in which every input is present.
    pub mask: Mask<'a>,
    /// How many these are.
    pub present: usize,
    /// Memory for conversions.
    pub scratch: &'a mut Vec<f64>,
    /// Memory for the numbers of several inputs side by side.
    pub numbers: &'a mut Vec<f64>,
    /// Where failures of single events go.
    pub errors: &'a mut EventErrors,
}
