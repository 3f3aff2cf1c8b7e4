//! `count`: how many events had the input.

use crate::data::bytes::{Reader, Writer};
use crate::data::feed::Feed;
use crate::data::types::Type;
use crate::data::value::{DType, Scalar, Value};
use crate::error::{DecodeError, Fault};
use crate::op::doc::{Class, Form, InputDoc, OpDoc, OutputDoc};
use crate::op::kind::{OpKind, Prepared};
use crate::op::parameters::Args;
use crate::op::reduction::{Outputs, Reduction, State, same};
use crate::op::signature::Sense;
use crate::op::signature::Signature;

static DOC: OpDoc = OpDoc {
    name: "count",
    summary: "number of events in which the input is present",
    text: "Counts events, not elements. Any type of input, also text. Over no events: 0.",
    example: r#"{"op": "count", "in": "scalar", "window": "run"}"#,
    class: Class::Reduction,
    form: Form::Fixed(&[InputDoc { name: "value", doc: "anything", required: true }]),
    with: false,
    params: &[],
    outputs: &[OutputDoc { name: "value", doc: "int64 scalar: events" }],
};

/// The op.
pub struct Count;

impl OpKind for Count {
    fn doc(&self) -> &'static OpDoc {
        &DOC
    }

    fn prepare(&self, _: &Args<'_>) -> Result<Prepared, Fault> {
        Ok(Prepared::reduction(&["value"], Counter(0)))
    }

    fn decode(
        &self,
        _: &Signature,
        reader: &mut Reader<'_>,
    ) -> Result<Box<dyn State>, DecodeError> {
        Ok(Box::new(Counter(reader.u64("count")?)))
    }
}

/// Events so far; also the reduction, which has no parameters.
#[derive(Debug, Clone)]
struct Counter(u64);

impl Reduction for Counter {
    fn op(&self) -> &'static str {
        DOC.name
    }

    fn sense(&self, _: usize) -> Sense {
        Sense::Nothing
    }

    fn start(&self, _: &Signature) -> Box<dyn State> {
        Box::new(Counter(0))
    }

    fn size(&self, _: &Signature) -> u64 {
        64
    }

    fn bind(&self, _: &[Type]) -> Result<Vec<Type>, Fault> {
        Ok(vec![Type::scalar(DType::I64)])
    }

    fn nothing(&self, _: &[Type]) -> Outputs {
        vec![Some(count_value(0))]
    }
}

impl State for Counter {
    fn absorb(&mut self, feed: &mut Feed<'_>) {
        self.0 += feed.present as u64;
    }

    fn merge(&mut self, other: Box<dyn State>) -> bool {
        let Some(other) = same::<Counter>(other) else { return false };
        self.0 = self.0.saturating_add(other.0);
        true
    }

    fn finish(&self) -> Result<Outputs, String> {
        Ok(vec![Some(count_value(self.0))])
    }

    fn encode(self: Box<Self>, writer: &mut Writer) {
        writer.u64(self.0);
    }

    fn clone_box(&self) -> Box<dyn State> {
        Box::new(self.clone())
    }

    fn bytes(&self) -> usize {
        64
    }
}

/// A count as numpy gives it: int64.
pub fn count_value(count: u64) -> Value {
    Value::Scalar(Scalar::I64(i64::try_from(count).unwrap_or(i64::MAX)))
}
