//! One event: runs the instructions over its values.

use crate::data::owned_column::scalar_of;
use crate::data::value::{DType, Scalar};
use crate::expr::arithmetic::array;
use crate::expr::arithmetic::index;
use crate::expr::arithmetic::index::Item;
use crate::expr::arithmetic::kernel::{Operand, apply};
use crate::expr::arithmetic::operation::Op;
use crate::expr::arithmetic::promote::sum_type;
use crate::expr::arithmetic::reduce::reduce;
use crate::expr::arithmetic::shape::{Failure, Shape};
use crate::expr::check::ir::Text;
use crate::expr::run::code::{Action, Instruction};
use crate::expr::run::slots::Source;
use crate::expr::run::slots::{Slot, Values, View};

/// Runs instructions from the first to the one before `end`; jumps lead at most there.
/// A failure comes with the column of the text.
pub(in crate::expr) fn run(
    instructions: &mut [Instruction],
    slots: &mut [Slot],
    inputs: &[View<'_>],
    scratch: &mut Vec<u64>,
) -> Result<(), (Failure, usize)> {
    let mut next = 0;
    while let Some(instruction) = instructions.get_mut(next) {
        next += 1;
        let values = Values { inputs, slots };
        match &instruction.action {
            Action::Jump(to) => next = *to,
            Action::JumpIf(source, dtype, when, to) => {
                let holds = truth(&values, *source, *dtype).map_err(|f| (f, instruction.at))?;
                if holds == *when {
                    next = *to;
                }
            }
            _ => {
                // Taken out, as the operands borrow the other slots.
                let mut slot = std::mem::take(&mut slots[instruction.slot]);
                let values = Values { inputs, slots };
                let done = act(&mut instruction.action, &values, scratch, &mut slot);
                slots[instruction.slot] = slot;
                done.map_err(|failure| (failure, instruction.at))?;
            }
        }
    }
    Ok(())
}

/// The truth value of something that must be one element.
fn truth(values: &Values<'_>, source: Source, dtype: DType) -> Result<bool, Failure> {
    let shape = values.shape(source);
    if shape.count() != 1 {
        return Err(Failure::Ambiguous(*shape));
    }
    Ok(scalar_of(dtype, values.data(source)).as_f64() != 0.0)
}

fn act(
    action: &mut Action,
    values: &Values<'_>,
    scratch: &mut Vec<u64>,
    slot: &mut Slot,
) -> Result<(), Failure> {
    match action {
        Action::Fused(fused) => {
            let shape = fused.shape(values)?;
            fused.run(values, &shape, slot.prepare(shape, fused.dtype)?)?;
        }
        Action::TextEqual { left, right, equal } => {
            let holds = text(values, left) == text(values, right);
            slot.set_scalar(Scalar::Bool(holds == *equal));
        }
        Action::Not(source, dtype) => {
            let holds = truth(values, *source, *dtype)?;
            slot.set_scalar(Scalar::Bool(!holds));
        }
        Action::Move(source, from, to) => {
            let (shape, data) = (values.shape(*source), values.data(*source));
            let out = slot.prepare(*shape, *to)?;
            if from == to {
                out.copy_from_slice(data);
            } else {
                apply(Op::Cast(*to), *from, &[Operand::Each(data)], out);
            }
        }
        Action::Reduce(reduction, source, of, axis) => {
            let shape = values.shape(*source);
            let axis = axis.map(|axis| shape.axis(axis)).transpose()?;
            let result = axis.map_or(Shape::SCALAR, |axis| shape.without(axis));
            let out = slot.prepare(result, reduction.result(*of))?;
            reduce(*reduction, *of, values.data(*source), (shape, axis), scratch, out)?;
        }
        Action::Len(source) => {
            let length = values.shape(*source).axes().first().copied();
            let length = length.ok_or(Failure::NeedsAxis("len"))?;
            slot.set_scalar(Scalar::I64(length as i64));
        }
        _ => along(action, values, scratch, slot)?,
    }
    Ok(())
}

/// Instructions whose result has axes of its own.
fn along(
    action: &Action,
    values: &Values<'_>,
    scratch: &mut Vec<u64>,
    slot: &mut Slot,
) -> Result<(), Failure> {
    match action {
        Action::Cumsum(source, of, axis) => {
            let shape = values.shape(*source);
            let axis = axis.map(|axis| shape.axis(axis)).transpose()?;
            let result = if axis.is_some() { *shape } else { Shape::new(&[shape.count()])? };
            let out = slot.prepare(result, sum_type(*of))?;
            array::cumsum(*of, values.data(*source), shape.around(axis), out);
        }
        Action::Diff(source, of, axis) => {
            let shape = values.shape(*source);
            if shape.rank() == 0 {
                return Err(Failure::NeedsAxis("diff"));
            }
            let axis = shape.axis(*axis)?;
            let result = shape.with(axis, shape.axes()[axis].saturating_sub(1));
            let out = slot.prepare(result, *of)?;
            array::diff(*of, values.data(*source), shape.around(Some(axis)), out);
        }
        Action::Sort(source, of, axis) => {
            let shape = values.shape(*source);
            let axis = shape.axis(*axis)?;
            let out = slot.prepare(*shape, *of)?;
            out.copy_from_slice(values.data(*source));
            array::sort(*of, shape.around(Some(axis)), scratch, out);
        }
        Action::Dot(a, b, of) => {
            let product = array::Product::of(values.shape(*a), values.shape(*b))?;
            let out = slot.prepare(product.shape, *of)?;
            array::dot(*of, &product, values.data(*a), values.data(*b), out);
        }
        Action::Index(source, of, items) => {
            let selection = select(values, *source, items)?;
            let out = slot.prepare(selection.shape, *of)?;
            selection.copy(of.size(), values.data(*source), out);
        }
        _ => unreachable!("handled before"),
    }
    Ok(())
}

fn select(
    values: &Values<'_>,
    source: Source,
    items: &[Item<(Source, DType)>],
) -> Result<index::Selection, Failure> {
    let part = |(source, dtype): (Source, DType)| {
        let shape = values.shape(source);
        if shape.rank() != 0 {
            return Err(Failure::IndexNotScalar(*shape));
        }
        Ok(as_index(scalar_of(dtype, values.data(source))))
    };
    index::resolve(values.shape(source), items, part)
}

/// An integer as an index; what is beyond i64 is beyond every axis.
fn as_index(scalar: Scalar) -> i64 {
    match scalar {
        Scalar::U64(v) => i64::try_from(v).unwrap_or(i64::MAX),
        Scalar::I64(v) => v,
        // 32 bits and less are exact in f64; the checker lets no floats through.
        small => small.as_f64() as i64,
    }
}

/// The text of an operand in this event.
pub(in crate::expr) fn text<'a>(values: &Values<'a>, text: &'a Text) -> &'a str {
    match text {
        Text::Input(input) => values.inputs[*input].text,
        Text::Literal(literal) => literal,
    }
}
