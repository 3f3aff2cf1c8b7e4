//! `cfd`: the time of a pulse, independent of its height.

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
    name: "cfd",
    summary: "constant-fraction time of the first pulse of a waveform",
    text: "Constant fraction discrimination: v = gain * x - offset, c[i] = v[i - delay] - \
           fraction * v[i]. The time is where c first crosses `walk`, going up for a positive \
           threshold and down for a negative one, at samples where v is beyond the threshold; \
           between two samples it is interpolated linearly, and multiplied by \
           `sample_interval`. Absent when there is no pulse. The time of pulses of one form \
           does not depend on their height; it lies about `delay` after the point where the \
           pulse has the fraction of its height. On Gaussian pulses of sigma = 5 samples (delay \
           5, fraction 0.5) of 100 to 1000 counts, the spread without noise was 0.011 samples, \
           from the straight line between samples, and with white noise of 1 % of the height \
           0.14 samples (standard deviation; 20,000 pulses; tests/timing.rs).",
    example: r#"{"op": "cfd", "in": "waveform", "delay": 1, "fraction": 0.5, "threshold": 1}"#,
    class: Class::PerEvent,
    form: Form::Fixed(&[InputDoc { name: "array", doc: "array of 1 axis", required: true }]),
    with: false,
    params: &[
        ParamDoc {
            name: "fraction",
            kind: "number",
            default: "0.5",
            unit: "",
            range: "above 0, below 1",
            doc: "fraction of the height",
        },
        ParamDoc {
            name: "delay",
            kind: "integer",
            default: "1",
            unit: "samples",
            range: "1 to 65535",
            doc: "about the rise time of the pulse",
        },
        ParamDoc {
            name: "threshold",
            kind: "number",
            default: "",
            unit: "of v",
            range: "not 0; its sign is that of the pulses",
            doc: "what a pulse must exceed",
        },
        ParamDoc {
            name: "walk",
            kind: "number",
            default: "0",
            unit: "of v",
            range: "finite",
            doc: "level of the crossing",
        },
        ParamDoc {
            name: "sample_interval",
            kind: "number",
            default: "1",
            unit: "time per sample",
            range: "above 0",
            doc: "what times are counted in",
        },
        ParamDoc {
            name: "gain",
            kind: "number",
            default: "1",
            unit: "per unit of the input",
            range: "not 0",
            doc: "factor to v",
        },
        ParamDoc {
            name: "offset",
            kind: "number",
            default: "0",
            unit: "of v",
            range: "finite",
            doc: "baseline of v",
        },
    ],
    outputs: &[OutputDoc { name: "time", doc: "float64 scalar, from the first sample on" }],
};

/// The op.
pub struct Cfd;

impl OpKind for Cfd {
    fn doc(&self) -> &'static OpDoc {
        &DOC
    }

    fn prepare(&self, args: &Args<'_>) -> Result<Prepared, Fault> {
        let number = |name: &str, default: f64, accepted: &str, good: fn(f64) -> bool| {
            let x = args.number(name)?.unwrap_or(default);
            let bad =
                || Fault::of(name, format!("{x} is not accepted"), format!("give {accepted}"));
            if x.is_finite() && good(x) { Ok(x) } else { Err(bad()) }
        };
        args.require("threshold", "what a pulse must exceed, negative for negative pulses")?;
        let accepted = "a number other than 0: its sign is that of the pulses";
        Ok(Prepared::per_event_with(
            &["time"],
            Fraction {
                fraction: number("fraction", 0.5, "a number above 0 and below 1", |x| {
                    x > 0.0 && x < 1.0
                })?,
                delay: args.whole("delay", Some(1), 1..=65535)? as usize,
                threshold: number("threshold", 0.0, accepted, |x| x != 0.0)?,
                walk: number("walk", 0.0, "a finite number", |_| true)?,
                interval: number("sample_interval", 1.0, "a number above 0", |x| x > 0.0)?,
                gain: number("gain", 1.0, "a number other than 0", |x| x != 0.0)?,
                offset: number("offset", 0.0, "a finite number", |_| true)?,
            },
        ))
    }
}

#[derive(Debug, Clone, Copy)]
struct Fraction {
    fraction: f64,
    delay: usize,
    threshold: f64,
    walk: f64,
    interval: f64,
    gain: f64,
    offset: f64,
}

impl PerEvent for Fraction {
    fn bind(&self, inputs: &[Type]) -> Result<(Vec<Type>, Box<dyn Kernel>), Fault> {
        waveform_only(inputs, &["array"])?;
        let work = Timing { of: *self, scratch: Vec::new() };
        Ok(each(vec![Type::scalar(DType::F64)], work))
    }
}

impl Fraction {
    /// Place of the first crossing, in samples.
    fn crossing(&self, samples: &[f64]) -> Option<f64> {
        // Negative pulses are turned over, so that only rising crossings are looked for.
        let sign = self.threshold.signum();
        let (threshold, walk) = (sign * self.threshold, sign * self.walk);
        let v = |i: usize| sign * (self.gain * samples[i] - self.offset);
        let c = |i: usize| v(i - self.delay) - self.fraction * v(i);
        (self.delay + 1..samples.len()).find_map(|i| {
            let (before, after) = (c(i - 1), c(i));
            let crosses = before < walk && after >= walk && v(i) > threshold;
            crosses.then(|| (i - 1) as f64 + (walk - before) / (after - before))
        })
    }
}

struct Timing {
    of: Fraction,
    scratch: Vec<f64>,
}

impl Each for Timing {
    fn event(&mut self, inputs: &[Item<'_>], out: &mut Out<'_, '_>) -> Result<(), String> {
        let [item] = inputs else { return Ok(()) };
        if let Some(place) = self.of.crossing(samples(item, &mut self.scratch)?) {
            out.scalar(0, place * self.of.interval);
        }
        Ok(())
    }
}
