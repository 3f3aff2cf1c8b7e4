//! `expr`: a numpy-like expression of its inputs.

use super::{Class, Form, Kernel, OpDoc, OpKind, OutputDoc, ParamDoc, PerEvent, Prepared};
use crate::batch::Column;
use crate::column::{EventErrors, OwnedColumn};
use crate::error::{Fault, nearest};
use crate::expr::{Expr, Labels, Program};
use crate::params::Args;
use crate::types::Type;

static DOC: OpDoc = OpDoc {
    name: "expr",
    summary: "a numpy-like expression of its inputs",
    text: "Arithmetic, comparisons, `and or not`, `a if c else b`, indexing and slicing, and \
           functions such as sqrt, exp, where, clip, sum, mean, max; types and broadcasting are \
           numpy's. Text, and enumerations by their labels, are compared with == and !=: \
           `shutter == \"open\"`. Names are those of the inputs: the keys of a map, or the sources' own names. \
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

/// Parses the expression in a parameter and looks its names up among the inputs.
pub fn parse(args: &Args<'_>, parameter: &str) -> Result<Expr, Fault> {
    parse_text(args, parameter, args.text(parameter, "an expression of the inputs")?)
}

/// Parses an expression that stands somewhere in a parameter.
pub fn parse_text(args: &Args<'_>, parameter: &str, text: &str) -> Result<Expr, Fault> {
    let expr = Expr::parse(text).map_err(|e| mistake(parameter, &e))?;
    let unknown = expr.names().iter().find(|name| !args.names.contains(name));
    match unknown {
        None => Ok(expr),
        Some(name) => {
            let hint = nearest(name, args.names.iter().map(String::as_str));
            Err(Fault::of(parameter, format!("there is no input {name:?}"), hint))
        }
    }
}

/// An op that is a fixed expression of its inputs.
///
/// # Errors
/// When it has no meaning for them.
pub fn compiled(
    text: &str,
    names: &[&str],
    inputs: &[Type],
) -> Result<(Vec<Type>, Box<dyn Kernel>), Fault> {
    let named: Vec<(String, Type)> =
        names.iter().map(|&name| name.to_owned()).zip(inputs.iter().cloned()).collect();
    let expr = Expr::parse(text).map_err(|e| mistake("in", &e))?;
    let program = expr.compile(&named).map_err(|e| {
        let all: Vec<String> = inputs.iter().map(ToString::to_string).collect();
        Fault::of("in", e.message, format!("the inputs are {}", all.join(", ")))
    })?;
    Ok((vec![program.output().clone()], Box::new(Compiled(program))))
}

/// A mistake in an expression as a fault of its parameter.
pub fn mistake(parameter: &str, error: &crate::expr::ExprError) -> Fault {
    let reason = format!("column {}: {}", error.column, error.message);
    Fault::of(parameter, reason, error.hint.clone())
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

struct Compiled(Program);

impl Kernel for Compiled {
    fn run(
        &mut self,
        events: usize,
        inputs: &[&Column<'_>],
        outputs: &mut [OwnedColumn],
        errors: &mut EventErrors,
    ) {
        self.0.eval(events, inputs, &mut outputs[0], errors);
    }
}
