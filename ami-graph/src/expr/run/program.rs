//! A compiled expression over a batch: all events at once where every value is a scalar, event
//! by event otherwise.

use crate::data::batch::{Column, Dims};
use crate::data::owned_column::{EventErrors, OwnedColumn, scalar_bytes};
use crate::data::reused_lists::Few;
use crate::data::types::Type;
use crate::data::value::{DType, Scalar, Value};
use crate::expr::arithmetic::shape::{Failure, Shape};
use crate::expr::run::code::{Action, Code};
use crate::expr::run::exec;
use crate::expr::run::inputs::{Declared, Lent, clear_absent, presence, text_at, text_of};
use crate::expr::run::slots::Source;
use crate::expr::run::slots::{Values, View};

/// How a batch is gone through.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::expr) enum Mode {
    /// The same in every event.
    Constant(Scalar),
    /// A text handed on.
    Text,
    /// Every value computed with is one scalar per event, and nothing can fail.
    Columns,
    /// Event by event.
    Events,
}

/// A compiled expression with its scratch memory.
#[derive(Debug, Clone)]
pub struct Program {
    pub(in crate::expr) output: Type,
    pub(in crate::expr) code: Code,
    pub(in crate::expr) mode: Mode,
    /// Inputs by number; those that the expression does not mention are not looked at.
    pub(in crate::expr) inputs: Vec<Declared>,
    pub(in crate::expr) scratch: Vec<u64>,
    /// Bytes of constant scalar inputs, lent to the views.
    pub(in crate::expr) constants: Vec<u64>,
    /// Lent to the views of inputs that are absent and need not be there.
    pub(in crate::expr) zeros: Vec<u64>,
    /// Per input, whether it is present in the events of the batch; None when it is never asked.
    pub(in crate::expr) presence: Option<Vec<Vec<u8>>>,
}

impl Program {
    /// The type of its value. Where the rank is not known, [`eval`](Self::eval) makes arrays,
    /// scalars among them as arrays without axes.
    pub fn output(&self) -> &Type {
        &self.output
    }

    /// Evaluates over a batch. `inputs` are in the order given to
    /// [`Expr::compile`](crate::expr::Expr::compile). An event that lacks an input the expression
    /// needs, or in which it fails, is absent in `out`; failures are recorded.
    pub fn eval(
        &mut self,
        events: usize,
        inputs: &[&Column<'_>],
        out: &mut OwnedColumn,
        errors: &mut EventErrors,
    ) {
        if let Mode::Constant(scalar) = self.mode {
            return out.set_constant(Value::Scalar(scalar));
        }
        let used = || self.inputs.iter().zip(inputs).filter(|(declared, _)| declared.used);
        let missing = used().count() < self.inputs.iter().filter(|d| d.used).count();
        if missing || used().any(|(d, column)| d.required && matches!(column, Column::Absent)) {
            return out.set_absent();
        }
        let refused = used().find_map(|(d, column)| Some((&d.name, d.refuses(column, events)?)));
        if let Some((name, failure)) = refused {
            for _ in 0..events {
                errors.record(|| format!("input {name}: {failure}"));
            }
            return out.set_absent();
        }
        self.constants.clear();
        self.constants.extend(inputs.iter().map(|column| match column {
            Column::Constant(Value::Scalar(s)) => bytemuck::pod_read_unaligned(&scalar_bytes(*s)),
            _ => 0u64,
        }));
        if let Some(marks) = &mut self.presence {
            marks.resize_with(self.inputs.len(), Vec::new);
            marks.iter_mut().zip(inputs).for_each(|(marks, column)| presence(column, marks));
        }
        match self.mode {
            Mode::Columns => self.columns(events, inputs, out),
            Mode::Text => self.texts(events, inputs, out),
            _ => self.events(events, inputs, out, errors),
        }
    }

    fn texts(&self, events: usize, inputs: &[&Column<'_>], out: &mut OwnedColumn) {
        out.start_strings();
        let Source::Input(input) = self.code.root else { return };
        for event in 0..events {
            match text_of(inputs[input], event) {
                Some(text) => out.push_str(text),
                None => out.push_absent(),
            }
        }
    }

    /// All events at once: columns are values whose only axis is the events.
    fn columns(&mut self, events: usize, inputs: &[&Column<'_>], out: &mut OwnedColumn) {
        out.start_scalars(self.output.dtype, events);
        let shape = Shape::along(events);
        for (column, _) in inputs.iter().zip(&self.inputs).filter(|(_, d)| d.required) {
            clear_absent(column, out.present_mut());
        }
        let Program { inputs: declared, code, constants, zeros, presence, .. } = self;
        let lent = Lent { constants, zeros, presence: presence.as_deref().unwrap_or_default() };
        let views = lent.over_batch(declared, inputs, events);
        let Code { instructions, slots, root } = code;
        for instruction in instructions.iter_mut() {
            match &mut instruction.action {
                Action::TextEqual { left, right, equal } => {
                    // Bools of a batch are far below the limit of an array.
                    let slot = slots[instruction.slot].prepare(shape, DType::Bool);
                    for (event, to) in slot.into_iter().flatten().enumerate() {
                        let text = |side| text_at(side, inputs, event);
                        *to = u8::from((text(left) == text(right)) == *equal);
                    }
                }
                Action::Fused(fused) => {
                    let values = Values { inputs: &views, slots };
                    // It cannot fail: only what cannot is computed for all events at once. It is
                    // the only group and thus the result.
                    let _ = fused.run(&values, &shape, out.scalar_bytes_mut());
                    return;
                }
                _ => unreachable!("scalars are only computed with element by element"),
            }
        }
        let data = Values { inputs: &views, slots }.data(*root);
        let out = out.scalar_bytes_mut();
        // Shorter than a column when the input is a constant.
        for to in out.chunks_exact_mut(data.len().max(1)) {
            to.copy_from_slice(data);
        }
    }

    fn events(
        &mut self,
        events: usize,
        inputs: &[&Column<'_>],
        out: &mut OwnedColumn,
        errors: &mut EventErrors,
    ) {
        if self.output.is_scalar() {
            out.start_pushed_scalars(self.output.dtype);
        } else {
            out.start_arrays(self.output.dtype);
        }
        let Program { output, code, inputs: declared, scratch, constants, zeros, presence, .. } =
            self;
        let lent = Lent { constants, zeros, presence: presence.as_deref().unwrap_or_default() };
        let mut views: Few<View<'_>> = Few::new();
        for event in 0..events {
            views.clear();
            let done = match lent.in_event(declared, inputs, event, &mut views) {
                Ok(()) => one_event(code, output, &views, scratch, out),
                Err(None) => {
                    out.push_absent();
                    continue;
                }
                Err(Some(failure)) => Err((failure, 0)),
            };
            if let Err((failure, at)) = done {
                errors.record(|| match declared.get(views.len()) {
                    Some(input) => format!("input {}: {failure}", input.name),
                    None => format!("column {at}: {failure}"),
                });
                out.push_absent();
            }
        }
    }
}

/// Computes one event and adds its value; adds nothing when it fails.
fn one_event(
    code: &mut Code,
    output: &Type,
    views: &[View<'_>],
    scratch: &mut Vec<u64>,
    out: &mut OwnedColumn,
) -> Result<(), (Failure, usize)> {
    let Code { instructions, slots, root } = code;
    let dims = |shape: &Shape| Dims::new(shape.axes()).ok_or(Failure::TooLarge(*shape));
    if let Some((last, before)) = instructions.split_last_mut()
        && let Action::Fused(fused) = &mut last.action
        && *root == Source::Slot(last.slot)
        && !output.is_scalar()
        && !fused.fallible()
    {
        // Straight into the column: results may be large images.
        exec::run(before, slots, views, scratch)?;
        let values = Values { inputs: views, slots };
        let place = |failure| (failure, last.at);
        let shape = fused.shape(&values).map_err(place)?;
        shape.bytes(fused.dtype).map_err(place)?;
        let to = out.reserve_array(dims(&shape).map_err(place)?);
        return fused.run(&values, &shape, to).map_err(place);
    }
    exec::run(instructions, slots, views, scratch)?;
    let values = Values { inputs: views, slots };
    if output.is_scalar() {
        out.push_scalar_bytes(values.data(*root));
    } else {
        let dims = dims(values.shape(*root)).map_err(|failure| (failure, 1))?;
        out.push_array(dims, values.data(*root));
    }
    Ok(())
}
