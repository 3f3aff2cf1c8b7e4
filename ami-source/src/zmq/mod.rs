//! Messages of any program: a JSON header and raw buffers. The same that ami publishes, so that a second
//! ami feeds on the first.
//!
//! ```text
//! [topic] header buffers … ─► read: names and values ─► Fields: types ─► events ─► answer, where one is asked for
//! ```

mod events;
mod read;
pub mod samples;
mod url;

pub use events::Events;
pub use url::{Pattern, ZmqUrl};

#[cfg(test)]
mod tests;
