//! The statistic that `by_key` and `scan` keep for one key: of scalars, or of arrays element by
//! element, in float64.

use crate::data::batch::Column;
use crate::data::bytes::{Reader, Writer};
use crate::data::column_views::{as_f64, remainders_f64, selected};
use crate::data::feed::Feed;
use crate::data::raw_buffer::Buffer;
use crate::data::value::{Array, Value};
use crate::error::{DecodeError, Fault};
use crate::merge::compensated::{Compensated, corrected, two_sum};
use crate::merge::keyed::Cell;
use crate::merge::moments::{Moments, add_row_of_two, at_least_zero, merge_rows, sem};
use crate::op::doc::ParamDoc;
use crate::op::parameters::Args;
use crate::op::signature::Signature;

/// What is published of the values of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // each variant is its numpy function
pub enum Stat {
    Mean,
    Sum,
    Min,
    Max,
    Std,
}

const NAMES: [&str; 5] = ["mean", "sum", "min", "max", "std"];

/// The parameter `stat`.
pub const STAT: ParamDoc = ParamDoc {
    name: "stat",
    kind: "text",
    default: "\"mean\"",
    unit: "",
    range: "mean, sum, min, max, std",
    doc: "what to give of each key's values; `sem` comes with the mean only",
};

impl Stat {
    const ALL: [Stat; 5] = [Stat::Mean, Stat::Sum, Stat::Min, Stat::Max, Stat::Std];

    /// The parameter `stat` of a node.
    ///
    /// # Errors
    /// When it is none.
    pub fn read(args: &Args<'_>) -> Result<Stat, Fault> {
        let name = args.word("stat", "mean", &NAMES)?;
        let place = NAMES.iter().position(|n| *n == name).unwrap_or(0);
        Ok(Stat::ALL[place])
    }

    /// Its name in graphs, which is that of its output.
    pub fn name(self) -> &'static str {
        NAMES[self as usize]
    }

    /// Numbers kept of each element.
    pub fn parts(self) -> usize {
        match self {
            Stat::Min | Stat::Max => 1,
            Stat::Sum => 2,
            Stat::Mean | Stat::Std => 3,
        }
    }

    /// As bytes.
    pub fn encode(self, writer: &mut Writer) {
        writer.u8(self as u8);
    }

    /// Reads what [`Stat::encode`] wrote.
    ///
    /// # Errors
    /// When it is none.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Stat, DecodeError> {
        let code = reader.u8("statistic")?;
        Stat::ALL.get(code as usize).copied().ok_or_else(|| DecodeError::invalid("statistic", code))
    }
}

/// The values of one key.
#[derive(Debug, Clone)]
pub struct StatCell {
    stat: Stat,
    n: u64,
    /// Of each element the extreme; or the sum, then what its roundings lost, then M2.
    numbers: Buffer<f64>,
}

/// Bytes of a cell of values of this type and shape.
pub fn size(stat: Stat, axes: &[u32]) -> u64 {
    let each = 8 * stat.parts() as u64;
    axes.iter().fold(each, |n, &a| n.saturating_mul(u64::from(a))).saturating_add(64)
}

/// Number of elements of a value; of a shape, saturating.
pub fn width(axes: &[u32]) -> usize {
    axes.iter().fold(1usize, |n, &a| n.saturating_mul(a as usize))
}

/// The smaller, or the greater; not-a-number wins, as in numpy.
#[inline(always)]
fn extreme(greater: bool, a: f64, b: f64) -> f64 {
    let replaces = if greater { b > a } else { b < a };
    if !a.is_nan() && (b.is_nan() || replaces) { b } else { a }
}

impl Cell for StatCell {
    fn events(&self) -> u64 {
        self.n
    }

    fn merge(&mut self, other: StatCell) {
        if self.n == 0 {
            *self = other;
            return;
        }
        if other.n == 0 || self.numbers.len() != other.numbers.len() {
            return;
        }
        let width = self.width();
        let (n, numbers) = (self.n, &mut self.numbers[..]);
        match self.stat {
            Stat::Min | Stat::Max => {
                let greater = self.stat == Stat::Max;
                let pairs = numbers.iter_mut().zip(other.numbers.iter());
                pairs.for_each(|(a, &b)| *a = extreme(greater, *a, b));
            }
            Stat::Sum => {
                let (sums, lost) = numbers.split_at_mut(width);
                for (i, (sum, lost)) in sums.iter_mut().zip(lost).enumerate() {
                    let (next, error) = two_sum(*sum, other.numbers[i]);
                    (*sum, *lost) = (next, *lost + (error + other.numbers[width + i]));
                }
            }
            Stat::Mean | Stat::Std => {
                let (sums, rest) = numbers.split_at_mut(width);
                let (lost, m2) = rest.split_at_mut(width);
                let (their_sums, rest) = other.numbers.split_at(width);
                let (their_lost, their_m2) = rest.split_at(width);
                merge_rows((n, other.n), (sums, lost, m2), (their_sums, their_lost, their_m2));
            }
        }
        self.n = self.n.saturating_add(other.n);
    }

    fn bytes(&self) -> usize {
        64 + self.numbers.len() * 8
    }
}

impl StatCell {
    /// No values yet, of so many elements each.
    pub fn new(stat: Stat, width: usize) -> StatCell {
        StatCell { stat, n: 0, numbers: Buffer::zeros(width.saturating_mul(stat.parts())) }
    }

    fn width(&self) -> usize {
        self.numbers.len() / self.stat.parts()
    }

    /// Adds the values of these events.
    pub fn absorb(&mut self, column: &Column<'_>, events: &[usize], scratch: &mut Vec<f64>) {
        match column {
            Column::Scalars { dtype, data, .. } => {
                let size = dtype.size();
                let mut bytes = Vec::with_capacity(events.len() * size);
                let values = events.iter().map(|i| &data[i * size..(i + 1) * size]);
                values.for_each(|value| bytes.extend_from_slice(value));
                let mut rests = Vec::new();
                let remainders = remainders_f64(*dtype, &bytes, None, &mut rests);
                self.add_scalars(as_f64(*dtype, &bytes, scratch), remainders);
            }
            Column::Arrays { dtype, items } => {
                let mut rests = Vec::new();
                for item in events.iter().filter_map(|&i| items[i].as_ref()) {
                    let remainders = remainders_f64(*dtype, item.data, None, &mut rests);
                    self.add_row(as_f64(*dtype, item.data, scratch), remainders);
                }
            }
            Column::Absent | Column::Constant(_) | Column::Strings(_) => {}
        }
    }

    /// Adds the values of all events that take part.
    pub fn absorb_all(&mut self, column: &Column<'_>, feed: &mut Feed<'_>) {
        let events: Vec<usize> = selected(feed.mask, feed.events.timestamps.len()).collect();
        self.absorb(column, &events, feed.scratch);
    }

    fn add_scalars(&mut self, numbers: &[f64], remainders: &[f64]) {
        let mut other = StatCell::new(self.stat, 1);
        other.n = numbers.len() as u64;
        match self.stat {
            Stat::Min | Stat::Max => {
                let greater = self.stat == Stat::Max;
                let Some(value) = numbers.iter().copied().reduce(|a, b| extreme(greater, a, b))
                else {
                    return;
                };
                other.numbers[0] = value;
            }
            Stat::Sum => {
                let mut sum = Compensated::default();
                sum.add_all(numbers);
                sum.lost += remainders.iter().sum::<f64>();
                other.numbers.copy_from_slice(&[sum.sum, sum.lost]);
            }
            Stat::Mean | Stat::Std => {
                let Moments { sum, m2, .. } = Moments::of(numbers, remainders);
                other.numbers.copy_from_slice(&[sum.sum, sum.lost, m2]);
            }
        }
        self.merge(other);
    }

    fn add_row(&mut self, row: &[f64], remainders: &[f64]) {
        let width = self.width();
        if row.len() != width {
            return;
        }
        let (n, numbers) = (self.n, &mut self.numbers[..]);
        match self.stat {
            Stat::Min | Stat::Max if n == 0 => numbers.copy_from_slice(row),
            Stat::Min | Stat::Max => {
                let greater = self.stat == Stat::Max;
                numbers.iter_mut().zip(row).for_each(|(a, &b)| *a = extreme(greater, *a, b));
            }
            Stat::Sum => {
                let (sums, lost) = numbers.split_at_mut(width);
                for ((sum, lost), &x) in sums.iter_mut().zip(&mut *lost).zip(row) {
                    let (next, error) = two_sum(*sum, x);
                    (*sum, *lost) = (next, *lost + error);
                }
                lost.iter_mut().zip(remainders).for_each(|(lost, rest)| *lost += rest);
            }
            Stat::Mean | Stat::Std => {
                let (sums, rest) = numbers.split_at_mut(width);
                let (lost, m2) = rest.split_at_mut(width);
                add_row_of_two(n, (row, remainders), (sums, lost, m2));
            }
        }
        self.n += 1;
    }

    fn push_value(&self, to: &mut Vec<f64>) {
        let width = self.width();
        let sum = |i: usize| corrected(self.numbers[i], self.numbers[width + i]);
        to.extend((0..width).map(|i| match self.stat {
            Stat::Min | Stat::Max => self.numbers[i],
            Stat::Sum => sum(i),
            Stat::Mean => sum(i) / self.n as f64,
            Stat::Std => (at_least_zero(self.numbers[2 * width + i]) / self.n as f64).sqrt(),
        }));
    }

    fn push_sem(&self, to: &mut Vec<f64>) {
        let width = self.width();
        to.extend((0..width).map(|i| sem(self.n, self.numbers[2 * width + i])));
    }

    /// As bytes.
    pub fn encode(self, writer: &mut Writer) {
        writer.u64(self.n);
        writer.buffer(self.numbers);
    }

    /// Reads what [`StatCell::encode`] wrote.
    ///
    /// # Errors
    /// When the bytes are not that.
    pub fn decode(
        stat: Stat,
        axes: &[u32],
        reader: &mut Reader<'_>,
    ) -> Result<StatCell, DecodeError> {
        let n = reader.u64("cell")?;
        let length = width(axes).saturating_mul(stat.parts());
        Ok(StatCell { stat, n, numbers: reader.buffer(length, "cell")? })
    }
}

/// The statistic of each cell on a new first axis, its sem if it has one, and the counts.
pub fn stacked<'a>(
    stat: Stat,
    axes: &[u32],
    cells: impl Iterator<Item = &'a StatCell> + Clone,
) -> Vec<Option<Value>> {
    let (mut values, mut sems, mut counts) = (Vec::new(), Vec::new(), Vec::new());
    for cell in cells {
        cell.push_value(&mut values);
        if stat == Stat::Mean {
            cell.push_sem(&mut sems);
        }
        counts.push(cell.n as i64);
    }
    let shape: Vec<usize> =
        [counts.len()].into_iter().chain(axes.iter().map(|&a| a as usize)).collect();
    let array = |numbers: &[f64]| Some(Value::Array(Array::from_elements(&shape, numbers)));
    let mut outputs = vec![array(&values)];
    if stat == Stat::Mean {
        outputs.push(array(&sems));
    }
    outputs.push(Some(Value::Array(Array::from_elements(&[counts.len()], &counts))));
    outputs
}

/// Shape of the values in a signature.
pub fn axes_of(signature: &Signature) -> Vec<u32> {
    signature.last().map(|(_, axes)| axes.clone()).unwrap_or_default()
}
