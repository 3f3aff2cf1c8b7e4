//! Numbers of several inputs side by side: `hist2d`, `linregress`.

use crate::data::batch::Column;
use crate::data::column_views::{Mask, as_f64, extend_f64, remainders_f64, selected};
use crate::data::event_values::{Items, with_items};
use crate::data::feed::Feed;
use crate::data::reused_lists::Few;
use crate::merge::comoments::Numbers;

/// Hands the numbers of the first inputs (two or three) of the events that take part to `f`, side
/// by side in blocks of one length, each with its remainders in float64 (none, or one for each):
/// scalars event by event, arrays element by element. Arrays of one event must have one shape; a
/// scalar beside an array counts for each of its elements.
pub fn side_by_side(feed: &mut Feed<'_>, mut f: impl FnMut(&[Numbers<'_>])) {
    if feed.columns.iter().all(|c| matches!(c, Column::Scalars { .. })) {
        feed.numbers.clear();
        feed.columns.iter().for_each(|column| scalars(column, feed.mask, feed.numbers));
        let mut rests: Few<Vec<f64>> = Few::new();
        for column in feed.columns {
            let mut rest = Vec::new();
            scalar_remainders(column, feed.mask, &mut rest);
            rests.push(rest);
        }
        let numbers = feed.numbers.chunks_exact(feed.present.max(1));
        let slices: Few<Numbers<'_>> =
            numbers.zip(&rests).map(|(numbers, rest)| (numbers, rest.as_slice())).collect();
        f(&slices);
        return;
    }
    let mut blocks = vec![Block::default(); feed.columns.len()];
    for event in selected(feed.mask, feed.events.timestamps.len()) {
        match gather(feed, event, &mut blocks) {
            Ok(()) => {
                let slices: Vec<Numbers<'_>> =
                    blocks.iter().map(|b| (b.numbers.as_slice(), b.rests.as_slice())).collect();
                f(&slices);
            }
            Err(shapes) => feed.errors.record(|| {
                format!("inputs of shapes {shapes} do not go together; give one shape, or scalars")
            }),
        }
    }
}

/// One event's numbers of one input, with their remainders.
#[derive(Debug, Clone, Default)]
struct Block {
    numbers: Vec<f64>,
    rests: Vec<f64>,
}

impl Block {
    fn spread(&mut self, length: usize) {
        for numbers in [&mut self.numbers, &mut self.rests] {
            if let Some(&number) = numbers.first() {
                numbers.clear();
                numbers.resize(length, number);
            }
        }
    }
}

/// Adds the scalars that take part to `to`, as float64.
pub fn scalars(column: &Column<'_>, mask: Mask<'_>, to: &mut Vec<f64>) {
    if let Column::Scalars { dtype, data, .. } = column {
        extend_f64(*dtype, data, mask, to);
    }
}

/// What those of [`scalars`] lose as float64: empty, or one for each.
pub fn scalar_remainders<'a>(
    column: &Column<'_>,
    mask: Mask<'_>,
    scratch: &'a mut Vec<f64>,
) -> &'a [f64] {
    match column {
        Column::Scalars { dtype, data, .. } => remainders_f64(*dtype, data, mask, scratch),
        _ => &[],
    }
}

/// One event's numbers of each input, scalars spread out; or the shapes that do not fit.
fn gather(feed: &Feed<'_>, event: usize, blocks: &mut [Block]) -> Result<(), String> {
    let mut shapes = Vec::new();
    let mut scratch = Vec::new();
    for (column, block) in feed.columns.iter().zip(&mut *blocks) {
        block.numbers.clear();
        block.rests.clear();
        let mut take = |items: &Items<'_>| {
            if let Some(item) = items.get(event) {
                shapes.push(item.dims);
                remainders_f64(items.dtype, item.data, None, &mut block.rests);
                block.numbers.extend_from_slice(as_f64(items.dtype, item.data, &mut scratch));
            }
        };
        with_items(column, feed.events.timestamps.len(), &mut take);
    }
    let array = shapes.iter().find(|dims| !dims.axes().is_empty());
    let fits = shapes.iter().all(|dims| dims.axes().is_empty() || Some(dims) == array);
    if !fits || shapes.len() != blocks.len() {
        let texts: Vec<String> = shapes.iter().map(|dims| format!("{:?}", dims.axes())).collect();
        return Err(texts.join(" and "));
    }
    let length = array.and_then(crate::data::batch::Dims::count).unwrap_or(1);
    for (block, dims) in blocks.iter_mut().zip(&shapes) {
        if dims.axes().is_empty() {
            block.spread(length);
        }
    }
    Ok(())
}
