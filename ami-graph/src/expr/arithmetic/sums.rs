//! Sums: exact for integers, for floats at least as accurate as numpy's pairwise sums.

use crate::data::value::Element;
use crate::expr::arithmetic::number::Number;

/// Element types with a wider type to sum in.
pub(in crate::expr) trait Sum: Number {
    /// i64, u64 or f64.
    type Total: Number;
    /// What numpy's sum of this type gives.
    type Result: Element;
    /// What numpy's mean of this type gives.
    type Mean: Element;
    /// One element as a total.
    fn widen(self) -> Self::Total;
    /// The sum of all.
    fn sum(a: &[Self]) -> Self::Total;
    /// The sum of all that are not NaN, and how many they are.
    fn nansum(a: &[Self]) -> (Self::Total, usize);
    /// The total as numpy's sum gives it.
    fn finish_sum(total: Self::Total, count: usize) -> Self::Result;
    /// The total over the count, as numpy's mean gives it.
    fn finish_mean(total: f64, count: usize) -> Self::Mean;
    /// True for the 64-bit integers, whose sums may wrap around.
    const WRAPS: bool = false;
    /// The sum of all, without wrapping around.
    fn true_sum(a: &[Self]) -> f64 {
        Self::sum(a).to_f64()
    }
    /// A mean computed in f64 as numpy gives it.
    fn from_mean(mean: f64) -> Self::Mean;
}

/// Adds integers in blocks so short that a narrower accumulator cannot overflow: the narrower,
/// the more fit in a vector register.
macro_rules! integer_sum {
    ($($t:ident in $narrow:ident by $block:expr => $total:ident),*) => { $(
        impl Sum for $t {
            type Total = $total;
            type Result = $total;
            type Mean = f64;
            #[inline]
            fn widen(self) -> $total { self as $total }
            fn sum(a: &[Self]) -> $total {
                a.chunks($block)
                    .map(|block| {
                        let sum = block.iter().fold(0, |n: $narrow, &v| n.wrapping_add(v as $narrow));
                        sum as $total
                    })
                    .fold(0, $total::wrapping_add)
            }
            fn nansum(a: &[Self]) -> ($total, usize) { (Self::sum(a), a.len()) }
            fn finish_sum(total: $total, _: usize) -> $total { total }
            fn finish_mean(total: f64, count: usize) -> f64 { total / count as f64 }
            fn from_mean(mean: f64) -> f64 { mean }
            const WRAPS: bool = size_of::<$t>() == 8;
            fn true_sum(a: &[Self]) -> f64 {
                if Self::WRAPS {
                    a.iter().map(|&v| v as i128).sum::<i128>() as f64
                } else {
                    Self::sum(a) as f64
                }
            }
        }
    )* };
}
integer_sum!(
    u8 in u32 by 4096 => u64, u16 in u32 by 4096 => u64, u32 in u64 by 4096 => u64,
    u64 in u64 by 4096 => u64, i8 in i32 by 4096 => i64, i16 in i32 by 4096 => i64,
    i32 in i64 by 4096 => i64, i64 in i64 by 4096 => i64
);

macro_rules! float_sum {
    ($($t:ident),*) => { $(
        impl Sum for $t {
            type Total = f64;
            type Result = $t;
            type Mean = $t;
            #[inline]
            fn widen(self) -> f64 { self as f64 }
            fn sum(a: &[Self]) -> f64 { float_sum(a, |v| v as f64) }
            fn nansum(a: &[Self]) -> (f64, usize) {
                let nans = a.iter().map(|v| usize::from(v.is_nan())).sum::<usize>();
                (float_sum(a, |v| if v.is_nan() { 0.0 } else { v as f64 }), a.len() - nans)
            }
            fn finish_sum(total: f64, _: usize) -> $t { total as $t }
            fn finish_mean(total: f64, count: usize) -> $t { (total / count as f64) as $t }
            fn from_mean(mean: f64) -> $t { mean as $t }
        }
    )* };
}
float_sum!(f32, f64);

/// Sixteen interleaved sums over short blocks; the sums of the blocks are added with
/// compensation, so that the error does not grow with the length of the array.
pub(in crate::expr) fn float_sum<T: Copy>(a: &[T], value: impl Fn(T) -> f64) -> f64 {
    let (mut total, mut lost) = (0.0f64, 0.0f64);
    for block in a.chunks(256) {
        let mut lanes = [0.0f64; 16];
        let groups = block.chunks_exact(16);
        let rest: f64 = groups.remainder().iter().map(|&v| value(v)).sum();
        for group in groups {
            for (lane, &v) in lanes.iter_mut().zip(group) {
                *lane += value(v);
            }
        }
        let mut width = 8;
        while width > 0 {
            for i in 0..width {
                lanes[i] += lanes[i + width];
            }
            width /= 2;
        }
        let sum = lanes[0] + rest;
        let next = total + sum;
        lost += if total.abs() >= sum.abs() { (total - next) + sum } else { (sum - next) + total };
        total = next;
    }
    // Infinities make the compensation NaN; the plain total is then the answer.
    if total.is_finite() { total + lost } else { total }
}

/// Mean of the squared distances from the mean, in two passes as numpy does.
pub(in crate::expr) fn variance<T: Sum>(a: &[T]) -> f64 {
    let count = a.len() as f64;
    let mean = T::true_sum(a) / count;
    float_sum(a, |v| (v.to_f64() - mean) * (v.to_f64() - mean)) / count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_exact_or_better_than_pairwise() {
        assert_eq!(u16::sum(&vec![u16::MAX; 1_000_000]), 65_535_000_000);
        assert_eq!(i16::sum(&vec![i16::MIN; 100_000]), -3_276_800_000);
        assert!((f64::sum(&vec![0.1; 1_000_000]) - 100_000.0).abs() < 1e-10);
        assert_eq!(f64::sum(&[f64::INFINITY, 1.0]), f64::INFINITY);
        assert!(f64::sum(&[f64::INFINITY, f64::NEG_INFINITY]).is_nan());
        assert_eq!(f64::nansum(&[1.0, f64::NAN, 2.0]), (3.0, 2));
    }
}
