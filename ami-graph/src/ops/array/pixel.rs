//! `pixel`: one element of an array.

use crate::data::types::Type;
use crate::data::value::MAX_RANK;
use crate::error::Fault;
use crate::op::checks::numbers_only;
use crate::op::doc::{Class, Form, InputDoc, OpDoc, OutputDoc, ParamDoc};
use crate::op::kind::{OpKind, Prepared};
use crate::op::parameters::Args;
use crate::op::per_event::{Kernel, PerEvent};
use crate::ops::array::strided_view::{Look, Misfit, View, index, looking};

static DOC: OpDoc = OpDoc {
    name: "pixel",
    summary: "one element of an array",
    text: "numpy's a[i, j, …], one index per axis, negative from the end. An index beyond the \
           array is an error: beforehand where the shape is known, else in the event.",
    example: r#"{"op": "pixel", "in": "image", "at": [1, -1]}"#,
    class: Class::PerEvent,
    form: Form::Fixed(&[InputDoc { name: "array", doc: "array of numbers", required: true }]),
    with: false,
    params: &[ParamDoc {
        name: "at",
        kind: "list of integers",
        default: "",
        unit: "pixels",
        range: "one index per axis; negative ones count from the end",
        doc: "where",
    }],
    outputs: &[OutputDoc { name: "value", doc: "scalar of the input's element type" }],
};

/// The op.
pub struct Pixel;

impl OpKind for Pixel {
    fn doc(&self) -> &'static OpDoc {
        &DOC
    }

    fn prepare(&self, args: &Args<'_>) -> Result<Prepared, Fault> {
        args.require("at", "one index per axis, as [row, column]")?;
        let at = args.integers("at", 1..=MAX_RANK, i64::MIN..=i64::MAX)?.unwrap_or_default();
        Ok(Prepared::per_event(At { at }))
    }
}

#[derive(Debug, Clone)]
struct At {
    at: Vec<i64>,
}

impl Look for At {
    fn rank(&self, rank: usize) -> Result<usize, Misfit> {
        match self.at.len() {
            given if given == rank => Ok(0),
            given => Err(("at", format!("{given} indices for an input of {rank} axes"))),
        }
    }

    fn view(&self, shape: &[usize], _: usize) -> Result<View, Misfit> {
        // From the last axis on, since an axis that is taken moves those after it.
        let axes = self.at.iter().zip(shape).enumerate().rev();
        let mut view = View::of(shape);
        for (axis, (&at, &length)) in axes {
            view = view.at(axis, index("at", at, length)?);
        }
        Ok(view)
    }
}

impl PerEvent for At {
    fn bind(&self, inputs: &[Type]) -> Result<(Vec<Type>, Box<dyn Kernel>), Fault> {
        numbers_only(inputs, &["array"])?;
        looking(self, &inputs[0], 1)
    }
}
