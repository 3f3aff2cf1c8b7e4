//! `ewma`: the mean in which older events count less and less.

use crate::data::bytes::{Reader, Writer};
use crate::data::column_views::{as_f64, selected};
use crate::data::event_values::with_items;
use crate::data::feed::Feed;
use crate::data::raw_buffer::Buffer;
use crate::data::types::Type;
use crate::data::value::{Array, DType, Scalar, Value};
use crate::error::{DecodeError, Fault};
use crate::merge::decay::{Decay, LEAST_TAU, MOST_TAU};
use crate::op::checks::numbers_only;
use crate::op::doc::{Class, OpDoc, OutputDoc, ParamDoc};
use crate::op::kind::{OpKind, Prepared};
use crate::op::parameters::Args;
use crate::op::reduction::{Outputs, Reduction, State, same};
use crate::op::signature::Sense;
use crate::op::signature::Signature;
use crate::ops::over_events::elements::VALUE;
use crate::ops::over_events::key_statistic::{axes_of, width};

static DOC: OpDoc = OpDoc {
    name: "ewma",
    summary: "exponentially weighted mean over the events, element by element",
    text: "The mean of all events of the window, each with the weight exp(-age / tau); age is \
           data time before the newest event. So the mean of a constant is the constant, whatever \
           the rate of events, and the order and split of the events do not matter. Float64; an infinity or NaN stays as long as its event is in the window. \
           `weight` is the sum of the weights: the number of events that count.",
    example: r#"{"op": "ewma", "in": "scalar", "tau": 5}"#,
    class: Class::Reduction,
    form: VALUE,
    with: false,
    params: &[ParamDoc {
        name: "tau",
        kind: "number",
        default: "",
        unit: "s",
        range: "1e-6 to 1e9",
        doc: "time in which the weight of an event falls to 1/e",
    }],
    outputs: &[
        OutputDoc { name: "value", doc: "float64, shape of the input" },
        OutputDoc { name: "weight", doc: "float64 scalar: sum of the weights, the newest's is 1" },
    ],
};

/// The op.
pub struct Ewma;

impl OpKind for Ewma {
    fn doc(&self) -> &'static OpDoc {
        &DOC
    }

    fn prepare(&self, args: &Args<'_>) -> Result<Prepared, Fault> {
        let tau = args.real("tau", None, LEAST_TAU..=MOST_TAU)?;
        Ok(Prepared::reduction(&["value", "weight"], Fading { tau }))
    }

    fn decode(
        &self,
        signature: &Signature,
        reader: &mut Reader<'_>,
    ) -> Result<Box<dyn State>, DecodeError> {
        let axes = axes_of(signature);
        let decay = Decay::decode(reader)?;
        let means = reader.buffer(width(&axes), "means")?;
        Ok(Box::new(Faded { axes, decay, means }))
    }
}

#[derive(Debug)]
struct Fading {
    tau: f64,
}

impl Reduction for Fading {
    fn op(&self) -> &'static str {
        DOC.name
    }

    fn sense(&self, _: usize) -> Sense {
        Sense::Shapes
    }

    fn start(&self, signature: &Signature) -> Box<dyn State> {
        let axes = axes_of(signature);
        let means = Buffer::zeros(width(&axes));
        Box::new(Faded { axes, decay: Decay::new(self.tau), means })
    }

    fn size(&self, inputs: &Signature) -> u64 {
        (width(&axes_of(inputs)) as u64).saturating_mul(8).saturating_add(128)
    }

    fn bind(&self, inputs: &[Type]) -> Result<Vec<Type>, Fault> {
        numbers_only(inputs, &["value"])?;
        Ok(vec![Type { dtype: DType::F64, ..inputs[0].clone() }, Type::scalar(DType::F64)])
    }
}

#[derive(Debug, Clone)]
struct Faded {
    axes: Vec<u32>,
    decay: Decay,
    means: Buffer<f64>,
}

/// Moves means towards numbers that have this share of the weight. A mean that is the number
/// already stays exactly as it is; what is not finite adds up as in a sum.
fn approach(means: &mut [f64], numbers: &[f64], share: f64) {
    for (mean, &x) in means.iter_mut().zip(numbers) {
        let moved = *mean + (x - *mean) * share;
        *mean = if moved.is_finite() { moved } else { *mean + x };
    }
}

impl State for Faded {
    fn absorb(&mut self, feed: &mut Feed<'_>) {
        let times = feed.events.timestamps;
        with_items(feed.columns[0], times.len(), |items| {
            for event in selected(feed.mask, times.len()) {
                let Some(item) = items.get(event) else { continue };
                let share = self.decay.add(times[event]);
                approach(&mut self.means, as_f64(items.dtype, item.data, feed.scratch), share);
            }
        });
    }

    fn merge(&mut self, other: Box<dyn State>) -> bool {
        let Some(other) = same::<Faded>(other) else { return false };
        if !self.decay.fits(&other.decay) || self.axes != other.axes {
            return false;
        }
        let share = self.decay.merge(other.decay);
        approach(&mut self.means, &other.means, share);
        true
    }

    fn finish(&self) -> Result<Outputs, String> {
        let shape: Vec<usize> = self.axes.iter().map(|&a| a as usize).collect();
        let value = match (shape.is_empty(), self.means.first()) {
            (true, Some(&mean)) => Value::Scalar(Scalar::F64(mean)),
            _ => Value::Array(Array::from_elements(&shape, &self.means)),
        };
        Ok(vec![Some(value), Some(Value::Scalar(Scalar::F64(self.decay.total())))])
    }

    fn encode(self: Box<Self>, writer: &mut Writer) {
        self.decay.encode(writer);
        writer.buffer(self.means);
    }

    fn clone_box(&self) -> Box<dyn State> {
        Box::new(self.clone())
    }

    fn bytes(&self) -> usize {
        128 + self.means.len() * 8
    }
}
