//! Detectors of DECTRIS: their streams, version 1 (JSON and blobs) and 2 (CBOR), told apart by the
//! messages themselves.
//!
//! ```text
//! message ─► v1 │ v2 ─► Said (start, image, end) ─► Series: Configure, run, events, lost frames
//!                                                      │
//!                          image: lz4, bslz4 or raw ───┴─► decoded where it is to lie, in the ring
//! ```
//!
//! An image is looked at when it comes and decoded when it is written, so that none is decoded that
//! the ventilator drops.

mod cbor;
mod date;
mod frames;
mod held;
mod image;
pub mod samples;
mod series;
mod url;
mod v1;
mod v2;

pub use series::Series;
pub use url::DectrisUrl;

use ami_graph::data::value::{DType, Value};
use image::Plane;

/// What a message says.
#[derive(Debug, PartialEq)]
enum Said {
    /// A series begins.
    Start(Start),
    /// An image.
    Image(Image),
    /// A series has ended.
    End(u64),
}

/// The header of a series.
#[derive(Debug, Default, PartialEq)]
struct Start {
    series: u64,
    /// When the detector was armed, ns since 1970.
    at_ns: Option<u64>,
    /// What it says about the series, by name.
    held: Vec<(String, Value)>,
    /// Tables that were left out since they are too large or of an unknown kind.
    left_out: u64,
    /// What images will be, as far as it says so.
    channels: Vec<Channel>,
}

/// Images of one threshold.
#[derive(Debug, Clone, PartialEq)]
struct Channel {
    name: String,
    dtype: DType,
    /// Rows, columns; what is unknown has none.
    shape: Option<Vec<usize>>,
    rank: usize,
}

/// An image, of one or several channels.
#[derive(Debug, Default, PartialEq)]
struct Image {
    series: u64,
    frame: u64,
    /// When the series began, ns since 1970.
    date_ns: Option<u64>,
    /// Since then, ns.
    start_ns: Option<u64>,
    stop_ns: Option<u64>,
    real_ns: Option<u64>,
    planes: Vec<Plane>,
    /// Channels of a kind that is not read.
    unsupported: u64,
}

/// Why a message says nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Nonsense {
    /// Neither of the two protocols.
    Unknown,
    /// It breaks off, or is not what its protocol wants.
    Damaged,
}

/// Reads a message of either version.
fn read(message: &crate::live::Message, tables: usize) -> Result<Said, Nonsense> {
    match message.frame(0).first() {
        Some(b'{') => v1::read(message, tables),
        // A map, of a known length or not.
        Some(0xa0..=0xbf) if message.frames.len() == 1 => v2::read(message.frame(0), tables),
        _ => Err(Nonsense::Unknown),
    }
}

#[cfg(test)]
mod tests;
