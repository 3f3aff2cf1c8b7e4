//! Bins: numpy's edges and numpy's rule for what falls between them.
//!
//! A bin holds its left edge; the last one holds both. An index is first estimated by
//! multiplication, as numpy does, and then corrected by the edges themselves, so that the edges
//! alone decide: counts are those of `np.histogram`, bit for bit. For float32 data numpy rounds
//! the edges of equal bins to float32, and so does [`Grid::single`].

use crate::data::bytes::{Reader, Writer};
use crate::error::DecodeError;

/// Most bins of one axis.
pub const MAX_BINS: u64 = 1 << 22;

/// Bins of one axis.
#[derive(Debug, Clone, PartialEq)]
pub struct Grid {
    edges: Vec<f64>,
    /// Bins per unit where all are equal; else edges are searched.
    per_unit: Option<f64>,
}

/// Where a number falls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fall {
    /// Into this bin.
    Bin(usize),
    /// Below the first edge.
    Below,
    /// Above the last edge.
    Above,
    /// It is not a number.
    Nan,
}

impl Grid {
    /// Equal bins, edges as `np.linspace`.
    pub fn equal(bins: usize, low: f64, high: f64) -> Grid {
        let step = (high - low) / bins as f64;
        let mut edges: Vec<f64> = (0..=bins).map(|i| i as f64 * step + low).collect();
        edges[bins] = high;
        Grid { edges, per_unit: Some(bins as f64 / (high - low)) }
    }

    /// Bins of these edges, if they are: at least two, finite, each above the one before.
    pub fn of_edges(edges: Vec<f64>) -> Option<Grid> {
        let finite = edges.iter().all(|x| x.is_finite());
        let good = (2..=MAX_BINS as usize).contains(&edges.len())
            && finite
            && edges.is_sorted_by(|a, b| a < b);
        good.then_some(Grid { edges, per_unit: None })
    }

    /// The grid that numpy uses for float32 data.
    pub fn single(&self) -> Grid {
        if self.per_unit.is_none() {
            return self.clone();
        }
        let edges: Vec<f64> = self.edges.iter().map(|&e| f64::from(e as f32)).collect();
        Grid { edges, per_unit: self.per_unit }
    }

    /// True when bins are so narrow that an edge is the one before: nothing could fall between.
    pub fn repeats(&self) -> bool {
        !self.edges.is_sorted_by(|a, b| a < b)
    }

    /// All edges, one more than bins.
    pub fn edges(&self) -> &[f64] {
        &self.edges
    }

    /// Number of bins.
    pub fn bins(&self) -> usize {
        self.edges.len() - 1
    }

    /// Where a number falls.
    #[inline(always)]
    pub fn fall(&self, x: f64) -> Fall {
        let last = self.edges.len() - 2;
        let (low, high) = (self.edges[0], self.edges[last + 1]);
        if x >= low && x <= high {
            let Some(per_unit) = self.per_unit else { return Fall::Bin(self.search(x, last)) };
            let mut bin = (((x - low) * per_unit) as usize).min(last);
            if x < self.edges[bin] {
                bin -= 1;
            } else if bin < last && x >= self.edges[bin + 1] {
                bin += 1;
            }
            Fall::Bin(bin)
        } else if x < low {
            Fall::Below
        } else if x > high {
            Fall::Above
        } else {
            Fall::Nan
        }
    }

    fn search(&self, x: f64, last: usize) -> usize {
        (self.edges.partition_point(|&edge| edge <= x).max(1) - 1).min(last)
    }

    /// As bytes.
    pub fn encode(&self, writer: &mut Writer) {
        writer.f64(self.per_unit.unwrap_or(0.0));
        writer.slice(&self.edges);
    }

    /// Reads what [`Grid::encode`] wrote.
    ///
    /// # Errors
    /// When the bytes are not a grid.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Grid, DecodeError> {
        let per_unit = reader.f64("grid")?;
        let edges = reader.any_buffer::<f64>("edges")?.to_vec();
        if edges.len() < 2 || !edges.is_sorted() {
            return Err(DecodeError::invalid("edges", format_args!("{} of them", edges.len())));
        }
        Ok(Grid { edges, per_unit: (per_unit > 0.0).then_some(per_unit) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edges_alone_decide() {
        let grid = Grid::equal(10, 0.0, 1.0);
        for (i, &edge) in grid.edges().iter().enumerate() {
            assert_eq!(grid.fall(edge), Fall::Bin(i.min(9)));
            let before = f64::from_bits(edge.to_bits() - u64::from(i > 0));
            if i > 0 {
                assert_eq!(grid.fall(before), Fall::Bin(i - 1));
            }
        }
        assert_eq!(grid.fall(-1e-300), Fall::Below);
        assert_eq!(grid.fall(1.0000000000000002), Fall::Above);
        assert_eq!(grid.fall(f64::INFINITY), Fall::Above);
        assert_eq!(grid.fall(f64::NAN), Fall::Nan);
    }

    #[test]
    fn float32_edges_are_rounded_as_numpy_rounds_them() {
        // 0.7f32 is below 0.7: with float64 edges it would fall into bin 6.
        let x = f64::from(0.7f32);
        assert_eq!(Grid::equal(10, 0.0, 1.0).fall(x), Fall::Bin(6));
        assert_eq!(Grid::equal(10, 0.0, 1.0).single().fall(x), Fall::Bin(7));
    }
}
