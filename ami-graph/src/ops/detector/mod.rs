//! Images of detectors: corrections, geometry, peaks.

pub(in crate::ops) mod assemble;
pub(in crate::ops) mod azimuthal;
pub(in crate::ops) mod blobs;
pub(in crate::ops) mod calibrate;
pub(in crate::ops) mod centroid;
pub(in crate::ops) mod images;
pub(in crate::ops) mod mask;
pub(in crate::ops) mod peakfinder8;
pub(in crate::ops) mod polar;
