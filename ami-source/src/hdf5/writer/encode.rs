//! The messages of object headers and the superblock, as bytes.

use crate::hdf5::format::checksum::lookup3;
use crate::hdf5::writer::{Attribute, Data};
use ami_graph::data::value::DType;

/// Bytes of the superblock.
pub const SUPERBLOCK: usize = 48;
/// Kinds of messages.
pub const LINK: u8 = 0x06;
pub const ATTRIBUTE: u8 = 0x0c;
const DATASPACE: u8 = 0x01;
const LINK_INFO: u8 = 0x02;
const DATATYPE: u8 = 0x03;
const FILL: u8 = 0x05;
const LAYOUT: u8 = 0x08;
const GROUP_INFO: u8 = 0x0a;

/// Version 2: the root's header and the end of the file.
pub fn superblock(root: u64, end: u64) -> Vec<u8> {
    let mut bytes = b"\x89HDF\r\n\x1a\n\x02\x08\x08\x00".to_vec();
    for address in [0, u64::MAX, end, root] {
        bytes.extend(address.to_le_bytes());
    }
    bytes.extend(lookup3(&bytes).to_le_bytes());
    bytes
}

/// A group whose links stand in its header.
pub fn group_messages() -> Vec<(u8, Vec<u8>)> {
    vec![(LINK_INFO, [&[0, 0][..], &[255; 16]].concat()), (GROUP_INFO, vec![0, 0])]
}

/// A name of UTF-8 that leads to an object header; its length in two bytes.
pub fn link(name: &str, header: u64) -> Vec<u8> {
    let mut bytes = vec![1, 0x11, 1];
    bytes.extend((name.len() as u16).to_le_bytes());
    bytes.extend(name.as_bytes());
    bytes.extend(header.to_le_bytes());
    bytes
}

/// What a dataset in one piece consists of.
pub fn data_messages(data: &Data, at: u64, len: usize) -> Vec<(u8, Vec<u8>)> {
    let mut layout = vec![3, 1];
    layout.extend((if len == 0 { u64::MAX } else { at }).to_le_bytes());
    layout.extend((len as u64).to_le_bytes());
    let dtype = match data.dtype {
        DType::Str => text_type(len),
        dtype => number_type(dtype),
    };
    vec![
        (DATASPACE, space(&data.shape)),
        (DATATYPE, dtype),
        (FILL, vec![3, 0x0a]),
        (LAYOUT, layout),
    ]
}

fn space(shape: &[usize]) -> Vec<u8> {
    let mut bytes = vec![2, shape.len() as u8, 0, u8::from(!shape.is_empty())];
    shape.iter().for_each(|n| bytes.extend((*n as u64).to_le_bytes()));
    bytes
}

/// UTF-8 filled up with zeros.
fn text_type(len: usize) -> Vec<u8> {
    [&[0x13, 0x11, 0, 0][..], &(len as u32).to_le_bytes()].concat()
}

fn number_type(dtype: DType) -> Vec<u8> {
    let size = (dtype.size() as u32).to_le_bytes();
    let bits = (dtype.size() as u16 * 8).to_le_bytes();
    let whole = |signed: u8| [&[0x10, signed, 0, 0][..], &size, &[0, 0], &bits].concat();
    let float = |sign: u8, fields: [u8; 4], bias: u32| {
        let bias = bias.to_le_bytes();
        [&[0x11, 0x20, sign, 0][..], &size, &[0, 0], &bits, &fields, &bias].concat()
    };
    match dtype {
        // As h5py writes it: an enumeration of two.
        DType::Bool => {
            let base = number_type(DType::I8);
            [&[0x18, 2, 0, 0, 1, 0, 0, 0][..], &base, b"FALSE\0\0\0TRUE\0\0\0\0", &[0, 1]].concat()
        }
        DType::F32 => float(31, [23, 8, 0, 23], 127),
        DType::F64 => float(63, [52, 11, 0, 52], 1023),
        DType::I8 | DType::I16 | DType::I32 | DType::I64 => whole(8),
        _ => whole(0),
    }
}

/// Texts of any length, as h5py gives them to people: where each one is stands in the attribute.
const LONG_TEXT: [u8; 20] = [0x19, 1, 1, 0, 16, 0, 0, 0, 0x10, 0, 0, 0, 1, 0, 0, 0, 0, 0, 8, 0];
/// Heaps are multiples of this.
const PAGE: usize = 4096;

fn texts(value: &Attribute) -> (Vec<&str>, Vec<usize>) {
    match value {
        Attribute::Text(text) => (vec![text], Vec::new()),
        Attribute::Texts(texts) => (texts.iter().map(String::as_str).collect(), vec![texts.len()]),
    }
}

/// A global heap with the texts of all attributes, numbered from 1; empty for none.
pub fn heap(attributes: &[(String, Attribute)]) -> Vec<u8> {
    let mut objects = Vec::new();
    let all = attributes.iter().flat_map(|(_, value)| texts(value).0);
    for (i, text) in all.enumerate() {
        objects.extend((i as u16 + 1).to_le_bytes());
        objects.extend([1, 0, 0, 0, 0, 0]);
        objects.extend((text.len() as u64).to_le_bytes());
        objects.extend(text.as_bytes());
        objects.resize(objects.len().next_multiple_of(8), 0);
    }
    if objects.is_empty() {
        return objects;
    }
    let size = (16 + objects.len() + 16).next_multiple_of(PAGE);
    let mut heap = b"GCOL\x01\0\0\0".to_vec();
    heap.extend((size as u64).to_le_bytes());
    heap.extend(&objects);
    // What is free is object 0.
    heap.extend([0; 8]);
    heap.extend(((size - 16 - objects.len()) as u64).to_le_bytes());
    heap.resize(size, 0);
    heap
}

/// Attributes whose texts stand in the heap at an address.
pub fn attributes(attributes: &[(String, Attribute)], heap: u64) -> Vec<Vec<u8>> {
    let mut number = 0u32;
    let mut encode = |(name, value): &(String, Attribute)| {
        let (texts, shape) = texts(value);
        let space = space(&shape);
        let mut bytes = vec![3, 0];
        for len in [name.len() + 1, LONG_TEXT.len(), space.len()] {
            bytes.extend((len as u16).to_le_bytes());
        }
        bytes.push(1);
        bytes.extend(name.as_bytes());
        bytes.push(0);
        bytes.extend(LONG_TEXT);
        bytes.extend(space);
        for text in texts {
            number += 1;
            bytes.extend((text.len() as u32).to_le_bytes());
            bytes.extend(heap.to_le_bytes());
            bytes.extend(number.to_le_bytes());
        }
        bytes
    };
    attributes.iter().map(&mut encode).collect()
}
