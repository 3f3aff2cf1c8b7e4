//! Reductions of an array, whole or along one axis, straight on its typed elements.

use crate::data::value::{DType, Element};
use crate::expr::arithmetic::kernel::with_number;
use crate::expr::arithmetic::number::Number;
use crate::expr::arithmetic::promote::{mean_type, sum_type};
use crate::expr::arithmetic::shape::{Failure, Shape};
use crate::expr::arithmetic::sums::{self, Sum};

/// numpy's functions of an array.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::expr) enum Reduction {
    Sum,
    Mean,
    Std,
    Var,
    Min,
    Max,
    Argmin,
    Argmax,
    Median,
    Any,
    All,
    CountNonzero,
    Nansum,
    Nanmean,
}

impl Reduction {
    /// Type of the result for elements of type `of`.
    pub fn result(self, of: DType) -> DType {
        match self {
            Reduction::Sum | Reduction::Nansum => sum_type(of),
            Reduction::Mean
            | Reduction::Std
            | Reduction::Var
            | Reduction::Median
            | Reduction::Nanmean => mean_type(of),
            Reduction::Min | Reduction::Max => of,
            Reduction::Argmin | Reduction::Argmax | Reduction::CountNonzero => DType::I64,
            Reduction::Any | Reduction::All => DType::Bool,
        }
    }

    /// Name, where an empty array has no result.
    fn refuses_empty(self) -> Option<&'static str> {
        match self {
            Reduction::Min => Some("min"),
            Reduction::Max => Some("max"),
            Reduction::Argmin => Some("argmin"),
            Reduction::Argmax => Some("argmax"),
            _ => None,
        }
    }
}

/// An array to reduce: elements before, along and after the axis that goes.
#[derive(Clone, Copy)]
struct Lanes<'a, T> {
    data: &'a [T],
    length: usize,
    inner: usize,
}

/// Reduces `data` of type `of` into `out`, which has the elements of the result.
pub(in crate::expr) fn reduce(
    reduction: Reduction,
    of: DType,
    data: &[u8],
    (shape, axis): (&Shape, Option<usize>),
    scratch: &mut Vec<u64>,
    out: &mut [u8],
) -> Result<(), Failure> {
    let (outer, length, inner) = shape.around(axis);
    if let (0, Some(name), true) = (length, reduction.refuses_empty(), outer * inner > 0) {
        return Err(Failure::Empty(name));
    }
    with_number!(of, T => {
        let lanes = Lanes { data: bytemuck::cast_slice::<u8, T>(data), length, inner };
        reduce_typed(reduction, lanes, scratch, out);
    }, bool => {
        let lanes = Lanes { data, length, inner };
        reduce_bool(reduction, lanes, scratch, out);
    });
    Ok(())
}

fn reduce_typed<T: Sum>(
    reduction: Reduction,
    lanes: Lanes<'_, T>,
    scratch: &mut Vec<u64>,
    out: &mut [u8],
) {
    let rows = lanes.inner > 1 && lanes.length > 0;
    match reduction {
        Reduction::Sum if rows => sum_rows(lanes, scratch, out, T::finish_sum),
        Reduction::Mean if rows && !T::WRAPS => {
            sum_rows(lanes, scratch, out, |total, count| T::finish_mean(total.to_f64(), count));
        }
        Reduction::Min if rows => extreme_rows(lanes, out, T::least),
        Reduction::Max if rows => extreme_rows(lanes, out, T::greatest),
        Reduction::Sum => each(lanes, scratch, out, |a| T::finish_sum(T::sum(a), a.len())),
        Reduction::Mean => each(lanes, scratch, out, |a| T::finish_mean(T::true_sum(a), a.len())),
        Reduction::Nansum => each(lanes, scratch, out, |a| T::finish_sum(T::nansum(a).0, 1)),
        Reduction::Nanmean => each(lanes, scratch, out, |a| {
            let (sum, count) = T::nansum(a);
            T::finish_mean(if T::WRAPS { T::true_sum(a) } else { sum.to_f64() }, count)
        }),
        Reduction::Var => each(lanes, scratch, out, |a| T::from_mean(sums::variance(a))),
        Reduction::Std => each(lanes, scratch, out, |a| T::from_mean(sums::variance(a).sqrt())),
        Reduction::Median => each(lanes, scratch, out, |a| T::from_mean(median(a))),
        Reduction::Min => each(lanes, scratch, out, |a| extreme(a, T::least)),
        Reduction::Max => each(lanes, scratch, out, |a| extreme(a, T::greatest)),
        Reduction::Argmin => each(lanes, scratch, out, |a| position(a, T::least)),
        Reduction::Argmax => each(lanes, scratch, out, |a| position(a, T::greatest)),
        Reduction::Any => each(lanes, scratch, out, |a| u8::from(a.iter().any(|v| v.truth()))),
        Reduction::All => each(lanes, scratch, out, |a| u8::from(a.iter().all(|v| v.truth()))),
        Reduction::CountNonzero => {
            each(lanes, scratch, out, |a| a.iter().map(|v| i64::from(v.truth())).sum::<i64>());
        }
    }
}

/// Bools are counted as 0 and 1 whatever their byte; their minimum is `all`, their maximum `any`.
fn reduce_bool(reduction: Reduction, lanes: Lanes<'_, u8>, scratch: &mut Vec<u64>, out: &mut [u8]) {
    let count = |a: &[u8]| a.iter().map(|&v| i64::from(v != 0)).sum::<i64>();
    let share = |a: &[u8]| count(a) as f64 / a.len() as f64;
    match reduction {
        Reduction::Sum | Reduction::Nansum | Reduction::CountNonzero => {
            each(lanes, scratch, out, |a| count(a));
        }
        Reduction::Mean | Reduction::Nanmean => each(lanes, scratch, out, |a| share(a)),
        Reduction::Var => each(lanes, scratch, out, |a| share(a) * (1.0 - share(a))),
        Reduction::Std => each(lanes, scratch, out, |a| (share(a) * (1.0 - share(a))).sqrt()),
        Reduction::Median => each(lanes, scratch, out, |a| match 2 * count(a) - a.len() as i64 {
            _ if a.is_empty() => f64::NAN,
            0 => 0.5,
            more => f64::from(u8::from(more > 0)),
        }),
        Reduction::Min | Reduction::All => {
            each(lanes, scratch, out, |a| u8::from(a.iter().all(|&v| v != 0)));
        }
        Reduction::Max | Reduction::Any => {
            each(lanes, scratch, out, |a| u8::from(a.iter().any(|&v| v != 0)));
        }
        Reduction::Argmin => each(lanes, scratch, out, |a| first(a, |v| v == 0)),
        Reduction::Argmax => each(lanes, scratch, out, |a| first(a, |v| v != 0)),
    }
}

/// Place of the first element that is accepted; 0 when none is.
fn first<T: Copy>(a: &[T], accept: impl Fn(T) -> bool) -> i64 {
    a.iter().position(|&v| accept(v)).unwrap_or(0) as i64
}

/// Calls `f` with the elements along the axis, for every place of the other axes. They are
/// gathered where they do not lie together. `f` may reorder them.
fn each<T: Number, U: Element>(
    lanes: Lanes<'_, T>,
    scratch: &mut Vec<u64>,
    out: &mut [u8],
    mut f: impl FnMut(&mut Gathered<'_, T>) -> U,
) {
    let Lanes { data, length, inner } = lanes;
    let results: &mut [U] = bytemuck::cast_slice_mut(out);
    for (i, result) in results.iter_mut().enumerate() {
        let source = if inner == 1 {
            &data[i * length..(i + 1) * length]
        } else {
            let start = i / inner * inner * length + i % inner;
            let gathered = room::<T>(scratch, length);
            for (to, from) in
                gathered.iter_mut().zip(data[start.min(data.len())..].iter().step_by(inner))
            {
                *to = *from;
            }
            &[]
        };
        *result = f(&mut Gathered { source, scratch, strided: inner != 1, length });
    }
}

/// The elements along an axis: in place where they lie together, else as gathered in scratch.
struct Gathered<'a, T> {
    source: &'a [T],
    scratch: &'a mut Vec<u64>,
    strided: bool,
    length: usize,
}

impl<T: Number> Gathered<'_, T> {
    /// A copy that may be reordered.
    fn owned(&mut self) -> &mut [T] {
        let copy = room(self.scratch, self.length);
        if !self.strided {
            copy.copy_from_slice(self.source);
        }
        copy
    }
}

impl<T: Number> std::ops::Deref for Gathered<'_, T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        if self.strided { &bytemuck::cast_slice(self.scratch)[..self.length] } else { self.source }
    }
}

/// The first `length` elements of scratch memory.
pub(in crate::expr) fn room<T: Element>(scratch: &mut Vec<u64>, length: usize) -> &mut [T] {
    let words = (length * size_of::<T>()).div_ceil(8);
    if scratch.len() < words {
        scratch.resize(words, 0);
    }
    &mut bytemuck::cast_slice_mut(scratch)[..length]
}

fn sum_rows<T: Sum, U: Element>(
    lanes: Lanes<'_, T>,
    scratch: &mut Vec<u64>,
    out: &mut [u8],
    finish: impl Fn(T::Total, usize) -> U,
) {
    let Lanes { data, length, inner } = lanes;
    let out: &mut [U] = bytemuck::cast_slice_mut(out);
    for (block, results) in data.chunks_exact(length * inner).zip(out.chunks_exact_mut(inner)) {
        let totals = room::<T::Total>(scratch, inner);
        totals.fill(<T::Total as Number>::ZERO);
        for row in block.chunks_exact(inner) {
            for (total, &v) in totals.iter_mut().zip(row) {
                *total = total.add(v.widen());
            }
        }
        for (result, &total) in results.iter_mut().zip(&*totals) {
            *result = finish(total, length);
        }
    }
}

fn extreme_rows<T: Number>(lanes: Lanes<'_, T>, out: &mut [u8], better: impl Fn(T, T) -> T) {
    let Lanes { data, length, inner } = lanes;
    let out: &mut [T] = bytemuck::cast_slice_mut(out);
    for (block, results) in data.chunks_exact(length * inner).zip(out.chunks_exact_mut(inner)) {
        let (head, tail) = block.split_at(inner);
        results.copy_from_slice(head);
        for row in tail.chunks_exact(inner) {
            for (result, &v) in results.iter_mut().zip(row) {
                *result = better(*result, v);
            }
        }
    }
}

/// The extreme of a non-empty slice, in lanes that the compiler vectorises.
fn extreme<T: Number>(a: &[T], better: impl Fn(T, T) -> T) -> T {
    let mut best = [a[0]; 16];
    let chunks = a.chunks_exact(16);
    let rest = chunks.remainder();
    for chunk in chunks {
        for (b, &v) in best.iter_mut().zip(chunk) {
            *b = better(*b, v);
        }
    }
    best.into_iter().chain(rest.iter().copied()).fold(a[0], better)
}

/// Place of the first extreme of a non-empty slice, or of the first NaN.
fn position<T: Number>(a: &[T], better: impl Fn(T, T) -> T) -> i64 {
    let best = extreme(a, better);
    if best.is_nan() { first(a, T::is_nan) } else { first(a, |v| v == best) }
}

fn median<T: Sum>(a: &mut Gathered<'_, T>) -> f64 {
    if a.is_empty() || a.iter().any(|v| v.is_nan()) {
        return f64::NAN;
    }
    let values = a.owned();
    let half = values.len() / 2;
    let even = values.len().is_multiple_of(2);
    // Without NaN every pair compares.
    let by_value = |a: &T, b: &T| a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal);
    let (below, &mut upper, _) = values.select_nth_unstable_by(half, by_value);
    if !even {
        return upper.to_f64();
    }
    let lower = extreme(below, T::greatest);
    // In f32 numpy rounds the sum of the two; in f64 it adds before halving, which overflows for
    // the largest values only.
    (lower.to_f64() + upper.to_f64()) / 2.0
}
