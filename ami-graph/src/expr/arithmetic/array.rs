//! Functions whose result is again an array of its own shape: running sums, differences, sorting,
//! products of matrices.

use crate::data::value::{DType, Element};
use crate::expr::arithmetic::kernel::with_number;
use crate::expr::arithmetic::number::Number;
use crate::expr::arithmetic::reduce::room;
use crate::expr::arithmetic::shape::{Failure, Shape};
use crate::expr::arithmetic::sums::Sum;

/// Sums along an axis up to each element; `out` has the type of a sum.
pub(in crate::expr) fn cumsum(
    of: DType,
    data: &[u8],
    around: (usize, usize, usize),
    out: &mut [u8],
) {
    with_number!(of, T => {
        let data: &[T] = bytemuck::cast_slice(data);
        cumsum_typed(data, around, out, <T as Sum>::widen, |t| T::finish_sum(t, 1));
    }, bool => cumsum_typed(data, around, out, |v| i64::from(v != 0), |t: i64| t));
}

fn cumsum_typed<T: Copy, A: Number, U: Element>(
    data: &[T],
    (outer, length, inner): (usize, usize, usize),
    out: &mut [u8],
    widen: impl Fn(T) -> A,
    finish: impl Fn(A) -> U,
) {
    let out: &mut [U] = bytemuck::cast_slice_mut(out);
    for start in (0..outer).map(|o| o * length * inner) {
        for first in start..start + inner {
            let mut total = A::ZERO;
            for i in (first..first + length * inner).step_by(inner) {
                total = total.add(widen(data[i]));
                out[i] = finish(total);
            }
        }
    }
}

/// Differences of neighbours along an axis of `length`; `out` is one shorter along it.
pub(in crate::expr) fn diff(of: DType, data: &[u8], around: (usize, usize, usize), out: &mut [u8]) {
    with_number!(of, T => diff_typed::<T>(bytemuck::cast_slice(data), around,
            bytemuck::cast_slice_mut(out), Number::sub),
        bool => diff_typed::<u8>(data, around, out, |a, b| u8::from((a != 0) != (b != 0))));
}

fn diff_typed<T: Copy>(
    data: &[T],
    (_, length, inner): (usize, usize, usize),
    out: &mut [T],
    minus: impl Fn(T, T) -> T,
) {
    if length < 2 || inner == 0 {
        return;
    }
    let less = (length - 1) * inner;
    for (block, out) in data.chunks_exact(length * inner).zip(out.chunks_exact_mut(less)) {
        for ((o, &next), &this) in out.iter_mut().zip(&block[inner..]).zip(block) {
            *o = minus(next, this);
        }
    }
}

/// Sorts along an axis, NaN last; `out` holds the elements.
pub(in crate::expr) fn sort(
    of: DType,
    (_, length, inner): (usize, usize, usize),
    scratch: &mut Vec<u64>,
    out: &mut [u8],
) {
    if length * inner == 0 {
        return;
    }
    with_number!(of, T => sort_typed::<T>(bytemuck::cast_slice_mut(out), length, inner, scratch),
        bool => sort_typed::<u8>(out, length, inner, scratch));
}

fn sort_typed<T: Number>(out: &mut [T], length: usize, inner: usize, scratch: &mut Vec<u64>) {
    let order = |a: &T, b: &T| {
        a.partial_cmp(b).unwrap_or_else(|| Number::is_nan(*a).cmp(&Number::is_nan(*b)))
    };
    for block in out.chunks_exact_mut(length * inner) {
        if inner == 1 {
            block.sort_unstable_by(order);
            continue;
        }
        for i in 0..inner {
            let lane = room::<T>(scratch, length);
            for (to, from) in lane.iter_mut().zip(block[i..].iter().step_by(inner)) {
                *to = *from;
            }
            lane.sort_unstable_by(order);
            for (to, from) in block[i..].iter_mut().step_by(inner).zip(&*lane) {
                *to = *from;
            }
        }
    }
}

/// How a product of two arrays is laid out: `rows × depth` times `batches × depth × columns`.
#[derive(Debug, Clone, Copy)]
pub(in crate::expr) struct Product {
    pub shape: Shape,
    rows: usize,
    depth: usize,
    batches: usize,
    columns: usize,
}

impl Product {
    /// numpy's rule: the last axis of `a` with the last but one of `b` (or its only one).
    pub fn of(a: &Shape, b: &Shape) -> Result<Product, Failure> {
        let (Some((&depth, rows)), Some((&last, before))) =
            (a.axes().split_last(), b.axes().split_last())
        else {
            // A scalar times each element: as many rows or columns as the other has elements.
            let (rows, columns) = (a.count(), b.count());
            let shape = if a.rank() == 0 { *b } else { *a };
            return Ok(Product { shape, rows, depth: 1, batches: 1, columns });
        };
        let (b_depth, outer, columns) = match before.split_last() {
            None => (last, before, None),
            Some((&depth, outer)) => (depth, outer, Some(last)),
        };
        if depth != b_depth {
            return Err(Failure::Dot(*a, *b));
        }
        let axes = rows.iter().chain(outer).copied().chain(columns);
        let mut all = [0; 2 * crate::data::value::MAX_RANK];
        let rank = axes.clone().count();
        all.iter_mut().zip(axes).for_each(|(to, from)| *to = from);
        Ok(Product {
            shape: Shape::new(&all[..rank])?,
            rows: rows.iter().product(),
            depth,
            batches: outer.iter().product(),
            columns: columns.unwrap_or(1),
        })
    }
}

/// The product of two arrays of one type; `out` has the elements of its shape.
pub(in crate::expr) fn dot(of: DType, product: &Product, a: &[u8], b: &[u8], out: &mut [u8]) {
    with_number!(of, T => dot_typed::<T>(product, bytemuck::cast_slice(a), bytemuck::cast_slice(b),
            bytemuck::cast_slice_mut(out), |sum, a, b| sum.add(a.mul(b))),
        bool => dot_typed::<u8>(product, a, b, out,
            |sum, a, b| sum | u8::from(a != 0 && b != 0)));
}

fn dot_typed<T: Number>(
    product: &Product,
    a: &[T],
    b: &[T],
    out: &mut [T],
    add: impl Fn(T, T, T) -> T,
) {
    let Product { rows, depth, batches, columns, .. } = *product;
    out.fill(T::ZERO);
    if columns == 1 && depth > 0 {
        for (i, o) in out.iter_mut().enumerate() {
            let (row, batch) = (i / batches, i % batches);
            let a = &a[row * depth..][..depth];
            *o = inner_product(a, &b[batch * depth..][..depth], &add);
        }
        return;
    }
    let places = (0..rows).flat_map(|row| (0..batches).map(move |batch| (row, batch)));
    for ((row, batch), out) in places.zip(out.chunks_exact_mut(columns.max(1))) {
        for k in 0..depth {
            let factor = a[row * depth + k];
            let b = &b[(batch * depth + k) * columns..][..columns];
            for (o, &b) in out.iter_mut().zip(b) {
                *o = add(*o, factor, b);
            }
        }
    }
}

/// Eight interleaved sums, for speed and accuracy.
fn inner_product<T: Number>(a: &[T], b: &[T], add: &impl Fn(T, T, T) -> T) -> T {
    let mut lanes = [T::ZERO; 8];
    let (a_groups, b_groups) = (a.chunks_exact(8), b.chunks_exact(8));
    let rest = a_groups.remainder().iter().zip(b_groups.remainder());
    let mut total = rest.fold(T::ZERO, |sum, (&a, &b)| add(sum, a, b));
    for (a, b) in a_groups.zip(b_groups) {
        for ((lane, &a), &b) in lanes.iter_mut().zip(a).zip(b) {
            *lane = add(*lane, a, b);
        }
    }
    for lane in lanes {
        // Times 1, as the caller's sum of bools is not an addition.
        total = add(total, lane, T::from_bool(true));
    }
    total
}
