//! `gate`: passes its inputs in those events in which a condition holds.

use crate::data::batch::Column;
use crate::data::column_views::value_at;
use crate::data::event_values::with_items;
use crate::data::owned_column::{EventErrors, OwnedColumn};
use crate::data::reused_lists::Few;
use crate::data::schema::Labels;
use crate::data::types::Type;
use crate::data::value::{DType, Value};
use crate::error::Fault;
use crate::expr::{Expr, Program};
use crate::op::doc::{Class, Form, OpDoc, OutputDoc, ParamDoc};
use crate::op::kind::{Body, OpKind, Prepared};
use crate::op::parameters::Args;
use crate::op::per_event::{Kernel, PerEvent};
use crate::ops::expression::{mistake, parse};

static DOC: OpDoc = OpDoc {
    name: "gate",
    summary: "passes its inputs when an expression is true",
    text: "In events in which `when` is true (not zero), and every input is present, the outputs \
           are the inputs; otherwise they are absent. The expression may use the names of `with` \
           and of the inputs; `not present(x)` passes events in which an input of `with` is absent. Outputs are named as the inputs: `value` for one, `value0`, \
           `value1` … for a list, the keys of a map.",
    example: r#"{"op": "gate", "in": "scalar", "with": {"laser": "flag"}, "when": "laser == 1"}"#,
    class: Class::PerEvent,
    form: Form::Values,
    with: true,
    params: &[ParamDoc {
        name: "when",
        kind: "text",
        default: "",
        unit: "",
        range: "an expression that gives one number or bool",
        doc: "the condition",
    }],
    outputs: &[OutputDoc { name: "value…", doc: "the input, or absent" }],
};

/// The op.
pub struct Gate;

impl OpKind for Gate {
    fn doc(&self) -> &'static OpDoc {
        &DOC
    }

    fn prepare(&self, args: &Args<'_>) -> Result<Prepared, Fault> {
        let count = args.names.len() - args.with;
        let (values, with) = args.names.split_at(count);
        if let Some(name) = with.iter().find(|name| values.contains(name)) {
            let reason = format!("{name:?} is a name of `in` and of `with`");
            return Err(Fault::of("with", reason, "name one of them otherwise"));
        }
        let expr = parse(args, "when")?;
        let body = Body::PerEvent(Box::new(Condition { expr, names: args.names.to_vec(), count }));
        Ok(Prepared { outputs: values.to_vec(), body })
    }
}

#[derive(Debug)]
struct Condition {
    expr: Expr,
    names: Vec<String>,
    /// Inputs that pass; the others are for the expression.
    count: usize,
}

impl PerEvent for Condition {
    fn bind(&self, inputs: &[Type]) -> Result<(Vec<Type>, Box<dyn Kernel>), Fault> {
        self.bind_labelled(inputs, &[])
    }

    fn passes(&self, output: usize) -> Option<usize> {
        Some(output)
    }

    fn bind_labelled(
        &self,
        inputs: &[Type],
        labels: &[Labels],
    ) -> Result<(Vec<Type>, Box<dyn Kernel>), Fault> {
        // Only what the expression mentions: it would else be absent where an image is.
        let used: Vec<usize> =
            (0..self.names.len()).filter(|&k| self.expr.names().contains(&self.names[k])).collect();
        let named: Vec<(String, Type)> =
            used.iter().map(|&k| (self.names[k].clone(), inputs[k].clone())).collect();
        let labels: Vec<(String, Labels)> = used
            .iter()
            .filter_map(|&k| Some((self.names[k].clone(), labels.get(k)?.clone())))
            .collect();
        let program =
            self.expr.compile_labelled(&named, &labels).map_err(|e| mistake("when", &e))?;
        let output = program.output();
        if output.rank.is_some_and(|rank| rank > 0) || output.dtype == DType::Str {
            let reason = format!("the condition gives {output}, not one number or bool");
            return Err(Fault::of("when", reason, "reduce it, for example by any(…) or all(…)"));
        }
        let kernel = Gating {
            program,
            used,
            count: self.count,
            decided: OwnedColumn::new(),
            open: Vec::new(),
        };
        Ok((inputs[..self.count].to_vec(), Box::new(kernel)))
    }
}

struct Gating {
    program: Program,
    used: Vec<usize>,
    count: usize,
    decided: OwnedColumn,
    /// One byte per event: whether the inputs pass.
    open: Vec<u8>,
}

impl Kernel for Gating {
    fn run(
        &mut self,
        events: usize,
        inputs: &[&Column<'_>],
        outputs: &mut [OwnedColumn],
        errors: &mut EventErrors,
    ) {
        let asked: Few<&Column<'_>> = self.used.iter().map(|&k| inputs[k]).collect();
        self.program.eval(events, &asked, &mut self.decided, errors);
        self.open.clear();
        self.open.resize(events, 0);
        decide(&self.decided.view(), events, &mut self.open, errors);
        for input in &inputs[..self.count] {
            close_where_absent(input, &mut self.open);
        }
        for (input, output) in inputs.iter().zip(outputs) {
            pass(input, &self.open, output);
        }
    }
}

/// Opens the events in which the condition is not zero.
pub fn decide(condition: &Column<'_>, events: usize, open: &mut [u8], errors: &mut EventErrors) {
    if let Column::Scalars { dtype: DType::Bool, data, present } = condition {
        match present {
            None => open.iter_mut().zip(*data).for_each(|(o, &d)| *o = u8::from(d != 0)),
            Some(present) => open
                .iter_mut()
                .zip(data.iter().zip(*present))
                .for_each(|(o, (&d, &p))| *o = u8::from(d != 0 && p != 0)),
        }
        return;
    }
    for (event, open) in open.iter_mut().enumerate().take(events) {
        match value_at(condition, event) {
            Some(Value::Scalar(s)) => *open = u8::from(s.as_f64() != 0.0),
            Some(_) => errors.record(|| "the condition is an array; use any(…) or all(…)".into()),
            None => {}
        }
    }
}

fn close_where_absent(column: &Column<'_>, open: &mut [u8]) {
    match column {
        Column::Absent => open.fill(0),
        Column::Constant(_) | Column::Scalars { present: None, .. } => {}
        Column::Scalars { present: Some(present), .. } => {
            open.iter_mut().zip(*present).for_each(|(o, &p)| *o &= u8::from(p != 0));
        }
        Column::Strings(texts) => {
            open.iter_mut().zip(texts).for_each(|(o, t)| *o &= u8::from(t.is_some()));
        }
        Column::Arrays { items, .. } => {
            open.iter_mut().zip(items).for_each(|(o, a)| *o &= u8::from(a.is_some()));
        }
    }
}

/// Copies a column where it is open.
fn pass(column: &Column<'_>, open: &[u8], output: &mut OwnedColumn) {
    match column {
        Column::Absent => output.set_absent(),
        Column::Constant(value) if !open.contains(&0) => output.set_constant((*value).clone()),
        Column::Constant(Value::Str(text)) => pass_texts(open, output, |_| text),
        Column::Strings(texts) => pass_texts(open, output, |i| texts[i].unwrap_or_default()),
        Column::Scalars { dtype, data, .. } => {
            output.start_scalars(*dtype, open.len());
            output.scalar_bytes_mut().copy_from_slice(data);
            output.present_mut().copy_from_slice(open);
        }
        Column::Arrays { .. } | Column::Constant(_) => pass_numbers(column, open, output),
    }
}

fn pass_texts<'a>(open: &[u8], output: &mut OwnedColumn, text: impl Fn(usize) -> &'a str) {
    output.start_strings();
    for (event, &open) in open.iter().enumerate() {
        if open != 0 { output.push_str(text(event)) } else { output.push_absent() }
    }
}

fn pass_numbers(column: &Column<'_>, open: &[u8], output: &mut OwnedColumn) {
    with_items(column, open.len(), |items| {
        let scalars = matches!(column, Column::Constant(Value::Scalar(_)));
        if scalars {
            output.start_pushed_scalars(items.dtype);
        } else {
            output.start_arrays(items.dtype);
        }
        for (event, &open) in open.iter().enumerate() {
            match items.get(event).filter(|_| open != 0) {
                Some(item) if scalars => output.push_scalar_bytes(item.data),
                Some(item) => output.push_array(item.dims, item.data),
                None => output.push_absent(),
            }
        }
    });
}
