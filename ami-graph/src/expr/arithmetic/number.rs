//! Arithmetic of the element types with numpy's corner cases: wrap-around, division by zero,
//! NaN in minima.

use crate::data::value::{DType, Element, Scalar};
use crate::expr::arithmetic::kernel::{self, Typed};
use crate::expr::arithmetic::operation::Op;
use crate::expr::arithmetic::real::{floor_divide, modulo};

/// Element types one can compute with; bool is looked at as u8.
pub(in crate::expr) trait Number: Element + Copy + PartialOrd {
    const ZERO: Self;
    /// The value of a scalar of exactly this type (or bool, for u8).
    fn from_scalar(scalar: Scalar) -> Self;
    fn from_bool(v: bool) -> Self;
    fn truth(self) -> bool;
    fn is_nan(self) -> bool;
    fn is_finite(self) -> bool;
    fn neg(self) -> Self;
    fn abs(self) -> Self;
    fn sign(self) -> Self;
    fn invert(self) -> Self;
    fn add(self, o: Self) -> Self;
    fn sub(self, o: Self) -> Self;
    fn mul(self, o: Self) -> Self;
    fn div(self, o: Self) -> Self;
    fn floor_div(self, o: Self) -> Self;
    fn modulo(self, o: Self) -> Self;
    fn power(self, o: Self) -> Self;
    fn bit_and(self, o: Self) -> Self;
    fn bit_or(self, o: Self) -> Self;
    fn bit_xor(self, o: Self) -> Self;
    fn to_u8(self) -> u8;
    fn to_u16(self) -> u16;
    fn to_u32(self) -> u32;
    fn to_u64(self) -> u64;
    fn to_i8(self) -> i8;
    fn to_i16(self) -> i16;
    fn to_i32(self) -> i32;
    fn to_i64(self) -> i64;
    fn to_f32(self) -> f32;
    fn to_f64(self) -> f64;
    /// Functions of one float; those that leave integers as they are, for integers.
    fn real(op: Op, a: Typed<'_, Self>, out: &mut [Self]);
    /// Functions of two floats.
    fn real2(op: Op, a: Typed<'_, Self>, b: Typed<'_, Self>, out: &mut [Self]);

    /// The smaller; NaN when either is.
    #[inline]
    fn least(self, o: Self) -> Self {
        if self < o || self.is_nan() { self } else { o }
    }

    /// The larger; NaN when either is.
    #[inline]
    fn greatest(self, o: Self) -> Self {
        if self > o || self.is_nan() { self } else { o }
    }
}

macro_rules! conversions {
    () => {
        #[inline]
        fn to_u8(self) -> u8 {
            self as u8
        }
        #[inline]
        fn to_u16(self) -> u16 {
            self as u16
        }
        #[inline]
        fn to_u32(self) -> u32 {
            self as u32
        }
        #[inline]
        fn to_u64(self) -> u64 {
            self as u64
        }
        #[inline]
        fn to_i8(self) -> i8 {
            self as i8
        }
        #[inline]
        fn to_i16(self) -> i16 {
            self as i16
        }
        #[inline]
        fn to_i32(self) -> i32 {
            self as i32
        }
        #[inline]
        fn to_i64(self) -> i64 {
            self as i64
        }
        #[inline]
        fn to_f32(self) -> f32 {
            self as f32
        }
        #[inline]
        fn to_f64(self) -> f64 {
            self as f64
        }
    };
}

macro_rules! integer {
    ($t:ident, $variant:ident, $abs:expr, $sign:expr, $floor_div:expr, $modulo:expr) => {
        impl Number for $t {
            const ZERO: Self = 0;
            #[inline]
            fn from_scalar(scalar: Scalar) -> Self {
                match scalar {
                    Scalar::$variant(v) => v,
                    // Only u8 looks at bools; written for all to keep one macro.
                    Scalar::Bool(v) => v as $t,
                    other => wrong_type(other, <$t as Element>::DTYPE),
                }
            }
            #[inline]
            fn from_bool(v: bool) -> Self {
                v as $t
            }
            #[inline]
            fn truth(self) -> bool {
                self != 0
            }
            #[inline]
            fn is_nan(self) -> bool {
                false
            }
            #[inline]
            fn is_finite(self) -> bool {
                true
            }
            #[inline]
            fn neg(self) -> Self {
                self.wrapping_neg()
            }
            #[inline]
            fn abs(self) -> Self {
                $abs(self)
            }
            #[inline]
            fn sign(self) -> Self {
                $sign(self)
            }
            #[inline]
            fn invert(self) -> Self {
                !self
            }
            #[inline]
            fn add(self, o: Self) -> Self {
                self.wrapping_add(o)
            }
            #[inline]
            fn sub(self, o: Self) -> Self {
                self.wrapping_sub(o)
            }
            #[inline]
            fn mul(self, o: Self) -> Self {
                self.wrapping_mul(o)
            }
            // Never called: `/` of integers is done in floats.
            #[inline]
            fn div(self, o: Self) -> Self {
                self.floor_div(o)
            }
            #[inline]
            fn floor_div(self, o: Self) -> Self {
                if o == 0 { 0 } else { $floor_div(self, o) }
            }
            #[inline]
            fn modulo(self, o: Self) -> Self {
                if o == 0 { 0 } else { $modulo(self, o) }
            }
            #[inline]
            fn power(self, o: Self) -> Self {
                let (mut base, mut left, mut result) = (self, o as u64, 1 as $t);
                while left > 0 {
                    if left & 1 == 1 {
                        result = result.wrapping_mul(base);
                    }
                    base = base.wrapping_mul(base);
                    left >>= 1;
                }
                result
            }
            #[inline]
            fn bit_and(self, o: Self) -> Self {
                self & o
            }
            #[inline]
            fn bit_or(self, o: Self) -> Self {
                self | o
            }
            #[inline]
            fn bit_xor(self, o: Self) -> Self {
                self ^ o
            }
            conversions!();
            fn real(_: Op, a: Typed<'_, Self>, out: &mut [Self]) {
                match a {
                    Typed::Each(a) => out.copy_from_slice(a),
                    Typed::One(a) => out.fill(a),
                }
            }
            fn real2(op: Op, _: Typed<'_, Self>, _: Typed<'_, Self>, _: &mut [Self]) {
                unreachable!("{op:?} is not an operation of integers")
            }
        }
    };
}

macro_rules! unsigned {
    ($($t:ident $v:ident),*) => { $(
        integer!($t, $v, |v| v, |v| $t::from(v != 0), |a: $t, b: $t| a / b, |a: $t, b: $t| a % b);
    )* };
}
macro_rules! signed {
    ($($t:ident $v:ident),*) => { $(
        integer!($t, $v, $t::wrapping_abs, $t::signum,
            |a: $t, b: $t| {
                let (q, r) = (a.wrapping_div(b), a.wrapping_rem(b));
                if r != 0 && ((r < 0) != (b < 0)) { q - 1 } else { q }
            },
            |a: $t, b: $t| {
                let r = a.wrapping_rem(b);
                if r != 0 && ((r < 0) != (b < 0)) { r + b } else { r }
            });
    )* };
}
unsigned!(u8 U8, u16 U16, u32 U32, u64 U64);
signed!(i8 I8, i16 I16, i32 I32, i64 I64);

macro_rules! float {
    ($t:ident, $variant:ident) => {
        impl Number for $t {
            const ZERO: Self = 0.0;
            #[inline]
            fn from_scalar(scalar: Scalar) -> Self {
                match scalar {
                    Scalar::$variant(v) => v,
                    other => wrong_type(other, <$t as Element>::DTYPE),
                }
            }
            #[inline]
            fn from_bool(v: bool) -> Self {
                u8::from(v) as $t
            }
            #[inline]
            fn truth(self) -> bool {
                self != 0.0
            }
            #[inline]
            fn is_nan(self) -> bool {
                $t::is_nan(self)
            }
            #[inline]
            fn is_finite(self) -> bool {
                $t::is_finite(self)
            }
            #[inline]
            fn neg(self) -> Self {
                -self
            }
            #[inline]
            fn abs(self) -> Self {
                $t::abs(self)
            }
            #[inline]
            fn sign(self) -> Self {
                if self > 0.0 {
                    1.0
                } else if self < 0.0 {
                    -1.0
                } else if self == 0.0 {
                    0.0
                } else {
                    self
                }
            }
            // Never called: the checker refuses bits of floats.
            #[inline]
            fn invert(self) -> Self {
                self
            }
            #[inline]
            fn add(self, o: Self) -> Self {
                self + o
            }
            #[inline]
            fn sub(self, o: Self) -> Self {
                self - o
            }
            #[inline]
            fn mul(self, o: Self) -> Self {
                self * o
            }
            #[inline]
            fn div(self, o: Self) -> Self {
                self / o
            }
            #[inline]
            fn floor_div(self, o: Self) -> Self {
                floor_divide(self as f64, o as f64) as $t
            }
            #[inline]
            fn modulo(self, o: Self) -> Self {
                modulo(self as f64, o as f64) as $t
            }
            #[inline]
            fn power(self, o: Self) -> Self {
                self.powf(o)
            }
            #[inline]
            fn bit_and(self, _: Self) -> Self {
                self
            }
            #[inline]
            fn bit_or(self, _: Self) -> Self {
                self
            }
            #[inline]
            fn bit_xor(self, _: Self) -> Self {
                self
            }
            conversions!();
            fn real(op: Op, a: Typed<'_, Self>, out: &mut [Self]) {
                kernel::real(op, a, out)
            }
            fn real2(op: Op, a: Typed<'_, Self>, b: Typed<'_, Self>, out: &mut [Self]) {
                kernel::real2(op, a, b, out)
            }
        }
    };
}
float!(f32, F32);
float!(f64, F64);

/// Constants are converted when the expression is compiled, so this is a mistake in the compiler.
#[cold]
fn wrong_type(scalar: Scalar, wanted: DType) -> ! {
    unreachable!("constant {scalar:?} where {wanted} was compiled")
}
