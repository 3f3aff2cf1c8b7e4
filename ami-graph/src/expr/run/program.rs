//! A compiled expression over a batch: all events at once where every value is a scalar, event
//! by event otherwise.

use crate::data::batch::{Column, Dims};
use crate::data::owned_column::{EventErrors, OwnedColumn, scalar_bytes};
use crate::data::reused_lists::Few;
use crate::data::types::Type;
use crate::data::value::{DType, Scalar, Value};
use crate::expr::arithmetic::shape::{Failure, Shape};
use crate::expr::check::ir::Text;
use crate::expr::run::code::{Action, Code};
use crate::expr::run::exec;
use crate::expr::run::slots::Source;
use crate::expr::run::slots::{Values, View};
use smallvec::smallvec;

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
}

/// What an input was checked as.
#[derive(Debug, Clone)]
pub(in crate::expr) struct Declared {
    pub name: String,
    /// Mentioned in the expression, and so needed in an event for it to have a value.
    pub used: bool,
    pub dtype: DType,
    pub rank: Option<usize>,
}

impl Program {
    /// The type of its value. Where the rank is not known, [`eval`](Self::eval) makes arrays,
    /// scalars among them as arrays without axes.
    pub fn output(&self) -> &Type {
        &self.output
    }

    /// Evaluates over a batch. `inputs` are in the order given to
    /// [`Expr::compile`](crate::expr::Expr::compile). An event that lacks an input the expression
    /// mentions, or in which it fails, is absent in `out`; failures are recorded.
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
        if missing || used().any(|(_, column)| matches!(column, Column::Absent)) {
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
        let mut views: Few<View<'_>> = smallvec![NOTHING; self.inputs.len()];
        for (i, (column, declared)) in inputs.iter().zip(&self.inputs).enumerate() {
            if !declared.used {
                continue;
            }
            clear_absent(column, out.present_mut());
            match column {
                Column::Scalars { data, .. } => views[i] = View { shape, data, text: "" },
                Column::Constant(Value::Scalar(s)) => {
                    let bytes: &[u8] = bytemuck::bytes_of(&self.constants[i]);
                    views[i].data = &bytes[..s.dtype().size()];
                }
                _ => {}
            }
        }
        let Code { instructions, slots, root } = &mut self.code;
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
        let Program { output, code, inputs: declared, scratch, constants, .. } = self;
        let mut views: Few<View<'_>> = Few::new();
        for event in 0..events {
            views.clear();
            let columns = declared.iter().zip(inputs).zip(constants.iter());
            let viewed = columns.into_iter().try_for_each(|((declared, column), constant)| {
                views.push(declared.view(column, constant, event)?);
                Ok(())
            });
            let done = match viewed {
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

const NOTHING: View<'_> = View { shape: Shape::SCALAR, data: &[], text: "" };

impl Declared {
    /// Why a column cannot be computed with; the graph was checked for another.
    fn refuses(&self, column: &Column<'_>, events: usize) -> Option<Failure> {
        let found = match column {
            Column::Absent => return None,
            Column::Constant(value) => value.dtype(),
            Column::Scalars { dtype, .. } | Column::Arrays { dtype, .. } => *dtype,
            Column::Strings(_) => DType::Str,
        };
        if found != self.dtype {
            return Some(Failure::InputType(found));
        }
        let (rank, fits) = match column {
            Column::Constant(Value::Array(a)) => (a.shape().len(), true),
            // The rank of each array is looked at in its event.
            Column::Arrays { items, .. } => {
                let rank = if self.rank == Some(0) { 1 } else { self.rank.unwrap_or(0) };
                (rank, items.len() == events)
            }
            Column::Scalars { dtype, data, present } => {
                let marks = present.is_none_or(|p| p.len() == events);
                let aligned = (data.as_ptr() as usize).is_multiple_of(dtype.size());
                (0, marks && aligned && data.len() == events * dtype.size())
            }
            Column::Strings(texts) => (0, texts.len() == events),
            _ => (0, true),
        };
        if self.rank.is_some_and(|declared| declared != rank) {
            return Some(Failure::InputRank(rank));
        }
        (!fits).then_some(Failure::InputBytes)
    }

    /// The value in one event; `Err(None)` when it is absent. `constant` holds the bytes of a
    /// scalar that is the same in every event.
    fn view<'a>(
        &self,
        column: &'a Column<'_>,
        constant: &'a u64,
        event: usize,
    ) -> Result<View<'a>, Option<Failure>> {
        if !self.used {
            return Ok(NOTHING);
        }
        let size = self.dtype.size();
        let shape = Shape::SCALAR;
        match column {
            Column::Absent => Err(None),
            Column::Constant(Value::Scalar(_)) => {
                let bytes: &[u8] = bytemuck::bytes_of(constant);
                Ok(View { shape, data: &bytes[..size], text: "" })
            }
            Column::Constant(Value::Array(array)) => {
                let shape = Shape::new(array.shape())?;
                Ok(View { shape, data: array.bytes(), text: "" })
            }
            Column::Scalars { data, present, .. } => {
                if present.is_some_and(|p| p[event] == 0) {
                    return Err(None);
                }
                Ok(View { shape, data: &data[event * size..][..size], text: "" })
            }
            Column::Strings(_) | Column::Constant(Value::Str(_)) => {
                let text = text_of(column, event).ok_or(None)?;
                Ok(View { shape, data: &[], text })
            }
            Column::Arrays { items, .. } => {
                let item = items[event].as_ref().ok_or(None)?;
                let shape = Shape::of(&item.dims);
                if self.rank.is_some_and(|rank| rank != shape.rank()) {
                    return Err(Some(Failure::InputRank(shape.rank())));
                }
                let bytes = item.dims.count().and_then(|n| n.checked_mul(size));
                let aligned = (item.data.as_ptr() as usize).is_multiple_of(size);
                if bytes != Some(item.data.len()) || !aligned {
                    return Err(Some(Failure::InputBytes));
                }
                Ok(View { shape, data: item.data, text: "" })
            }
        }
    }
}

/// Marks the events absent in which the column is.
fn clear_absent(column: &Column<'_>, present: &mut [u8]) {
    match column {
        Column::Scalars { present: Some(own), .. } => {
            present.iter_mut().zip(*own).for_each(|(to, &from)| *to &= u8::from(from != 0));
        }
        Column::Strings(texts) => {
            present.iter_mut().zip(texts).for_each(|(to, text)| *to &= u8::from(text.is_some()));
        }
        // Mentioned, but in a branch that is never taken.
        Column::Arrays { items, .. } => {
            present.iter_mut().zip(items).for_each(|(to, item)| *to &= u8::from(item.is_some()));
        }
        _ => {}
    }
}

/// The text of a column in one event.
fn text_of<'a>(column: &'a Column<'_>, event: usize) -> Option<&'a str> {
    match column {
        Column::Strings(texts) => texts.get(event).copied().flatten(),
        Column::Constant(Value::Str(text)) => Some(text),
        _ => None,
    }
}

fn text_at<'a>(text: &'a Text, inputs: &'a [&Column<'_>], event: usize) -> &'a str {
    match text {
        Text::Literal(literal) => literal,
        Text::Input(input) => text_of(inputs[*input], event).unwrap_or(""),
    }
}
