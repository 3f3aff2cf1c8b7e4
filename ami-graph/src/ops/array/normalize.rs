//! `normalize`: an array divided by its sum, its maximum, its norm, or another input.

use crate::data::types::Type;
use crate::error::Fault;
use crate::op::checks::numbers_only;
use crate::op::doc::{Class, Form, InputDoc, OpDoc, OutputDoc, ParamDoc};
use crate::op::kind::{OpKind, Prepared};
use crate::op::parameters::Args;
use crate::op::per_event::{Kernel, PerEvent};
use crate::ops::expression::compiled;

static DOC: OpDoc = OpDoc {
    name: "normalize",
    summary: "an array divided by its sum, maximum, norm, or another input",
    text: "`by` sum: a / sum(a); max: a / max(a); norm: a / sqrt(sum(a²)); input: a / by, where \
           the input `by` is a scalar or broadcasts as in numpy. The type is that of numpy's \
           division: float64, or float32 where nothing wider meets. By zero the result is \
           infinite or NaN, as in numpy.",
    example: r#"{"op": "normalize", "in": {"array": "image", "by": "scalar"}}"#,
    class: Class::PerEvent,
    form: Form::Fixed(&[
        InputDoc { name: "array", doc: "scalar or array of numbers", required: true },
        InputDoc { name: "by", doc: "numbers that broadcast with it", required: false },
    ]),
    with: false,
    params: &[ParamDoc {
        name: "by",
        kind: "word",
        default: "\"sum\"",
        unit: "",
        range: "sum max norm input; input where the input `by` is given",
        doc: "what to divide by",
    }],
    outputs: &[OutputDoc { name: "value", doc: "float of the input's shape" }],
};

/// The op.
pub struct Normalize;

impl OpKind for Normalize {
    fn doc(&self) -> &'static OpDoc {
        &DOC
    }

    fn prepare(&self, args: &Args<'_>) -> Result<Prepared, Fault> {
        let given = args.input("by").is_some();
        let default = if given { "input" } else { "sum" };
        let by = args.word("by", default, &["sum", "max", "norm", "input"])?;
        if given != (by == "input") {
            let hint = "give the input `by` together with \"by\": \"input\", or neither";
            let reason = format!("{by:?} does not go with the inputs");
            return Err(Fault::of("by", reason, hint));
        }
        let text = match by {
            "sum" => "array / sum(array)",
            "max" => "array / max(array)",
            // As floats, since squares of small integers would not fit their type.
            "norm" => "array / sqrt(sum((array * 1.0) ** 2))",
            _ => "array / by",
        };
        Ok(Prepared::per_event(Divided { text }))
    }
}

#[derive(Debug, Clone, Copy)]
struct Divided {
    text: &'static str,
}

impl PerEvent for Divided {
    fn bind(&self, inputs: &[Type]) -> Result<(Vec<Type>, Box<dyn Kernel>), Fault> {
        numbers_only(inputs, &["array", "by"])?;
        compiled(self.text, &["array", "by"], inputs)
    }
}
