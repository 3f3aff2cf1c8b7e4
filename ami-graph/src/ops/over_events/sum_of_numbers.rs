//! `sum` and `mean` of floats with `"nan": "skip"`: each element is the sum of its numbers, and has a
//! count of its own. Always compensated: leaving out takes longer than adding anyway.

use crate::data::batch::Column;
use crate::data::bytes::{Reader, Writer};
use crate::data::column_views::{as_f64, blocks_f64, selected};
use crate::data::feed::Feed;
use crate::data::raw_buffer::Buffer;
use crate::data::value::{Array, Scalar, Value};
use crate::error::DecodeError;
use crate::merge::compensated::{Compensated, corrected};
use crate::merge::counted::{add_to_sums, counts_value, merge_sums};
use crate::op::reduction::{Outputs, State, same};
use crate::ops::over_events::count::count_value;

/// What `sum` and `mean` keep.
#[derive(Debug, Clone)]
pub struct SumOfNumbers {
    mean: bool,
    shape: Vec<usize>,
    counts: Buffer<u64>,
    sums: Buffer<f64>,
    lost: Buffer<f64>,
}

/// Most bytes it takes for values with these axes.
pub fn size(axes: &[u32]) -> u64 {
    axes.iter().fold(24u64, |n, &a| n.saturating_mul(u64::from(a))).saturating_add(192)
}

impl SumOfNumbers {
    /// Of nothing yet.
    pub fn new(mean: bool, shape: Vec<usize>) -> SumOfNumbers {
        let count = shape.iter().product();
        let (sums, lost) = (Buffer::zeros(count), Buffer::zeros(count));
        SumOfNumbers { mean, shape, counts: Buffer::zeros(count), sums, lost }
    }

    /// Reads what [`State::encode`] wrote.
    ///
    /// # Errors
    /// When the bytes are not that.
    pub fn decode(
        mean: bool,
        shape: Vec<usize>,
        reader: &mut Reader<'_>,
    ) -> Result<SumOfNumbers, DecodeError> {
        const WHAT: &str = "sum of numbers";
        let count = shape.iter().product();
        let counts = reader.buffer(count, WHAT)?;
        let (sums, lost) = (reader.buffer(count, WHAT)?, reader.buffer(count, WHAT)?);
        Ok(SumOfNumbers { mean, shape, counts, sums, lost })
    }

    fn add_scalars(&mut self, numbers: &[f64]) {
        let mut sum = Compensated { sum: self.sums[0], lost: self.lost[0] };
        let mut count = 0;
        for &x in numbers.iter().filter(|x| !x.is_nan()) {
            sum.add(x);
            count += 1;
        }
        (self.sums[0], self.lost[0]) = (sum.sum, sum.lost);
        self.counts[0] = self.counts[0].saturating_add(count);
    }
}

impl State for SumOfNumbers {
    fn absorb(&mut self, feed: &mut Feed<'_>) {
        match feed.columns[0] {
            Column::Arrays { dtype, items } => {
                for i in selected(feed.mask, items.len()) {
                    let Some(item) = &items[i] else { continue };
                    let row = as_f64(*dtype, item.data, feed.scratch);
                    add_to_sums(&mut self.counts, (row, &[]), (&mut self.sums, &mut self.lost));
                }
            }
            column => {
                blocks_f64(column, feed.mask, feed.scratch, |block| self.add_scalars(block));
            }
        }
    }

    fn merge(&mut self, other: Box<dyn State>) -> bool {
        let Some(other) = same::<SumOfNumbers>(other) else { return false };
        if (self.mean, &self.shape) != (other.mean, &other.shape) {
            return false;
        }
        merge_sums(
            (&mut self.counts, &mut self.sums, &mut self.lost),
            (&other.counts, &other.sums, &other.lost),
        );
        true
    }

    fn finish(&self) -> Result<Outputs, String> {
        let divisor = |i: usize| if self.mean { self.counts[i] as f64 } else { 1.0 };
        let value = |i: usize| corrected(self.sums[i], self.lost[i]) / divisor(i);
        if self.shape.is_empty() {
            let value = Value::Scalar(Scalar::F64(value(0)));
            return Ok(vec![Some(value), Some(count_value(self.counts[0]))]);
        }
        let values: Vec<f64> = (0..self.sums.len()).map(value).collect();
        let value = Value::Array(Array::from_elements(&self.shape, &values));
        Ok(vec![Some(value), Some(counts_value(&self.shape, &self.counts))])
    }

    fn encode(self: Box<Self>, writer: &mut Writer) {
        writer.bool(true);
        writer.buffer(self.counts);
        writer.buffer(self.sums);
        writer.buffer(self.lost);
    }

    fn clone_box(&self) -> Box<dyn State> {
        Box::new(self.clone())
    }

    fn bytes(&self) -> usize {
        192 + 24 * self.sums.len()
    }
}
