//! Fractal heaps: the links of new groups and the attributes of objects that have many.

use crate::hdf5::format::cursor::width_of;
use crate::hdf5::format::store::Store;
use crate::hdf5::format::{MAX_DEPTH, Problem, Result, checksum, damaged, unsupported};
use std::rc::Rc;

/// A fractal heap, of which objects are asked for by their ids.
pub struct FractalHeap<'a> {
    store: &'a Store,
    /// Bytes of an offset and of a length in an id.
    offset_width: usize,
    length_width: usize,
    checked: bool,
    table_width: u64,
    start: u64,
    max_direct: u64,
    root: u64,
    /// Rows of the root; 0 when it is a direct block.
    rows: u64,
}

impl<'a> FractalHeap<'a> {
    /// Reads its header.
    ///
    /// # Errors
    /// When it is damaged, or its blocks went through filters.
    pub fn open(store: &'a Store, address: u64) -> Result<FractalHeap<'a>> {
        let (o, l) = (store.widths().offset, store.widths().length);
        let head = store.checked(address, 26 + 12 * l + 3 * o)?;
        let mut c = store.cursor(checksum::body(&head));
        c.signature(b"FRHP", "no fractal heap")?;
        c.skip(3)?;
        if c.u16()? != 0 {
            return unsupported("a fractal heap with filters");
        }
        let flags = c.u8()?;
        let max_managed = u64::from(c.u32()?);
        c.skip(2 * (l + o) + 8 * l)?;
        let table_width = u64::from(c.u16()?);
        let (start, max_direct) = (c.length()?, c.length()?);
        let max_bits = u64::from(c.u16()?);
        c.u16()?;
        let root = c.address()?.ok_or(Problem::Damaged("a heap without blocks"))?;
        let rows = u64::from(c.u16()?);
        let sane = start.is_power_of_two() && max_direct.is_power_of_two() && start <= max_direct;
        if !sane || table_width == 0 || max_bits > 64 || rows > 64 {
            return damaged("a fractal heap whose sizes cannot be");
        }
        Ok(FractalHeap {
            store,
            offset_width: max_bits.div_ceil(8) as usize,
            length_width: (max_direct.ilog2() as usize).div_ceil(8).min(width_of(max_managed)),
            checked: flags & 2 != 0,
            table_width,
            start,
            max_direct,
            root,
            rows,
        })
    }

    /// The bytes of an object.
    ///
    /// # Errors
    /// When its id leads nowhere.
    pub fn object(&self, id: &[u8]) -> Result<Vec<u8>> {
        let mut c = self.store.cursor(id);
        let kind = c.u8()?;
        match kind >> 4 & 3 {
            0 => {
                let (offset, len) = (c.uint(self.offset_width)?, c.uint(self.length_width)?);
                let (block, begin) = self.block(offset)?;
                let at = usize::try_from(offset - begin).unwrap_or(usize::MAX);
                let end = at.checked_add(usize::try_from(len).unwrap_or(usize::MAX));
                let bytes = end.and_then(|end| block.get(at..end));
                bytes.map(<[u8]>::to_vec).ok_or(Problem::Damaged("an object outside of its heap"))
            }
            2 => Ok(c.take(usize::from(kind & 15) + 1)?.to_vec()),
            1 => unsupported("a huge object of a heap"),
            _ => damaged("an object of a heap of an unknown kind"),
        }
    }

    /// Bytes of a block in a row.
    fn row_size(&self, row: u64) -> Option<u64> {
        self.start.checked_shl(row.saturating_sub(1) as u32).filter(|size| *size >= self.start)
    }

    /// The direct block that an offset lies in, and the offset where it begins.
    fn block(&self, offset: u64) -> Result<(Rc<[u8]>, u64)> {
        if self.rows == 0 {
            return Ok((self.direct(self.root, self.start)?, 0));
        }
        let (mut at, mut rows, mut begin) = (self.root, self.rows, 0u64);
        for _ in 0..MAX_DEPTH {
            let (row, column, first) = self.place(offset - begin, rows)?;
            let size = self.row_size(row).ok_or(Problem::Damaged("a heap without end"))?;
            let child = self.child(at, rows, row * self.table_width + column)?;
            begin += first;
            if size <= self.max_direct {
                return Ok((self.direct(child, size)?, begin));
            }
            let narrow = self.start.saturating_mul(self.table_width).max(1);
            rows = u64::from(size.ilog2()).saturating_sub(u64::from(narrow.ilog2())) + 1;
            at = child;
        }
        damaged("a heap too deep")
    }

    /// Row and column of an offset in an indirect block, and where that child begins.
    fn place(&self, offset: u64, rows: u64) -> Result<(u64, u64, u64)> {
        let mut begin = 0u64;
        for row in 0..rows {
            let size = self.row_size(row).ok_or(Problem::Damaged("a heap without end"))?;
            let all = size.checked_mul(self.table_width);
            let end = all.and_then(|n| begin.checked_add(n));
            let end = end.ok_or(Problem::Damaged("a heap without end"))?;
            if offset < end {
                let column = (offset - begin) / size;
                return Ok((row, column, begin + column * size));
            }
            begin = end;
        }
        damaged("an object outside of its heap")
    }

    fn direct(&self, address: u64, size: u64) -> Result<Rc<[u8]>> {
        let size = usize::try_from(size).map_err(|_| Problem::Damaged("a block without end"))?;
        let block = self.store.piece(address, size)?;
        let mut c = self.store.cursor(&block);
        c.signature(b"FHDB", "no block of a fractal heap")?;
        if self.checked {
            self.verify(&block)?;
        }
        Ok(block)
    }

    /// The checksum of a direct block stands in its head and counts as zeros.
    fn verify(&self, block: &[u8]) -> Result<()> {
        let at = 5 + self.store.widths().offset + self.offset_width;
        let mut copy = block.to_vec();
        let Some(place) = copy.get_mut(at..at + 4) else { return damaged("a block too small") };
        let stated = place.to_vec();
        place.fill(0);
        let right = checksum::lookup3(&copy).to_le_bytes()[..] == stated[..];
        if right { Ok(()) } else { damaged("a checksum is wrong") }
    }

    /// Address of a child of an indirect block.
    fn child(&self, address: u64, rows: u64, number: u64) -> Result<u64> {
        let o = self.store.widths().offset;
        let prefix = 5 + o + self.offset_width;
        let children = rows.saturating_mul(self.table_width).min(1 << 20) as usize;
        let block = self.store.checked(address, prefix + children * o + 4)?;
        let mut c = self.store.cursor(checksum::body(&block));
        c.signature(b"FHIB", "no indirect block of a fractal heap")?;
        c.skip(prefix - 4 + (number as usize).saturating_mul(o))?;
        c.address()?.ok_or(Problem::Damaged("a block of a heap that was never written"))
    }
}
