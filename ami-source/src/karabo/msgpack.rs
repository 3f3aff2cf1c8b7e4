//! MessagePack, item by item, where it lies: nothing is copied, nothing allocated.

use std::ops::Range;

/// One item; of arrays and maps only the head.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Item<'a> {
    Nil,
    Bool(bool),
    Int(i64),
    /// Beyond what an i64 holds.
    Large(u64),
    Float(f64),
    Text(&'a str),
    Bytes(&'a [u8]),
    /// So many items follow.
    Array(usize),
    /// So many keys with their values follow.
    Map(usize),
    /// An extension.
    Other,
}

/// Reads items one after the other.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    input: &'a [u8],
    at: usize,
}

/// Deepest nesting that is stepped over.
pub const DEPTH: usize = 32;

impl<'a> Reader<'a> {
    pub fn new(input: &'a [u8]) -> Reader<'a> {
        Reader { input, at: 0 }
    }

    /// True when everything was read.
    pub fn ended(&self) -> bool {
        self.at == self.input.len()
    }

    /// Where bytes that were just read lie.
    pub fn place(&self, bytes: &[u8]) -> Range<usize> {
        self.at - bytes.len()..self.at
    }

    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let bytes = self.input.get(self.at..self.at.checked_add(len)?)?;
        self.at += len;
        Some(bytes)
    }

    fn fixed<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    /// A length of so many bytes.
    fn length(&mut self, bytes: usize) -> Option<usize> {
        Some(self.take(bytes)?.iter().fold(0, |n, byte| n << 8 | usize::from(*byte)))
    }

    fn text(&mut self, len: usize) -> Option<Item<'a>> {
        let bytes = self.take(len)?;
        Some(std::str::from_utf8(bytes).map_or(Item::Bytes(bytes), Item::Text))
    }

    /// The next item; None when the input ends within it or it is none.
    pub fn item(&mut self) -> Option<Item<'a>> {
        let [kind] = self.fixed()?;
        let sized = |base: u8| 1usize << (kind - base);
        Some(match kind {
            0x00..=0x7f => Item::Int(i64::from(kind)),
            0x80..=0x8f => Item::Map(usize::from(kind & 15)),
            0x90..=0x9f => Item::Array(usize::from(kind & 15)),
            0xa0..=0xbf => self.text(usize::from(kind & 31))?,
            0xc0 => Item::Nil,
            0xc2 | 0xc3 => Item::Bool(kind == 0xc3),
            0xc4..=0xc6 => {
                let len = self.length(sized(0xc4))?;
                Item::Bytes(self.take(len)?)
            }
            0xc7..=0xc9 => {
                let len = self.length(sized(0xc7))?;
                self.take(len.checked_add(1)?)?;
                Item::Other
            }
            0xca => Item::Float(f64::from(f32::from_be_bytes(self.fixed()?))),
            0xcb => Item::Float(f64::from_be_bytes(self.fixed()?)),
            0xcc => Item::Int(i64::from(self.fixed::<1>()?[0])),
            0xcd => Item::Int(i64::from(u16::from_be_bytes(self.fixed()?))),
            0xce => Item::Int(i64::from(u32::from_be_bytes(self.fixed()?))),
            0xcf => {
                let value = u64::from_be_bytes(self.fixed()?);
                i64::try_from(value).map_or(Item::Large(value), Item::Int)
            }
            0xd0 => Item::Int(i64::from(i8::from_be_bytes(self.fixed()?))),
            0xd1 => Item::Int(i64::from(i16::from_be_bytes(self.fixed()?))),
            0xd2 => Item::Int(i64::from(i32::from_be_bytes(self.fixed()?))),
            0xd3 => Item::Int(i64::from_be_bytes(self.fixed()?)),
            0xd4..=0xd8 => {
                self.take(1 + sized(0xd4))?;
                Item::Other
            }
            0xd9..=0xdb => {
                let len = self.length(sized(0xd9))?;
                self.text(len)?
            }
            0xdc | 0xdd => Item::Array(self.length(2 * sized(0xdc))?),
            0xde | 0xdf => Item::Map(self.length(2 * sized(0xde))?),
            0xe0..=0xff => Item::Int(i64::from(kind as i8)),
            0xc1 => return None,
        })
    }

    /// Steps over what belongs to an item that was read; None when it is nested too deep or breaks off.
    pub fn skip(&mut self, item: Item<'_>, depth: usize) -> Option<()> {
        let count = match item {
            Item::Array(n) => n,
            Item::Map(n) => n.checked_mul(2)?,
            _ => return Some(()),
        };
        let depth = depth.checked_sub(1)?;
        for _ in 0..count {
            let item = self.item()?;
            self.skip(item, depth)?;
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_item_is_read() {
        let cases: [(&[u8], Item<'_>); 17] = [
            (&[0xc0], Item::Nil),
            (&[0xc3], Item::Bool(true)),
            (&[0x7f], Item::Int(127)),
            (&[0xff], Item::Int(-1)),
            (&[0xcd, 1, 0], Item::Int(256)),
            (&[0xd3, 255, 255, 255, 255, 255, 255, 255, 0], Item::Int(-256)),
            (&[0xcf, 0, 0, 0, 0, 0, 0, 1, 0], Item::Int(256)),
            (&[0xcf, 255, 255, 255, 255, 255, 255, 255, 255], Item::Large(u64::MAX)),
            (&[0xca, 0x3f, 0x80, 0, 0], Item::Float(1.0)),
            (&[0xa2, b'a', b'b'], Item::Text("ab")),
            (&[0xd9, 1, b'a'], Item::Text("a")),
            (&[0xa1, 0xff], Item::Bytes(&[0xff])),
            (&[0xc5, 0, 1, 9], Item::Bytes(&[9])),
            (&[0xdc, 0, 3], Item::Array(3)),
            (&[0xdf, 0, 0, 0, 2], Item::Map(2)),
            (&[0xd6, 1, 0, 0, 0, 0], Item::Other),
            (&[0xc7, 2, 1, 0, 0], Item::Other),
        ];
        for (bytes, expected) in cases {
            let mut reader = Reader::new(bytes);
            assert_eq!(reader.item(), Some(expected), "{bytes:x?}");
            assert!(reader.ended(), "{bytes:x?}");
            for cut in 0..bytes.len() {
                assert_eq!(Reader::new(&bytes[..cut]).item(), None, "{bytes:x?} cut at {cut}");
            }
        }
        let deep = [&[0x91; 100][..], &[0xc0]].concat();
        let mut reader = Reader::new(&deep);
        let item = reader.item().unwrap();
        assert_eq!(reader.skip(item, DEPTH), None);
    }
}
