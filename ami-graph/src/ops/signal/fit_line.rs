//! `fit_line` and `polyfit`: polynomials through the points of an event, by least squares.

use crate::data::types::Type;
use crate::data::value::DType;
use crate::error::Fault;
use crate::op::doc::{Class, Form, InputDoc, OpDoc, OutputDoc, ParamDoc};
use crate::op::event_by_event::{Each, Item, Out, each};
use crate::op::kind::{OpKind, Prepared};
use crate::op::parameters::Args;
use crate::op::per_event::{Kernel, PerEvent};
use crate::ops::signal::peaks::{samples, waveform_only};
use nalgebra::{DMatrix, DVector};

const MAX_DEGREE: u64 = 20;
const POINTS: Form = Form::Fixed(&[
    InputDoc { name: "x", doc: "array of 1 axis", required: true },
    InputDoc { name: "y", doc: "array of the same length", required: true },
]);

static LINE_DOC: OpDoc = OpDoc {
    name: "fit_line",
    summary: "straight line through the points of an event",
    text: "numpy.polyfit(x, y, 1): coefficients are slope and intercept. r is the correlation of x \
           and y (numpy.corrcoef), NaN where y does not vary. An event with fewer than two \
           different x, or with NaN, fails and is absent. For a line through events, use \
           `linregress`.",
    example: r#"{"op": "fit_line", "in": {"x": "waveform", "y": "waveform"}}"#,
    class: Class::PerEvent,
    form: POINTS,
    with: false,
    params: &[],
    outputs: &[
        OutputDoc { name: "coefficients", doc: "float64 [2]: slope (y per x), intercept (y)" },
        OutputDoc { name: "fit", doc: "float64 [points]: the line at x" },
        OutputDoc { name: "r", doc: "float64 scalar: -1 to 1" },
    ],
};

static POLY_DOC: OpDoc = OpDoc {
    name: "polyfit",
    summary: "polynomial through the points of an event",
    text: "numpy.polyfit(x, y, degree): coefficients from the highest power down. r is the \
           correlation of y and the fit, NaN where one does not vary. An event whose points do not \
           determine the polynomial, or with NaN, fails and is absent.",
    example: r#"{"op": "polyfit", "in": {"x": "waveform", "y": "waveform"}, "degree": 1}"#,
    class: Class::PerEvent,
    form: POINTS,
    with: false,
    params: &[ParamDoc {
        name: "degree",
        kind: "integer",
        default: "",
        unit: "",
        range: "0 to 20",
        doc: "highest power of x",
    }],
    outputs: &[
        OutputDoc { name: "coefficients", doc: "float64 [degree + 1], highest power first" },
        OutputDoc { name: "fit", doc: "float64 [points]: the polynomial at x" },
        OutputDoc { name: "r", doc: "float64 scalar: -1 to 1" },
    ],
};

/// The op `fit_line`.
pub struct FitLine;
/// The op `polyfit`.
pub struct PolyFit;

const OUTPUTS: &[&str] = &["coefficients", "fit", "r"];

impl OpKind for FitLine {
    fn doc(&self) -> &'static OpDoc {
        &LINE_DOC
    }

    fn prepare(&self, _: &Args<'_>) -> Result<Prepared, Fault> {
        Ok(Prepared::per_event_with(OUTPUTS, Polynomial { degree: 1, line: true }))
    }
}

impl OpKind for PolyFit {
    fn doc(&self) -> &'static OpDoc {
        &POLY_DOC
    }

    fn prepare(&self, args: &Args<'_>) -> Result<Prepared, Fault> {
        let degree = args.whole("degree", None, 0..=MAX_DEGREE)? as usize;
        Ok(Prepared::per_event_with(OUTPUTS, Polynomial { degree, line: false }))
    }
}

#[derive(Debug, Clone, Copy)]
struct Polynomial {
    degree: usize,
    /// Whether r is that of x and y.
    line: bool,
}

impl PerEvent for Polynomial {
    fn bind(&self, inputs: &[Type]) -> Result<(Vec<Type>, Box<dyn Kernel>), Fault> {
        waveform_only(inputs, &["x", "y"])?;
        let fit = Type { dtype: DType::F64, rank: Some(1), shape: inputs[1].shape.clone() };
        let types =
            vec![Type::shaped(DType::F64, &[self.degree + 1]), fit, Type::scalar(DType::F64)];
        Ok(each(types, Fitting { of: *self, scratch: [Vec::new(), Vec::new()] }))
    }
}

struct Fitting {
    of: Polynomial,
    scratch: [Vec<f64>; 2],
}

impl Each for Fitting {
    fn event(&mut self, inputs: &[Item<'_>], out: &mut Out<'_, '_>) -> Result<(), String> {
        let [first, second] = &mut self.scratch;
        let (x, y) = (samples(&inputs[0], first)?, samples(&inputs[1], second)?);
        if x.len() != y.len() {
            return Err(format!("x has {} points and y {}", x.len(), y.len()));
        }
        if !x.iter().chain(y).all(|v| v.is_finite()) {
            return Err("the points are not all finite".into());
        }
        let coefficients = polyfit(x, y, self.of.degree)?;
        let at = |x: f64| coefficients.iter().fold(0.0, |sum, c| sum * x + c);
        let fit: Vec<f64> = x.iter().map(|&x| at(x)).collect();
        out.copy(0, &[coefficients.len()], &coefficients);
        out.copy(1, &[fit.len()], &fit);
        out.scalar(2, correlation(if self.of.line { x } else { &fit }, y));
        Ok(())
    }
}

/// As numpy.polyfit: the columns of the Vandermonde matrix scaled to length 1, then solved by
/// singular values, of which those below n * epsilon count as zero.
fn polyfit(x: &[f64], y: &[f64], degree: usize) -> Result<Vec<f64>, String> {
    let undetermined = || Err(format!("{} points do not determine degree {degree}", x.len()));
    if x.len() <= degree {
        return undetermined();
    }
    let power = |column: usize| (degree - column) as i32;
    let mut matrix = DMatrix::from_fn(x.len(), degree + 1, |row, c| x[row].powi(power(c)));
    let scale: Vec<f64> = matrix.column_iter().map(|column| column.norm()).collect();
    if !scale.iter().all(|scale| scale.is_finite()) {
        return Err(format!("powers up to {degree} of x are too large for float64"));
    }
    for (mut column, &scale) in matrix.column_iter_mut().zip(&scale) {
        if scale > 0.0 {
            column /= scale;
        }
    }
    let svd = matrix.svd(true, true);
    let largest = svd.singular_values.iter().copied().fold(0.0, f64::max);
    let least = largest * x.len() as f64 * f64::EPSILON;
    if svd.rank(least) <= degree {
        return undetermined();
    }
    let solved = svd.solve(&DVector::from_column_slice(y), least)?;
    Ok(solved.iter().zip(scale).map(|(c, scale)| c / scale).collect())
}

/// numpy.corrcoef(x, y)[0, 1].
fn correlation(x: &[f64], y: &[f64]) -> f64 {
    let mean = |v: &[f64]| v.iter().sum::<f64>() / v.len() as f64;
    let (mx, my) = (mean(x), mean(y));
    let total = |of: &dyn Fn(f64, f64) -> f64| -> f64 {
        x.iter().zip(y).map(|(x, y)| of(x - mx, y - my)).sum()
    };
    let r = total(&|x, y| x * y) / (total(&|x, _| x * x) * total(&|_, y| y * y)).sqrt();
    r.clamp(-1.0, 1.0)
}
