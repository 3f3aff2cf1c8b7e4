//! Heaps: names of old groups, and values of any length.

use crate::hdf5::format::store::Store;
use crate::hdf5::format::{Problem, Result, damaged};
use std::rc::Rc;

/// The names of an old group.
pub struct LocalHeap {
    bytes: Rc<[u8]>,
}

impl LocalHeap {
    /// Reads it.
    ///
    /// # Errors
    /// When it is damaged.
    pub fn open(store: &Store, address: u64) -> Result<LocalHeap> {
        let widths = store.widths();
        let head = store.piece(address, 8 + 2 * widths.length + widths.offset)?;
        let mut c = store.cursor(&head);
        c.signature(b"HEAP", "no local heap")?;
        c.skip(4)?;
        let size = c.length()?;
        c.length()?;
        let at = c.address()?.ok_or(Problem::Damaged("a local heap without bytes"))?;
        let size = usize::try_from(size).map_err(|_| Problem::Damaged("a heap without end"))?;
        Ok(LocalHeap { bytes: store.piece(at, size)? })
    }

    /// The text at an offset.
    ///
    /// # Errors
    /// When there is none.
    pub fn text(&self, offset: u64) -> Result<String> {
        let from = usize::try_from(offset).ok().and_then(|at| self.bytes.get(at..));
        let from = from.ok_or(Problem::Damaged("a name outside of its heap"))?;
        let end = from.iter().position(|b| *b == 0).unwrap_or(from.len());
        Ok(String::from_utf8_lossy(&from[..end]).into_owned())
    }
}

/// An object of a global heap: the piece that it lies in, and where.
pub struct GlobalObject {
    piece: Rc<[u8]>,
    start: usize,
    len: usize,
}

impl GlobalObject {
    /// Finds object `index` of the collection at an address.
    ///
    /// # Errors
    /// When the collection is damaged or has no such object.
    pub fn find(store: &Store, address: u64, index: u32) -> Result<GlobalObject> {
        let length = store.widths().length;
        let head = store.piece(address, 8 + length)?;
        let mut c = store.cursor(&head);
        c.signature(b"GCOL", "no global heap")?;
        c.skip(4)?;
        let size = usize::try_from(c.length()?);
        let size = size.map_err(|_| Problem::Damaged("a heap without end"))?;
        let piece = store.piece(address, size)?;
        let mut c = store.cursor(&piece);
        c.skip(8 + length)?;
        while c.left() >= 8 + length {
            let found = u32::from(c.u16()?);
            c.skip(6)?;
            let len = usize::try_from(c.length()?).unwrap_or(usize::MAX);
            if found == 0 {
                break;
            }
            let start = c.at();
            if found == index {
                c.skip(len)?;
                return Ok(GlobalObject { piece: piece.clone(), start, len });
            }
            let padded = len.checked_next_multiple_of(8);
            c.skip(padded.ok_or(Problem::Damaged("a length that wraps"))?)?;
        }
        damaged("an object that its heap does not have")
    }

    /// Its bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.piece[self.start..self.start + self.len]
    }
}
