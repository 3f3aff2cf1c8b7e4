//! `rate`: how often something happens.

use crate::data::batch::Column;
use crate::data::bytes::{Reader, Writer};
use crate::data::column_views::selected;
use crate::data::feed::Feed;
use crate::data::frame::Frame;
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
    name: "rate",
    summary: "how often per second the input is true, or present, and in which fraction of events",
    text: "Of a bool: events in which it is true, per second of data time, and as a fraction of \
           the events in which it is present. Of anything else: events in which it is present, \
           and as a fraction of all events. Data time is from the begin of the window's first \
           heartbeat to the end of its last, also through heartbeats without a value. NaN where \
           there is nothing to divide by.",
    example: r#"{"op": "rate", "in": "flag", "window": {"seconds": 10}}"#,
    class: Class::Reduction,
    form: Form::Fixed(&[InputDoc { name: "value", doc: "bool, or anything", required: true }]),
    with: false,
    params: &[],
    outputs: &[
        OutputDoc { name: "per_second", doc: "float64 scalar, 1/s of data time" },
        OutputDoc { name: "fraction", doc: "float64 scalar, 0 to 1" },
    ],
};

/// The op.
pub struct Rate;

impl OpKind for Rate {
    fn doc(&self) -> &'static OpDoc {
        &DOC
    }

    fn prepare(&self, _: &Args<'_>) -> Result<Prepared, Fault> {
        Ok(Prepared::reduction(&["per_second", "fraction"], Timing))
    }

    fn decode(
        &self,
        _: &Signature,
        reader: &mut Reader<'_>,
    ) -> Result<Box<dyn State>, DecodeError> {
        let mut next = || reader.u64("rate");
        let (hits, present, events) = (next()?, next()?, next()?);
        let (begin, end) = (next()?, next()?);
        Ok(Box::new(Hits { bools: reader.bool("rate")?, hits, present, events, begin, end }))
    }
}

#[derive(Debug)]
struct Timing;

impl Reduction for Timing {
    fn op(&self) -> &'static str {
        DOC.name
    }

    fn sense(&self, _: usize) -> Sense {
        Sense::Nothing
    }

    fn counts_silence(&self) -> bool {
        true
    }

    fn start(&self, _: &Signature) -> Box<dyn State> {
        let (hits, present, events) = (0, 0, 0);
        Box::new(Hits { bools: false, hits, present, events, begin: u64::MAX, end: 0 })
    }

    fn size(&self, _: &Signature) -> u64 {
        128
    }

    fn bind(&self, _: &[Type]) -> Result<Vec<Type>, Fault> {
        Ok(vec![Type::scalar(DType::F64), Type::scalar(DType::F64)])
    }
}

#[derive(Debug, Clone)]
struct Hits {
    /// The input is a bool.
    bools: bool,
    /// Events in which it is true, or present.
    hits: u64,
    /// Events in which it is present.
    present: u64,
    /// All events.
    events: u64,
    /// Data time, ns.
    begin: u64,
    end: u64,
}

impl State for Hits {
    fn absorb(&mut self, feed: &mut Feed<'_>) {
        self.present += feed.present as u64;
        if let Column::Scalars { dtype: DType::Bool, data, .. } = feed.columns[0] {
            self.bools = true;
            let events = selected(feed.mask, data.len());
            self.hits += events.map(|i| u64::from(data[i] != 0)).sum::<u64>();
        } else {
            self.hits += feed.present as u64;
        }
    }

    fn enter(&mut self, frame: &Frame, events: u64) {
        self.events = self.events.saturating_add(events);
        let begin = frame.heartbeat.saturating_mul(frame.period_ns);
        self.begin = self.begin.min(begin);
        self.end = self.end.max(begin.saturating_add(frame.period_ns));
    }

    fn merge(&mut self, other: Box<dyn State>) -> bool {
        let Some(other) = same::<Hits>(other) else { return false };
        self.bools |= other.bools;
        self.hits = self.hits.saturating_add(other.hits);
        self.present = self.present.saturating_add(other.present);
        self.events = self.events.saturating_add(other.events);
        self.begin = self.begin.min(other.begin);
        self.end = self.end.max(other.end);
        true
    }

    fn finish(&self) -> Result<Outputs, String> {
        let seconds = self.end.saturating_sub(self.begin) as f64 / 1e9;
        let ratio = |over: f64| if over > 0.0 { self.hits as f64 / over } else { f64::NAN };
        let all = if self.bools { self.present } else { self.events };
        let scalar = |x: f64| Some(Value::Scalar(Scalar::F64(x)));
        Ok(vec![scalar(ratio(seconds)), scalar(ratio(all as f64))])
    }

    fn encode(self: Box<Self>, writer: &mut Writer) {
        for number in [self.hits, self.present, self.events, self.begin, self.end] {
            writer.u64(number);
        }
        writer.bool(self.bools);
    }

    fn clone_box(&self) -> Box<dyn State> {
        Box::new(self.clone())
    }

    fn bytes(&self) -> usize {
        128
    }
}
