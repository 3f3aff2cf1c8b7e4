//! Shapes at run time, and what may go wrong in one event.

use crate::data::batch::Dims;
use crate::data::value::{DType, MAX_RANK};
use crate::expr::error::MAX_BYTES;
use std::fmt;

/// Axis lengths of one value in one event; small enough to copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::expr) struct Shape {
    rank: usize,
    axes: [usize; MAX_RANK],
}

impl Shape {
    /// A scalar's.
    pub const SCALAR: Shape = Shape { rank: 0, axes: [0; MAX_RANK] };

    /// From axis lengths.
    pub fn new(axes: &[usize]) -> Result<Shape, Failure> {
        let mut shape = Shape { rank: axes.len(), axes: [0; MAX_RANK] };
        let place = shape.axes.get_mut(..axes.len()).ok_or(Failure::TooManyAxes(axes.len()))?;
        place.copy_from_slice(axes);
        Ok(shape)
    }

    /// One axis of this length.
    pub fn along(length: usize) -> Shape {
        Shape { rank: 1, axes: [length, 0, 0, 0, 0] }
    }

    /// From the lengths as a batch has them.
    pub fn of(dims: &Dims) -> Shape {
        let mut shape = Shape { rank: dims.axes().len(), axes: [0; MAX_RANK] };
        for (to, &from) in shape.axes.iter_mut().zip(dims.axes()) {
            *to = from as usize;
        }
        shape
    }

    /// Axis lengths, slowest first.
    pub fn axes(&self) -> &[usize] {
        &self.axes[..self.rank]
    }

    /// Number of axes.
    pub fn rank(&self) -> usize {
        self.rank
    }

    /// Number of elements. Inputs and results are checked not to overflow.
    pub fn count(&self) -> usize {
        self.axes().iter().product()
    }

    /// Bytes of an array of this shape, unless it is too large to be made.
    pub fn bytes(&self, dtype: DType) -> Result<usize, Failure> {
        let bytes = self.axes().iter().try_fold(dtype.size(), |n, &d| n.checked_mul(d));
        bytes.filter(|&n| n <= MAX_BYTES).ok_or(Failure::TooLarge(*self))
    }

    /// The same without one axis.
    pub fn without(&self, axis: usize) -> Shape {
        let mut shape = Shape { rank: self.rank - 1, axes: [0; MAX_RANK] };
        let rest = self.axes().iter().enumerate().filter(|(i, _)| *i != axis);
        for (to, (_, &from)) in shape.axes.iter_mut().zip(rest) {
            *to = from;
        }
        shape
    }

    /// The same with another length of one axis.
    pub fn with(&self, axis: usize, length: usize) -> Shape {
        let mut shape = *self;
        shape.axes[axis] = length;
        shape
    }

    /// The shape two values have together by numpy's rules.
    pub fn broadcast(&self, other: &Shape) -> Result<Shape, Failure> {
        let rank = self.rank.max(other.rank);
        let mut shape = Shape { rank, axes: [0; MAX_RANK] };
        for back in 1..=rank {
            let a = if back <= self.rank { self.axes[self.rank - back] } else { 1 };
            let b = if back <= other.rank { other.axes[other.rank - back] } else { 1 };
            shape.axes[rank - back] = match (a, b) {
                (a, b) if a == b => a,
                (1, length) | (length, 1) => length,
                _ => return Err(Failure::Broadcast(*self, *other)),
            };
        }
        Ok(shape)
    }

    /// Steps, in elements, with which this value is read to fill `whole`.
    pub fn strides_in(&self, whole: &Shape) -> [usize; MAX_RANK] {
        let mut strides = [0; MAX_RANK];
        let mut step = 1;
        for back in 1..=self.rank {
            let length = self.axes[self.rank - back];
            strides[whole.rank - back] = if length == 1 { 0 } else { step };
            step *= length;
        }
        strides
    }

    /// Elements before, along and after an axis in memory; the whole as one axis without.
    pub fn around(&self, axis: Option<usize>) -> (usize, usize, usize) {
        match axis {
            None => (1, self.count(), 1),
            Some(axis) => (
                self.axes[..axis].iter().product(),
                self.axes[axis],
                self.axes[axis + 1..self.rank].iter().product(),
            ),
        }
    }

    /// An axis as written, possibly counted from the end.
    pub fn axis(&self, axis: i64) -> Result<usize, Failure> {
        let rank = self.rank as i64;
        let counted = if axis < 0 { axis + rank } else { axis };
        if (0..rank).contains(&counted) {
            Ok(counted as usize)
        } else {
            Err(Failure::Axis { axis, rank: self.rank })
        }
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let axes: Vec<String> = self.axes().iter().map(ToString::to_string).collect();
        write!(f, "[{}]", axes.join("×"))
    }
}

/// Why an expression has no value in an event. Made without allocating; few are formatted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::expr) enum Failure {
    Broadcast(Shape, Shape),
    Dot(Shape, Shape),
    TooLarge(Shape),
    TooManyAxes(usize),
    Ambiguous(Shape),
    Axis { axis: i64, rank: usize },
    OutOfBounds { index: i64, axis: usize, length: usize },
    TooManyIndices { given: usize, rank: usize },
    ZeroStep,
    IndexNotScalar(Shape),
    Empty(&'static str),
    NeedsAxis(&'static str),
    NegativePower,
    InputType(DType),
    InputRank(usize),
    InputBytes,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Broadcast(a, b) => write!(f, "shapes {a} and {b} do not fit together"),
            Failure::Dot(a, b) => write!(f, "shapes {a} and {b} do not fit in dot"),
            Failure::TooLarge(shape) => {
                write!(f, "an array of shape {shape} is over the limit of {MAX_BYTES} bytes")
            }
            Failure::TooManyAxes(rank) => {
                write!(f, "{rank} axes, but an array has at most {MAX_RANK}")
            }
            Failure::Ambiguous(shape) if shape.count() == 0 => {
                write!(f, "the truth value of an empty array is ambiguous; use len(a) > 0")
            }
            Failure::Ambiguous(shape) => write!(
                f,
                "the truth value of an array of shape {shape} is ambiguous; use any(...) or \
                 all(...), and & | for each element"
            ),
            Failure::Axis { axis, rank } => {
                write!(f, "axis {axis} is out of bounds for an array of {rank} axes")
            }
            Failure::OutOfBounds { index, axis, length } => {
                write!(f, "index {index} is out of bounds for axis {axis} of length {length}")
            }
            Failure::TooManyIndices { given, rank } => {
                write!(f, "{given} indices for an array of {rank} axes")
            }
            Failure::ZeroStep => f.write_str("a slice cannot have step 0"),
            Failure::IndexNotScalar(shape) => {
                write!(f, "an index must be one integer, this one has shape {shape}")
            }
            Failure::Empty(name) => write!(f, "{name} of an empty array"),
            Failure::NeedsAxis(name) => write!(f, "{name} of a scalar"),
            Failure::NegativePower => {
                f.write_str("integers to negative integer powers; write x**-1.0 for a float")
            }
            Failure::InputType(found) => {
                write!(f, "the input has type {found}, which is not what the graph was checked for")
            }
            Failure::InputRank(found) => {
                write!(f, "the input has {found} axes, which is not what the graph was checked for")
            }
            Failure::InputBytes => f.write_str("the input's data do not fit its shape"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(axes: &[usize]) -> Shape {
        Shape::new(axes).unwrap()
    }

    #[test]
    fn broadcasting_is_numpys() {
        assert_eq!(shape(&[3, 1]).broadcast(&shape(&[4])), Ok(shape(&[3, 4])));
        assert_eq!(shape(&[]).broadcast(&shape(&[2, 0])), Ok(shape(&[2, 0])));
        assert_eq!(shape(&[1]).broadcast(&shape(&[0])), Ok(shape(&[0])));
        assert!(shape(&[3]).broadcast(&shape(&[4])).is_err());
        assert_eq!(shape(&[3, 1]).strides_in(&shape(&[2, 3, 4]))[..3], [0, 1, 0]);
    }

    #[test]
    fn limits() {
        assert!(Shape::new(&[1; 6]).is_err());
        assert!(shape(&[usize::MAX, 2]).bytes(DType::F64).is_err());
        assert_eq!(shape(&[2, 3]).without(0), shape(&[3]));
        assert_eq!(shape(&[2, 3]).around(Some(0)), (1, 2, 3));
    }
}
