//! What a series' header says, as values by name.

use crate::dectris::cbor::{self, Blob};
use crate::dectris::image::{Coding, Plane, bytes_of};
use ami_graph::data::value::{Array, DType, Scalar, Value};
use minicbor::data::Type;
use minicbor::decode::{Decoder, Error};

/// Names at most.
const NAMES: usize = 512;
/// Numbers of a list at most, and bytes of a name or a text.
const LIST: usize = 4096;

/// Gathers values, within limits.
#[derive(Debug, Default)]
pub struct Gathered {
    pub values: Vec<(String, Value)>,
    /// Values that were left out.
    pub left_out: u64,
    /// Bytes of tables that may still come.
    room: usize,
}

impl Gathered {
    /// With room for tables of so many bytes in all.
    pub fn new(room: usize) -> Gathered {
        Gathered { room, ..Gathered::default() }
    }

    /// Adds a value under a name, or replaces it.
    pub fn put(&mut self, name: &str, value: Value) {
        let long = matches!(&value, Value::Str(text) if text.len() > LIST) || name.len() > 200;
        if long || self.values.len() >= NAMES {
            self.left_out += 1;
            return;
        }
        let name = clean(name);
        match self.values.iter_mut().find(|(known, _)| *known == name) {
            Some((_, old)) => *old = value,
            None => self.values.push((name, value)),
        }
    }

    pub fn number(&mut self, name: &str, number: f64) {
        self.put(name, Value::Scalar(Scalar::F64(number)));
    }

    /// Decodes a table, if there is room for it.
    pub fn table(&mut self, name: &str, plane: &Plane, bytes: &[u8]) {
        let decoded =
            bytes_of(plane.dtype, &plane.shape).filter(|n| *n <= self.room).and_then(|n| {
                let mut array = Array::zeros(plane.dtype, &plane.shape);
                plane.decode(bytes, array.bytes_mut()).ok()?;
                Some((n, array))
            });
        match decoded {
            Some((n, array)) => {
                self.room -= n;
                self.put(name, Value::Array(array));
            }
            None => self.left_out += 1,
        }
    }
}

/// A name without what names of fields cannot have.
pub fn clean(name: &str) -> String {
    let clean = |c: char| if c == ':' || c.is_whitespace() || c.is_control() { '_' } else { c };
    name.chars().map(clean).collect()
}

/// Adds what a CBOR value says. Maps become names with dots, all numbers float64.
pub fn gather(
    d: &mut Decoder<'_>,
    name: &str,
    depth: usize,
    out: &mut Gathered,
) -> Result<(), Error> {
    let Some(depth) = depth.checked_sub(1) else { return Err(Error::message("nested too deep")) };
    match d.datatype()? {
        Type::Bool => out.put(name, Value::Scalar(Scalar::Bool(d.bool()?))),
        Type::String | Type::StringIndef => out.put(name, Value::Str(cbor::text(d)?.into_owned())),
        Type::Array | Type::ArrayIndef => list(d, name, out)?,
        Type::Map | Type::MapIndef => {
            cbor::pairs(d, |key, d| gather(d, &format!("{name}.{key}"), depth, out))?;
        }
        Type::Tag => match typed(d, name)? {
            Some(Typed::Text(text)) => out.put(name, Value::Str(text)),
            Some(Typed::Plane(plane)) => out.table(name, &plane, plane.blob.bytes(d.input())),
            None => out.left_out += 1,
        },
        _ => match cbor::number(d)? {
            Some(number) => out.number(name, number),
            None => cbor::skip(d, cbor::DEPTH)?,
        },
    }
    Ok(())
}

/// A list of numbers, or of texts.
fn list(d: &mut Decoder<'_>, name: &str, out: &mut Gathered) -> Result<(), Error> {
    let (mut numbers, mut texts, mut others) = (Vec::new(), Vec::new(), 0);
    cbor::items(d, |d| {
        if let Some(number) = cbor::number(d)? {
            numbers.push(number);
        } else if matches!(d.datatype()?, Type::String | Type::StringIndef) {
            texts.push(cbor::text(d)?.into_owned());
        } else {
            others += 1;
            cbor::skip(d, cbor::DEPTH)?;
        }
        match numbers.len() + texts.len() > LIST {
            true => Err(Error::message("a list that is too long")),
            false => Ok(()),
        }
    })?;
    match (numbers.is_empty(), texts.is_empty(), others) {
        (false, true, 0) => {
            out.put(name, Value::Array(Array::from_elements(&[numbers.len()], &numbers)));
        }
        (true, false, 0) => out.put(name, Value::Str(texts.join(","))),
        (true, true, 0) => {}
        _ => out.left_out += 1,
    }
    Ok(())
}

/// What stands under a tag.
pub enum Typed {
    Text(String),
    Plane(Plane),
}

/// Element type of a tag of RFC 8746, and whether its greatest byte comes first.
fn element(tag: u64) -> Option<(DType, bool)> {
    Some(match tag {
        64 | 68 => (DType::U8, false),
        65 => (DType::U16, true),
        66 => (DType::U32, true),
        67 => (DType::U64, true),
        69 => (DType::U16, false),
        70 => (DType::U32, false),
        71 => (DType::U64, false),
        72 => (DType::I8, false),
        73 => (DType::I16, true),
        74 => (DType::I32, true),
        75 => (DType::I64, true),
        77 => (DType::I16, false),
        78 => (DType::I32, false),
        79 => (DType::I64, false),
        81 => (DType::F32, true),
        82 => (DType::F64, true),
        85 => (DType::F32, false),
        86 => (DType::F64, false),
        _ => return None,
    })
}

const DATE: u64 = 0;
/// An array of several dimensions, the last axis fastest.
const ROW_MAJOR: u64 = 40;
const COMPRESSED: u64 = 56500;

/// A tagged value: a date, an array of one dimension or several. None of what is not read, which is
/// stepped over.
pub fn typed(d: &mut Decoder<'_>, channel: &str) -> Result<Option<Typed>, Error> {
    match d.tag()?.as_u64() {
        DATE => Ok(Some(Typed::Text(cbor::text(d)?.into_owned()))),
        ROW_MAJOR => {
            let (mut shape, mut plane, mut at) = (Vec::new(), None, 0);
            cbor::items(d, |d| {
                at += 1;
                match at {
                    1 => shape = axes(d)?,
                    2 if d.datatype()? == Type::Tag => {
                        let tag = d.tag()?.as_u64();
                        plane = elements(d, tag, channel)?;
                    }
                    _ => cbor::skip(d, cbor::DEPTH)?,
                }
                Ok(())
            })?;
            let Some(mut plane) = plane else { return Ok(None) };
            plane.shape = shape;
            Ok(bytes_of(plane.dtype, &plane.shape).map(|_| Typed::Plane(plane)))
        }
        tag => {
            let Some(mut plane) = elements(d, tag, channel)? else { return Ok(None) };
            // One dimension: as long as its bytes say.
            let bytes = plane.blob.bytes(d.input());
            let total = match plane.coding {
                Coding::Raw => bytes.len() as u64,
                _ => crate::codecs::head(bytes).map_or(0, |(total, _)| total),
            };
            plane.shape = vec![usize::try_from(total).unwrap_or(usize::MAX) / plane.dtype.size()];
            Ok(Some(Typed::Plane(plane)))
        }
    }
}

fn axes(d: &mut Decoder<'_>) -> Result<Vec<usize>, Error> {
    let mut axes = Vec::new();
    cbor::items(d, |d| {
        if axes.len() > ami_graph::data::value::MAX_RANK {
            return Err(Error::message("too many dimensions"));
        }
        axes.push(usize::try_from(d.u64()?).unwrap_or(usize::MAX));
        Ok(())
    })?;
    Ok(axes)
}

/// A typed array, its bytes compressed or not.
fn elements(d: &mut Decoder<'_>, tag: u64, channel: &str) -> Result<Option<Plane>, Error> {
    let Some((dtype, big_endian)) = element(tag) else {
        cbor::skip(d, cbor::DEPTH)?;
        return Ok(None);
    };
    let (mut coding, mut blob) = (Some(Coding::Raw), None);
    if d.datatype()? == Type::Tag {
        if d.tag()?.as_u64() != COMPRESSED {
            cbor::skip(d, cbor::DEPTH)?;
            return Ok(None);
        }
        let mut at = 0;
        cbor::items(d, |d| {
            at += 1;
            match at {
                1 => coding = algorithm(&cbor::text(d)?),
                3 => blob = Some(cbor::blob(d)?),
                _ => cbor::skip(d, cbor::DEPTH)?,
            }
            Ok(())
        })?;
    } else {
        blob = Some(cbor::blob(d)?);
    }
    let (Some(coding), Some(blob)) = (coding, blob) else { return Ok(None) };
    let (channel, shape) = (channel.to_owned(), Vec::new());
    Ok(Some(Plane { channel, dtype, shape, coding, big_endian, frame: 0, blob, damaged: false }))
}

fn algorithm(name: &str) -> Option<Coding> {
    match name {
        "bslz4" => Some(Coding::Bslz4),
        "lz4" => Some(Coding::Lz4),
        "none" => Some(Coding::Raw),
        _ => None,
    }
}

/// The blob of a frame of its own, for the protocol that has such.
pub fn whole(bytes: &[u8]) -> Blob {
    Blob::Within(0..bytes.len())
}
