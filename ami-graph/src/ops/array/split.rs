//! `split`: an array into one output per index of an axis.

use crate::data::types::Type;
use crate::error::Fault;
use crate::op::checks::numbers_only;
use crate::op::doc::{Class, Form, InputDoc, OpDoc, OutputDoc, ParamDoc};
use crate::op::kind::{Body, OpKind, Prepared};
use crate::op::parameters::Args;
use crate::op::per_event::{Kernel, PerEvent};
use crate::ops::array::strided_view::{Look, Misfit, View, looking, place};
use crate::ops::array::turn::AXES;

/// Most outputs.
const MOST: u64 = 256;

static DOC: OpDoc = OpDoc {
    name: "split",
    summary: "an array into one output per index of an axis",
    text: "Output `value0` is numpy's take(a, 0, axis), `value1` the next, and so on; the axis \
           goes away. `count` names the outputs beforehand and must be the length of the axis: \
           another length is an error, beforehand where the shape is known, else in the event.",
    example: r#"{"op": "split", "in": "image", "count": 2}"#,
    class: Class::PerEvent,
    form: Form::Fixed(&[InputDoc { name: "array", doc: "array of numbers", required: true }]),
    with: false,
    params: &[
        ParamDoc {
            name: "count",
            kind: "integer",
            default: "",
            unit: "",
            range: "1 to 256",
            doc: "length of the axis, and number of outputs",
        },
        ParamDoc {
            name: "axis",
            kind: "integer",
            default: "0",
            unit: "",
            range: "an axis of the input, negative counted from the last",
            doc: "the axis that is taken apart",
        },
    ],
    outputs: &[OutputDoc { name: "value0…", doc: "the input's shape without the axis" }],
};

/// The op.
pub struct Split;

impl OpKind for Split {
    fn doc(&self) -> &'static OpDoc {
        &DOC
    }

    fn prepare(&self, args: &Args<'_>) -> Result<Prepared, Fault> {
        let count = args.whole("count", None, 1..=MOST)? as usize;
        let axis = args.integer("axis", AXES)?.unwrap_or(0);
        let outputs = (0..count).map(|k| format!("value{k}")).collect();
        Ok(Prepared { outputs, body: Body::PerEvent(Box::new(Apart { count, axis })) })
    }
}

#[derive(Debug, Clone, Copy)]
struct Apart {
    count: usize,
    axis: i64,
}

impl Look for Apart {
    fn rank(&self, rank: usize) -> Result<usize, Misfit> {
        place("axis", self.axis, rank).map(|_| rank - 1)
    }

    fn view(&self, shape: &[usize], output: usize) -> Result<View, Misfit> {
        let axis = place("axis", self.axis, shape.len())?;
        if shape[axis] != self.count {
            let reason = format!("{} outputs for an axis of {}", self.count, shape[axis]);
            return Err(("count", reason));
        }
        Ok(View::of(shape).at(axis, output))
    }
}

impl PerEvent for Apart {
    fn bind(&self, inputs: &[Type]) -> Result<(Vec<Type>, Box<dyn Kernel>), Fault> {
        numbers_only(inputs, &["array"])?;
        looking(self, &inputs[0], self.count)
    }
}
