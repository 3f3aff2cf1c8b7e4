//! `mask`: masked elements become a fill value.

use crate::data::column_views::{Number, typed};
use crate::data::files::Content;
use crate::data::owned_column::scalar_bytes;
use crate::data::types::Type;
use crate::error::Fault;
use crate::op::checks::numbers_only;
use crate::op::doc::{Class, Form, InputDoc, OpDoc, OutputDoc, param};
use crate::op::event_by_event::{Each, Item, Out, each};
use crate::op::fill::{self, fill};
use crate::op::kind::{OpKind, Prepared};
use crate::op::parameters::Args;
use crate::op::per_event::{Kernel, PerEvent};
use crate::ops::detector::images::{PerShape, elements, flags};
use crate::with_type;
use serde_json::Value as Json;
use std::sync::Arc;

static DOC: OpDoc = OpDoc {
    name: "mask",
    summary: "masked elements become a fill value",
    text: "numpy's where(mask != 0, a, fill): as everywhere here, a mask is not 0 where an element \
           is used (NaN counts as not 0). It comes from an input, a file or a list of rectangles; \
           of several, each takes elements away. A mask has the shape of the array. The element \
           type stays, so the fill value must be one of it.",
    example: r#"{"op": "mask", "in": "image", "rectangles": [{"x": [0, 2], "y": [0, 1]}]}"#,
    class: Class::PerEvent,
    form: Form::Fixed(&[
        InputDoc { name: "array", doc: "array of numbers", required: true },
        InputDoc { name: "mask", doc: "array of the same shape", required: false },
    ]),
    with: false,
    params: &[
        param("file", "file", "none", "", ".npy, shape of the array", "a mask"),
        param(
            "rectangles",
            "[{\"x\": [from, to], \"y\": [from, to]}, …]",
            "none",
            "pixel",
            "0 <= from <= to; x or y may be left out",
            "parts to mask; x counts along the last axis, y along the one before; half-open",
        ),
        fill("what masked elements become"),
    ],
    outputs: &[OutputDoc { name: "value", doc: "as the array" }],
};

/// The op.
pub struct Mask;

impl OpKind for Mask {
    fn doc(&self) -> &'static OpDoc {
        &DOC
    }

    fn prepare(&self, args: &Args<'_>) -> Result<Prepared, Fault> {
        let rectangles = args.get("rectangles").map_or(Ok(Vec::new()), rectangles)?;
        let masking = Masking {
            file: args.file("file", ".npy")?,
            rectangles: rectangles.into(),
            fill: fill::read(args)?,
        };
        if masking.file.is_none() && masking.rectangles.is_empty() && args.input("mask").is_none() {
            let hint = "wire the input `mask`, or give `file` or `rectangles`";
            return Err(Fault::of("file", "there is no mask", hint));
        }
        Ok(Prepared::per_event(masking))
    }
}

/// First and past the last row, then column.
type Rectangle = [[usize; 2]; 2];

fn rectangles(json: &Json) -> Result<Vec<Rectangle>, Fault> {
    let bad = |json: &Json| {
        let hint = "give a list of {\"x\": [from, to], \"y\": [from, to]}, 0 <= from <= to";
        Fault::of("rectangles", format!("{json} is not accepted"), hint)
    };
    let side = |json: &Json| -> Option<[usize; 2]> {
        let ends = json.as_array()?.iter().map(Json::as_u64).collect::<Option<Vec<u64>>>()?;
        let [from, to] = ends.as_slice() else { return None };
        (from <= to).then_some([*from as usize, *to as usize])
    };
    let one = |json: &Json| {
        let known = |key: &String| key == "x" || key == "y";
        let map = json.as_object().filter(|map| !map.is_empty() && map.keys().all(known))?;
        let of = |key: &str| map.get(key).map_or(Some([0, usize::MAX]), side);
        Some([of("y")?, of("x")?])
    };
    let list = json.as_array().ok_or_else(|| bad(json))?;
    list.iter().map(|json| one(json).ok_or_else(|| bad(json))).collect()
}

#[derive(Debug)]
struct Masking {
    file: Option<Content>,
    rectangles: Arc<[Rectangle]>,
    fill: f64,
}

impl PerEvent for Masking {
    fn bind(&self, inputs: &[Type]) -> Result<(Vec<Type>, Box<dyn Kernel>), Fault> {
        numbers_only(inputs, &["array", "mask"])?;
        let array = &inputs[0];
        if array.is_scalar() || (array.rank == Some(1) && !self.rectangles.is_empty()) {
            let reason = format!("the input is {array}; it cannot be masked so");
            return Err(Fault::of("in", reason, "give an array; for rectangles of 2 axes or more"));
        }
        if let Some(mask) = inputs.get(1)
            && let (Some(shape), Some(other)) = (&array.shape, &mask.shape)
            && shape != other
        {
            let reason = format!("the array is {array}, the mask {mask}");
            return Err(Fault::of("in", reason, "give a mask of the array's shape"));
        }
        let fill = fill::element(array, self.fill)?;
        let file = elements(self.file.as_ref(), "file", array.shape.as_deref())?;
        let applying = Applying {
            file: file.map(|mask| (mask.shape().to_vec(), flags(&mask))),
            rectangles: self.rectangles.clone(),
            fill: scalar_bytes(fill),
            keep: PerShape::default(),
        };
        Ok(each(vec![array.clone()], applying))
    }

    fn tables(&self, inputs: &[Type], _: &[Type]) -> u64 {
        // The file's flags, and those with the rectangles.
        let any = self.file.is_some() || !self.rectangles.is_empty();
        inputs[0].elements().saturating_mul(u64::from(self.file.is_some()) + u64::from(any))
    }
}

struct Applying {
    file: Option<(Vec<usize>, Vec<bool>)>,
    rectangles: Arc<[Rectangle]>,
    fill: [u8; 8],
    /// By element; empty without file and rectangles.
    keep: PerShape<Vec<bool>>,
}

impl Each for Applying {
    fn event(&mut self, inputs: &[Item<'_>], out: &mut Out<'_, '_>) -> Result<(), String> {
        let Some(array) = inputs.first() else { return Ok(()) };
        let shape = array.shape();
        let other = inputs.get(1);
        if let Some(mask) = other.filter(|mask| mask.shape() != shape) {
            return Err(format!("the array has shape {shape:?}, the mask {:?}", mask.shape()));
        }
        let (file, rectangles) = (&self.file, &self.rectangles);
        let keep = self.keep.get(shape, || keep(shape, file.as_ref(), rectangles))?;
        with_type!(array.dtype, T => {
            let fill: T = bytemuck::pod_read_unaligned(&self.fill[..size_of::<T>()]);
            out.bytes(0, shape, |to| {
                let to: &mut [T] = bytemuck::cast_slice_mut(to);
                to.copy_from_slice(&typed::<T>(array.data));
                to.iter_mut().zip(keep.iter()).for_each(|(to, &keep)| {
                    *to = if keep { *to } else { fill };
                });
                if let Some(mask) = other {
                    with_type!(mask.dtype, M => apply(to, &typed::<M>(mask.data), fill));
                }
            });
        });
        Ok(())
    }
}

fn apply<T: Number, M: Number>(to: &mut [T], mask: &[M], fill: T) {
    let zero = M::zeroed();
    to.iter_mut().zip(mask).for_each(|(to, &mask)| *to = if mask == zero { fill } else { *to });
}

/// By element whether file and rectangles leave it.
fn keep(
    shape: &[usize],
    file: Option<&(Vec<usize>, Vec<bool>)>,
    rectangles: &[Rectangle],
) -> Result<Vec<bool>, String> {
    let count = shape.iter().product();
    let mut keep = match file {
        Some((known, _)) if known != shape => {
            return Err(format!("the array has shape {shape:?}, the mask's file {known:?}"));
        }
        Some((_, flags)) => flags.clone(),
        None => vec![true; count],
    };
    if rectangles.is_empty() {
        return Ok(keep);
    }
    let [.., height, width] = *shape else {
        return Err(format!("an array of shape {shape:?} has no rectangles"));
    };
    for [[top, bottom], [left, right]] in rectangles {
        for (row, pixels) in keep.chunks_mut(width.max(1)).enumerate() {
            if (*top..*bottom).contains(&(row % height)) {
                pixels[(*left).min(width)..(*right).min(width)].fill(false);
            }
        }
    }
    Ok(keep)
}
