//! `diff` and `cumsum`: along an axis, by the expression functions of these names.

use crate::data::types::Type;
use crate::error::Fault;
use crate::op::checks::numbers_only;
use crate::op::doc::{Class, Form, InputDoc, OpDoc, OutputDoc, ParamDoc};
use crate::op::kind::{OpKind, Prepared};
use crate::op::parameters::Args;
use crate::op::per_event::{Kernel, PerEvent};
use crate::ops::array::strided_view::place;
use crate::ops::array::turn::AXES;
use crate::ops::expression::compiled;

const ARRAY: Form =
    Form::Fixed(&[InputDoc { name: "array", doc: "array of numbers", required: true }]);

const AXIS: &[ParamDoc] = &[ParamDoc {
    name: "axis",
    kind: "integer",
    default: "-1",
    unit: "",
    range: "an axis of the input, negative counted from the last",
    doc: "along which",
}];

static DIFF: OpDoc = OpDoc {
    name: "diff",
    summary: "differences of neighbours",
    text: "numpy.diff: element i is a[i + 1] - a[i], one fewer than the input has, of its element \
           type: unsigned integers wrap around, and of bools it tells where they differ.",
    example: r#"{"op": "diff", "in": "image"}"#,
    class: Class::PerEvent,
    form: ARRAY,
    with: false,
    params: AXIS,
    outputs: &[OutputDoc { name: "value", doc: "one shorter along the axis" }],
};

static CUMSUM: OpDoc = OpDoc {
    name: "cumsum",
    summary: "running sum",
    text: "numpy.cumsum along one axis: element i is the sum of the elements up to i. Sums of \
           integers are int64 or uint64, those of floats keep their type (float32 is carried in \
           float64).",
    example: r#"{"op": "cumsum", "in": "waveform"}"#,
    class: Class::PerEvent,
    form: ARRAY,
    with: false,
    params: AXIS,
    outputs: &[OutputDoc { name: "value", doc: "of the input's shape" }],
};

/// The ops.
#[derive(Debug, Clone, Copy)]
pub enum Running {
    /// `diff`.
    Diff,
    /// `cumsum`.
    Cumsum,
}

impl OpKind for Running {
    fn doc(&self) -> &'static OpDoc {
        match self {
            Running::Diff => &DIFF,
            Running::Cumsum => &CUMSUM,
        }
    }

    fn prepare(&self, args: &Args<'_>) -> Result<Prepared, Fault> {
        let axis = args.integer("axis", AXES)?.unwrap_or(-1);
        Ok(Prepared::per_event(Along { function: self.doc().name, axis }))
    }
}

#[derive(Debug, Clone, Copy)]
struct Along {
    function: &'static str,
    axis: i64,
}

impl PerEvent for Along {
    fn bind(&self, inputs: &[Type]) -> Result<(Vec<Type>, Box<dyn Kernel>), Fault> {
        numbers_only(inputs, &["array"])?;
        if let Some(rank) = inputs[0].rank {
            place("axis", self.axis, rank).map_err(|(parameter, reason)| {
                let hint = format!("the input is {}; name an axis it has", inputs[0]);
                Fault::of(parameter, reason, hint)
            })?;
        }
        compiled(&format!("{}(array, axis={})", self.function, self.axis), &["array"], inputs)
    }
}
