//! Bytes of Xtcs: definitions and data.

use crate::xtc2::dgram::{DATA, NAMES, SHAPES, SHAPES_DATA};
use crate::xtc2::held::put_scalar;
use crate::xtc2::names::{Names, TEXT};
use ami_graph::data::value::{DType, MAX_RANK, Value};
use std::borrow::Cow;

/// One value, ready to be written.
#[derive(Debug)]
pub struct Cell<'a> {
    /// Axis lengths; of text, its padded length.
    pub axes: Vec<u32>,
    /// The elements.
    pub bytes: Cow<'a, [u8]>,
    /// It is text.
    pub text: bool,
}

impl<'a> Cell<'a> {
    /// A scalar from its bytes.
    pub fn scalar(bytes: Vec<u8>) -> Cell<'a> {
        Cell { axes: Vec::new(), bytes: Cow::Owned(bytes), text: false }
    }

    /// Text, up to a NUL if it has one, which the format cannot hold; padded with NULs to a
    /// multiple of 4 as the facility's writer does.
    pub fn text(text: Cow<'a, str>) -> Cell<'a> {
        let end = text.find('\0').unwrap_or(text.len());
        let mut bytes = text.as_bytes()[..end].to_vec();
        bytes.resize((end + 1).next_multiple_of(4), 0);
        Cell { axes: vec![bytes.len() as u32], bytes: Cow::Owned(bytes), text: true }
    }

    /// A held value.
    pub fn of_value(value: &'a Value) -> Cell<'a> {
        match value {
            Value::Scalar(scalar) => {
                let mut bytes = Vec::with_capacity(8);
                put_scalar(*scalar, &mut bytes);
                Cell::scalar(bytes)
            }
            Value::Str(text) => Cell::text(Cow::Borrowed(text)),
            Value::Array(array) => Cell {
                axes: array.shape().iter().map(|&n| n as u32).collect(),
                bytes: Cow::Borrowed(array.bytes()),
                text: false,
            },
        }
    }

    /// True when a field of this type and rank can hold it.
    pub fn fits(&self, dtype: DType, rank: usize) -> bool {
        if self.text || dtype == DType::Str {
            return self.text && dtype == DType::Str;
        }
        let count: usize = self.axes.iter().map(|&n| n as usize).product();
        self.axes.len() == rank && self.bytes.len() == count * dtype.size()
    }
}

/// Begins an Xtc; [`end`] closes it with its extent.
pub fn begin(out: &mut Vec<u8>, src: u32, type_id: u16) -> usize {
    let at = out.len();
    out.extend_from_slice(&src.to_le_bytes());
    out.extend_from_slice(&0u16.to_le_bytes());
    out.extend_from_slice(&type_id.to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    at
}

/// Closes the Xtc that begins at `at`.
pub fn end(out: &mut [u8], at: usize) {
    let extent = (out.len() - at) as u32;
    out[at + 8..at + 12].copy_from_slice(&extent.to_le_bytes());
}

fn text(out: &mut Vec<u8>, text: &str) {
    let at = out.len();
    out.extend_from_slice(text.as_bytes());
    out.resize(at + TEXT, 0);
}

fn number(out: &mut Vec<u8>, number: u32) {
    out.extend_from_slice(&number.to_le_bytes());
}

/// A definition.
pub fn names(out: &mut Vec<u8>, names: &Names) {
    let at = begin(out, names.xtc.src, NAMES);
    number(out, names.arrays);
    for slot in [&names.det_type, &names.det, &names.det_id, &names.alg] {
        text(out, slot);
    }
    number(out, names.alg_version);
    number(out, names.segment);
    for field in &names.fields {
        text(out, &field.alg);
        number(out, field.alg_version);
        text(out, &field.name);
        number(out, field.kind as u32);
        number(out, field.rank as u32);
    }
    end(out, at);
}

/// The data of one definition.
pub fn shapes_data(out: &mut Vec<u8>, id: u32, cells: &[&Cell<'_>]) {
    let whole = begin(out, id, SHAPES_DATA);
    let shapes = begin(out, 0, SHAPES);
    for cell in cells.iter().filter(|c| !c.axes.is_empty()) {
        for axis in 0..MAX_RANK {
            number(out, cell.axes.get(axis).copied().unwrap_or(0));
        }
    }
    end(out, shapes);
    let data = begin(out, 0, DATA);
    for cell in cells {
        out.extend_from_slice(&cell.bytes);
    }
    end(out, data);
    end(out, whole);
}
