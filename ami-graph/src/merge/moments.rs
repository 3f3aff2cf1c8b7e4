//! Moments: number, mean and sum of squared deviations, merged by Chan's formula.
//!
//! The mean comes from a compensated sum and is kept in two parts, so that deviations from it and
//! differences of means have all their digits however large the offset is: 1e12 ± 1 as well as
//! 64-bit integers at 2^60, whose remainders in float64 are taken along. Infinities give what
//! numpy gives, and moments agree for any split.

use crate::merge::compensated::{Compensated, two_product, two_sum};
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
    /// Of a block of numbers with their remainders (none, or one for each), in two passes.
    pub fn of(numbers: &[f64], remainders: &[f64]) -> Moments {
        let mut sum = Compensated::default();
        sum.add_all(numbers);
        sum.lost += remainders.iter().sum::<f64>();
        let mean = Divisor::new(numbers.len() as u64).mean(sum.sum, sum.lost);
        let (d, squares) = match remainders.is_empty() {
            true => deviations(numbers, mean),
            false => {
                numbers.iter().zip(remainders).fold((0.0, 0.0), |(sum, squares), (&x, &rest)| {
                    let d = mean.deviation(x, rest);
                    (sum + d, squares + d * d)
                })
            }
        };
        Moments { n: numbers.len() as u64, sum, m2: squares - d * d / numbers.len().max(1) as f64 }
    }

    /// Adds others.
    pub fn merge(&mut self, other: Moments) {
        self.m2 = merged_m2((self.n, self.sum, self.m2), (other.n, other.sum, other.m2));
        self.n = self.n.saturating_add(other.n);
        self.sum.merge(other.sum);
    }
}

/// Sums of deviations and of their squares, four side by side, since one waits for itself.
fn deviations(numbers: &[f64], mean: Mean) -> (f64, f64) {
    let mut lanes = [(0.0f64, 0.0f64); 4];
    let mut add = |lane: usize, x: f64| {
        let d = mean.deviation(x, 0.0);
        lanes[lane].0 += d;
        lanes[lane].1 += d * d;
    };
    let (chunks, remainder) = numbers.as_chunks::<4>();
    chunks.iter().for_each(|chunk| (0..4).for_each(|lane| add(lane, chunk[lane])));
    remainder.iter().for_each(|&x| add(0, x));
    lanes.iter().fold((0.0, 0.0), |(d, s), lane| (d + lane.0, s + lane.1))
}

/// A number of values to divide sums by, also in two parts of at most 26 and 27 bits.
#[derive(Debug, Clone, Copy, Default)]
pub struct Divisor {
    n: f64,
    high: f64,
    low: f64,
    inverse: f64,
}

/// A mean as its leading bits and what the numbers are together above as many times these.
#[derive(Debug, Clone, Copy, Default)]
pub struct Mean {
    head: f64,
    above: f64,
    of: Divisor,
}

impl Divisor {
    /// For so many values (below 2^53).
    #[inline(always)]
    pub fn new(n: u64) -> Divisor {
        let low = n & ((1 << 27) - 1);
        let inverse = 1.0 / n.max(1) as f64;
        Divisor { n: n as f64, high: (n - low) as f64, low: low as f64, inverse }
    }

    /// The mean of values with this sum. Its head has 26 bits, so that its products with the parts
    /// of the number are exact, and so is what they leave of the sum.
    #[inline(always)]
    pub fn mean(self, sum: f64, lost: f64) -> Mean {
        const LEADING: u64 = !((1 << 27) - 1);
        let head = f64::from_bits((sum * self.inverse).to_bits() & LEADING);
        let above = (sum - head * self.high) - head * self.low + lost;
        // Beyond float64 the head alone gives what numpy gives.
        Mean { head, above: if above.is_nan() { 0.0 } else { above }, of: self }
    }
}

impl Mean {
    /// How far a number with a remainder lies above it. The difference is taken before anything is
    /// divided, where all of it has few digits.
    #[inline(always)]
    pub fn deviation(self, x: f64, remainder: f64) -> f64 {
        (((x - self.head) + remainder) * self.of.n - self.above) * self.of.inverse
    }

    /// What lies above the head, in two parts.
    fn rest(self) -> (f64, f64) {
        let quotient = self.above * self.of.inverse;
        let (product, error) = two_product(quotient, self.of.n);
        let rest = ((self.above - product) - error) * self.of.inverse;
        (quotient, if rest.is_nan() { 0.0 } else { rest })
    }

    /// How far another mean lies above it.
    pub fn distance(self, other: Mean) -> f64 {
        let ((mine, my_rest), (theirs, their_rest)) = (self.rest(), other.rest());
        let (difference, error) = two_sum(theirs, -mine);
        let error = if error.is_nan() { 0.0 } else { error };
        ((other.head - self.head) + difference) + (error + (their_rest - my_rest))
    }

    /// As one number.
    pub fn value(self) -> f64 {
        self.head + self.above * self.of.inverse
    }
}

/// Chan: squared deviations of two sets together, each given as (n, sum, M2).
pub fn merged_m2(a: (u64, Compensated, f64), b: (u64, Compensated, f64)) -> f64 {
    if a.0 == 0 || b.0 == 0 {
        return a.2 + b.2;
    }
    let mean = |n: u64, sum: Compensated| Divisor::new(n).mean(sum.sum, sum.lost);
    let distance = mean(a.0, a.1).distance(mean(b.0, b.1));
    let (na, nb) = (a.0 as f64, b.0 as f64);
    a.2 + b.2 + distance * distance * (na * nb / (na + nb))
}

/// Adds one number with its remainder to a sequence of the length of the divisor; `weight` is
/// n / (n + 1).
#[inline(always)]
pub fn add_number(
    (n, weight): (Divisor, f64),
    (x, remainder): (f64, f64),
    (sum, lost, m2): (&mut f64, &mut f64, &mut f64),
) {
    let deviation = n.mean(*sum, *lost).deviation(x, remainder);
    // An infinity makes the spread not a number, as in numpy, whether it comes first or last.
    *m2 += deviation * weight * deviation + x * 0.0;
    let (next, error) = two_sum(*sum, x);
    *sum = next;
    *lost += error + remainder;
}

/// Adds one number to each of many sequences that have `n` numbers so far: arrays, element by
/// element. Slices of one length. Compiled for several processors; the best is chosen when the
/// program runs.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512vl+avx512dq", "x86_64+avx2"))]
pub fn add_row(n: u64, row: &[f64], sums: &mut [f64], lost: &mut [f64], m2: &mut [f64]) {
    let so_far = (Divisor::new(n), n as f64 / (n + 1) as f64);
    for (((&x, sum), lost), m2) in row.iter().zip(sums).zip(lost).zip(m2) {
        add_number(so_far, (x, 0.0), (sum, lost, m2));
    }
}

/// As [`add_row`], of numbers with their remainders in float64.
pub fn add_row_of_two(
    n: u64,
    (row, remainders): (&[f64], &[f64]),
    (sums, lost, m2): (&mut [f64], &mut [f64], &mut [f64]),
) {
    if remainders.is_empty() {
        return add_row(n, row, sums, lost, m2);
    }
    let so_far = (Divisor::new(n), n as f64 / (n + 1) as f64);
    let numbers = row.iter().zip(remainders);
    for (((x, sum), lost), m2) in numbers.zip(sums).zip(lost).zip(m2) {
        add_number(so_far, (*x.0, *x.1), (sum, lost, m2));
    }
}

/// Adds many sequences of `nb` numbers to many of `na`, place by place: (sums, lost, m2).
pub fn merge_rows(
    (na, nb): (u64, u64),
    (sums, lost, m2): (&mut [f64], &mut [f64], &mut [f64]),
    (other_sums, other_lost, other_m2): (&[f64], &[f64], &[f64]),
) {
    for i in 0..sums.len() {
        let mut mine = Compensated { sum: sums[i], lost: lost[i] };
        let other = Compensated { sum: other_sums[i], lost: other_lost[i] };
        m2[i] = merged_m2((na, mine, m2[i]), (nb, other, other_m2[i]));
        mine.merge(other);
        (sums[i], lost[i]) = (mine.sum, mine.lost);
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Squared deviations of integers, exactly: Σx² − (Σx)²/n in whole numbers times n.
    fn exact(whole: &[i128]) -> f64 {
        let n = whole.len() as i128;
        let first = whole[0];
        let (sum, squares) = whole.iter().fold((0, 0), |(sum, squares), x| {
            let d = x - first;
            (sum + d, squares + d * d)
        });
        (squares * n - sum * sum) as f64 / n as f64
    }

    #[test]
    fn a_large_offset_costs_no_digits_in_any_split() {
        let offsets: [i128; 4] = [0, 1_000_000_000_000, 1 << 52, (1 << 60) + 12_345];
        for offset in offsets {
            let whole: Vec<i128> = (0..997).map(|i| offset + i * i % 37).collect();
            let numbers: Vec<f64> = whole.iter().map(|&x| x as f64).collect();
            let remainders: Vec<f64> =
                whole.iter().zip(&numbers).map(|(x, &n)| (x - n as i128) as f64).collect();
            for size in [1, 2, 10, 997] {
                let (mut blocks, mut rows) =
                    (Moments::default(), (vec![0.0], vec![0.0], vec![0.0]));
                for (block, rests) in numbers.chunks(size).zip(remainders.chunks(size)) {
                    blocks.merge(Moments::of(block, rests));
                }
                for (i, (x, rest)) in numbers.iter().zip(&remainders).enumerate() {
                    let (sums, lost, m2) = (&mut rows.0[..], &mut rows.1[..], &mut rows.2[..]);
                    add_row_of_two(i as u64, (&[*x], &[*rest]), (sums, lost, m2));
                }
                for m2 in [blocks.m2, rows.2[0]] {
                    let error = m2 / exact(&whole) - 1.0;
                    assert!(error.abs() < 1e-13, "{offset} in {size}: off by {error}");
                }
            }
        }
    }

    #[test]
    fn infinities_and_sums_beyond_float64_behave_as_in_numpy() {
        assert!(Moments::of(&[1.0, f64::INFINITY], &[]).m2.is_nan());
        // np.std gives inf here, since the mean is.
        let mut huge = Moments::default();
        [1e308, 1e308, 0.0].iter().for_each(|&x| huge.merge(Moments::of(&[x], &[])));
        assert!(!huge.m2.is_finite());
    }
}
