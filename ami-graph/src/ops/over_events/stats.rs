//! `stats`: mean, spread and extremes over the events, element by element.

use crate::data::batch::Column;
use crate::data::bytes::{Reader, Writer};
use crate::data::column_views::{as_f64, exact_blocks, remainders_f64, selected};
use crate::data::feed::Feed;
use crate::data::raw_buffer::Buffer;
use crate::data::types::Type;
use crate::data::value::{Array, DType, Scalar, Value};
use crate::error::{DecodeError, Fault};
use crate::merge::compensated::{Compensated, corrected};
use crate::merge::counted::{add_to_moments, counts_value, merge_moments};
use crate::merge::moments::{Moments, add_row_of_two, at_least_zero, merge_rows, sem};
use crate::op::checks::numbers_only;
use crate::op::doc::{Class, OpDoc, OutputDoc};
use crate::op::kind::{OpKind, Prepared};
use crate::op::nan::{self, NAN};
use crate::op::parameters::Args;
use crate::op::reduction::{Outputs, Reduction, State, same};
use crate::op::signature::Sense;
use crate::op::signature::Signature;
use crate::ops::over_events::count::count_value;
use crate::ops::over_events::elements::{VALUE, count_type, element};
use multiversion::multiversion;

/// Accumulators kept in cache while all frames of a batch go over them: 5 × 8 bytes each.
const TILE: usize = 512;

static DOC: OpDoc = OpDoc {
    name: "stats",
    summary: "mean, std, sem, rms, min, max and count over the events, element by element",
    text: "All in float64: std is numpy's (ddof = 0), sem is std(ddof = 1) / sqrt(n) and NaN for \
           fewer than two events, rms is sqrt(mean(x²)), min and max are NaN if any value is. \
           States merge by Chan's formula, and a large offset costs no digits: 64-bit integers \
           count exactly. With `\"nan\": \"skip\"` all are of the values of each element that are \
           numbers, and `count` says how many; of none all else is NaN.",
    example: r#"{"op": "stats", "in": "scalar", "window": {"seconds": 10}}"#,
    class: Class::Reduction,
    form: VALUE,
    with: false,
    params: &[NAN],
    outputs: &[
        OutputDoc { name: "mean", doc: "float64, shape of the input" },
        OutputDoc { name: "std", doc: "float64, shape of the input" },
        OutputDoc { name: "sem", doc: "float64, shape of the input" },
        OutputDoc { name: "rms", doc: "float64, shape of the input" },
        OutputDoc { name: "min", doc: "float64, shape of the input" },
        OutputDoc { name: "max", doc: "float64, shape of the input" },
        OutputDoc {
            name: "count",
            doc: "int64 scalar: events; shape of the input with `nan` \"skip\"",
        },
    ],
};

/// The op.
pub struct Stats;

impl OpKind for Stats {
    fn doc(&self) -> &'static OpDoc {
        &DOC
    }

    fn prepare(&self, args: &Args<'_>) -> Result<Prepared, Fault> {
        let describe = Describe { skip: nan::skips(args, "propagate")? };
        Ok(Prepared::reduction(&["mean", "std", "sem", "rms", "min", "max", "count"], describe))
    }

    fn decode(
        &self,
        signature: &Signature,
        reader: &mut Reader<'_>,
    ) -> Result<Box<dyn State>, DecodeError> {
        let (_, shape) = element(signature)?;
        let count = shape.iter().product();
        let counts = match reader.bool("stats")? {
            false => Counts::Together(reader.u64("events of stats")?),
            true => Counts::Each(reader.buffer(count, "stats")?),
        };
        let mut next = || reader.buffer(count, "stats");
        let (sums, lost, m2, low, high) = (next()?, next()?, next()?, next()?, next()?);
        Ok(Box::new(Described { shape, counts, sums, lost, m2, low, high }))
    }
}

#[derive(Debug)]
struct Describe {
    skip: bool,
}

impl Reduction for Describe {
    fn op(&self) -> &'static str {
        DOC.name
    }

    fn sense(&self, _: usize) -> Sense {
        Sense::Shapes
    }

    fn start(&self, signature: &Signature) -> Box<dyn State> {
        let shape: Vec<usize> = signature[0].1.iter().map(|&a| a as usize).collect();
        let count = shape.iter().product();
        Box::new(Described {
            shape,
            counts: match self.skip {
                false => Counts::Together(0),
                true => Counts::Each(Buffer::zeros(count)),
            },
            sums: Buffer::zeros(count),
            lost: Buffer::zeros(count),
            m2: Buffer::zeros(count),
            low: Buffer::filled(count, f64::INFINITY),
            high: Buffer::filled(count, f64::NEG_INFINITY),
        })
    }

    fn size(&self, inputs: &Signature) -> u64 {
        let each = if self.skip { 48u64 } else { 40 };
        inputs[0].1.iter().fold(each, |n, &a| n.saturating_mul(u64::from(a))).saturating_add(64)
    }

    fn bind(&self, inputs: &[Type]) -> Result<Vec<Type>, Fault> {
        numbers_only(inputs, &["value"])?;
        let each = Type { dtype: DType::F64, ..inputs[0].clone() };
        let mut outputs = vec![each; 6];
        outputs.push(count_type(self.skip, &inputs[0]));
        Ok(outputs)
    }
}

/// How many values were taken in.
#[derive(Debug, Clone)]
enum Counts {
    /// As many of every element: the events.
    Together(u64),
    /// Those of each element that are numbers: NaN is left out.
    Each(Buffer<u64>),
}

impl Counts {
    fn at(&self, element: usize) -> u64 {
        match self {
            Counts::Together(n) => *n,
            Counts::Each(counts) => counts[element],
        }
    }
}

#[derive(Debug, Clone)]
struct Described {
    shape: Vec<usize>,
    counts: Counts,
    sums: Buffer<f64>,
    lost: Buffer<f64>,
    m2: Buffer<f64>,
    low: Buffer<f64>,
    high: Buffer<f64>,
}

/// The lesser, or NaN if either is.
#[inline(always)]
fn lesser(a: f64, b: f64) -> f64 {
    if b < a || b.is_nan() { b } else { a }
}

/// The greater, or NaN if either is.
#[inline(always)]
fn greater(a: f64, b: f64) -> f64 {
    if b > a || b.is_nan() { b } else { a }
}

/// Extremes of each place, NaN left out.
fn extreme_numbers(row: &[f64], low: &mut [f64], high: &mut [f64]) {
    for ((&x, low), high) in row.iter().zip(low).zip(high) {
        // Nothing is less or greater than NaN.
        *low = if x < *low { x } else { *low };
        *high = if x > *high { x } else { *high };
    }
}

/// Extremes of each place. Compiled for several processors; the best is chosen when the program
/// runs.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512vl+avx512dq", "x86_64+avx2"))]
fn extremes(row: &[f64], low: &mut [f64], high: &mut [f64]) {
    for ((&x, low), high) in row.iter().zip(low).zip(high) {
        (*low, *high) = (lesser(*low, x), greater(*high, x));
    }
}

impl Described {
    /// Scalars with their remainders, block by block. Those with remainders are integers, of which
    /// none is NaN.
    fn absorb_block(&mut self, block: &[f64], remainders: &[f64]) {
        let mut mine = Moments {
            n: self.counts.at(0),
            sum: Compensated { sum: self.sums[0], lost: self.lost[0] },
            m2: self.m2[0],
        };
        mine.merge(Moments::of(block, remainders));
        match &mut self.counts {
            Counts::Together(n) => *n = mine.n,
            Counts::Each(counts) => counts[0] = mine.n,
        }
        (self.sums[0], self.lost[0], self.m2[0]) = (mine.sum.sum, mine.sum.lost, mine.m2);
        // Four side by side, since one waits for itself at every step.
        let (mut low, mut high) = ([self.low[0]; 4], [self.high[0]; 4]);
        for chunk in block.chunks(4) {
            for ((low, high), &x) in low.iter_mut().zip(&mut high).zip(chunk) {
                (*low, *high) = (lesser(*low, x), greater(*high, x));
            }
        }
        self.low[0] = low.into_iter().fold(f64::INFINITY, lesser);
        self.high[0] = high.into_iter().fold(f64::NEG_INFINITY, greater);
    }

    fn absorb_frames(&mut self, dtype: DType, frames: &[&[u8]]) {
        let (size, count) = (dtype.size(), self.sums.len());
        let (mut scratch, mut rests) = (Vec::new(), Vec::new());
        for start in (0..count).step_by(TILE) {
            let tile = start..(start + TILE).min(count);
            for (k, frame) in frames.iter().enumerate() {
                let bytes = tile.start * size..tile.end * size;
                let Some(part) = frame.get(bytes) else { continue };
                let row = as_f64(dtype, part, &mut scratch);
                let remainders = remainders_f64(dtype, part, None, &mut rests);
                let (sums, lost) = (&mut self.sums[tile.clone()], &mut self.lost[tile.clone()]);
                let moments = (sums, lost, &mut self.m2[tile.clone()]);
                let (low, high) = (&mut self.low[tile.clone()], &mut self.high[tile.clone()]);
                match &mut self.counts {
                    Counts::Together(n) => {
                        add_row_of_two(*n + k as u64, (row, remainders), moments);
                        extremes(row, low, high);
                    }
                    Counts::Each(counts) => {
                        let counts = &mut counts[tile.clone()];
                        add_to_moments(counts, (row, remainders), moments);
                        extreme_numbers(row, low, high);
                    }
                }
            }
        }
        if let Counts::Together(n) = &mut self.counts {
            *n += frames.len() as u64;
        }
    }

    fn shaped(&self, of: impl Fn(usize) -> f64) -> Option<Value> {
        if self.shape.is_empty() {
            return Some(Value::Scalar(Scalar::F64(of(0))));
        }
        let numbers: Vec<f64> = (0..self.sums.len()).map(of).collect();
        Some(Value::Array(Array::from_elements(&self.shape, &numbers)))
    }
}

impl State for Described {
    fn absorb(&mut self, feed: &mut Feed<'_>) {
        match feed.columns[0] {
            column @ Column::Scalars { .. } => {
                let skip = matches!(self.counts, Counts::Each(_));
                let mut numbers = Vec::new();
                exact_blocks(column, feed.mask, feed.scratch, |block, remainders| {
                    if !skip || !remainders.is_empty() {
                        return self.absorb_block(block, remainders);
                    }
                    numbers.clear();
                    numbers.extend(block.iter().filter(|x| !x.is_nan()));
                    self.absorb_block(&numbers, &[]);
                });
            }
            Column::Arrays { dtype, items } => {
                let frames: Vec<&[u8]> = selected(feed.mask, items.len())
                    .filter_map(|i| items[i].as_ref().map(|item| item.data))
                    .collect();
                self.absorb_frames(*dtype, &frames);
            }
            Column::Absent | Column::Constant(_) | Column::Strings(_) => {}
        }
    }

    fn merge(&mut self, other: Box<dyn State>) -> bool {
        let Some(other) = same::<Described>(other) else { return false };
        if self.shape != other.shape {
            return false;
        }
        let mine = (&mut self.sums[..], &mut self.lost[..], &mut self.m2[..]);
        let theirs = (&other.sums[..], &other.lost[..], &other.m2[..]);
        match (&mut self.counts, &other.counts) {
            (Counts::Together(n), Counts::Together(more)) => {
                merge_rows((*n, *more), mine, theirs);
                *n = n.saturating_add(*more);
            }
            (Counts::Each(counts), Counts::Each(more)) => {
                merge_moments((counts, more), mine, theirs);
            }
            _ => return false,
        }
        self.low.iter_mut().zip(other.low.iter()).for_each(|(a, &b)| *a = lesser(*a, b));
        self.high.iter_mut().zip(other.high.iter()).for_each(|(a, &b)| *a = greater(*a, b));
        true
    }

    fn finish(&self) -> Result<Outputs, String> {
        let n = |i: usize| self.counts.at(i);
        let mean = |i: usize| corrected(self.sums[i], self.lost[i]) / n(i) as f64;
        let variance = |i: usize| at_least_zero(self.m2[i]) / n(i) as f64;
        let count = match &self.counts {
            Counts::Each(counts) if !self.shape.is_empty() => counts_value(&self.shape, counts),
            counts => count_value(counts.at(0)),
        };
        // Where there is no number there is no extreme. Adding zero makes -0 into +0: which zero
        // came first depends on the split.
        let extreme = |i: usize, found: f64| if n(i) == 0 { f64::NAN } else { found + 0.0 };
        Ok(vec![
            self.shaped(mean),
            self.shaped(|i| variance(i).sqrt()),
            self.shaped(|i| sem(n(i), self.m2[i])),
            self.shaped(|i| match self.low[i].is_infinite() || self.high[i].is_infinite() {
                // Squares of deviations from an infinite mean say nothing; squares do.
                true if n(i) > 0 && !self.low[i].is_nan() => f64::INFINITY,
                _ => (mean(i) * mean(i) + variance(i)).sqrt(),
            }),
            self.shaped(|i| extreme(i, self.low[i])),
            self.shaped(|i| extreme(i, self.high[i])),
            Some(count),
        ])
    }

    fn encode(self: Box<Self>, writer: &mut Writer) {
        writer.bool(matches!(self.counts, Counts::Each(_)));
        match self.counts {
            Counts::Together(n) => writer.u64(n),
            Counts::Each(counts) => writer.buffer(counts),
        }
        for buffer in [self.sums, self.lost, self.m2, self.low, self.high] {
            writer.buffer(buffer);
        }
    }

    fn clone_box(&self) -> Box<dyn State> {
        Box::new(self.clone())
    }

    fn bytes(&self) -> usize {
        let counts = if let Counts::Each(counts) = &self.counts { counts.len() } else { 0 };
        64 + 40 * self.sums.len() + 8 * counts
    }
}
