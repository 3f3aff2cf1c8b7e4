//! `linregress`: the straight line through pairs of values.

use crate::data::bytes::{Reader, Writer};
use crate::data::feed::Feed;
use crate::data::types::Type;
use crate::data::value::{DType, Scalar, Value};
use crate::error::{DecodeError, Fault};
use crate::merge::comoments::{Comoments, Spread};
use crate::merge::moments::at_least_zero;
use crate::op::checks::numbers_only;
use crate::op::doc::{Class, Form, InputDoc, OpDoc, OutputDoc};
use crate::op::kind::{OpKind, Prepared};
use crate::op::parameters::Args;
use crate::op::reduction::{Outputs, Reduction, State, same};
use crate::op::signature::Sense;
use crate::op::signature::Signature;
use crate::ops::over_events::side_by_side::side_by_side;

static DOC: OpDoc = OpDoc {
    name: "linregress",
    summary: "linear regression and correlation of two values over the events",
    text: "As scipy.stats.linregress(x, y): least squares of y = slope·x + intercept, Pearson's \
           r, and the standard error of the slope. x and y are scalars, or arrays of one shape \
           whose elements are paired; a scalar beside an array counts for each of its elements. \
           Deviations are kept to twice the precision of float64, and 64-bit integers count \
           exactly, so a large offset costs no digits: x may be timestamps. \
           With x all equal, or fewer than two pairs, the line is NaN, and with y all equal r; \
           slope_err of two pairs is 0.",
    example: r#"{"op": "linregress", "in": {"x": "scalar", "y": "flag"}}"#,
    class: Class::Reduction,
    form: Form::Fixed(&[
        InputDoc { name: "x", doc: "scalar or array of numbers", required: true },
        InputDoc { name: "y", doc: "scalar, or array of the same shape", required: true },
    ]),
    with: false,
    params: &[],
    outputs: &[
        OutputDoc { name: "slope", doc: "float64 scalar, unit of y per unit of x" },
        OutputDoc { name: "intercept", doc: "float64 scalar, unit of y" },
        OutputDoc { name: "r", doc: "float64 scalar, -1 to 1; NaN with y all equal" },
        OutputDoc { name: "slope_err", doc: "float64 scalar: standard error of the slope" },
        OutputDoc { name: "count", doc: "int64 scalar: pairs" },
    ],
};

/// The op.
pub struct LinRegress;

impl OpKind for LinRegress {
    fn doc(&self) -> &'static OpDoc {
        &DOC
    }

    fn prepare(&self, _: &Args<'_>) -> Result<Prepared, Fault> {
        let outputs = ["slope", "intercept", "r", "slope_err", "count"];
        Ok(Prepared::reduction(&outputs, Line(Comoments::default())))
    }

    fn decode(
        &self,
        _: &Signature,
        reader: &mut Reader<'_>,
    ) -> Result<Box<dyn State>, DecodeError> {
        Ok(Box::new(Line(Comoments::decode(reader)?)))
    }
}

/// Sums so far; also the reduction, which has no parameters.
#[derive(Debug, Clone)]
struct Line(Comoments);

impl Reduction for Line {
    fn op(&self) -> &'static str {
        DOC.name
    }

    fn sense(&self, _: usize) -> Sense {
        Sense::Nothing
    }

    fn start(&self, _: &Signature) -> Box<dyn State> {
        Box::new(Line(Comoments::default()))
    }

    fn size(&self, _: &Signature) -> u64 {
        320
    }

    fn bind(&self, inputs: &[Type]) -> Result<Vec<Type>, Fault> {
        numbers_only(inputs, &["x", "y"])?;
        let mut types = vec![Type::scalar(DType::F64); 4];
        types.push(Type::scalar(DType::I64));
        Ok(types)
    }
}

impl State for Line {
    fn absorb(&mut self, feed: &mut Feed<'_>) {
        side_by_side(feed, |inputs| {
            if let [xs, ys] = *inputs {
                self.0.add(xs, ys);
            }
        });
    }

    fn merge(&mut self, other: Box<dyn State>) -> bool {
        let Some(other) = same::<Line>(other) else { return false };
        self.0.merge(&other.0);
        true
    }

    fn finish(&self) -> Result<Outputs, String> {
        let n = self.0.n;
        let (mean_x, mean_y) = self.0.means();
        let Spread { xx, yy, xy, determinant } = self.0.spread();
        let line = n > 1 && xx != 0.0;
        let slope = if line { xy / xx } else { f64::NAN };
        let r = match line && yy != 0.0 {
            true => (xy / xx.sqrt() / yy.sqrt()).clamp(-1.0, 1.0),
            false => f64::NAN,
        };
        let slope_err = match n {
            0 | 1 => f64::NAN,
            2 if line => 0.0,
            _ if r.is_nan() => f64::NAN,
            // (1 − r²)·yy / xx, without the digits that 1 − r² loses near a line.
            _ => (at_least_zero(determinant) / (n as f64 - 2.0)).sqrt() / xx,
        };
        let numbers = [slope, mean_y - slope * mean_x, r, slope_err];
        let scalars = numbers.map(|x| Some(Value::Scalar(Scalar::F64(x))));
        let count = Some(Value::Scalar(Scalar::I64(n as i64)));
        Ok(scalars.into_iter().chain([count]).collect())
    }

    fn encode(self: Box<Self>, writer: &mut Writer) {
        self.0.encode(writer);
    }

    fn clone_box(&self) -> Box<dyn State> {
        Box::new(self.clone())
    }

    fn bytes(&self) -> usize {
        320
    }
}
