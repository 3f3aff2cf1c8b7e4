//! Sums of products of two numbers, to twice the precision of float64: what a straight line is
//! fitted from without losing digits, in any order.

use crate::data::bytes::{Reader, Writer};
use crate::error::DecodeError;
use crate::merge::compensated::{Compensated, two_sum};

/// A number as the sum of two, the second far smaller.
type Double = (f64, f64);

/// The rounded product and exactly what the rounding lost (Dekker's product). Beyond 1e300 the
/// second part is not a number, and is left out in the end.
#[inline(always)]
fn two_product(a: f64, b: f64) -> Double {
    let split = |x: f64| {
        let big = 134_217_729.0 * x;
        let high = big - (big - x);
        (high, x - high)
    };
    let product = a * b;
    let ((ah, al), (bh, bl)) = (split(a), split(b));
    (product, ((ah * bh - product) + ah * bl + al * bh) + al * bl)
}

fn product(a: Double, b: Double) -> Double {
    let (high, low) = two_product(a.0, b.0);
    two_sum(high, low + (a.0 * b.1 + a.1 * b.0))
}

fn doubled(sum: Compensated) -> Double {
    if sum.lost.is_finite() { two_sum(sum.sum, sum.lost) } else { (sum.sum, 0.0) }
}

#[inline(always)]
fn add_product(sum: &mut Compensated, x: f64, y: f64) {
    let (product, error) = two_product(x, y);
    sum.add(product);
    sum.lost += error;
}

/// Sums over pairs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Comoments {
    /// How many.
    pub n: u64,
    x: Compensated,
    y: Compensated,
    xx: Compensated,
    xy: Compensated,
    yy: Compensated,
    range_x: (f64, f64),
    range_y: (f64, f64),
}

const EMPTY: (f64, f64) = (f64::INFINITY, f64::NEG_INFINITY);

fn widen(range: &mut (f64, f64), x: f64) {
    range.0 = if x < range.0 { x } else { range.0 };
    range.1 = if x > range.1 { x } else { range.1 };
}

impl Default for Comoments {
    fn default() -> Self {
        let zero = Compensated::default();
        let (x, y, xx, xy, yy) = (zero, zero, zero, zero, zero);
        Comoments { n: 0, x, y, xx, xy, yy, range_x: EMPTY, range_y: EMPTY }
    }
}

impl Comoments {
    /// Adds pairs.
    pub fn add(&mut self, xs: &[f64], ys: &[f64]) {
        self.n += xs.len() as u64;
        for (&x, &y) in xs.iter().zip(ys) {
            self.x.add(x);
            self.y.add(y);
            add_product(&mut self.xx, x, x);
            add_product(&mut self.xy, x, y);
            add_product(&mut self.yy, y, y);
            widen(&mut self.range_x, x);
            widen(&mut self.range_y, y);
        }
    }

    /// Adds the pairs of others.
    pub fn merge(&mut self, other: &Comoments) {
        self.n = self.n.saturating_add(other.n);
        self.x.merge(other.x);
        self.y.merge(other.y);
        self.xx.merge(other.xx);
        self.xy.merge(other.xy);
        self.yy.merge(other.yy);
        for (range, other) in
            [(&mut self.range_x, other.range_x), (&mut self.range_y, other.range_y)]
        {
            *range = (range.0.min(other.0), range.1.max(other.1));
        }
    }

    /// Means of x and y.
    pub fn means(&self) -> (f64, f64) {
        (self.x.value() / self.n as f64, self.y.value() / self.n as f64)
    }

    /// Sums of squared deviations of x and y, and of the products of their deviations.
    pub fn moments(&self) -> (f64, f64, f64) {
        let n = self.n as f64;
        let central = |ab: Compensated, a: Compensated, b: Compensated| {
            let (all, means) = (product(doubled(ab), (n, 0.0)), product(doubled(a), doubled(b)));
            let (high, low) = two_sum(all.0, -means.0);
            (high + (low + (all.1 - means.1))) / n
        };
        // Equal numbers do not deviate; rounding must not say otherwise.
        let square = |ab, a, (low, high): (f64, f64)| match low == high {
            true => 0.0,
            false => crate::merge::moments::at_least_zero(central(ab, a, a)),
        };
        let xx = square(self.xx, self.x, self.range_x);
        let yy = square(self.yy, self.y, self.range_y);
        let flat = xx == 0.0 || yy == 0.0;
        (xx, yy, if flat { 0.0 } else { central(self.xy, self.x, self.y) })
    }

    /// As bytes.
    pub fn encode(&self, writer: &mut Writer) {
        writer.u64(self.n);
        for sum in [self.x, self.y, self.xx, self.xy, self.yy] {
            writer.f64(sum.sum);
            writer.f64(sum.lost);
        }
        for range in [self.range_x, self.range_y] {
            writer.f64(range.0);
            writer.f64(range.1);
        }
    }

    /// Reads what [`Comoments::encode`] wrote.
    ///
    /// # Errors
    /// When the bytes are not that.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Comoments, DecodeError> {
        const WHAT: &str = "sums of products";
        let mut read = Comoments { n: reader.u64(WHAT)?, ..Comoments::default() };
        for sum in [&mut read.x, &mut read.y, &mut read.xx, &mut read.xy, &mut read.yy] {
            *sum = Compensated { sum: reader.f64(WHAT)?, lost: reader.f64(WHAT)? };
        }
        for range in [&mut read.range_x, &mut read.range_y] {
            *range = (reader.f64(WHAT)?, reader.f64(WHAT)?);
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_offset_loses_nothing() {
        let xs: Vec<f64> = (0..1000).map(|i| 1e7 + f64::from(i % 7) * 1e-3).collect();
        let ys: Vec<f64> = xs.iter().map(|x| (x - 1e7) * 3.0 - 5e6).collect();
        let mut sums = Comoments::default();
        sums.add(&xs, &ys);
        let (xx, yy, xy) = sums.moments();
        let mean = xs.iter().map(|x| x - 1e7).sum::<f64>() / 1000.0;
        let expected: f64 = xs.iter().map(|x| (x - 1e7 - mean).powi(2)).sum();
        assert!((xx / expected - 1.0).abs() < 1e-8, "{xx} {expected}");
        assert!((xy / xx - 3.0).abs() < 1e-5 && (xy * xy / (xx * yy) - 1.0).abs() < 1e-6);
    }
}
