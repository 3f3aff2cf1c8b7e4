//! What is known of a value before any event is seen: element type, rank, perhaps the shape.

use crate::data::value::DType;
use std::fmt;

/// The type of a node's input or output, as far as the graph and the schema tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Type {
    /// Element type; always known.
    pub dtype: DType,
    /// Number of dimensions, 0 for a scalar; None when only the events will tell.
    pub rank: Option<usize>,
    /// Axis lengths where they are the same in every event.
    pub shape: Option<Vec<usize>>,
}

impl Type {
    /// One element per event.
    pub fn scalar(dtype: DType) -> Type {
        Type { dtype, rank: Some(0), shape: Some(Vec::new()) }
    }

    /// An array of known rank whose axis lengths may vary.
    pub fn array(dtype: DType, rank: usize) -> Type {
        Type { dtype, rank: Some(rank), shape: (rank == 0).then(Vec::new) }
    }

    /// An array of known, constant shape.
    pub fn shaped(dtype: DType, shape: &[usize]) -> Type {
        Type { dtype, rank: Some(shape.len()), shape: Some(shape.to_vec()) }
    }

    /// A scalar or an array; which one only the events tell.
    pub fn unknown(dtype: DType) -> Type {
        Type { dtype, rank: None, shape: None }
    }

    /// Elements of one value; 0 where the shape is not known.
    pub fn elements(&self) -> u64 {
        let product =
            |shape: &Vec<usize>| shape.iter().fold(1, |n: u64, &d| n.saturating_mul(d as u64));
        self.shape.as_ref().map_or(0, product)
    }

    /// True when every event has exactly one element without axes.
    pub fn is_scalar(&self) -> bool {
        self.rank == Some(0)
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.dtype.name())?;
        match (&self.shape, self.rank) {
            (_, Some(0)) => Ok(()),
            (Some(shape), _) => {
                let axes: Vec<String> = shape.iter().map(ToString::to_string).collect();
                write!(f, "[{}]", axes.join("×"))
            }
            (None, Some(rank)) => write!(f, "[{}]", vec!["?"; rank].join("×")),
            (None, None) => f.write_str("[…]"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_like_a_declaration() {
        assert_eq!(Type::scalar(DType::F64).to_string(), "float64");
        assert_eq!(Type::shaped(DType::U16, &[512, 1024]).to_string(), "uint16[512×1024]");
        assert_eq!(Type::array(DType::U8, 2).to_string(), "uint8[?×?]");
        assert_eq!(Type::unknown(DType::F32).to_string(), "float32[…]");
    }
}
