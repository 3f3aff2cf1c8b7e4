//! Trains into pulses: which arrays have one item for each pulse, and along which axis.

use crate::karabo::read::{Part, Val};
use ami_graph::data::value::DType;

/// Properties that number the pulses of their source.
const NUMBERS: [&str; 2] = ["image.pulseId", "image.cellId"];
/// Pulses of a train at most: there is no more room between two trains.
pub const MOST: usize = 2880;

/// Where a source's pulses lie in its arrays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Axis {
    /// Files and their like: pulse by pulse.
    First,
    /// Online: all pulses of a pixel, one beside the other.
    Last,
}

/// Pulses of a source, and where it keeps their numbers; None of one that does not tell them.
pub fn pulses(part: &Part) -> Option<(usize, &Val)> {
    NUMBERS.iter().find_map(|name| {
        let (_, value) = part.properties.iter().find(|(path, _)| path == name)?;
        match value {
            Val::Array { shape, dtype, .. } if shape.len() == 1 && dtype.is_integer() => {
                Some((shape[0], value)).filter(|(n, _)| (1..=MOST).contains(n))
            }
            _ => None,
        }
    })
}

/// The axis of an array of a source of so many pulses that counts them.
pub fn axis(shape: &[usize], pulses: usize) -> Option<Axis> {
    match (shape.first(), shape.last()) {
        (Some(first), _) if *first == pulses => Some(Axis::First),
        (_, Some(last)) if *last == pulses => Some(Axis::Last),
        _ => None,
    }
}

/// The axes that remain of a pulse's part.
pub fn remaining(shape: &[usize], axis: Axis) -> &[usize] {
    match axis {
        Axis::First => shape.get(1..).unwrap_or_default(),
        Axis::Last => shape.get(..shape.len().saturating_sub(1)).unwrap_or_default(),
    }
}

/// The bytes of a pulse, where it lies in one piece.
pub fn first(bytes: &[u8], pulse: usize, pulses: usize) -> Option<&[u8]> {
    let size = bytes.len().checked_div(pulses)?;
    bytes.get(pulse.checked_mul(size)?..)?.get(..size)
}

/// Gathers the elements of a pulse that lies across.
pub fn last(bytes: &[u8], pulse: usize, pulses: usize, dtype: DType, out: &mut [u8]) {
    let size = dtype.size();
    let from = bytes.chunks_exact(size).skip(pulse).step_by(pulses.max(1));
    for (out, from) in out.chunks_exact_mut(size).zip(from) {
        out.copy_from_slice(from);
    }
}

/// A number of a list of whole numbers.
pub fn number(bytes: &[u8], dtype: DType, at: usize) -> Option<u64> {
    let size = dtype.size();
    let element = bytes.get(at * size..)?.get(..size)?;
    // None of these is negative.
    Some(element.iter().rev().fold(0, |n, byte| n << 8 | u64::from(*byte)))
}
