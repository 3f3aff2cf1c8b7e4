//! Second moments of pairs, to twice the precision of float64: what a straight line is fitted from
//! without losing digits, however large the offset is, and in any order.
//!
//! Deviations are taken from the mean of a block in two parts, and blocks are joined by Chan's
//! formula, so that squares of the offset, which would cancel, never arise.

use crate::data::bytes::{Reader, Writer};
use crate::error::DecodeError;
use crate::merge::compensated::{Compensated, two_product, two_sum};

/// A number as the sum of two, the second far smaller.
type Double = (f64, f64);

fn product(a: Double, b: Double) -> Double {
    let (high, low) = two_product(a.0, b.0);
    two_sum(high, low + (a.0 * b.1 + a.1 * b.0))
}

fn doubled(sum: Compensated) -> Double {
    if sum.lost.is_finite() { two_sum(sum.sum, sum.lost) } else { (sum.sum, 0.0) }
}

/// A sum divided by how many it is of. Beyond float64, plainly.
fn mean(sum: Compensated, n: f64) -> Double {
    let (high, low) = doubled(sum);
    let quotient = high / n;
    let (product, error) = two_product(quotient, n);
    let rest = (((high - product) - error) + low) / n;
    if rest.is_finite() { two_sum(quotient, rest) } else { (quotient, 0.0) }
}

/// a − b.
#[inline(always)]
fn difference(a: Double, b: Double) -> Double {
    let (high, error) = two_sum(a.0, -b.0);
    two_sum(high, error + (a.1 - b.1))
}

fn add_double(sum: &mut Compensated, (high, low): Double) {
    sum.add(high);
    sum.lost += low;
}

/// Numbers with their remainders in float64: none, or one for each.
pub type Numbers<'a> = (&'a [f64], &'a [f64]);

fn sum_of((numbers, remainders): Numbers<'_>) -> Compensated {
    let mut sum = Compensated::default();
    sum.add_all(numbers);
    sum.lost += remainders.iter().sum::<f64>();
    sum
}

/// Second moments of pairs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Comoments {
    /// How many.
    pub n: u64,
    x: Compensated,
    y: Compensated,
    /// Products of deviations from the means.
    xx: Compensated,
    xy: Compensated,
    yy: Compensated,
    range_x: (Double, Double),
    range_y: (Double, Double),
}

/// What is known of pairs from their second moments.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    /// Sum of squared deviations of x.
    pub xx: f64,
    /// Sum of squared deviations of y.
    pub yy: f64,
    /// Sum of products of deviations.
    pub xy: f64,
    /// xx·yy − xy²: zero where the pairs lie on a line.
    pub determinant: f64,
}

const EMPTY: (Double, Double) = ((f64::INFINITY, 0.0), (f64::NEG_INFINITY, 0.0));

fn widen((low, high): &mut (Double, Double), x: Double) {
    *low = if x < *low { x } else { *low };
    *high = if x > *high { x } else { *high };
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
    pub fn add(&mut self, xs: Numbers<'_>, ys: Numbers<'_>) {
        let n = xs.0.len();
        let mut block =
            Comoments { n: n as u64, x: sum_of(xs), y: sum_of(ys), ..Comoments::default() };
        let (mean_x, mean_y) = block.exact_means();
        for i in 0..n {
            let number = |(numbers, remainders): Numbers<'_>| {
                (numbers[i], remainders.get(i).copied().unwrap_or(0.0))
            };
            let (x, y) = (number(xs), number(ys));
            let (dx, dy) = (difference(x, mean_x), difference(y, mean_y));
            block.add_products(dx, dy, (1.0, 0.0));
            widen(&mut block.range_x, x);
            widen(&mut block.range_y, y);
        }
        self.merge(&block);
    }

    fn exact_means(&self) -> (Double, Double) {
        (mean(self.x, self.n as f64), mean(self.y, self.n as f64))
    }

    fn add_products(&mut self, dx: Double, dy: Double, weight: Double) {
        add_double(&mut self.xx, product(product(dx, dx), weight));
        add_double(&mut self.xy, product(product(dx, dy), weight));
        add_double(&mut self.yy, product(product(dy, dy), weight));
    }

    /// Adds the pairs of others.
    pub fn merge(&mut self, other: &Comoments) {
        if self.n > 0 && other.n > 0 {
            let ((ax, ay), (bx, by)) = (self.exact_means(), other.exact_means());
            let (a, b) = (self.n as f64, other.n as f64);
            self.add_products(difference(bx, ax), difference(by, ay), (a * b / (a + b), 0.0));
        }
        self.n = self.n.saturating_add(other.n);
        self.x.merge(other.x);
        self.y.merge(other.y);
        self.xx.merge(other.xx);
        self.xy.merge(other.xy);
        self.yy.merge(other.yy);
        for (range, other) in
            [(&mut self.range_x, other.range_x), (&mut self.range_y, other.range_y)]
        {
            // Low with low, high with high: a range of no numbers stays neutral.
            range.0 = if other.0 < range.0 { other.0 } else { range.0 };
            range.1 = if other.1 > range.1 { other.1 } else { range.1 };
        }
    }

    /// Means of x and y.
    pub fn means(&self) -> (f64, f64) {
        (self.x.value() / self.n as f64, self.y.value() / self.n as f64)
    }

    /// Squares and products of the deviations.
    pub fn spread(&self) -> Spread {
        // Equal numbers do not deviate; rounding must not say otherwise.
        let square = |sum: Compensated, (low, high): (Double, Double)| match low == high {
            true => Compensated::default(),
            false => sum,
        };
        let (xx, yy) = (square(self.xx, self.range_x), square(self.yy, self.range_y));
        let flat = xx.value() == 0.0 || yy.value() == 0.0;
        let xy = if flat { Compensated::default() } else { self.xy };
        let squares = product(doubled(xx), doubled(yy));
        let determinant = difference(squares, product(doubled(xy), doubled(xy))).0;
        Spread { xx: xx.value(), yy: yy.value(), xy: xy.value(), determinant }
    }

    /// As bytes.
    pub fn encode(&self, writer: &mut Writer) {
        writer.u64(self.n);
        for sum in [self.x, self.y, self.xx, self.xy, self.yy] {
            writer.f64(sum.sum);
            writer.f64(sum.lost);
        }
        for (low, high) in [self.range_x, self.range_y] {
            [low.0, low.1, high.0, high.1].into_iter().for_each(|x| writer.f64(x));
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
        for (low, high) in [&mut read.range_x, &mut read.range_y] {
            *low = (reader.f64(WHAT)?, reader.f64(WHAT)?);
            *high = (reader.f64(WHAT)?, reader.f64(WHAT)?);
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// n·Σab − Σa·Σb in whole numbers, as sums of deviations.
    fn exact(a: &[i128], b: &[i128]) -> f64 {
        let n = a.len() as i128;
        let of = |all: &[i128]| all.iter().map(|x| x - all[0]).collect::<Vec<_>>();
        let (a, b) = (of(a), of(b));
        let products: i128 = a.iter().zip(&b).map(|(a, b)| a * b).sum();
        (products * n - a.iter().sum::<i128>() * b.iter().sum::<i128>()) as f64 / n as f64
    }

    fn split(whole: &[i128]) -> (Vec<f64>, Vec<f64>) {
        let numbers: Vec<f64> = whole.iter().map(|&x| x as f64).collect();
        let rests = whole.iter().zip(&numbers).map(|(x, &n)| (x - n as i128) as f64).collect();
        (numbers, rests)
    }

    #[test]
    fn a_large_offset_loses_nothing_in_any_split() {
        for offset in [0i128, 1_000_000_000_000, 1 << 60, (1 << 62) + 987] {
            let x: Vec<i128> = (0..1000).map(|i| offset + 1077 * i).collect();
            let y: Vec<i128> = (0..1000).map(|i| 5_000_000 + 3 * i + i * i % 5).collect();
            let ((xs, x_rests), (ys, y_rests)) = (split(&x), split(&y));
            let (xx, xy, yy) = (exact(&x, &x), exact(&x, &y), exact(&y, &y));
            for size in [1, 3, 64, 1000] {
                let mut sums = Comoments::default();
                for start in (0..1000).step_by(size) {
                    let part = start..(start + size).min(1000);
                    let xs = (&xs[part.clone()], &x_rests[part.clone()]);
                    sums.add(xs, (&ys[part.clone()], &y_rests[part]));
                }
                let found = sums.spread();
                for (found, exact) in [(found.xx, xx), (found.xy, xy), (found.yy, yy)] {
                    assert!((found / exact - 1.0).abs() < 1e-15, "{offset} in {size}: {found}");
                }
                let line = sums.spread().determinant / (xx * yy);
                let expected = 1.0 - xy / xx * (xy / yy);
                assert!((line / expected - 1.0).abs() < 1e-6, "{line} {expected}");
            }
        }
    }

    #[test]
    fn equal_numbers_do_not_deviate() {
        let mut sums = Comoments::default();
        sums.add((&[0.1; 7], &[]), (&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0], &[]));
        let Spread { xx, yy, xy, determinant } = sums.spread();
        assert_eq!((xx, yy, xy, determinant), (0.0, 28.0, 0.0, 0.0));
    }
}
