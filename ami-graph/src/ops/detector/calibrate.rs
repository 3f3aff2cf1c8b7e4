//! `calibrate`: raw detector values less pedestal and common mode, times gain.

use crate::data::column_views::{Number, typed};
use crate::data::files::Content;
use crate::data::types::Type;
use crate::data::value::{Array, DType, Element};
use crate::error::Fault;
use crate::op::checks::numbers_only;
use crate::op::doc::{Class, Form, InputDoc, OpDoc, OutputDoc, param};
use crate::op::event_by_event::{Each, Item, Out, each};
use crate::op::kind::{OpKind, Prepared};
use crate::op::parameters::{Args, as_number};
use crate::op::per_event::{Kernel, PerEvent};
use crate::ops::detector::images::{as_f64, elements, flags};
use crate::with_type;
use serde_json::Value as Json;
use std::ops::{Add, Mul, Sub};

static DOC: OpDoc = OpDoc {
    name: "calibrate",
    summary: "raw detector values to signal: pedestal, common mode, gain, mask",
    text: "((raw - pedestal) - common mode) * gain; masked elements (mask 0) become 0. Computed \
           and given in float32 for integers and float32, in float64 for float64; files are \
           converted to that type first, and so are integers (exact up to 2^24). The common \
           mode is the median, numpy's nanmedian, of the elements in use of each row, column or \
           bank; without any it is 0. Rows lie along the last axis; of an array of more \
           than two axes, each image of the last two is treated alone. Pedestals are recorded by \
           `ami-ctl pedestal`.",
    example: r#"{"op": "calibrate", "in": "image", "gain": 0.5, "common_mode": "rows"}"#,
    class: Class::PerEvent,
    form: Form::Fixed(&[InputDoc { name: "array", doc: "array of numbers", required: true }]),
    with: false,
    params: &[
        param("pedestal", "file", "none", "of the input", ".npy, shape of the array", "subtracted"),
        param("gain", "number or file", "1", "any", "finite; .npy, shape of the array", "factor"),
        param("mask", "file", "none", "", ".npy, shape of the array", "0: element is not used"),
        param("common_mode", "word", "\"none\"", "", "none, rows, cols, banks", "what shares one"),
        param(
            "bank",
            "[height, width]",
            "none",
            "pixel",
            "whole, from 1",
            "size of a bank, counted from the corner; default: the whole image",
        ),
    ],
    outputs: &[OutputDoc { name: "value", doc: "float32 or float64, shape of the array" }],
};

/// The op.
pub struct Calibrate;

impl OpKind for Calibrate {
    fn doc(&self) -> &'static OpDoc {
        &DOC
    }

    fn prepare(&self, args: &Args<'_>) -> Result<Prepared, Fault> {
        let gain = match args.get("gain") {
            None => Gain::Factor(1.0),
            Some(json) => match as_number(json) {
                Some(factor) if factor.is_finite() => Gain::Factor(factor),
                Some(factor) => {
                    let hint = "give a finite number, or a .npy file";
                    return Err(Fault::of("gain", format!("{factor} is not accepted"), hint));
                }
                None => args.file("gain", ".npy")?.map_or(Gain::Factor(1.0), Gain::Map),
            },
        };
        let bank = args.get("bank").map(bank).transpose()?;
        let word = args.word("common_mode", "none", &["none", "rows", "cols", "banks"])?;
        if bank.is_some() && word != "banks" {
            let reason = format!("common_mode is {word:?}, which has no banks");
            return Err(Fault::of("bank", reason, "leave bank out, or give common_mode \"banks\""));
        }
        let common = match word {
            "rows" => Some([1, usize::MAX]),
            "cols" => Some([usize::MAX, 1]),
            "banks" => Some(bank.unwrap_or([usize::MAX; 2])),
            _ => None,
        };
        Ok(Prepared::per_event(Calibration {
            pedestal: args.file("pedestal", ".npy")?,
            gain,
            mask: args.file("mask", ".npy")?,
            common,
        }))
    }
}

fn bank(json: &Json) -> Result<[usize; 2], Fault> {
    let side = |json: &Json| json.as_u64().filter(|&n| n > 0).map(|n| n as usize);
    let sides = json.as_array().and_then(|list| list.iter().map(side).collect::<Option<Vec<_>>>());
    sides.and_then(|sides| <[usize; 2]>::try_from(sides).ok()).ok_or_else(|| {
        Fault::of("bank", format!("{json} is not accepted"), "give [height, width] in pixels")
    })
}

#[derive(Debug)]
enum Gain {
    Factor(f64),
    Map(Content),
}

#[derive(Debug)]
struct Calibration {
    pedestal: Option<Content>,
    gain: Gain,
    mask: Option<Content>,
    /// Height and width of what shares a common mode.
    common: Option<[usize; 2]>,
}

impl PerEvent for Calibration {
    fn bind(&self, inputs: &[Type]) -> Result<(Vec<Type>, Box<dyn Kernel>), Fault> {
        numbers_only(inputs, &["array"])?;
        let input = &inputs[0];
        if input.is_scalar() {
            let reason = format!("the input is {input}, not an array");
            return Err(Fault::of("in", reason, "compute on scalars by `expr`"));
        }
        let mut shape = input.shape.clone();
        let mut file = |content: Option<&Content>, name: &str| {
            let array = elements(content, name, shape.as_deref())?;
            shape = shape.take().or_else(|| array.as_ref().map(|array| array.shape().to_vec()));
            Ok::<_, Fault>(array)
        };
        let map = if let Gain::Map(content) = &self.gain { Some(content) } else { None };
        let known = [
            file(self.pedestal.as_ref(), "pedestal")?,
            file(map, "gain")?,
            file(self.mask.as_ref(), "mask")?,
        ];
        let dtype = if input.dtype == DType::F64 { DType::F64 } else { DType::F32 };
        let types = vec![Type { dtype, ..input.clone() }];
        Ok(match dtype {
            DType::F64 => each(types, self.at_work::<f64>(known)),
            _ => each(types, self.at_work::<f32>(known)),
        })
    }

    fn tables(&self, inputs: &[Type], outputs: &[Type]) -> u64 {
        let real = outputs[0].dtype.size() as u64;
        let maps = u64::from(self.pedestal.is_some())
            + u64::from(matches!(self.gain, Gain::Map(_)))
            // The elements of one bank, sorted.
            + u64::from(self.common.is_some());
        inputs[0].elements().saturating_mul(maps * real + u64::from(self.mask.is_some()))
    }
}

impl Calibration {
    fn at_work<F: Real>(&self, [pedestal, gain, mask]: [Option<Array>; 3]) -> Calibrating<F> {
        let shape = [&pedestal, &gain, &mask].into_iter().flatten().next();
        let shape = shape.map(|array| array.shape().to_vec());
        let real = |array: Option<Array>| {
            array.map_or(Vec::new(), |array| as_f64(&array).into_iter().map(F::of).collect())
        };
        let factor = if let Gain::Factor(factor) = self.gain { F::of(factor) } else { F::of(1.0) };
        Calibrating {
            shape,
            pedestal: real(pedestal),
            gain: real(gain),
            factor,
            mask: mask.map_or(Vec::new(), |mask| flags(&mask)),
            common: self.common,
            scratch: Vec::new(),
        }
    }
}

/// The two types that calibration computes in.
trait Real: Element + Number + Add<Output = Self> + Sub<Output = Self> + Mul<Output = Self> {
    fn of<T: Number>(x: T) -> Self;
    fn order(&self, other: &Self) -> std::cmp::Ordering;
}

impl Real for f32 {
    fn of<T: Number>(x: T) -> f32 {
        x.f32()
    }

    fn order(&self, other: &f32) -> std::cmp::Ordering {
        self.total_cmp(other)
    }
}

impl Real for f64 {
    fn of<T: Number>(x: T) -> f64 {
        x.f64()
    }

    fn order(&self, other: &f64) -> std::cmp::Ordering {
        self.total_cmp(other)
    }
}

struct Calibrating<F> {
    /// Of the files; None without.
    shape: Option<Vec<usize>>,
    /// Empty without one.
    pedestal: Vec<F>,
    /// Empty without one.
    gain: Vec<F>,
    factor: F,
    /// Empty without one.
    mask: Vec<bool>,
    common: Option<[usize; 2]>,
    scratch: Vec<F>,
}

impl<F: Real> Each for Calibrating<F> {
    fn event(&mut self, inputs: &[Item<'_>], out: &mut Out<'_, '_>) -> Result<(), String> {
        let [item] = inputs else { return Ok(()) };
        let shape = item.shape();
        if let Some(known) = self.shape.as_ref().filter(|known| known.as_slice() != shape) {
            return Err(format!("the array has shape {shape:?}, the files {known:?}"));
        }
        out.array(0, shape, |to: &mut [F]| {
            with_type!(item.dtype, T => {
                let raw = typed::<T>(item.data);
                to.iter_mut().zip(raw.iter()).for_each(|(to, &raw)| *to = F::of(raw));
            });
            to.iter_mut().zip(&self.pedestal).for_each(|(to, &pedestal)| *to = *to - pedestal);
            if let Some(size) = self.common {
                let width = shape.last().map_or(1, |&w| w.max(1));
                let height = if let [.., height, _] = *shape { height.max(1) } else { 1 };
                for (image, pixels) in to.chunks_mut(width * height).enumerate() {
                    let mask = self.mask.get(image * width * height..).unwrap_or_default();
                    level(pixels, mask, width, size, &mut self.scratch);
                }
            }
            let factor = self.factor;
            to.iter_mut().for_each(|to| *to = *to * factor);
            to.iter_mut().zip(&self.gain).for_each(|(to, &gain)| *to = *to * gain);
            let zero = F::of(0u8);
            to.iter_mut()
                .zip(&self.mask)
                .for_each(|(to, &keep)| *to = if keep { *to } else { zero });
        });
        Ok(())
    }
}

/// Subtracts from each bank of an image its median.
fn level<F: Real>(
    pixels: &mut [F],
    mask: &[bool],
    width: usize,
    size: [usize; 2],
    scratch: &mut Vec<F>,
) {
    let height = pixels.len() / width;
    let steps = |length: usize, step: usize| {
        (0..length)
            .step_by(step.min(length.max(1)))
            .map(move |at| at..at.saturating_add(step).min(length))
    };
    for rows in steps(height, size[0]) {
        for columns in steps(width, size[1]) {
            scratch.clear();
            for row in rows.clone() {
                let places = columns.clone().map(|column| row * width + column);
                let used = places.filter(|&at| mask.get(at).is_none_or(|&used| used));
                scratch.extend(used.map(|at| pixels[at]).filter(|x| !x.nan()));
            }
            let Some(median) = median(scratch) else { continue };
            for row in rows.clone() {
                for pixel in &mut pixels[row * width..][columns.clone()] {
                    *pixel = *pixel - median;
                }
            }
        }
    }
}

fn median<F: Real>(values: &mut [F]) -> Option<F> {
    let half = values.len() / 2;
    if values.is_empty() {
        return None;
    }
    let odd = values.len() % 2 == 1;
    let (below, &mut middle, _) = values.select_nth_unstable_by(half, F::order);
    let below = below.iter().copied().max_by(F::order).filter(|_| !odd);
    Some(below.map_or(middle, |below| (below + middle) * F::of(0.5)))
}
