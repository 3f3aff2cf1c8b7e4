//! Views of one array as numpy makes them: axes turned, swapped, reversed or taken away by
//! strides; and ops that are nothing but views.

use crate::data::column_views::typed;
use crate::data::types::Type;
use crate::data::value::MAX_RANK;
use crate::error::Fault;
use crate::op::event_by_event::{Each, Item, Out, each};
use crate::op::per_event::Kernel;
use bytemuck::Pod;
use std::fmt::Debug;

/// Rows and columns copied together where both are far apart in memory: their cache lines fit the
/// first-level cache.
const TILE: usize = 32;

/// Which elements of an array in C order, in which order. Offsets count elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct View {
    rank: usize,
    shape: [usize; MAX_RANK],
    strides: [isize; MAX_RANK],
    start: isize,
}

impl View {
    /// All of an array. Panics with more than [`MAX_RANK`] axes: a caller's mistake.
    pub fn of(shape: &[usize]) -> View {
        let mut view =
            View { rank: shape.len(), shape: [0; MAX_RANK], strides: [0; MAX_RANK], start: 0 };
        view.shape[..shape.len()].copy_from_slice(shape);
        let mut stride = 1isize;
        for axis in (0..shape.len()).rev() {
            view.strides[axis] = stride;
            stride = stride.wrapping_mul(shape[axis] as isize);
        }
        view
    }

    /// Axis lengths.
    pub fn shape(&self) -> &[usize] {
        &self.shape[..self.rank]
    }

    /// One index of an axis, which goes away.
    pub fn at(mut self, axis: usize, index: usize) -> View {
        self.start += self.strides[axis] * index as isize;
        self.shape.copy_within(axis + 1.., axis);
        self.strides.copy_within(axis + 1.., axis);
        self.rank -= 1;
        self
    }

    /// An axis backwards.
    pub fn reversed(mut self, axis: usize) -> View {
        self.start += self.strides[axis] * (self.shape[axis].max(1) - 1) as isize;
        self.strides[axis] = -self.strides[axis];
        self
    }

    /// Two axes in each other's place.
    pub fn swapped(mut self, a: usize, b: usize) -> View {
        self.shape.swap(a, b);
        self.strides.swap(a, b);
        self
    }

    /// Axes in this order, a permutation of all.
    pub fn ordered(&self, order: &[usize]) -> View {
        let mut view = *self;
        for (to, &from) in order.iter().enumerate() {
            view.shape[to] = self.shape[from];
            view.strides[to] = self.strides[from];
        }
        view
    }

    /// Copies the elements, each of so many bytes.
    pub fn gather(&self, size: usize, from: &[u8], to: &mut [u8]) {
        match size {
            1 => self.copy::<u8>(from, to),
            2 => self.copy::<u16>(from, to),
            4 => self.copy::<u32>(from, to),
            _ => self.copy::<u64>(from, to),
        }
    }

    fn copy<T: Pod>(&self, from: &[u8], to: &mut [u8]) {
        if !to.is_empty() {
            self.axis(0, self.start, &typed::<T>(from), bytemuck::cast_slice_mut(to));
        }
    }

    /// Copies from the axis `k` on.
    fn axis<T: Pod>(&self, k: usize, start: isize, from: &[T], to: &mut [T]) {
        match self.rank - k {
            0 => to[0] = from[start as usize],
            1 => line(from, start, self.strides[k], to),
            2 if self.strides[k + 1].abs() > self.strides[k].abs() => {
                let (row, column) = (self.strides[k], self.strides[k + 1]);
                tiles(from, start, (row, column), (self.shape[k + 1], to));
            }
            _ => {
                let each = to.len() / self.shape[k];
                for (i, to) in to.chunks_exact_mut(each).enumerate() {
                    self.axis(k + 1, start + i as isize * self.strides[k], from, to);
                }
            }
        }
    }
}

fn line<T: Pod>(from: &[T], start: isize, stride: isize, to: &mut [T]) {
    if stride == 1 {
        to.copy_from_slice(&from[start as usize..start as usize + to.len()]);
        return;
    }
    let mut at = start;
    for to in to {
        *to = from[at as usize];
        at += stride;
    }
}

/// A plane whose neighbours in a row lie farther apart than those in a column.
fn tiles<T: Pod>(
    from: &[T],
    start: isize,
    (down, across): (isize, isize),
    (columns, to): (usize, &mut [T]),
) {
    let rows = to.len() / columns;
    for top in (0..rows).step_by(TILE) {
        for left in (0..columns).step_by(TILE) {
            for row in top..(top + TILE).min(rows) {
                let first = start + row as isize * down + left as isize * across;
                let end = (left + TILE).min(columns);
                line(from, first, across, &mut to[row * columns + left..row * columns + end]);
            }
        }
    }
}

/// What does not fit: the parameter, and why.
pub type Misfit = (&'static str, String);

/// An op whose outputs are views of its one input, of its element type.
pub trait Look: Debug + Clone + Send + Sync + 'static {
    /// Number of axes of the outputs, for an input of `rank` axes.
    ///
    /// # Errors
    /// When there is no such view of any array of that rank.
    fn rank(&self, rank: usize) -> Result<usize, Misfit>;

    /// The view that is one output, of an array of a rank that [`rank`](Self::rank) accepts.
    ///
    /// # Errors
    /// When there is no such view of an array of this shape.
    fn view(&self, shape: &[usize], output: usize) -> Result<View, Misfit>;
}

/// Types and kernel of a [`Look`] of so many outputs.
///
/// # Errors
/// When it does not fit the input.
pub fn looking<L: Look>(
    look: &L,
    input: &Type,
    outputs: usize,
) -> Result<(Vec<Type>, Box<dyn Kernel>), Fault> {
    let fault = |(parameter, reason): Misfit| {
        let hint = format!("the input is {input}; change the parameter, or name another input");
        Fault::of(parameter, reason, hint)
    };
    let output = |k: usize| match (input.rank, &input.shape) {
        (None, _) => Ok(Type::unknown(input.dtype)),
        (Some(rank), None) => Ok(Type::array(input.dtype, look.rank(rank)?)),
        (Some(rank), Some(shape)) => {
            look.rank(rank)?;
            Ok(Type::shaped(input.dtype, look.view(shape, k)?.shape()))
        }
    };
    let types = (0..outputs).map(output).collect::<Result<Vec<_>, _>>().map_err(fault)?;
    Ok(each(types, Looking { look: look.clone(), outputs }))
}

struct Looking<L> {
    look: L,
    outputs: usize,
}

impl<L: Look> Each for Looking<L> {
    fn event(&mut self, inputs: &[Item<'_>], out: &mut Out<'_, '_>) -> Result<(), String> {
        let [item] = inputs else { return Ok(()) };
        self.look.rank(item.shape().len()).map_err(|(_, reason)| reason)?;
        for k in 0..self.outputs {
            let view = self.look.view(item.shape(), k).map_err(|(_, reason)| reason)?;
            out.bytes(k, view.shape(), |to| view.gather(item.dtype.size(), item.data, to));
        }
        Ok(())
    }
}

/// An axis as written, negative from the last, as its place among `rank`.
///
/// # Errors
/// When there is none.
pub fn place(parameter: &'static str, axis: i64, rank: usize) -> Result<usize, Misfit> {
    let place = if axis < 0 { axis + rank as i64 } else { axis };
    usize::try_from(place)
        .ok()
        .filter(|&p| p < rank)
        .ok_or_else(|| (parameter, format!("there is no axis {axis} in an input of {rank} axes")))
}

/// An index as written, negative from the end, as its place on an axis.
///
/// # Errors
/// When it lies beyond.
pub fn index(parameter: &'static str, index: i64, length: usize) -> Result<usize, Misfit> {
    let place = if index < 0 { index.saturating_add(length as i64) } else { index };
    usize::try_from(place)
        .ok()
        .filter(|&p| p < length)
        .ok_or_else(|| (parameter, format!("index {index} lies beyond an axis of {length}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(view: View, from: &[u16]) -> Vec<u16> {
        let mut to = vec![0u16; view.shape().iter().product()];
        view.gather(2, bytemuck::cast_slice(from), bytemuck::cast_slice_mut(&mut to));
        to
    }

    #[test]
    fn axes_turn_as_they_do_in_numpy() {
        let a: Vec<u16> = (0..6).collect();
        let all = View::of(&[2, 3]);
        assert_eq!(taken(all, &a), a);
        assert_eq!(taken(all.swapped(0, 1), &a), [0, 3, 1, 4, 2, 5]);
        assert_eq!(taken(all.reversed(1), &a), [2, 1, 0, 5, 4, 3]);
        assert_eq!(taken(all.reversed(0).reversed(1), &a), [5, 4, 3, 2, 1, 0]);
        assert_eq!(taken(all.at(0, 1), &a), [3, 4, 5]);
        assert_eq!(taken(all.at(1, 2).at(0, 0), &a), [2]);
        let cube = View::of(&[1, 2, 3]).ordered(&[2, 0, 1]);
        assert_eq!((cube.shape(), taken(cube, &a)), (&[3, 1, 2][..], vec![0, 3, 1, 4, 2, 5]));
    }

    #[test]
    fn nothing_is_taken_from_nothing() {
        let none = View::of(&[0, 3]);
        assert_eq!(taken(none.reversed(0).swapped(0, 1), &[]), [0u16; 0]);
        assert!(index("index", -1, 0).is_err());
        assert!(place("axis", -1, 0).is_err());
    }

    #[test]
    fn planes_larger_than_a_tile_are_whole() {
        let (rows, columns) = (TILE + 3, 2 * TILE + 1);
        let a: Vec<u16> = (0..(rows * columns) as u16).collect();
        let turned = taken(View::of(&[rows, columns]).swapped(0, 1).reversed(0), &a);
        for row in 0..columns {
            for column in 0..rows {
                assert_eq!(turned[row * rows + column], a[column * columns + (columns - 1 - row)]);
            }
        }
    }
}
