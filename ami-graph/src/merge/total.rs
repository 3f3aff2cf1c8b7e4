//! Totals: what sums and means accumulate, a scalar or an array element by element.
//!
//! Integers are exact. Small ones are added up in 32 bits, which halves memory traffic, and move
//! to 64 and then 128 bits before they could overflow: `bound` is the largest magnitude that the
//! events so far can have reached. Floats are compensated, except float32 arrays: their 24 bits
//! leave 29 spare in a float64.

use crate::data::bands::Band;
use crate::data::batch::Column;
use crate::data::bytes::{Reader, Writer};
use crate::data::column_views::{Mask, Number, scalars_f64, selected};
use crate::data::raw_buffer::Buffer;
use crate::data::value::{Array, DType, Value};
use crate::error::DecodeError;
use crate::merge::accumulate::{
    TOGETHER, add_each, add_frames, add_pairs, add_plain, whole_sum, wider,
};
use crate::merge::compensated::{Compensated, corrected, two_sum};
use smallvec::SmallVec;
use std::ops::Range;

/// A sum over events.
#[derive(Debug, Clone)]
pub struct Total {
    dtype: DType,
    shape: Vec<usize>,
    bound: u128,
    sums: Sums,
}

#[derive(Debug, Clone)]
enum Sums {
    Whole(i128),
    Real(Compensated),
    U32(Buffer<u32>),
    I32(Buffer<i32>),
    I64(Buffer<i64>),
    I128(Buffer<i128>),
    Plain(Buffer<f64>),
    Pairs(Buffer<f64>, Buffer<f64>),
}

/// Largest magnitude of one element.
fn magnitude(dtype: DType) -> u128 {
    1u128
        << match dtype {
            DType::I8 => 7,
            DType::I16 => 15,
            DType::I32 => 31,
            DType::I64 => 63,
            other => 8 * other.size(),
        }
}

/// Integers whose sums fit 64 bits, in arrays.
fn small(dtype: DType) -> bool {
    matches!(dtype, DType::Bool | DType::U8 | DType::U16 | DType::I8 | DType::I16)
}

impl Total {
    /// Zero.
    pub fn new(dtype: DType, axes: &[u32]) -> Total {
        let shape: Vec<usize> = axes.iter().map(|&a| a as usize).collect();
        let count = shape.iter().product();
        let sums = match dtype {
            DType::F32 | DType::F64 if axes.is_empty() => Sums::Real(Compensated::default()),
            _ if axes.is_empty() => Sums::Whole(0),
            DType::Bool | DType::U8 | DType::U16 | DType::Str => Sums::U32(Buffer::zeros(count)),
            DType::I8 | DType::I16 => Sums::I32(Buffer::zeros(count)),
            DType::U32 | DType::I32 => Sums::I64(Buffer::zeros(count)),
            DType::U64 | DType::I64 => Sums::I128(Buffer::zeros(count)),
            DType::F32 => Sums::Plain(Buffer::zeros(count)),
            DType::F64 => Sums::Pairs(Buffer::zeros(count), Buffer::zeros(count)),
        };
        Total { dtype, shape, bound: 0, sums }
    }

    /// Most bytes a total of this kind takes, grown.
    pub fn size(dtype: DType, axes: &[u32]) -> u64 {
        let each = if small(dtype) || dtype == DType::F32 { 8 } else { 16 };
        64 + axes.iter().fold(each, |n: u64, &a| n.saturating_mul(u64::from(a))).max(16)
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        match &self.sums {
            Sums::Whole(_) | Sums::Real(_) => 16,
            Sums::U32(b) => 4 * b.len(),
            Sums::I32(b) => 4 * b.len(),
            Sums::I64(b) => 8 * b.len(),
            Sums::I128(b) => 16 * b.len(),
            Sums::Plain(b) => 8 * b.len(),
            Sums::Pairs(b, _) => 16 * b.len(),
        }
    }

    /// Adds the events of a column that take part.
    pub fn absorb(
        &mut self,
        column: &Column<'_>,
        mask: Mask<'_>,
        present: u64,
        scratch: &mut Vec<f64>,
    ) {
        match column {
            Column::Scalars { dtype, data, .. } => match &mut self.sums {
                Sums::Real(real) => real.add_all(scalars_f64(*dtype, data, mask, scratch)),
                Sums::Whole(whole) => *whole = whole.wrapping_add(whole_sum(*dtype, data, mask)),
                _ => {}
            },
            Column::Arrays { items, .. } => {
                self.grow(magnitude(self.dtype).saturating_mul(u128::from(present)));
                let mut frames = selected(mask, items.len())
                    .filter_map(|i| items[i].as_ref().map(|item| item.data));
                loop {
                    let some: SmallVec<[&[u8]; TOGETHER]> =
                        frames.by_ref().take(TOGETHER).collect();
                    if some.is_empty() {
                        break;
                    }
                    self.add_parts(0..self.elements(), &some);
                }
            }
            Column::Absent | Column::Constant(_) | Column::Strings(_) => {}
        }
    }

    /// Adds a band of frames of this element type and shape.
    pub fn band(&mut self, band: &Band<'_>) {
        if band.begins() {
            self.grow(magnitude(self.dtype).saturating_mul(band.parts.len() as u128));
        }
        self.add_parts(band.elements(), band.parts);
    }

    /// Axis lengths of a value.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn elements(&self) -> usize {
        self.shape.iter().product()
    }

    /// Adds what frames have in these places.
    fn add_parts(&mut self, range: Range<usize>, parts: &[&[u8]]) {
        match (&mut self.sums, self.dtype) {
            (Sums::U32(s), DType::U16) => add_frames::<u16, _>(&mut s[range], parts),
            (Sums::U32(s), _) => add_frames::<u8, _>(&mut s[range], parts),
            (Sums::I32(s), DType::I16) => add_frames::<i16, _>(&mut s[range], parts),
            (Sums::I32(s), _) => add_frames::<i8, _>(&mut s[range], parts),
            (Sums::I64(s), dtype) => match dtype {
                DType::U16 => add_frames::<u16, _>(&mut s[range], parts),
                DType::I8 => add_frames::<i8, _>(&mut s[range], parts),
                DType::I16 => add_frames::<i16, _>(&mut s[range], parts),
                DType::U32 => add_frames::<u32, _>(&mut s[range], parts),
                DType::I32 => add_frames::<i32, _>(&mut s[range], parts),
                _ => add_frames::<u8, _>(&mut s[range], parts),
            },
            (Sums::I128(s), dtype) => match dtype {
                DType::U16 => add_frames::<u16, _>(&mut s[range], parts),
                DType::I8 => add_frames::<i8, _>(&mut s[range], parts),
                DType::I16 => add_frames::<i16, _>(&mut s[range], parts),
                DType::U32 => add_frames::<u32, _>(&mut s[range], parts),
                DType::I32 => add_frames::<i32, _>(&mut s[range], parts),
                DType::U64 => add_frames::<u64, _>(&mut s[range], parts),
                DType::I64 => add_frames::<i64, _>(&mut s[range], parts),
                _ => add_frames::<u8, _>(&mut s[range], parts),
            },
            (Sums::Plain(s), _) => add_plain(&mut s[range], parts),
            (Sums::Pairs(s, lost), dtype) => {
                add_pairs(dtype, &mut s[range.clone()], &mut lost[range], parts);
            }
            (Sums::Whole(_) | Sums::Real(_), _) => {}
        }
    }

    /// Makes room for sums of this much more magnitude.
    fn grow(&mut self, more: u128) {
        self.bound = self.bound.saturating_add(more);
        let fits = match &self.sums {
            Sums::U32(_) => self.bound <= u128::from(u32::MAX),
            Sums::I32(_) => self.bound <= i32::MAX as u128,
            Sums::I64(_) => self.bound <= i64::MAX as u128,
            _ => true,
        };
        if !fits {
            self.widen();
            self.grow(0);
        }
    }

    fn widen(&mut self) {
        self.sums = match &self.sums {
            Sums::U32(b) => Sums::I64(wider(b)),
            Sums::I32(b) => Sums::I64(wider(b)),
            Sums::I64(b) => Sums::I128(wider(b)),
            _ => return,
        };
    }

    /// Places in the order of widening; totals of one element type differ in nothing else.
    fn level(&self) -> u8 {
        match self.sums {
            Sums::U32(_) | Sums::I32(_) => 0,
            Sums::I64(_) => 1,
            _ => 2,
        }
    }

    /// Adds another total. False when it is of another kind.
    pub fn merge(&mut self, mut other: Total) -> bool {
        if self.dtype != other.dtype || self.shape != other.shape {
            return false;
        }
        self.grow(other.bound);
        while self.level() < other.level() {
            self.widen();
        }
        while other.level() < self.level() {
            other.widen();
        }
        match (&mut self.sums, &other.sums) {
            (Sums::Whole(a), Sums::Whole(b)) => *a = a.wrapping_add(*b),
            (Sums::Real(a), Sums::Real(b)) => a.merge(*b),
            (Sums::U32(a), Sums::U32(b)) => add_each(a, b),
            (Sums::I32(a), Sums::I32(b)) => add_each(a, b),
            (Sums::I64(a), Sums::I64(b)) => add_each(a, b),
            (Sums::I128(a), Sums::I128(b)) => add_each(a, b),
            (Sums::Plain(a), Sums::Plain(b)) => {
                a.iter_mut().zip(b.iter()).for_each(|(a, &b)| *a += b);
            }
            (Sums::Pairs(a, a_lost), Sums::Pairs(b, b_lost)) => {
                for i in 0..a.len() {
                    let (sum, error) = two_sum(a[i], b[i]);
                    a[i] = sum;
                    a_lost[i] += error + b_lost[i];
                }
            }
            _ => return false,
        }
        true
    }

    /// The sum: integers as int64 or uint64 where they fit, all else as float64.
    pub fn sum(&self) -> Value {
        if let Some(reals) = self.reals() {
            return self.shaped(&reals);
        }
        let unsigned = matches!(self.dtype, DType::U8 | DType::U16 | DType::U32 | DType::U64);
        // Most sums of images: straight into the array that is published.
        match &self.sums {
            Sums::U32(b) if unsigned => return self.each(b, u64::from),
            Sums::U32(b) => return self.each(b, i64::from),
            Sums::I32(b) => return self.each(b, i64::from),
            // What only grows from zero is never negative.
            Sums::I64(b) if unsigned => return self.each(b, |x| x as u64),
            Sums::I64(b) => return self.each(b, |x| x),
            _ => {}
        }
        let whole = self.wholes();
        if unsigned && let Some(fit) = fitting::<u64>(&whole) {
            return self.shaped(&fit);
        }
        if !unsigned && let Some(fit) = fitting::<i64>(&whole) {
            return self.shaped(&fit);
        }
        self.shaped(&whole.iter().map(|&x| x as f64).collect::<Vec<_>>())
    }

    /// The sum divided by a number of events.
    pub fn mean(&self, n: u64) -> Value {
        let n = n as f64;
        match &self.sums {
            Sums::U32(b) => return self.each(b, |x| f64::from(x) / n),
            Sums::I32(b) => return self.each(b, |x| f64::from(x) / n),
            Sums::I64(b) => return self.each(b, |x| x as f64 / n),
            Sums::Plain(b) => return self.each(b, |x| x / n),
            _ => {}
        }
        let sums =
            self.reals().unwrap_or_else(|| self.wholes().iter().map(|&x| x as f64).collect());
        self.shaped(&sums.iter().map(|sum| sum / n).collect::<Vec<_>>())
    }

    /// The published array, each element made of one accumulator.
    fn each<A: bytemuck::Pod, T: crate::data::value::Element + Number>(
        &self,
        from: &[A],
        make: impl Fn(A) -> T,
    ) -> Value {
        if self.shape.is_empty() {
            return self.shaped(&from.iter().map(|&x| make(x)).collect::<Vec<_>>());
        }
        let mut array = Array::zeros(T::DTYPE, &self.shape);
        if let Some(to) = array.elements_mut::<T>() {
            to.iter_mut().zip(from).for_each(|(to, &x)| *to = make(x));
        }
        Value::Array(array)
    }

    fn reals(&self) -> Option<Vec<f64>> {
        match &self.sums {
            Sums::Real(real) => Some(vec![real.value()]),
            Sums::Plain(sums) => Some(sums.to_vec()),
            Sums::Pairs(s, lost) => {
                Some(s.iter().zip(lost.iter()).map(|(&s, &l)| corrected(s, l)).collect())
            }
            _ => None,
        }
    }

    fn wholes(&self) -> Vec<i128> {
        match &self.sums {
            Sums::Whole(whole) => vec![*whole],
            Sums::U32(b) => b.iter().map(|&x| x.into()).collect(),
            Sums::I32(b) => b.iter().map(|&x| x.into()).collect(),
            Sums::I64(b) => b.iter().map(|&x| x.into()).collect(),
            Sums::I128(b) => b.to_vec(),
            Sums::Real(_) | Sums::Plain(_) | Sums::Pairs(..) => Vec::new(),
        }
    }

    fn shaped<T: crate::data::value::Element + Number>(&self, numbers: &[T]) -> Value {
        match (self.shape.is_empty(), numbers.first()) {
            (true, Some(&one)) => Value::Scalar(one.scalar(T::DTYPE)),
            _ => Value::Array(Array::from_elements(&self.shape, numbers)),
        }
    }

    /// Gives the total away as bytes.
    pub fn encode(self, writer: &mut Writer) {
        writer.slice(&[self.bound]);
        writer.u8(self.level());
        match self.sums {
            Sums::Whole(whole) => writer.i128(whole),
            Sums::Real(real) => {
                writer.f64(real.sum);
                writer.f64(real.lost);
            }
            Sums::U32(b) => writer.buffer(b),
            Sums::I32(b) => writer.buffer(b),
            Sums::I64(b) => writer.buffer(b),
            Sums::I128(b) => writer.buffer(b),
            Sums::Plain(b) => writer.buffer(b),
            Sums::Pairs(sums, lost) => {
                writer.buffer(sums);
                writer.buffer(lost);
            }
        }
    }

    /// Reads a total of this element type and shape.
    ///
    /// # Errors
    /// When the bytes are not one.
    pub fn decode(
        dtype: DType,
        axes: &[u32],
        reader: &mut Reader<'_>,
    ) -> Result<Total, DecodeError> {
        const WHAT: &str = "total";
        let shape: Vec<usize> = axes.iter().map(|&a| a as usize).collect();
        let count: usize = shape.iter().product();
        let bound = reader.buffer::<u128>(1, WHAT)?[0];
        // More than small integers come to in years, and room for it is planned for no state.
        if small(dtype) && bound >> 62 != 0 {
            return Err(DecodeError::invalid(WHAT, format_args!("bound {bound}")));
        }
        let sums = match (reader.u8(WHAT)?, dtype) {
            (2, DType::F32 | DType::F64) if axes.is_empty() => {
                Sums::Real(Compensated { sum: reader.f64(WHAT)?, lost: reader.f64(WHAT)? })
            }
            (2, _) if axes.is_empty() => Sums::Whole(reader.i128(WHAT)?),
            (2, DType::F32) => Sums::Plain(reader.buffer(count, WHAT)?),
            (2, DType::F64) => {
                Sums::Pairs(reader.buffer(count, WHAT)?, reader.buffer(count, WHAT)?)
            }
            (2, d) if !small(d) => Sums::I128(reader.buffer(count, WHAT)?),
            (1, d) if !matches!(d, DType::U64 | DType::I64 | DType::F32 | DType::F64) => {
                Sums::I64(reader.buffer(count, WHAT)?)
            }
            (0, DType::I8 | DType::I16) => Sums::I32(reader.buffer(count, WHAT)?),
            (0, DType::Bool | DType::U8 | DType::U16) => Sums::U32(reader.buffer(count, WHAT)?),
            (level, _) => return Err(DecodeError::invalid(WHAT, level)),
        };
        Ok(Total { dtype, shape, bound, sums })
    }
}

/// All of them in a narrower type, if they fit.
fn fitting<T: TryFrom<i128>>(whole: &[i128]) -> Option<Vec<T>> {
    whole.iter().map(|&x| T::try_from(x).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::batch::{ArrayRef, Dims};

    fn absorb(total: &mut Total, dtype: DType, bytes: &[u8], frames: usize) {
        let dims = Dims::new(&[bytes.len() / dtype.size()]).unwrap();
        let items = vec![Some(ArrayRef { dims, data: bytes }); frames];
        total.absorb(&Column::Arrays { dtype, items }, None, frames as u64, &mut Vec::new());
    }

    #[test]
    fn accumulators_widen_before_they_could_overflow() {
        let bytes: Vec<u8> = [u16::MAX, 1, 7].iter().flat_map(|x| x.to_le_bytes()).collect();
        let mut total = Total::new(DType::U16, &[3]);
        let mut narrow = total.clone();
        absorb(&mut narrow, DType::U16, &bytes, 2);
        absorb(&mut total, DType::U16, &bytes, 65_535);
        assert_eq!(total.level(), 0);
        absorb(&mut total, DType::U16, &bytes, 10);
        assert_eq!(total.level(), 1);
        // 2^47 events more, as far as the bound is concerned.
        total.grow(1 << 63);
        assert_eq!(total.level(), 2);
        assert!(total.clone().merge(narrow.clone()) && narrow.merge(total));
        let sum = 65_547u64;
        let expected = Array::from_elements(&[3], &[sum * 65_535, sum, sum * 7]);
        assert_eq!(narrow.sum(), Value::Array(expected));
    }

    #[test]
    fn bytes_of_more_than_was_planned_are_refused() {
        let read = |bound: u128, level: u8| {
            let mut writer = Writer::default();
            writer.slice(&[bound]);
            writer.u8(level);
            writer.slice(&[1i128]);
            Total::decode(DType::U16, &[1], &mut Reader::new(&writer.header, &[])).is_ok()
        };
        assert!(!read(1, 2) && !read(1 << 62, 1) && !read(1 << 62, 0));
    }

    #[test]
    fn signed_sums_and_means() {
        let mut total = Total::new(DType::I8, &[2]);
        absorb(&mut total, DType::I8, &[0x80, 0x7f], 300);
        assert_eq!(total.sum(), Value::Array(Array::from_elements(&[2], &[-38_400i64, 38_100])));
        assert_eq!(total.mean(300), Value::Array(Array::from_elements(&[2], &[-128.0, 127.0])));
        assert!(!total.merge(Total::new(DType::I8, &[3])));
    }
}
