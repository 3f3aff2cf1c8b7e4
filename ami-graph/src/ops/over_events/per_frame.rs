//! `per_frame`: what a fast detector gave since the last frame of a slow one, with each frame.
//!
//! Which values belong to a frame depends on the event times alone, so the state keeps single values
//! and frames, the newest of each, and pairs them when it finishes: any split gives the same.

use crate::data::batch::Column;
use crate::data::bytes::{Reader, Writer};
use crate::data::feed::Feed;
use crate::data::types::Type;
use crate::data::value::{Array, DType, Scalar, Value};
use crate::error::{DecodeError, Fault};
use crate::merge::compensated::Compensated;
use crate::merge::newest_rows::Rows;
use crate::op::checks::numbers_only;
use crate::op::doc::{Class, Form, InputDoc, OpDoc, OutputDoc, param};
use crate::op::kind::{OpKind, Prepared};
use crate::op::nan::{self, NAN};
use crate::op::parameters::Args;
use crate::op::reduction::{Outputs, Reduction, State, same};
use crate::op::signature::{Sense, Signature, mask_of};
use crate::ops::over_events::count::count_value;
use std::ops::Range;

static DOC: OpDoc = OpDoc {
    name: "per_frame",
    summary: "what a fast detector gave since the last frame of a slow one, with each frame",
    text: "For integrating detectors. A value belongs to the first frame that is not earlier: to \
           frame k belong the values of all events later than frame k − 1 and not later than \
           frame k, by timestamp, that of the frame's own event included. Events without a value \
           add nothing. Given are the newest n frames whose values are all known, oldest first; \
           n = 1 gives single values. The first frame of a window has no frame before it: it is left \
           out, or, with `first` \"keep\", gets the values since the window's beginning. Values \
           after the newest frame wait for the next one. A frame that comes late is put in its \
           place. `sum` is compensated, of integers exact to 2^53; over no value it is 0, and \
           `mean` NaN. Frames that have more values since them than `max_values` are left out.",
    example: r#"{"op": "per_frame", "in": {"value": "scalar", "frame": "image"}, "n": 3, "max_values": 500}"#,
    class: Class::Reduction,
    form: Form::Fixed(&[
        InputDoc { name: "value", doc: "number of the fast detector", required: true },
        InputDoc {
            name: "frame",
            doc: "number or array of the slow detector; for n > 1 arrays of one shape",
            required: true,
        },
    ]),
    with: false,
    params: &[
        param("n", "integer", "1", "frames", "1 to 100000", "how many frames"),
        param(
            "first",
            "text",
            "\"skip\"",
            "",
            "skip, keep",
            "what becomes of the window's first frame, before which there is none",
        ),
        param(
            "max_values",
            "integer",
            "10000",
            "values",
            "1 to 1000000",
            "how many of the newest values are kept, for all frames together",
        ),
        NAN,
    ],
    outputs: &[
        OutputDoc { name: "frame", doc: "the frame; for n > 1 with a new first axis" },
        OutputDoc { name: "sum", doc: "float64; for n > 1 [n]; unit of the value" },
        OutputDoc { name: "mean", doc: "float64; for n > 1 [n]; unit of the value" },
        OutputDoc { name: "count", doc: "int64; for n > 1 [n]: values that belong to the frame" },
        OutputDoc { name: "time", doc: "float64; for n > 1 [n]: seconds since the Unix epoch" },
        OutputDoc { name: "values", doc: "[count], as the input: those of the newest frame" },
    ],
};

const MAX_FRAMES: u64 = 100_000;
const MAX_VALUES: u64 = 1_000_000;

/// The op.
pub struct PerFrame;

impl OpKind for PerFrame {
    fn doc(&self) -> &'static OpDoc {
        &DOC
    }

    fn prepare(&self, args: &Args<'_>) -> Result<Prepared, Fault> {
        let pairing = Pairing {
            n: args.whole("n", Some(1), 1..=MAX_FRAMES)? as usize,
            max_values: args.whole("max_values", Some(10_000), 1..=MAX_VALUES)? as usize,
            keep_first: args.word("first", "skip", &["skip", "keep"])? == "keep",
            skip_nan: nan::skips(args, "propagate")?,
        };
        let outputs: Vec<&str> = DOC.outputs.iter().map(|output| output.name).collect();
        Ok(Prepared::reduction(&outputs, pairing))
    }

    fn decode(
        &self,
        _: &Signature,
        reader: &mut Reader<'_>,
    ) -> Result<Box<dyn State>, DecodeError> {
        let pairing = Pairing {
            n: reader.u32("frames")? as usize,
            max_values: reader.u32("values of frames")? as usize,
            keep_first: reader.bool("first frame")?,
            skip_nan: reader.bool("NaN in frames")?,
        };
        let (values, frames) = (Rows::decode(reader)?, Rows::decode(reader)?);
        let columns = (values.width(), frames.width());
        if pairing.n == 0 || columns != (1, 1) {
            return Err(DecodeError::invalid("values and frames", format_args!("{columns:?}")));
        }
        Ok(Box::new(Paired { pairing, values, frames }))
    }
}

/// Its parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Pairing {
    n: usize,
    max_values: usize,
    keep_first: bool,
    skip_nan: bool,
}

impl Reduction for Pairing {
    fn op(&self) -> &'static str {
        DOC.name
    }

    fn sense(&self, _: usize) -> Sense {
        Sense::Nothing
    }

    fn sized_by(&self, input: usize) -> bool {
        input == 1
    }

    fn takes_absent(&self) -> bool {
        true
    }

    fn start(&self, _: &Signature) -> Box<dyn State> {
        // One more of each: the frame before the first, and the value that tells that there were more.
        let values = Rows::of_any_type(self.max_values + 1);
        let frames = Rows::of_any_type(self.n + 1);
        Box::new(Paired { pairing: *self, values, frames })
    }

    fn size(&self, inputs: &Signature) -> u64 {
        let values = Rows::size(self.max_values + 1, &[(DType::F64, Vec::new())]);
        values.saturating_add(Rows::size(self.n + 1, &inputs[1..])).saturating_add(128)
    }

    fn bind(&self, inputs: &[Type]) -> Result<Vec<Type>, Fault> {
        numbers_only(inputs, &["value", "frame"])?;
        if inputs[0].rank != Some(0) {
            let hint = "make it a number first, for example by `array_stat` or an expr";
            return Err(Fault::of("in", "value is an array", hint));
        }
        let frame = &inputs[1];
        let listed = |one: Type| Type { rank: one.rank.map(|rank| rank + 1), shape: None, ..one };
        let each = |one: Type| if self.n == 1 { one } else { listed(one) };
        let number = |dtype| each(Type::scalar(dtype));
        Ok(vec![
            each(frame.clone()),
            number(DType::F64),
            number(DType::F64),
            number(DType::I64),
            number(DType::F64),
            Type::array(inputs[0].dtype, 1),
        ])
    }
}

/// The newest values and frames.
#[derive(Debug, Clone)]
struct Paired {
    pairing: Pairing,
    values: Rows,
    frames: Rows,
}

/// A frame's row, and the places of its values among all that are kept.
type Belonging = (usize, Range<usize>);

impl Paired {
    /// Forgets values that belong to frames which are not given any more.
    fn trim(&mut self) {
        let frames = self.frames.in_order();
        if frames.len() > self.pairing.n {
            self.values.forget_until(self.frames.key(frames[0]).0);
        }
    }

    /// The frames to give, oldest first.
    fn pairs(&self, values: &[usize]) -> Vec<Belonging> {
        let Pairing { n, max_values, keep_first, .. } = self.pairing;
        let time = |&row: &usize| self.values.key(row).0;
        let until = |end: u64| values.partition_point(|row| time(row) <= end);
        // What was forgotten for want of room is not later than this.
        let forgotten = if values.len() > max_values { values.first().map(time) } else { None };
        let known = |since: u64| forgotten.is_none_or(|last| last <= since);
        let mut pairs = Vec::new();
        let frames = self.frames.in_order();
        let mut before: Option<u64> = None;
        for &frame in &frames {
            let end = self.frames.key(frame).0;
            match before {
                Some(since) if known(since) => pairs.push((frame, until(since)..until(end))),
                None if keep_first && frames.len() <= n && forgotten.is_none() => {
                    pairs.push((frame, 0..until(end)));
                }
                _ => {}
            }
            before = Some(end);
        }
        pairs
    }

    /// Sum and count of some values.
    fn sum(&self, rows: &[usize]) -> (f64, u64) {
        let (mut sum, mut count) = (Compensated::default(), 0);
        for &row in rows {
            let number = match self.values.at(row) {
                Value::Scalar(scalar) => scalar.as_f64(),
                Value::Array(_) | Value::Str(_) => continue,
            };
            if !(self.pairing.skip_nan && number.is_nan()) {
                sum.add(number);
                count += 1;
            }
        }
        (sum.value(), count)
    }
}

impl State for Paired {
    fn absorb(&mut self, feed: &mut Feed<'_>) {
        let mut mask = Vec::new();
        for (rows, column) in [&mut self.values, &mut self.frames].into_iter().zip(feed.columns) {
            let column: &[&Column<'_>] = &[column];
            let here = mask_of(column, feed.events.timestamps.len(), &mut mask);
            let Some((_, present)) = here.filter(|(_, present)| *present > 0) else { continue };
            rows.absorb(&Feed {
                events: feed.events,
                columns: column,
                mask: Some(&mask),
                present,
                scratch: feed.scratch,
                numbers: feed.numbers,
                errors: feed.errors,
            });
        }
        self.trim();
    }

    fn merge(&mut self, other: Box<dyn State>) -> bool {
        let Some(other) = same::<Paired>(other) else { return false };
        let merged = self.pairing == other.pairing
            && self.values.merge(other.values)
            && self.frames.merge(other.frames);
        self.trim();
        merged
    }

    fn finish(&self) -> Result<Outputs, String> {
        self.values.fits()?;
        self.frames.fits()?;
        let values = self.values.in_order();
        let pairs = self.pairs(&values);
        let Some((newest, belonging)) = pairs.last() else { return Ok(Outputs::new()) };
        let list = match belonging.is_empty() {
            true if values.is_empty() => Value::Array(Array::from_elements::<f64>(&[0], &[])),
            _ => self.values.stack(&values[belonging.clone()])?,
        };
        let sums: Vec<(f64, u64)> =
            pairs.iter().map(|(_, places)| self.sum(&values[places.clone()])).collect();
        let times = pairs.iter().map(|(frame, _)| self.frames.key(*frame).0 as f64 / 1e9);
        let mean = |&(sum, count): &(f64, u64)| sum / count as f64;
        if self.pairing.n == 1 {
            let number = |x: f64| Some(Value::Scalar(Scalar::F64(x)));
            let (frame, one) = (self.frames.at(*newest), &sums[sums.len() - 1]);
            let count = Some(count_value(one.1));
            let time = number(self.frames.key(*newest).0 as f64 / 1e9);
            return Ok(vec![
                Some(frame),
                number(one.0),
                number(mean(one)),
                count,
                time,
                Some(list),
            ]);
        }
        let numbers = |all: Vec<f64>| Some(Value::Array(Array::from_elements(&[all.len()], &all)));
        let rows: Vec<usize> = pairs.iter().map(|(frame, _)| *frame).collect();
        let counts: Vec<i64> = sums.iter().map(|(_, count)| *count as i64).collect();
        Ok(vec![
            Some(self.frames.stack(&rows)?),
            numbers(sums.iter().map(|(sum, _)| *sum).collect()),
            numbers(sums.iter().map(mean).collect()),
            Some(Value::Array(Array::from_elements(&[counts.len()], &counts))),
            numbers(times.collect()),
            Some(list),
        ])
    }

    fn encode(self: Box<Self>, writer: &mut Writer) {
        writer.u32(self.pairing.n as u32);
        writer.u32(self.pairing.max_values as u32);
        writer.bool(self.pairing.keep_first);
        writer.bool(self.pairing.skip_nan);
        self.values.encode(writer);
        self.frames.encode(writer);
    }

    fn clone_box(&self) -> Box<dyn State> {
        Box::new(self.clone())
    }

    fn bytes(&self) -> usize {
        128 + self.values.bytes() + self.frames.bytes()
    }
}
