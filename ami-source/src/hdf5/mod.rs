//! HDF5 files, read natively: European XFEL, NeXus, CXI, DECTRIS and others whose first axis is the event.
//!
//! ```text
//! files (links followed) ─► tree: datasets under their names ─► parts: which rows are an event, when it was
//!                                                                  │
//! format ─► dataset ─► column (row by row, as ami has values) ◄────┘─► events, held values, transitions
//! ```
//!
//! The library of C is not used: its structures are walked here, with every number checked, so that a file from
//! anywhere can do no harm ([decision 21](../../../docs/decisions/0021-hdf5-without-its-library.md)).

mod chunked;
pub mod column;
pub mod counts;
pub mod dataset;
pub mod decode;
pub mod files;
pub mod format;
mod held;
mod inspect;
pub mod joined;
mod model;
mod options;
mod part;
mod pulses;
pub mod region;
mod run;
mod source;
mod stamps;
pub mod tree;
mod url;
pub mod writer;
mod xfel;

pub use inspect::inspect;
pub use options::Options;
pub use source::Hdf5Source;
pub use url::Hdf5Url;
