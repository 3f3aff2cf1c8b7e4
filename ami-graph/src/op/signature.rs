//! Signatures: the element types and shapes of a reduction's inputs, and which events have all.

use crate::data::batch::Column;
use crate::data::bytes::{Reader, Writer};
use crate::data::value::DType;
use crate::error::DecodeError;

/// How much of an input's type a state depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sense {
    /// Any type and shape go together.
    Nothing,
    /// One element type, any shape.
    Types,
    /// One element type and one shape.
    Shapes,
}

/// Element types and shapes that a state was started with, one per input; empty shape where the
/// op does not care.
pub type Signature = Vec<(DType, Vec<u32>)>;

/// What differs between inputs that do not go together: their element types, their shapes or both.
pub fn difference<'a>(all: impl Iterator<Item = &'a Signature> + Clone) -> &'static str {
    let types = |s: &'a Signature| s.iter().map(|(dtype, _)| *dtype);
    let shapes = |s: &'a Signature| s.iter().map(|(_, axes)| axes);
    let Some(first) = all.clone().next() else { return "shape" };
    let retyped = all.clone().any(|s| !types(s).eq(types(first)));
    match (retyped, all.clone().any(|s| !shapes(s).eq(shapes(first)))) {
        (true, false) => "type",
        (true, true) => "type and shape",
        _ => "shape",
    }
}

/// For people.
pub fn describe(signature: &Signature) -> String {
    let one = |(dtype, axes): &(DType, Vec<u32>)| format!("{dtype} {axes:?}");
    signature.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// A signature as bytes.
pub fn write(signature: &Signature, writer: &mut Writer) {
    writer.u32(signature.len() as u32);
    for (dtype, axes) in signature {
        writer.dtype(*dtype);
        writer.shape(&axes.iter().map(|&a| a as usize).collect::<Vec<_>>());
    }
}

/// Reads what [`write()`] wrote.
///
/// # Errors
/// When the bytes are not a signature.
pub fn read(reader: &mut Reader<'_>) -> Result<Signature, DecodeError> {
    let count = reader.count(2, "signature")?;
    let one = |_| {
        let dtype = reader.dtype("signature")?;
        let axes = reader.shape("signature")?;
        let narrow = axes.iter().map(|&a| u32::try_from(a)).collect::<Result<_, _>>();
        Ok((dtype, narrow.map_err(|e| DecodeError::invalid("signature", e))?))
    };
    (0..count).map(one).collect()
}

/// True for arrays, whose shape may vary from event to event.
pub fn is_arrays(column: &Column<'_>) -> bool {
    matches!(column, Column::Arrays { .. })
}

/// Number of events of the first column.
pub fn events_in(columns: &[&Column<'_>]) -> usize {
    columns.first().map_or(0, |column| match column {
        Column::Scalars { dtype, data, .. } => data.len() / dtype.size(),
        Column::Strings(texts) => texts.len(),
        Column::Arrays { items, .. } => items.len(),
        Column::Absent | Column::Constant(_) => 0,
    })
}

/// Element type and axes of one event's value.
fn type_at<'a>(column: &'a Column<'_>, event: usize) -> (DType, &'a [u32]) {
    match column {
        Column::Scalars { dtype, .. } => (*dtype, &[]),
        Column::Arrays { dtype, items } => {
            (*dtype, items[event].as_ref().map_or(&[], |item| item.dims.axes()))
        }
        Column::Strings(_) | Column::Absent | Column::Constant(_) => (DType::Str, &[]),
    }
}

/// True when one event's value is as a signature has it, as far as the op cares.
pub fn matches(sense: Sense, column: &Column<'_>, event: usize, one: &(DType, Vec<u32>)) -> bool {
    let (dtype, axes) = type_at(column, event);
    match sense {
        Sense::Nothing => true,
        Sense::Types => dtype == one.0,
        Sense::Shapes => dtype == one.0 && axes == one.1,
    }
}

/// What a state is started with by one event, given how much each input's type matters.
pub fn signature_at(
    sense: impl Fn(usize) -> Sense,
    columns: &[&Column<'_>],
    event: usize,
) -> Signature {
    let one = |(k, column): (usize, &&Column<'_>)| {
        let (dtype, axes) = type_at(column, event);
        match sense(k) {
            Sense::Nothing => (DType::Bool, Vec::new()),
            Sense::Types => (dtype, Vec::new()),
            Sense::Shapes => (dtype, axes.to_vec()),
        }
    };
    columns.iter().enumerate().map(one).collect()
}

/// Element types and full shapes of one event's values, whatever the op cares for.
pub fn types_at(columns: &[&Column<'_>], event: usize) -> Signature {
    let one = |column: &&Column<'_>| {
        let (dtype, axes) = type_at(column, event);
        (dtype, axes.to_vec())
    };
    columns.iter().map(one).collect()
}

/// Marks the events in which one of these columns has a value, and counts them.
pub fn mask_of_any(columns: &[&Column<'_>], count: usize, mask: &mut Vec<u8>) -> usize {
    let (mut any, mut one) = (vec![0; count], Vec::new());
    for column in columns {
        if mask_of(&[column], count, &mut one).is_some() {
            any.iter_mut().zip(&one).for_each(|(any, here)| *any |= here);
        }
    }
    *mask = any;
    mask.iter().map(|&here| usize::from(here)).sum()
}

/// Events in which every column has a value: whether `mask` is needed to say so, and how many.
/// None when a column has none at all.
pub fn mask_of(columns: &[&Column<'_>], count: usize, mask: &mut Vec<u8>) -> Option<(bool, usize)> {
    mask.clear();
    mask.resize(count, 1);
    let mut masked = false;
    for column in columns {
        match column {
            Column::Absent => return None,
            Column::Constant(_) | Column::Scalars { present: None, .. } => {}
            Column::Scalars { present: Some(present), .. } => {
                masked = true;
                mask.iter_mut().zip(*present).for_each(|(m, &p)| *m &= u8::from(p != 0));
            }
            Column::Strings(texts) => {
                masked = true;
                mask.iter_mut().zip(texts).for_each(|(m, t)| *m &= u8::from(t.is_some()));
            }
            Column::Arrays { items, .. } => {
                masked = true;
                mask.iter_mut().zip(items).for_each(|(m, a)| *m &= u8::from(a.is_some()));
            }
        }
    }
    if !masked {
        return Some((false, count));
    }
    let present = mask.iter().map(|&m| usize::from(m)).sum();
    Some((present < count, present))
}
