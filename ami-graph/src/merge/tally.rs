//! Tallies of a histogram: counts, or sums of weights.

use crate::data::bytes::{Reader, Writer};
use crate::data::value::{Array, Scalar, Value};
use crate::error::DecodeError;
use crate::merge::compensated::Compensated;

/// Bins, and after them three more: below, above, not a number.
#[derive(Debug, Clone)]
pub enum Tally {
    /// Numbers of elements.
    Counts(Vec<u64>),
    /// Sums of weights.
    Weights(Vec<Compensated>),
}

/// Places after the bins.
pub const BELOW: usize = 0;
/// Place of what lies above.
pub const ABOVE: usize = 1;
/// Place of what is no number.
pub const NAN: usize = 2;
/// How many places come after the bins.
pub const BEYOND: usize = 3;

impl Tally {
    /// Zeros for so many bins.
    pub fn new(weighted: bool, bins: usize) -> Tally {
        if weighted {
            Tally::Weights(vec![Compensated::default(); bins + BEYOND])
        } else {
            Tally::Counts(vec![0; bins + BEYOND])
        }
    }

    /// Number of bins.
    pub fn bins(&self) -> usize {
        match self {
            Tally::Counts(counts) => counts.len() - BEYOND,
            Tally::Weights(sums) => sums.len() - BEYOND,
        }
    }

    /// True for sums of weights.
    pub fn weighted(&self) -> bool {
        matches!(self, Tally::Weights(_))
    }

    /// Adds one element with its weight.
    #[inline(always)]
    pub fn add(&mut self, place: usize, weight: f64) {
        match self {
            Tally::Counts(counts) => counts[place] += 1,
            Tally::Weights(sums) => sums[place].add(weight),
        }
    }

    /// Adds a tally whose bin i is this one's bin `place(i)`; the places beyond join their like.
    /// False when one is weighted and the other is not.
    pub fn merge(&mut self, other: &Tally, place: impl Fn(usize) -> usize) -> bool {
        let (mine, theirs) = (self.bins(), other.bins());
        let to = |i: usize| if i < theirs { place(i) } else { mine + i - theirs };
        match (self, other) {
            (Tally::Counts(a), Tally::Counts(b)) => {
                for (i, &count) in b.iter().enumerate() {
                    a[to(i)] = a[to(i)].saturating_add(count);
                }
                true
            }
            (Tally::Weights(a), Tally::Weights(b)) => {
                b.iter().enumerate().for_each(|(i, &sum)| a[to(i)].merge(sum));
                true
            }
            _ => false,
        }
    }

    /// Counts of the bins as an array of a shape with so many: int64, or float64 for weights.
    pub fn counts(&self, shape: &[usize]) -> Value {
        let bins = self.bins();
        Value::Array(match self {
            Tally::Counts(counts) => {
                let counts: Vec<i64> = counts[..bins].iter().map(|&c| c as i64).collect();
                Array::from_elements(shape, &counts)
            }
            Tally::Weights(sums) => {
                let sums: Vec<f64> = sums[..bins].iter().map(|s| s.value()).collect();
                Array::from_elements(shape, &sums)
            }
        })
    }

    /// What lies beyond the bins: below, above, not a number.
    pub fn beyond(&self) -> [Option<Value>; BEYOND] {
        let bins = self.bins();
        [BELOW, ABOVE, NAN].map(|place| {
            Some(Value::Scalar(match self {
                Tally::Counts(counts) => Scalar::I64(counts[bins + place] as i64),
                Tally::Weights(sums) => Scalar::F64(sums[bins + place].value()),
            }))
        })
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        (self.bins() + BEYOND) * if self.weighted() { 16 } else { 8 }
    }

    /// As bytes.
    pub fn encode(&self, writer: &mut Writer) {
        writer.bool(self.weighted());
        match self {
            Tally::Counts(counts) => writer.slice(counts),
            Tally::Weights(sums) => {
                let pairs: Vec<[f64; 2]> = sums.iter().map(|s| [s.sum, s.lost]).collect();
                writer.slice(&pairs);
            }
        }
    }

    /// Reads what [`Tally::encode`] wrote.
    ///
    /// # Errors
    /// When the bytes are not a tally.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Tally, DecodeError> {
        let weighted = reader.bool("tally")?;
        let tally = if weighted {
            let pairs = reader.any_buffer::<[f64; 2]>("tally")?;
            Tally::Weights(pairs.iter().map(|&[sum, lost]| Compensated { sum, lost }).collect())
        } else {
            Tally::Counts(reader.any_buffer::<u64>("tally")?.to_vec())
        };
        let places = match &tally {
            Tally::Counts(counts) => counts.len(),
            Tally::Weights(sums) => sums.len(),
        };
        if places < BEYOND {
            return Err(DecodeError::invalid("tally", format_args!("{places} places")));
        }
        Ok(tally)
    }
}
