//! Sums of float64 that do not depend on how the events were split: two numbers per sum.

use multiversion::multiversion;

/// The rounded sum of two numbers and exactly what the rounding lost (Knuth's two-sum).
#[inline(always)]
pub fn two_sum(a: f64, b: f64) -> (f64, f64) {
    let sum = a + b;
    let from_b = sum - a;
    (sum, (a - (sum - from_b)) + (b - from_b))
}

/// The rounded product and exactly what the rounding lost (Dekker's product). Beyond 1e300 the
/// second part is not a number.
#[inline(always)]
pub fn two_product(a: f64, b: f64) -> (f64, f64) {
    let split = |x: f64| {
        let big = 134_217_729.0 * x;
        let high = big - (big - x);
        (high, x - high)
    };
    let product = a * b;
    let ((ah, al), (bh, bl)) = (split(a), split(b));
    (product, ((ah * bh - product) + ah * bl + al * bh) + al * bl)
}

/// A sum and the sum of its rounding errors.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Compensated {
    /// The rounded sum.
    pub sum: f64,
    /// What the roundings lost.
    pub lost: f64,
}

impl Compensated {
    /// Adds one number.
    #[inline(always)]
    pub fn add(&mut self, x: f64) {
        let (sum, lost) = two_sum(self.sum, x);
        self.sum = sum;
        self.lost += lost;
    }

    /// Adds another sum.
    #[inline(always)]
    pub fn merge(&mut self, other: Compensated) {
        self.add(other.sum);
        self.lost += other.lost;
    }

    /// Adds many numbers.
    pub fn add_all(&mut self, numbers: &[f64]) {
        let (lanes, rest) = numbers.as_chunks::<LANES>();
        rest.iter().for_each(|&x| self.add(x));
        let (sums, lost) = add_lanes(lanes);
        for (&sum, &lost) in sums.iter().zip(&lost) {
            self.merge(Compensated { sum, lost });
        }
    }

    /// The number. Where infinities made the correction meaningless, the plain sum, as numpy.
    #[inline(always)]
    pub fn value(self) -> f64 {
        corrected(self.sum, self.lost)
    }
}

/// Sums side by side, since one alone waits for itself at every step.
const LANES: usize = 16;

/// Sums and lost parts of each place of the chunks. Compiled for several processors; the best is
/// chosen when the program runs.
#[multiversion(targets("x86_64+avx512f+avx512vl+avx512dq", "x86_64+avx2"))]
fn add_lanes(chunks: &[[f64; LANES]]) -> ([f64; LANES], [f64; LANES]) {
    let (mut sums, mut lost) = ([0f64; LANES], [0f64; LANES]);
    for chunk in chunks {
        for i in 0..LANES {
            let (sum, error) = two_sum(sums[i], chunk[i]);
            sums[i] = sum;
            lost[i] += error;
        }
    }
    (sums, lost)
}

/// A sum with its correction; without it where infinities made it meaningless.
#[inline(always)]
pub fn corrected(sum: f64, lost: f64) -> f64 {
    if sum.is_finite() && lost.is_finite() { sum + lost } else { sum }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_what_plain_sums_lose() {
        let mut sum = Compensated::default();
        sum.add_all(&[1e100, 1.0, -1e100, 1.0, 1e100, 1.0, -1e100]);
        assert_eq!(sum.value(), 3.0);
    }

    #[test]
    fn infinities_and_nan_behave_as_in_numpy() {
        let total = |numbers: &[f64]| {
            let mut sum = Compensated::default();
            sum.add_all(numbers);
            sum.value()
        };
        assert_eq!(total(&[1.0, f64::INFINITY, 2.0]), f64::INFINITY);
        assert!(total(&[f64::NEG_INFINITY, f64::INFINITY]).is_nan());
        assert!(total(&[1.0, f64::NAN]).is_nan());
        assert_eq!(total(&[]), 0.0);
    }
}
