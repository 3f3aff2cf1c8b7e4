//! Extremes, medians and quantiles: what stands at a place of the elements in order.

use crate::expr::arithmetic::number::Number;
use std::cmp::Ordering;

/// The extreme of a non-empty slice, in lanes that the compiler vectorises.
pub(in crate::expr) fn extreme<T: Number>(a: &[T], better: impl Fn(T, T) -> T) -> T {
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

/// The middle element of numbers without NaN, or the mean of the two; NaN of none.
pub(in crate::expr) fn median<T: Number>(a: &mut [T]) -> f64 {
    if a.is_empty() {
        return f64::NAN;
    }
    let half = a.len() / 2;
    let even = a.len().is_multiple_of(2);
    let (below, &mut upper, _) = a.select_nth_unstable_by(half, by_value);
    if !even {
        return upper.to_f64();
    }
    let lower = extreme(below, T::greatest);
    // In f32 numpy rounds the sum of the two; in f64 it adds before halving, which overflows for
    // the largest values only.
    (lower.to_f64() + upper.to_f64()) / 2.0
}

/// Interpolated between the two next to the place, of numbers without NaN, as numpy's method
/// "linear"; NaN of none.
pub(in crate::expr) fn quantile<T: Number>(a: &mut [T], q: f64) -> f64 {
    let Some(last) = a.len().checked_sub(1) else { return f64::NAN };
    let place = last as f64 * q;
    let before = (place.floor() as usize).min(last);
    let (_, &mut lower, above) = a.select_nth_unstable_by(before, by_value);
    let upper = if above.is_empty() { lower } else { extreme(above, T::least) };
    interpolate(lower.to_f64(), upper.to_f64(), place - before as f64)
}

/// From the nearer side, as numpy does: next to an infinity there may be no number.
fn interpolate(lower: f64, upper: f64, share: f64) -> f64 {
    let difference = upper - lower;
    if share >= 0.5 { upper - difference * (1.0 - share) } else { lower + difference * share }
}

/// Without NaN every pair compares.
fn by_value<T: Number>(a: &T, b: &T) -> Ordering {
    a.partial_cmp(b).unwrap_or(Ordering::Equal)
}
