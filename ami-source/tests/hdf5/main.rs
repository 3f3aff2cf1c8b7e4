//! HDF5 files, as h5py and other libraries write them, are read as h5py reads them.

// A failed unwrap is a failed test, also in a helper.
#![allow(clippy::unwrap_used)]

mod common;
mod hostile;
mod live;
mod values;
