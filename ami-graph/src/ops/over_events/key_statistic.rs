//! The statistic that `by_key` and `scan` keep for one key: of scalars, or of arrays element by
//! element, in float64.

use crate::data::batch::Column;
use crate::data::bytes::{Reader, Writer};
use crate::data::column_views::{as_f64, remainders_f64, selected};
use crate::data::feed::Feed;
use crate::data::raw_buffer::Buffer;
use crate::data::value::{Array, Value};
use crate::error::{DecodeError, Fault};
use crate::merge::accumulate::add_rows;
use crate::merge::compensated::{Compensated, corrected};
use crate::merge::counted::{
    add_counts, add_to_moments, add_to_sums, counts_value, merge_moments, merge_sums,
};
use crate::merge::keyed::Cell;
use crate::merge::moments::{Moments, add_row_of_two, at_least_zero, merge_rows, sem};
use crate::op::doc::ParamDoc;
use crate::op::nan;
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
    fn read(args: &Args<'_>) -> Result<Stat, Fault> {
        let name = args.word("stat", "mean", &NAMES)?;
        let place = NAMES.iter().position(|n| *n == name).unwrap_or(0);
        Ok(Stat::ALL[place])
    }

    /// Its name in graphs, which is that of its output.
    pub fn name(self) -> &'static str {
        NAMES[self as usize]
    }

    /// Numbers kept of each element.
    fn parts(self) -> usize {
        match self {
            Stat::Min | Stat::Max => 1,
            Stat::Sum => 2,
            Stat::Mean | Stat::Std => 3,
        }
    }
}

/// A statistic, of all values or of those that are numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Statistic {
    /// Which.
    pub stat: Stat,
    /// True when NaN is left out: each element then has a count of its own.
    pub skip: bool,
}

impl Statistic {
    /// The parameters `stat` and `nan` of a node.
    ///
    /// # Errors
    /// When they are none.
    pub fn read(args: &Args<'_>) -> Result<Statistic, Fault> {
        Ok(Statistic { stat: Stat::read(args)?, skip: nan::skips(args, "propagate")? })
    }

    /// Numbers kept of each element, with its count if it has one.
    fn parts(self) -> usize {
        self.stat.parts() + usize::from(self.skip)
    }

    /// As bytes.
    pub fn encode(self, writer: &mut Writer) {
        writer.u8(self.stat as u8);
        writer.bool(self.skip);
    }

    /// Reads what [`Statistic::encode`] wrote.
    ///
    /// # Errors
    /// When it is none.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Statistic, DecodeError> {
        let code = reader.u8("statistic")?;
        let bad = || DecodeError::invalid("statistic", code);
        let stat = Stat::ALL.get(code as usize).copied().ok_or_else(bad)?;
        Ok(Statistic { stat, skip: reader.bool("statistic")? })
    }
}

/// The values of one key.
#[derive(Debug, Clone)]
pub struct StatCell {
    of: Statistic,
    /// Events, also those whose value is NaN.
    n: u64,
    /// Of each element the extreme; or the sum, then what its roundings lost, then M2. Where NaN is
    /// left out, then the count of each, a whole number of 64 bits.
    numbers: Buffer<f64>,
}

/// Bytes of a cell of values of this type and shape.
pub fn size(of: Statistic, axes: &[u32]) -> u64 {
    let each = 8 * of.parts() as u64;
    axes.iter().fold(each, |n, &a| n.saturating_mul(u64::from(a))).saturating_add(64)
}

/// Number of elements of a value; of a shape, saturating.
pub fn width(axes: &[u32]) -> usize {
    axes.iter().fold(1usize, |n, &a| n.saturating_mul(a as usize))
}

/// The smaller, or the greater; not-a-number wins, as in numpy, or loses where it is left out.
#[inline(always)]
fn extreme(of: Statistic, a: f64, b: f64) -> f64 {
    let replaces = if of.stat == Stat::Max { b > a } else { b < a };
    let taken = match of.skip {
        false => !a.is_nan() && (b.is_nan() || replaces),
        true => a.is_nan() || replaces,
    };
    if taken { b } else { a }
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
        let (of, width, n) = (self.of, self.width(), self.n);
        let (numbers, counts) = self.split_mut();
        let (theirs, more) = other.split();
        match of.stat {
            Stat::Min | Stat::Max => {
                numbers.iter_mut().zip(theirs).for_each(|(a, &b)| *a = extreme(of, *a, b));
                add_counts(counts, more);
            }
            Stat::Sum => {
                let (sums, lost) = numbers.split_at_mut(width);
                let (their_sums, their_lost) = theirs.split_at(width);
                merge_sums((counts, sums, lost), (more, their_sums, their_lost));
            }
            Stat::Mean | Stat::Std => {
                let mine = thirds_mut(numbers, width);
                let (their_sums, rest) = theirs.split_at(width);
                let (their_lost, their_m2) = rest.split_at(width);
                let theirs = (their_sums, their_lost, their_m2);
                match of.skip {
                    false => merge_rows((n, other.n), mine, theirs),
                    true => merge_moments((counts, more), mine, theirs),
                }
            }
        }
        self.n = self.n.saturating_add(other.n);
    }

    fn bytes(&self) -> usize {
        64 + self.numbers.len() * 8
    }
}

/// Sums, what they lost, and squared deviations.
fn thirds_mut(numbers: &mut [f64], width: usize) -> (&mut [f64], &mut [f64], &mut [f64]) {
    let (sums, rest) = numbers.split_at_mut(width);
    let (lost, m2) = rest.split_at_mut(width);
    (sums, lost, m2)
}

impl StatCell {
    /// No values yet, of so many elements each.
    pub fn new(of: Statistic, width: usize) -> StatCell {
        StatCell { of, n: 0, numbers: Buffer::zeros(width.saturating_mul(of.parts())) }
    }

    fn width(&self) -> usize {
        self.numbers.len() / self.of.parts()
    }

    /// The statistic's numbers, and the counts of elements if they have any.
    fn split(&self) -> (&[f64], &[u64]) {
        let (numbers, counts) = self.numbers.split_at(self.width() * self.of.stat.parts());
        (numbers, bytemuck::cast_slice(counts))
    }

    fn split_mut(&mut self) -> (&mut [f64], &mut [u64]) {
        let end = self.width() * self.of.stat.parts();
        let (numbers, counts) = self.numbers.split_at_mut(end);
        (numbers, bytemuck::cast_slice_mut(counts))
    }

    /// How many values an element has.
    fn count(&self, element: usize) -> u64 {
        if self.of.skip { self.split().1[element] } else { self.n }
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
        if self.of.skip && numbers.iter().any(|x| x.is_nan()) {
            // Floats have no remainders.
            let kept: Vec<f64> = numbers.iter().copied().filter(|x| !x.is_nan()).collect();
            return self.add_kept(numbers.len(), &kept, &[]);
        }
        self.add_kept(numbers.len(), numbers, remainders);
    }

    /// Adds the scalars of so many events of which these are to be counted.
    fn add_kept(&mut self, events: usize, numbers: &[f64], remainders: &[f64]) {
        let of = self.of;
        let mut other = StatCell::new(of, 1);
        other.n = events as u64;
        let (to, counts) = other.split_mut();
        counts.fill(numbers.len() as u64);
        match of.stat {
            Stat::Min | Stat::Max => {
                to[0] =
                    numbers.iter().copied().reduce(|a, b| extreme(of, a, b)).unwrap_or(f64::NAN);
            }
            Stat::Sum => {
                let mut sum = Compensated::default();
                sum.add_all(numbers);
                sum.lost += remainders.iter().sum::<f64>();
                to.copy_from_slice(&[sum.sum, sum.lost]);
            }
            Stat::Mean | Stat::Std => {
                let Moments { sum, m2, .. } = Moments::of(numbers, remainders);
                to.copy_from_slice(&[sum.sum, sum.lost, m2]);
            }
        }
        self.merge(other);
    }

    fn add_row(&mut self, row: &[f64], remainders: &[f64]) {
        let (of, width, n) = (self.of, self.width(), self.n);
        if row.len() != width {
            return;
        }
        let (numbers, counts) = self.split_mut();
        match of.stat {
            Stat::Min | Stat::Max => {
                match n {
                    0 => numbers.copy_from_slice(row),
                    _ => numbers.iter_mut().zip(row).for_each(|(a, &b)| *a = extreme(of, *a, b)),
                }
                let numbers = counts.iter_mut().zip(row).filter(|(_, x)| !x.is_nan());
                numbers.for_each(|(count, _)| *count = count.saturating_add(1));
            }
            Stat::Sum => {
                let (sums, lost) = numbers.split_at_mut(width);
                match of.skip {
                    false => {
                        add_rows(sums, lost, row);
                        lost.iter_mut().zip(remainders).for_each(|(lost, rest)| *lost += rest);
                    }
                    true => add_to_sums(counts, (row, remainders), (sums, lost)),
                }
            }
            Stat::Mean | Stat::Std => {
                let moments = thirds_mut(numbers, width);
                match of.skip {
                    false => add_row_of_two(n, (row, remainders), moments),
                    true => add_to_moments(counts, (row, remainders), moments),
                }
            }
        }
        self.n += 1;
    }

    fn push_value(&self, to: &mut Vec<f64>) {
        let width = self.width();
        let sum = |i: usize| corrected(self.numbers[i], self.numbers[width + i]);
        let n = |i: usize| self.count(i) as f64;
        to.extend((0..width).map(|i| match self.of.stat {
            Stat::Min | Stat::Max => self.numbers[i],
            Stat::Sum => sum(i),
            Stat::Mean => sum(i) / n(i),
            Stat::Std => (at_least_zero(self.numbers[2 * width + i]) / n(i)).sqrt(),
        }));
    }

    fn push_sem(&self, to: &mut Vec<f64>) {
        let width = self.width();
        to.extend((0..width).map(|i| sem(self.count(i), self.numbers[2 * width + i])));
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
        of: Statistic,
        axes: &[u32],
        reader: &mut Reader<'_>,
    ) -> Result<StatCell, DecodeError> {
        let n = reader.u64("cell")?;
        let length = width(axes).saturating_mul(of.parts());
        Ok(StatCell { of, n, numbers: reader.buffer(length, "cell")? })
    }
}

/// The statistic of each cell on a new first axis, its sem if it has one, and the counts.
pub fn stacked<'a>(
    of: Statistic,
    axes: &[u32],
    cells: impl Iterator<Item = &'a StatCell> + Clone,
) -> Vec<Option<Value>> {
    let (mut values, mut sems, mut counts) = (Vec::new(), Vec::new(), Vec::new());
    let mut keys = 0;
    for cell in cells {
        cell.push_value(&mut values);
        if of.stat == Stat::Mean {
            cell.push_sem(&mut sems);
        }
        match of.skip {
            false => counts.push(cell.n),
            true => counts.extend_from_slice(cell.split().1),
        }
        keys += 1;
    }
    let shape: Vec<usize> = [keys].into_iter().chain(axes.iter().map(|&a| a as usize)).collect();
    let array = |numbers: &[f64]| Some(Value::Array(Array::from_elements(&shape, numbers)));
    let mut outputs = vec![array(&values)];
    if of.stat == Stat::Mean {
        outputs.push(array(&sems));
    }
    let counted = if of.skip { &shape[..] } else { &shape[..1] };
    outputs.push(Some(counts_value(counted, &counts)));
    outputs
}

/// Shape of the values in a signature.
pub fn axes_of(signature: &Signature) -> Vec<u32> {
    signature.last().map(|(_, axes)| axes.clone()).unwrap_or_default()
}
