//! `edge`: the edge that a timing tool shows, by matched filter.

use crate::data::column_views::as_f64;
use crate::data::files::Content;
use crate::data::types::Type;
use crate::data::value::DType;
use crate::error::Fault;
use crate::op::doc::{Class, Form, InputDoc, OpDoc, OutputDoc, ParamDoc};
use crate::op::event_by_event::{Each, Item, Out, each};
use crate::op::kind::{OpKind, Prepared};
use crate::op::parameters::Args;
use crate::op::per_event::{Kernel, PerEvent};
use crate::ops::signal::peaks::{samples, waveform_only};

static DOC: OpDoc = OpDoc {
    name: "edge",
    summary: "position of an edge in a waveform: timing tool",
    text: "The waveform, less `subtract` where that is wired, is correlated with a kernel \
           (numpy.correlate, mode 'valid'). position is where the correlation is highest, to a \
           fraction of a sample by a parabola through the three highest, counted in samples \
           from 0 to the middle of the kernel; amplitude is the correlation there, fwhm the \
           full width at half of it (linear between samples; NaN where it does not fall below \
           half). A whole number as `kernel` is a step of that many samples to each side, -1/n \
           and +1/n: amplitude then is the height of the edge, and a step between samples k and \
           k + 1 has position k + 0.5. `direction` fall looks for the lowest correlation, \
           either for the largest magnitude. On error-function edges of sigma = 10 samples with \
           white noise of 5 % of the height and kernel 50, positions were 1.03 samples \
           (standard deviation) from the truth, without bias (20,000 edges; tests/timing.rs).",
    example: r#"{"op": "edge", "in": "waveform", "kernel": 1}"#,
    class: Class::PerEvent,
    form: Form::Fixed(&[
        InputDoc { name: "array", doc: "array of 1 axis", required: true },
        InputDoc { name: "subtract", doc: "array of the same length: background", required: false },
    ]),
    with: false,
    params: &[
        ParamDoc {
            name: "kernel",
            kind: "integer or .npy file",
            default: "",
            unit: "samples",
            range: "1 to 32767, or an array of 1 axis",
            doc: "half width of a step, or the kernel itself",
        },
        ParamDoc {
            name: "direction",
            kind: "word",
            default: "rise",
            unit: "",
            range: "rise, fall or either",
            doc: "which edges to look for",
        },
    ],
    outputs: &[
        OutputDoc { name: "position", doc: "float64 scalar: samples from 0" },
        OutputDoc { name: "amplitude", doc: "float64 scalar, of the input times the kernel's" },
        OutputDoc { name: "fwhm", doc: "float64 scalar: samples" },
    ],
};

/// The op.
pub struct Edge;

impl OpKind for Edge {
    fn doc(&self) -> &'static OpDoc {
        &DOC
    }

    fn prepare(&self, args: &Args<'_>) -> Result<Prepared, Fault> {
        let accepted = "a step's half width in samples, or a .npy file";
        let kernel = match args.require("kernel", accepted)?.is_string() {
            true => args.file("kernel", ".npy")?.map_or(Shape::Step(1), Shape::File),
            false => Shape::Step(args.whole("kernel", None, 1..=32767)? as usize),
        };
        let direction = match args.word("direction", "rise", &["rise", "fall", "either"])? {
            "fall" => Direction::Fall,
            "either" => Direction::Either,
            _ => Direction::Rise,
        };
        let outputs = ["position", "amplitude", "fwhm"];
        Ok(Prepared::per_event_with(&outputs, Matched { kernel, direction }))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Direction {
    Rise,
    Fall,
    Either,
}

#[derive(Debug, Clone)]
enum Shape {
    Step(usize),
    File(Content),
}

impl Shape {
    fn weights(&self) -> Result<Vec<f64>, Fault> {
        match self {
            Shape::Step(n) => {
                let high = 1.0 / *n as f64;
                Ok((0..2 * n).map(|i| if i < *n { -high } else { high }).collect())
            }
            Shape::File(content) => {
                let array = content.array("kernel")?;
                if array.shape().len() != 1 || array.is_empty() {
                    let reason = format!("{:?} has shape {:?}", content.path(), array.shape());
                    return Err(Fault::of("kernel", reason, "save an array of 1 axis"));
                }
                let mut scratch = Vec::new();
                Ok(as_f64(array.dtype(), array.bytes(), &mut scratch).to_vec())
            }
        }
    }
}

#[derive(Debug, Clone)]
struct Matched {
    kernel: Shape,
    direction: Direction,
}

impl PerEvent for Matched {
    fn bind(&self, inputs: &[Type]) -> Result<(Vec<Type>, Box<dyn Kernel>), Fault> {
        waveform_only(inputs, &["array", "subtract"])?;
        let weights = self.kernel.weights()?;
        if let Some(&[n]) = inputs[0].shape.as_deref()
            && n < weights.len()
        {
            let reason = format!("the kernel has {} samples, the waveform {n}", weights.len());
            return Err(Fault::of("kernel", reason, "give a kernel not longer than the waveform"));
        }
        let work = Matching {
            weights,
            direction: self.direction,
            scratch: [Vec::new(), Vec::new()],
            clean: Vec::new(),
            correlation: Vec::new(),
        };
        Ok(each(vec![Type::scalar(DType::F64); 3], work))
    }
}

struct Matching {
    weights: Vec<f64>,
    direction: Direction,
    scratch: [Vec<f64>; 2],
    /// The waveform less the background.
    clean: Vec<f64>,
    correlation: Vec<f64>,
}

impl Each for Matching {
    fn event(&mut self, inputs: &[Item<'_>], out: &mut Out<'_, '_>) -> Result<(), String> {
        let [scratch, other] = &mut self.scratch;
        let waveform = samples(&inputs[0], scratch)?;
        self.clean.clear();
        self.clean.extend_from_slice(waveform);
        if let Some(background) = inputs.get(1) {
            let background = samples(background, other)?;
            if background.len() != waveform.len() {
                let (n, m) = (waveform.len(), background.len());
                return Err(format!("the waveform has {n} samples, what to subtract {m}"));
            }
            self.clean.iter_mut().zip(background).for_each(|(x, b)| *x -= b);
        }
        let (n, width) = (self.clean.len(), self.weights.len());
        if n < width {
            return Err(format!("the waveform has {n} samples, the kernel {width}"));
        }
        self.correlation.clear();
        self.correlation.extend(
            self.clean
                .windows(width)
                .map(|part| part.iter().zip(&self.weights).map(|(x, w)| x * w).sum::<f64>()),
        );
        let Some((peak, sign)) = highest(&self.correlation, self.direction) else {
            return Err("the waveform holds only not-a-number".into());
        };
        let at = |i: usize| sign * self.correlation[i];
        let shift = if peak > 0 && peak + 1 < self.correlation.len() {
            vertex(at(peak - 1), at(peak), at(peak + 1))
        } else {
            0.0
        };
        out.scalar(0, peak as f64 + shift + (width as f64 - 1.0) / 2.0);
        out.scalar(1, self.correlation[peak]);
        out.scalar(2, full_width(&self.correlation, peak, sign));
        Ok(())
    }
}

/// Place of the extreme, and the factor that makes it a maximum.
fn highest(correlation: &[f64], direction: Direction) -> Option<(usize, f64)> {
    let of = |x: f64| match direction {
        Direction::Rise => x,
        Direction::Fall => -x,
        Direction::Either => x.abs(),
    };
    let numbers = correlation.iter().map(|&x| of(x)).enumerate().filter(|(_, x)| !x.is_nan());
    // The first of equal ones, as numpy.argmax.
    let (peak, _) = numbers.reduce(|best, next| if next.1 > best.1 { next } else { best })?;
    let down = match direction {
        Direction::Rise => false,
        Direction::Fall => true,
        Direction::Either => correlation[peak] < 0.0,
    };
    Some((peak, if down { -1.0 } else { 1.0 }))
}

/// Offset of the vertex of the parabola through three samples from the middle one.
fn vertex(left: f64, middle: f64, right: f64) -> f64 {
    let bend = left - 2.0 * middle + right;
    if bend < 0.0 { 0.5 * (left - right) / bend } else { 0.0 }
}

/// Width of a peak at half its height.
fn full_width(correlation: &[f64], peak: usize, sign: f64) -> f64 {
    let top = sign * correlation[peak];
    let left = half_width(top, correlation[..peak].iter().rev().map(|x| sign * x));
    let right = half_width(top, correlation[peak + 1..].iter().map(|x| sign * x));
    left.zip(right).map_or(f64::NAN, |(left, right)| left + right)
}

/// How far from the top the samples to one side fall below half of it.
fn half_width(top: f64, side: impl Iterator<Item = f64>) -> Option<f64> {
    let half = 0.5 * top;
    let mut above = top;
    for (distance, x) in side.enumerate() {
        if x < half {
            return Some(distance as f64 + (above - half) / (above - x));
        }
        above = x;
    }
    None
}
