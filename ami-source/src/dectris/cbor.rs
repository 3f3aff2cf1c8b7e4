//! CBOR beyond single values: what may be of known or unknown length, and values that are stepped over.
//! Nothing is allocated but for text and bytes that come in pieces, and nesting is limited.

use minicbor::data::{IanaTag, Type};
use minicbor::decode::{Decoder, Error};
use std::borrow::Cow;
use std::ops::Range;

/// Deepest nesting.
pub const DEPTH: usize = 16;

fn refused(why: &'static str) -> Error {
    Error::message(why)
}

/// Text, in one piece or several.
pub fn text<'b>(d: &mut Decoder<'b>) -> Result<Cow<'b, str>, Error> {
    if d.datatype()? == Type::StringIndef {
        return Ok(Cow::Owned(d.str_iter()?.collect::<Result<String, Error>>()?));
    }
    Ok(Cow::Borrowed(d.str()?))
}

/// Bytes: where they lie in the input, or gathered from pieces.
#[derive(Debug, Clone, PartialEq)]
pub enum Blob {
    /// In one piece.
    Within(Range<usize>),
    /// In several.
    Gathered(Vec<u8>),
}

impl Blob {
    /// The bytes.
    pub fn bytes<'a>(&'a self, input: &'a [u8]) -> &'a [u8] {
        match self {
            Blob::Within(range) => input.get(range.clone()).unwrap_or_default(),
            Blob::Gathered(bytes) => bytes,
        }
    }
}

/// Bytes, in one piece or several.
pub fn blob(d: &mut Decoder<'_>) -> Result<Blob, Error> {
    if d.datatype()? == Type::BytesIndef {
        let mut all = Vec::new();
        for piece in d.bytes_iter()? {
            all.extend_from_slice(piece?);
        }
        return Ok(Blob::Gathered(all));
    }
    let len = d.bytes()?.len();
    Ok(Blob::Within(d.position() - len..d.position()))
}

/// True when a list or map of this length has another item; takes the end of one of unknown length.
fn another(d: &mut Decoder<'_>, len: Option<u64>, done: u64) -> Result<bool, Error> {
    match len {
        Some(len) => Ok(done < len),
        None if d.datatype()? == Type::Break => {
            d.set_position(d.position() + 1);
            Ok(false)
        }
        None => Ok(true),
    }
}

/// Goes over a map. A value that `each` leaves untouched is stepped over; so are keys that are no text.
pub fn pairs<'b>(
    d: &mut Decoder<'b>,
    mut each: impl FnMut(&str, &mut Decoder<'b>) -> Result<(), Error>,
) -> Result<(), Error> {
    let len = d.map()?;
    let mut done = 0;
    while another(d, len, done)? {
        done += 1;
        if !matches!(d.datatype()?, Type::String | Type::StringIndef) {
            skip(d, DEPTH)?;
            skip(d, DEPTH)?;
            continue;
        }
        let key = text(d)?;
        let value = d.position();
        each(&key, d)?;
        if d.position() == value {
            skip(d, DEPTH)?;
        }
    }
    Ok(())
}

/// Goes over an array; `each` takes its items.
pub fn items<'b>(
    d: &mut Decoder<'b>,
    mut each: impl FnMut(&mut Decoder<'b>) -> Result<(), Error>,
) -> Result<(), Error> {
    let len = d.array()?;
    let mut done = 0;
    while another(d, len, done)? {
        done += 1;
        each(d)?;
    }
    Ok(())
}

/// Steps over a value of at most this depth.
pub fn skip(d: &mut Decoder<'_>, depth: usize) -> Result<(), Error> {
    let depth = depth.checked_sub(1).ok_or_else(|| refused("nested too deep"))?;
    match d.datatype()? {
        Type::Array | Type::ArrayIndef => items(d, |d| skip(d, depth)),
        Type::Map | Type::MapIndef => {
            let len = d.map()?;
            let mut done = 0;
            while another(d, len, done)? {
                done += 1;
                skip(d, depth)?;
                skip(d, depth)?;
            }
            Ok(())
        }
        Type::Tag => {
            d.tag()?;
            skip(d, depth)
        }
        Type::Bytes | Type::BytesIndef => d.bytes_iter()?.try_for_each(|piece| piece.map(drop)),
        Type::String | Type::StringIndef => d.str_iter()?.try_for_each(|piece| piece.map(drop)),
        Type::Break => Err(refused("an end without a beginning")),
        _ => d.skip(),
    }
}

/// Any number; None when it is none, and stays.
pub fn number(d: &mut Decoder<'_>) -> Result<Option<f64>, Error> {
    Ok(match d.datatype()? {
        Type::F16 | Type::F32 | Type::F64 => Some(d.f64()?),
        kind if is_integer(kind) => Some(i128::from(d.int()?) as f64),
        _ => None,
    })
}

fn is_integer(kind: Type) -> bool {
    use Type as T;
    let unsigned = matches!(kind, T::U8 | T::U16 | T::U32 | T::U64);
    unsigned || matches!(kind, T::I8 | T::I16 | T::I32 | T::I64 | T::Int)
}

/// Text with the tag of dates, or without.
pub fn date(d: &mut Decoder<'_>) -> Result<Option<u64>, Error> {
    if d.datatype()? == Type::Tag && d.tag()? != IanaTag::DateTime {
        return Err(refused("no date"));
    }
    Ok(super::date::ns(&text(d)?))
}

/// A fraction of seconds, in ns: `[numerator, denominator]`. None when that is no time.
pub fn rational_ns(d: &mut Decoder<'_>) -> Result<Option<u64>, Error> {
    let mut parts = [0u64; 2];
    let mut count = 0;
    items(d, |d| {
        if let Some(part) = parts.get_mut(count) {
            *part = d.u64()?;
        } else {
            skip(d, DEPTH)?;
        }
        count += 1;
        Ok(())
    })?;
    let ns = (u128::from(parts[0]) * 1_000_000_000).checked_div(u128::from(parts[1]));
    Ok(ns.filter(|_| count == 2).and_then(|ns| u64::try_from(ns).ok()))
}
