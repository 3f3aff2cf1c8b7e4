//! Operations element by element: one plain loop per operation and element type, which the
//! compiler vectorises.

use crate::data::value::{DType, Scalar};
use crate::expr::arithmetic::number::Number;
use crate::expr::arithmetic::operation::Comparison;
use crate::expr::arithmetic::operation::Op;
use crate::expr::arithmetic::real::Real;

/// One operand of a block: as many elements as the block, or one for all.
#[derive(Debug, Clone, Copy)]
pub(in crate::expr) enum Operand<'a> {
    Each(&'a [u8]),
    One(Scalar),
}

/// The same, typed.
#[derive(Clone, Copy)]
pub(in crate::expr) enum Typed<'a, T> {
    Each(&'a [T]),
    One(T),
}

/// Calls `$body` with `$T` as the number type of `$dtype`; bool has arithmetic of its own.
macro_rules! with_number {
    ($dtype:expr, $T:ident => $body:expr, bool => $bool:expr) => {
        match $dtype {
            DType::Bool => $bool,
            DType::U8 => {
                type $T = u8;
                $body
            }
            DType::U16 => {
                type $T = u16;
                $body
            }
            DType::U32 => {
                type $T = u32;
                $body
            }
            DType::U64 => {
                type $T = u64;
                $body
            }
            DType::I8 => {
                type $T = i8;
                $body
            }
            DType::I16 => {
                type $T = i16;
                $body
            }
            DType::I32 => {
                type $T = i32;
                $body
            }
            DType::I64 => {
                type $T = i64;
                $body
            }
            DType::F32 => {
                type $T = f32;
                $body
            }
            DType::F64 => {
                type $T = f64;
                $body
            }
            DType::Str => unreachable!("text is not computed with"),
        }
    };
}
pub(in crate::expr) use with_number;

/// Applies `op` in type `of` to a block. Operands are of that type, but for `Select`'s first
/// (bool) and `CompareMixed`'s second (i64). `out` has the elements of the result.
pub(in crate::expr) fn apply(op: Op, of: DType, args: &[Operand<'_>], out: &mut [u8]) {
    match (op, args) {
        (Op::Cast(to), [a]) => cast(of, to, *a, out),
        (Op::CompareMixed(c), [a, b]) => compare_mixed(c, typed(*a), typed(*b), out),
        (Op::Select, [c, a, b]) => match of.size() {
            // By size, not type: selecting does not look at the elements.
            1 => select::<u8>(typed(*c), raw(*a), raw(*b), bytemuck::cast_slice_mut(out)),
            2 => select::<u16>(typed(*c), raw(*a), raw(*b), bytemuck::cast_slice_mut(out)),
            4 => select::<u32>(typed(*c), raw(*a), raw(*b), bytemuck::cast_slice_mut(out)),
            _ => select::<u64>(typed(*c), raw(*a), raw(*b), bytemuck::cast_slice_mut(out)),
        },
        (_, [a]) => with_number!(of, T => unary::<T>(op, typed(*a), out),
            bool => unary_bool(op, typed(*a), out)),
        (_, [a, b]) => with_number!(of, T => binary::<T>(op, typed(*a), typed(*b), out),
            bool => binary_bool(op, typed(*a), typed(*b), out)),
        _ => unreachable!("operations take one to three operands"),
    }
}

fn typed<T: Number>(operand: Operand<'_>) -> Typed<'_, T> {
    match operand {
        Operand::Each(bytes) => Typed::Each(bytemuck::cast_slice(bytes)),
        Operand::One(scalar) => Typed::One(T::from_scalar(scalar)),
    }
}

/// The elements' bits as an unsigned integer of their size.
fn raw<T: Number>(operand: Operand<'_>) -> Typed<'_, T> {
    match operand {
        Operand::Each(bytes) => Typed::Each(bytemuck::cast_slice(bytes)),
        Operand::One(scalar) => {
            let bytes = crate::data::owned_column::scalar_bytes(scalar);
            let size = scalar.dtype().size();
            Typed::One(bytemuck::pod_read_unaligned(&bytes[..size]))
        }
    }
}

fn map<T: Copy, U: Copy>(a: Typed<'_, T>, out: &mut [U], f: impl Fn(T) -> U) {
    match a {
        Typed::Each(a) => out.iter_mut().zip(a).for_each(|(o, &a)| *o = f(a)),
        Typed::One(a) => out.fill(f(a)),
    }
}

fn map2<A: Copy, B: Copy, U: Copy>(
    a: Typed<'_, A>,
    b: Typed<'_, B>,
    out: &mut [U],
    f: impl Fn(A, B) -> U,
) {
    match (a, b) {
        (Typed::Each(a), Typed::Each(b)) => {
            out.iter_mut().zip(a).zip(b).for_each(|((o, &a), &b)| *o = f(a, b));
        }
        (Typed::Each(a), Typed::One(b)) => map(Typed::Each(a), out, |a| f(a, b)),
        (Typed::One(a), Typed::Each(b)) => map(Typed::Each(b), out, |b| f(a, b)),
        (Typed::One(a), Typed::One(b)) => out.fill(f(a, b)),
    }
}

fn select<T: Number>(c: Typed<'_, u8>, a: Typed<'_, T>, b: Typed<'_, T>, out: &mut [T]) {
    match c {
        Typed::One(c) => map(if c != 0 { a } else { b }, out, |v| v),
        Typed::Each(c) => match (a, b) {
            (Typed::Each(a), Typed::Each(b)) => {
                let operands = c.iter().zip(a).zip(b);
                out.iter_mut()
                    .zip(operands)
                    .for_each(|(o, ((&c, &a), &b))| *o = if c != 0 { a } else { b });
            }
            (a, Typed::One(b)) => map2(Typed::Each(c), a, out, |c, a| if c != 0 { a } else { b }),
            (Typed::One(a), b) => map2(Typed::Each(c), b, out, |c, b| if c != 0 { a } else { b }),
        },
    }
}

fn cast(from: DType, to: DType, a: Operand<'_>, out: &mut [u8]) {
    with_number!(from, T => cast_number::<T>(to, typed(a), out),
        // A bool's byte may be any but 0 where it comes from a detector.
        bool => with_number!(to, U => {
            map(typed::<u8>(a), bytemuck::cast_slice_mut::<u8, U>(out), |v| U::from_bool(v != 0));
        }, bool => map(typed::<u8>(a), out, |v| u8::from(v != 0))));
}

fn cast_number<T: Number>(to: DType, a: Typed<'_, T>, out: &mut [u8]) {
    match to {
        DType::Bool => map(a, out, |v| u8::from(v.truth())),
        DType::U8 => map(a, out, Number::to_u8),
        DType::U16 => map(a, bytemuck::cast_slice_mut(out), Number::to_u16),
        DType::U32 => map(a, bytemuck::cast_slice_mut(out), Number::to_u32),
        DType::U64 => map(a, bytemuck::cast_slice_mut(out), Number::to_u64),
        DType::I8 => map(a, bytemuck::cast_slice_mut(out), Number::to_i8),
        DType::I16 => map(a, bytemuck::cast_slice_mut(out), Number::to_i16),
        DType::I32 => map(a, bytemuck::cast_slice_mut(out), Number::to_i32),
        DType::I64 => map(a, bytemuck::cast_slice_mut(out), Number::to_i64),
        DType::F32 => map(a, bytemuck::cast_slice_mut(out), Number::to_f32),
        DType::F64 => map(a, bytemuck::cast_slice_mut(out), Number::to_f64),
        DType::Str => unreachable!("text is not computed with"),
    }
}

fn unary<T: Number>(op: Op, a: Typed<'_, T>, out: &mut [u8]) {
    match op {
        Op::Truth => return map(a, out, |v| u8::from(v.truth())),
        Op::Not => return map(a, out, |v| u8::from(!v.truth())),
        Op::IsNan => return map(a, out, |v| u8::from(v.is_nan())),
        Op::IsFinite => return map(a, out, |v| u8::from(v.is_finite())),
        _ => {}
    }
    let out: &mut [T] = bytemuck::cast_slice_mut(out);
    match op {
        Op::Neg => map(a, out, Number::neg),
        Op::Abs => map(a, out, Number::abs),
        Op::Sign => map(a, out, Number::sign),
        Op::Invert => map(a, out, Number::invert),
        Op::Square => map(a, out, |v| v.mul(v)),
        _ => T::real(op, a, out),
    }
}

/// The functions of floats only; [`Number::real`] leads here.
pub(in crate::expr) fn real<T: Real>(op: Op, a: Typed<'_, T>, out: &mut [T]) {
    match op {
        Op::Floor => map(a, out, Real::floor),
        Op::Ceil => map(a, out, Real::ceil),
        Op::Round => map(a, out, Real::round),
        Op::Sqrt => map(a, out, Real::sqrt),
        Op::Exp => map(a, out, Real::exp),
        Op::Log => map(a, out, Real::log),
        Op::Log10 => map(a, out, Real::log10),
        Op::Log2 => map(a, out, Real::log2),
        Op::Sin => map(a, out, Real::sin),
        Op::Cos => map(a, out, Real::cos),
        Op::Tan => map(a, out, Real::tan),
        Op::Asin => map(a, out, Real::asin),
        Op::Acos => map(a, out, Real::acos),
        Op::Atan => map(a, out, Real::atan),
        Op::Sinh => map(a, out, Real::sinh),
        Op::Cosh => map(a, out, Real::cosh),
        Op::Tanh => map(a, out, Real::tanh),
        _ => unreachable!("{op:?} is not a function of one float"),
    }
}

fn binary<T: Number>(op: Op, a: Typed<'_, T>, b: Typed<'_, T>, out: &mut [u8]) {
    match op {
        Op::Compare(c) => return compare(c, a, b, out),
        Op::Atan2 | Op::Hypot => return T::real2(op, a, b, bytemuck::cast_slice_mut(out)),
        _ => {}
    }
    let out: &mut [T] = bytemuck::cast_slice_mut(out);
    match op {
        Op::Add => map2(a, b, out, Number::add),
        Op::Sub => map2(a, b, out, Number::sub),
        Op::Mul => map2(a, b, out, Number::mul),
        Op::Div => map2(a, b, out, Number::div),
        Op::FloorDiv => map2(a, b, out, Number::floor_div),
        Op::Mod => map2(a, b, out, Number::modulo),
        Op::Pow => map2(a, b, out, Number::power),
        Op::Min => map2(a, b, out, Number::least),
        Op::Max => map2(a, b, out, Number::greatest),
        Op::BitAnd => map2(a, b, out, Number::bit_and),
        Op::BitOr => map2(a, b, out, Number::bit_or),
        Op::BitXor => map2(a, b, out, Number::bit_xor),
        _ => unreachable!("{op:?} is not an operation of two numbers"),
    }
}

/// The functions of two floats; [`Number::real2`] leads here.
pub(in crate::expr) fn real2<T: Real>(op: Op, a: Typed<'_, T>, b: Typed<'_, T>, out: &mut [T]) {
    match op {
        Op::Atan2 => map2(a, b, out, Real::atan2),
        _ => map2(a, b, out, Real::hypot),
    }
}

fn compare<T: Number>(c: Comparison, a: Typed<'_, T>, b: Typed<'_, T>, out: &mut [u8]) {
    match c {
        Comparison::Lt => map2(a, b, out, |a, b| u8::from(a < b)),
        Comparison::Le => map2(a, b, out, |a, b| u8::from(a <= b)),
        Comparison::Gt => map2(a, b, out, |a, b| u8::from(a > b)),
        Comparison::Ge => map2(a, b, out, |a, b| u8::from(a >= b)),
        Comparison::Eq => map2(a, b, out, |a, b| u8::from(a == b)),
        Comparison::Ne => map2(a, b, out, |a, b| u8::from(a != b)),
    }
}

fn compare_mixed(c: Comparison, a: Typed<'_, u64>, b: Typed<'_, i64>, out: &mut [u8]) {
    map2(a, b, out, |a, b| u8::from(c.holds(i128::from(a).partial_cmp(&i128::from(b)))));
}

fn unary_bool(op: Op, a: Typed<'_, u8>, out: &mut [u8]) {
    match op {
        Op::Not | Op::Invert => map(a, out, |v| u8::from(v == 0)),
        Op::IsNan => out.fill(0),
        Op::IsFinite => out.fill(1),
        _ => map(a, out, |v| u8::from(v != 0)),
    }
}

fn binary_bool(op: Op, a: Typed<'_, u8>, b: Typed<'_, u8>, out: &mut [u8]) {
    match op {
        Op::Add | Op::Max | Op::BitOr => logic(a, b, out, |a, b| a | b),
        Op::Mul | Op::Min | Op::BitAnd => logic(a, b, out, |a, b| a & b),
        Op::BitXor | Op::Compare(Comparison::Ne) => logic(a, b, out, |a, b| a ^ b),
        Op::Compare(Comparison::Eq) => logic(a, b, out, |a, b| a == b),
        Op::Compare(Comparison::Lt) => logic(a, b, out, |a, b| !a & b),
        Op::Compare(Comparison::Le) => logic(a, b, out, |a, b| !a | b),
        Op::Compare(Comparison::Gt) => logic(a, b, out, |a, b| a & !b),
        Op::Compare(Comparison::Ge) => logic(a, b, out, |a, b| a | !b),
        _ => unreachable!("{op:?} is not an operation of bools"),
    }
}

/// Generic, so that each table of truth becomes a loop of its own.
fn logic(a: Typed<'_, u8>, b: Typed<'_, u8>, out: &mut [u8], f: impl Fn(bool, bool) -> bool) {
    map2(a, b, out, |a, b| u8::from(f(a != 0, b != 0)));
}
