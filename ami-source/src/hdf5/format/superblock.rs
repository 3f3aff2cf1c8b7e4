//! The superblock: where the root group is, how wide addresses are, who has the file open.

use crate::hdf5::format::cursor::{Cursor, Widths};
use crate::hdf5::format::{Problem, Result, checksum, damaged, unsupported};
use std::fs::File;
use std::os::unix::fs::FileExt;

const SIGNATURE: &[u8; 8] = b"\x89HDF\r\n\x1a\n";
/// More than any version takes.
const MOST: usize = 160;

/// What a superblock says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Superblock {
    /// Widths of addresses and lengths.
    pub widths: Widths,
    /// What addresses count from.
    pub base: u64,
    /// Object header of the root group.
    pub root: u64,
    /// Open for writing (1), for writing while others read (4).
    pub flags: u8,
}

impl Superblock {
    /// True while one writer says that others may read along (SWMR).
    pub fn written_for_readers(&self) -> bool {
        self.flags & 4 != 0
    }

    /// Looks for it at 0, 512, 1024 … bytes.
    pub(super) fn find(file: &File, len: u64) -> Result<Superblock> {
        let mut at = 0u64;
        while at < len {
            let mut bytes = [0; MOST];
            let n = file.read_at(&mut bytes, at)?;
            if bytes[..n].starts_with(SIGNATURE) {
                return Superblock::parse(&bytes[..n], at);
            }
            at = if at == 0 { 512 } else { at.saturating_mul(2) };
        }
        damaged("no HDF5 file: it has no superblock")
    }

    /// Takes the bytes from the signature on apart; `at` is where they stand.
    ///
    /// # Errors
    /// When they are no superblock that is known.
    pub fn parse(bytes: &[u8], at: u64) -> Result<Superblock> {
        let mut c = Cursor::new(bytes, Widths { offset: 8, length: 8 });
        c.skip(8)?;
        match c.u8()? {
            version @ (0 | 1) => old(bytes, version, at),
            2 | 3 => new(bytes, at),
            version => unsupported(format!("superblock version {version}")),
        }
    }
}

fn widths(offset: u8, length: u8) -> Result<Widths> {
    if !matches!(offset, 2 | 4 | 8) || !matches!(length, 2 | 4 | 8) {
        return damaged("widths of addresses that cannot be");
    }
    Ok(Widths { offset: offset.into(), length: length.into() })
}

fn old(bytes: &[u8], version: u8, at: u64) -> Result<Superblock> {
    let mut c = Cursor::new(bytes, Widths { offset: 8, length: 8 });
    c.skip(13)?;
    let widths = widths(c.u8()?, c.u8()?)?;
    let mut c = Cursor::new(bytes, widths);
    c.skip(if version == 0 { 24 } else { 28 })?;
    let base = c.address()?.unwrap_or(at);
    c.skip(3 * widths.offset)?;
    // The root's symbol table entry: its name, then its header.
    c.skip(widths.offset)?;
    let root = c.address()?.ok_or(Problem::Damaged("no root group"))?;
    Ok(Superblock { widths, base, root, flags: 0 })
}

fn new(bytes: &[u8], at: u64) -> Result<Superblock> {
    let mut c = Cursor::new(bytes, Widths { offset: 8, length: 8 });
    c.skip(9)?;
    let widths = widths(c.u8()?, c.u8()?)?;
    let flags = c.u8()?;
    let mut c = Cursor::new(bytes, widths);
    c.skip(12)?;
    let base = c.address()?.unwrap_or(at);
    c.skip(2 * widths.offset)?;
    let root = c.address()?.ok_or(Problem::Damaged("no root group"))?;
    let end = c.at() + 4;
    checksum::checked(bytes.get(..end).unwrap_or_default())?;
    Ok(Superblock { widths, base, root, flags })
}
