//! The automatic grid of a histogram: bins [k·w, (k+1)·w) with w a power of two.
//!
//! w is the smallest with which all finite values fit into the bins asked for, so it depends only
//! on their least and greatest: any split merges exactly. When values no longer fit, w doubles
//! and bins fold in pairs, since every bin of the coarser grid is made of two whole finer ones.

use crate::data::bytes::{Reader, Writer};
use crate::error::DecodeError;
use crate::merge::tally::{ABOVE, BELOW, NAN, Tally};

/// Smallest and largest exponent of w.
const EXPONENTS: std::ops::RangeInclusive<i32> = -1074..=1023;

/// A tally over the automatic grid.
#[derive(Debug, Clone)]
pub struct Dyadic {
    limit: usize,
    /// Least and greatest finite value so far; least above greatest before the first.
    range: (f64, f64),
    exponent: i32,
    /// k of the first bin.
    first: i64,
    tally: Tally,
}

/// 2^e for e within [`EXPONENTS`].
fn power(e: i32) -> f64 {
    if e >= -1022 {
        f64::from_bits(((e + 1023) as u64) << 52)
    } else {
        f64::from_bits(1u64 << (e + 1074))
    }
}

/// x·2^e; two steps, as 2^e alone may not be a number.
fn scale(x: f64, e: i32) -> f64 {
    let half = e / 2;
    x * power(half) * power(e - half)
}

/// Which bin of width 2^e a value is in.
fn bin(x: f64, e: i32) -> i64 {
    let scaled = scale(x, -e);
    // Scaling may lose all of a tiny number, but not its side of zero.
    if scaled == 0.0 && x < 0.0 {
        return -1;
    }
    // floor() is a call on processors of the common baseline.
    let whole = scaled as i64;
    whole - i64::from(whole as f64 > scaled)
}

fn exponent_of(x: f64) -> i32 {
    let bits = x.to_bits() >> 52 & 0x7ff;
    if bits > 0 { bits as i32 - 1023 } else { -1074 }
}

/// The smallest exponent with which [low, high] fits into `limit` bins whose numbers are exact.
fn exponent_for(low: f64, high: f64, limit: usize) -> i32 {
    let largest = low.abs().max(high.abs());
    let exact = (exponent_of(largest) - 52).max(*EXPONENTS.start());
    // Half of each, since the difference may be beyond float64.
    let spread = (high / 2.0 - low / 2.0) / limit as f64;
    let mut e = if spread > 0.0 { exponent_of(spread).max(exact) } else { exact };
    while e < *EXPONENTS.end() && bin(high, e).abs_diff(bin(low, e)) >= limit as u64 {
        e += 1;
    }
    e
}

impl Dyadic {
    /// No values yet, at most so many bins (at least 2, since zero is an edge).
    pub fn new(limit: usize, weighted: bool) -> Dyadic {
        Dyadic {
            limit,
            range: (f64::INFINITY, f64::NEG_INFINITY),
            exponent: *EXPONENTS.start(),
            first: 0,
            tally: Tally::new(weighted, 0),
        }
    }

    /// Makes room for values between these two.
    fn cover(&mut self, low: f64, high: f64) {
        let was_empty = self.range.0 > self.range.1;
        let range = (self.range.0.min(low), self.range.1.max(high));
        if range.0 > range.1 || range == self.range {
            return;
        }
        let exponent = exponent_for(range.0, range.1, self.limit);
        let first = bin(range.0, exponent);
        let count = bin(range.1, exponent).abs_diff(first) as usize + 1;
        let mut tally = Tally::new(self.tally.weighted(), count);
        let shift = (exponent - self.exponent).clamp(0, 63);
        let old_first = if was_empty { 0 } else { self.first };
        tally.merge(&self.tally, |i| {
            let k = (old_first + i as i64) >> shift;
            (k.abs_diff(first) as usize).min(count - 1)
        });
        (self.range, self.exponent, self.first, self.tally) = (range, exponent, first, tally);
    }

    /// Adds elements; `weights` in step with them, if weighted.
    pub fn add(&mut self, numbers: &[f64], weights: Option<&[f64]>) {
        let finite = numbers.iter().filter(|x| x.is_finite());
        let (low, high) = finite
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), &x| (low.min(x), high.max(x)));
        self.cover(low, high);
        let bins = self.tally.bins();
        for (i, &x) in numbers.iter().enumerate() {
            let place = if x.is_finite() {
                (bin(x, self.exponent).abs_diff(self.first) as usize).min(bins.saturating_sub(1))
            } else if x.is_nan() {
                bins + NAN
            } else if x > 0.0 {
                bins + ABOVE
            } else {
                bins + BELOW
            };
            self.tally.add(place, weights.map_or(1.0, |w| w[i]));
        }
    }

    /// Adds another. False when it was made otherwise.
    pub fn merge(&mut self, mut other: Dyadic) -> bool {
        if self.limit != other.limit || self.tally.weighted() != other.tally.weighted() {
            return false;
        }
        self.cover(other.range.0, other.range.1);
        other.cover(self.range.0, self.range.1);
        self.tally.merge(&other.tally, |i| i)
    }

    /// Edges of the bins from the least to the greatest value.
    pub fn edges(&self) -> Vec<f64> {
        let bins = self.tally.bins() as i64;
        (0..=bins).map(|i| scale((self.first + i) as f64, self.exponent)).collect()
    }

    /// The tally.
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// As bytes.
    pub fn encode(&self, writer: &mut Writer) {
        writer.u64(self.limit as u64);
        writer.f64(self.range.0);
        writer.f64(self.range.1);
        self.tally.encode(writer);
    }

    /// Reads what [`Dyadic::encode`] wrote.
    ///
    /// # Errors
    /// When the bytes are not one.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Dyadic, DecodeError> {
        let limit = reader.u64("automatic grid")?;
        let (low, high) = (reader.f64("automatic grid")?, reader.f64("automatic grid")?);
        let tally = Tally::decode(reader)?;
        let limits = 2..=crate::merge::grid::MAX_BINS;
        let mut grid = Dyadic::new(limit.clamp(2, *limits.end()) as usize, tally.weighted());
        let empty = (low, high) == grid.range && tally.bins() == 0;
        let filled = low.is_finite() && high.is_finite() && low <= high;
        if !limits.contains(&limit) || !(empty || filled) {
            return Err(DecodeError::invalid("automatic grid", format_args!("{low} to {high}")));
        }
        if filled {
            // Exponent and first bin follow from the range; only the number of bins can differ.
            grid.exponent = exponent_for(low, high, grid.limit);
            grid.first = bin(low, grid.exponent);
            let count = bin(high, grid.exponent).abs_diff(grid.first) as usize + 1;
            if count != tally.bins() {
                return Err(DecodeError::invalid("automatic grid", tally.bins()));
            }
            grid.range = (low, high);
        }
        grid.tally = tally;
        Ok(grid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn width_is_the_smallest_power_of_two_that_fits() {
        let mut grid = Dyadic::new(10, false);
        grid.add(&[0.0, 9.9], None);
        assert_eq!(grid.edges(), (0..=10).map(f64::from).collect::<Vec<_>>());
        grid.add(&[-0.5, f64::NAN, f64::INFINITY], None);
        assert_eq!(grid.edges(), [-2.0, 0.0, 2.0, 4.0, 6.0, 8.0, 10.0]);
    }

    #[test]
    fn extremes_of_float64_fit() {
        let values = [f64::MAX, -f64::MAX, 5e-324, -5e-324, 0.0, 1.0];
        for split in 0..values.len() {
            let (mut a, mut b) = (Dyadic::new(4, false), Dyadic::new(4, false));
            a.add(&values[..split], None);
            values[split..].iter().for_each(|&x| b.add(&[x], None));
            assert!(a.merge(b));
            assert_eq!(a.tally.counts(&[a.tally.bins()]), {
                let mut all = Dyadic::new(4, false);
                all.add(&values, None);
                all.tally.counts(&[all.tally.bins()])
            });
        }
    }
}
