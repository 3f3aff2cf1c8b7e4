//! Indices that are arrays: of a fixed length, or growing along one axis without end.

use crate::hdf5::format::store::Store;
use crate::hdf5::format::{MAX_PIECE, Problem, Result, checksum, damaged};
use std::rc::Rc;

/// An entry: its bytes, and whether chunks went through filters (then it says more than an address).
pub type Entry = (Vec<u8>, bool);

fn small(n: u64) -> Result<usize> {
    let n = usize::try_from(n).ok().filter(|n| *n <= MAX_PIECE);
    n.ok_or(Problem::Damaged("an index whose sizes cannot be"))
}

fn element(bytes: &[u8], at: u64, size: usize) -> Result<Vec<u8>> {
    let at = small(at)?.saturating_mul(size);
    let found = at.checked_add(size).and_then(|end| bytes.get(at..end));
    found.map(<[u8]>::to_vec).ok_or(Problem::Damaged("an index that ends early"))
}

/// Entry `number` of a fixed array; None where it was never written.
///
/// # Errors
/// When the array is damaged.
pub fn fixed(store: &Store, address: u64, number: u64) -> Result<Option<Entry>> {
    let (o, l) = (store.widths().offset, store.widths().length);
    let head = store.checked(address, 12 + o + l)?;
    let mut c = store.cursor(checksum::body(&head));
    c.signature(b"FAHD", "no fixed array")?;
    c.skip(1)?;
    let filtered = c.u8()? == 1;
    let (size, page_bits) = (usize::from(c.u8()?), c.u8()?);
    let count = c.length()?;
    let Some(block) = c.address()? else { return Ok(None) };
    if number >= count || page_bits >= 32 {
        return Ok(None);
    }
    let per_page = 1u64 << page_bits;
    if count <= per_page {
        let piece =
            store.checked(block, small(count)?.saturating_mul(size).saturating_add(10 + o))?;
        store.cursor(&piece).signature(b"FADB", "no block of a fixed array")?;
        return Ok(Some((element(&piece[6 + o..], number, size)?, filtered)));
    }
    let pages = count.div_ceil(per_page);
    let bitmap = small(pages.div_ceil(8))?;
    let prefix = 6 + o + bitmap + 4;
    let piece = store.checked(block, prefix)?;
    store.cursor(&piece).signature(b"FADB", "no block of a fixed array")?;
    let page = number / per_page;
    // The first page has the highest bit.
    let there =
        piece[6 + o..].get((page / 8) as usize).is_some_and(|b| b & (0x80 >> (page % 8)) != 0);
    if !there {
        return Ok(None);
    }
    let whole = small(per_page)?.saturating_mul(size) + 4;
    let at = block.saturating_add(prefix as u64).saturating_add(page.saturating_mul(whole as u64));
    let here = small((count - page * per_page).min(per_page))?.saturating_mul(size) + 4;
    let piece = store.checked(at, here)?;
    Ok(Some((element(checksum::body(&piece), number % per_page, size)?, filtered)))
}

/// What the header of an extensible array says, as far as it is needed.
struct Extensible<'a> {
    store: &'a Store,
    size: usize,
    block: u64,
    in_index: u64,
    min_elements: u64,
    min_pointers: u64,
    per_page: u64,
    offset_width: usize,
    super_blocks: u64,
}

/// Entry `number` of an extensible array; None where it was never written.
///
/// # Errors
/// When the array is damaged.
pub fn extensible(store: &Store, address: u64, number: u64) -> Result<Option<Entry>> {
    let (o, l) = (store.widths().offset, store.widths().length);
    let head = store.checked(address, 16 + 6 * l + o)?;
    let mut c = store.cursor(checksum::body(&head));
    c.signature(b"EAHD", "no extensible array")?;
    c.skip(1)?;
    let filtered = c.u8()? == 1;
    let size = usize::from(c.u8()?);
    let max_bits = u64::from(c.u8()?);
    let (in_index, min_elements) = (u64::from(c.u8()?), u64::from(c.u8()?));
    let (min_pointers, page_bits) = (u64::from(c.u8()?), c.u8()?);
    c.skip(6 * l)?;
    let Some(block) = c.address()? else { return Ok(None) };
    let sane = min_elements.is_power_of_two() && min_pointers.is_power_of_two();
    if !sane || min_pointers < 2 || max_bits > 64 || page_bits >= 32 {
        return damaged("an extensible array whose sizes cannot be");
    }
    let array = Extensible {
        store,
        size,
        block,
        in_index,
        min_elements,
        min_pointers,
        per_page: 1 << page_bits,
        offset_width: max_bits.div_ceil(8) as usize,
        super_blocks: 1 + max_bits.saturating_sub(u64::from(min_elements.ilog2())),
    };
    Ok(array.find(number)?.map(|bytes| (bytes, filtered)))
}

impl Extensible<'_> {
    fn find(&self, number: u64) -> Result<Option<Vec<u8>>> {
        let o = self.store.widths().offset;
        let inside = 2 * u64::from(self.min_pointers.ilog2());
        let blocks = 2 * (self.min_pointers - 1);
        let supers = self.super_blocks.saturating_sub(inside);
        let elements = small(self.in_index)? * self.size;
        let len = 6 + o + elements + small(blocks + supers)? * o + 4;
        let index = self.store.checked(self.block, len)?;
        self.store.cursor(&index).signature(b"EAIB", "no index of an extensible array")?;
        if number < self.in_index {
            return element(&index[6 + o..], number, self.size).map(Some);
        }
        let rest = number - self.in_index;
        let level = u64::from((rest / self.min_elements + 1).ilog2());
        let first = ((1u64 << level) - 1).saturating_mul(self.min_elements);
        let per_block = self.min_elements.checked_shl((level as u32).div_ceil(2));
        let per_block = per_block.filter(|n| *n > 0);
        let per_block = per_block.ok_or(Problem::Damaged("an index without end"))?;
        let in_level = rest - first;
        let pointers = &index[6 + o + elements..];
        if level < inside {
            // Blocks of the levels before: 1, 1, 2, 2, 4, 4 …
            let before: u64 = (0..level).map(|u| 1u64 << (u / 2)).sum();
            let at = before + in_level / per_block;
            let Some(block) = self.pointer(pointers, at)? else { return Ok(None) };
            return self.in_block(block, per_block, in_level % per_block, true);
        }
        let Some(block) = self.pointer(pointers, blocks + level - inside)? else { return Ok(None) };
        self.in_super_block(block, level, per_block, in_level)
    }

    fn pointer(&self, bytes: &[u8], at: u64) -> Result<Option<u64>> {
        let mut c = self.store.cursor(bytes);
        c.skip(small(at)?.saturating_mul(self.store.widths().offset))?;
        c.address()
    }

    fn in_super_block(
        &self,
        at: u64,
        level: u64,
        per_block: u64,
        i: u64,
    ) -> Result<Option<Vec<u8>>> {
        let o = self.store.widths().offset;
        let blocks = small(1u64 << (level / 2).min(40))?;
        let pages = if per_block > self.per_page { per_block / self.per_page } else { 0 };
        let bitmap = small(pages.div_ceil(8))?;
        let prefix = 6 + o + self.offset_width;
        let maps = bitmap.saturating_mul(blocks);
        let len = prefix.saturating_add(maps).saturating_add(blocks * o).saturating_add(4);
        let piece = self.store.checked(at, small(len as u64)?)?;
        self.store.cursor(&piece).signature(b"EASB", "no super block of an extensible array")?;
        let (block, inside) = (i / per_block, i % per_block);
        let Some(data) = self.pointer(&piece[prefix + maps..], block)? else { return Ok(None) };
        if pages == 0 {
            return self.in_block(data, per_block, inside, true);
        }
        let page = inside / self.per_page;
        let bit = small(block)? * bitmap + small(page / 8)?;
        let there = piece[prefix..].get(bit).is_some_and(|b| b & (0x80 >> (page % 8)) != 0);
        if !there {
            return Ok(None);
        }
        self.in_block(data, per_block, inside, false)
    }

    /// An element of a data block, in one piece or in pages.
    fn in_block(&self, at: u64, count: u64, i: u64, whole: bool) -> Result<Option<Vec<u8>>> {
        let prefix = 6 + self.store.widths().offset + self.offset_width;
        if whole && count <= self.per_page {
            let len = small(count)?.saturating_mul(self.size).saturating_add(prefix + 4);
            let piece: Rc<[u8]> = self.store.checked(at, len)?;
            self.store.cursor(&piece).signature(b"EADB", "no block of an extensible array")?;
            return element(&piece[prefix..], i, self.size).map(Some);
        }
        let bytes = small(self.per_page)?.saturating_mul(self.size) + 4;
        let page = (i / self.per_page).saturating_mul(bytes as u64);
        let at = at.saturating_add(prefix as u64 + 4).saturating_add(page);
        let piece = self.store.checked(at, bytes)?;
        element(checksum::body(&piece), i % self.per_page, self.size).map(Some)
    }
}
