//! A batch: the events of one unit, in columns. What the worker stage of a graph absorbs.

use crate::data::value::{DType, MAX_RANK, Value};

/// Lengths of the axes of one array in one event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dims {
    rank: u8,
    axes: [u32; MAX_RANK],
}

impl Dims {
    /// None when there are more than [`MAX_RANK`] axes or one is longer than u32 holds.
    pub fn new(shape: &[usize]) -> Option<Dims> {
        let mut axes = [0; MAX_RANK];
        for (axis, &length) in axes.get_mut(..shape.len())?.iter_mut().zip(shape) {
            *axis = u32::try_from(length).ok()?;
        }
        Some(Dims { rank: shape.len() as u8, axes })
    }

    /// Axis lengths, slowest first.
    pub fn axes(&self) -> &[u32] {
        &self.axes[..self.rank as usize]
    }

    /// Number of elements; None on overflow.
    pub fn count(&self) -> Option<usize> {
        self.axes().iter().try_fold(1usize, |n, &d| n.checked_mul(d as usize))
    }
}

/// One array of one event, borrowed. `data` is C order, little-endian, aligned to at least 8 bytes.
#[derive(Debug, Clone, Copy)]
pub struct ArrayRef<'a> {
    /// Axis lengths.
    pub dims: Dims,
    /// Exactly the elements' bytes.
    pub data: &'a [u8],
}

/// The values of one field over the events of a batch.
#[derive(Debug, Clone)]
pub enum Column<'a> {
    /// In no event of the batch, or not wanted by the plan.
    Absent,
    /// The same value for every event (a held field).
    Constant(&'a Value),
    /// One scalar per event, also where absent (then any value). `data` is aligned to 8 bytes.
    Scalars {
        /// Element type, not `Str`.
        dtype: DType,
        /// `events * dtype.size()` bytes.
        data: &'a [u8],
        /// One byte per event, 0 = absent; None = present in every event.
        present: Option<&'a [u8]>,
    },
    /// One text per event.
    Strings(Vec<Option<&'a str>>),
    /// One array per event.
    Arrays {
        /// Element type, not `Str`.
        dtype: DType,
        /// One entry per event.
        items: Vec<Option<ArrayRef<'a>>>,
    },
}

/// What the events of a batch have in common.
#[derive(Debug, Clone, Copy, Default)]
pub struct Belonging<'a> {
    /// Number of the heartbeat.
    pub heartbeat: u64,
    /// Run number.
    pub run: u32,
    /// Step in the run; None before the first.
    pub step: Option<u32>,
    /// Name of the host.
    pub host: &'a str,
}

/// The events of one unit, in event order.
#[derive(Debug, Clone)]
pub struct Batch<'a> {
    /// Number that orders hosts where timestamps are equal.
    pub host: u32,
    /// Number of the first event in its host's epoch; the others follow without gaps.
    pub first_sequence: u64,
    /// Heartbeat, run, step and host of all of them.
    pub belonging: Belonging<'a>,
    /// One per event: ns since the Unix epoch (or the counter, for counter sources).
    pub timestamps: &'a [u64],
    /// One per field of the schema, in its order.
    pub columns: Vec<Column<'a>>,
}

impl Batch<'_> {
    /// Number of events.
    pub fn len(&self) -> usize {
        self.timestamps.len()
    }

    /// True without events.
    pub fn is_empty(&self) -> bool {
        self.timestamps.is_empty()
    }
}
