//! Statistics of the elements of one array: numpy's definitions, over all elements or one axis.

use crate::data::bands::bands;
use crate::data::column_views::{Number, as_f64, typed};
use crate::data::owned_column::scalar_bytes;
use crate::data::value::{DType, Scalar};
use crate::expr;
use crate::merge::accumulate::{add_rows, quarters};
use crate::merge::compensated::{Compensated, corrected};
use crate::with_type;
use multiversion::multiversion;

/// What is computed of a line of elements.
#[derive(Debug, Clone, Copy, PartialEq)]
#[allow(missing_docs)] // each variant is its numpy function
pub enum Statistic {
    Sum,
    Mean,
    Min,
    Max,
    Std,
    Var,
    Rms,
    Median,
    ArgMin,
    ArgMax,
    Norm,
    NanSum,
    NanMean,
    NanMin,
    NanMax,
    NanStd,
    NanVar,
    NanMedian,
    /// Its place, from 0 to 1.
    Quantile(f64),
    NanQuantile(f64),
}

use Statistic as S;

/// Names in graphs.
pub const NAMES: [(&str, Statistic); 18] = [
    ("sum", S::Sum),
    ("mean", S::Mean),
    ("min", S::Min),
    ("max", S::Max),
    ("std", S::Std),
    ("var", S::Var),
    ("rms", S::Rms),
    ("median", S::Median),
    ("argmin", S::ArgMin),
    ("argmax", S::ArgMax),
    ("norm", S::Norm),
    ("nansum", S::NanSum),
    ("nanmean", S::NanMean),
    ("nanmin", S::NanMin),
    ("nanmax", S::NanMax),
    ("nanstd", S::NanStd),
    ("nanvar", S::NanVar),
    ("nanmedian", S::NanMedian),
];

/// Names in graphs of those that have a place, and the place of the last element.
pub const QUANTILES: [(&str, f64); 4] =
    [("quantile", 1.0), ("percentile", 100.0), ("nanquantile", 1.0), ("nanpercentile", 100.0)];

impl Statistic {
    /// By name.
    pub fn named(name: &str) -> Option<Statistic> {
        NAMES.iter().find(|(n, _)| *n == name).map(|(_, s)| *s)
    }

    /// By name, at this place from 0 to 1.
    pub fn quantile(name: &str, place: f64) -> Statistic {
        if name.starts_with("nan") { S::NanQuantile(place) } else { S::Quantile(place) }
    }

    /// The same of elements none of which is NaN.
    fn plain(self) -> Statistic {
        match self {
            S::NanSum => S::Sum,
            S::NanMean => S::Mean,
            S::NanMin => S::Min,
            S::NanMax => S::Max,
            S::NanStd => S::Std,
            S::NanVar => S::Var,
            S::NanMedian => S::Median,
            other => other,
        }
    }

    /// Element type of the result, as numpy's.
    pub fn result(self, dtype: DType) -> DType {
        match self.plain() {
            S::Min | S::Max => dtype,
            S::ArgMin | S::ArgMax => DType::I64,
            _ if dtype == DType::F32 => DType::F32,
            S::Sum => match dtype {
                DType::U8 | DType::U16 | DType::U32 | DType::U64 => DType::U64,
                DType::F64 => DType::F64,
                _ => DType::I64,
            },
            _ => DType::F64,
        }
    }

    /// Of a line of elements.
    ///
    /// # Errors
    /// When it has no meaning for no elements.
    pub fn of(self, dtype: DType, line: &[u8], scratch: &mut Vec<f64>) -> Result<Scalar, String> {
        if self.plain() != self {
            return self.of_numbers(dtype, line, scratch);
        }
        match self {
            S::Min | S::Max | S::ArgMin | S::ArgMax => {
                with_type!(dtype, T => self.extreme::<T>(dtype, &typed::<T>(line)))
            }
            S::Sum if !dtype.is_float() => Ok(self.whole_sum(dtype, line)),
            S::Quantile(_) if line.is_empty() => {
                Err("the array has no elements, so there is no quantile".into())
            }
            _ => {
                let x = self.real(as_f64(dtype, line, scratch));
                Ok(real(self.result(dtype), x))
            }
        }
    }

    /// Of the elements of a line that are not NaN. Where none is left, the extremes are NaN.
    fn of_numbers(
        self,
        dtype: DType,
        line: &[u8],
        scratch: &mut Vec<f64>,
    ) -> Result<Scalar, String> {
        let plain = self.plain();
        if !dtype.is_float() {
            return plain.of(dtype, line, scratch);
        }
        let size = dtype.size();
        let mut numbers: Vec<u8> = Vec::with_capacity(line.len());
        with_type!(dtype, T => {
            let kept = typed::<T>(line);
            let kept = kept.iter().zip(line.chunks_exact(size)).filter(|(x, _)| !x.nan());
            kept.for_each(|(_, bytes)| numbers.extend_from_slice(bytes));
        });
        if numbers.is_empty() && matches!(plain, S::Min | S::Max) {
            numbers.extend(line.iter().take(size));
        }
        plain.of(dtype, &numbers, scratch)
    }

    fn extreme<T: Number>(self, dtype: DType, line: &[T]) -> Result<Scalar, String> {
        let least = matches!(self, S::Min | S::ArgMin);
        let Some(&first) = line.first() else {
            return Err("the array has no elements, so there is no extreme".into());
        };
        // The first NaN wins, as in numpy: nothing compares beyond it.
        let best = match line.iter().find(|x| x.nan()) {
            Some(&nan) => nan,
            None => extreme_of(line, first, least),
        };
        let same = |x: &T| if best.nan() { x.nan() } else { *x == best };
        let place = || line.iter().position(same).unwrap_or(0);
        Ok(match self {
            S::ArgMin | S::ArgMax => Scalar::I64(place() as i64),
            // The first of equal ones, as zeros have signs.
            _ => line.get(place()).copied().unwrap_or(best).scalar(dtype),
        })
    }

    /// Wraps around as numpy's int64 and uint64 do.
    fn whole_sum(self, dtype: DType, line: &[u8]) -> Scalar {
        fn wrapping<T: Number>(line: &[u8], wide: impl Fn(T) -> u64) -> u64 {
            typed::<T>(line).iter().fold(0u64, |sum, &x| sum.wrapping_add(wide(x)))
        }
        /// Blocks whose sums fit in 32 bits: twice as many at a time.
        fn short<T: Number + Into<u32>>(line: &[u8]) -> u64 {
            typed::<T>(line).chunks(1 << 16).map(|block| u64::from(block_sum(block))).sum()
        }
        let sum = match dtype {
            DType::U16 => short::<u16>(line),
            DType::U32 => wrapping::<u32>(line, u64::from),
            DType::U64 => wrapping::<u64>(line, |x| x),
            DType::I8 => wrapping::<i8>(line, |x| x as u64),
            DType::I16 => wrapping::<i16>(line, |x| x as u64),
            DType::I32 => wrapping::<i32>(line, |x| x as u64),
            DType::I64 => wrapping::<i64>(line, |x| x as u64),
            _ => short::<u8>(line),
        };
        match self.result(dtype) {
            DType::U64 => Scalar::U64(sum),
            _ => Scalar::I64(sum as i64),
        }
    }

    fn real(self, line: &[f64]) -> f64 {
        let n = line.len() as f64;
        let total = |f: &dyn Fn(f64) -> f64| {
            let mut sum = Compensated::default();
            line.iter().for_each(|&x| sum.add(f(x)));
            sum.value()
        };
        let sum = || {
            let mut sum = Compensated::default();
            sum.add_all(line);
            sum.value()
        };
        match self {
            S::Sum => sum(),
            S::Mean => sum() / n,
            S::Norm => total(&|x| x * x).sqrt(),
            S::Rms => (total(&|x| x * x) / n).sqrt(),
            S::Median => median(line),
            S::Quantile(place) => quantile(line, place),
            S::NanQuantile(place) => {
                let numbers: Vec<f64> = line.iter().copied().filter(|x| !x.is_nan()).collect();
                quantile(&numbers, place)
            }
            _ => {
                let mean = sum() / n;
                let variance = total(&|x| (x - mean) * (x - mean)) / n;
                if self == S::Std { variance.sqrt() } else { variance }
            }
        }
    }

    /// Over one axis of an array in C order: `outer` × `length` × `inner` elements give
    /// `outer` × `inner` results, written to `out`.
    ///
    /// # Errors
    /// When it has no meaning for no elements.
    pub fn along(
        self,
        dtype: DType,
        data: &[u8],
        (outer, length, inner): (usize, usize, usize),
        out: &mut [u8],
        scratch: &mut Vec<f64>,
    ) -> Result<(), String> {
        let size = dtype.size();
        let result = self.result(dtype);
        if self.by_rows(dtype, (length, inner)) {
            let blocks = data.chunks_exact(length * inner * size);
            for (block, out) in blocks.zip(out.chunks_exact_mut(inner * result.size())) {
                scratch.clear();
                scratch.resize(2 * inner, 0.0);
                let row = inner * size;
                for rows in bands(length, row) {
                    add_band(dtype, &block[rows.start * row..rows.end * row], scratch);
                }
                self.put_rows(result, length, scratch, out);
            }
            return Ok(());
        }
        if inner == 1 {
            // Lines as memory lies.
            let lines = data.chunks_exact((length * size).max(1)).take(outer);
            for (line, place) in lines.zip(out.chunks_exact_mut(result.size())) {
                place.copy_from_slice(
                    &scalar_bytes(self.of(dtype, line, scratch)?)[..result.size()],
                );
            }
            if length > 0 {
                return Ok(());
            }
        }
        let mut line = Vec::with_capacity(length * size);
        let mut places = out.chunks_exact_mut(result.size());
        for block in 0..outer {
            for column in 0..inner {
                line.clear();
                for k in 0..length {
                    let at = ((block * length + k) * inner + column) * size;
                    line.extend_from_slice(&data[at..at + size]);
                }
                let value = self.of(dtype, &line, scratch)?;
                if let Some(place) = places.next() {
                    place.copy_from_slice(&scalar_bytes(value)[..result.size()]);
                }
            }
        }
        Ok(())
    }

    /// Whether it is computed over rows of this type by adding whole rows, as memory lies, band by
    /// band: sums of float64, compensated, and of elements of up to 32 bits, of which up to 2^21
    /// are exact in a float64.
    pub fn by_rows(self, dtype: DType, (length, inner): (usize, usize)) -> bool {
        let adds = matches!(self, S::Sum | S::Mean) && (dtype == DType::F64 || dtype.size() < 8);
        adds && length > 0 && inner > 1
    }

    /// Writes the results of so many rows that [`add_band`] has added.
    pub fn put_rows(self, result: DType, length: usize, sums: &[f64], out: &mut [u8]) {
        let (sums, lost) = sums.split_at(sums.len() / 2);
        for ((&sum, &lost), place) in sums.iter().zip(lost).zip(out.chunks_exact_mut(result.size()))
        {
            let sum = corrected(sum, lost);
            let x = if self == S::Mean { sum / length as f64 } else { sum };
            let value = match result {
                DType::U64 => Scalar::U64(x as u64),
                DType::I64 => Scalar::I64(x as i64),
                other => real(other, x),
            };
            place.copy_from_slice(&scalar_bytes(value)[..result.size()]);
        }
    }
}

/// Adds the rows of a band to sums, a row being half as many elements as there are sums: the other
/// half is what float64 lost by rounding.
pub fn add_band(dtype: DType, band: &[u8], sums: &mut [f64]) {
    let inner = sums.len() / 2;
    let (sums, lost) = sums.split_at_mut(inner);
    if dtype == DType::F64 {
        return add_rows(sums, lost, &typed::<f64>(band));
    }
    with_type!(dtype, T => {
        let band = typed::<T>(band);
        let (blocks, rest) = quarters(&band, inner);
        blocks.for_each(|rows| add_four(sums, rows));
        rest.chunks_exact(inner.max(1)).for_each(|row| add_row(sums, row));
    });
}

/// The sum of numbers of which at most 65536 fit in 32 bits.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512vl+avx512dq", "x86_64+avx2"))]
fn block_sum<T: Copy + Into<u32>>(block: &[T]) -> u32 {
    block.iter().fold(0u32, |sum, &x| sum.wrapping_add(x.into()))
}

/// The least, or greatest, of numbers none of which is NaN.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512vl+avx512dq", "x86_64+avx2"))]
fn extreme_of<T: Number>(line: &[T], first: T, least: bool) -> T {
    if least {
        line.iter().fold(first, |best, &x| if x < best { x } else { best })
    } else {
        line.iter().fold(first, |best, &x| if x > best { x } else { best })
    }
}

/// Adds a row of numbers to float64 sums that are exact for them.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512vl+avx512dq", "x86_64+avx2"))]
fn add_row<T: Number>(sums: &mut [f64], row: &[T]) {
    sums.iter_mut().zip(row).for_each(|(sum, x)| *sum += x.f64());
}

/// As [`add_row`], of four.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512vl+avx512dq", "x86_64+avx2"))]
fn add_four<T: Number>(sums: &mut [f64], [a, b, c, d]: [&[T]; 4]) {
    for ((((sum, a), b), c), d) in sums.iter_mut().zip(a).zip(b).zip(c).zip(d) {
        *sum += (a.f64() + b.f64()) + (c.f64() + d.f64());
    }
}

fn real(dtype: DType, x: f64) -> Scalar {
    if dtype == DType::F32 { Scalar::F32(x as f32) } else { Scalar::F64(x) }
}

/// Mean of the two middle elements; NaN if any is.
fn median(line: &[f64]) -> f64 {
    if line.iter().any(|x| x.is_nan()) {
        return f64::NAN;
    }
    expr::median(&mut line.to_vec())
}

/// Interpolated; NaN if any element is.
fn quantile(line: &[f64], place: f64) -> f64 {
    if line.iter().any(|x| x.is_nan()) {
        return f64::NAN;
    }
    expr::quantile(&mut line.to_vec(), place)
}
