//! What a program reads: the inputs it was checked for, looked up in the columns of a batch.

use crate::data::batch::Column;
use crate::data::reused_lists::Few;
use crate::data::value::{DType, Value};
use crate::expr::arithmetic::shape::{Failure, Shape};
use crate::expr::check::ir::Text;
use crate::expr::run::slots::View;
use smallvec::smallvec;

/// What an input was checked as.
#[derive(Debug, Clone)]
pub(in crate::expr) struct Declared {
    pub name: String,
    /// Mentioned in the expression.
    pub used: bool,
    /// Needed in an event for it to have a value.
    pub required: bool,
    /// Shape of the zeros that stand where it is absent and need not be there.
    pub filler: Shape,
    pub dtype: DType,
    pub rank: Option<usize>,
}

/// Memory of a program that views of its inputs borrow.
#[derive(Clone, Copy)]
pub(super) struct Lent<'a> {
    /// Bytes of scalars that are the same in every event.
    pub constants: &'a [u64],
    pub zeros: &'a [u64],
    /// Per input as [`presence`] has it; empty when it is never asked.
    pub presence: &'a [Vec<u8>],
}

impl<'a> Lent<'a> {
    /// Scalar inputs over all events of a batch, then their presence.
    pub fn over_batch(
        &self,
        declared: &[Declared],
        inputs: &[&'a Column<'_>],
        events: usize,
    ) -> Few<View<'a>> {
        let shape = Shape::along(events);
        let mut views: Few<View<'_>> = smallvec![NOTHING; declared.len()];
        for (i, (column, declared)) in inputs.iter().zip(declared).enumerate() {
            match column {
                _ if !declared.used => {}
                Column::Scalars { data, .. } => views[i] = View { shape, data, text: "" },
                Column::Constant(Value::Scalar(s)) => {
                    let bytes: &[u8] = bytemuck::bytes_of(&self.constants[i]);
                    views[i].data = &bytes[..s.dtype().size()];
                }
                Column::Absent => views[i] = declared.filler(self.zeros),
                _ => {}
            }
        }
        views.extend(self.presence.iter().map(|marks| {
            let each = marks.len() == events;
            View { shape: if each { shape } else { Shape::SCALAR }, data: marks, text: "" }
        }));
        views
    }

    /// The inputs in one event, then their presence.
    ///
    /// # Errors
    /// When one that is required is absent (None) or is not as it was declared.
    pub fn in_event(
        &self,
        declared: &[Declared],
        inputs: &[&'a Column<'_>],
        event: usize,
        views: &mut Few<View<'a>>,
    ) -> Result<(), Option<Failure>> {
        for ((declared, column), constant) in declared.iter().zip(inputs).zip(self.constants) {
            views.push(match declared.view(column, constant, event) {
                Err(None) if !declared.required => declared.filler(self.zeros),
                viewed => viewed?,
            });
        }
        views.resize(declared.len(), NOTHING);
        views.extend(self.presence.iter().map(|marks| {
            let mark = marks.get(event).or(marks.last());
            let data = mark.map_or(&[][..], std::slice::from_ref);
            View { shape: Shape::SCALAR, data, text: "" }
        }));
        Ok(())
    }
}

/// Of an input that is not looked at.
const NOTHING: View<'_> = View { shape: Shape::SCALAR, data: &[], text: "" };

impl Declared {
    /// Bytes of the zeros that stand for it.
    pub fn filler_bytes(&self) -> usize {
        if self.used && !self.required { self.filler.count() * self.dtype.size() } else { 0 }
    }

    /// What stands for it where it is absent; nothing takes it.
    pub fn filler<'a>(&self, zeros: &'a [u64]) -> View<'a> {
        let data = &bytemuck::cast_slice(zeros)[..self.filler_bytes()];
        View { shape: self.filler, data, text: "" }
    }

    /// Why a column cannot be computed with; the graph was checked for another.
    pub fn refuses(&self, column: &Column<'_>, events: usize) -> Option<Failure> {
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

/// One byte per event: whether the column has a value in it. One byte for all where that is the same.
pub(super) fn presence(column: &Column<'_>, marks: &mut Vec<u8>) {
    marks.clear();
    match column {
        Column::Absent => marks.push(0),
        Column::Constant(_) | Column::Scalars { present: None, .. } => marks.push(1),
        Column::Scalars { present: Some(present), .. } => {
            marks.extend(present.iter().map(|&p| u8::from(p != 0)));
        }
        Column::Strings(texts) => marks.extend(texts.iter().map(|t| u8::from(t.is_some()))),
        Column::Arrays { items, .. } => marks.extend(items.iter().map(|a| u8::from(a.is_some()))),
    }
}

/// Marks the events absent in which the column is.
pub(super) fn clear_absent(column: &Column<'_>, present: &mut [u8]) {
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
pub(super) fn text_of<'a>(column: &'a Column<'_>, event: usize) -> Option<&'a str> {
    match column {
        Column::Strings(texts) => texts.get(event).copied().flatten(),
        Column::Constant(Value::Str(text)) => Some(text),
        _ => None,
    }
}

pub(super) fn text_at<'a>(text: &'a Text, inputs: &'a [&Column<'_>], event: usize) -> &'a str {
    match text {
        Text::Literal(literal) => literal,
        Text::Input(input) => text_of(inputs[*input], event).unwrap_or(""),
    }
}
