//! Elements brought to the type that several promote to.

use crate::data::column_views::{Number, typed};
use crate::data::value::{DType, Element};
use crate::with_type;

/// Converts elements to a type they promote to (numpy's `result_type`), so that none changes but
/// by the rounding of 64-bit integers to float64.
pub fn widen(from: DType, data: &[u8], to: DType, out: &mut [u8]) {
    if from == to {
        out.copy_from_slice(data);
        return;
    }
    // Whatever is promoted to another integer type has at most 32 bits: exact in a float64.
    with_type!(from, T => {
        let numbers = typed::<T>(data);
        let numbers = numbers.iter().map(|x| x.f64());
        match to {
            DType::Bool | DType::U8 | DType::Str => put(numbers, out, |x| x as u8),
            DType::U16 => put(numbers, out, |x| x as u16),
            DType::U32 => put(numbers, out, |x| x as u32),
            DType::U64 => put(numbers, out, |x| x as u64),
            DType::I8 => put(numbers, out, |x| x as i8),
            DType::I16 => put(numbers, out, |x| x as i16),
            DType::I32 => put(numbers, out, |x| x as i32),
            DType::I64 => put(numbers, out, |x| x as i64),
            DType::F32 => put(numbers, out, |x| x as f32),
            DType::F64 => put(numbers, out, |x| x),
        }
    });
}

fn put<T: Element>(numbers: impl Iterator<Item = f64>, out: &mut [u8], cast: impl Fn(f64) -> T) {
    for (place, x) in out.chunks_exact_mut(size_of::<T>()).zip(numbers) {
        place.copy_from_slice(bytemuck::bytes_of(&cast(x)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_keep_their_value() {
        let mut out = [0u8; 16];
        widen(DType::I8, &[0xff, 5], DType::I64, &mut out);
        assert_eq!(typed::<i64>(&out)[..], [-1, 5]);
        widen(DType::Bool, &[1, 0], DType::F64, &mut out);
        assert_eq!(typed::<f64>(&out)[..], [1.0, 0.0]);
        widen(DType::U64, &u64::MAX.to_le_bytes(), DType::U64, &mut out[..8]);
        assert_eq!(out[..8], [0xff; 8]);
    }
}
