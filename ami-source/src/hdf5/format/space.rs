//! Small messages of a dataset: its axes, its filters, the value of what was never written.

use crate::hdf5::format::cursor::Cursor;
use crate::hdf5::format::{MAX_ATTRIBUTE, MAX_AXES, Problem, Result, damaged};

/// Filters of one dataset; the format's own limit.
const MAX_FILTERS: usize = 32;

/// The axes of a dataset.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Space {
    /// Lengths now; empty for a scalar.
    pub shape: Vec<u64>,
    /// Lengths at most; None without end.
    pub most: Vec<Option<u64>>,
    /// True when there is not even one element.
    pub null: bool,
}

impl Space {
    /// From the bytes of a dataspace message.
    ///
    /// # Errors
    /// When they contradict the format.
    pub fn parse(c: &mut Cursor<'_>) -> Result<Space> {
        let (version, rank, flags) = (c.u8()?, usize::from(c.u8()?), c.u8()?);
        let kind = c.u8()?;
        match version {
            1 => c.skip(4)?,
            2 => {}
            _ => return damaged("a dataspace of an unknown version"),
        }
        if rank > MAX_AXES {
            return damaged("a dataset of too many axes");
        }
        let shape = (0..rank).map(|_| c.length()).collect::<Result<Vec<_>>>()?;
        let most = if flags & 1 != 0 {
            (0..rank).map(|_| c.length()).collect::<Result<Vec<_>>>()?
        } else {
            shape.clone()
        };
        let endless = u64::MAX >> (64 - 8 * c.widths().length);
        let most = most.into_iter().map(|n| (n != endless).then_some(n)).collect();
        Ok(Space { shape, most, null: version == 2 && kind == 2 })
    }

    /// Elements of one row, the axes after the first; None when there are more than can be counted.
    pub fn per_row(&self) -> Option<u64> {
        self.shape.iter().skip(1).try_fold(1u64, |n, &d| n.checked_mul(d))
    }
}

/// A filter that chunks went through when they were written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    /// Its registered number.
    pub id: u16,
    /// Its parameters.
    pub values: Vec<u32>,
}

/// The filters of a message, in the order of writing.
///
/// # Errors
/// When it contradicts the format.
pub fn filters(c: &mut Cursor<'_>) -> Result<Vec<Filter>> {
    let (version, count) = (c.u8()?, usize::from(c.u8()?));
    if count > MAX_FILTERS || !matches!(version, 1 | 2) {
        return damaged("filters of an unknown version");
    }
    if version == 1 {
        c.skip(6)?;
    }
    let mut filters = Vec::new();
    for _ in 0..count {
        let id = c.u16()?;
        let name = if version == 1 || id >= 256 { usize::from(c.u16()?) } else { 0 };
        let _optional = c.u16()?;
        let values = usize::from(c.u16()?);
        c.skip(if version == 1 { name.next_multiple_of(8) } else { name })?;
        let values = (0..values).map(|_| c.u32()).collect::<Result<Vec<_>>>()?;
        if version == 1 && values.len() % 2 == 1 {
            c.skip(4)?;
        }
        filters.push(Filter { id, values });
    }
    Ok(filters)
}

/// The bytes of one element that was never written; empty for zeros.
///
/// # Errors
/// When the message contradicts the format.
pub fn fill(c: &mut Cursor<'_>, old: bool) -> Result<Vec<u8>> {
    let there = match (old, if old { 0 } else { c.u8()? }) {
        (true, _) => true,
        (_, version @ (1 | 2)) => {
            c.skip(2)?;
            c.u8()? != 0 || version == 1
        }
        (_, 3) => c.u8()? & 0x20 != 0,
        _ => return damaged("a fill value of an unknown version"),
    };
    if !there {
        return Ok(Vec::new());
    }
    // "Undefined" is written as a size of -1.
    let size = c.u32()? as usize;
    if size > MAX_ATTRIBUTE || size > c.left() {
        return if size == u32::MAX as usize {
            Ok(Vec::new())
        } else {
            Err(Problem::Damaged("a fill value of a size that cannot be"))
        };
    }
    Ok(c.take(size)?.to_vec())
}
