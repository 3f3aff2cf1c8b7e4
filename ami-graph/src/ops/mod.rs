//! The operations: one table, one file each. Spec parsing, planning, decoding, `ami-ctl ops` and
//! the tests all read [`OPS`]; adding an op is one file and one line here.

mod array_stat;
mod assemble;
mod azimuthal;
mod blobs;
mod by_key;
mod calibrate;
mod centroid;
mod cfd;
mod combinations;
mod constant;
mod correlate;
mod count;
mod covariance;
mod edge;
mod ewma;
#[path = "flow/expr.rs"]
mod expr;
mod extreme;
mod fit_line;
mod fit_peak;
mod fourier;
mod gate;
mod hist;
mod hist2d;
mod interp;
mod join;
pub(crate) mod last;
mod markdown;
mod mask;
mod normalize;
mod peakfinder8;
mod peaks;
mod pixel;
mod polar;
mod profile;
mod quantile;
mod rate;
mod rebin;
mod roi;
mod rotate;
mod running;
mod select;
mod smooth;
mod split;
mod stats;
mod sum;
mod take;
mod threshold;
mod turn;
mod unique;

pub use markdown::markdown;

use crate::bands::Banded;
use crate::batch::Column;
use crate::column::{EventErrors, OwnedColumn};
use crate::error::{DecodeError, Fault};
use crate::expr::Labels;
use crate::params::Args;
use crate::state::{Reduction, Signature, State};
use crate::types::Type;
use crate::value::DType;
use crate::wire::Reader;
use serde_json::json;
use std::collections::HashMap;
use std::sync::LazyLock;

/// Every operation.
pub static OPS: &[&dyn OpKind] = &[
    &constant::Const,
    &expr::ExprOp,
    &gate::Gate,
    &select::Select,
    &array_stat::ArrayStat,
    &roi::Roi,
    &pixel::Pixel,
    &take::Take,
    &join::Stack,
    &join::Concat,
    &split::Split,
    &turn::Rot90,
    &turn::Flip,
    &turn::Transpose,
    &rebin::Rebin,
    &array_stat::Project,
    &threshold::Threshold,
    &normalize::Normalize,
    &running::Running::Diff,
    &running::Running::Cumsum,
    &interp::Interp,
    &combinations::Combinations,
    &azimuthal::Azimuthal,
    &centroid::Centroid,
    &mask::Mask,
    &calibrate::Calibrate,
    &assemble::Assemble,
    &blobs::Blobs,
    &peakfinder8::Peakfinder8,
    &polar::Polar,
    &smooth::Gaussian,
    &smooth::Median,
    &rotate::Rotate,
    &fourier::Fft,
    &fourier::Ifft,
    &fourier::Rfft,
    &fourier::Irfft,
    &peaks::Peaks,
    &cfd::Cfd,
    &edge::Edge,
    &fit_peak::FitPeak,
    &fit_line::FitLine,
    &fit_line::FitPoly,
    &count::Count,
    &sum::SUM,
    &sum::MEAN,
    &stats::Stats,
    &extreme::MIN,
    &extreme::MAX,
    &hist::Hist,
    &hist2d::Hist2d,
    &profile::Profile,
    &last::Last,
    &last::Buffer,
    &last::Sample,
    &quantile::Quantile,
    &by_key::ByKey,
    &by_key::Scan,
    &unique::Unique,
    &ewma::Ewma,
    &correlate::Correlate,
    &covariance::Covariance,
    &rate::Rate,
];

/// [`OPS`] by name: every state of every partial names its op, and looking through the whole list took
/// nearly half of the time of decoding it.
static BY_NAME: LazyLock<HashMap<&str, &dyn OpKind>> =
    LazyLock::new(|| OPS.iter().map(|op| (op.doc().name, *op)).collect());

/// The operation of this name.
pub fn find(name: &str) -> Option<&'static dyn OpKind> {
    BY_NAME.get(name).copied()
}

/// How an op takes its inputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// No inputs.
    None,
    /// These: one name, a list in this order, or a map.
    Fixed(&'static [InputDoc]),
    /// One or more of any name: outputs carry their names.
    Values,
    /// One or more whose names the op's expressions use.
    Named,
}

/// One input of an op.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InputDoc {
    /// Its name in a map.
    pub name: &'static str,
    /// What it may be, for people.
    pub doc: &'static str,
    /// False when the op works without.
    pub required: bool,
}

/// One parameter of an op.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParamDoc {
    /// Its name.
    pub name: &'static str,
    /// Its type, for people.
    pub kind: &'static str,
    /// Its default as JSON; empty when it must be given, "none" when it may be left out.
    pub default: &'static str,
    /// Its unit; empty without.
    pub unit: &'static str,
    /// What is accepted.
    pub range: &'static str,
    /// One line of what it does.
    pub doc: &'static str,
}

/// A row of an op's table of parameters.
pub(crate) const fn param(
    name: &'static str,
    kind: &'static str,
    default: &'static str,
    unit: &'static str,
    range: &'static str,
    doc: &'static str,
) -> ParamDoc {
    ParamDoc { name, kind, default, unit, range, doc }
}

/// One output of an op.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutputDoc {
    /// Its name; `…` at the end where there is one per input.
    pub name: &'static str,
    /// Shape, element type and unit, for people.
    pub doc: &'static str,
}

/// Whether an op sees events one by one or all of a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Values of one event in, values of that event out.
    PerEvent,
    /// Over the events of a window.
    Reduction,
}

/// What people are told about an op.
#[derive(Debug, Clone, Copy)]
pub struct OpDoc {
    /// Its name in graphs.
    pub name: &'static str,
    /// One line.
    pub summary: &'static str,
    /// What exactly it computes: numpy's definition, edge cases, element types.
    pub text: &'static str,
    /// A node that runs, as JSON; its inputs are `scalar`, `flag`, `waveform` (1-d), `image` (2-d).
    pub example: &'static str,
    /// Per event, or a reduction.
    pub class: Class,
    /// Inputs.
    pub form: Form,
    /// True when further inputs may be named by `with`.
    pub with: bool,
    /// Parameters.
    pub params: &'static [ParamDoc],
    /// Outputs.
    pub outputs: &'static [OutputDoc],
}

/// A kind of node.
pub trait OpKind: Sync {
    /// What people are told.
    fn doc(&self) -> &'static OpDoc;

    /// Reads the parameters of a node.
    ///
    /// # Errors
    /// Names the parameter and what would be accepted.
    fn prepare(&self, args: &Args<'_>) -> Result<Prepared, Fault>;

    /// Reads a state of this op, trusting nothing.
    ///
    /// # Errors
    /// When the bytes are not one; always for ops without state.
    fn decode(
        &self,
        signature: &Signature,
        reader: &mut Reader<'_>,
    ) -> Result<Box<dyn State>, DecodeError> {
        let _ = (signature, reader);
        Err(DecodeError::invalid("state", format_args!("op {:?} has none", self.doc().name)))
    }
}

/// A node with its parameters read; what it works on is not known yet.
#[derive(Debug)]
pub struct Prepared {
    /// Names of its outputs in order.
    pub outputs: Vec<String>,
    /// How it computes.
    pub body: Body,
}

/// How a node computes.
#[derive(Debug)]
pub enum Body {
    /// Event by event.
    PerEvent(Box<dyn PerEvent>),
    /// Over a window.
    Reduction(Box<dyn Reduction>),
}

impl Prepared {
    /// A per-event node with one output `value`.
    pub fn per_event(body: impl PerEvent + 'static) -> Prepared {
        Prepared { outputs: vec!["value".into()], body: Body::PerEvent(Box::new(body)) }
    }

    /// A per-event node with these outputs.
    pub fn per_event_with(outputs: &[&str], body: impl PerEvent + 'static) -> Prepared {
        let outputs = outputs.iter().map(|&o| o.to_owned()).collect();
        Prepared { outputs, body: Body::PerEvent(Box::new(body)) }
    }

    /// A reduction with its outputs.
    pub fn reduction(outputs: &[&str], body: impl Reduction + 'static) -> Prepared {
        let outputs = outputs.iter().map(|&o| o.to_owned()).collect();
        Prepared { outputs, body: Body::Reduction(Box::new(body)) }
    }
}

/// A per-event op with its parameters.
pub trait PerEvent: Send + Sync + std::fmt::Debug {
    /// Checks the types of the inputs; gives the types of the outputs and a kernel.
    ///
    /// # Errors
    /// When the op cannot work on these types or shapes.
    fn bind(&self, inputs: &[Type]) -> Result<(Vec<Type>, Box<dyn Kernel>), Fault>;

    /// Bytes of the tables that the kernel keeps, such as masks and the bins of pixels, for these
    /// inputs and outputs; 0 without tables and where shapes are unknown.
    fn tables(&self, inputs: &[Type], outputs: &[Type]) -> u64 {
        let _ = (inputs, outputs);
        0
    }

    /// As [`bind`](Self::bind), for ops that know what to do with the labels of inputs that are
    /// enumerations; empty for every other input.
    ///
    /// # Errors
    /// As [`bind`](Self::bind).
    fn bind_labelled(
        &self,
        inputs: &[Type],
        labels: &[Labels],
    ) -> Result<(Vec<Type>, Box<dyn Kernel>), Fault> {
        let _ = labels;
        self.bind(inputs)
    }

    /// Input whose values an output holds unchanged, so that its labels stay true.
    fn passes(&self, output: usize) -> Option<usize> {
        let _ = output;
        None
    }
}

/// Computes a per-event op over the events of a batch.
pub trait Kernel: Send {
    /// Fills each output with one entry per event, or sets it absent or constant. An event that
    /// fails is recorded in `errors` and absent in the outputs.
    fn run(
        &mut self,
        events: usize,
        inputs: &[&Column<'_>],
        outputs: &mut [OwnedColumn],
        errors: &mut EventErrors,
    );
    /// The kernel as what takes frames of this type and shape, its only input, in bands, if it can.
    fn banded(&mut self, dtype: DType, axes: &[u32]) -> Option<&mut dyn Banded> {
        let _ = (dtype, axes);
        None
    }
}

/// The table as JSON, for `ami-ctl ops --json`, dashboards and stubs.
pub fn ops_json() -> serde_json::Value {
    OPS.iter().map(|op| op_json(op.doc())).collect()
}

fn op_json(doc: &OpDoc) -> serde_json::Value {
    let inputs = match doc.form {
        Form::None => json!([]),
        Form::Fixed(inputs) => inputs
            .iter()
            .map(|i| json!({"name": i.name, "doc": i.doc, "required": i.required}))
            .collect(),
        Form::Values => {
            json!([{"name": "value…", "doc": "one or more, any names", "required": true}])
        }
        Form::Named => {
            json!([{"name": "…", "doc": "named as the expression uses them", "required": true}])
        }
    };
    let params: Vec<serde_json::Value> = doc
        .params
        .iter()
        .map(|p| {
            json!({"name": p.name, "type": p.kind, "default": p.default, "unit": p.unit,
                   "range": p.range, "doc": p.doc, "required": p.default.is_empty()})
        })
        .collect();
    let outputs: Vec<serde_json::Value> =
        doc.outputs.iter().map(|o| json!({"name": o.name, "doc": o.doc})).collect();
    let kind = match doc.class {
        Class::PerEvent => "per-event",
        Class::Reduction => "reduction",
    };
    let example: serde_json::Value = serde_json::from_str(doc.example).unwrap_or_default();
    json!({"name": doc.name, "summary": doc.summary, "doc": doc.text, "kind": kind,
           "inputs": inputs, "with": doc.with, "params": params,
           "window": doc.class == Class::Reduction, "outputs": outputs, "example": example})
}
