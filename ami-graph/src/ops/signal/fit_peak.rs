//! `fit_peak`: a peak on a waveform, by least squares or by its moments.

use crate::data::types::Type;
use crate::data::value::DType;
use crate::error::Fault;
use crate::op::doc::{Class, Form, InputDoc, OpDoc, OutputDoc, ParamDoc};
use crate::op::event_by_event::{Each, Item, Out, each};
use crate::op::kind::{OpKind, Prepared};
use crate::op::parameters::Args;
use crate::op::per_event::{Kernel, PerEvent};
use crate::ops::signal::peaks::{samples, waveform_only};
use levenberg_marquardt::{LeastSquaresProblem, LevenbergMarquardt};
use nalgebra::{DMatrix, DVector, Dyn, Owned};
use std::f64::consts::LN_2;

/// Full width at half maximum of a Gaussian in units of sigma: 2 sqrt(2 ln 2).
const FWHM_PER_SIGMA: f64 = 2.354_820_045_030_949_3;
const PARAMETERS: [&str; 4] = ["amplitude", "center", "fwhm", "offset"];

static DOC: OpDoc = OpDoc {
    name: "fit_peak",
    summary: "height, place and width of a peak",
    text: "Fits to y over x (0, 1, 2 … where x is not wired), by Levenberg-Marquardt \
           (scipy.optimize.curve_fit's minimum), gaussian: amplitude * exp(-4 ln 2 (x - center)^2 \
           / fwhm^2) + offset, or lorentzian: amplitude / (1 + 4 (x - center)^2 / fwhm^2) + \
           offset. It starts from the highest sample and the width above half of it, unless \
           `start` says otherwise. moments fits nothing: weights are y - min(y) (y without \
           offset), center and sigma their first and second moments, fwhm = 2.3548 sigma, \
           amplitude the highest weight. chi2 is the sum of squared residuals. An event in which \
           the fit does not converge, or with fewer samples than parameters, fails and is \
           absent; so does one with NaN.",
    example: r#"{"op": "fit_peak", "in": "waveform", "model": "moments"}"#,
    class: Class::PerEvent,
    form: Form::Fixed(&[
        InputDoc { name: "y", doc: "array of 1 axis", required: true },
        InputDoc { name: "x", doc: "array of the same length", required: false },
    ]),
    with: false,
    params: &[
        ParamDoc {
            name: "model",
            kind: "word",
            default: "gaussian",
            unit: "",
            range: "gaussian, lorentzian or moments",
            doc: "form of the peak",
        },
        ParamDoc {
            name: "offset",
            kind: "bool",
            default: "true",
            unit: "",
            range: "true or false",
            doc: "whether a constant lies under the peak",
        },
        ParamDoc {
            name: "start",
            kind: "map",
            default: "none",
            unit: "as the outputs",
            range: "numbers named amplitude, center, fwhm, offset",
            doc: "where the fit starts",
        },
    ],
    outputs: &[
        OutputDoc { name: "amplitude", doc: "float64 scalar, of y, above the offset" },
        OutputDoc { name: "center", doc: "float64 scalar, of x" },
        OutputDoc {
            name: "fwhm",
            doc: "float64 scalar, of x: full width at half maximum, not negative",
        },
        OutputDoc { name: "offset", doc: "float64 scalar, of y; 0 without offset" },
        OutputDoc { name: "fit", doc: "float64 [samples]: the model at x" },
        OutputDoc { name: "chi2", doc: "float64 scalar: sum of (y - fit)^2" },
    ],
};

/// The op.
pub struct FitPeak;

impl OpKind for FitPeak {
    fn doc(&self) -> &'static OpDoc {
        &DOC
    }

    fn prepare(&self, args: &Args<'_>) -> Result<Prepared, Fault> {
        let model = match args.word("model", "gaussian", &["gaussian", "lorentzian", "moments"])? {
            "lorentzian" => Model::Lorentzian,
            "moments" => Model::Moments,
            _ => Model::Gaussian,
        };
        let mut start = [None; 4];
        if let Some(json) = args.get("start") {
            let bad = || {
                let hint = format!("give a map of numbers named {}", PARAMETERS.join(", "));
                Fault::of("start", format!("{json} is not accepted"), hint)
            };
            for (name, value) in json.as_object().ok_or_else(bad)? {
                let place = PARAMETERS.iter().position(|p| p == name).ok_or_else(bad)?;
                let number = value.as_f64().filter(|x| place != 2 || *x > 0.0).ok_or_else(bad)?;
                start[place] = Some(number);
            }
        }
        let peak = Peak { model, offset: args.flag("offset", true)?, start };
        Ok(Prepared::per_event_with(
            &["amplitude", "center", "fwhm", "offset", "fit", "chi2"],
            peak,
        ))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Model {
    Gaussian,
    Lorentzian,
    Moments,
}

#[derive(Debug, Clone, Copy)]
struct Peak {
    model: Model,
    offset: bool,
    start: [Option<f64>; 4],
}

impl Peak {
    /// Parameters that are fitted, from the first on.
    fn free(&self) -> usize {
        if self.offset { 4 } else { 3 }
    }
}

impl PerEvent for Peak {
    fn bind(&self, inputs: &[Type]) -> Result<(Vec<Type>, Box<dyn Kernel>), Fault> {
        waveform_only(inputs, &["y", "x"])?;
        let number = Type::scalar(DType::F64);
        let fit = Type { dtype: DType::F64, rank: Some(1), shape: inputs[0].shape.clone() };
        let types =
            vec![number.clone(), number.clone(), number.clone(), number.clone(), fit, number];
        Ok(each(types, Fitting { peak: *self, scratch: [Vec::new(), Vec::new()] }))
    }
}

struct Fitting {
    peak: Peak,
    scratch: [Vec<f64>; 2],
}

impl Each for Fitting {
    fn event(&mut self, inputs: &[Item<'_>], out: &mut Out<'_, '_>) -> Result<(), String> {
        let [scratch, other] = &mut self.scratch;
        let y = samples(&inputs[0], scratch)?;
        let counted: Vec<f64>;
        let x = match inputs.get(1) {
            Some(x) => samples(x, other)?,
            None => {
                counted = (0..y.len()).map(|i| i as f64).collect();
                &counted
            }
        };
        check(self.peak, x, y)?;
        let found = match self.peak.model {
            Model::Moments => moments(self.peak.offset, x, y),
            _ => least_squares(self.peak, x, y)?,
        };
        let shape =
            if self.peak.model == Model::Lorentzian { Model::Lorentzian } else { Model::Gaussian };
        let fit: Vec<f64> = x.iter().map(|&x| value(shape, &found, x).0).collect();
        let chi2: f64 = y.iter().zip(&fit).map(|(y, fit)| (y - fit) * (y - fit)).sum();
        found.iter().enumerate().for_each(|(output, &x)| out.scalar(output, x));
        out.copy(4, &[fit.len()], &fit);
        out.scalar(5, chi2);
        Ok(())
    }
}

fn check(peak: Peak, x: &[f64], y: &[f64]) -> Result<(), String> {
    let needed = match peak.model {
        Model::Moments => 1,
        _ => peak.free(),
    };
    if x.len() != y.len() {
        return Err(format!("y has {} samples and x {}", y.len(), x.len()));
    }
    if y.len() < needed {
        return Err(format!("{} samples cannot determine {needed} parameters", y.len()));
    }
    match x.iter().chain(y).all(|x| x.is_finite()) {
        true => Ok(()),
        false => Err("the samples are not all finite".into()),
    }
}

/// The model at x and its derivatives by the parameters.
fn value(model: Model, parameters: &[f64; 4], x: f64) -> (f64, [f64; 4]) {
    let [amplitude, center, fwhm, offset] = *parameters;
    let u = 2.0 * (x - center) / fwhm;
    // The form f(u), and df/du / u.
    let (form, slope) = match model {
        Model::Lorentzian => {
            let form = 1.0 / (1.0 + u * u);
            (form, -2.0 * form * form)
        }
        Model::Gaussian | Model::Moments => {
            let form = (-LN_2 * u * u).exp();
            (form, -2.0 * LN_2 * form)
        }
    };
    let by_u = amplitude * slope * u;
    (amplitude * form + offset, [form, -2.0 * by_u / fwhm, -by_u * u / fwhm, 1.0])
}

fn moments(offset: bool, x: &[f64], y: &[f64]) -> [f64; 4] {
    let base = if offset { y.iter().copied().fold(f64::INFINITY, f64::min) } else { 0.0 };
    let total = |of: &dyn Fn(f64) -> f64| -> f64 {
        x.iter().zip(y).map(|(&x, &y)| (y - base) * of(x)).sum()
    };
    let weight = total(&|_| 1.0);
    let center = total(&|x| x) / weight;
    let sigma = (total(&|x| (x - center) * (x - center)) / weight).sqrt();
    let highest = y.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    [highest - base, center, FWHM_PER_SIGMA * sigma, base]
}

/// Where a fit starts: the highest sample, and the stretch of x above half its height.
fn first_guess(peak: Peak, x: &[f64], y: &[f64]) -> [f64; 4] {
    let lowest = y.iter().copied().fold(f64::INFINITY, f64::min);
    let base = if peak.offset { lowest } else { 0.0 };
    let top = (0..y.len()).fold(0, |best, i| if y[i] > y[best] { i } else { best });
    let half = 0.5 * (y[top] + base);
    let reach = |mut places: Box<dyn Iterator<Item = usize>>| {
        places.find(|&i| y[i] < half).map_or(f64::NAN, |i| (x[i] - x[top]).abs())
    };
    let (left, right) = (reach(Box::new((0..top).rev())), reach(Box::new(top + 1..y.len())));
    let spread = (x[x.len() - 1] - x[0]).abs().max(f64::MIN_POSITIVE);
    let width = match (left.is_nan(), right.is_nan()) {
        (false, false) => left + right,
        (false, true) => 2.0 * left,
        (true, false) => 2.0 * right,
        (true, true) => spread,
    };
    let guess = [y[top] - base, x[top], if width > 0.0 { width } else { spread }, base];
    std::array::from_fn(|i| peak.start[i].unwrap_or(guess[i]))
}

fn least_squares(peak: Peak, x: &[f64], y: &[f64]) -> Result<[f64; 4], String> {
    let mut guess = first_guess(peak, x, y);
    if !peak.offset {
        guess[3] = 0.0;
    }
    let problem = Problem { model: peak.model, free: peak.free(), x, y, parameters: guess };
    let (problem, report) = LevenbergMarquardt::new().minimize(problem);
    if !report.termination.was_successful() || problem.parameters.iter().any(|p| !p.is_finite()) {
        let why = format!("{:?}", report.termination);
        return Err(format!("the fit does not converge ({why}); try `start` or another model"));
    }
    let [amplitude, center, fwhm, offset] = problem.parameters;
    Ok([amplitude, center, fwhm.abs(), offset])
}

/// What the solver asks of a fit.
struct Problem<'a> {
    model: Model,
    /// Parameters that are fitted, from the first on.
    free: usize,
    x: &'a [f64],
    y: &'a [f64],
    parameters: [f64; 4],
}

impl LeastSquaresProblem<f64, Dyn, Dyn> for Problem<'_> {
    type ParameterStorage = Owned<f64, Dyn>;
    type ResidualStorage = Owned<f64, Dyn>;
    type JacobianStorage = Owned<f64, Dyn, Dyn>;

    fn set_params(&mut self, parameters: &DVector<f64>) {
        self.parameters[..self.free].copy_from_slice(parameters.as_slice());
    }

    fn params(&self) -> DVector<f64> {
        DVector::from_column_slice(&self.parameters[..self.free])
    }

    fn residuals(&self) -> Option<DVector<f64>> {
        let residual = |(&x, &y): (&f64, &f64)| value(self.model, &self.parameters, x).0 - y;
        Some(DVector::from_iterator(self.x.len(), self.x.iter().zip(self.y).map(residual)))
    }

    fn jacobian(&self) -> Option<DMatrix<f64>> {
        Some(DMatrix::from_fn(self.x.len(), self.free, |row, column| {
            value(self.model, &self.parameters, self.x[row]).1[column]
        }))
    }
}
