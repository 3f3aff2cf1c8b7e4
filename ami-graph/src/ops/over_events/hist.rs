//! `hist`: how often which values occur, in numpy's bins or in bins that find themselves.

use crate::data::batch::Column;
use crate::data::bytes::{Reader, Writer};
use crate::data::column_views::{Mask, as_f64, blocks_f64, selected, typed};
use crate::data::event_values::{Items, with_items};
use crate::data::feed::Feed;
use crate::data::owned_column::EventErrors;
use crate::data::types::Type;
use crate::data::value::{Array, DType, Value};
use crate::error::{DecodeError, Fault};
use crate::merge::dyadic_grid::Dyadic;
use crate::merge::grid::{Fall, Grid};
use crate::merge::tally::{ABOVE, BELOW, BEYOND, NAN, Tally};
use crate::op::checks::numbers_only;
use crate::op::doc::{Class, Form, InputDoc, OpDoc, OutputDoc};
use crate::op::kind::{OpKind, Prepared};
use crate::op::parameters::Args;
use crate::op::reduction::{Outputs, Reduction, State, same};
use crate::op::signature::Sense;
use crate::op::signature::Signature;
use crate::ops::over_events::bins;
use crate::ops::over_events::bins::{BINS, number_of_bins, range_doc};
use bytemuck::Pod;

static DOC: OpDoc = OpDoc {
    name: "hist",
    summary: "histogram of all elements",
    text: "As np.histogram: a bin holds its left edge, the last one both; bit-identical counts. \
           `bins` is a number of equal bins over `range`, or a list of edges. `range: \"auto\"`: \
           bins are [k·w, (k+1)·w), w the smallest power of two with which all finite values \
           fit into at most `bins` bins; the result depends on the values only, not on their \
           order or split. NaN is counted in `nan`; with `auto`, infinities in `underflow` and \
           `overflow`. `weights`, a scalar or an array as the value, makes all sums of weights, \
           float64. For float32 data numpy rounds the edges of equal bins to float32; so here.",
    example: r#"{"op": "hist", "in": "scalar", "bins": 50, "range": [-1, 4]}"#,
    class: Class::Reduction,
    form: Form::Fixed(&[
        InputDoc { name: "value", doc: "scalar or array of numbers, of any shape", required: true },
        InputDoc { name: "weights", doc: "scalar, or array of the value's shape", required: false },
    ]),
    with: false,
    params: &[BINS, range_doc("[low, high] or \"auto\"", "\"auto\"")],
    outputs: &[
        OutputDoc { name: "edges", doc: "float64 [bins + 1]" },
        OutputDoc { name: "counts", doc: "int64 [bins], with weights float64" },
        OutputDoc { name: "underflow", doc: "below the first edge; int64 or float64" },
        OutputDoc { name: "overflow", doc: "above the last edge" },
        OutputDoc { name: "nan", doc: "not a number" },
    ],
};

/// The op.
pub struct Hist;

impl OpKind for Hist {
    fn doc(&self) -> &'static OpDoc {
        &DOC
    }

    fn prepare(&self, args: &Args<'_>) -> Result<Prepared, Fault> {
        let listed = args.get("bins").is_some_and(serde_json::Value::is_array);
        let auto = !listed && args.get("range").is_none_or(|range| range.as_str() == Some("auto"));
        let weighted = args.names.len() > 1;
        let bins = match auto {
            true => Bins::Auto(number_of_bins(args.get("bins"), 2)?),
            false => Bins::Fixed(bins::grid(args)?),
        };
        let outputs = ["edges", "counts", "underflow", "overflow", "nan"];
        Ok(Prepared::reduction(&outputs, Binning { bins, weighted }))
    }

    fn decode(
        &self,
        signature: &Signature,
        reader: &mut Reader<'_>,
    ) -> Result<Box<dyn State>, DecodeError> {
        let content = if reader.bool("histogram")? {
            Content::Auto(Dyadic::decode(reader)?)
        } else {
            let grid = Grid::decode(reader)?;
            let tally = Tally::decode(reader)?;
            if tally.bins() != grid.bins() {
                return Err(DecodeError::invalid("bins of a histogram", tally.bins()));
            }
            Content::Fixed(grid, tally)
        };
        let state = HistState { content, table: None };
        if state.tally().weighted() != (signature.len() > 1) {
            return Err(DecodeError::invalid("weights of a histogram", signature.len()));
        }
        Ok(Box::new(state))
    }
}

#[derive(Debug, Clone)]
enum Bins {
    Fixed(Grid),
    Auto(usize),
}

impl Bins {
    /// The bins for values of a type, whether there are any or not.
    fn of(&self, dtype: DType) -> Bins {
        match self {
            Bins::Fixed(grid) if dtype == DType::F32 => Bins::Fixed(grid.single()),
            bins => bins.clone(),
        }
    }
}

#[derive(Debug, Clone)]
struct Binning {
    bins: Bins,
    weighted: bool,
}

impl Reduction for Binning {
    fn op(&self) -> &'static str {
        DOC.name
    }

    fn sense(&self, input: usize) -> Sense {
        if input == 0 { Sense::Types } else { Sense::Nothing }
    }

    fn start(&self, signature: &Signature) -> Box<dyn State> {
        let dtype = signature.first().map_or(DType::F64, |(dtype, _)| *dtype);
        let content = match self.bins.of(dtype) {
            Bins::Auto(limit) => Content::Auto(Dyadic::new(limit, self.weighted)),
            Bins::Fixed(grid) => {
                let tally = Tally::new(self.weighted, grid.bins());
                Content::Fixed(grid, tally)
            }
        };
        Box::new(HistState { content, table: None })
    }

    fn size(&self, signature: &Signature) -> u64 {
        let bins = match &self.bins {
            Bins::Fixed(grid) => grid.bins(),
            Bins::Auto(limit) => *limit,
        };
        let by_table = |(dtype, axes): &(DType, Vec<u32>)| {
            matches!(dtype, DType::U8 | DType::U16) && !axes.is_empty()
        };
        let table = if signature.first().is_some_and(by_table) { 4 << 16 } else { 0 };
        128 + (bins + BEYOND) as u64 * 24 + table
    }

    fn bind(&self, inputs: &[Type]) -> Result<Vec<Type>, Fault> {
        numbers_only(inputs, &["value", "weights"])?;
        if let (Bins::Fixed(grid), DType::F32) = (&self.bins, inputs[0].dtype) {
            bins::told_apart(grid.single(), DType::F32)?;
        }
        let dtype = if self.weighted { DType::F64 } else { DType::I64 };
        let (edges, counts) = match &self.bins {
            Bins::Fixed(grid) => {
                (Type::shaped(DType::F64, &[grid.bins() + 1]), Type::shaped(dtype, &[grid.bins()]))
            }
            Bins::Auto(_) => (Type::array(DType::F64, 1), Type::array(dtype, 1)),
        };
        let beyond = Type::scalar(dtype);
        Ok(vec![edges, counts, beyond.clone(), beyond.clone(), beyond])
    }

    fn nothing(&self, inputs: &[Type]) -> Outputs {
        let Some(Type { dtype, .. }) = inputs.first() else { return Vec::new() };
        match self.bins.of(*dtype) {
            Bins::Fixed(grid) => outputs(grid.edges(), &Tally::new(self.weighted, grid.bins())),
            Bins::Auto(_) => Vec::new(),
        }
    }
}

fn outputs(edges: &[f64], tally: &Tally) -> Outputs {
    let edges = Value::Array(Array::from_elements(&[edges.len()], edges));
    [Some(edges), Some(tally.counts(&[tally.bins()]))].into_iter().chain(tally.beyond()).collect()
}

#[derive(Debug, Clone)]
struct HistState {
    content: Content,
    /// The place of every number of 16 bits, once images of such are counted.
    table: Option<Box<[u32]>>,
}

#[derive(Debug, Clone)]
enum Content {
    Fixed(Grid, Tally),
    Auto(Dyadic),
}

impl Content {
    fn add(&mut self, numbers: &[f64], weights: Option<&[f64]>) {
        match (self, weights) {
            (Content::Auto(dyadic), weights) => dyadic.add(numbers, weights),
            (Content::Fixed(grid, Tally::Counts(counts)), _) => count(grid, counts, numbers),
            (Content::Fixed(grid, tally), weights) => {
                for (i, &x) in numbers.iter().enumerate() {
                    let place = place(grid, x);
                    tally.add(place, weights.map_or(1.0, |w| w[i]));
                }
            }
        }
    }
}

#[inline(always)]
fn place(grid: &Grid, x: f64) -> usize {
    let bins = grid.bins();
    match grid.fall(x) {
        Fall::Bin(bin) => bin,
        Fall::Below => bins + BELOW,
        Fall::Above => bins + ABOVE,
        Fall::Nan => bins + NAN,
    }
}

/// The loop that most histograms spend their time in.
fn count(grid: &Grid, counts: &mut [u64], numbers: &[f64]) {
    for &x in numbers {
        counts[place(grid, x)] += 1;
    }
}

/// Images of so many pixels of 8 or 16 bits are counted by table: making it costs as much as
/// counting some ten thousand pixels.
const BY_TABLE: usize = 1 << 18;

/// Counts by table: in four tallies in turn, since neighbours often fall into one bin and an
/// increment waits for the one before.
fn count_by<T: Pod + Into<u16>>(table: &[u32], counts: &mut [u64], bytes: &[u8]) {
    let Some(table) = table.first_chunk::<{ 1 << 16 }>() else { return };
    let mut tallies = vec![0u32; 4 * counts.len()];
    let (a, b) = tallies.split_at_mut(2 * counts.len());
    let ((a, c), (b, d)) = (a.split_at_mut(counts.len()), b.split_at_mut(counts.len()));
    let place = |x: T| table[usize::from(x.into())] as usize;
    let numbers = typed::<T>(bytes);
    let (fours, rest) = numbers.as_chunks::<4>();
    for four in fours {
        a[place(four[0])] += 1;
        b[place(four[1])] += 1;
        c[place(four[2])] += 1;
        d[place(four[3])] += 1;
    }
    rest.iter().for_each(|&x| a[place(x)] += 1);
    for (i, count) in counts.iter_mut().enumerate() {
        *count += [a[i], b[i], c[i], d[i]].map(u64::from).iter().sum::<u64>();
    }
}

impl HistState {
    /// Counts large images of small integers by table. False when these are not.
    fn absorb_by_table(&mut self, column: &Column<'_>, mask: Mask<'_>) -> bool {
        let (Column::Arrays { dtype, items }, Content::Fixed(grid, Tally::Counts(counts))) =
            (column, &mut self.content)
        else {
            return false;
        };
        let small = matches!(dtype, DType::U8 | DType::U16) && counts.len() <= 1 << 16;
        let images = || selected(mask, items.len()).filter_map(|i| items[i].as_ref());
        let pixels = images().map(|item| item.data.len()).sum::<usize>() / dtype.size();
        if !small || pixels < BY_TABLE {
            return false;
        }
        let places = || (0..=u16::MAX).map(|x| place(grid, f64::from(x)) as u32).collect();
        let table = self.table.get_or_insert_with(places);
        for item in images() {
            match dtype {
                DType::U16 => count_by::<u16>(table, counts, item.data),
                _ => count_by::<u8>(table, counts, item.data),
            }
        }
        true
    }

    fn tally(&self) -> &Tally {
        match &self.content {
            Content::Fixed(_, tally) => tally,
            Content::Auto(dyadic) => dyadic.tally(),
        }
    }

    /// Adds events one by one with their weights.
    fn absorb_weighted(&mut self, feed: &mut Feed<'_>, values: &Items<'_>, weights: &Items<'_>) {
        let (mut numbers, mut spread) = (Vec::new(), Vec::new());
        for event in selected(feed.mask, feed.events.timestamps.len()) {
            let (Some(value), Some(weight)) = (values.get(event), weights.get(event)) else {
                continue;
            };
            let numbers = as_f64(values.dtype, value.data, &mut numbers);
            let weight_dims = weight.dims;
            let weight = as_f64(weights.dtype, weight.data, feed.scratch);
            if weight_dims == value.dims {
                self.content.add(numbers, Some(weight));
            } else if let (true, Some(&one)) = (weight_dims.axes().is_empty(), weight.first()) {
                spread.clear();
                spread.resize(numbers.len(), one);
                self.content.add(numbers, Some(&spread));
            } else {
                misfit(feed.errors, value.dims.axes(), weight_dims.axes());
            }
        }
    }
}

fn misfit(errors: &mut EventErrors, value: &[u32], weights: &[u32]) {
    errors.record(|| format!("weights of shape {weights:?} do not fit a value of shape {value:?}"));
}

impl State for HistState {
    fn absorb(&mut self, feed: &mut Feed<'_>) {
        match *feed.columns {
            [values, weights] => {
                let events = feed.events.timestamps.len();
                with_items(values, events, |values| {
                    with_items(weights, events, |weights| {
                        self.absorb_weighted(feed, values, weights);
                    });
                });
            }
            [values, ..] if self.absorb_by_table(values, feed.mask) => {}
            [values, ..] => {
                blocks_f64(values, feed.mask, feed.scratch, |block| self.content.add(block, None));
            }
            [] => {}
        }
    }

    fn merge(&mut self, other: Box<dyn State>) -> bool {
        let Some(other) = same::<HistState>(other) else { return false };
        match (&mut self.content, other.content) {
            (Content::Fixed(mine, a), Content::Fixed(theirs, b)) => {
                *mine == theirs && a.merge(&b, |i| i)
            }
            (Content::Auto(a), Content::Auto(b)) => a.merge(b),
            _ => false,
        }
    }

    fn finish(&self) -> Result<Outputs, String> {
        Ok(match &self.content {
            Content::Fixed(grid, tally) => outputs(grid.edges(), tally),
            Content::Auto(dyadic) => outputs(&dyadic.edges(), dyadic.tally()),
        })
    }

    fn encode(self: Box<Self>, writer: &mut Writer) {
        match self.content {
            Content::Fixed(grid, tally) => {
                writer.bool(false);
                grid.encode(writer);
                tally.encode(writer);
            }
            Content::Auto(dyadic) => {
                writer.bool(true);
                dyadic.encode(writer);
            }
        }
    }

    fn clone_box(&self) -> Box<dyn State> {
        Box::new(self.clone())
    }

    fn bytes(&self) -> usize {
        let table = self.table.as_ref().map_or(0, |t| 4 * t.len());
        128 + self.tally().bytes() + 8 * self.tally().bins() + table
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_by_table_are_those_one_by_one() {
        let grid = Grid::equal(100, 5.5, 60_000.0);
        let pixels: Vec<u16> =
            (0..100_003u32).map(|i| (i.wrapping_mul(40_503) >> 3) as u16).collect();
        let numbers: Vec<f64> = pixels.iter().map(|&x| f64::from(x)).collect();
        let table: Vec<u32> = (0..=u16::MAX).map(|x| place(&grid, f64::from(x)) as u32).collect();
        let (mut one_by_one, mut by_table) = (vec![0; 100 + BEYOND], vec![0; 100 + BEYOND]);
        count(&grid, &mut one_by_one, &numbers);
        count_by::<u16>(&table, &mut by_table, bytemuck::cast_slice(&pixels));
        assert_eq!(one_by_one, by_table);
    }
}
