//! `profile`: the mean of one quantity in bins of another.

use crate::data::batch::Column;
use crate::data::bytes::{Reader, Writer};
use crate::data::column_views::{as_f64, remainders_f64, selected};
use crate::data::feed::Feed;
use crate::data::raw_buffer::Buffer;
use crate::data::types::Type;
use crate::data::value::{Array, DType, MAX_RANK, Scalar, Value};
use crate::error::{DecodeError, Fault};
use crate::merge::compensated::{Compensated, corrected};
use crate::merge::counted::{add_to_moments, counts_value, merge_moments};
use crate::merge::grid::{Fall, Grid};
use crate::merge::moments::{Divisor, Mean, Moments, add_row_of_two, merge_rows, sem};
use crate::op::checks::numbers_only;
use crate::op::doc::{Class, Form, InputDoc, OpDoc, OutputDoc};
use crate::op::kind::{OpKind, Prepared};
use crate::op::nan::{self, NAN};
use crate::op::parameters::Args;
use crate::op::reduction::{Outputs, Reduction, State, same};
use crate::op::signature::Sense;
use crate::op::signature::Signature;
use crate::ops::over_events::bins;
use crate::ops::over_events::bins::{BINS, range_doc};
use crate::ops::over_events::side_by_side::{scalar_remainders, scalars};

static DOC: OpDoc = OpDoc {
    name: "profile",
    summary: "mean and error of a value in bins of a key",
    text: "Each event goes into the bin of its key: a bin holds its left edge, the last one both. \
           mean, sem = std(ddof = 1) / sqrt(n), and count per bin; of an array value, element by \
           element: mean has the shape [bins, …]. The mean of an empty bin is NaN, as is the sem \
           of fewer than two events. Events whose key is outside the range, or NaN, are counted \
           in `outside`. A bin's label is its centre. With `\"nan\": \"skip\"` mean and sem are of the \
           values of each element that are numbers, and `count` says how many.",
    example: r#"{"op": "profile", "in": {"key": "scalar", "value": "flag"}, "bins": 50, "range": [-1, 4]}"#,
    class: Class::Reduction,
    form: Form::Fixed(&[
        InputDoc { name: "key", doc: "scalar", required: true },
        InputDoc { name: "value", doc: "scalar, or array of one shape", required: true },
    ]),
    with: false,
    params: &[BINS, range_doc("[low, high]", ""), NAN],
    outputs: &[
        OutputDoc { name: "edges", doc: "float64 [bins + 1]" },
        OutputDoc { name: "mean", doc: "float64 [bins, shape of the value…]" },
        OutputDoc { name: "sem", doc: "float64, as mean" },
        OutputDoc { name: "count", doc: "int64 [bins]; with `nan` \"skip\" as mean" },
        OutputDoc { name: "outside", doc: "int64 scalar: events outside the bins" },
    ],
};

/// The op.
pub struct Profile;

impl OpKind for Profile {
    fn doc(&self) -> &'static OpDoc {
        &DOC
    }

    fn prepare(&self, args: &Args<'_>) -> Result<Prepared, Fault> {
        let sorting = Sorting { grid: bins::grid(args)?, skip: nan::skips(args, "propagate")? };
        Ok(Prepared::reduction(&["edges", "mean", "sem", "count", "outside"], sorting))
    }

    fn decode(
        &self,
        signature: &Signature,
        reader: &mut Reader<'_>,
    ) -> Result<Box<dyn State>, DecodeError> {
        let [_, (_, axes)] = signature.as_slice() else {
            return Err(DecodeError::invalid("signature of a profile", signature.len()));
        };
        let shape: Vec<usize> = axes.iter().map(|&a| a as usize).collect();
        let grid = Grid::decode(reader)?;
        let width: usize = shape.iter().product();
        let bad = || DecodeError::invalid("shape of a profile", format_args!("{shape:?}"));
        let cells = width.checked_mul(grid.bins()).ok_or_else(bad)?;
        let skip = reader.bool("profile")?;
        let counted = if skip { cells } else { grid.bins() };
        let counts = reader.buffer::<u64>(counted, "profile")?.to_vec();
        let outside = reader.u64("profile")?;
        let mut next = || reader.buffer(cells, "profile");
        let (sums, lost, m2) = (next()?, next()?, next()?);
        Ok(Box::new(Bins {
            grid,
            shape,
            width,
            skip,
            counts,
            outside,
            sums,
            lost,
            m2,
            batch: Vec::new(),
            places: Vec::new(),
            means: Vec::new(),
        }))
    }
}

#[derive(Debug)]
struct Sorting {
    grid: Grid,
    skip: bool,
}

impl Reduction for Sorting {
    fn op(&self) -> &'static str {
        DOC.name
    }

    fn sense(&self, input: usize) -> Sense {
        if input == 1 { Sense::Shapes } else { Sense::Nothing }
    }

    fn start(&self, signature: &Signature) -> Box<dyn State> {
        let shape: Vec<usize> = signature[1].1.iter().map(|&a| a as usize).collect();
        let width: usize = shape.iter().product();
        let (bins, cells) = (self.grid.bins(), width * self.grid.bins());
        Box::new(Bins {
            grid: self.grid.clone(),
            shape,
            width,
            skip: self.skip,
            counts: vec![0; if self.skip { cells } else { bins }],
            outside: 0,
            sums: Buffer::zeros(cells),
            lost: Buffer::zeros(cells),
            m2: Buffer::zeros(cells),
            batch: Vec::new(),
            places: Vec::new(),
            means: Vec::new(),
        })
    }

    fn size(&self, inputs: &Signature) -> u64 {
        let bins = self.grid.bins() as u64;
        let each = if self.skip { 32u64 } else { 24 };
        let width = inputs[1].1.iter().fold(each, |n, &a| n.saturating_mul(u64::from(a)));
        bins.saturating_mul(width.saturating_add(96)).saturating_add(128)
    }

    fn bind(&self, inputs: &[Type]) -> Result<Vec<Type>, Fault> {
        numbers_only(inputs, &["key", "value"])?;
        if inputs[0].rank.is_some_and(|rank| rank > 0) {
            let reason = format!("the key is {}, not a scalar", inputs[0]);
            return Err(Fault::of("in", reason, "name a scalar, or reduce it by `array_stat`"));
        }
        if inputs[1].rank.is_some_and(|rank| rank >= MAX_RANK) {
            let reason = format!("the value is {}, and an axis of bins is added", inputs[1]);
            return Err(Fault::of("in", reason, "reduce it first, for example by `array_stat`"));
        }
        let bins = self.grid.bins();
        let mean = Type {
            dtype: DType::F64,
            rank: inputs[1].rank.map(|rank| rank + 1),
            shape: inputs[1].shape.as_ref().map(|s| [&[bins], s.as_slice()].concat()),
        };
        let count = match self.skip {
            false => Type::shaped(DType::I64, &[bins]),
            true => Type { dtype: DType::I64, ..mean.clone() },
        };
        Ok(vec![
            Type::shaped(DType::F64, &[bins + 1]),
            mean.clone(),
            mean,
            count,
            Type::scalar(DType::I64),
        ])
    }
}

#[derive(Debug, Clone)]
struct Bins {
    grid: Grid,
    /// Of a value.
    shape: Vec<usize>,
    width: usize,
    /// True when NaN is left out: each element of a bin then has a count of its own.
    skip: bool,
    /// Of each bin; with `skip` bins × width.
    counts: Vec<u64>,
    outside: u64,
    /// Bins × width each.
    sums: Buffer<f64>,
    lost: Buffer<f64>,
    m2: Buffer<f64>,
    /// Moments of one batch by bin, all zero between batches.
    batch: Vec<Moments>,
    /// Of one batch: bins by event, and means by bin.
    places: Vec<Option<usize>>,
    means: Vec<Mean>,
}

impl Bins {
    fn bin(&mut self, key: f64) -> Option<usize> {
        match self.grid.fall(key) {
            Fall::Bin(bin) => Some(bin),
            Fall::Below | Fall::Above | Fall::Nan => {
                self.outside += 1;
                None
            }
        }
    }

    /// Scalars of a batch, in two passes: sums by bin, then squared deviations from their means.
    fn absorb_scalars(&mut self, keys: &[f64], values: &[f64], remainders: &[f64]) {
        let remainder = |event: usize| remainders.get(event).copied().unwrap_or(0.0);
        let mut batch = std::mem::take(&mut self.batch);
        batch.resize(self.grid.bins(), Moments::default());
        let mut places = std::mem::take(&mut self.places);
        places.clear();
        let skip = self.skip;
        let counts = |x: f64| !(skip && x.is_nan());
        let binned = keys.iter().zip(values);
        places.extend(binned.map(|(&key, &x)| self.bin(key).filter(|_| counts(x))));
        for (event, (place, &x)) in places.iter().zip(values).enumerate() {
            if let Some(bin) = *place {
                batch[bin].n += 1;
                batch[bin].sum.add(x);
                batch[bin].sum.lost += remainder(event);
            }
        }
        self.means.clear();
        let mean = |m: &Moments| Divisor::new(m.n).mean(m.sum.sum, m.sum.lost);
        self.means.extend(batch.iter().map(mean));
        for (event, (place, &x)) in places.iter().zip(values).enumerate() {
            if let Some(bin) = *place {
                let deviation = self.means[bin].deviation(x, remainder(event));
                batch[bin].m2 += deviation * deviation;
            }
        }
        for (bin, moments) in batch.iter_mut().enumerate().filter(|(_, m)| m.n > 0) {
            let mut mine = Moments {
                n: self.counts[bin],
                sum: Compensated { sum: self.sums[bin], lost: self.lost[bin] },
                m2: self.m2[bin],
            };
            mine.merge(std::mem::take(moments));
            (self.counts[bin], self.m2[bin]) = (mine.n, mine.m2);
            (self.sums[bin], self.lost[bin]) = (mine.sum.sum, mine.sum.lost);
        }
        (self.batch, self.places) = (batch, places);
    }

    fn absorb_arrays<'a>(
        &mut self,
        keys: &[f64],
        rows: impl Iterator<Item = &'a [u8]>,
        dtype: DType,
        scratch: &mut Vec<f64>,
    ) {
        let mut rests = Vec::new();
        for (&key, row) in keys.iter().zip(rows) {
            let Some(bin) = self.bin(key) else { continue };
            let remainders = remainders_f64(dtype, row, None, &mut rests);
            let row = as_f64(dtype, row, scratch);
            let cells = bin * self.width..(bin + 1) * self.width;
            let (sums, lost) = (&mut self.sums[cells.clone()], &mut self.lost[cells.clone()]);
            let moments = (sums, lost, &mut self.m2[cells]);
            if self.skip {
                let cells = bin * self.width..(bin + 1) * self.width;
                add_to_moments(&mut self.counts[cells], (row, remainders), moments);
            } else {
                add_row_of_two(self.counts[bin], (row, remainders), moments);
                self.counts[bin] += 1;
            }
        }
    }

    /// Adds the moments of other bins, each as many events.
    fn merge_bins(&mut self, other: &Bins) {
        for bin in 0..self.grid.bins() {
            let cells = bin * self.width..(bin + 1) * self.width;
            merge_rows(
                (self.counts[bin], other.counts[bin]),
                (
                    &mut self.sums[cells.clone()],
                    &mut self.lost[cells.clone()],
                    &mut self.m2[cells.clone()],
                ),
                (&other.sums[cells.clone()], &other.lost[cells.clone()], &other.m2[cells]),
            );
            self.counts[bin] = self.counts[bin].saturating_add(other.counts[bin]);
        }
    }

    /// How many values a cell has.
    fn count(&self, cell: usize) -> u64 {
        match self.skip {
            true => self.counts[cell],
            false => self.counts[cell.checked_div(self.width).unwrap_or(0)],
        }
    }

    fn cells(&self, of: impl Fn(u64, usize) -> f64) -> Option<Value> {
        let numbers: Vec<f64> = (0..self.sums.len()).map(|i| of(self.count(i), i)).collect();
        Some(Value::Array(Array::from_elements(&self.axes(), &numbers)))
    }

    /// Shape of what there is of each cell.
    fn axes(&self) -> Vec<usize> {
        [&[self.grid.bins()], self.shape.as_slice()].concat()
    }
}

impl State for Bins {
    fn absorb(&mut self, feed: &mut Feed<'_>) {
        let &[key, value] = feed.columns else { return };
        feed.numbers.clear();
        scalars(key, feed.mask, feed.numbers);
        let keys = &feed.numbers[..];
        if keys.len() != feed.present {
            feed.errors.record(|| "the key is not a scalar".to_owned());
            return;
        }
        match value {
            Column::Arrays { dtype, items } => {
                let rows = selected(feed.mask, items.len())
                    .filter_map(|i| items[i].as_ref().map(|item| item.data));
                self.absorb_arrays(keys, rows, *dtype, feed.scratch);
            }
            value => {
                scalars(value, feed.mask, feed.numbers);
                let (keys, values) = feed.numbers.split_at(feed.present);
                let remainders = scalar_remainders(value, feed.mask, feed.scratch);
                self.absorb_scalars(keys, values, remainders);
            }
        }
    }

    fn merge(&mut self, other: Box<dyn State>) -> bool {
        let Some(other) = same::<Bins>(other) else { return false };
        if (&self.grid, &self.shape, self.skip) != (&other.grid, &other.shape, other.skip) {
            return false;
        }
        match self.skip {
            false => self.merge_bins(&other),
            true => merge_moments(
                (&mut self.counts, &other.counts),
                (&mut self.sums, &mut self.lost, &mut self.m2),
                (&other.sums, &other.lost, &other.m2),
            ),
        }
        self.outside = self.outside.saturating_add(other.outside);
        true
    }

    fn finish(&self) -> Result<Outputs, String> {
        let edges = self.grid.edges();
        let counted = if self.skip { self.axes() } else { vec![self.grid.bins()] };
        let mean = |n: u64, i: usize| match n {
            0 => f64::NAN,
            n => corrected(self.sums[i], self.lost[i]) / n as f64,
        };
        Ok(vec![
            Some(Value::Array(Array::from_elements(&[edges.len()], edges))),
            self.cells(mean),
            self.cells(|n, i| sem(n, self.m2[i])),
            Some(counts_value(&counted, &self.counts)),
            Some(Value::Scalar(Scalar::I64(self.outside as i64))),
        ])
    }

    fn encode(self: Box<Self>, writer: &mut Writer) {
        self.grid.encode(writer);
        writer.bool(self.skip);
        writer.slice(&self.counts);
        writer.u64(self.outside);
        for buffer in [self.sums, self.lost, self.m2] {
            writer.buffer(buffer);
        }
    }

    fn clone_box(&self) -> Box<dyn State> {
        Box::new(self.clone())
    }

    fn bytes(&self) -> usize {
        let counts = if self.skip { 8 * self.counts.len() } else { 0 };
        128 + self.sums.len() * 24 + counts + self.grid.bins() * 96
    }
}
