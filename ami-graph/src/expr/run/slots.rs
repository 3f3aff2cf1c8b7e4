//! Values of one event while it is computed: inputs as borrowed, results in reused memory.

use crate::data::owned_column::scalar_bytes;
use crate::data::value::{DType, Scalar};
use crate::expr::arithmetic::shape::{Failure, Shape};

/// Where an instruction finds an operand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::expr) enum Source {
    Input(usize),
    Slot(usize),
}

/// An input's value in one event.
#[derive(Debug, Clone, Copy)]
pub(in crate::expr) struct View<'a> {
    pub shape: Shape,
    pub data: &'a [u8],
    /// For text inputs.
    pub text: &'a str,
}

/// A result's place; its memory is kept from event to event.
#[derive(Debug, Clone)]
pub(in crate::expr) struct Slot {
    shape: Shape,
    bytes: usize,
    words: Vec<u64>,
}

impl Default for Slot {
    fn default() -> Self {
        Slot { shape: Shape::SCALAR, bytes: 0, words: Vec::new() }
    }
}

impl Slot {
    /// Makes room for a value; what is there is unspecified.
    pub fn prepare(&mut self, shape: Shape, dtype: DType) -> Result<&mut [u8], Failure> {
        let bytes = shape.bytes(dtype)?;
        let words = bytes.div_ceil(8);
        if self.words.len() < words {
            self.words.resize(words, 0);
        }
        self.shape = shape;
        self.bytes = bytes;
        Ok(&mut bytemuck::cast_slice_mut(&mut self.words)[..bytes])
    }

    /// Holds one element.
    pub fn set_scalar(&mut self, scalar: Scalar) {
        self.shape = Shape::SCALAR;
        self.bytes = scalar.dtype().size();
        self.words.clear();
        self.words.push(bytemuck::pod_read_unaligned(&scalar_bytes(scalar)));
    }

    fn data(&self) -> &[u8] {
        &bytemuck::cast_slice(&self.words)[..self.bytes]
    }
}

/// All values of one event.
#[derive(Clone, Copy)]
pub(in crate::expr) struct Values<'a> {
    pub inputs: &'a [View<'a>],
    pub slots: &'a [Slot],
}

impl<'a> Values<'a> {
    /// Axis lengths of a value.
    pub fn shape(&self, source: Source) -> &'a Shape {
        match source {
            Source::Input(i) => &self.inputs[i].shape,
            Source::Slot(i) => &self.slots[i].shape,
        }
    }

    /// Elements of a value.
    pub fn data(&self, source: Source) -> &'a [u8] {
        match source {
            Source::Input(i) => self.inputs[i].data,
            Source::Slot(i) => self.slots[i].data(),
        }
    }
}
