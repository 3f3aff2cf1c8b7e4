//! Reductions of an array, whole or along one axis, straight on its typed elements.

use crate::data::value::{DType, Element};
use crate::expr::arithmetic::kernel::with_number;
use crate::expr::arithmetic::number::Number;
use crate::expr::arithmetic::order::{extreme, median, quantile};
use crate::expr::arithmetic::promote::{mean_type, sum_type};
use crate::expr::arithmetic::shape::{Failure, Shape};
use crate::expr::arithmetic::sums::{self, Sum};

/// numpy's functions of an array.
#[derive(Debug, Clone, Copy, PartialEq)]
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
    Nanmin,
    Nanmax,
    Nanstd,
    Nanvar,
    Nanmedian,
    /// q from 0 to 1, interpolated.
    Quantile {
        q: f64,
        skip_nan: bool,
    },
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
            | Reduction::Nanmean
            | Reduction::Nanstd
            | Reduction::Nanvar
            | Reduction::Nanmedian
            | Reduction::Quantile { .. } => mean_type(of),
            Reduction::Min | Reduction::Max | Reduction::Nanmin | Reduction::Nanmax => of,
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
            Reduction::Nanmin => Some("nanmin"),
            Reduction::Nanmax => Some("nanmax"),
            Reduction::Quantile { skip_nan: false, .. } => Some("quantile"),
            _ => None,
        }
    }

    /// The same of elements none of which is NaN.
    fn plain(self) -> Reduction {
        match self {
            Reduction::Nansum => Reduction::Sum,
            Reduction::Nanmean => Reduction::Mean,
            Reduction::Nanmin => Reduction::Min,
            Reduction::Nanmax => Reduction::Max,
            Reduction::Nanstd => Reduction::Std,
            Reduction::Nanvar => Reduction::Var,
            Reduction::Nanmedian => Reduction::Median,
            other => other,
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
        let reduction = if of.is_float() { reduction } else { reduction.plain() };
        reduce_typed(reduction, lanes, scratch, out);
    }, bool => {
        let lanes = Lanes { data, length, inner };
        reduce_bool(reduction.plain(), lanes, scratch, out);
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
        Reduction::Var => each(lanes, scratch, out, |a| T::from_mean(sums::variance(a))),
        Reduction::Std => each(lanes, scratch, out, |a| T::from_mean(sums::variance(a).sqrt())),
        Reduction::Median => {
            each(lanes, scratch, out, |a| T::from_mean(a.all_numbers().map_or(f64::NAN, median)));
        }
        Reduction::Min => each(lanes, scratch, out, |a| extreme(a, T::least)),
        Reduction::Max => each(lanes, scratch, out, |a| extreme(a, T::greatest)),
        Reduction::Argmin => each(lanes, scratch, out, |a| position(a, T::least)),
        Reduction::Argmax => each(lanes, scratch, out, |a| position(a, T::greatest)),
        Reduction::Any => each(lanes, scratch, out, |a| u8::from(a.iter().any(|v| v.truth()))),
        Reduction::All => each(lanes, scratch, out, |a| u8::from(a.iter().all(|v| v.truth()))),
        Reduction::CountNonzero => {
            each(lanes, scratch, out, |a| a.iter().map(|v| i64::from(v.truth())).sum::<i64>());
        }
        Reduction::Quantile { q, skip_nan: false } => each(lanes, scratch, out, |a| {
            T::from_mean(a.all_numbers().map_or(f64::NAN, |a| quantile(a, q)))
        }),
        _ => reduce_numbers(reduction, lanes, scratch, out),
    }
}

/// Reductions of what is not NaN; NaN when nothing is left, but for the sum.
fn reduce_numbers<T: Sum>(
    reduction: Reduction,
    lanes: Lanes<'_, T>,
    scratch: &mut Vec<u64>,
    out: &mut [u8],
) {
    match reduction {
        Reduction::Nansum => each(lanes, scratch, out, |a| T::finish_sum(T::nansum(a).0, 1)),
        Reduction::Nanmean => each(lanes, scratch, out, |a| {
            let (sum, count) = T::nansum(a);
            T::finish_mean(sum.to_f64(), count)
        }),
        Reduction::Nanvar => {
            each(lanes, scratch, out, |a| T::from_mean(sums::variance(a.numbers())));
        }
        Reduction::Nanstd => {
            each(lanes, scratch, out, |a| T::from_mean(sums::variance(a.numbers()).sqrt()));
        }
        Reduction::Nanmin => each(lanes, scratch, out, |a| extreme_number(a, T::least)),
        Reduction::Nanmax => each(lanes, scratch, out, |a| extreme_number(a, T::greatest)),
        Reduction::Quantile { q, .. } => {
            each(lanes, scratch, out, |a| T::from_mean(quantile(a.numbers(), q)));
        }
        _ => each(lanes, scratch, out, |a| T::from_mean(median(a.numbers()))),
    }
}

/// Bools are counted as 0 and 1 whatever their byte; their minimum is `all`, their maximum `any`.
fn reduce_bool(reduction: Reduction, lanes: Lanes<'_, u8>, scratch: &mut Vec<u64>, out: &mut [u8]) {
    let count = |a: &[u8]| a.iter().map(|&v| i64::from(v != 0)).sum::<i64>();
    let share = |a: &[u8]| count(a) as f64 / a.len() as f64;
    match reduction {
        Reduction::Sum | Reduction::CountNonzero => each(lanes, scratch, out, |a| count(a)),
        Reduction::Mean => each(lanes, scratch, out, |a| share(a)),
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
        // Refused when the expression is checked; else as of numbers.
        other => reduce_typed::<u8>(other, lanes, scratch, out),
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

    /// A copy that may be reordered; None when an element is NaN.
    fn all_numbers(&mut self) -> Option<&mut [T]> {
        if self.iter().any(|v| v.is_nan()) { None } else { Some(self.owned()) }
    }

    /// A copy of the elements that are not NaN.
    fn numbers(&mut self) -> &mut [T] {
        let all = self.owned();
        let mut count = 0;
        for i in 0..all.len() {
            if !all[i].is_nan() {
                all[count] = all[i];
                count += 1;
            }
        }
        &mut all[..count]
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

/// Place of the first extreme of a non-empty slice, or of the first NaN.
fn position<T: Number>(a: &[T], better: impl Fn(T, T) -> T) -> i64 {
    let best = extreme(a, better);
    if best.is_nan() { first(a, T::is_nan) } else { first(a, |v| v == best) }
}

/// The extreme of what is not NaN in a non-empty slice; NaN when nothing is.
fn extreme_number<T: Number>(a: &mut Gathered<'_, T>, better: impl Fn(T, T) -> T) -> T {
    let first = a[0];
    let numbers = a.numbers();
    if numbers.is_empty() { first } else { extreme(numbers, better) }
}
