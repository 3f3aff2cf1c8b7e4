//! Loops that add up: frames into accumulators, and integer scalars exactly.

use crate::data::column_views::{Mask, Number, as_f64, taking_part, typed};
use crate::data::raw_buffer::Buffer;
use crate::data::value::DType;
use crate::merge::compensated::two_sum;
use multiversion::multiversion;
use smallvec::SmallVec;
use std::borrow::Cow;
use std::ops::Range;

/// Accumulators kept in the first-level cache while all frames of a batch are added to them.
const TILE: usize = 2048;
/// Frames added at once: with four, accumulators cost less than reading the frames does.
const BLOCK: usize = 4;
/// Frames handed over at once.
pub const TOGETHER: usize = 64;

/// Stands for the frames that the last block lacks.
static ZEROS: [u64; TILE] = [0; TILE];

/// A number that can be added into a wider accumulator.
pub trait Widen<A>: Copy {
    /// The same number.
    fn widen(self) -> A;
}

macro_rules! widen {
    ($($from:ty => $($to:ty),+;)*) => { $($(
        impl Widen<$to> for $from {
            #[inline(always)]
            fn widen(self) -> $to { self as $to }
        }
    )+)* };
}
widen! {
    u8 => u32, i64, i128; u16 => u32, i64, i128; i8 => i32, i64, i128; i16 => i32, i64, i128;
    u32 => i64, i128; i32 => i64, i128; i64 => i64, i128; u64 => i128; i128 => i128;
}

/// An accumulator of integers.
pub trait Accumulator: bytemuck::Pod {
    /// The sum, wrapping around: callers widen before it could.
    fn plus(self, other: Self) -> Self;
}

macro_rules! accumulator {
    ($($t:ty),*) => { $(impl Accumulator for $t {
        #[inline(always)]
        fn plus(self, other: Self) -> Self { self.wrapping_add(other) }
    })* };
}
accumulator!(u32, i32, i64, i128);

/// Adds frames to accumulators, tile by tile, so that a tile is read and written once per batch.
pub fn add_frames<T: bytemuck::Pod + Widen<A>, A: Accumulator>(sums: &mut [A], frames: &[&[u8]]) {
    tiles::<T>(sums.len(), frames, |range, parts| {
        let sums = &mut sums[range];
        match parts {
            Parts::Block(parts) => add_block(sums, parts),
            Parts::One(part) => add_tile(sums, part),
        }
    });
}

/// What of the frames is added at once.
enum Parts<'a, T> {
    Block([&'a [T]; BLOCK]),
    One(&'a [T]),
}

/// Hands out the frames, tile by tile, and within a tile by blocks of frames, in their order. The
/// last block is filled up with zeros, which change no sum. Frames that are too short are left out.
fn tiles<'a, T: bytemuck::Pod>(
    elements: usize,
    frames: &[&'a [u8]],
    mut add: impl FnMut(Range<usize>, Parts<'_, T>),
) {
    let size = size_of::<T>();
    let whole = frames.iter().filter_map(|&f| f.get(..elements * size));
    let frames: SmallVec<[&'a [u8]; TOGETHER]> = whole.collect();
    let zeros: &[T] = bytemuck::cast_slice(&ZEROS);
    for start in (0..elements).step_by(TILE) {
        let range = start..elements.min(start + TILE);
        let bytes = range.start * size..range.end * size;
        let tile = |frame: &&'a [u8]| typed::<T>(&frame[bytes.clone()]);
        for block in frames.chunks(BLOCK) {
            if let [one] = block {
                add(range.clone(), Parts::One(&tile(one)));
                continue;
            }
            let part = |i: usize| match block.get(i) {
                Some(frame) => tile(frame),
                None => Cow::Borrowed(&zeros[..range.len()]),
            };
            let parts: [Cow<'_, [T]>; BLOCK] = std::array::from_fn(part);
            add(range.clone(), Parts::Block(parts.each_ref().map(|part| &**part)));
        }
    }
}

/// Compiled for several processors; the best is chosen when the program runs.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512vl+avx512dq", "x86_64+avx2"))]
fn add_tile<T: Widen<A>, A: Accumulator>(sums: &mut [A], part: &[T]) {
    for (sum, &x) in sums.iter_mut().zip(part) {
        *sum = sum.plus(x.widen());
    }
}

/// As [`add_tile`]; each accumulator is read and written once for all frames of the block.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512vl+avx512dq", "x86_64+avx2"))]
fn add_block<T: Widen<A>, A: Accumulator>(sums: &mut [A], parts: [&[T]; BLOCK]) {
    let [a, b, c, d] = parts;
    for ((((sum, &a), &b), &c), &d) in sums.iter_mut().zip(a).zip(b).zip(c).zip(d) {
        *sum = sum.plus(a.widen()).plus(b.widen()).plus(c.widen()).plus(d.widen());
    }
}

/// As [`add_tile`].
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512vl+avx512dq", "x86_64+avx2"))]
fn add_tile_pairs(sums: &mut [f64], lost: &mut [f64], part: &[f64]) {
    for ((sum, lost), &x) in sums.iter_mut().zip(lost.iter_mut()).zip(part) {
        let (next, error) = two_sum(*sum, x);
        *sum = next;
        *lost += error;
    }
}

/// As [`add_block`].
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512vl+avx512dq", "x86_64+avx2"))]
fn add_block_pairs(sums: &mut [f64], lost: &mut [f64], parts: [&[f64]; BLOCK]) {
    let [a, b, c, d] = parts;
    let pairs = sums.iter_mut().zip(lost.iter_mut());
    for (((((sum, lost), &a), &b), &c), &d) in pairs.zip(a).zip(b).zip(c).zip(d) {
        let (mut total, mut errors) = (*sum, *lost);
        for x in [a, b, c, d] {
            let (next, error) = two_sum(total, x);
            total = next;
            errors += error;
        }
        (*sum, *lost) = (total, errors);
    }
}

/// As [`add_tile`].
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512vl+avx512dq", "x86_64+avx2"))]
fn add_tile_plain(sums: &mut [f64], part: &[f32]) {
    sums.iter_mut().zip(part).for_each(|(sum, &x)| *sum += f64::from(x));
}

/// As [`add_block`].
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512vl+avx512dq", "x86_64+avx2"))]
fn add_block_plain(sums: &mut [f64], parts: [&[f32]; BLOCK]) {
    let [a, b, c, d] = parts;
    for ((((sum, &a), &b), &c), &d) in sums.iter_mut().zip(a).zip(b).zip(c).zip(d) {
        *sum = *sum + f64::from(a) + f64::from(b) + f64::from(c) + f64::from(d);
    }
}

/// Four runs of rows as they lie in memory, side by side, and the rows that are left. Rows that are
/// neighbours would end their four streams at every row, and with it what the processor fetches
/// ahead: that takes 1.7 times as long.
pub fn quarters<T>(rows: &[T], width: usize) -> (impl Iterator<Item = [&[T]; BLOCK]>, &[T]) {
    let run = rows.len() / width.max(1) / BLOCK * width;
    let (whole, rest) = rows.split_at(run * BLOCK);
    let row =
        move |start| std::array::from_fn(|i| &whole[i * run + start..i * run + start + width]);
    ((0..run).step_by(width.max(1)).map(row), rest)
}

/// Adds rows with their rounding errors: a row has as many numbers as there are sums.
pub fn add_rows(sums: &mut [f64], lost: &mut [f64], rows: &[f64]) {
    let (blocks, rest) = quarters(rows, sums.len());
    blocks.for_each(|block| add_block_pairs(sums, lost, block));
    rest.chunks_exact(sums.len().max(1)).for_each(|row| add_tile_pairs(sums, lost, row));
}

/// Adds float frames with their rounding errors.
pub fn add_pairs(dtype: DType, sums: &mut [f64], lost: &mut [f64], frames: &[&[u8]]) {
    if dtype == DType::F64 {
        return tiles::<f64>(sums.len(), frames, |range, parts| {
            let (sums, lost) = (&mut sums[range.clone()], &mut lost[range]);
            match parts {
                Parts::Block(parts) => add_block_pairs(sums, lost, parts),
                Parts::One(part) => add_tile_pairs(sums, lost, part),
            }
        });
    }
    let mut scratch = Vec::new();
    let tiles = sums.chunks_mut(TILE).zip(lost.chunks_mut(TILE)).enumerate();
    for (tile, (sums, lost)) in tiles {
        let start = tile * TILE * dtype.size();
        for frame in frames {
            let Some(part) = frame.get(start..start + sums.len() * dtype.size()) else { continue };
            let part = as_f64(dtype, part, &mut scratch);
            add_tile_pairs(sums, lost, part);
        }
    }
}

/// Adds float32 frames in float64.
pub fn add_plain(sums: &mut [f64], frames: &[&[u8]]) {
    tiles::<f32>(sums.len(), frames, |range, parts| {
        let sums = &mut sums[range];
        match parts {
            Parts::Block(parts) => add_block_plain(sums, parts),
            Parts::One(part) => add_tile_plain(sums, part),
        }
    });
}

/// The same numbers in wider accumulators.
pub fn wider<T: bytemuck::Pod + Widen<A>, A: Accumulator>(from: &[T]) -> Buffer<A> {
    let mut to = Buffer::zeros(from.len());
    to.iter_mut().zip(from).for_each(|(to, &from)| *to = from.widen());
    to
}

/// Adds accumulators place by place.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512vl+avx512dq", "x86_64+avx2"))]
pub fn add_each<A: Accumulator>(a: &mut [A], b: &[A]) {
    a.iter_mut().zip(b).for_each(|(a, &b)| *a = a.plus(b));
}

/// The exact sum of integer scalars. Blocks of at most 2^32 elements of 32 bits cannot overflow
/// 64 bits; a batch is far smaller.
pub fn whole_sum(dtype: DType, data: &[u8], mask: Mask<'_>) -> i128 {
    fn narrow_sum<T: Number + Widen<i64>>(data: &[u8], mask: Mask<'_>) -> i128 {
        let sum: i64 = match mask {
            None => typed::<T>(data).iter().map(|x| x.widen()).sum(),
            Some(mask) => typed::<T>(data)
                .iter()
                .zip(mask)
                .map(|(x, &m)| if m != 0 { x.widen() } else { 0 })
                .sum(),
        };
        i128::from(sum)
    }
    match dtype {
        DType::U64 => taking_part(&typed::<u64>(data), mask).map(i128::from).sum(),
        DType::I64 => taking_part(&typed::<i64>(data), mask).map(i128::from).sum(),
        DType::U16 => narrow_sum::<u16>(data, mask),
        DType::U32 => narrow_sum::<u32>(data, mask),
        DType::I8 => narrow_sum::<i8>(data, mask),
        DType::I16 => narrow_sum::<i16>(data, mask),
        DType::I32 => narrow_sum::<i32>(data, mask),
        _ => narrow_sum::<u8>(data, mask),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_added_once() {
        for height in 0..11 {
            let rows: Vec<f64> = (0..3 * height).map(|i| f64::from(1 << i)).collect();
            let (mut sums, mut lost) = ([0.0; 3], [0.0; 3]);
            add_rows(&mut sums, &mut lost, &rows);
            let column = |k: usize| rows.iter().skip(k).step_by(3).sum::<f64>();
            assert_eq!((sums, lost), ([column(0), column(1), column(2)], [0.0; 3]));
        }
    }
}
