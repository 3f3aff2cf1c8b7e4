//! Frames taken in bands of rows: nodes that read the same frames share one reading of memory, as
//! a band stays in the second-level cache until all of them have taken it.

use crate::data::batch::{ArrayRef, Column, Dims};
use crate::data::owned_column::OwnedColumn;
use crate::data::value::DType;
use smallvec::SmallVec;
use std::ops::Range;

/// Bytes of one frame in a band, about. With those of its group, and the accumulators, they fit in
/// a second-level cache of 1 MiB.
const BAND_BYTES: usize = 64 << 10;

/// Frames whose bands are taken together: as many as are added to accumulators at once.
const GROUP: usize = 4;

/// The rows of each band of a frame: a multiple of four, but for the last.
pub fn bands(rows: usize, row_bytes: usize) -> impl Iterator<Item = Range<usize>> {
    let step = (BAND_BYTES / row_bytes.max(1) / 4 * 4).max(4);
    (0..rows).step_by(step).map(move |start| start..rows.min(start + step))
}

/// The same rows of up to four frames that follow each other.
#[derive(Debug)]
pub struct Band<'a> {
    /// Element type.
    pub dtype: DType,
    /// Rows of a frame, and their elements: all axes but the last make rows.
    pub shape: (usize, usize),
    /// Which rows these are. Bands of the same frames come from the first row to the last.
    pub rows: Range<usize>,
    /// Their bytes, of one frame after the other.
    pub parts: &'a [&'a [u8]],
    /// True for the first frames of a batch.
    pub first_frames: bool,
}

impl Band<'_> {
    /// True where the frames begin.
    pub fn begins(&self) -> bool {
        self.rows.start == 0
    }

    /// True where the frames end.
    pub fn ends(&self) -> bool {
        self.rows.end == self.shape.0
    }

    /// Places of its elements within a frame.
    pub fn elements(&self) -> Range<usize> {
        self.rows.start * self.shape.1..self.rows.end * self.shape.1
    }
}

/// What takes frames in bands. All bands of all frames of a batch come to the same result, to the
/// bit, as the whole batch at once does.
pub trait Banded {
    /// Takes in one band. A kernel begins its outputs with the first band of a batch, and adds what
    /// comes of some frames with their last band; states have no outputs.
    fn band(&mut self, band: &Band<'_>, outputs: &mut [OwnedColumn]);
}

/// The frames of a batch: one in every event, all of one shape, with two axes or more.
#[derive(Debug)]
pub struct Frames<'a> {
    /// Element type.
    pub dtype: DType,
    /// Axis lengths.
    pub dims: Dims,
    shape: (usize, usize),
    items: &'a [Option<ArrayRef<'a>>],
}

impl<'a> Frames<'a> {
    /// None when the column is something else.
    pub fn of(column: &'a Column<'a>) -> Option<Frames<'a>> {
        let Column::Arrays { dtype, items } = column else { return None };
        let dims = items.first()?.as_ref()?.dims;
        let bytes = dims.count()?.checked_mul(dtype.size())?;
        let [outer @ .., width] = dims.axes() else { return None };
        let (rows, width) = (outer.iter().map(|&n| n as usize).product(), *width as usize);
        let alike = |item: &Option<ArrayRef<'_>>| {
            item.as_ref().is_some_and(|item| item.dims == dims && item.data.len() == bytes)
        };
        let frames = Frames { dtype: *dtype, dims, shape: (rows, width), items };
        (!outer.is_empty() && bytes > 0 && items.iter().all(alike)).then_some(frames)
    }

    /// Hands out every band of the first frames, then of the next ones.
    pub fn each_band(&self, mut take: impl FnMut(&Band<'_>)) {
        let (dtype, shape) = (self.dtype, self.shape);
        let row = shape.1 * dtype.size();
        for (number, group) in self.items.chunks(GROUP).enumerate() {
            for rows in bands(shape.0, row) {
                let bytes = rows.start * row..rows.end * row;
                let part = |item: &ArrayRef<'a>| &item.data[bytes.clone()];
                let parts: SmallVec<[&[u8]; GROUP]> = group.iter().flatten().map(part).collect();
                take(&Band { dtype, shape, rows, parts: &parts, first_frames: number == 0 });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(shape: &[usize], data: &'static [u8]) -> Option<ArrayRef<'static>> {
        Some(ArrayRef { dims: Dims::new(shape).unwrap(), data })
    }

    #[test]
    fn bands_are_all_rows_once_and_in_order() {
        for (rows, row_bytes) in [(0, 8), (1, 8), (3, 1 << 20), (9, 1 << 20), (512, 4096), (600, 0)]
        {
            let all: Vec<usize> = bands(rows, row_bytes).flatten().collect();
            assert_eq!(all, (0..rows).collect::<Vec<_>>());
            let but_last = bands(rows, row_bytes).filter(|b| b.end < rows);
            assert!(but_last.map(|b| b.len()).all(|n| n % 4 == 0 && n > 0));
        }
        assert_eq!(bands(512, 4096).next(), Some(0..16));
    }

    #[test]
    fn every_byte_of_every_frame_is_in_one_band() {
        static DATA: [u8; 7 * 3 * 65_536] = [1; 7 * 3 * 65_536];
        let size = 3 * 65_536;
        let items = (0..7).map(|k| item(&[3, 65_536], &DATA[k * size..(k + 1) * size])).collect();
        let column = Column::Arrays { dtype: DType::U8, items };
        let mut seen = Vec::new();
        Frames::of(&column).unwrap().each_band(|band| {
            let parts = band.parts.iter().map(|part| part.len()).collect::<Vec<_>>();
            seen.push((band.begins(), band.ends(), band.first_frames, parts));
            assert_eq!(band.elements(), 0..size, "less than four rows are never divided");
        });
        let expected = [(true, true, true, vec![size; 4]), (true, true, false, vec![size; 3])];
        assert_eq!(seen, expected);
    }

    #[test]
    fn all_axes_but_the_last_make_rows() {
        static DATA: [u8; 24] = [0; 24];
        let items = vec![item(&[2, 3, 4], &DATA)];
        let column = Column::Arrays { dtype: DType::U8, items };
        let mut seen = Vec::new();
        Frames::of(&column).unwrap().each_band(|band| seen.push((band.shape, band.elements())));
        assert_eq!(seen, [((6, 4), 0..24)]);
    }

    #[test]
    fn other_columns_are_not_taken_in_bands() {
        static DATA: [u8; 12] = [0; 12];
        let frames = |items| Frames::of(&Column::Arrays { dtype: DType::U8, items }).is_some();
        assert!(frames(vec![item(&[3, 4], &DATA); 2]));
        assert!(!frames(vec![]));
        assert!(!frames(vec![item(&[3, 4], &DATA), None]));
        assert!(!frames(vec![item(&[3, 4], &DATA), item(&[4, 3], &DATA)]));
        assert!(!frames(vec![item(&[12], &DATA)]));
        assert!(!frames(vec![item(&[3, 4], &DATA[1..])]));
        assert!(!frames(vec![item(&[3, 0], &[])]));
        assert!(Frames::of(&Column::Absent).is_none());
    }
}
