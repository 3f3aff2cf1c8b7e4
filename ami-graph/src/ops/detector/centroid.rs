//! `centroid`: where the weight of an array lies, and how wide it is.

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
    name: "centroid",
    summary: "centre of mass and width of a waveform or image",
    text: "First and second moments with the elements as weights: position = sum(w i) / sum(w), \
           sigma = sqrt(sum(w (i - position)^2) / sum(w)), i counting from 0 along each axis; as \
           scipy.ndimage.center_of_mass. Elements below `threshold` weigh nothing, and neither \
           does NaN where a threshold is given. Of an image, position and sigma are [y, x]. \
           Without weight both are NaN.",
    example: r#"{"op": "centroid", "in": "image", "threshold": 10}"#,
    class: Class::PerEvent,
    form: Form::Fixed(&[InputDoc { name: "array", doc: "array of 1 or 2 axes", required: true }]),
    with: false,
    params: &[ParamDoc {
        name: "threshold",
        kind: "number",
        default: "none",
        unit: "of the input",
        range: "any",
        doc: "elements below it do not count",
    }],
    outputs: &[
        OutputDoc { name: "position", doc: "float64 scalar, or [2] = (y, x): elements from 0" },
        OutputDoc { name: "sigma", doc: "float64 as position: elements" },
        OutputDoc { name: "sum", doc: "float64 scalar: the weight" },
    ],
};

/// The op.
pub struct Centroid;

impl OpKind for Centroid {
    fn doc(&self) -> &'static OpDoc {
        &DOC
    }

    fn prepare(&self, args: &Args<'_>) -> Result<Prepared, Fault> {
        let threshold = args.number("threshold")?;
        Ok(Prepared::per_event_with(&["position", "sigma", "sum"], Moment { threshold }))
    }
}

#[derive(Debug, Clone, Copy)]
struct Moment {
    threshold: Option<f64>,
}

impl PerEvent for Moment {
    fn bind(&self, inputs: &[Type]) -> Result<(Vec<Type>, Box<dyn Kernel>), Fault> {
        numbers_only(inputs, &["array"])?;
        let place = match inputs[0].rank {
            None => Type::unknown(DType::F64),
            Some(1) => Type::scalar(DType::F64),
            Some(2) => Type::shaped(DType::F64, &[2]),
            Some(_) => {
                let reason = format!("the input is {}, not an array of 1 or 2 axes", inputs[0]);
                return Err(Fault::of("in", reason, "take a part of it by `roi` or `project`"));
            }
        };
        let types = vec![place.clone(), place, Type::scalar(DType::F64)];
        Ok(each(types, Weighing { threshold: self.threshold, scratch: Vec::new() }))
    }
}

struct Weighing {
    threshold: Option<f64>,
    scratch: Vec<f64>,
}

impl Each for Weighing {
    fn event(&mut self, inputs: &[Item<'_>], out: &mut Out<'_, '_>) -> Result<(), String> {
        let [item] = inputs else { return Ok(()) };
        let columns = match *item.shape() {
            [n] | [_, n] => n,
            ref other => return Err(format!("an array of shape {other:?} has no centroid here")),
        };
        let least = self.threshold;
        let weight = |x: f64| if least.is_none_or(|least| x >= least) { x } else { 0.0 };
        let numbers = item.f64(&mut self.scratch);
        let [sum, y, x] = totals(numbers, columns, |w, i, j| [w, w * i, w * j], weight);
        let (y, x) = (y / sum, x / sum);
        let deviations =
            |w: f64, i: f64, j: f64| [0.0, w * (i - y) * (i - y), w * (j - x) * (j - x)];
        let [_, yy, xx] = totals(numbers, columns, deviations, weight);
        let (sy, sx) = ((yy / sum).sqrt(), (xx / sum).sqrt());
        if item.shape().len() == 1 {
            out.scalar(0, x);
            out.scalar(1, sx);
        } else {
            out.copy(0, &[2], &[y, x]);
            out.copy(1, &[2], &[sy, sx]);
        }
        out.scalar(2, sum);
        Ok(())
    }
}

/// Three sums over the elements of an image; `of` sees weight, row and column.
fn totals(
    numbers: &[f64],
    columns: usize,
    of: impl Fn(f64, f64, f64) -> [f64; 3],
    weight: impl Fn(f64) -> f64,
) -> [f64; 3] {
    let mut total = [0.0; 3];
    for (i, row) in numbers.chunks(columns.max(1)).enumerate() {
        // Row by row, so that rounding grows with the rows, not with the pixels.
        let mut part = [0.0; 3];
        for (j, &x) in row.iter().enumerate() {
            let terms = of(weight(x), i as f64, j as f64);
            part.iter_mut().zip(terms).for_each(|(sum, term)| *sum += term);
        }
        total.iter_mut().zip(part).for_each(|(sum, part)| *sum += part);
    }
    total
}
