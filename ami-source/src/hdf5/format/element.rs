//! What one element of a dataset is, and what it becomes here.

use crate::hdf5::format::cursor::Cursor;
use crate::hdf5::format::{MAX_AXES, Result, damaged};
use ami_graph::data::schema::Labels;
use ami_graph::data::value::DType;

/// Members of an enumeration.
const MAX_MEMBERS: usize = 1 << 12;

/// A type, as far as it can become a field.
#[derive(Debug, Clone, PartialEq)]
pub struct Element {
    /// Bytes in the file.
    pub size: usize,
    /// What they mean.
    pub class: Class,
    /// Axes that each element has of itself.
    pub axes: Vec<u64>,
    /// Codes of an enumeration by label.
    pub labels: Labels,
}

/// What the bytes of an element mean.
#[derive(Debug, Clone, PartialEq)]
pub enum Class {
    /// A number: what it becomes, and how.
    Number(DType, Change),
    /// Text of a fixed length; true when it is filled up with blanks.
    Text(bool),
    /// Text of any length, elsewhere in the file.
    LongText,
    /// Numbers of any count, elsewhere in the file: what one is, and its bytes there.
    List(DType, Change, usize),
    /// Nothing that ami has.
    Refused(String),
}

/// What is done to a number's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Nothing.
    None,
    /// Big-endian to little-endian.
    Swap,
    /// Two bytes of float to four; big-endian if true.
    Half(bool),
    /// Anything but zero is true; so many bytes.
    Truth(usize),
}

impl Element {
    /// From the bytes of a datatype message.
    ///
    /// # Errors
    /// When they contradict the format. A type that ami does not have is [`Class::Refused`].
    pub fn parse(c: &mut Cursor<'_>) -> Result<Element> {
        parse(c, 0)
    }

    /// The type it becomes; None when it cannot be a field.
    pub fn dtype(&self) -> Option<DType> {
        match self.class {
            Class::Number(dtype, _) | Class::List(dtype, ..) => Some(dtype),
            Class::Text(_) | Class::LongText => Some(DType::Str),
            Class::Refused(_) => None,
        }
    }

    /// What people read.
    pub fn describe(&self) -> String {
        let axes: String = self.axes.iter().map(|n| format!("[{n}]")).collect();
        let name = match &self.class {
            Class::Number(dtype, Change::Swap) => format!("{dtype} big-endian"),
            Class::Number(_, Change::Half(_)) => "float16".into(),
            Class::Number(dtype, _) if !self.labels.is_empty() => format!("enum {dtype}"),
            Class::Number(dtype, _) => dtype.to_string(),
            Class::Text(_) => format!("str({})", self.size),
            Class::LongText => "str".into(),
            Class::List(dtype, ..) => format!("list of {dtype}"),
            Class::Refused(what) => what.clone(),
        };
        name + &axes
    }
}

fn parse(c: &mut Cursor<'_>, depth: usize) -> Result<Element> {
    if depth > 4 {
        return damaged("a type of types of types");
    }
    let word = c.u32()?;
    let size = c.u32()? as usize;
    let (class, version, bits) = (word & 15, (word >> 4) & 15, word >> 8);
    if size == 0 || size > 1 << 20 {
        return Ok(of(size.max(1), Class::Refused(format!("elements of {size} bytes"))));
    }
    match class {
        0 | 4 => whole(c, size, bits, class == 0 && bits & 8 != 0),
        1 => float(c, size, bits),
        3 => Ok(of(size, Class::Text(bits & 15 == 2))),
        8 => enumeration(c, size, bits as usize & 0xffff, version, depth),
        9 => list(c, size, bits & 15 == 1, depth),
        10 => array(c, size, version, depth),
        2 => Ok(refused(size, "time")),
        5 => Ok(refused(size, "opaque")),
        6 => Ok(refused(size, "compound")),
        7 => Ok(refused(size, "reference")),
        11 => Ok(refused(size, "complex")),
        _ => damaged("a type of an unknown class"),
    }
}

fn of(size: usize, class: Class) -> Element {
    Element { size, class, axes: Vec::new(), labels: Labels::new() }
}

fn refused(size: usize, what: &str) -> Element {
    of(size, Class::Refused(what.into()))
}

fn swap(size: usize, big: bool) -> Change {
    if big && size > 1 { Change::Swap } else { Change::None }
}

fn whole(c: &mut Cursor<'_>, size: usize, bits: u32, signed: bool) -> Result<Element> {
    let (offset, precision) = (c.u16()?, usize::from(c.u16()?));
    let dtype = match (size, signed) {
        (1, false) => DType::U8,
        (2, false) => DType::U16,
        (4, false) => DType::U32,
        (8, false) => DType::U64,
        (1, true) => DType::I8,
        (2, true) => DType::I16,
        (4, true) => DType::I32,
        (8, true) => DType::I64,
        _ => return Ok(refused(size, "an integer of an odd width")),
    };
    if offset != 0 || precision != size * 8 {
        return Ok(refused(size, "an integer of some bits of its bytes"));
    }
    Ok(of(size, Class::Number(dtype, swap(size, bits & 1 != 0))))
}

fn float(c: &mut Cursor<'_>, size: usize, bits: u32) -> Result<Element> {
    let offset = c.u16()?;
    let precision = usize::from(c.u16()?);
    let fields = [c.u8()?, c.u8()?, c.u8()?, c.u8()?];
    let bias = c.u32()?;
    let (big, mixed) = (bits & 1 != 0, bits & 0x40 != 0);
    let class = match (size, fields, bias) {
        (2, [10, 5, 0, 10], 15) => Class::Number(DType::F32, Change::Half(big)),
        (4, [23, 8, 0, 23], 127) => Class::Number(DType::F32, swap(4, big)),
        (8, [52, 11, 0, 52], 1023) => Class::Number(DType::F64, swap(8, big)),
        _ => Class::Refused("a float that is not IEEE's".into()),
    };
    if offset != 0 || precision != size * 8 || mixed {
        return Ok(refused(size, "a float of some bits of its bytes"));
    }
    Ok(of(size, class))
}

fn enumeration(
    c: &mut Cursor<'_>,
    size: usize,
    members: usize,
    version: u32,
    depth: usize,
) -> Result<Element> {
    let base = parse(c, depth + 1)?;
    let Class::Number(dtype, change) = base.class else { return Ok(refused(size, "enum")) };
    if members > MAX_MEMBERS || !dtype.is_integer() || base.size != size {
        return Ok(refused(size, "an enumeration of too much"));
    }
    let mut names = Vec::new();
    for _ in 0..members {
        let before = c.at();
        names.push(c.text_to_nul()?);
        if version < 3 {
            c.skip((c.at() - before).next_multiple_of(8) - (c.at() - before))?;
        }
    }
    let mut labels = Labels::new();
    for name in names {
        let mut bytes = c.take(size)?.to_vec();
        if change == Change::Swap {
            bytes.reverse();
        }
        labels.insert(name, integer(&bytes, dtype));
    }
    // How h5py writes what numpy calls bool.
    let truth = size == 1 && labels.len() == 2 && labels.get("FALSE") == Some(&0);
    if truth && labels.get("TRUE") == Some(&1) {
        return Ok(of(1, Class::Number(DType::Bool, Change::Truth(1))));
    }
    Ok(Element { labels, ..of(size, Class::Number(dtype, change)) })
}

/// A little-endian integer of a type, as far as it fits.
fn integer(bytes: &[u8], dtype: DType) -> i64 {
    let signed = matches!(dtype, DType::I8 | DType::I16 | DType::I32 | DType::I64);
    let negative = signed && bytes.last().is_some_and(|b| b & 0x80 != 0);
    let mut word = if negative { [255; 8] } else { [0; 8] };
    word[..bytes.len().min(8)].copy_from_slice(&bytes[..bytes.len().min(8)]);
    i64::from_le_bytes(word)
}

fn list(c: &mut Cursor<'_>, size: usize, text: bool, depth: usize) -> Result<Element> {
    let base = parse(c, depth + 1)?;
    Ok(match base.class {
        _ if text => of(size, Class::LongText),
        Class::Number(dtype, change) if base.axes.is_empty() => {
            Element { labels: base.labels, ..of(size, Class::List(dtype, change, base.size)) }
        }
        _ => refused(size, "lists of what is no number"),
    })
}

fn array(c: &mut Cursor<'_>, size: usize, version: u32, depth: usize) -> Result<Element> {
    let rank = usize::from(c.u8()?);
    if rank > MAX_AXES {
        return damaged("an array of too many axes");
    }
    if version < 3 {
        c.skip(3)?;
    }
    let axes = (0..rank).map(|_| c.u32().map(u64::from)).collect::<Result<Vec<_>>>()?;
    if version < 3 {
        c.skip(4 * rank)?;
    }
    let base = parse(c, depth + 1)?;
    let count = axes.iter().try_fold(1u64, |n, &d| n.checked_mul(d));
    let fits = count.and_then(|n| n.checked_mul(base.size as u64)) == Some(size as u64);
    Ok(match base.class {
        Class::Number(..) if fits && base.axes.is_empty() => Element { size, axes, ..base },
        Class::Number(..) => return damaged("an array whose size is not that of its elements"),
        _ => refused(size, "arrays of what is no number"),
    })
}

/// Changes numbers that lie in their final bytes already: turns them, or makes truths of them.
/// `size` is the bytes of one number.
pub fn change_in_place(change: Change, size: usize, bytes: &mut [u8]) {
    match change {
        Change::Swap => bytes.chunks_exact_mut(size.max(1)).for_each(<[u8]>::reverse),
        Change::Truth(_) => bytes.iter_mut().for_each(|b| *b = u8::from(*b != 0)),
        Change::None | Change::Half(_) => {}
    }
}

/// Widens two-byte floats.
pub fn widen(big: bool, from: &[u8], to: &mut [u8]) {
    for (two, four) in from.as_chunks::<2>().0.iter().zip(to.as_chunks_mut::<4>().0) {
        let half = if big { u16::from_be_bytes(*two) } else { u16::from_le_bytes(*two) };
        *four = single(half).to_le_bytes();
    }
}

fn single(half: u16) -> f32 {
    let sign = if half & 0x8000 != 0 { -1.0 } else { 1.0 };
    let (exponent, mantissa) = (i32::from(half >> 10 & 31), f32::from(half & 0x3ff));
    sign * match exponent {
        31 if mantissa == 0.0 => f32::INFINITY,
        31 => f32::NAN,
        0 => mantissa * 2f32.powi(-24),
        e => (1.0 + mantissa / 1024.0) * 2f32.powi(e - 15),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_become_singles() {
        let cases = [(0x3c00, 1.0), (0xc000, -2.0), (1, 5.960_464_5e-8), (0x7bff, 65504.0)];
        for (half, value) in cases {
            assert_eq!(single(half), value);
        }
        assert!(single(0x7c00).is_infinite() && single(0x7e00).is_nan());
        let mut to = [0; 4];
        widen(true, &[0x3c, 0], &mut to);
        assert_eq!(f32::from_le_bytes(to), 1.0);
        assert_eq!(integer(&[0xfe], DType::I8), -2);
    }
}
