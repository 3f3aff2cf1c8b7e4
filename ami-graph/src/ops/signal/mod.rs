//! Waveforms: filters, edges, peaks, fits, Fourier transforms.

pub(in crate::ops) mod cfd;
pub(in crate::ops) mod edge;
pub(in crate::ops) mod fit_line;
pub(in crate::ops) mod fit_peak;
pub(in crate::ops) mod fourier;
pub(in crate::ops) mod interp;
pub(in crate::ops) mod peaks;
pub(in crate::ops) mod rotate;
pub(in crate::ops) mod smooth;
