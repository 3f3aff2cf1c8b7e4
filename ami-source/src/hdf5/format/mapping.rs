//! Virtual datasets: which part of them comes from which dataset of which file.

use crate::hdf5::format::cursor::Cursor;
use crate::hdf5::format::heap::GlobalObject;
use crate::hdf5::format::store::Store;
use crate::hdf5::format::{MAX_AXES, Problem, Result, checksum, damaged, unsupported};

/// Parts of one virtual dataset, and boxes that one part falls into.
const MAX_PARTS: u64 = 1 << 14;
const MAX_BOXES: u64 = 1 << 10;

/// A box of elements: where it begins on each axis, and how long it is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Region {
    /// First element.
    pub start: Vec<u64>,
    /// Elements; `u64::MAX` to the end.
    pub count: Vec<u64>,
}

/// A box of the virtual dataset and the box that it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Name of the file; "." is this one.
    pub file: String,
    /// Path of the dataset in it.
    pub dataset: String,
    /// There; None is all of it.
    pub from: Option<Region>,
    /// Here; None is all of it.
    pub to: Option<Region>,
}

/// The parts of a virtual dataset.
///
/// # Errors
/// When their list is damaged, or selects in ways that are not read here.
pub fn parts(store: &Store, address: u64, index: u32) -> Result<Vec<Part>> {
    let object = GlobalObject::find(store, address, index)?;
    let body = checksum::checked(object.bytes())?;
    parse(&mut store.cursor(body))
}

/// From the bytes of the list.
///
/// # Errors
/// As [`parts`].
pub fn parse(c: &mut Cursor<'_>) -> Result<Vec<Part>> {
    if c.u8()? != 0 {
        return unsupported("a virtual dataset of a newer version");
    }
    let count = c.length()?;
    if count > MAX_PARTS {
        return Err(Problem::Limit(format!("a virtual dataset of more than {MAX_PARTS} parts")));
    }
    let mut parts = Vec::new();
    for _ in 0..count {
        let (file, dataset) = (c.text_to_nul()?, c.text_to_nul()?);
        if file.contains('%') || dataset.contains('%') {
            return unsupported("a virtual dataset over numbered files");
        }
        let (from, to) = (selection(c)?, selection(c)?);
        match (from, to) {
            (None, to) => push(&mut parts, &file, &dataset, None, one(to)?),
            (from, None) => push(&mut parts, &file, &dataset, one(from)?, None),
            (Some(from), Some(to)) if from.len() == to.len() => {
                for (from, to) in from.into_iter().zip(to) {
                    push(&mut parts, &file, &dataset, Some(from), Some(to));
                }
            }
            _ => return unsupported("a virtual dataset whose boxes do not pair"),
        }
    }
    Ok(parts)
}

fn push(
    parts: &mut Vec<Part>,
    file: &str,
    dataset: &str,
    from: Option<Region>,
    to: Option<Region>,
) {
    parts.push(Part { file: file.into(), dataset: dataset.into(), from, to });
}

fn one(boxes: Option<Vec<Region>>) -> Result<Option<Region>> {
    match boxes {
        None => Ok(None),
        Some(mut boxes) if boxes.len() == 1 => Ok(boxes.pop()),
        Some(_) => unsupported("a virtual dataset whose boxes do not pair"),
    }
}

/// The boxes of a selection; None for all.
fn selection(c: &mut Cursor<'_>) -> Result<Option<Vec<Region>>> {
    let (kind, version) = (c.u32()?, c.u32()?);
    match kind {
        3 => c.skip(8).map(|()| None),
        2 => hyperslab(c, version).map(Some),
        0 => c.skip(8).map(|()| Some(Vec::new())),
        _ => unsupported("a virtual dataset of single points"),
    }
}

fn hyperslab(c: &mut Cursor<'_>, version: u32) -> Result<Vec<Region>> {
    let (regular, width) = match version {
        1 => {
            c.skip(8)?;
            (false, 4)
        }
        2 => {
            let flags = c.u8()?;
            c.skip(4)?;
            (flags & 1 != 0, 8)
        }
        3 => (c.u8()? & 1 != 0, usize::from(c.u8()?)),
        _ => return damaged("a selection of an unknown version"),
    };
    let rank = c.u32()? as usize;
    if rank == 0 || rank > MAX_AXES {
        return damaged("a selection of too many axes");
    }
    if regular { grid(c, rank, width) } else { listed(c, rank, width) }
}

fn listed(c: &mut Cursor<'_>, rank: usize, width: usize) -> Result<Vec<Region>> {
    let count = c.uint(width)?;
    if count > MAX_BOXES {
        return Err(Problem::Limit(format!("a selection of more than {MAX_BOXES} boxes")));
    }
    let mut boxes: Vec<Region> = Vec::new();
    for _ in 0..count {
        let mut numbers = || (0..rank).map(|_| c.uint(width)).collect::<Result<Vec<_>>>();
        let (start, last) = (numbers()?, numbers()?);
        let lengths = start.iter().zip(&last).map(|(a, b)| b.checked_sub(*a)?.checked_add(1));
        let count: Option<Vec<u64>> = lengths.collect();
        let count = count.ok_or(Problem::Damaged("a box without extent"))?;
        if boxes.last().is_some_and(|b| start[0] < b.start[0].saturating_add(b.count[0])) {
            return unsupported("a virtual dataset of boxes side by side");
        }
        boxes.push(Region { start, count });
    }
    Ok(boxes)
}

/// Start, stride, count and block of each axis.
fn grid(c: &mut Cursor<'_>, rank: usize, width: usize) -> Result<Vec<Region>> {
    let endless = u64::MAX >> (64 - 8 * width.clamp(1, 8));
    let mut boxes = vec![Region { start: Vec::new(), count: Vec::new() }];
    for _ in 0..rank {
        let (start, stride) = (c.uint(width)?, c.uint(width)?);
        let (count, block) = (c.uint(width)?, c.uint(width)?);
        let (count, block) = if stride == block || count == 1 {
            let all =
                if count == endless || block == endless { None } else { count.checked_mul(block) };
            (1, all.unwrap_or(u64::MAX))
        } else {
            (count, block)
        };
        if count == 0 || (boxes.len() as u64).saturating_mul(count) > MAX_BOXES {
            return Err(Problem::Limit(format!("a selection of 0 or more than {MAX_BOXES} boxes")));
        }
        // Elements are counted row by row, boxes one by one: the same only where they lie one behind the other.
        if count > 1 && boxes.iter().any(|b| b.count.iter().any(|n| *n != 1)) {
            return unsupported("a virtual dataset of boxes side by side");
        }
        let mut next = Vec::new();
        for before in &boxes {
            for i in 0..count {
                let mut one = before.clone();
                one.start.push(start.saturating_add(i.saturating_mul(stride)));
                one.count.push(block);
                next.push(one);
            }
        }
        boxes = next;
    }
    Ok(boxes)
}
