//! `fft`, `ifft`, `rfft`, `irfft`: Fourier transforms of waveforms and images, as numpy.fft.

use crate::data::types::Type;
use crate::data::value::DType;
use crate::error::Fault;
use crate::op::checks::numbers_only;
use crate::op::doc::{Class, Form, InputDoc, OpDoc, OutputDoc, ParamDoc};
use crate::op::event_by_event::{Each, Item, Out, each};
use crate::op::kind::{OpKind, Prepared};
use crate::op::parameters::Args;
use crate::op::per_event::{Kernel, PerEvent};
use rustfft::FftPlanner;
use rustfft::num_complex::Complex64;

const COMPLEX: Form = Form::Fixed(&[
    InputDoc { name: "re", doc: "array of 1 or 2 axes", required: true },
    InputDoc {
        name: "im",
        doc: "imaginary part, of the same shape; zeros without",
        required: false,
    },
]);
const REAL: Form =
    Form::Fixed(&[InputDoc { name: "array", doc: "array of 1 or 2 axes", required: true }]);
const SPECTRUM: &[OutputDoc] = &[
    OutputDoc { name: "re", doc: "float64 of the transform's shape: real part" },
    OutputDoc { name: "im", doc: "float64 as re: imaginary part" },
    OutputDoc { name: "abs", doc: "float64 as re: magnitude" },
];

macro_rules! transform {
    ($kind:ident, $doc:ident, $direction:expr, $info:expr) => {
        static $doc: OpDoc = $info;

        #[doc = "The op of this name."]
        pub struct $kind;

        impl OpKind for $kind {
            fn doc(&self) -> &'static OpDoc {
                &$doc
            }

            fn prepare(&self, args: &Args<'_>) -> Result<Prepared, Fault> {
                prepare(args, $direction)
            }
        }
    };
}

transform!(
    Fft,
    FFT_DOC,
    Direction::Fft,
    OpDoc {
        name: "fft",
        summary: "discrete Fourier transform",
        text: "numpy.fft.fft of a waveform, numpy.fft.fft2 of an image, in float64.",
        example: r#"{"op": "fft", "in": "waveform"}"#,
        class: Class::PerEvent,
        form: COMPLEX,
        with: false,
        params: &[],
        outputs: SPECTRUM,
    }
);
transform!(
    Ifft,
    IFFT_DOC,
    Direction::Ifft,
    OpDoc {
        name: "ifft",
        summary: "inverse discrete Fourier transform",
        text: "numpy.fft.ifft of a waveform, numpy.fft.ifft2 of an image, in float64: divided by the \
           number of elements.",
        example: r#"{"op": "ifft", "in": "waveform"}"#,
        class: Class::PerEvent,
        form: COMPLEX,
        with: false,
        params: &[],
        outputs: SPECTRUM,
    }
);
transform!(
    Rfft,
    RFFT_DOC,
    Direction::Rfft,
    OpDoc {
        name: "rfft",
        summary: "Fourier transform of real data: the half that determines the rest",
        text: "numpy.fft.rfft of a waveform, numpy.fft.rfft2 of an image, in float64: the last axis \
           has n // 2 + 1 frequencies.",
        example: r#"{"op": "rfft", "in": "image"}"#,
        class: Class::PerEvent,
        form: REAL,
        with: false,
        params: &[],
        outputs: SPECTRUM,
    }
);
transform!(
    Irfft,
    IRFFT_DOC,
    Direction::Irfft,
    OpDoc {
        name: "irfft",
        summary: "inverse of rfft",
        text: "numpy.fft.irfft of a waveform, numpy.fft.irfft2 of an image, in float64. The last axis \
           of the result has `n` elements.",
        example: r#"{"op": "irfft", "in": "waveform"}"#,
        class: Class::PerEvent,
        form: COMPLEX,
        with: false,
        params: &[ParamDoc {
            name: "n",
            kind: "integer",
            default: "none",
            unit: "elements",
            range: "1 to 16777216; 2 (m - 1) for m frequencies when left out",
            doc: "length of the last axis of the result",
        }],
        outputs: &[OutputDoc { name: "value", doc: "float64 of the result's shape" }],
    }
);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Direction {
    Fft,
    Ifft,
    Rfft,
    Irfft,
}

#[derive(Debug, Clone, Copy)]
struct Transform {
    direction: Direction,
    /// Length of the last axis of the result of irfft.
    n: Option<usize>,
}

fn prepare(args: &Args<'_>, direction: Direction) -> Result<Prepared, Fault> {
    let n = match args.get("n") {
        Some(_) => Some(args.whole("n", None, 1..=1 << 24)? as usize),
        None => None,
    };
    let outputs: &[&str] =
        if direction == Direction::Irfft { &["value"] } else { &["re", "im", "abs"] };
    Ok(Prepared::per_event_with(outputs, Transform { direction, n }))
}

impl Transform {
    /// Length of the last axis of the result.
    fn last(&self, length: usize) -> usize {
        match self.direction {
            Direction::Fft | Direction::Ifft => length,
            Direction::Rfft => length / 2 + 1,
            Direction::Irfft => self.n.unwrap_or(2 * length.saturating_sub(1)),
        }
    }
}

impl PerEvent for Transform {
    fn bind(&self, inputs: &[Type]) -> Result<(Vec<Type>, Box<dyn Kernel>), Fault> {
        numbers_only(inputs, &["re", "im"])?;
        for input in inputs {
            if input.rank.is_some_and(|rank| rank == 0 || rank > 2) {
                let reason = format!("the input is {input}, not an array of 1 or 2 axes");
                return Err(Fault::of("in", reason, "take a part of it by `roi`"));
            }
        }
        if let (Some(re), Some(im)) =
            (&inputs[0].shape, inputs.get(1).and_then(|i| i.shape.as_ref()))
            && re != im
        {
            let reason = format!("re has shape {re:?} and im {im:?}");
            return Err(Fault::of("in", reason, "give both parts of one array"));
        }
        let shape = inputs[0].shape.clone().map(|mut shape| {
            if let Some(last) = shape.last_mut() {
                *last = self.last(*last);
            }
            shape
        });
        let output = Type { dtype: DType::F64, rank: inputs[0].rank, shape };
        let outputs = if self.direction == Direction::Irfft { 1 } else { 3 };
        Ok(each(vec![output; outputs], Transforming::new(*self)))
    }
}

struct Transforming {
    transform: Transform,
    /// Keeps the transforms of each length it has met.
    planner: FftPlanner<f64>,
    scratch: [Vec<f64>; 2],
    numbers: Vec<Complex64>,
    /// One column, or the whole line of a half spectrum.
    line: Vec<Complex64>,
    work: Vec<Complex64>,
}

impl Transforming {
    fn new(transform: Transform) -> Transforming {
        Transforming {
            transform,
            planner: FftPlanner::new(),
            scratch: [Vec::new(), Vec::new()],
            numbers: Vec::new(),
            line: Vec::new(),
            work: Vec::new(),
        }
    }

    /// Transforms each line of `length` elements.
    fn lines(&mut self, length: usize, inverse: bool) {
        let fft = plan(&mut self.planner, length, inverse);
        self.work.resize(fft.get_inplace_scratch_len(), Complex64::default());
        fft.process_with_scratch(&mut self.numbers, &mut self.work);
    }

    fn columns(&mut self, columns: usize, inverse: bool) {
        let rows = self.numbers.len() / columns;
        let fft = plan(&mut self.planner, rows, inverse);
        self.work.resize(fft.get_inplace_scratch_len(), Complex64::default());
        for column in 0..columns {
            self.line.clear();
            self.line.extend(self.numbers.iter().skip(column).step_by(columns));
            fft.process_with_scratch(&mut self.line, &mut self.work);
            let places = self.numbers.iter_mut().skip(column).step_by(columns);
            places.zip(&self.line).for_each(|(to, &x)| *to = x);
        }
    }

    /// From half spectra of `length` frequencies to the real lines of `last` elements.
    fn real_lines(&mut self, length: usize, last: usize, to: &mut [f64]) {
        let fft = plan(&mut self.planner, last, true);
        self.work.resize(fft.get_inplace_scratch_len(), Complex64::default());
        for (half, to) in self.numbers.chunks(length).zip(to.chunks_mut(last)) {
            // As numpy: frequencies that are missing are zero, further ones are left out, and the
            // first and (for an even length) the middle one count as real.
            let at = |k: usize| half.get(k).copied().unwrap_or_default();
            self.line.clear();
            self.line
                .extend((0..last).map(|k| if 2 * k <= last { at(k) } else { at(last - k).conj() }));
            self.line[0].im = 0.0;
            if last.is_multiple_of(2) {
                self.line[last / 2].im = 0.0;
            }
            fft.process_with_scratch(&mut self.line, &mut self.work);
            to.iter_mut().zip(&self.line).for_each(|(to, x)| *to = x.re / last as f64);
        }
    }
}

fn plan(
    planner: &mut FftPlanner<f64>,
    length: usize,
    inverse: bool,
) -> std::sync::Arc<dyn rustfft::Fft<f64>> {
    if inverse { planner.plan_fft_inverse(length) } else { planner.plan_fft_forward(length) }
}

impl Each for Transforming {
    fn event(&mut self, inputs: &[Item<'_>], out: &mut Out<'_, '_>) -> Result<(), String> {
        let mut shape = inputs[0].shape().to_vec();
        let Some(&length) = shape.last().filter(|_| shape.len() <= 2) else {
            return Err(format!("the value has shape {shape:?}; 1 or 2 axes are transformed"));
        };
        if inputs.get(1).is_some_and(|im| im.shape() != inputs[0].shape()) {
            return Err(format!("re has shape {shape:?} and im {:?}", inputs[1].shape()));
        }
        if shape.contains(&0) {
            return Err("an array without elements has no transform".into());
        }
        let [re_scratch, im_scratch] = &mut self.scratch;
        let re = inputs[0].f64(re_scratch);
        let im = inputs.get(1).map_or(&[][..], |im| im.f64(im_scratch));
        let part = |i: usize| im.get(i).copied().unwrap_or(0.0);
        self.numbers.clear();
        self.numbers.extend(re.iter().enumerate().map(|(i, &re)| Complex64::new(re, part(i))));
        let inverse = matches!(self.transform.direction, Direction::Ifft | Direction::Irfft);
        let last = self.transform.last(length);
        if last == 0 {
            return Err("one frequency alone has no real counterpart; give `n`".into());
        }
        if let Some(end) = shape.last_mut() {
            *end = last;
        }
        if self.transform.direction == Direction::Irfft {
            let rows = self.numbers.len() / length;
            if shape.len() == 2 {
                self.columns(length, true);
                self.numbers.iter_mut().for_each(|x| *x /= rows as f64);
            }
            out.array::<f64>(0, &shape, |to| self.real_lines(length, last, to));
            return Ok(());
        }
        self.lines(length, inverse);
        if shape.len() == 2 {
            self.columns(length, inverse);
        }
        let scale = if inverse { 1.0 / self.numbers.len() as f64 } else { 1.0 };
        let kept = self.numbers.chunks(length).flat_map(|line| &line[..last]).map(|x| x * scale);
        let mut write = |output: usize, of: fn(Complex64) -> f64| {
            let kept = kept.clone();
            out.array::<f64>(output, &shape, |to| {
                to.iter_mut().zip(kept).for_each(|(to, x)| *to = of(x));
            });
        };
        write(0, |x| x.re);
        write(1, |x| x.im);
        write(2, Complex64::norm);
        Ok(())
    }
}
