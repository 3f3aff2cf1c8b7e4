//! `expr`: a numpy-like expression of its inputs.

use crate::data::schema::Labels;
use crate::data::types::Type;
use crate::error::Fault;
use crate::expr::Expr;
use crate::op::doc::{Class, Form, OpDoc, OutputDoc, ParamDoc};
use crate::op::kind::{OpKind, Prepared};
use crate::op::parameters::Args;
use crate::op::per_event::{Kernel, PerEvent};
use crate::ops::expression::{Compiled, mistake, parse};

static DOC: OpDoc = OpDoc {
    name: "expr",
    summary: "a numpy-like expression of its inputs",
    text: "Arithmetic, comparisons, `and or not`, `a if c else b`, indexing and slicing, and \
           functions such as sqrt, exp, where, clip, sum, mean, max; types and broadcasting are \
           numpy's. Text, and enumerations by their labels, are compared with == and !=: \
           `shutter == \"open\"`. `present(x)` tells whether an input is there and `default(x, y)` replaces it \
           where it is not; an input that nothing else mentions may be absent. Names are those of the inputs: the keys of a map, or the sources' own names. \
           A mistake is reported with its column.",
    example: r#"{"op": "expr", "in": {"img": "image", "i0": "scalar"}, "expr": "sum(img) / (i0 + 1)"}"#,
    class: Class::PerEvent,
    form: Form::Named,
    with: false,
    params: &[ParamDoc {
        name: "expr",
        kind: "text",
        default: "",
        unit: "",
        range: "an expression of the inputs",
        doc: "what to compute",
    }],
    outputs: &[OutputDoc { name: "value", doc: "type and shape as numpy would give" }],
};

/// The op.
pub struct ExprOp;

impl OpKind for ExprOp {
    fn doc(&self) -> &'static OpDoc {
        &DOC
    }

    fn prepare(&self, args: &Args<'_>) -> Result<Prepared, Fault> {
        let expr = parse(args, "expr")?;
        Ok(Prepared::per_event(Formula { expr, names: args.names.to_vec() }))
    }
}

#[derive(Debug)]
struct Formula {
    expr: Expr,
    names: Vec<String>,
}

impl PerEvent for Formula {
    fn bind(&self, inputs: &[Type]) -> Result<(Vec<Type>, Box<dyn Kernel>), Fault> {
        self.bind_labelled(inputs, &[])
    }

    fn bind_labelled(
        &self,
        inputs: &[Type],
        labels: &[Labels],
    ) -> Result<(Vec<Type>, Box<dyn Kernel>), Fault> {
        let named: Vec<(String, Type)> =
            self.names.iter().cloned().zip(inputs.iter().cloned()).collect();
        let labels: Vec<(String, Labels)> =
            self.names.iter().cloned().zip(labels.iter().cloned()).collect();
        let program =
            self.expr.compile_labelled(&named, &labels).map_err(|e| mistake("expr", &e))?;
        Ok((vec![program.output().clone()], Box::new(Compiled(program))))
    }
}
