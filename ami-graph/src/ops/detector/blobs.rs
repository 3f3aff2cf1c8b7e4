//! `blobs`: what lights up in an image: 8-connected components above a threshold.

use crate::data::types::Type;
use crate::data::value::DType;
use crate::error::Fault;
use crate::op::doc::{Class, OpDoc, OutputDoc, param};
use crate::op::event_by_event::{Each, Item, Out, each};
use crate::op::kind::{OpKind, Prepared};
use crate::op::parameters::Args;
use crate::op::per_event::{Kernel, PerEvent};
use crate::ops::detector::images::{IMAGE, event_shape, image_shape};

static DOC: OpDoc = OpDoc {
    name: "blobs",
    summary: "connected pixels above a threshold: position, sum, size",
    text: "Pixels above `threshold` that touch, also at corners, make a blob: scipy.ndimage.label \
           with a 3×3 structure of ones. y and x are the centre of mass with the pixels' values \
           as weights, sum their sum, npix their number. Blobs come in the order of their first \
           pixel, row by row. NaN is not above anything.",
    example: r#"{"op": "blobs", "in": "image", "threshold": 3}"#,
    class: Class::PerEvent,
    form: IMAGE,
    with: false,
    params: &[
        param("threshold", "number", "", "of the input", "any", "pixels above it belong to a blob"),
        param("min_sum", "number", "none", "of the input", "any", "blobs with less are left out"),
    ],
    outputs: &[
        OutputDoc { name: "y", doc: "float64 [blobs]: row of the centre, pixels from 0" },
        OutputDoc { name: "x", doc: "float64 [blobs]: column of the centre, pixels from 0" },
        OutputDoc { name: "sum", doc: "float64 [blobs]: sum of the pixels" },
        OutputDoc { name: "npix", doc: "int64 [blobs]: number of pixels" },
        OutputDoc { name: "count", doc: "int64 scalar: number of blobs" },
    ],
};

/// The op.
pub struct Blobs;

impl OpKind for Blobs {
    fn doc(&self) -> &'static OpDoc {
        &DOC
    }

    fn prepare(&self, args: &Args<'_>) -> Result<Prepared, Fault> {
        args.require("threshold", "a number")?;
        let threshold = args.number("threshold")?.unwrap_or(0.0);
        let min_sum = args.number("min_sum")?;
        let labelling = Labelling { threshold, min_sum };
        Ok(Prepared::per_event_with(&["y", "x", "sum", "npix", "count"], labelling))
    }
}

#[derive(Debug, Clone, Copy)]
struct Labelling {
    threshold: f64,
    min_sum: Option<f64>,
}

impl PerEvent for Labelling {
    fn bind(&self, inputs: &[Type]) -> Result<(Vec<Type>, Box<dyn Kernel>), Fault> {
        image_shape(&inputs[0])?;
        let floats = || Type::array(DType::F64, 1);
        let types = vec![
            floats(),
            floats(),
            floats(),
            Type::array(DType::I64, 1),
            Type::scalar(DType::I64),
        ];
        let finding = Finding { settings: *self, ..Finding::default() };
        Ok(each(types, finding))
    }
}

#[derive(Default)]
struct Finding {
    settings: Labelling,
    pixels: Vec<f64>,
    /// Pixels above the threshold that belong to no blob yet.
    free: Vec<bool>,
    /// Pixels of a blob whose neighbours are still to be looked at.
    open: Vec<usize>,
    blobs: Vec<Blob>,
}

impl Default for Labelling {
    fn default() -> Self {
        Labelling { threshold: 0.0, min_sum: None }
    }
}

#[derive(Debug, Clone, Copy, Default)]
struct Blob {
    y: f64,
    x: f64,
    sum: f64,
    pixels: i64,
}

impl Each for Finding {
    fn event(&mut self, inputs: &[Item<'_>], out: &mut Out<'_, '_>) -> Result<(), String> {
        let [item] = inputs else { return Ok(()) };
        let shape = event_shape(item.shape())?;
        let image = item.f64(&mut self.pixels);
        let threshold = self.settings.threshold;
        self.free.clear();
        self.free.extend(image.iter().map(|&v| v > threshold));
        self.blobs.clear();
        for first in 0..image.len() {
            if self.free[first] {
                let blob = flood(image, shape, &mut self.free, &mut self.open, first);
                if self.settings.min_sum.is_none_or(|least| blob.sum >= least) {
                    self.blobs.push(blob);
                }
            }
        }
        let blobs = &self.blobs;
        let mut floats = |output: usize, of: fn(&Blob) -> f64| {
            out.array(output, &[blobs.len()], |to| {
                to.iter_mut().zip(blobs).for_each(|(to, blob)| *to = of(blob));
            });
        };
        floats(0, |blob| blob.y / blob.sum);
        floats(1, |blob| blob.x / blob.sum);
        floats(2, |blob| blob.sum);
        out.array(3, &[blobs.len()], |to: &mut [i64]| {
            to.iter_mut().zip(blobs).for_each(|(to, blob)| *to = blob.pixels);
        });
        out.scalar(4, blobs.len() as i64);
        Ok(())
    }
}

/// Takes the blob that contains a pixel.
fn flood(
    image: &[f64],
    [height, width]: [usize; 2],
    free: &mut [bool],
    open: &mut Vec<usize>,
    first: usize,
) -> Blob {
    let mut blob = Blob::default();
    open.clear();
    open.push(first);
    free[first] = false;
    while let Some(at) = open.pop() {
        let (y, x) = (at / width, at % width);
        blob.pixels += 1;
        blob.sum += image[at];
        blob.y += image[at] * y as f64;
        blob.x += image[at] * x as f64;
        for row in y.saturating_sub(1)..(y + 2).min(height) {
            for column in x.saturating_sub(1)..(x + 2).min(width) {
                let neighbour = row * width + column;
                if free[neighbour] {
                    free[neighbour] = false;
                    open.push(neighbour);
                }
            }
        }
    }
    blob
}
