//! `gaussian_filter` and `median_filter`: smoothing of waveforms and images, as scipy.ndimage.

use crate::data::column_views::{Number, typed};
use crate::data::types::Type;
use crate::data::value::DType;
use crate::error::Fault;
use crate::op::checks::numbers_only;
use crate::op::doc::{Class, Form, InputDoc, OpDoc, OutputDoc, ParamDoc};
use crate::op::event_by_event::{Each, Item, Out, each};
use crate::op::kind::{OpKind, Prepared};
use crate::op::parameters::Args;
use crate::op::per_event::{Kernel, PerEvent};
use crate::with_type;
use serde_json::Value as Json;
use std::cmp::Ordering;

/// Longest kernel along an axis, in elements.
const MAX_REACH: usize = 4096;

const INPUT: Form =
    Form::Fixed(&[InputDoc { name: "array", doc: "array of 1 or 2 axes", required: true }]);

const MODE: ParamDoc = ParamDoc {
    name: "mode",
    kind: "word",
    default: "reflect",
    unit: "",
    range: "reflect, mirror, nearest, wrap or constant",
    doc: "what lies beyond the borders: reflect (d c b a | a b c d), mirror (d c b | a b c d), \
          nearest (a a a | a b c d), wrap (b c d | a b c d), constant (zeros)",
};

static GAUSSIAN_DOC: OpDoc = OpDoc {
    name: "gaussian_filter",
    summary: "smooths a waveform or image by a Gaussian",
    text: "scipy.ndimage.gaussian_filter of the input as float64: a kernel of \
           int(truncate * sigma + 0.5) elements to each side, normalised to 1, along each axis in \
           turn. One sigma serves both axes of an image; [y, x] gives each its own; 0 leaves an \
           axis as it is. NaN spreads over the kernel.",
    example: r#"{"op": "gaussian_filter", "in": "image", "sigma": 1.5}"#,
    class: Class::PerEvent,
    form: INPUT,
    with: false,
    params: &[
        ParamDoc {
            name: "sigma",
            kind: "number or [y, x]",
            default: "",
            unit: "elements",
            range: "0 to 1000",
            doc: "standard deviation of the kernel",
        },
        MODE,
        ParamDoc {
            name: "truncate",
            kind: "number",
            default: "4",
            unit: "sigma",
            range: "above 0, to 100",
            doc: "where the kernel is cut off",
        },
    ],
    outputs: &[OutputDoc { name: "value", doc: "float64 of the input's shape" }],
};

static MEDIAN_DOC: OpDoc = OpDoc {
    name: "median_filter",
    summary: "replaces each element by the median of its neighbourhood",
    text: "scipy.ndimage.median_filter: of a window of `size` elements (of an image size by size, \
           or [y, x]) around each element the one of rank n // 2; a window of even size reaches \
           one element further to the left. The element type stays. What NaN gives is not \
           defined, as in scipy.",
    example: r#"{"op": "median_filter", "in": "waveform", "size": 3}"#,
    class: Class::PerEvent,
    form: INPUT,
    with: false,
    params: &[
        ParamDoc {
            name: "size",
            kind: "integer or [y, x]",
            default: "",
            unit: "elements",
            range: "1 to 255",
            doc: "edge of the window",
        },
        MODE,
    ],
    outputs: &[OutputDoc { name: "value", doc: "as the input" }],
};

/// The op `gaussian_filter`.
pub struct Gaussian;
/// The op `median_filter`.
pub struct Median;

/// What lies beyond the borders.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Border {
    Reflect,
    Mirror,
    Nearest,
    Wrap,
    Zero,
}

impl Border {
    fn read(args: &Args<'_>) -> Result<Border, Fault> {
        let words = ["reflect", "mirror", "nearest", "wrap", "constant"];
        Ok(match args.word("mode", "reflect", &words)? {
            "mirror" => Border::Mirror,
            "nearest" => Border::Nearest,
            "wrap" => Border::Wrap,
            "constant" => Border::Zero,
            _ => Border::Reflect,
        })
    }

    /// The element that stands at place `i` of a line of `n` > 0; None: a zero.
    fn place(self, i: isize, n: usize) -> Option<usize> {
        let length = n as isize;
        if (0..length).contains(&i) {
            return Some(i as usize);
        }
        Some(match self {
            Border::Zero => return None,
            Border::Nearest => i.clamp(0, length - 1) as usize,
            Border::Wrap => i.rem_euclid(length) as usize,
            Border::Reflect => {
                let i = i.rem_euclid(2 * length);
                if i < length { i as usize } else { (2 * length - 1 - i) as usize }
            }
            Border::Mirror if n == 1 => 0,
            Border::Mirror => {
                let i = i.rem_euclid(2 * length - 2);
                if i < length { i as usize } else { (2 * length - 2 - i) as usize }
            }
        })
    }
}

/// A number for both axes, or one each: (y, x).
fn pair(
    args: &Args<'_>,
    name: &str,
    range: std::ops::RangeInclusive<f64>,
    accepted: &str,
) -> Result<(f64, f64), Fault> {
    let json = args.require(name, accepted)?;
    let bad = || {
        Fault::of(name, format!("{json} is not accepted"), format!("give {accepted}, or [y, x]"))
    };
    let good = |json: &Json| json.as_f64().filter(|x| range.contains(x)).ok_or_else(bad);
    match json {
        Json::Array(both) if both.len() == 2 => Ok((good(&both[0])?, good(&both[1])?)),
        Json::Array(_) => Err(bad()),
        one => good(one).map(|x| (x, x)),
    }
}

fn line_or_image(inputs: &[Type]) -> Result<(), Fault> {
    numbers_only(inputs, &["array"])?;
    if inputs[0].rank.is_some_and(|rank| rank == 0 || rank > 2) {
        let reason = format!("the input is {}, not an array of 1 or 2 axes", inputs[0]);
        return Err(Fault::of("in", reason, "take a part of it by `roi`"));
    }
    Ok(())
}

/// Rows and columns of a waveform (one row) or an image.
fn sides(item: &Item<'_>) -> Result<(usize, usize), String> {
    match *item.shape() {
        [n] => Ok((1, n)),
        [rows, columns] => Ok((rows, columns)),
        ref other => Err(format!("the value has shape {other:?}; 1 or 2 axes are filtered")),
    }
}

impl OpKind for Gaussian {
    fn doc(&self) -> &'static OpDoc {
        &GAUSSIAN_DOC
    }

    fn prepare(&self, args: &Args<'_>) -> Result<Prepared, Fault> {
        let sigma = pair(args, "sigma", 0.0..=1000.0, "a number from 0 to 1000")?;
        let truncate = args.number("truncate")?.unwrap_or(4.0);
        if !(truncate > 0.0 && truncate <= 100.0) {
            let reason = format!("{truncate} is not accepted");
            return Err(Fault::of("truncate", reason, "give a number above 0, to 100"));
        }
        let reach = |sigma: f64| (truncate * sigma + 0.5) as usize;
        if reach(sigma.0.max(sigma.1)) > MAX_REACH {
            let reason =
                format!("the kernel reaches over {} elements", reach(sigma.0.max(sigma.1)));
            let hint = format!("give a smaller sigma or truncate: at most {MAX_REACH}");
            return Err(Fault::of("sigma", reason, hint));
        }
        let kernel = |sigma| gaussian(sigma, reach(sigma));
        let blur =
            Blur { down: kernel(sigma.0), along: kernel(sigma.1), border: Border::read(args)? };
        Ok(Prepared::per_event(blur))
    }
}

/// The weights from the centre outwards; only the centre where sigma is (nearly) zero.
fn gaussian(sigma: f64, reach: usize) -> Vec<f64> {
    if sigma <= 1e-15 {
        return vec![1.0];
    }
    let half: Vec<f64> =
        (0..=reach).map(|i| (-0.5 / (sigma * sigma) * (i * i) as f64).exp()).collect();
    let sum = half[0] + 2.0 * half[1..].iter().sum::<f64>();
    half.iter().map(|w| w / sum).collect()
}

#[derive(Debug, Clone)]
struct Blur {
    /// Weights along the columns (y) and along the rows (x).
    down: Vec<f64>,
    along: Vec<f64>,
    border: Border,
}

impl PerEvent for Blur {
    fn bind(&self, inputs: &[Type]) -> Result<(Vec<Type>, Box<dyn Kernel>), Fault> {
        line_or_image(inputs)?;
        let output = Type { dtype: DType::F64, ..inputs[0].clone() };
        let work = Blurring {
            blur: self.clone(),
            scratch: Vec::new(),
            middle: Vec::new(),
            line: Vec::new(),
        };
        Ok(each(vec![output], work))
    }
}

struct Blurring {
    blur: Blur,
    scratch: Vec<f64>,
    /// The image after its columns were smoothed.
    middle: Vec<f64>,
    /// One row with its borders.
    line: Vec<f64>,
}

impl Each for Blurring {
    fn event(&mut self, inputs: &[Item<'_>], out: &mut Out<'_, '_>) -> Result<(), String> {
        let [item] = inputs else { return Ok(()) };
        let (rows, columns) = sides(item)?;
        let numbers = item.f64(&mut self.scratch);
        let Blur { down, along, border } = &self.blur;
        // A waveform has one row: only an image is smoothed down its columns.
        let image = item.shape().len() == 2;
        self.middle.clear();
        self.middle.extend_from_slice(numbers);
        if image && down.len() > 1 {
            smooth_down(numbers, columns, rows, down, *border, &mut self.middle);
        }
        let (middle, line) = (&self.middle, &mut self.line);
        out.array::<f64>(0, item.shape(), |to| {
            if columns > 0 {
                for (from, to) in middle.chunks(columns).zip(to.chunks_mut(columns)) {
                    smooth_line(from, along, *border, line, to);
                }
            }
        });
        Ok(())
    }
}

/// Whole rows are added, so that memory is read in order.
fn smooth_down(
    from: &[f64],
    columns: usize,
    rows: usize,
    weights: &[f64],
    border: Border,
    to: &mut [f64],
) {
    let row = |i: isize| border.place(i, rows).map(|i| &from[i * columns..(i + 1) * columns]);
    for (i, to) in to.chunks_mut(columns.max(1)).enumerate() {
        let i = i as isize;
        to.iter_mut().for_each(|x| *x *= weights[0]);
        for (k, &weight) in weights.iter().enumerate().skip(1) {
            for other in [row(i - k as isize), row(i + k as isize)].into_iter().flatten() {
                to.iter_mut().zip(other).for_each(|(x, &y)| *x += weight * y);
            }
        }
    }
}

fn smooth_line(from: &[f64], weights: &[f64], border: Border, line: &mut Vec<f64>, to: &mut [f64]) {
    let reach = weights.len() - 1;
    line.clear();
    let ends = -(reach as isize)..(from.len() + reach) as isize;
    line.extend(ends.map(|i| border.place(i, from.len()).map_or(0.0, |i| from[i])));
    for (i, to) in to.iter_mut().enumerate() {
        let centre = i + reach;
        let pairs = weights.iter().enumerate().skip(1);
        *to = pairs.fold(line[centre] * weights[0], |sum, (k, weight)| {
            sum + weight * (line[centre - k] + line[centre + k])
        });
    }
}

impl OpKind for Median {
    fn doc(&self) -> &'static OpDoc {
        &MEDIAN_DOC
    }

    fn prepare(&self, args: &Args<'_>) -> Result<Prepared, Fault> {
        let accepted = "a whole number from 1 to 255";
        let (y, x) = pair(args, "size", 1.0..=255.0, accepted)?;
        if y.fract() != 0.0 || x.fract() != 0.0 {
            return Err(Fault::of("size", "a size is whole", format!("give {accepted}")));
        }
        Ok(Prepared::per_event(Window {
            size: (y as usize, x as usize),
            border: Border::read(args)?,
        }))
    }
}

#[derive(Debug, Clone, Copy)]
struct Window {
    /// (y, x)
    size: (usize, usize),
    border: Border,
}

impl PerEvent for Window {
    fn bind(&self, inputs: &[Type]) -> Result<(Vec<Type>, Box<dyn Kernel>), Fault> {
        line_or_image(inputs)?;
        Ok(each(inputs.to_vec(), *self))
    }
}

impl Each for Window {
    fn event(&mut self, inputs: &[Item<'_>], out: &mut Out<'_, '_>) -> Result<(), String> {
        let [item] = inputs else { return Ok(()) };
        let (rows, columns) = sides(item)?;
        out.bytes(0, item.shape(), |to| {
            with_type!(item.dtype, T => self.medians::<T>(item, (rows, columns), to));
        });
        Ok(())
    }
}

impl Window {
    fn medians<T: Number>(&self, item: &Item<'_>, (rows, columns): (usize, usize), to: &mut [u8]) {
        let from = typed::<T>(item.data);
        let to: &mut [T] = bytemuck::cast_slice_mut(to);
        let (high, wide) = if item.shape().len() == 1 { (1, self.size.1) } else { self.size };
        let across = |i: usize, size: usize, k: usize, n| {
            self.border.place(i as isize - (size / 2) as isize + k as isize, n)
        };
        let mut window: Vec<T> = Vec::with_capacity(high * wide);
        for y in 0..rows {
            for x in 0..columns {
                window.clear();
                for row in (0..high).map(|k| across(y, high, k, rows)) {
                    window.extend((0..wide).map(|k| match (row, across(x, wide, k, columns)) {
                        (Some(row), Some(column)) => from[row * columns + column],
                        _ => T::zeroed(),
                    }));
                }
                let order = |a: &T, b: &T| a.partial_cmp(b).unwrap_or(Ordering::Equal);
                let middle = window.len() / 2;
                to[y * columns + x] = *window.select_nth_unstable_by(middle, order).1;
            }
        }
    }
}
