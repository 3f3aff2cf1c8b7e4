//! Finding a chunk: one question, whatever the index.

use crate::hdf5::format::array_index::{self, Entry};
use crate::hdf5::format::btree::{self, Stored, Tree2};
use crate::hdf5::format::layout::{Chunked, Index};
use crate::hdf5::format::space::Space;
use crate::hdf5::format::store::Store;
use crate::hdf5::format::{Problem, Result};
use std::cmp::Ordering;

/// What an index needs to know about its dataset.
#[derive(Debug, Clone, Copy)]
pub struct Grid<'a> {
    /// Chunks' axes and where the index begins.
    pub chunked: &'a Chunked,
    /// The dataset's axes.
    pub space: &'a Space,
    /// Bytes of a whole chunk without filters.
    pub bytes: u64,
    /// True when chunks go through filters.
    pub filtered: bool,
}

/// Looks up the chunk with these numbers on each axis (0 is the first). None when it was never written.
///
/// # Errors
/// When the index is damaged.
pub fn find(store: &Store, grid: Grid<'_>, numbers: &[u64]) -> Result<Option<Stored>> {
    let Some(address) = grid.chunked.address else { return Ok(None) };
    let plain = |address| Stored { address, bytes: grid.bytes, mask: 0 };
    match &grid.chunked.index {
        Index::Single(None) => Ok(Some(plain(address))),
        Index::Single(Some((bytes, mask))) => {
            Ok(Some(Stored { address, bytes: *bytes, mask: *mask }))
        }
        Index::Implicit => {
            let at = grid.linear(numbers, None)?.checked_mul(grid.bytes);
            let at = at.and_then(|at| at.checked_add(address));
            at.map(|at| Some(plain(at))).ok_or(Problem::Damaged("an address that wraps"))
        }
        Index::Tree => {
            let offset: Option<Vec<u64>> =
                numbers.iter().zip(&grid.chunked.chunk).map(|(n, c)| n.checked_mul(*c)).collect();
            let offset = offset.ok_or(Problem::Damaged("an offset that wraps"))?;
            btree::find_chunk(store, address, &offset)
        }
        Index::Fixed => {
            let number = grid.linear(numbers, None)?;
            let entry = array_index::fixed(store, address, number)?;
            entry.map_or(Ok(None), |entry| grid.entry(store, entry))
        }
        Index::Extensible => {
            let endless = grid.space.most.iter().position(Option::is_none);
            let number = grid.linear(numbers, endless)?;
            let entry = array_index::extensible(store, address, number)?;
            entry.map_or(Ok(None), |entry| grid.entry(store, entry))
        }
        Index::Tree2 => in_tree(store, address, grid, numbers),
    }
}

fn in_tree(store: &Store, at: u64, grid: Grid<'_>, numbers: &[u64]) -> Result<Option<Stored>> {
    let tree = Tree2::open(store, at, &[10, 11])?;
    let scaled = 8 * numbers.len();
    let head = tree.record.checked_sub(scaled);
    let head = head.ok_or(Problem::Damaged("an index of another dataset"))?;
    let order = |record: &[u8]| -> Result<Ordering> {
        let mut c = store.cursor(&record[head..]);
        for want in numbers {
            match c.u64()?.cmp(want) {
                Ordering::Equal => {}
                other => return Ok(other),
            }
        }
        Ok(Ordering::Equal)
    };
    let Some(record) = tree.find(&order)? else { return Ok(None) };
    grid.entry(store, (record[..head].to_vec(), head > store.widths().offset))
}

impl Grid<'_> {
    /// The chunk's number when they are counted over the greatest extent; the axis without end goes
    /// slowest.
    fn linear(&self, numbers: &[u64], endless: Option<usize>) -> Result<u64> {
        let mut order: Vec<usize> = (0..numbers.len()).collect();
        if let Some(axis) = endless {
            order.retain(|a| *a != axis);
            order.insert(0, axis);
        }
        let mut number = 0u64;
        for axis in order {
            let most = self.space.most.get(axis).copied().flatten();
            let most = most.or(self.space.shape.get(axis).copied()).unwrap_or(1);
            let chunk = self.chunked.chunk.get(axis).copied().unwrap_or(1).max(1);
            let next = number.checked_mul(most.div_ceil(chunk));
            let next = next.and_then(|n| n.checked_add(numbers[axis]));
            number = next.ok_or(Problem::Damaged("more chunks than can be counted"))?;
        }
        Ok(number)
    }

    /// Address, and behind filters bytes and mask.
    fn entry(&self, store: &Store, (bytes, filtered): Entry) -> Result<Option<Stored>> {
        let mut c = store.cursor(&bytes);
        let Some(address) = c.address()? else { return Ok(None) };
        if !filtered {
            return Ok(Some(Stored { address, bytes: self.bytes, mask: 0 }));
        }
        let width = c.left().checked_sub(4);
        let width = width.ok_or(Problem::Damaged("an entry of an index too short"))?;
        Ok(Some(Stored { address, bytes: c.uint(width)?, mask: c.u32()? }))
    }
}
