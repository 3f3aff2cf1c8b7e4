//! Attributes: what a file says about its groups and datasets.

use crate::hdf5::format::btree::Tree2;
use crate::hdf5::format::element::{Change, Class, Element, change_in_place};
use crate::hdf5::format::fractal_heap::FractalHeap;
use crate::hdf5::format::header::{Message, kind, resolve};
use crate::hdf5::format::heap::GlobalObject;
use crate::hdf5::format::space::Space;
use crate::hdf5::format::store::Store;
use crate::hdf5::format::{MAX_ATTRIBUTE, Problem, Result, damaged};
use ami_graph::data::value::DType;

/// Attributes of one object.
const MAX_ATTRIBUTES: usize = 1 << 10;
/// Those that are looked at. Others are not kept.
const NAMES: [&str; 6] = ["units", "long_name", "offset", "start", "NX_class", "signal"];
/// Characters of a text that are kept.
const MAX_TEXT: usize = 256;

/// An attribute: its name, and its value where it is text or one number.
#[derive(Debug, Clone, PartialEq)]
pub struct Attribute {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: Option<Plain>,
}

/// A value of an attribute.
#[derive(Debug, Clone, PartialEq)]
pub enum Plain {
    /// Text; of several the first.
    Text(String),
    /// A number; of several the first.
    Number(f64),
}

/// The attributes of an object. One that cannot be read has no value; the others are there all the same.
///
/// # Errors
/// When their list is damaged.
pub fn attributes(store: &Store, messages: &[Message]) -> Result<Vec<Attribute>> {
    let mut list = List::default();
    for message in messages {
        match message.kind {
            kind::ATTRIBUTE => list.add(store, &message.bytes)?,
            kind::ATTRIBUTE_INFO => dense(store, &message.bytes, &mut list)?,
            _ => {}
        }
    }
    Ok(list.kept)
}

#[derive(Default)]
struct List {
    kept: Vec<Attribute>,
    seen: usize,
}

impl List {
    fn add(&mut self, store: &Store, bytes: &[u8]) -> Result<()> {
        self.seen += 1;
        if self.seen > MAX_ATTRIBUTES {
            return Err(Problem::Limit(format!("more than {MAX_ATTRIBUTES} attributes")));
        }
        let found = parse(store, bytes)?;
        if NAMES.contains(&found.name.as_str()) {
            self.kept.push(found);
        }
        Ok(())
    }
}

fn dense(store: &Store, bytes: &[u8], list: &mut List) -> Result<()> {
    let mut c = store.cursor(bytes);
    c.skip(1)?;
    if c.u8()? & 1 != 0 {
        c.skip(2)?;
    }
    let (Some(heap), Some(names)) = (c.address()?, c.address()?) else { return Ok(()) };
    let heap = FractalHeap::open(store, heap)?;
    Tree2::open(store, names, &[8])?.each(&mut |record| {
        let Some(id) = record.get(..8) else { return damaged("a record too short") };
        list.add(store, &heap.object(id)?)
    })
}

fn parse(store: &Store, bytes: &[u8]) -> Result<Attribute> {
    let mut c = store.cursor(bytes);
    let (version, flags) = (c.u8()?, c.u8()?);
    let sizes = [usize::from(c.u16()?), usize::from(c.u16()?), usize::from(c.u16()?)];
    if version == 3 {
        c.skip(1)?;
    }
    let padded = |n: usize| if version == 1 { n.next_multiple_of(8) } else { n };
    let name = c.take(padded(sizes[0]))?;
    let name = String::from_utf8_lossy(name).trim_end_matches('\0').to_owned();
    let (mut dtype, mut space) =
        (c.take(padded(sizes[1]))?.to_vec(), c.take(padded(sizes[2]))?.to_vec());
    let flags = if version == 1 { 0 } else { flags };
    if flags & 1 != 0 {
        dtype = resolve(store, &dtype, kind::DATATYPE)?;
    }
    if flags & 2 != 0 {
        space = resolve(store, &space, kind::DATASPACE)?;
    }
    let element = Element::parse(&mut store.cursor(&dtype))?;
    let space = Space::parse(&mut store.cursor(&space))?;
    let none = space.null || space.shape.contains(&0) || c.left() > MAX_ATTRIBUTE;
    let value = if none { None } else { value(store, &element, c.rest()) };
    Ok(Attribute { name, value })
}

/// The first element, as far as it is one of the kinds that are looked at.
fn value(store: &Store, element: &Element, bytes: &[u8]) -> Option<Plain> {
    let first = bytes.get(..element.size)?;
    match element.class {
        Class::Text(_) => Some(short(text(first))),
        Class::LongText => {
            let object = long(store, first).ok()??;
            Some(short(text(object.bytes())))
        }
        Class::Number(dtype, change) if element.axes.is_empty() => {
            number(dtype, change, first).map(Plain::Number)
        }
        _ => None,
    }
}

fn short(text: &str) -> Plain {
    Plain::Text(text.chars().take(MAX_TEXT).collect())
}

/// What a value of any length refers to: its object, if it has one.
///
/// # Errors
/// When it leads nowhere.
pub fn long(store: &Store, reference: &[u8]) -> Result<Option<GlobalObject>> {
    let mut c = store.cursor(reference);
    let count = c.u32()?;
    match (count, c.address()?) {
        (0, _) | (_, None | Some(0)) => Ok(None),
        (_, Some(at)) => GlobalObject::find(store, at, c.u32()?).map(Some),
    }
}

/// Text without what it is filled up with, as far as it is text.
pub fn text(bytes: &[u8]) -> &str {
    let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
    let valid = match std::str::from_utf8(&bytes[..end]) {
        Ok(text) => text,
        Err(error) => std::str::from_utf8(&bytes[..error.valid_up_to()]).unwrap_or_default(),
    };
    valid.trim_end_matches(' ')
}

/// One number as float64.
pub fn number(dtype: DType, change: Change, bytes: &[u8]) -> Option<f64> {
    if let Change::Half(_) = change {
        return None;
    }
    let mut word = [0; 8];
    let to = word.get_mut(..bytes.len())?;
    to.copy_from_slice(bytes);
    change_in_place(change, bytes.len(), to);
    let whole = u64::from_le_bytes(word);
    Some(match dtype {
        DType::F32 => f64::from(f32::from_bits(whole as u32)),
        DType::F64 => f64::from_bits(whole),
        DType::I8 => f64::from(whole as i8),
        DType::I16 => f64::from(whole as i16),
        DType::I32 => f64::from(whole as i32),
        DType::I64 => whole as i64 as f64,
        DType::Str => return None,
        _ => whole as f64,
    })
}
