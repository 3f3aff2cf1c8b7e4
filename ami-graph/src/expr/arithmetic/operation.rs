//! Which operations there are: operators as written, and what kernels compute.

use crate::data::value::DType;

/// Operators that take two values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::expr) enum Binary {
    Add,
    Sub,
    Mul,
    Div,
    FloorDiv,
    Mod,
    Pow,
    BitAnd,
    BitOr,
    BitXor,
    Compare(Comparison),
}

/// The six comparisons.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::expr) enum Comparison {
    Lt,
    Le,
    Gt,
    Ge,
    Eq,
    Ne,
}

impl Comparison {
    /// The comparison with its sides exchanged.
    pub fn mirrored(self) -> Comparison {
        match self {
            Comparison::Lt => Comparison::Gt,
            Comparison::Le => Comparison::Ge,
            Comparison::Gt => Comparison::Lt,
            Comparison::Ge => Comparison::Le,
            same => same,
        }
    }

    /// Whether it holds between values that stand in this order (None: one is NaN).
    pub fn holds(self, order: Option<std::cmp::Ordering>) -> bool {
        match self {
            Comparison::Lt => order.is_some_and(std::cmp::Ordering::is_lt),
            Comparison::Le => order.is_some_and(std::cmp::Ordering::is_le),
            Comparison::Gt => order.is_some_and(std::cmp::Ordering::is_gt),
            Comparison::Ge => order.is_some_and(std::cmp::Ordering::is_ge),
            Comparison::Eq => order.is_some_and(std::cmp::Ordering::is_eq),
            Comparison::Ne => order.is_none_or(std::cmp::Ordering::is_ne),
        }
    }
}

impl Binary {
    /// As written.
    pub fn symbol(self) -> &'static str {
        match self {
            Binary::Add => "+",
            Binary::Sub => "-",
            Binary::Mul => "*",
            Binary::Div => "/",
            Binary::FloorDiv => "//",
            Binary::Mod => "%",
            Binary::Pow => "**",
            Binary::BitAnd => "&",
            Binary::BitOr => "|",
            Binary::BitXor => "^",
            Binary::Compare(Comparison::Lt) => "<",
            Binary::Compare(Comparison::Le) => "<=",
            Binary::Compare(Comparison::Gt) => ">",
            Binary::Compare(Comparison::Ge) => ">=",
            Binary::Compare(Comparison::Eq) => "==",
            Binary::Compare(Comparison::Ne) => "!=",
        }
    }
}

/// An elementwise operation. The element type it computes in stands beside it; unless said
/// otherwise it is also the type of the result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::expr) enum Op {
    /// Conversion, from the type beside it to this one.
    Cast(DType),
    /// Result bool: different from 0.
    Truth,
    /// Result bool: equal to 0.
    Not,
    Neg,
    Abs,
    Sign,
    Invert,
    Square,
    Floor,
    Ceil,
    Round,
    /// Result bool.
    IsNan,
    /// Result bool.
    IsFinite,
    Sqrt,
    Exp,
    Log,
    Log10,
    Log2,
    Sin,
    Cos,
    Tan,
    Asin,
    Acos,
    Atan,
    Sinh,
    Cosh,
    Tanh,
    Add,
    Sub,
    Mul,
    Div,
    FloorDiv,
    Mod,
    Pow,
    Atan2,
    Hypot,
    Min,
    Max,
    BitAnd,
    BitOr,
    BitXor,
    /// Result bool.
    Compare(Comparison),
    /// u64 with i64, exactly; result bool.
    CompareMixed(Comparison),
    /// The second where the first, a bool, is true, else the third.
    Select,
}
