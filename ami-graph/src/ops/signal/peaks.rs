//! `peaks`: the peaks of a waveform, by two thresholds.

use crate::data::types::Type;
use crate::data::value::DType;
use crate::error::Fault;
use crate::op::checks::numbers_only;
use crate::op::doc::{Class, Form, InputDoc, OpDoc, OutputDoc, ParamDoc};
use crate::op::event_by_event::{Each, Item, Out, each};
use crate::op::kind::{OpKind, Prepared};
use crate::op::parameters::Args;
use crate::op::per_event::{Kernel, PerEvent};

static DOC: OpDoc = OpDoc {
    name: "peaks",
    summary: "position and width of every peak of a waveform",
    text: "A peak is a stretch of samples above `lo`, as long as it can be, of which at least \
           one reaches `hi` (hysteresis: noise around one threshold does not split it). \
           centroid = sum(v i) / sum(v) over its samples, i counting from 0; width is their \
           number. A peak that touches an end of the waveform counts. NaN ends a peak. On \
           Gaussian pulses of sigma = 5 samples, lo = 0.1 and hi = 0.5 of the height, with \
           white noise of 1 % of the height, centroids were 0.055 samples (standard deviation) \
           from the truth, without bias (20,000 pulses; tests/timing.rs).",
    example: r#"{"op": "peaks", "in": "waveform", "lo": 0, "hi": 1}"#,
    class: Class::PerEvent,
    form: Form::Fixed(&[InputDoc { name: "array", doc: "array of 1 axis", required: true }]),
    with: false,
    params: &[
        ParamDoc {
            name: "lo",
            kind: "number",
            default: "0",
            unit: "of the input",
            range: "not above hi",
            doc: "samples above it belong to a peak",
        },
        ParamDoc {
            name: "hi",
            kind: "number",
            default: "1",
            unit: "of the input",
            range: "not below lo",
            doc: "what a peak must reach",
        },
    ],
    outputs: &[
        OutputDoc { name: "centroid", doc: "float64 [peaks]: samples from 0" },
        OutputDoc { name: "width", doc: "int64 [peaks]: samples" },
        OutputDoc { name: "count", doc: "int64 scalar" },
    ],
};

/// The op.
pub struct Peaks;

impl OpKind for Peaks {
    fn doc(&self) -> &'static OpDoc {
        &DOC
    }

    fn prepare(&self, args: &Args<'_>) -> Result<Prepared, Fault> {
        let lo = args.number("lo")?.unwrap_or(0.0);
        let hi = args.number("hi")?.unwrap_or(1.0);
        if lo.is_nan() || hi.is_nan() || lo > hi {
            let reason = format!("lo is {lo} and hi is {hi}");
            let at = if hi.is_nan() { "hi" } else { "lo" };
            return Err(Fault::of(at, reason, "give lo not above hi"));
        }
        Ok(Prepared::per_event_with(&["centroid", "width", "count"], Thresholds { lo, hi }))
    }
}

#[derive(Debug, Clone, Copy)]
struct Thresholds {
    lo: f64,
    hi: f64,
}

impl PerEvent for Thresholds {
    fn bind(&self, inputs: &[Type]) -> Result<(Vec<Type>, Box<dyn Kernel>), Fault> {
        waveform_only(inputs, &["array"])?;
        let types =
            vec![Type::array(DType::F64, 1), Type::array(DType::I64, 1), Type::scalar(DType::I64)];
        let work = Finding { thresholds: *self, scratch: Vec::new(), found: Vec::new() };
        Ok(each(types, work))
    }
}

/// Faults on inputs that cannot be waveforms.
pub fn waveform_only(inputs: &[Type], names: &[&str]) -> Result<(), Fault> {
    numbers_only(inputs, names)?;
    match inputs.iter().find(|input| input.rank.is_some_and(|rank| rank != 1)) {
        Some(input) => {
            let reason = format!("the input is {input}, not a waveform");
            Err(Fault::of("in", reason, "name an array of 1 axis, or reduce it by `project`"))
        }
        None => Ok(()),
    }
}

/// The samples of a value that must be a waveform.
///
/// # Errors
/// When it has another rank.
pub fn samples<'s>(item: &Item<'s>, scratch: &'s mut Vec<f64>) -> Result<&'s [f64], String> {
    match item.shape() {
        [_] => Ok(item.f64(scratch)),
        other => Err(format!("the value has shape {other:?}, not that of a waveform")),
    }
}

struct Finding {
    thresholds: Thresholds,
    scratch: Vec<f64>,
    /// Centroid and width.
    found: Vec<(f64, i64)>,
}

impl Each for Finding {
    fn event(&mut self, inputs: &[Item<'_>], out: &mut Out<'_, '_>) -> Result<(), String> {
        let [item] = inputs else { return Ok(()) };
        let Thresholds { lo, hi } = self.thresholds;
        let samples = samples(item, &mut self.scratch)?;
        self.found.clear();
        let (mut weight, mut moment, mut width, mut reached) = (0.0, 0.0, 0, false);
        // The end is no sample above `lo`: it closes the last peak.
        let places = samples.iter().copied().chain([f64::NAN]).enumerate();
        for (i, v) in places {
            if v > lo {
                weight += v;
                moment += v * i as f64;
                width += 1;
                reached |= v >= hi;
            } else {
                if reached {
                    self.found.push((moment / weight, width));
                }
                (weight, moment, width, reached) = (0.0, 0.0, 0, false);
            }
        }
        let shape = [self.found.len()];
        let found = self.found.iter();
        out.array::<f64>(0, &shape, |to| {
            to.iter_mut().zip(found.clone()).for_each(|(t, f)| *t = f.0);
        });
        out.array::<i64>(1, &shape, |to| to.iter_mut().zip(found).for_each(|(t, f)| *t = f.1));
        out.scalar(2, self.found.len() as i64);
        Ok(())
    }
}
