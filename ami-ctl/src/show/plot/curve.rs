//! Curves: one 1-d array over its axis.

use crate::client::array::NdArray;
use crate::print;
use crate::show::plot::range;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Style};
use ratatui::symbols::Marker;
use ratatui::widgets::{Axis, Chart, Dataset, GraphType, Widget};

/// Arrays that are shown before others, by the names that ops give them.
const SHOWN: [&str; 8] =
    ["value", "mean", "counts", "values", "fit", "intensity", "radial", "last"];
/// Arrays that are an axis; edges are turned into centres.
const AXES: [&str; 5] = ["edges", "keys", "axis", "q", "x"];
/// Points drawn at most: several per dot of the widest terminal.
const POINTS: usize = 4096;

/// The array to show, and its axis: an array that says so, or the index.
pub(super) fn choose(arrays: &[NdArray]) -> Option<(Vec<f64>, &NdArray)> {
    let flat = || arrays.iter().filter(|a| a.shape.len() == 1 && a.shape != [0]);
    let is_axis = |a: &&NdArray| AXES.contains(&a.name.as_str());
    let y = SHOWN
        .iter()
        .find_map(|name| flat().find(|a| a.name == *name))
        .or_else(|| flat().find(|a| !is_axis(a)))
        .or_else(|| flat().next())?;
    let n = y.shape[0];
    let axis = flat().filter(|a| is_axis(a) && a.name != y.name).find_map(|a| match a.shape[0] {
        m if m == n => Some(a.to_f64()),
        m if m == n + 1 => Some(a.to_f64().windows(2).map(|e| f64::midpoint(e[0], e[1])).collect()),
        _ => None,
    });
    Some((axis.unwrap_or_else(|| (0..n).map(|i| i as f64).collect()), y))
}

pub(super) fn draw(name: &str, x: &[f64], y: &[f64], area: Rect, buffer: &mut Buffer) {
    let (Some((left, right)), Some((low, high))) = (range(x), range(y)) else {
        buffer.set_stringn(area.x, area.y, "no numbers yet", usize::from(area.width), Style::new());
        return;
    };
    let step = y.len().div_ceil(POINTS).max(1);
    let finite = |p: &(f64, f64)| p.0.is_finite() && p.1.is_finite();
    let points: Vec<(f64, f64)> =
        x.iter().copied().zip(y.iter().copied()).step_by(step).filter(finite).collect();
    let dataset = Dataset::default()
        .name(name)
        .marker(Marker::Braille)
        .graph_type(GraphType::Line)
        .style(Style::new().fg(Color::Cyan))
        .data(&points);
    Chart::new(vec![dataset])
        .x_axis(axis(left, right))
        .y_axis(axis(low, high))
        .render(area, buffer);
}

/// Bounds with a little room, so that neither a constant nor an extreme lies on the frame.
fn axis(low: f64, high: f64) -> Axis<'static> {
    let room = if high > low { (high - low) * 0.02 } else { low.abs().max(1.0) * 0.5 };
    let labels = [low, high].map(print::number);
    Axis::default()
        .bounds([low - room, high + room])
        .labels(labels)
        .style(Style::new().fg(Color::DarkGray))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn array(name: &str, values: &[f64]) -> NdArray {
        let bytes = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        NdArray::new(name, "<f8", vec![values.len()], bytes).unwrap()
    }

    #[test]
    fn edges_become_centres() {
        let arrays = [array("edges", &[0.0, 1.0, 3.0]), array("counts", &[5.0, 6.0])];
        let (x, y) = choose(&arrays).unwrap();
        assert_eq!((x, y.name.as_str()), (vec![0.5, 2.0], "counts"));
    }

    #[test]
    fn without_an_axis_it_is_the_index() {
        let arrays = [array("other", &[5.0, 6.0]), array("axis", &[1.0, 2.0, 3.0, 4.0])];
        let (x, y) = choose(&arrays).unwrap();
        assert_eq!((x, y.name.as_str()), (vec![0.0, 1.0], "other"));
        assert!(choose(&[]).is_none());
    }
}
