//! `sum` and `mean`: integers exactly, floats compensated, images element by element.

use crate::data::bands::{Band, Banded};
use crate::data::bytes::{Reader, Writer};
use crate::data::feed::Feed;
use crate::data::owned_column::OwnedColumn;
use crate::data::types::Type;
use crate::data::value::DType;
use crate::error::{DecodeError, Fault};
use crate::merge::total::Total;
use crate::op::checks::numbers_only;
use crate::op::doc::{Class, OpDoc, OutputDoc};
use crate::op::kind::{OpKind, Prepared};
use crate::op::parameters::Args;
use crate::op::reduction::{Outputs, Reduction, State, same};
use crate::op::signature::Sense;
use crate::op::signature::Signature;
use crate::ops::over_events::count::count_value;
use crate::ops::over_events::elements::VALUE;

static SUM_DOC: OpDoc = OpDoc {
    name: "sum",
    summary: "sum over the events, element by element",
    text: "Integers and bools are summed exactly and published as int64 (signed, bool) or uint64 \
           (unsigned); as float64, rounded once, where that does not fit. Floats are summed in \
           float64 with compensation and published as float64.",
    example: r#"{"op": "sum", "in": "image", "window": "run"}"#,
    class: Class::Reduction,
    form: VALUE,
    with: false,
    params: &[],
    outputs: &[
        OutputDoc { name: "value", doc: "shape of the input: int64, uint64 or float64" },
        OutputDoc { name: "count", doc: "int64 scalar: events summed" },
    ],
};

static MEAN_DOC: OpDoc = OpDoc {
    name: "mean",
    summary: "mean over the events, element by element",
    text: "The sum, as `sum` computes it, divided by the number of events. Always float64.",
    example: r#"{"op": "mean", "in": "image", "window": {"heartbeats": 10}}"#,
    class: Class::Reduction,
    form: VALUE,
    with: false,
    params: &[],
    outputs: &[
        OutputDoc { name: "value", doc: "float64, shape of the input" },
        OutputDoc { name: "count", doc: "int64 scalar: events averaged" },
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

    fn prepare(&self, _: &Args<'_>) -> Result<Prepared, Fault> {
        Ok(Prepared::reduction(&["value", "count"], *self))
    }

    fn decode(
        &self,
        signature: &Signature,
        reader: &mut Reader<'_>,
    ) -> Result<Box<dyn State>, DecodeError> {
        let Some((dtype, axes)) = signature.first() else {
            return Err(DecodeError::invalid("signature of a sum", "none"));
        };
        let n = reader.u64("events of a sum")?;
        let total = Total::decode(*dtype, axes, reader)?;
        Ok(Box::new(Sum { mean: self.mean, n, total }))
    }
}

impl Reduction for Kind {
    fn op(&self) -> &'static str {
        self.doc().name
    }

    fn sense(&self, _: usize) -> Sense {
        Sense::Shapes
    }

    fn start(&self, signature: &Signature) -> Box<dyn State> {
        let (dtype, axes) = &signature[0];
        Box::new(Sum { mean: self.mean, n: 0, total: Total::new(*dtype, axes) })
    }

    fn size(&self, signature: &Signature) -> u64 {
        let (dtype, axes) = &signature[0];
        Total::size(*dtype, axes)
    }

    fn bind(&self, inputs: &[Type]) -> Result<Vec<Type>, Fault> {
        numbers_only(inputs, &["value"])?;
        let dtype = match inputs[0].dtype {
            _ if self.mean => DType::F64,
            DType::U8 | DType::U16 | DType::U32 | DType::U64 => DType::U64,
            DType::F32 | DType::F64 => DType::F64,
            _ => DType::I64,
        };
        Ok(vec![Type { dtype, ..inputs[0].clone() }, Type::scalar(DType::I64)])
    }
}

#[derive(Debug, Clone)]
struct Sum {
    mean: bool,
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
        self.n = self.n.saturating_add(other.n);
        self.mean == other.mean && self.total.merge(other.total)
    }

    fn finish(&self) -> Result<Outputs, String> {
        let value = if self.mean { self.total.mean(self.n) } else { self.total.sum() };
        Ok(vec![Some(value), Some(count_value(self.n))])
    }

    fn encode(self: Box<Self>, writer: &mut Writer) {
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
