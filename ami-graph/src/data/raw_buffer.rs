//! Numbers in memory that can leave as raw bytes without a copy: what large accumulators are made of.

use bytemuck::Pod;
use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};

/// A fixed-length slice of `T` inside a byte vector. The allocator aligns large vectors in
/// practice; where it does not, the numbers start a few bytes in, and `into_bytes` moves them.
pub struct Buffer<T: Pod> {
    bytes: Vec<u8>,
    start: usize,
    length: usize,
    kind: PhantomData<T>,
}

impl<T: Pod> Buffer<T> {
    /// `length` zeros.
    pub fn zeros(length: usize) -> Buffer<T> {
        let size = length * size_of::<T>();
        let mut bytes = vec![0u8; size];
        let mut start = 0;
        if bytes.as_ptr().align_offset(align_of::<T>()) != 0 {
            bytes = vec![0u8; size + align_of::<T>()];
            start = bytes.as_ptr().align_offset(align_of::<T>()).min(align_of::<T>());
        }
        Buffer { bytes, start, length, kind: PhantomData }
    }

    /// `length` times the same number.
    pub fn filled(length: usize, value: T) -> Buffer<T> {
        let mut buffer = Buffer::zeros(length);
        buffer.fill(value);
        buffer
    }

    /// A copy of numbers.
    pub fn from_slice(numbers: &[T]) -> Buffer<T> {
        let mut buffer = Buffer::zeros(numbers.len());
        buffer.copy_from_slice(numbers);
        buffer
    }

    /// A copy of raw bytes; None when they are not a whole number of `T`.
    pub fn from_bytes(bytes: &[u8]) -> Option<Buffer<T>> {
        if !bytes.len().is_multiple_of(size_of::<T>()) {
            return None;
        }
        let mut buffer = Buffer::zeros(bytes.len() / size_of::<T>());
        bytemuck::cast_slice_mut::<T, u8>(&mut buffer).copy_from_slice(bytes);
        Some(buffer)
    }

    /// The raw bytes, little-endian.
    pub fn into_bytes(mut self) -> Vec<u8> {
        self.bytes.drain(..self.start);
        self.bytes.truncate(self.length * size_of::<T>());
        self.bytes
    }
}

impl<T: Pod> Deref for Buffer<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        bytemuck::cast_slice(&self.bytes[self.start..self.start + self.length * size_of::<T>()])
    }
}

impl<T: Pod> DerefMut for Buffer<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        let end = self.start + self.length * size_of::<T>();
        bytemuck::cast_slice_mut(&mut self.bytes[self.start..end])
    }
}

impl<T: Pod> Clone for Buffer<T> {
    fn clone(&self) -> Self {
        Buffer::from_slice(self)
    }
}

impl<T: Pod + fmt::Debug> fmt::Debug for Buffer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Buffer of {}", self.length)
    }
}
