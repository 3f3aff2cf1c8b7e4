//! Moments: number, mean and sum of squared deviations, merged by Chan's formula.
//!
//! The mean comes from a compensated sum, so infinities give what numpy gives, and means agree
//! for any split.

use crate::merge::compensated::{Compensated, corrected, two_sum};
use multiversion::multiversion;

/// Moments of one sequence of numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Moments {
    /// How many.
    pub n: u64,
    /// Their sum.
    pub sum: Compensated,
    /// Sum of squared deviations from the mean.
    pub m2: f64,
}

impl Moments {
    /// Of a block of numbers, in two passes.
    pub fn of(numbers: &[f64]) -> Moments {
        let mut sum = Compensated::default();
        sum.add_all(numbers);
        let mean = sum.value() / numbers.len() as f64;
        let mut lanes = [(0.0f64, 0.0f64); 4];
        let mut chunks = numbers.chunks_exact(4);
        for chunk in &mut chunks {
            for ((deviations, squares), &x) in lanes.iter_mut().zip(chunk) {
                let d = x - mean;
                *deviations += d;
                *squares += d * d;
            }
        }
        for &x in chunks.remainder() {
            lanes[0].0 += x - mean;
            lanes[0].1 += (x - mean) * (x - mean);
        }
        let (d, squares) = lanes.iter().fold((0.0, 0.0), |(d, s), lane| (d + lane.0, s + lane.1));
        Moments { n: numbers.len() as u64, sum, m2: squares - d * d / numbers.len().max(1) as f64 }
    }

    /// Adds others.
    pub fn merge(&mut self, other: Moments) {
        self.m2 =
            merged_m2((self.n, self.sum.value(), self.m2), (other.n, other.sum.value(), other.m2));
        self.n = self.n.saturating_add(other.n);
        self.sum.merge(other.sum);
    }
}

/// Chan: squared deviations of two sets together, each given as (n, sum, M2).
#[inline(always)]
pub fn merged_m2(a: (u64, f64, f64), b: (u64, f64, f64)) -> f64 {
    if a.0 == 0 || b.0 == 0 {
        return a.2 + b.2;
    }
    let (na, nb) = (a.0 as f64, b.0 as f64);
    let delta = b.1 / nb - a.1 / na;
    a.2 + b.2 + delta * delta * (na * nb / (na + nb))
}

/// Adds one number to each of many sequences that have `n` numbers so far: arrays, element by
/// element. Slices of one length. Compiled for several processors; the best is chosen when the
/// program runs.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512vl+avx512dq", "x86_64+avx2"))]
pub fn add_row(n: u64, row: &[f64], sums: &mut [f64], lost: &mut [f64], m2: &mut [f64]) {
    let (before, after) = (1.0 / n.max(1) as f64, 1.0 / (n + 1) as f64);
    let parts = row.iter().zip(sums).zip(lost.iter_mut().zip(m2));
    for ((&x, sum), (lost, m2)) in parts {
        let mean_before = if n == 0 { x } else { *sum * before };
        let (next, error) = two_sum(*sum, x);
        *sum = next;
        *lost += error;
        *m2 += (x - mean_before) * (x - next * after);
    }
}

/// Adds many sequences of `nb` numbers to many of `na`, place by place: (sums, lost, m2).
pub fn merge_rows(
    (na, nb): (u64, u64),
    (sums, lost, m2): (&mut [f64], &mut [f64], &mut [f64]),
    (other_sums, other_lost, other_m2): (&[f64], &[f64], &[f64]),
) {
    for i in 0..sums.len() {
        let a = (na, corrected(sums[i], lost[i]), m2[i]);
        let b = (nb, corrected(other_sums[i], other_lost[i]), other_m2[i]);
        m2[i] = merged_m2(a, b);
        let (sum, error) = two_sum(sums[i], other_sums[i]);
        sums[i] = sum;
        lost[i] += error + other_lost[i];
    }
}

/// Standard error of the mean: std(ddof=1) / sqrt(n); NaN for fewer than two.
pub fn sem(n: u64, m2: f64) -> f64 {
    if n < 2 { f64::NAN } else { (at_least_zero(m2) / (n - 1) as f64).sqrt() / (n as f64).sqrt() }
}

/// Zero where rounding made a sum of squares slightly negative; NaN stays.
pub fn at_least_zero(m2: f64) -> f64 {
    if m2 < 0.0 { 0.0 } else { m2 }
}
