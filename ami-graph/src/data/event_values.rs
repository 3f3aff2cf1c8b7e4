//! What per-event ops share: one event's value as an array of any rank, and an output that
//! becomes scalars or arrays as the first value has it.

use crate::data::batch::{ArrayRef, Column, Dims};
use crate::data::column_views::{Expanded, expand};
use crate::data::owned_column::{EventErrors, OwnedColumn};
use crate::data::value::DType;

/// A column whose entries are read as arrays; a scalar is an array without axes.
#[derive(Debug)]
pub struct Items<'a> {
    /// Element type.
    pub dtype: DType,
    column: &'a Column<'a>,
    scalar: Option<Dims>,
}

/// Runs `f` on a column of numbers, constants spread out. A column that is absent, or holds text,
/// gives None.
pub fn with_items<R>(
    column: &Column<'_>,
    events: usize,
    f: impl FnOnce(&Items<'_>) -> R,
) -> Option<R> {
    let mut memory = Expanded::default();
    let expanded = expand(column, events, &mut memory);
    let column = expanded.as_ref().unwrap_or(column);
    match column {
        Column::Scalars { dtype, .. } | Column::Arrays { dtype, .. } => {
            Some(f(&Items { dtype: *dtype, column, scalar: Dims::new(&[]) }))
        }
        Column::Absent | Column::Constant(_) | Column::Strings(_) => None,
    }
}

impl<'a> Items<'a> {
    /// One event's value, if it is there.
    pub fn get(&self, event: usize) -> Option<ArrayRef<'a>> {
        match self.column {
            Column::Scalars { dtype, data, present } => {
                let size = dtype.size();
                let here = present.is_none_or(|p| p[event] != 0);
                let item = |dims| ArrayRef { dims, data: &data[event * size..(event + 1) * size] };
                self.scalar.filter(|_| here).map(item)
            }
            Column::Arrays { items, .. } => items[event],
            Column::Absent | Column::Constant(_) | Column::Strings(_) => None,
        }
    }
}

/// Fills an output column event by event with values whose rank only the first one tells.
#[derive(Debug)]
pub struct Filling<'o> {
    out: &'o mut OwnedColumn,
    dtype: DType,
    /// None until the first value; then whether values are scalars.
    scalars: Option<bool>,
    absent_before: usize,
}

impl<'o> Filling<'o> {
    /// Begins a batch.
    pub fn new(out: &'o mut OwnedColumn, dtype: DType) -> Filling<'o> {
        out.set_absent();
        Filling { out, dtype, scalars: None, absent_before: 0 }
    }

    /// Adds an event without a value.
    pub fn absent(&mut self) {
        match self.scalars {
            None => self.absent_before += 1,
            Some(_) => self.out.push_absent(),
        }
    }

    /// Adds an event's value: `fill` writes its bytes, which start as zeros.
    pub fn push(&mut self, dims: Dims, errors: &mut EventErrors, fill: impl FnOnce(&mut [u8])) {
        let scalar = dims.axes().is_empty();
        if self.scalars.is_none() {
            self.start(scalar);
        }
        if self.scalars != Some(scalar) {
            errors.record(|| {
                "scalars and arrays mix in one batch; only one of the two can go on".to_owned()
            });
            self.out.push_absent();
        } else if scalar {
            // A whole word, so that it is aligned for every element type.
            let mut word = [0u64; 1];
            let bytes = &mut bytemuck::cast_slice_mut(&mut word)[..self.dtype.size()];
            fill(bytes);
            self.out.push_scalar_bytes(bytes);
        } else {
            fill(self.out.push_zeros(dims));
        }
    }

    fn start(&mut self, scalar: bool) {
        self.scalars = Some(scalar);
        if scalar {
            self.out.start_pushed_scalars(self.dtype);
        } else {
            self.out.start_arrays(self.dtype);
        }
        (0..self.absent_before).for_each(|_| self.out.push_absent());
    }
}
