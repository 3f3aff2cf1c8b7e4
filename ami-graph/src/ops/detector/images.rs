//! What the ops of detector images share: where the beam hits, files of one number per pixel,
//! and tables that are made once per shape of image.

use crate::data::column_views::typed;
use crate::data::files::Content;
use crate::data::types::Type;
use crate::data::value::{Array, DType};
use crate::error::Fault;
use crate::op::doc::{Form, InputDoc, ParamDoc, param};
use crate::op::parameters::{Args, as_number};
use crate::with_type;
use serde_json::Value as Json;
use std::sync::Arc;

/// Most pixels of an image that tables are made for; bounds their memory.
pub const MAX_PIXELS: usize = 1 << 26;

/// The one input of ops on images.
pub const IMAGE: Form =
    Form::Fixed(&[InputDoc { name: "array", doc: "image, 2-d", required: true }]);

/// The parameter `center`, read by [`pair`]; its default and what it is for.
pub const fn center(default: &'static str, doc: &'static str) -> ParamDoc {
    param("center", "[y, x]", default, "pixel", "finite", doc)
}

/// The parameter `pixel_size`, read by [`pixel_size`]; its unit and what it is for.
pub const fn pixel_size_doc(unit: &'static str, doc: &'static str) -> ParamDoc {
    param("pixel_size", "number or [height, width]", "1", unit, "above 0", doc)
}

/// The parameter `mask`, read by [`PixelMask::read`].
pub const MASK: ParamDoc =
    param("mask", "file", "none", "", ".npy, shape of the image", "0: pixel is not used");

/// Which pixels of an image are used.
#[derive(Debug, Clone)]
pub struct PixelMask {
    /// Height and width of the images it belongs to.
    pub shape: [usize; 2],
    used: Arc<[bool]>,
}

impl PixelMask {
    /// The mask in a file, if the parameter names one.
    ///
    /// # Errors
    /// When it holds none, or has another shape than `shape` (None: any).
    pub fn read(
        content: Option<&Content>,
        shape: Option<[usize; 2]>,
    ) -> Result<Option<PixelMask>, Fault> {
        let mask = pixels(content, "mask", shape)?;
        Ok(mask.map(|mask| PixelMask {
            shape: [mask.shape()[0], mask.shape()[1]],
            used: flags(&mask).into(),
        }))
    }

    /// Whether it belongs to an image of this shape.
    ///
    /// # Errors
    /// When it does not; names both shapes.
    pub fn fits(&self, shape: [usize; 2]) -> Result<(), String> {
        let error = || format!("the image has shape {shape:?}, the mask {:?}", self.shape);
        (self.shape == shape).then_some(()).ok_or_else(error)
    }

    /// Whether a pixel, counted row by row, is used.
    pub fn used(&self, pixel: usize) -> bool {
        self.used[pixel]
    }
}

/// A pair of finite numbers, `[y, x]`, if given.
///
/// # Errors
/// When it is something else; names the parameter.
pub fn pair(args: &Args<'_>, name: &str) -> Result<Option<[f64; 2]>, Fault> {
    let Some(json) = args.get(name) else { return Ok(None) };
    let numbers: Option<Vec<f64>> =
        json.as_array().and_then(|list| list.iter().map(as_number).collect());
    match numbers.as_deref() {
        Some(&[y, x]) if y.is_finite() && x.is_finite() => Ok(Some([y, x])),
        _ => {
            let reason = format!("{json} is not accepted");
            Err(Fault::of(name, reason, "give two numbers, [y, x]: rows, then columns"))
        }
    }
}

/// Height and width of a pixel: one positive number, or `[height, width]`.
///
/// # Errors
/// When it is something else; names the parameter.
pub fn pixel_size(args: &Args<'_>, name: &str) -> Result<Option<[f64; 2]>, Fault> {
    let size = match args.get(name) {
        Some(Json::Array(_)) => pair(args, name)?,
        _ => args.number(name)?.map(|size| [size, size]),
    };
    match size {
        Some([h, w]) if !(h > 0.0 && w > 0.0 && h.is_finite() && w.is_finite()) => {
            let hint = "give one positive number, or [height, width]";
            Err(Fault::of(name, format!("[{h}, {w}] is not a size"), hint))
        }
        size => Ok(size),
    }
}

/// The shape of an image as far as a type tells.
///
/// # Errors
/// When it is text or has another number of axes.
pub fn image_shape(input: &Type) -> Result<Option<[usize; 2]>, Fault> {
    let wrong = || {
        let hint = "give a 2-d image; put segments together by `assemble`, or take one by `roi`";
        Fault::of("in", format!("the input is {input}, not an image of 2 axes"), hint)
    };
    if input.dtype == DType::Str || input.rank.is_some_and(|rank| rank != 2) {
        return Err(wrong());
    }
    let Some(shape) = &input.shape else { return Ok(None) };
    let shape: [usize; 2] = shape.as_slice().try_into().map_err(|_| wrong())?;
    Ok(Some(shape))
}

/// The shape of an image in an event.
///
/// # Errors
/// When it has another number of axes, or too many pixels.
pub fn event_shape(shape: &[usize]) -> Result<[usize; 2], String> {
    match *shape {
        [h, w] if h.saturating_mul(w) <= MAX_PIXELS => Ok([h, w]),
        [h, w] => Err(format!("an image of {h}×{w} is larger than {MAX_PIXELS} pixels")),
        ref other => Err(format!("an array of shape {other:?} is no image of 2 axes")),
    }
}

/// A file with one number per pixel of an image, if the parameter names one.
///
/// # Errors
/// When it holds none, has other than two axes, or another shape than `shape` (None: any).
pub fn pixels(
    content: Option<&Content>,
    parameter: &str,
    shape: Option<[usize; 2]>,
) -> Result<Option<Array>, Fault> {
    let Some(array) = elements(content, parameter, shape.as_ref().map(<[usize; 2]>::as_slice))?
    else {
        return Ok(None);
    };
    if array.shape().len() != 2 {
        let reason = format!("the file has shape {:?}", array.shape());
        return Err(Fault::of(parameter, reason, "save one number per pixel of the image"));
    }
    Ok(Some(array))
}

/// A file with one number per element of an array, if the parameter names one.
///
/// # Errors
/// When it holds none, or has another shape than `shape` (None: any).
pub fn elements(
    content: Option<&Content>,
    parameter: &str,
    shape: Option<&[usize]>,
) -> Result<Option<Array>, Fault> {
    let Some(content) = content else { return Ok(None) };
    let array = content.array(parameter)?;
    let (path, found) = (content.path(), array.shape());
    if array.len() > MAX_PIXELS {
        let reason = format!("{path:?} has shape {found:?}");
        return Err(Fault::of(parameter, reason, format!("at most {MAX_PIXELS} are read")));
    }
    if let Some(shape) = shape.filter(|&shape| found != shape) {
        let reason = format!("{path:?} has shape {found:?}; {shape:?} is needed");
        return Err(Fault::of(parameter, reason, "save an array of this shape"));
    }
    Ok(Some(array))
}

/// Whether each pixel is used: where the mask is not 0 (NaN is used).
pub fn flags(mask: &Array) -> Vec<bool> {
    with_type!(mask.dtype(), T => typed::<T>(mask.bytes()).iter().map(|&m| m != T::default()).collect())
}

/// The elements as float64.
pub fn as_f64(array: &Array) -> Vec<f64> {
    let mut scratch = Vec::new();
    crate::data::column_views::as_f64(array.dtype(), array.bytes(), &mut scratch).to_vec()
}

/// Something that is made once per shape of array, and again when the shape changes.
#[derive(Debug)]
pub struct PerShape<T> {
    made: Option<(Vec<usize>, T)>,
}

impl<T> Default for PerShape<T> {
    fn default() -> Self {
        PerShape { made: None }
    }
}

impl<T> PerShape<T> {
    /// What was made for this shape.
    ///
    /// # Errors
    /// Those of `make`.
    pub fn get(
        &mut self,
        shape: &[usize],
        make: impl FnOnce() -> Result<T, String>,
    ) -> Result<&mut T, String> {
        if self.made.as_ref().is_none_or(|(of, _)| of != shape) {
            self.made = None;
            self.made = Some((shape.to_vec(), make()?));
        }
        self.made.as_mut().map(|(_, made)| made).ok_or_else(String::new)
    }
}
