//! Walking over bytes: every step is checked.

use crate::hdf5::format::{Problem, Result, damaged};

/// Widths of addresses and lengths in a file, bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Widths {
    /// Of addresses.
    pub offset: usize,
    /// Of lengths.
    pub length: usize,
}

/// A place in bytes.
#[derive(Debug, Clone)]
pub struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
    widths: Widths,
}

impl<'a> Cursor<'a> {
    /// At the beginning.
    pub fn new(bytes: &'a [u8], widths: Widths) -> Cursor<'a> {
        Cursor { bytes, at: 0, widths }
    }

    /// Widths of the file.
    pub fn widths(&self) -> Widths {
        self.widths
    }

    /// Bytes taken so far.
    pub fn at(&self) -> usize {
        self.at
    }

    /// Bytes left.
    pub fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// The next `n` bytes.
    pub fn take(&mut self, n: usize) -> Result<&'a [u8]> {
        let end = self.at.checked_add(n).ok_or(Problem::Damaged("a length that wraps"))?;
        let taken = self.bytes.get(self.at..end);
        let taken = taken.ok_or(Problem::Damaged("a structure that ends early"))?;
        self.at = end;
        Ok(taken)
    }

    /// Leaves `n` bytes out.
    pub fn skip(&mut self, n: usize) -> Result<()> {
        self.take(n).map(|_| ())
    }

    /// All that is left.
    pub fn rest(&mut self) -> &'a [u8] {
        let rest = &self.bytes[self.at..];
        self.at = self.bytes.len();
        rest
    }

    /// A signature must stand here.
    pub fn signature(&mut self, signature: &[u8; 4], what: &'static str) -> Result<()> {
        if self.take(4)? == signature { Ok(()) } else { damaged(what) }
    }

    /// A little-endian number of so many bytes, 8 at most.
    pub fn uint(&mut self, width: usize) -> Result<u64> {
        let mut word = [0; 8];
        let to = word.get_mut(..width).ok_or(Problem::Damaged("a number wider than 8 bytes"))?;
        to.copy_from_slice(self.take(width)?);
        Ok(u64::from_le_bytes(word))
    }

    /// 1 byte.
    pub fn u8(&mut self) -> Result<u8> {
        self.uint(1).map(|v| v as u8)
    }

    /// 2 bytes.
    pub fn u16(&mut self) -> Result<u16> {
        self.uint(2).map(|v| v as u16)
    }

    /// 4 bytes.
    pub fn u32(&mut self) -> Result<u32> {
        self.uint(4).map(|v| v as u32)
    }

    /// 8 bytes.
    pub fn u64(&mut self) -> Result<u64> {
        self.uint(8)
    }

    /// A length, as wide as the file has them.
    pub fn length(&mut self) -> Result<u64> {
        self.uint(self.widths.length)
    }

    /// An offset in a heap, as wide as an address.
    pub fn heap_offset(&mut self) -> Result<u64> {
        self.uint(self.widths.offset)
    }

    /// An address; None for "undefined".
    pub fn address(&mut self) -> Result<Option<u64>> {
        let width = self.widths.offset;
        let value = self.uint(width)?;
        let undefined = u64::MAX >> (64 - 8 * width.clamp(1, 8));
        Ok((value != undefined).then_some(value))
    }

    /// Text up to the next zero byte, which is taken, too.
    pub fn text_to_nul(&mut self) -> Result<String> {
        let rest = &self.bytes[self.at..];
        let end = rest.iter().position(|b| *b == 0);
        let end = end.ok_or(Problem::Damaged("a name without end"))?;
        let text = String::from_utf8_lossy(&rest[..end]).into_owned();
        self.at += end + 1;
        Ok(text)
    }
}

/// Bytes that a number up to `limit` needs in the format's variable encodings.
pub fn width_of(limit: u64) -> usize {
    (limit.max(1).ilog2() / 8 + 1) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_beyond_the_end_are_errors() {
        let mut c = Cursor::new(&[1, 2, 3, 255, 255, 255, 255], Widths { offset: 4, length: 2 });
        assert_eq!(c.u8().unwrap(), 1);
        assert_eq!(c.length().unwrap(), 0x302);
        assert_eq!(c.address().unwrap(), None);
        assert!(c.u8().is_err() && c.take(usize::MAX).is_err() && c.text_to_nul().is_err());
        assert!(c.uint(9).is_err());
        assert_eq!([width_of(0), width_of(255), width_of(256), width_of(u64::MAX)], [1, 1, 2, 8]);
    }
}
