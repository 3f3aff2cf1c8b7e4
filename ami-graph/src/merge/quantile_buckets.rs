//! Counts in buckets of fixed relative width: what quantiles are read from.
//!
//! A bucket is a power of two divided into 2^k equal parts, that is, all numbers whose sign,
//! exponent and first k bits of the mantissa agree. No logarithm is taken, so every machine sorts
//! alike, and merging adds counts: the answer does not depend on the split. A bucket's middle is
//! within 2^-(k+1) of each of its numbers, relative to their magnitude.

use crate::data::bytes::{Reader, Writer};
use crate::data::value::DType;
use crate::error::DecodeError;

/// Finest accuracy that may be asked for.
pub const LEAST_ACCURACY: f64 = 0.001;
/// Coarsest.
pub const MOST_ACCURACY: f64 = 0.25;
/// Bits of the mantissa that the finest accuracy needs.
const MOST_BITS: u32 = 9;
/// Exponents of float64 numbers that are not zero or tiny, one more than the greatest of them:
/// the infinities, which would be the next, are counted apart, so that one does not make every
/// power of two up to it be kept.
const EXPONENTS: u64 = 2047;

/// Bits of the mantissa that tell buckets apart, for a relative accuracy.
pub fn bits_for(accuracy: f64) -> u32 {
    (0..MOST_BITS).find(|&k| 0.5f64.powi(k as i32 + 1) <= accuracy).unwrap_or(MOST_BITS)
}

/// Counts of one sign: buckets in a row, from the first that holds something.
#[derive(Debug, Clone, Default, PartialEq)]
struct Side {
    first: u32,
    counts: Vec<u64>,
}

/// Counts of all elements so far.
#[derive(Debug, Clone, PartialEq)]
pub struct Buckets {
    bits: u32,
    below: Side,
    zeros: u64,
    above: Side,
    /// Infinities, negative and positive.
    infinite: [u64; 2],
    range: (f64, f64),
    /// Elements that are not a number.
    pub nan: u64,
}

impl Side {
    /// Makes room for these buckets, whole powers of two at a time.
    fn cover(&mut self, bits: u32, low: u32, high: u32) {
        let (low, high) = ((low >> bits) << bits, high | ((1 << bits) - 1));
        if self.counts.is_empty() {
            (self.first, self.counts) = (low, vec![0; (high - low) as usize + 1]);
            return;
        }
        if low < self.first {
            let more = (self.first - low) as usize;
            self.counts.splice(0..0, std::iter::repeat_n(0, more));
            self.first = low;
        }
        let length = (high.max(self.first) - self.first) as usize + 1;
        if length > self.counts.len() {
            self.counts.resize(length, 0);
        }
    }

    #[inline(always)]
    fn count(&mut self, bits: u32, bucket: u32) {
        let place = bucket.wrapping_sub(self.first) as usize;
        match self.counts.get_mut(place) {
            Some(count) => *count += 1,
            None => {
                self.cover(bits, bucket, bucket);
                self.counts[(bucket - self.first) as usize] += 1;
            }
        }
    }

    fn merge(&mut self, bits: u32, other: &Side) {
        let Some(last) = (other.counts.len() as u32).checked_sub(1) else { return };
        self.cover(bits, other.first, other.first + last);
        let start = (other.first - self.first) as usize;
        let places = self.counts[start..].iter_mut().zip(&other.counts);
        places.for_each(|(a, &b)| *a = a.saturating_add(b));
    }

    fn total(&self) -> u64 {
        self.counts.iter().fold(0, |n, &count| n.saturating_add(count))
    }

    fn encode(&self, writer: &mut Writer) {
        writer.u32(self.first);
        writer.slice(&self.counts);
    }

    fn decode(bits: u32, reader: &mut Reader<'_>) -> Result<Side, DecodeError> {
        let first = reader.u32("first bucket")?;
        let counts = reader.any_buffer::<u64>("buckets")?.to_vec();
        let end = u64::from(first) + counts.len() as u64;
        if end > EXPONENTS << bits {
            return Err(DecodeError::invalid("buckets", end));
        }
        Ok(Side { first, counts })
    }
}

impl Buckets {
    /// No elements yet.
    pub fn new(bits: u32) -> Buckets {
        Buckets {
            bits,
            below: Side::default(),
            zeros: 0,
            above: Side::default(),
            infinite: [0; 2],
            range: (f64::INFINITY, f64::NEG_INFINITY),
            nan: 0,
        }
    }

    /// Most bytes for elements of a type: its exponents, of both signs where it has them.
    pub fn size(bits: u32, dtype: DType) -> u64 {
        let (exponents, signs) = match dtype {
            DType::F64 => (EXPONENTS, 2),
            DType::F32 => (278, 2),
            DType::U8 | DType::U16 | DType::U32 | DType::U64 => (8 * dtype.size() as u64 + 1, 1),
            dtype => (8 * dtype.size() as u64 + 1, 2),
        };
        128 + ((exponents * signs * 8) << bits)
    }

    /// Adds elements.
    pub fn add(&mut self, numbers: &[f64]) {
        let (mut low, mut high) = self.range;
        for &x in numbers {
            if x.is_nan() {
                self.nan += 1;
                continue;
            }
            low = if x < low { x } else { low };
            high = if x > high { x } else { high };
            let bucket = (x.abs().to_bits() >> (52 - self.bits)) as u32;
            if x.is_infinite() {
                self.infinite[usize::from(x > 0.0)] += 1;
            } else if bucket >> self.bits == 0 {
                self.zeros += 1;
            } else if x > 0.0 {
                self.above.count(self.bits, bucket);
            } else {
                self.below.count(self.bits, bucket);
            }
        }
        self.range = (low, high);
    }

    /// Adds the counts of others. False when they are of another width.
    pub fn merge(&mut self, other: &Buckets) -> bool {
        if self.bits != other.bits {
            return false;
        }
        self.below.merge(self.bits, &other.below);
        self.above.merge(self.bits, &other.above);
        self.zeros = self.zeros.saturating_add(other.zeros);
        for (mine, theirs) in self.infinite.iter_mut().zip(other.infinite) {
            *mine = mine.saturating_add(theirs);
        }
        self.nan = self.nan.saturating_add(other.nan);
        self.range = (self.range.0.min(other.range.0), self.range.1.max(other.range.1));
        true
    }

    /// Elements that are numbers.
    pub fn count(&self) -> u64 {
        let finite = self.below.total().saturating_add(self.zeros);
        let finite = finite.saturating_add(self.above.total());
        self.infinite.iter().fold(finite, |n, &more| n.saturating_add(more))
    }

    /// The element of this rank, counted from 0; NaN when there is none.
    pub fn of_rank(&self, rank: u64) -> f64 {
        let count = self.count();
        if rank >= count {
            return f64::NAN;
        }
        // The two ends are known exactly; so is the side of zero on which they lie.
        if rank == 0 || rank + 1 == count {
            let end = if rank == 0 { self.range.0 } else { self.range.1 };
            return if end == 0.0 { 0.0 } else { end };
        }
        let [lowest, highest] = self.infinite;
        if rank < lowest {
            return f64::NEG_INFINITY;
        }
        if rank >= count.saturating_sub(highest) {
            return f64::INFINITY;
        }
        let mut left = rank - lowest;
        let value = |magnitude: f64| magnitude.clamp(self.range.0, self.range.1);
        for (place, &count) in self.below.counts.iter().enumerate().rev() {
            if left < count {
                return value(-self.middle(self.below.first + place as u32));
            }
            left -= count;
        }
        if left < self.zeros {
            return value(0.0);
        }
        left -= self.zeros;
        for (place, &count) in self.above.counts.iter().enumerate() {
            if left < count {
                return value(self.middle(self.above.first + place as u32));
            }
            left -= count;
        }
        f64::NAN
    }

    fn middle(&self, bucket: u32) -> f64 {
        let shift = 52 - self.bits;
        f64::from_bits((u64::from(bucket) << shift) | 1 << (shift - 1))
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        128 + 8 * (self.below.counts.len() + self.above.counts.len())
    }

    /// As bytes.
    pub fn encode(&self, writer: &mut Writer) {
        writer.u32(self.bits);
        writer.u64(self.zeros);
        writer.u64(self.nan);
        self.infinite.into_iter().for_each(|n| writer.u64(n));
        writer.f64(self.range.0);
        writer.f64(self.range.1);
        self.below.encode(writer);
        self.above.encode(writer);
    }

    /// Reads what [`Buckets::encode`] wrote.
    ///
    /// # Errors
    /// When the bytes are not that.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Buckets, DecodeError> {
        let bits = reader.u32("buckets")?;
        if bits > MOST_BITS {
            return Err(DecodeError::invalid("bits of buckets", bits));
        }
        let mut buckets = Buckets::new(bits);
        (buckets.zeros, buckets.nan) = (reader.u64("buckets")?, reader.u64("buckets")?);
        buckets.infinite = [reader.u64("buckets")?, reader.u64("buckets")?];
        buckets.range = (reader.f64("buckets")?, reader.f64("buckets")?);
        buckets.below = Side::decode(bits, reader)?;
        buckets.above = Side::decode(bits, reader)?;
        let (low, high) = buckets.range;
        let ordered = low <= high || buckets.count() == 0;
        if low.is_nan() || high.is_nan() || !ordered {
            return Err(DecodeError::invalid("range of buckets", format_args!("{low} to {high}")));
        }
        Ok(buckets)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accuracy_is_kept_for_every_magnitude() {
        for accuracy in [0.25, 0.1, 0.01, 0.001] {
            let bits = bits_for(accuracy);
            let numbers: Vec<f64> = (-2000..2000)
                .map(|i: i32| f64::from(i.signum()) * 1.37f64.powi(i.abs() / 3))
                .collect();
            let mut sorted = numbers.clone();
            sorted.sort_by(f64::total_cmp);
            let mut buckets = Buckets::new(bits);
            buckets.add(&numbers);
            for (rank, x) in sorted.iter().enumerate() {
                let found = buckets.of_rank(rank as u64);
                assert!((found - x).abs() <= accuracy * x.abs(), "{accuracy} {x} {found}");
            }
        }
        assert_eq!((bits_for(0.25), bits_for(0.01), bits_for(0.001)), (1, 6, 9));
    }

    #[test]
    fn infinities_zeros_and_tiny_numbers_have_their_places() {
        let mut buckets = Buckets::new(6);
        let numbers = [f64::NAN, f64::INFINITY, -5e-324, 0.0, -0.0, 1.0, f64::NEG_INFINITY];
        buckets.add(&numbers);
        assert_eq!((buckets.count(), buckets.nan), (6, 1));
        let found: Vec<f64> = (0..6).map(|rank| buckets.of_rank(rank)).collect();
        assert_eq!(found[..4], [f64::NEG_INFINITY, 0.0, 0.0, 0.0]);
        assert!((found[4] - 1.0).abs() < 0.01 && found[5] == f64::INFINITY);
        assert!(buckets.of_rank(6).is_nan());
    }

    #[test]
    fn no_numbers_of_a_type_outgrow_its_plan() {
        let extremes = [f64::INFINITY, f64::MAX, f64::MIN_POSITIVE, 5e-324, 0.0];
        let singles = [f32::INFINITY, f32::MAX, f32::MIN_POSITIVE, 1e-45, 0.0].map(f64::from);
        for (dtype, numbers) in [(DType::F64, extremes), (DType::F32, singles)] {
            for bits in [1, 6, 9] {
                let mut buckets = Buckets::new(bits);
                buckets.add(&numbers);
                buckets.add(&numbers.map(|x| -x));
                assert!(buckets.bytes() as u64 <= Buckets::size(bits, dtype), "{dtype:?} {bits}");
            }
        }
    }
}
