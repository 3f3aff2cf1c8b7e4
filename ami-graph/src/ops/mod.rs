//! The operations: one table, one file each. Spec parsing, planning, decoding, `ami-ctl ops` and
//! the tests all read [`OPS`]; adding an op is one file and one line here.

mod array;
mod detector;
mod expression;
mod flow;
mod json;
mod markdown;
pub(crate) mod over_events;
mod signal;
mod user;

pub use json::ops_json;
pub use markdown::markdown;

use crate::op::kind::OpKind;
use std::collections::HashMap;
use std::sync::LazyLock;

/// Name of the operation that is user code.
pub const USER_CODE: &str = "python";

/// Every operation.
pub static OPS: &[&dyn OpKind] = &[
    &flow::constant::Const,
    &flow::expr::ExprOp,
    &flow::gate::Gate,
    &flow::select::Select,
    &array::array_stat::ArrayStat,
    &array::roi::Roi,
    &array::pixel::Pixel,
    &array::take::Take,
    &array::join::Stack,
    &array::join::Concatenate,
    &array::split::Split,
    &array::turn::Rot90,
    &array::turn::Flip,
    &array::turn::Transpose,
    &array::rebin::Rebin,
    &array::array_stat::Project,
    &array::threshold::Threshold,
    &array::normalize::Normalize,
    &array::running::Running::Diff,
    &array::running::Running::Cumsum,
    &signal::interp::Interp,
    &array::combinations::Combinations,
    &detector::azimuthal::Azimuthal,
    &detector::centroid::Centroid,
    &detector::mask::Mask,
    &detector::calibrate::Calibrate,
    &detector::assemble::Assemble,
    &detector::blobs::Blobs,
    &detector::peakfinder8::Peakfinder8,
    &detector::polar::Polar,
    &signal::smooth::Gaussian,
    &signal::smooth::Median,
    &signal::rotate::Rotate,
    &signal::fourier::Fft,
    &signal::fourier::Ifft,
    &signal::fourier::Rfft,
    &signal::fourier::Irfft,
    &signal::peaks::Peaks,
    &signal::cfd::Cfd,
    &signal::edge::Edge,
    &signal::fit_peak::FitPeak,
    &signal::fit_line::FitLine,
    &signal::fit_line::PolyFit,
    &over_events::count::Count,
    &over_events::sum::SUM,
    &over_events::sum::MEAN,
    &over_events::stats::Stats,
    &over_events::extreme::MIN,
    &over_events::extreme::MAX,
    &over_events::hist::Hist,
    &over_events::hist2d::Hist2d,
    &over_events::profile::Profile,
    &over_events::last::Last,
    &over_events::last::Buffer,
    &over_events::last::Sample,
    &over_events::per_frame::PerFrame,
    &over_events::quantile::Quantile,
    &over_events::by_key::ByKey,
    &over_events::by_key::Scan,
    &over_events::unique::Unique,
    &over_events::ewma::Ewma,
    &over_events::linregress::LinRegress,
    &over_events::covariance::Covariance,
    &over_events::rate::Rate,
    &user::python::Python,
];

/// [`OPS`] by name: every state of every partial names its op, and looking through the whole list took
/// nearly half of the time of decoding it.
static BY_NAME: LazyLock<HashMap<&str, &dyn OpKind>> =
    LazyLock::new(|| OPS.iter().map(|op| (op.doc().name, *op)).collect());

/// Names that operations had before, each with its name now. They are accepted for one release; the
/// editor is told.
pub const RENAMED: [(&str, &str); 3] =
    [("concat", "concatenate"), ("correlate", "linregress"), ("fit_poly", "polyfit")];

/// What the operation of this name is called now.
pub fn current_name(name: &str) -> &str {
    RENAMED.into_iter().find(|(old, _)| *old == name).map_or(name, |(_, new)| new)
}

/// The operation of this name, or of this former name.
pub fn find(name: &str) -> Option<&'static dyn OpKind> {
    BY_NAME.get(current_name(name)).copied()
}
