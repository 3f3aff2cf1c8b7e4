//! Where a dataset's bytes are: in the header, in one piece, in chunks, or in other datasets.

use crate::hdf5::format::cursor::Cursor;
use crate::hdf5::format::{MAX_AXES, Problem, Result, damaged, unsupported};

/// Where the bytes are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Layout {
    /// In the header itself.
    Compact(Vec<u8>),
    /// In one piece; None while nothing was written.
    Contiguous(Option<u64>),
    /// In chunks.
    Chunked(Chunked),
    /// In other datasets: place of the list in a global heap.
    Virtual(Option<u64>, u32),
}

/// A dataset in chunks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunked {
    /// Lengths of a chunk's axes, in elements.
    pub chunk: Vec<u64>,
    /// Where the index begins; None while nothing was written.
    pub address: Option<u64>,
    /// What finds a chunk.
    pub index: Index,
    /// Chunks that stick out over the dataset's end are stored without filters.
    pub plain_edges: bool,
}

/// Kinds of index, with what the layout says about each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // named as in the format
pub enum Index {
    /// B-tree, version 1.
    Tree,
    /// One chunk: bytes and filter mask, where there are filters.
    Single(Option<(u64, u32)>),
    /// All chunks one behind the other.
    Implicit,
    /// An array of fixed length.
    Fixed,
    /// An array that grows along one axis.
    Extensible,
    /// B-tree, version 2.
    Tree2,
}

impl Layout {
    /// From the bytes of a layout message.
    ///
    /// # Errors
    /// When they contradict the format, or are of a version that is not known.
    pub fn parse(c: &mut Cursor<'_>) -> Result<Layout> {
        let version = c.u8()?;
        match version {
            1 | 2 => old(c),
            3..=5 => match c.u8()? {
                0 => {
                    let size = usize::from(c.u16()?);
                    Ok(Layout::Compact(c.take(size)?.to_vec()))
                }
                1 => Ok(Layout::Contiguous(c.address()?)),
                2 if version == 3 => tree(c),
                2 => chunked(c, version),
                3 if version > 3 => Ok(Layout::Virtual(c.address()?, c.u32()?)),
                _ => damaged("a layout of an unknown class"),
            },
            version => unsupported(format!("layout version {version}")),
        }
    }
}

fn old(c: &mut Cursor<'_>) -> Result<Layout> {
    let (rank, class) = (usize::from(c.u8()?), c.u8()?);
    c.skip(5)?;
    let address = if class == 0 { None } else { c.address()? };
    let axes = axes(c, rank, 4)?;
    match class {
        0 => {
            let size = c.u32()? as usize;
            Ok(Layout::Compact(c.take(size)?.to_vec()))
        }
        1 => Ok(Layout::Contiguous(address)),
        2 => by_tree(axes, address),
        _ => damaged("a layout of an unknown class"),
    }
}

fn axes(c: &mut Cursor<'_>, rank: usize, width: usize) -> Result<Vec<u64>> {
    if rank > MAX_AXES + 1 {
        return damaged("chunks of too many axes");
    }
    (0..rank).map(|_| c.uint(width)).collect()
}

fn tree(c: &mut Cursor<'_>) -> Result<Layout> {
    let rank = usize::from(c.u8()?);
    let address = c.address()?;
    by_tree(axes(c, rank, 4)?, address)
}

fn by_tree(mut chunk: Vec<u64>, address: Option<u64>) -> Result<Layout> {
    // The last "axis" is the element's size.
    chunk.pop();
    whole(Chunked { chunk, address, index: Index::Tree, plain_edges: false })
}

fn whole(chunked: Chunked) -> Result<Layout> {
    if chunked.chunk.is_empty() || chunked.chunk.contains(&0) {
        return damaged("chunks without extent");
    }
    Ok(Layout::Chunked(chunked))
}

fn chunked(c: &mut Cursor<'_>, version: u8) -> Result<Layout> {
    let (flags, rank, width) = (c.u8()?, usize::from(c.u8()?), usize::from(c.u8()?));
    let mut chunk = axes(c, rank, width)?;
    chunk.pop();
    let index = match c.u8()? {
        1 if flags & 2 != 0 => {
            let bytes = if version == 5 { c.u64()? } else { c.length()? };
            Index::Single(Some((bytes, c.u32()?)))
        }
        1 => Index::Single(None),
        2 => Index::Implicit,
        3 => {
            c.skip(1)?;
            Index::Fixed
        }
        4 => {
            // The array's own header has them, too.
            c.skip(5)?;
            Index::Extensible
        }
        5 => {
            c.skip(6)?;
            Index::Tree2
        }
        _ => return Err(Problem::Damaged("an index of chunks of an unknown kind")),
    };
    let address = c.address()?;
    whole(Chunked { chunk, address, index, plain_edges: flags & 1 != 0 })
}
