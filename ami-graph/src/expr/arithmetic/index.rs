//! `a[…]`: numpy's basic indexing, resolved against the shape and copied.

use crate::data::value::MAX_RANK;
use crate::expr::arithmetic::shape::{Failure, Shape};

/// One component between the brackets of `a[…]`.
#[derive(Debug, Clone)]
pub(in crate::expr) enum Item<S> {
    /// One place: its axis goes.
    At(S),
    /// `start:stop:step`.
    Slice(Option<S>, Option<S>, Option<S>),
    /// `...`
    Ellipsis,
    /// `None`: a new axis of length 1.
    NewAxis,
}

/// Where the selected elements lie: a start, and per axis of the result a length and a step.
#[derive(Debug, Clone, Copy)]
pub(in crate::expr) struct Selection {
    pub shape: Shape,
    start: usize,
    steps: [isize; MAX_RANK],
}

/// Resolves the components against a shape; `part` gives the value of one.
pub(in crate::expr) fn resolve<S: Copy>(
    shape: &Shape,
    items: &[Item<S>],
    part: impl Fn(S) -> Result<i64, Failure>,
) -> Result<Selection, Failure> {
    let given = items.iter().filter(|i| matches!(i, Item::At(_) | Item::Slice(..))).count();
    if given > shape.rank() {
        return Err(Failure::TooManyIndices { given, rank: shape.rank() });
    }
    let mut strides = [1isize; MAX_RANK];
    for axis in (1..shape.rank()).rev() {
        strides[axis - 1] = strides[axis] * shape.axes()[axis] as isize;
    }
    let mut walk = Walk { source: shape, strides, axis: 0, start: 0, out: [(0, 0); 16], rank: 0 };
    let skipped = shape.rank() - given;
    let mut ellipsis = false;
    for item in items {
        match item {
            Item::At(index) => walk.at(part(*index)?)?,
            Item::Slice(a, b, c) => {
                let bound = |bound: &Option<S>| bound.map(&part).transpose();
                walk.slice(bound(a)?, bound(b)?, bound(c)?.unwrap_or(1))?;
            }
            Item::NewAxis => walk.push(1, 0)?,
            Item::Ellipsis => {
                ellipsis = true;
                walk.keep(skipped)?;
            }
        }
    }
    if !ellipsis {
        walk.keep(skipped)?;
    }
    walk.selection()
}

/// Goes through the axes of the source, collecting those of the result.
struct Walk<'a> {
    source: &'a Shape,
    strides: [isize; MAX_RANK],
    axis: usize,
    start: isize,
    /// Length and step of the result's axes.
    out: [(usize, isize); 16],
    rank: usize,
}

impl Walk<'_> {
    fn push(&mut self, length: usize, step: isize) -> Result<(), Failure> {
        let place = self.out.get_mut(self.rank).ok_or(Failure::TooManyAxes(self.rank + 1))?;
        *place = (length, step);
        self.rank += 1;
        Ok(())
    }

    fn at(&mut self, index: i64) -> Result<(), Failure> {
        let length = self.source.axes()[self.axis];
        let counted = if index < 0 { index + length as i64 } else { index };
        if !(0..length as i64).contains(&counted) {
            return Err(Failure::OutOfBounds { index, axis: self.axis, length });
        }
        self.start += counted as isize * self.strides[self.axis];
        self.axis += 1;
        Ok(())
    }

    fn slice(&mut self, start: Option<i64>, stop: Option<i64>, step: i64) -> Result<(), Failure> {
        if step == 0 {
            return Err(Failure::ZeroStep);
        }
        let length = self.source.axes()[self.axis] as i64;
        // Python's slice.indices: backwards, the places are -1 (before the first) to length - 1.
        let (low, high) = if step > 0 { (0, length) } else { (-1, length - 1) };
        let clamp = |bound: i64| {
            let counted = if bound < 0 { bound.saturating_add(length) } else { bound };
            counted.clamp(low, high)
        };
        let (first, last) = if step > 0 { (low, high) } else { (high, low) };
        let start = start.map_or(first, clamp);
        let stop = stop.map_or(last, clamp);
        let distance = if step > 0 { stop - start } else { start - stop };
        let count = if distance <= 0 { 0 } else { (distance as u64).div_ceil(step.unsigned_abs()) };
        let stride = self.strides[self.axis];
        if count > 0 {
            self.start += start as isize * stride;
        }
        self.axis += 1;
        // A step beyond the axis selects one element, which needs no step.
        self.push(count as usize, if count > 1 { step as isize * stride } else { 0 })
    }

    fn keep(&mut self, axes: usize) -> Result<(), Failure> {
        for _ in 0..axes {
            self.push(self.source.axes()[self.axis], self.strides[self.axis])?;
            self.axis += 1;
        }
        Ok(())
    }

    fn selection(&self) -> Result<Selection, Failure> {
        let mut axes = [0; 16];
        let mut steps = [0; MAX_RANK];
        for (i, (length, step)) in self.out[..self.rank].iter().enumerate() {
            axes[i] = *length;
            *steps.get_mut(i).ok_or(Failure::TooManyAxes(self.rank))? = *step;
        }
        let shape = Shape::new(&axes[..self.rank])?;
        Ok(Selection { shape, start: self.start as usize, steps })
    }
}

impl Selection {
    /// Copies the selected elements of `size` bytes.
    pub fn copy(&self, size: usize, data: &[u8], out: &mut [u8]) {
        match size {
            1 => self.copy_typed::<u8>(data, out),
            2 => self.copy_typed::<u16>(bytemuck::cast_slice(data), bytemuck::cast_slice_mut(out)),
            4 => self.copy_typed::<u32>(bytemuck::cast_slice(data), bytemuck::cast_slice_mut(out)),
            _ => self.copy_typed::<u64>(bytemuck::cast_slice(data), bytemuck::cast_slice_mut(out)),
        }
    }

    fn copy_typed<T: Copy>(&self, data: &[T], out: &mut [T]) {
        if out.is_empty() {
            return;
        }
        let axes = self.shape.axes();
        // The trailing axes that lie together are copied in one go.
        let (mut run, mut rank) = (1usize, axes.len());
        while rank > 0 && (axes[rank - 1] == 1 || self.steps[rank - 1] == run as isize) {
            run *= axes[rank - 1];
            rank -= 1;
        }
        let (row, step) = if run == 1 && rank > 0 {
            rank -= 1;
            (axes[rank], self.steps[rank])
        } else {
            (run, 1)
        };
        let mut place = [0usize; MAX_RANK];
        let mut from = self.start as isize;
        for to in out.chunks_exact_mut(row) {
            if step == 1 {
                to.copy_from_slice(&data[from as usize..from as usize + row]);
            } else {
                for (i, to) in to.iter_mut().enumerate() {
                    *to = data[(from + i as isize * step) as usize];
                }
            }
            for axis in (0..rank).rev() {
                place[axis] += 1;
                from += self.steps[axis];
                if place[axis] < axes[axis] {
                    break;
                }
                from -= self.steps[axis] * place[axis] as isize;
                place[axis] = 0;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn select(axes: &[usize], items: &[Item<i64>]) -> Result<(Vec<usize>, Vec<u8>), Failure> {
        let shape = Shape::new(axes).unwrap();
        let data: Vec<u8> = (0..shape.count() as u8).collect();
        let selection = resolve(&shape, items, Ok)?;
        let mut out = vec![0; selection.shape.count()];
        selection.copy(1, &data, &mut out);
        Ok((selection.shape.axes().to_vec(), out))
    }

    #[test]
    fn slices_are_pythons() {
        let all = Item::Slice(None, None, None);
        let back = Item::Slice(None, None, Some(-1));
        assert_eq!(select(&[4], std::slice::from_ref(&back)), Ok((vec![4], vec![3, 2, 1, 0])));
        assert_eq!(
            select(&[4], &[Item::Slice(Some(-3), Some(i64::MAX), Some(2))]),
            Ok((vec![2], vec![1, 3]))
        );
        assert_eq!(select(&[2, 3], &[Item::Ellipsis, Item::At(-1)]), Ok((vec![2], vec![2, 5])));
        assert_eq!(
            select(&[2, 3], &[back, Item::NewAxis, all]),
            Ok((vec![2, 1, 3], vec![3, 4, 5, 0, 1, 2]))
        );
        assert_eq!(
            select(&[3], &[Item::At(3)]),
            Err(Failure::OutOfBounds { index: 3, axis: 0, length: 3 })
        );
    }
}
