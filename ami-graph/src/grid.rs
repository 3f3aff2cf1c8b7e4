//! Bins: numpy's edges and numpy's rule for what falls between them.
//!
//! A bin holds its left edge; the last one holds both. An index is first estimated by
//! multiplication, as numpy does, and then corrected by the edges themselves, so that the edges
//! alone decide: counts are those of `np.histogram`, bit for bit. For float32 data numpy rounds
//! the edges of equal bins to float32, and so does [`Grid::single`].

use crate::error::{DecodeError, Fault};
use crate::ops::ParamDoc;
use crate::params::{Args, as_number, as_whole};
use crate::wire::{Reader, Writer};
use serde_json::Value as Json;

/// Most bins of one axis.
pub const MAX_BINS: u64 = 1 << 22;

/// The parameter `bins` of ops with one axis.
pub const BINS: ParamDoc = ParamDoc {
    name: "bins",
    kind: "integer or list of edges",
    default: "100",
    unit: "",
    range: "1 to 4194304 (from 2 where bins find themselves), or increasing edges",
    doc: "number of bins, or their edges",
};

/// The parameter `range` of ops with one axis, with its default and type.
pub const fn range_doc(kind: &'static str, default: &'static str) -> ParamDoc {
    ParamDoc {
        name: "range",
        kind,
        default,
        unit: "of what is binned",
        range: "low < high",
        doc: "what the bins cover; left out when edges are given",
    }
}

/// The number in `bins`, by default 100.
///
/// # Errors
/// When it is none.
pub fn number_of_bins(bins: Option<&Json>, least: u64) -> Result<usize, Fault> {
    let Some(json) = bins else { return Ok(100) };
    let number = as_whole(json).filter(|n| (least..=MAX_BINS).contains(n));
    let bad = || {
        let hint = format!("give a whole number from {least} to {MAX_BINS}, or a list of edges");
        Fault::of("bins", format!("{json} is not accepted"), hint)
    };
    number.map(|n| n as usize).ok_or_else(bad)
}

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

    /// From the parameters `bins` (a number, or all edges) and `range`.
    ///
    /// # Errors
    /// When they do not make bins.
    pub fn from_args(args: &Args<'_>) -> Result<Grid, Fault> {
        Grid::read(args.get("bins"), args.get("range"))
    }

    /// From what stands for one axis in `bins` and `range`.
    ///
    /// # Errors
    /// When they do not make bins.
    pub fn read(bins: Option<&Json>, range: Option<&Json>) -> Result<Grid, Fault> {
        if let Some(Json::Array(edges)) = bins {
            if range.is_some() {
                let hint = "leave `range` out, the edges say it";
                return Err(Fault::of("range", "edges are given in `bins`", hint));
            }
            let edges: Option<Vec<f64>> = edges.iter().map(as_number).collect();
            let good = |e: &Vec<f64>| {
                let finite = e.iter().all(|x| x.is_finite());
                (2..=MAX_BINS as usize).contains(&e.len()) && finite && e.is_sorted_by(|a, b| a < b)
            };
            let hint = "give at least two edges, each above the one before";
            let edges = edges.filter(good);
            let edges =
                edges.ok_or_else(|| Fault::of("bins", "the list is no list of edges", hint))?;
            return Ok(Grid { edges, per_unit: None });
        }
        let bins = number_of_bins(bins, 1)?;
        let json = range.ok_or_else(|| Fault::of("range", "is missing", "give [low, high]"))?;
        let numbers: Option<Vec<f64>> =
            json.as_array().and_then(|pair| pair.iter().map(as_number).collect());
        match numbers.as_deref() {
            Some(&[low, high]) if low < high && (high - low).is_finite() => {
                Ok(Grid::equal(bins, low, high))
            }
            _ => {
                let reason = format!("{json} is not accepted");
                Err(Fault::of("range", reason, "give [low, high], low below high"))
            }
        }
    }

    /// The grid that numpy uses for float32 data.
    pub fn single(&self) -> Grid {
        if self.per_unit.is_none() {
            return self.clone();
        }
        let edges: Vec<f64> = self.edges.iter().map(|&e| f64::from(e as f32)).collect();
        Grid { edges, per_unit: self.per_unit }
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
