//! Reading columns: typed views of raw bytes, which events count, dense blocks of float64.

use crate::data::batch::{ArrayRef, Column};
use crate::data::owned_column::scalar_bytes;
use crate::data::value::{DType, Scalar, Value};
use bytemuck::Pod;
use std::borrow::Cow;

/// Elements converted at a time: fits the first-level cache.
const BLOCK: usize = 2048;

/// A Rust number that is an element type; `Bool` is read as u8.
pub trait Number: Pod + PartialOrd + Send + Sync {
    /// As float64, as numpy's `astype(float64)`.
    fn f64(self) -> f64;
    /// As float32, as numpy's `astype(float32)`.
    fn f32(self) -> f32;
    /// True for the not-a-numbers of floats.
    fn nan(self) -> bool;
    /// As a scalar of an element type of the same size.
    fn scalar(self, dtype: DType) -> Scalar;
}

macro_rules! number {
    ($($t:ty => $variant:ident),*) => { $(
        impl Number for $t {
            #[inline(always)]
            fn f64(self) -> f64 { self as f64 }
            #[inline(always)]
            fn f32(self) -> f32 { self as f32 }
            #[inline(always)]
            #[allow(clippy::eq_op)] // only NaN differs from itself
            fn nan(self) -> bool { self != self }
            fn scalar(self, dtype: DType) -> Scalar {
                if dtype == DType::Bool { Scalar::Bool(self != (0 as $t)) } else { Scalar::$variant(self) }
            }
        }
    )* };
}
number!(u8 => U8, u16 => U16, u32 => U32, u64 => U64, i8 => I8, i16 => I16, i32 => I32, i64 => I64, f32 => F32, f64 => F64);

/// Runs the body with `$t` as the Rust type of an element type. `Str` reads as bytes: planning
/// keeps text away from ops that count on numbers.
#[macro_export]
macro_rules! with_type {
    ($dtype:expr, $t:ident => $body:expr) => {
        match $dtype {
            $crate::data::value::DType::Bool
            | $crate::data::value::DType::U8
            | $crate::data::value::DType::Str => {
                type $t = u8;
                $body
            }
            $crate::data::value::DType::U16 => {
                type $t = u16;
                $body
            }
            $crate::data::value::DType::U32 => {
                type $t = u32;
                $body
            }
            $crate::data::value::DType::U64 => {
                type $t = u64;
                $body
            }
            $crate::data::value::DType::I8 => {
                type $t = i8;
                $body
            }
            $crate::data::value::DType::I16 => {
                type $t = i16;
                $body
            }
            $crate::data::value::DType::I32 => {
                type $t = i32;
                $body
            }
            $crate::data::value::DType::I64 => {
                type $t = i64;
                $body
            }
            $crate::data::value::DType::F32 => {
                type $t = f32;
                $body
            }
            $crate::data::value::DType::F64 => {
                type $t = f64;
                $body
            }
        }
    };
}

/// Bytes as numbers. Data are aligned by contract; should they not be, they are copied.
pub fn typed<T: Pod>(bytes: &[u8]) -> Cow<'_, [T]> {
    match bytemuck::try_cast_slice(bytes) {
        Ok(numbers) => Cow::Borrowed(numbers),
        Err(_) => bytes.chunks_exact(size_of::<T>()).map(bytemuck::pod_read_unaligned).collect(),
    }
}

/// Which events of a batch take part; None: all.
pub type Mask<'a> = Option<&'a [u8]>;

/// The numbers of the events that take part.
pub fn selected(mask: Mask<'_>, events: usize) -> impl DoubleEndedIterator<Item = usize> + '_ {
    (0..events).filter(move |&i| mask.is_none_or(|m| m[i] != 0))
}

/// The scalars that take part.
pub fn taking_part<'a, T: Pod>(numbers: &'a [T], mask: Mask<'a>) -> impl Iterator<Item = T> + 'a {
    let takes_part = move |(i, _): &(usize, &T)| mask.is_none_or(|m| m[*i] != 0);
    numbers.iter().enumerate().filter(takes_part).map(|(_, &x)| x)
}

/// Adds the scalars that take part to `to`, as float64.
pub fn extend_f64(dtype: DType, data: &[u8], mask: Mask<'_>, to: &mut Vec<f64>) {
    with_type!(dtype, T => {
        let numbers = typed::<T>(data);
        match mask {
            None => to.extend(numbers.iter().map(|x| x.f64())),
            Some(_) => to.extend(taking_part(&numbers, mask).map(Number::f64)),
        }
    });
}

/// The scalars that take part as float64, in `scratch` unless they are that already.
pub fn scalars_f64<'a>(
    dtype: DType,
    data: &'a [u8],
    mask: Mask<'_>,
    scratch: &'a mut Vec<f64>,
) -> &'a [f64] {
    if mask.is_none() {
        return as_f64(dtype, data, scratch);
    }
    scratch.clear();
    extend_f64(dtype, data, mask, scratch);
    scratch
}

/// Numbers as float64, in `scratch` unless they are float64 already.
pub fn as_f64<'a>(dtype: DType, data: &'a [u8], scratch: &'a mut Vec<f64>) -> &'a [f64] {
    if dtype == DType::F64
        && let Ok(numbers) = bytemuck::try_cast_slice(data)
    {
        return numbers;
    }
    scratch.clear();
    with_type!(dtype, T => scratch.extend(typed::<T>(data).iter().map(|x| x.f64())));
    scratch
}

/// What 64-bit integers lose as float64, number by number; empty where nothing is lost, as
/// with every other type. Only the scalars that take part.
pub fn remainders_f64<'a>(
    dtype: DType,
    data: &[u8],
    mask: Mask<'_>,
    scratch: &'a mut Vec<f64>,
) -> &'a [f64] {
    const EXACT: u64 = 1 << 53;
    scratch.clear();
    match dtype {
        DType::I64 => {
            let numbers = typed::<i64>(data);
            if numbers.iter().any(|x| x.unsigned_abs() > EXACT) {
                let rest = |x: i64| (i128::from(x) - x as f64 as i128) as f64;
                scratch.extend(taking_part(&numbers, mask).map(rest));
            }
        }
        DType::U64 => {
            let numbers = typed::<u64>(data);
            if numbers.iter().any(|&x| x > EXACT) {
                let rest = |x: u64| (i128::from(x) - x as f64 as i128) as f64;
                scratch.extend(taking_part(&numbers, mask).map(rest));
            }
        }
        _ => {}
    }
    scratch
}

/// Numbers as float32, in `scratch` unless they are float32 already.
pub fn as_f32<'a>(dtype: DType, data: &'a [u8], scratch: &'a mut Vec<f32>) -> &'a [f32] {
    if dtype == DType::F32
        && let Ok(numbers) = bytemuck::try_cast_slice(data)
    {
        return numbers;
    }
    scratch.clear();
    with_type!(dtype, T => scratch.extend(typed::<T>(data).iter().map(|x| x.f32())));
    scratch
}

/// Hands all elements of the events that take part to `f` as float64, in dense blocks.
pub fn blocks_f64(
    column: &Column<'_>,
    mask: Mask<'_>,
    scratch: &mut Vec<f64>,
    mut f: impl FnMut(&[f64]),
) {
    match column {
        Column::Scalars { dtype, data, .. } if mask.is_none() => {
            for block in data.chunks(BLOCK * dtype.size()) {
                f(as_f64(*dtype, block, scratch));
            }
        }
        Column::Scalars { dtype, data, .. } => {
            f(scalars_f64(*dtype, data, mask, scratch));
        }
        Column::Arrays { dtype, items } => {
            for i in selected(mask, items.len()) {
                let Some(item) = &items[i] else { continue };
                for block in item.data.chunks(BLOCK * dtype.size()) {
                    f(as_f64(*dtype, block, scratch));
                }
            }
        }
        Column::Absent | Column::Constant(_) | Column::Strings(_) => {}
    }
}

/// Hands the scalars that take part to `f` as float64 with their [`remainders_f64`], in blocks.
pub fn exact_blocks(
    column: &Column<'_>,
    mask: Mask<'_>,
    scratch: &mut Vec<f64>,
    mut f: impl FnMut(&[f64], &[f64]),
) {
    let Column::Scalars { dtype, data, .. } = column else { return };
    let mut rests = Vec::new();
    if mask.is_some() {
        let remainders = remainders_f64(*dtype, data, mask, &mut rests);
        return f(scalars_f64(*dtype, data, mask, scratch), remainders);
    }
    for block in data.chunks(BLOCK * dtype.size()) {
        let remainders = remainders_f64(*dtype, block, None, &mut rests);
        f(as_f64(*dtype, block, scratch), remainders);
    }
}

/// All scalars of a column as float64, also of events that do not take part.
pub fn column_f64<'a>(column: &'a Column<'_>, scratch: &'a mut Vec<f64>) -> &'a [f64] {
    match column {
        Column::Scalars { dtype, data, .. } => as_f64(*dtype, data, scratch),
        _ => &[],
    }
}

/// The value of one event, owned.
pub fn value_at(column: &Column<'_>, event: usize) -> Option<Value> {
    match column {
        Column::Absent => None,
        Column::Constant(value) => Some((*value).clone()),
        Column::Scalars { dtype, data, present } => {
            let here = present.is_none_or(|p| p[event] != 0);
            let size = dtype.size();
            here.then(|| {
                let bytes = &data[event * size..(event + 1) * size];
                Value::Scalar(crate::data::bytes::scalar_from_bytes(*dtype, bytes))
            })
        }
        Column::Strings(texts) => texts[event].map(|t| Value::Str(t.to_owned())),
        Column::Arrays { dtype, items } => items[event].as_ref().and_then(|a| owned(*dtype, a)),
    }
}

/// An array copied out of its batch.
pub fn owned(dtype: DType, array: &ArrayRef<'_>) -> Option<Value> {
    let shape: Vec<usize> = array.dims.axes().iter().map(|&d| d as usize).collect();
    crate::data::value::Array::from_bytes(dtype, &shape, array.data).map(Value::Array)
}

/// Memory behind the columns that [`expand`] makes.
#[derive(Debug, Default)]
pub struct Expanded {
    words: Vec<u64>,
}

/// A constant as a column with one entry per event, which is what reductions read.
/// None for a column that is one already.
pub fn expand<'a>(
    column: &'a Column<'a>,
    events: usize,
    memory: &'a mut Expanded,
) -> Option<Column<'a>> {
    let Column::Constant(value) = column else { return None };
    Some(match value {
        Value::Scalar(scalar) => {
            let (word, dtype) = (scalar_bytes(*scalar), scalar.dtype());
            let size = dtype.size();
            memory.words.clear();
            memory.words.resize((events * size).div_ceil(8), 0);
            let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut memory.words);
            bytes.chunks_exact_mut(size).for_each(|b| b.copy_from_slice(&word[..size]));
            let data = &bytemuck::cast_slice::<u64, u8>(&memory.words)[..events * size];
            Column::Scalars { dtype, data, present: None }
        }
        Value::Array(array) => {
            let dims = crate::data::batch::Dims::new(array.shape());
            let item = dims.map(|dims| ArrayRef { dims, data: array.bytes() });
            Column::Arrays { dtype: array.dtype(), items: vec![item; events] }
        }
        Value::Str(text) => Column::Strings(vec![Some(text.as_str()); events]),
    })
}
