//! `sum` and `mean`: integers exactly, floats compensated, images element by element.

use crate::data::bands::{Band, Banded};
use crate::data::bytes::{Reader, Writer};
use crate::data::feed::Feed;
use crate::data::owned_column::OwnedColumn;
use crate::data::types::Type;
use crate::data::value::DType;
use crate::error::{DecodeError, Fault};
use crate::merge::counted::counts_value;
use crate::merge::total::Total;
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
use crate::ops::over_events::sum_of_numbers::{self, SumOfNumbers};

static SUM_DOC: OpDoc = OpDoc {
    name: "sum",
    summary: "sum over the events, element by element",
    text: "Integers and bools are summed exactly and published as int64 (signed, bool) or uint64 \
           (unsigned); as float64, rounded once, where that does not fit. Floats are summed in \
           float64 with compensation and published as float64. With `\"nan\": \"skip\"` each element \
           is the sum of its values that are numbers (0 of none), and `count` says of how many.",
    example: r#"{"op": "sum", "in": "image", "window": "run"}"#,
    class: Class::Reduction,
    form: VALUE,
    with: false,
    params: &[NAN],
    outputs: &[
        OutputDoc { name: "value", doc: "shape of the input: int64, uint64 or float64" },
        OutputDoc {
            name: "count",
            doc: "int64 scalar: events summed; shape of the input with `nan` \"skip\"",
        },
    ],
};

static MEAN_DOC: OpDoc = OpDoc {
    name: "mean",
    summary: "mean over the events, element by element",
    text: "The sum, as `sum` computes it, divided by the number of events. Always float64. With \
           `\"nan\": \"skip\"` each element is the mean of its values that are numbers (NaN of \
           none), and `count` says of how many.",
    example: r#"{"op": "mean", "in": "image", "window": {"heartbeats": 10}}"#,
    class: Class::Reduction,
    form: VALUE,
    with: false,
    params: &[NAN],
    outputs: &[
        OutputDoc { name: "value", doc: "float64, shape of the input" },
        OutputDoc {
            name: "count",
            doc: "int64 scalar: events averaged; shape of the input with `nan` \"skip\"",
        },
    ],
};

/// Either op.
#[derive(Debug, Clone, Copy)]
pub struct Kind {
    mean: bool,
}

/// The op `sum`.
pub const SUM: Kind = Kind { mean: false };
/// The op `mean`.
pub const MEAN: Kind = Kind { mean: true };

impl OpKind for Kind {
    fn doc(&self) -> &'static OpDoc {
        if self.mean { &MEAN_DOC } else { &SUM_DOC }
    }

    fn prepare(&self, args: &Args<'_>) -> Result<Prepared, Fault> {
        let skip = nan::skips(args, "propagate")?;
        Ok(Prepared::reduction(&["value", "count"], Adding { kind: *self, skip }))
    }

    fn decode(
        &self,
        signature: &Signature,
        reader: &mut Reader<'_>,
    ) -> Result<Box<dyn State>, DecodeError> {
        let (dtype, shape) = element(signature)?;
        let skip = reader.bool("sum")?;
        if skip && has_nan(dtype) {
            return Ok(Box::new(SumOfNumbers::decode(self.mean, shape, reader)?));
        }
        let n = reader.u64("events of a sum")?;
        let total = Total::decode(dtype, &signature[0].1, reader)?;
        Ok(Box::new(Sum { mean: self.mean, skip, n, total }))
    }
}

/// Only of these types there is one.
fn has_nan(dtype: DType) -> bool {
    matches!(dtype, DType::F32 | DType::F64)
}

/// Either op with its parameter.
#[derive(Debug, Clone, Copy)]
struct Adding {
    kind: Kind,
    skip: bool,
}

impl Reduction for Adding {
    fn op(&self) -> &'static str {
        self.kind.doc().name
    }

    fn sense(&self, _: usize) -> Sense {
        Sense::Shapes
    }

    fn start(&self, signature: &Signature) -> Box<dyn State> {
        let (dtype, axes) = &signature[0];
        let (mean, skip) = (self.kind.mean, self.skip);
        if skip && has_nan(*dtype) {
            let shape = axes.iter().map(|&a| a as usize).collect();
            return Box::new(SumOfNumbers::new(mean, shape));
        }
        Box::new(Sum { mean, skip, n: 0, total: Total::new(*dtype, axes) })
    }

    fn size(&self, signature: &Signature) -> u64 {
        let (dtype, axes) = &signature[0];
        match self.skip && has_nan(*dtype) {
            true => sum_of_numbers::size(axes),
            false => Total::size(*dtype, axes),
        }
    }

    fn bind(&self, inputs: &[Type]) -> Result<Vec<Type>, Fault> {
        numbers_only(inputs, &["value"])?;
        let dtype = match inputs[0].dtype {
            _ if self.kind.mean => DType::F64,
            DType::U8 | DType::U16 | DType::U32 | DType::U64 => DType::U64,
            DType::F32 | DType::F64 => DType::F64,
            _ => DType::I64,
        };
        Ok(vec![Type { dtype, ..inputs[0].clone() }, count_type(self.skip, &inputs[0])])
    }
}

#[derive(Debug, Clone)]
struct Sum {
    mean: bool,
    /// True when NaN would be left out: then each element has a count, here the same one.
    skip: bool,
    n: u64,
    total: Total,
}

impl State for Sum {
    fn absorb(&mut self, feed: &mut Feed<'_>) {
        self.n += feed.present as u64;
        self.total.absorb(feed.columns[0], feed.mask, feed.present as u64, feed.scratch);
    }

    fn banded(&mut self) -> Option<&mut dyn Banded> {
        Some(self)
    }

    fn merge(&mut self, other: Box<dyn State>) -> bool {
        let Some(other) = same::<Sum>(other) else { return false };
        if (self.mean, self.skip) != (other.mean, other.skip) {
            return false;
        }
        self.n = self.n.saturating_add(other.n);
        self.total.merge(other.total)
    }

    fn finish(&self) -> Result<Outputs, String> {
        let value = if self.mean { self.total.mean(self.n) } else { self.total.sum() };
        let count = match self.total.shape() {
            shape if self.skip && !shape.is_empty() => {
                counts_value(shape, &vec![self.n; shape.iter().product()])
            }
            _ => count_value(self.n),
        };
        Ok(vec![Some(value), Some(count)])
    }

    fn encode(self: Box<Self>, writer: &mut Writer) {
        writer.bool(self.skip);
        writer.u64(self.n);
        self.total.encode(writer);
    }

    fn clone_box(&self) -> Box<dyn State> {
        Box::new(self.clone())
    }

    fn bytes(&self) -> usize {
        64 + self.total.bytes()
    }
}

impl Banded for Sum {
    fn band(&mut self, band: &Band<'_>, _: &mut [OwnedColumn]) {
        if band.begins() {
            self.n += band.parts.len() as u64;
        }
        self.total.band(band);
    }
}
