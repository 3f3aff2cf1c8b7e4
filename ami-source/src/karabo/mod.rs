//! karabo-bridge: trains of the European XFEL, protocols 1.0 and 2.x.
//!
//! ```text
//! message ─► read: parts by source ─► Matching by train id ─► Fields: names and types ─► events
//! ```
//!
//! One train is one event, or one for each pulse (`pulses=events`). Arrays stay in the message until they
//! are written where they are to lie.

mod matching;
mod msgpack;
mod read;
pub mod samples;
mod split;
mod trains;
mod url;

pub use trains::Trains;
pub use url::{KaraboUrl, Pattern, Pulses};

#[cfg(test)]
mod tests;
