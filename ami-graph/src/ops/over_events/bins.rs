//! The parameters `bins` and `range` of ops that bin.

use crate::data::value::DType;
use crate::error::Fault;
use crate::merge::grid::{Grid, MAX_BINS};
use crate::op::doc::ParamDoc;
use crate::op::parameters::{Args, as_number, as_whole};
use serde_json::Value as Json;

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

/// The bins that the parameters `bins` (a number, or all edges) and `range` of a node ask for.
///
/// # Errors
/// When they do not make bins.
pub fn grid(args: &Args<'_>) -> Result<Grid, Fault> {
    axis(args.get("bins"), args.get("range"))
}

/// The bins, unless edges fall together in this type; numpy refuses these, too.
///
/// # Errors
/// When edges repeat.
pub fn told_apart(grid: Grid, dtype: DType) -> Result<Grid, Fault> {
    if !grid.repeats() {
        return Ok(grid);
    }
    let (bins, edges) = (grid.bins(), grid.edges());
    let (low, high) = (edges[0], edges[bins]);
    let reason = format!(
        "too many bins for the range: in {dtype} there are no {bins} different edges from {low:e} to {high:e}"
    );
    Err(Fault::of("bins", reason, "give fewer bins or a wider range, or subtract an offset first"))
}

/// The bins of one axis, from what stands for it in `bins` and `range`.
///
/// # Errors
/// When they do not make bins.
pub fn axis(bins: Option<&Json>, range: Option<&Json>) -> Result<Grid, Fault> {
    if let Some(Json::Array(edges)) = bins {
        if range.is_some() {
            let hint = "leave `range` out, the edges say it";
            return Err(Fault::of("range", "edges are given in `bins`", hint));
        }
        let edges: Option<Vec<f64>> = edges.iter().map(as_number).collect();
        return edges.and_then(Grid::of_edges).ok_or_else(|| {
            let hint = "give at least two edges, each above the one before";
            Fault::of("bins", "the list is no list of edges", hint)
        });
    }
    let bins = number_of_bins(bins, 1)?;
    let json = range.ok_or_else(|| Fault::of("range", "is missing", "give [low, high]"))?;
    let numbers: Option<Vec<f64>> =
        json.as_array().and_then(|pair| pair.iter().map(as_number).collect());
    match numbers.as_deref() {
        Some(&[low, high]) if low < high && (high - low).is_finite() => {
            told_apart(Grid::equal(bins, low, high), DType::F64)
        }
        _ => {
            let reason = format!("{json} is not accepted");
            Err(Fault::of("range", reason, "give [low, high], low below high"))
        }
    }
}
