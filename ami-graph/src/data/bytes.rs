//! How states become bytes: little-endian numbers in a header, large buffers as frames beside it.
//!
//! The reader trusts nothing: every length is checked against what is there before anything is
//! allocated, so garbage costs at most memory in proportion to itself.

use crate::data::owned_column::scalar_bytes;
use crate::data::raw_buffer::Buffer;
use crate::data::value::{Array, DType, MAX_RANK, Scalar, Value};
use crate::error::DecodeError;
use bytemuck::Pod;

/// Buffers of at least this many bytes travel as frames; smaller ones inside the header.
const FRAME_BYTES: usize = 4096;

/// Writes a header and its frames.
#[derive(Debug, Default)]
pub struct Writer {
    /// Small things.
    pub header: Vec<u8>,
    /// Large buffers in the order of writing.
    pub frames: Vec<Vec<u8>>,
}

macro_rules! numbers {
    ($($t:ident),*) => {
        impl Writer {
            $(#[doc = concat!("A `", stringify!($t), "`, little-endian.")]
            pub fn $t(&mut self, value: $t) {
                self.header.extend_from_slice(&value.to_le_bytes());
            })*
        }
        impl<'a> Reader<'a> {
            $(#[doc = concat!("A `", stringify!($t), "`, little-endian.")]
            pub fn $t(&mut self, what: &'static str) -> Result<$t, DecodeError> {
                let mut bytes = [0; size_of::<$t>()];
                bytes.copy_from_slice(self.take(size_of::<$t>() as u64, what)?);
                Ok($t::from_le_bytes(bytes))
            })*
        }
    };
}
numbers!(u8, u32, u64, i32, i64, i128, f64);

impl Writer {
    /// Header and frames for files: what one after the other makes one piece. Large frames are
    /// not copied.
    pub fn into_parts(self) -> Vec<Vec<u8>> {
        let mut whole = Writer::default();
        whole.u64(self.header.len() as u64);
        whole.u32(self.frames.len() as u32);
        self.frames.iter().for_each(|frame| whole.u64(frame.len() as u64));
        whole.header.extend(self.header);
        std::iter::once(whole.header).chain(self.frames).collect()
    }

    /// A piece of its own, which a reader can skip.
    pub fn piece(&mut self, piece: Writer) {
        self.bytes(piece.header);
        self.u32(piece.frames.len() as u32);
        self.frames.extend(piece.frames);
    }

    /// Yes or no, in a byte.
    pub fn bool(&mut self, value: bool) {
        self.u8(value.into());
    }

    /// Text with its length.
    pub fn text(&mut self, text: &str) {
        self.u32(text.len() as u32);
        self.header.extend_from_slice(text.as_bytes());
    }

    /// Numbers that stay where they are: copied.
    pub fn slice<T: Pod>(&mut self, numbers: &[T]) {
        let bytes = bytemuck::cast_slice::<T, u8>(numbers);
        if !self.small(bytes) {
            self.bytes(bytes.to_vec());
        }
    }

    /// Numbers that are given away: large ones are not copied.
    pub fn buffer<T: Pod>(&mut self, buffer: Buffer<T>) {
        self.bytes(buffer.into_bytes());
    }

    /// Bytes, in the header or as a frame. The top bit of the length says which.
    pub fn bytes(&mut self, bytes: Vec<u8>) {
        if !self.small(&bytes) {
            self.u64(bytes.len() as u64 | 1 << 63);
            self.frames.push(bytes);
        }
    }

    /// Puts few bytes into the header.
    fn small(&mut self, bytes: &[u8]) -> bool {
        let small = bytes.len() < FRAME_BYTES;
        if small {
            self.u64(bytes.len() as u64);
            self.header.extend_from_slice(bytes);
        }
        small
    }

    /// An element type, as its place in [`DType::ALL`].
    pub fn dtype(&mut self, dtype: DType) {
        self.u8(DType::ALL.iter().position(|&d| d == dtype).unwrap_or(0) as u8);
    }

    /// Axis lengths.
    pub fn shape(&mut self, shape: &[usize]) {
        self.u8(shape.len() as u8);
        shape.iter().for_each(|&length| self.u64(length as u64));
    }

    /// A value of any kind.
    pub fn value(&mut self, value: &Value) {
        self.dtype(value.dtype());
        match value {
            Value::Scalar(s) => {
                self.u8(0);
                self.header.extend_from_slice(&scalar_bytes(*s)[..s.dtype().size()]);
            }
            Value::Array(a) => {
                self.u8(1);
                self.shape(a.shape());
                self.bytes(a.bytes().to_vec());
            }
            Value::Str(text) => {
                self.u8(2);
                self.text(text);
            }
        }
    }
}

/// Reads what [`Writer`] wrote.
#[derive(Debug)]
pub struct Reader<'a> {
    header: &'a [u8],
    frames: &'a [&'a [u8]],
}

impl<'a> Reader<'a> {
    /// A header and its frames.
    pub fn new(header: &'a [u8], frames: &'a [&'a [u8]]) -> Reader<'a> {
        Reader { header, frames }
    }

    /// The header and frames that are left.
    pub fn into_inner(self) -> (&'a [u8], &'a [&'a [u8]]) {
        (self.header, self.frames)
    }

    /// The next bytes of the header.
    pub fn take(&mut self, length: u64, what: &'static str) -> Result<&'a [u8], DecodeError> {
        let left = self.header.len() as u64;
        if length > left {
            return Err(DecodeError::Short { what, needed: length, left });
        }
        let (taken, rest) = self.header.split_at(length as usize);
        self.header = rest;
        Ok(taken)
    }

    /// Bytes of the header not read yet: an upper bound for counts of things to come.
    pub fn left(&self) -> usize {
        self.header.len()
    }

    /// Error unless everything was read.
    pub fn finish(&self, what: &'static str) -> Result<(), DecodeError> {
        if self.header.is_empty() && self.frames.is_empty() {
            return Ok(());
        }
        let (bytes, frames) = (self.header.len(), self.frames.len());
        Err(DecodeError::invalid(what, format_args!("{bytes} bytes and {frames} frames too many")))
    }

    /// Yes or no.
    pub fn bool(&mut self, what: &'static str) -> Result<bool, DecodeError> {
        match self.u8(what)? {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(DecodeError::invalid(what, other)),
        }
    }

    /// A count of things of which each takes at least `each` bytes of the header.
    pub fn count(&mut self, each: usize, what: &'static str) -> Result<usize, DecodeError> {
        let count = u64::from(self.u32(what)?);
        let needed = count * each.max(1) as u64;
        let left = self.left() as u64;
        if needed > left {
            Err(DecodeError::Short { what, needed, left })
        } else {
            Ok(count as usize)
        }
    }

    /// Text with its length.
    pub fn text(&mut self, what: &'static str) -> Result<&'a str, DecodeError> {
        let length = u64::from(self.u32(what)?);
        std::str::from_utf8(self.take(length, what)?).map_err(|e| DecodeError::invalid(what, e))
    }

    /// Bytes, from the header or the next frame.
    pub fn bytes(&mut self, what: &'static str) -> Result<&'a [u8], DecodeError> {
        let word = self.u64(what)?;
        let length = word & !(1 << 63);
        if word >> 63 == 0 {
            return self.take(length, what);
        }
        let Some((frame, rest)) = self.frames.split_first() else {
            return Err(DecodeError::Short { what, needed: length, left: 0 });
        };
        self.frames = rest;
        if frame.len() as u64 != length {
            let left = frame.len() as u64;
            return Err(DecodeError::Short { what, needed: length, left });
        }
        Ok(frame)
    }

    /// A piece of its own, to be read or left.
    pub fn piece(&mut self, what: &'static str) -> Result<Reader<'a>, DecodeError> {
        let header = self.bytes(what)?;
        let (needed, left) = (self.u32(what)? as usize, self.frames.len());
        if needed > left {
            return Err(DecodeError::Short { what, needed: needed as u64, left: left as u64 });
        }
        let (frames, rest) = self.frames.split_at(needed);
        self.frames = rest;
        Ok(Reader { header, frames })
    }

    /// Exactly `length` numbers.
    pub fn buffer<T: Pod>(
        &mut self,
        length: usize,
        what: &'static str,
    ) -> Result<Buffer<T>, DecodeError> {
        let buffer = self.any_buffer(what)?;
        if buffer.len() != length {
            let found = format!("{} numbers instead of {length}", buffer.len());
            return Err(DecodeError::invalid(what, found));
        }
        Ok(buffer)
    }

    /// As many numbers as there are.
    pub fn any_buffer<T: Pod>(&mut self, what: &'static str) -> Result<Buffer<T>, DecodeError> {
        let bytes = self.bytes(what)?;
        let bad = || DecodeError::invalid(what, format_args!("{} bytes", bytes.len()));
        Buffer::from_bytes(bytes).ok_or_else(bad)
    }

    /// An element type.
    pub fn dtype(&mut self, what: &'static str) -> Result<DType, DecodeError> {
        let code = self.u8(what)?;
        DType::ALL.get(code as usize).copied().ok_or_else(|| DecodeError::invalid(what, code))
    }

    /// Axis lengths whose product fits a usize.
    pub fn shape(&mut self, what: &'static str) -> Result<Vec<usize>, DecodeError> {
        let rank = self.u8(what)? as usize;
        if rank > MAX_RANK + 1 {
            return Err(DecodeError::invalid(what, format_args!("{rank} axes")));
        }
        let mut shape = Vec::with_capacity(rank);
        for _ in 0..rank {
            shape.push(self.u64(what)? as usize);
        }
        let count = shape.iter().try_fold(16usize, |n, &d| n.checked_mul(d.max(1)));
        match count {
            Some(_) => Ok(shape),
            None => Err(DecodeError::invalid(what, format_args!("{shape:?}"))),
        }
    }

    /// A value of any kind.
    pub fn value(&mut self, what: &'static str) -> Result<Value, DecodeError> {
        let dtype = self.dtype(what)?;
        match (self.u8(what)?, dtype) {
            (2, DType::Str) => Ok(Value::Str(self.text(what)?.to_owned())),
            (0, dtype) if dtype != DType::Str => {
                let bytes = self.take(dtype.size() as u64, what)?;
                Ok(Value::Scalar(scalar_from_bytes(dtype, bytes)))
            }
            (1, dtype) if dtype != DType::Str => {
                let shape = self.shape(what)?;
                let bytes = self.bytes(what)?;
                let bad = || DecodeError::invalid(what, format_args!("{shape:?}"));
                Ok(Value::Array(Array::from_bytes(dtype, &shape, bytes).ok_or_else(bad)?))
            }
            (kind, _) => Err(DecodeError::invalid(what, kind)),
        }
    }
}

/// Takes apart what [`Writer::into_parts`] took apart: header and frames.
///
/// # Errors
/// When the lengths do not add up.
pub fn split(bytes: &[u8]) -> Result<(&[u8], Vec<&[u8]>), DecodeError> {
    const WHAT: &str = "lengths of a checkpoint";
    let mut reader = Reader::new(bytes, &[]);
    let header = reader.u64(WHAT)?;
    let count = reader.count(8, WHAT)?;
    let lengths = (0..count).map(|_| reader.u64(WHAT)).collect::<Result<Vec<_>, _>>()?;
    let header = reader.take(header, WHAT)?;
    let frames = lengths.into_iter().map(|n| reader.take(n, WHAT)).collect::<Result<_, _>>()?;
    reader.finish("checkpoint")?;
    Ok((header, frames))
}

/// An element from the first bytes of `bytes`, missing ones read as 0. `Str` reads as a byte.
pub fn scalar_from_bytes(dtype: DType, bytes: &[u8]) -> Scalar {
    let mut word = [0u8; 8];
    let n = dtype.size().min(bytes.len());
    word[..n].copy_from_slice(&bytes[..n]);
    let wide = u64::from_le_bytes(word);
    match dtype {
        DType::Bool => Scalar::Bool(wide != 0),
        DType::U8 | DType::Str => Scalar::U8(wide as u8),
        DType::U16 => Scalar::U16(wide as u16),
        DType::U32 => Scalar::U32(wide as u32),
        DType::U64 => Scalar::U64(wide),
        DType::I8 => Scalar::I8(wide as i8),
        DType::I16 => Scalar::I16(wide as i16),
        DType::I32 => Scalar::I32(wide as i32),
        DType::I64 => Scalar::I64(wide as i64),
        DType::F32 => Scalar::F32(f32::from_bits(wide as u32)),
        DType::F64 => Scalar::F64(f64::from_bits(wide)),
    }
}
