//! `hist2d`: how often which pairs of values occur.

use crate::data::bytes::{Reader, Writer};
use crate::data::feed::Feed;
use crate::data::types::Type;
use crate::data::value::{Array, DType, Value};
use crate::error::{DecodeError, Fault};
use crate::merge::grid::{Fall, Grid, MAX_BINS};
use crate::merge::tally::{BELOW, BEYOND, Tally};
use crate::op::checks::numbers_only;
use crate::op::doc::{Class, Form, InputDoc, OpDoc, OutputDoc, ParamDoc};
use crate::op::kind::{OpKind, Prepared};
use crate::op::parameters::Args;
use crate::op::reduction::{Outputs, Reduction, State, same};
use crate::op::signature::Sense;
use crate::op::signature::Signature;
use crate::ops::over_events::bins;
use crate::ops::over_events::side_by_side::side_by_side;
use serde_json::Value as Json;

static DOC: OpDoc = OpDoc {
    name: "hist2d",
    summary: "histogram of pairs of values",
    text: "As np.histogram2d: on each axis a bin holds its lower edge, the last one both; \
           bit-identical counts. x and y are scalars, or arrays of one shape whose elements are \
           paired; a scalar beside an array counts for each of its elements. Pairs outside the \
           bins, or with NaN, are counted in `outside`. `weights`, a scalar or an array as the \
           others, makes all sums of weights, float64.",
    example: r#"{"op": "hist2d", "in": {"x": "scalar", "y": "flag"}, "bins": [50, 2], "range": [[-1, 4], [0, 1]]}"#,
    class: Class::Reduction,
    form: Form::Fixed(&[
        InputDoc { name: "x", doc: "scalar or array of numbers", required: true },
        InputDoc { name: "y", doc: "scalar, or array of the same shape", required: true },
        InputDoc { name: "weights", doc: "scalar, or array of the same shape", required: false },
    ]),
    with: false,
    params: &[
        ParamDoc {
            name: "bins",
            kind: "integer, or one of integer or list of edges for each of x and y",
            default: "100",
            unit: "",
            range: "1 to 4194304 bins in all, or increasing edges",
            doc: "numbers of bins, or their edges: 50, [50, 20], [[0, 1, 5], 20]",
        },
        ParamDoc {
            name: "range",
            kind: "[[low, high], [low, high]]",
            default: "none",
            unit: "of x and y",
            range: "low < high; null for an axis whose edges are given",
            doc: "what the bins of x and y cover; left out when all edges are given",
        },
    ],
    outputs: &[
        OutputDoc { name: "x_edges", doc: "float64 [bins of x + 1]" },
        OutputDoc { name: "y_edges", doc: "float64 [bins of y + 1]" },
        OutputDoc { name: "counts", doc: "int64 [bins of x, bins of y], with weights float64" },
        OutputDoc { name: "outside", doc: "pairs in no bin; int64 or float64 scalar" },
    ],
};

/// The op.
pub struct Hist2d;

impl OpKind for Hist2d {
    fn doc(&self) -> &'static OpDoc {
        &DOC
    }

    fn prepare(&self, args: &Args<'_>) -> Result<Prepared, Fault> {
        let [x, y] = grids(args)?;
        if (x.bins() as u64).saturating_mul(y.bins() as u64) > MAX_BINS {
            let reason = format!("{} × {} bins are too many", x.bins(), y.bins());
            return Err(Fault::of("bins", reason, format!("ask for at most {MAX_BINS} in all")));
        }
        let weighted = args.names.len() > 2;
        let outputs = ["x_edges", "y_edges", "counts", "outside"];
        Ok(Prepared::reduction(&outputs, Plane { x, y, weighted }))
    }

    fn decode(
        &self,
        signature: &Signature,
        reader: &mut Reader<'_>,
    ) -> Result<Box<dyn State>, DecodeError> {
        let (x, y) = (Grid::decode(reader)?, Grid::decode(reader)?);
        let tally = Tally::decode(reader)?;
        if Some(tally.bins()) != x.bins().checked_mul(y.bins()) {
            return Err(DecodeError::invalid("bins of a histogram", tally.bins()));
        }
        if tally.weighted() != (signature.len() > 2) {
            return Err(DecodeError::invalid("weights of a histogram", signature.len()));
        }
        Ok(Box::new(Hist2dState { x, y, tally }))
    }
}

/// The bins of x and y. A list in `bins` has one entry for each, as in numpy.
fn grids(args: &Args<'_>) -> Result<[Grid; 2], Fault> {
    let pair = |name: &str, hint: &str| match args.get(name) {
        Some(Json::Array(both)) if both.len() == 2 => Ok([both.first(), both.get(1)]),
        Some(Json::Array(_) | Json::Object(_) | Json::String(_)) => {
            Err(Fault::of(name, "is not accepted", hint))
        }
        one => Ok([one, one]),
    };
    let bins = pair("bins", "give a number, or one number or list of edges for each of x and y")?;
    let ranges = pair("range", "give [[low, high], [low, high]] for x and y")?;
    let axis = |k: usize, name: &str| {
        let range = ranges[k].filter(|range| !range.is_null());
        bins::axis(bins[k], range).map_err(|mut fault| {
            fault.reason = format!("of {name}: {}", fault.reason);
            fault
        })
    };
    Ok([axis(0, "x")?, axis(1, "y")?])
}

#[derive(Debug, Clone)]
struct Plane {
    x: Grid,
    y: Grid,
    weighted: bool,
}

impl Plane {
    fn state(&self) -> Hist2dState {
        let tally = Tally::new(self.weighted, self.x.bins() * self.y.bins());
        Hist2dState { x: self.x.clone(), y: self.y.clone(), tally }
    }
}

impl Reduction for Plane {
    fn op(&self) -> &'static str {
        DOC.name
    }

    fn sense(&self, _: usize) -> Sense {
        Sense::Nothing
    }

    fn start(&self, _: &Signature) -> Box<dyn State> {
        Box::new(self.state())
    }

    fn size(&self, _: &Signature) -> u64 {
        let (x, y) = (self.x.bins() as u64, self.y.bins() as u64);
        256 + (x * y + BEYOND as u64) * if self.weighted { 16 } else { 8 } + (x + y) * 8
    }

    fn bind(&self, inputs: &[Type]) -> Result<Vec<Type>, Fault> {
        numbers_only(inputs, &["x", "y", "weights"])?;
        let dtype = if self.weighted { DType::F64 } else { DType::I64 };
        let (x, y) = (self.x.bins(), self.y.bins());
        Ok(vec![
            Type::shaped(DType::F64, &[x + 1]),
            Type::shaped(DType::F64, &[y + 1]),
            Type::shaped(dtype, &[x, y]),
            Type::scalar(dtype),
        ])
    }

    fn nothing(&self, _: &[Type]) -> Outputs {
        self.state().outputs()
    }
}

#[derive(Debug, Clone)]
struct Hist2dState {
    x: Grid,
    y: Grid,
    /// Bins of y run fastest; what is outside is counted below.
    tally: Tally,
}

impl Hist2dState {
    fn outputs(&self) -> Outputs {
        let edges = |grid: &Grid| {
            Some(Value::Array(Array::from_elements(&[grid.bins() + 1], grid.edges())))
        };
        let counts = self.tally.counts(&[self.x.bins(), self.y.bins()]);
        let [outside, ..] = self.tally.beyond();
        vec![edges(&self.x), edges(&self.y), Some(counts), outside]
    }

    #[inline(always)]
    fn place(&self, x: f64, y: f64) -> usize {
        match (self.x.fall(x), self.y.fall(y)) {
            (Fall::Bin(x), Fall::Bin(y)) => x * self.y.bins() + y,
            _ => self.tally.bins() + BELOW,
        }
    }
}

impl State for Hist2dState {
    fn absorb(&mut self, feed: &mut Feed<'_>) {
        side_by_side(feed, |inputs| match *inputs {
            [(xs, _), (ys, _)] => {
                for (&x, &y) in xs.iter().zip(ys) {
                    let place = self.place(x, y);
                    self.tally.add(place, 1.0);
                }
            }
            [(xs, _), (ys, _), (weights, _)] => {
                for ((&x, &y), &weight) in xs.iter().zip(ys).zip(weights) {
                    let place = self.place(x, y);
                    self.tally.add(place, weight);
                }
            }
            _ => {}
        });
    }

    fn merge(&mut self, other: Box<dyn State>) -> bool {
        let Some(other) = same::<Hist2dState>(other) else { return false };
        (&self.x, &self.y) == (&other.x, &other.y) && self.tally.merge(&other.tally, |i| i)
    }

    fn finish(&self) -> Result<Outputs, String> {
        Ok(self.outputs())
    }

    fn encode(self: Box<Self>, writer: &mut Writer) {
        self.x.encode(writer);
        self.y.encode(writer);
        self.tally.encode(writer);
    }

    fn clone_box(&self) -> Box<dyn State> {
        Box::new(self.clone())
    }

    fn bytes(&self) -> usize {
        256 + self.tally.bytes() + 8 * (self.x.bins() + self.y.bins())
    }
}
