//! `unique`: which values occur, and how often.

use crate::data::bytes::{Reader, Writer};
use crate::data::feed::Feed;
use crate::data::schema::Labels;
use crate::data::types::Type;
use crate::data::value::{Array, DType, Value};
use crate::error::{DecodeError, Fault};
use crate::merge::keyed::{Keyed, each_key, size};
use crate::op::doc::{Class, Form, InputDoc, OpDoc, OutputDoc};
use crate::op::kind::{OpKind, Prepared};
use crate::op::parameters::Args;
use crate::op::reduction::{Outputs, Reduction, State, same};
use crate::op::signature::Sense;
use crate::op::signature::Signature;
use crate::ops::over_events::keys::{LIMIT, limit};

static DOC: OpDoc = OpDoc {
    name: "unique",
    summary: "the values that occur, in order, and how often each does",
    text: "As np.unique(…, return_counts=True) over the events: exact values, sorted; NaN is one \
           value, the last, and so are the two zeros. Beyond `limit` different values the smallest \
           stay, the same ones for any split, and `overflowed` counts the events of the others. \
           Texts are values, too: `labels` lists them as JSON, in the order of bytes, and `values` \
           numbers them 0, 1, …; for an enumeration `values` are its codes and `labels` their \
           labels.",
    example: r#"{"op": "unique", "in": "flag"}"#,
    class: Class::Reduction,
    form: Form::Fixed(&[InputDoc { name: "value", doc: "scalar or text", required: true }]),
    with: false,
    params: &[LIMIT],
    outputs: &[
        OutputDoc { name: "values", doc: "[values], element type of the input; int64 for text" },
        OutputDoc { name: "counts", doc: "int64 [values]: events" },
        OutputDoc { name: "overflowed", doc: "int64 scalar: events whose value did not stay" },
        OutputDoc { name: "labels", doc: "text: JSON list; only of texts and enumerations" },
    ],
};

/// The op.
pub struct Unique;

impl OpKind for Unique {
    fn doc(&self) -> &'static OpDoc {
        &DOC
    }

    fn prepare(&self, args: &Args<'_>) -> Result<Prepared, Fault> {
        let outputs = ["values", "counts", "overflowed", "labels"];
        Ok(Prepared::reduction(&outputs, Counting { limit: limit(args)? }))
    }

    fn decode(
        &self,
        signature: &Signature,
        reader: &mut Reader<'_>,
    ) -> Result<Box<dyn State>, DecodeError> {
        let keyed = Keyed::decode(reader, |reader| reader.u64("count"))?;
        if signature.first().map(|(dtype, _)| *dtype) != Some(keyed.dtype) {
            return Err(DecodeError::invalid("type of keys", keyed.dtype));
        }
        Ok(Box::new(Counts(keyed)))
    }
}

#[derive(Debug)]
struct Counting {
    limit: usize,
}

impl Reduction for Counting {
    fn op(&self) -> &'static str {
        DOC.name
    }

    fn sense(&self, _: usize) -> Sense {
        Sense::Types
    }

    fn start(&self, signature: &Signature) -> Box<dyn State> {
        Box::new(Counts(Keyed::new(signature[0].0, self.limit)))
    }

    fn size(&self, inputs: &Signature) -> u64 {
        size(self.limit, inputs[0].0, 8)
    }

    fn bind(&self, inputs: &[Type]) -> Result<Vec<Type>, Fault> {
        crate::ops::over_events::keys::scalar_only("value", &inputs[0])?;
        Ok(vec![
            crate::ops::over_events::keys::type_of(&inputs[0]),
            Type::array(DType::I64, 1),
            Type::scalar(DType::I64),
            Type::scalar(DType::Str),
        ])
    }

    fn label(&self, labels: &[Labels], outputs: &mut Outputs) {
        crate::ops::over_events::keys::dress(labels.first(), outputs);
    }
}

#[derive(Debug, Clone)]
struct Counts(Keyed<u64>);

impl State for Counts {
    fn absorb(&mut self, feed: &mut Feed<'_>) {
        let keyed = &mut self.0;
        let scalars = each_key(feed.columns[0], feed.mask, |key, events| {
            if let Some(count) = keyed.at(key, events.len() as u64, || 0) {
                *count += events.len() as u64;
            }
        });
        if !scalars {
            feed.errors.record(|| "the value is not a scalar".to_owned());
        }
    }

    fn merge(&mut self, other: Box<dyn State>) -> bool {
        same::<Counts>(other).is_some_and(|other| self.0.merge(other.0))
    }

    fn finish(&self) -> Result<Outputs, String> {
        let counts: Vec<i64> = self.0.cells().map(|&n| n as i64).collect();
        let counts = Value::Array(Array::from_elements(&[counts.len()], &counts));
        Ok(vec![Some(self.0.keys()), Some(counts), Some(self.0.overflowed()), self.0.labels()])
    }

    fn encode(self: Box<Self>, writer: &mut Writer) {
        self.0.encode(writer, |count, writer| writer.u64(count));
    }

    fn clone_box(&self) -> Box<dyn State> {
        Box::new(self.clone())
    }

    fn bytes(&self) -> usize {
        self.0.bytes()
    }
}
