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
use crate::merge::moments::{Moments, add_row_of_two, at_least_zero, merge_rows, sem};
use crate::op::checks::numbers_only;
use crate::op::doc::{Class, OpDoc, OutputDoc};
use crate::op::kind::{OpKind, Prepared};
use crate::op::parameters::Args;
use crate::op::reduction::{Outputs, Reduction, State, same};
use crate::op::signature::Sense;
use crate::op::signature::Signature;
use crate::ops::over_events::count::count_value;
use crate::ops::over_events::elements::{VALUE, element};
use multiversion::multiversion;

/// Accumulators kept in cache while all frames of a batch go over them: 5 × 8 bytes each.
const TILE: usize = 512;

static DOC: OpDoc = OpDoc {
    name: "stats",
    summary: "mean, std, sem, rms, min, max and count over the events, element by element",
    text: "All in float64: std is numpy's (ddof = 0), sem is std(ddof = 1) / sqrt(n) and NaN for \
           fewer than two events, rms is sqrt(mean(x²)), min and max are NaN if any value is. \
           States merge by Chan's formula, and a large offset costs no digits: 64-bit integers \
           count exactly.",
    example: r#"{"op": "stats", "in": "scalar", "window": {"seconds": 10}}"#,
    class: Class::Reduction,
    form: VALUE,
    with: false,
    params: &[],
    outputs: &[
        OutputDoc { name: "mean", doc: "float64, shape of the input" },
        OutputDoc { name: "std", doc: "float64, shape of the input" },
        OutputDoc { name: "sem", doc: "float64, shape of the input" },
        OutputDoc { name: "rms", doc: "float64, shape of the input" },
        OutputDoc { name: "min", doc: "float64, shape of the input" },
        OutputDoc { name: "max", doc: "float64, shape of the input" },
        OutputDoc { name: "count", doc: "int64 scalar: events" },
    ],
};

/// The op.
pub struct Stats;

impl OpKind for Stats {
    fn doc(&self) -> &'static OpDoc {
        &DOC
    }

    fn prepare(&self, _: &Args<'_>) -> Result<Prepared, Fault> {
        Ok(Prepared::reduction(&["mean", "std", "sem", "rms", "min", "max", "count"], Describe))
    }

    fn decode(
        &self,
        signature: &Signature,
        reader: &mut Reader<'_>,
    ) -> Result<Box<dyn State>, DecodeError> {
        let (_, shape) = element(signature)?;
        let count = shape.iter().product();
        let n = reader.u64("events of stats")?;
        let mut next = || reader.buffer(count, "stats");
        let (sums, lost, m2, low, high) = (next()?, next()?, next()?, next()?, next()?);
        Ok(Box::new(Described { shape, n, sums, lost, m2, low, high }))
    }
}

#[derive(Debug)]
struct Describe;

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
            n: 0,
            sums: Buffer::zeros(count),
            lost: Buffer::zeros(count),
            m2: Buffer::zeros(count),
            low: Buffer::filled(count, f64::INFINITY),
            high: Buffer::filled(count, f64::NEG_INFINITY),
        })
    }

    fn size(&self, inputs: &Signature) -> u64 {
        64 + inputs[0].1.iter().fold(40u64, |n, &a| n.saturating_mul(u64::from(a)))
    }

    fn bind(&self, inputs: &[Type]) -> Result<Vec<Type>, Fault> {
        numbers_only(inputs, &["value"])?;
        let each = Type { dtype: DType::F64, ..inputs[0].clone() };
        let mut outputs = vec![each; 6];
        outputs.push(Type::scalar(DType::I64));
        Ok(outputs)
    }
}

#[derive(Debug, Clone)]
struct Described {
    shape: Vec<usize>,
    n: u64,
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

/// Extremes of each place. Compiled for several processors; the best is chosen when the program
/// runs.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512vl+avx512dq", "x86_64+avx2"))]
fn extremes(row: &[f64], low: &mut [f64], high: &mut [f64]) {
    for ((&x, low), high) in row.iter().zip(low).zip(high) {
        (*low, *high) = (lesser(*low, x), greater(*high, x));
    }
}

impl Described {
    /// Scalars with their remainders, block by block.
    fn absorb_block(&mut self, block: &[f64], remainders: &[f64]) {
        let mut mine = Moments {
            n: self.n,
            sum: Compensated { sum: self.sums[0], lost: self.lost[0] },
            m2: self.m2[0],
        };
        mine.merge(Moments::of(block, remainders));
        (self.n, self.sums[0], self.lost[0], self.m2[0]) =
            (mine.n, mine.sum.sum, mine.sum.lost, mine.m2);
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
                add_row_of_two(self.n + k as u64, (row, remainders), moments);
                extremes(row, &mut self.low[tile.clone()], &mut self.high[tile.clone()]);
            }
        }
        self.n += frames.len() as u64;
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
                exact_blocks(column, feed.mask, feed.scratch, |block, remainders| {
                    self.absorb_block(block, remainders);
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
        merge_rows(
            (self.n, other.n),
            (&mut self.sums, &mut self.lost, &mut self.m2),
            (&other.sums, &other.lost, &other.m2),
        );
        self.n = self.n.saturating_add(other.n);
        self.low.iter_mut().zip(other.low.iter()).for_each(|(a, &b)| *a = lesser(*a, b));
        self.high.iter_mut().zip(other.high.iter()).for_each(|(a, &b)| *a = greater(*a, b));
        true
    }

    fn finish(&self) -> Result<Outputs, String> {
        let n = self.n as f64;
        let mean = |i: usize| corrected(self.sums[i], self.lost[i]) / n;
        let variance = |i: usize| at_least_zero(self.m2[i]) / n;
        // Adding zero makes -0 into +0: which zero came first depends on the split.
        Ok(vec![
            self.shaped(mean),
            self.shaped(|i| variance(i).sqrt()),
            self.shaped(|i| sem(self.n, self.m2[i])),
            self.shaped(|i| match self.low[i].is_infinite() || self.high[i].is_infinite() {
                // Squares of deviations from an infinite mean say nothing; squares do.
                true if !self.low[i].is_nan() => f64::INFINITY,
                _ => (mean(i) * mean(i) + variance(i)).sqrt(),
            }),
            self.shaped(|i| self.low[i] + 0.0),
            self.shaped(|i| self.high[i] + 0.0),
            Some(count_value(self.n)),
        ])
    }

    fn encode(self: Box<Self>, writer: &mut Writer) {
        writer.u64(self.n);
        for buffer in [self.sums, self.lost, self.m2, self.low, self.high] {
            writer.buffer(buffer);
        }
    }

    fn clone_box(&self) -> Box<dyn State> {
        Box::new(self.clone())
    }

    fn bytes(&self) -> usize {
        64 + 40 * self.sums.len()
    }
}
