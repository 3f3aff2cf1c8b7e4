//! numpy 2's promotion: between element types, and of Python's weakly typed literals.

use crate::data::value::{DType, Scalar};
use crate::expr::arithmetic::operation::{Binary, Comparison};

/// A literal, or what Python makes of several: it takes the type of what it meets.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::expr) enum Py {
    Bool(bool),
    Int(i128),
    Float(f64),
}

/// The type both convert to. Neither may be text.
pub(crate) fn promote(a: DType, b: DType) -> DType {
    use DType::{Bool, F32, F64, I16, I32, I64};
    match (a, b) {
        (a, b) if a == b => a,
        (Bool, other) | (other, Bool) => other,
        (F64, _) | (_, F64) => F64,
        (F32, int) | (int, F32) => float_of(int),
        (a, b) if signed(a) == signed(b) => {
            if a.size() > b.size() {
                a
            } else {
                b
            }
        }
        (a, b) => {
            let (signed, unsigned) = if signed(a) { (a, b) } else { (b, a) };
            match signed.size().max(2 * unsigned.size()) {
                2 => I16,
                4 => I32,
                8 => I64,
                _ => F64,
            }
        }
    }
}

/// True for signed integers.
pub(in crate::expr) fn signed(dtype: DType) -> bool {
    matches!(dtype, DType::I8 | DType::I16 | DType::I32 | DType::I64)
}

/// The float type numpy computes functions like `sqrt` in. Where numpy takes float16 (8-bit
/// integers and bool) this is float32, as ami has no float16.
pub(in crate::expr) fn float_of(dtype: DType) -> DType {
    match dtype {
        DType::Bool | DType::U8 | DType::I8 | DType::U16 | DType::I16 | DType::F32 => DType::F32,
        _ => DType::F64,
    }
}

/// The type of a sum or a running sum.
pub(in crate::expr) fn sum_type(dtype: DType) -> DType {
    match dtype {
        DType::Bool | DType::I8 | DType::I16 | DType::I32 | DType::I64 => DType::I64,
        DType::U8 | DType::U16 | DType::U32 | DType::U64 => DType::U64,
        float => float,
    }
}

/// The type of a mean, a variance or a median.
pub(in crate::expr) fn mean_type(dtype: DType) -> DType {
    if dtype == DType::F32 { DType::F32 } else { DType::F64 }
}

/// Smallest and largest value of an integer type; 0 and 1 for bool.
pub(in crate::expr) fn int_range(dtype: DType) -> (i128, i128) {
    match dtype {
        DType::Bool => (0, 1),
        _ if signed(dtype) => {
            let half = 1i128 << (8 * dtype.size() - 1);
            (-half, half - 1)
        }
        _ => (0, (1i128 << (8 * dtype.size())) - 1),
    }
}

impl Py {
    /// The type the literal has when nothing tells it otherwise.
    pub fn default_type(self) -> DType {
        match self {
            Py::Bool(_) => DType::Bool,
            Py::Int(v) if v > i128::from(i64::MAX) => DType::U64,
            Py::Int(_) => DType::I64,
            Py::Float(_) => DType::F64,
        }
    }

    /// The type an operation of this literal and a value of type `other` is done in.
    pub fn promote_with(self, other: DType) -> DType {
        match (self, other) {
            (Py::Bool(_), _) => other,
            (Py::Int(_), DType::Bool) => DType::I64,
            (Py::Int(_), _) => other,
            (Py::Float(_), DType::F32) => DType::F32,
            (Py::Float(_), _) => DType::F64,
        }
    }

    /// The literal as an element; None when an integer is out of the type's bounds.
    pub fn to(self, dtype: DType) -> Option<Scalar> {
        if !dtype.is_float() {
            let int = match self {
                Py::Bool(v) => i128::from(v),
                Py::Int(v) => v,
                Py::Float(_) => return None,
            };
            return int_scalar(int, dtype);
        }
        let float = self.as_f64();
        Some(if dtype == DType::F32 { Scalar::F32(float as f32) } else { Scalar::F64(float) })
    }

    /// As Python's `float(x)`.
    pub fn as_f64(self) -> f64 {
        match self {
            Py::Bool(v) => f64::from(u8::from(v)),
            Py::Int(v) => v as f64,
            Py::Float(v) => v,
        }
    }

    /// As an integer where it is one (or a bool).
    pub fn as_int(self) -> Option<i128> {
        match self {
            Py::Bool(v) => Some(i128::from(v)),
            Py::Int(v) => Some(v),
            Py::Float(_) => None,
        }
    }

    /// Python's truth value.
    pub fn truth(self) -> bool {
        match self {
            Py::Bool(v) => v,
            Py::Int(v) => v != 0,
            Py::Float(v) => v != 0.0,
        }
    }
}

/// An integer as an element of an integer type or bool, if it fits.
pub(in crate::expr) fn int_scalar(value: i128, dtype: DType) -> Option<Scalar> {
    Some(match dtype {
        DType::Bool => Scalar::Bool(match value {
            0 => false,
            1 => true,
            _ => return None,
        }),
        DType::U8 => Scalar::U8(value.try_into().ok()?),
        DType::U16 => Scalar::U16(value.try_into().ok()?),
        DType::U32 => Scalar::U32(value.try_into().ok()?),
        DType::U64 => Scalar::U64(value.try_into().ok()?),
        DType::I8 => Scalar::I8(value.try_into().ok()?),
        DType::I16 => Scalar::I16(value.try_into().ok()?),
        DType::I32 => Scalar::I32(value.try_into().ok()?),
        DType::I64 => Scalar::I64(value.try_into().ok()?),
        DType::F32 | DType::F64 | DType::Str => return None,
    })
}

/// What Python makes of an operator between literals; the error is Python's.
pub(in crate::expr) fn fold(operator: Binary, a: Py, b: Py) -> Result<Py, &'static str> {
    if let Binary::Compare(comparison) = operator {
        return Ok(Py::Bool(compare(comparison, a, b)));
    }
    if let (Py::Bool(a), Py::Bool(b)) = (a, b) {
        match operator {
            Binary::BitAnd => return Ok(Py::Bool(a & b)),
            Binary::BitOr => return Ok(Py::Bool(a | b)),
            Binary::BitXor => return Ok(Py::Bool(a ^ b)),
            _ => {}
        }
    }
    match (a.as_int(), b.as_int()) {
        (Some(a), Some(b)) => fold_ints(operator, a, b),
        _ => fold_floats(operator, a.as_f64(), b.as_f64()),
    }
}

fn compare(comparison: Comparison, a: Py, b: Py) -> bool {
    match (a.as_int(), b.as_int()) {
        (Some(a), Some(b)) => comparison.holds(Some(a.cmp(&b))),
        _ => comparison.holds(a.as_f64().partial_cmp(&b.as_f64())),
    }
}

const BY_ZERO: &str = "division by zero";
const TOO_LARGE: &str = "number too large";

fn fold_ints(operator: Binary, a: i128, b: i128) -> Result<Py, &'static str> {
    let zero = b == 0 && matches!(operator, Binary::Div | Binary::FloorDiv | Binary::Mod);
    if zero {
        return Err(BY_ZERO);
    }
    let result = match operator {
        Binary::Add => a.checked_add(b),
        Binary::Sub => a.checked_sub(b),
        Binary::Mul => a.checked_mul(b),
        Binary::Div => return Ok(Py::Float(a as f64 / b as f64)),
        Binary::FloorDiv => a.checked_div_euclid(b).map(|q| {
            // Euclid rounds towards what makes the remainder positive, Python towards -inf.
            if b < 0 && a.rem_euclid(b) != 0 { q - 1 } else { q }
        }),
        Binary::Mod => {
            a.checked_rem(b).map(|r| if r != 0 && (r < 0) != (b < 0) { r + b } else { r })
        }
        Binary::Pow if b < 0 => return fold_floats(operator, a as f64, b as f64),
        Binary::Pow => u32::try_from(b).ok().and_then(|b| a.checked_pow(b)),
        Binary::BitAnd => Some(a & b),
        Binary::BitOr => Some(a | b),
        Binary::BitXor => Some(a ^ b),
        Binary::Compare(_) => unreachable!("comparisons are folded before"),
    };
    result.map(Py::Int).ok_or(TOO_LARGE)
}

fn fold_floats(operator: Binary, a: f64, b: f64) -> Result<Py, &'static str> {
    let divides = matches!(operator, Binary::Div | Binary::FloorDiv | Binary::Mod);
    if (b == 0.0 && divides) || (a == 0.0 && b < 0.0 && operator == Binary::Pow) {
        return Err(BY_ZERO);
    }
    let result = match operator {
        Binary::Add => a + b,
        Binary::Sub => a - b,
        Binary::Mul => a * b,
        Binary::Div => a / b,
        Binary::FloorDiv => crate::expr::arithmetic::real::floor_divide(a, b),
        Binary::Mod => crate::expr::arithmetic::real::modulo(a, b),
        Binary::Pow if a < 0.0 && b.fract() != 0.0 => return Err("a complex number"),
        Binary::Pow => a.powf(b),
        _ => return Err("bits of a float"),
    };
    Ok(Py::Float(result))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_fold_as_in_python() {
        let int = |op, a, b| fold(op, Py::Int(a), Py::Int(b)).unwrap();
        for (a, b, quotient, rest) in
            [(7, 2, 3, 1), (-7, 2, -4, 1), (7, -2, -4, -1), (-7, -2, 3, -1)]
        {
            assert_eq!(int(Binary::FloorDiv, a, b), Py::Int(quotient));
            assert_eq!(int(Binary::Mod, a, b), Py::Int(rest));
        }
        assert_eq!(int(Binary::FloorDiv, 6, -2), Py::Int(-3));
        assert_eq!(int(Binary::Pow, 2, -1), Py::Float(0.5));
        assert_eq!(int(Binary::Div, 1, 2), Py::Float(0.5));
        assert_eq!(fold(Binary::Div, Py::Int(1), Py::Int(0)), Err(BY_ZERO));
        assert_eq!(fold(Binary::Add, Py::Bool(true), Py::Bool(true)), Ok(Py::Int(2)));
    }

    #[test]
    fn promotion_is_symmetric_and_numpys() {
        let types = &DType::ALL[..11];
        for &a in types {
            for &b in types {
                assert_eq!(promote(a, b), promote(b, a));
            }
        }
        assert_eq!(promote(DType::U8, DType::I8), DType::I16);
        assert_eq!(promote(DType::U32, DType::I8), DType::I64);
        assert_eq!(promote(DType::U64, DType::I8), DType::F64);
        assert_eq!(promote(DType::F32, DType::U16), DType::F32);
        assert_eq!(promote(DType::F32, DType::I32), DType::F64);
    }
}
