//! Values: what a field, a node's output or a published feature holds.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

/// Most dimensions an array may have.
pub const MAX_RANK: usize = 5;

/// The type of one element. Integers and floats are little-endian in memory and on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DType {
    /// One byte, 0 or 1.
    Bool,
    /// Unsigned, 8 bits.
    U8,
    /// Unsigned, 16 bits.
    U16,
    /// Unsigned, 32 bits.
    U32,
    /// Unsigned, 64 bits.
    U64,
    /// Signed, 8 bits.
    I8,
    /// Signed, 16 bits.
    I16,
    /// Signed, 32 bits.
    I32,
    /// Signed, 64 bits.
    I64,
    /// IEEE 754, 32 bits.
    F32,
    /// IEEE 754, 64 bits.
    F64,
    /// UTF-8 text of any length; only as a scalar.
    Str,
}

impl DType {
    /// Every element type, in the order of promotion where there is one.
    pub const ALL: [DType; 12] = [
        DType::Bool,
        DType::U8,
        DType::U16,
        DType::U32,
        DType::U64,
        DType::I8,
        DType::I16,
        DType::I32,
        DType::I64,
        DType::F32,
        DType::F64,
        DType::Str,
    ];

    /// Bytes of one element; 1 for `Str` (its length is in bytes).
    pub const fn size(self) -> usize {
        match self {
            DType::Bool | DType::U8 | DType::I8 | DType::Str => 1,
            DType::U16 | DType::I16 => 2,
            DType::U32 | DType::I32 | DType::F32 => 4,
            DType::U64 | DType::I64 | DType::F64 => 8,
        }
    }

    /// numpy's spelling with byte order, as in result headers: `<f8`, `|u1`, `|b1`.
    pub const fn numpy(self) -> &'static str {
        match self {
            DType::Bool => "|b1",
            DType::U8 => "|u1",
            DType::U16 => "<u2",
            DType::U32 => "<u4",
            DType::U64 => "<u8",
            DType::I8 => "|i1",
            DType::I16 => "<i2",
            DType::I32 => "<i4",
            DType::I64 => "<i8",
            DType::F32 => "<f4",
            DType::F64 => "<f8",
            DType::Str => "|S",
        }
    }

    /// The type that numpy's code means, as `<u2`; little-endian ones only, none for text.
    pub fn from_numpy(code: &str) -> Option<DType> {
        let bare = |code: &'static str| code.trim_start_matches(['<', '|']);
        let code = code.trim_start_matches(['<', '|', '=']);
        // numpy's character for bool beside its code `b1`.
        let code = if code == "?" { "b1" } else { code };
        DType::ALL.into_iter().find(|d| *d != DType::Str && bare(d.numpy()) == code)
    }

    /// The name people read: `uint16`, `float64`, `bool`, `str`.
    pub const fn name(self) -> &'static str {
        match self {
            DType::Bool => "bool",
            DType::U8 => "uint8",
            DType::U16 => "uint16",
            DType::U32 => "uint32",
            DType::U64 => "uint64",
            DType::I8 => "int8",
            DType::I16 => "int16",
            DType::I32 => "int32",
            DType::I64 => "int64",
            DType::F32 => "float32",
            DType::F64 => "float64",
            DType::Str => "str",
        }
    }

    /// True for signed and unsigned integers, not for `Bool`.
    pub const fn is_integer(self) -> bool {
        !matches!(self, DType::Bool | DType::F32 | DType::F64 | DType::Str)
    }

    /// True for the two float types.
    pub const fn is_float(self) -> bool {
        matches!(self, DType::F32 | DType::F64)
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One element.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)] // each variant is its DType
pub enum Scalar {
    Bool(bool),
    U8(u8),
    U16(u16),
    U32(u32),
    U64(u64),
    I8(i8),
    I16(i16),
    I32(i32),
    I64(i64),
    F32(f32),
    F64(f64),
}

impl Scalar {
    /// A number as an element of this type, if it is one; floats are rounded.
    pub fn from_f64(dtype: DType, x: f64) -> Option<Scalar> {
        let scalar = match dtype {
            DType::Bool => Scalar::Bool(x != 0.0),
            DType::U8 => Scalar::U8(x as u8),
            DType::U16 => Scalar::U16(x as u16),
            DType::U32 => Scalar::U32(x as u32),
            DType::U64 => Scalar::U64(x as u64),
            DType::I8 => Scalar::I8(x as i8),
            DType::I16 => Scalar::I16(x as i16),
            DType::I32 => Scalar::I32(x as i32),
            DType::I64 => Scalar::I64(x as i64),
            DType::F32 => return Some(Scalar::F32(x as f32)),
            DType::F64 => return Some(Scalar::F64(x)),
            DType::Str => return None,
        };
        (scalar.as_f64() == x).then_some(scalar)
    }

    /// Its type.
    pub const fn dtype(self) -> DType {
        match self {
            Scalar::Bool(_) => DType::Bool,
            Scalar::U8(_) => DType::U8,
            Scalar::U16(_) => DType::U16,
            Scalar::U32(_) => DType::U32,
            Scalar::U64(_) => DType::U64,
            Scalar::I8(_) => DType::I8,
            Scalar::I16(_) => DType::I16,
            Scalar::I32(_) => DType::I32,
            Scalar::I64(_) => DType::I64,
            Scalar::F32(_) => DType::F32,
            Scalar::F64(_) => DType::F64,
        }
    }

    /// As float64, as numpy's `astype(float64)`.
    pub const fn as_f64(self) -> f64 {
        match self {
            Scalar::Bool(v) => v as u8 as f64,
            Scalar::U8(v) => v as f64,
            Scalar::U16(v) => v as f64,
            Scalar::U32(v) => v as f64,
            Scalar::U64(v) => v as f64,
            Scalar::I8(v) => v as f64,
            Scalar::I16(v) => v as f64,
            Scalar::I32(v) => v as f64,
            Scalar::I64(v) => v as f64,
            Scalar::F32(v) => v as f64,
            Scalar::F64(v) => v,
        }
    }
}

/// An n-d array, C order, little-endian bytes; 8-byte aligned. Clones share their elements until
/// one of them is written to.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Array {
    dtype: DType,
    shape: Vec<usize>,
    /// Backed by u64 so that every element type can be viewed in place.
    words: Arc<Vec<u64>>,
}

impl fmt::Debug for Array {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Array({} {:?})", self.dtype, self.shape)
    }
}

impl Array {
    /// Zeros of a type and shape.
    pub fn zeros(dtype: DType, shape: &[usize]) -> Array {
        let bytes = shape.iter().product::<usize>() * dtype.size();
        Array { dtype, shape: shape.to_vec(), words: Arc::new(vec![0; bytes.div_ceil(8)]) }
    }

    /// From bytes as they stand in memory or on the wire. None when the length does not fit.
    pub fn from_bytes(dtype: DType, shape: &[usize], bytes: &[u8]) -> Option<Array> {
        let count = shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d))?;
        if count.checked_mul(dtype.size())? != bytes.len() || dtype == DType::Str {
            return None;
        }
        let mut array = Array::zeros(dtype, shape);
        array.bytes_mut().copy_from_slice(bytes);
        Some(array)
    }

    /// From typed elements. Panics when the count does not fit the shape: a caller's mistake.
    pub fn from_elements<T: Element>(shape: &[usize], elements: &[T]) -> Array {
        let mut array = Array::zeros(T::DTYPE, shape);
        array.bytes_mut().copy_from_slice(bytemuck::cast_slice(elements));
        array
    }

    /// Element type.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// Lengths of the axes, slowest first.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// True when any axis has length 0.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The elements' bytes, C order, little-endian.
    pub fn bytes(&self) -> &[u8] {
        &bytemuck::cast_slice(self.words.as_slice())[..self.len() * self.dtype.size()]
    }

    /// The elements' bytes, to write.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        let n = self.len() * self.dtype.size();
        &mut bytemuck::cast_slice_mut(Arc::make_mut(&mut self.words).as_mut_slice())[..n]
    }

    /// The elements, if they are of type `T`.
    pub fn elements<T: Element>(&self) -> Option<&[T]> {
        (self.dtype == T::DTYPE).then(|| bytemuck::cast_slice(self.bytes()))
    }

    /// The elements to write, if they are of type `T`.
    pub fn elements_mut<T: Element>(&mut self) -> Option<&mut [T]> {
        (self.dtype == T::DTYPE).then(|| bytemuck::cast_slice_mut(self.bytes_mut()))
    }
}

/// Rust types that are element types. `Bool` is stored as u8 and viewed as such.
pub trait Element: bytemuck::Pod + Send + Sync {
    /// The type's name in ami.
    const DTYPE: DType;
}

macro_rules! element {
    ($($t:ty => $d:ident),*) => { $(impl Element for $t { const DTYPE: DType = DType::$d; })* };
}
element!(u8 => U8, u16 => U16, u32 => U32, u64 => U64, i8 => I8, i16 => I16, i32 => I32, i64 => I64, f32 => F32, f64 => F64);

/// Any value: of a held field, a constant, a merged result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Value {
    /// One element.
    Scalar(Scalar),
    /// An n-d array.
    Array(Array),
    /// Text.
    Str(String),
}

impl Value {
    /// Its element type.
    pub fn dtype(&self) -> DType {
        match self {
            Value::Scalar(s) => s.dtype(),
            Value::Array(a) => a.dtype(),
            Value::Str(_) => DType::Str,
        }
    }
}
