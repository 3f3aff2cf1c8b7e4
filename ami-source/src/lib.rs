//! What a facility's formats and wires become: events and transitions, the same for every reader.
//!
//! ```text
//! sim │ xtc2 ─► range (start, events) ─► looped (loop) ─► reopened (errors, restarts) ─► paced (pace) ─► reader
//!       live ─► range (events) ───────────────────────────────────────────────────────────► paced ─► reader
//! ```
//!
//! [`SourceSpec`] reads a source URL; [`open`] builds the chain it describes. What a source promises
//! is [`source::Source`]; `tests/source_contract.rs` holds every source and adaptor to it. The reader
//! is the ventilator, or a program that goes over a whole recorded run.

pub mod adaptors;
mod brackets;
pub mod codecs;
pub mod dectris;
pub mod hdf5;
mod hints;
mod identity;
pub mod inspect;
pub mod inspect_live;
pub mod karabo;
pub mod kinds;
pub mod live;
mod opener;
pub mod shmem;
pub mod sim;
pub mod source;
pub mod timed;
pub mod url;
pub mod xtc2;
pub mod zmq;

pub use identity::identity;
pub use kinds::SourceKind;
pub use timed::Timed;
pub use url::{Epoch, Overload, Pace, SourceSpec};

use adaptors::looped::Looped;
use adaptors::paced::Paced;
use adaptors::range::Range;
use adaptors::reopened::Reopened;
use opener::{Opened, Opener};
use source::Source;
use std::time::Instant;

/// Opens the source that a URL describes, with its range, loop and pace.
///
/// `host` is the number that orders hosts and, for the simulation, seeds what differs between
/// them; `host_name` is what a person calls it. The first `taken` events are stepped over.
///
/// # Errors
/// When the file or preset does not exist or is not what it should be.
pub fn open(
    spec: &SourceSpec,
    host: u32,
    host_name: &str,
    taken: u64,
) -> anyhow::Result<Box<dyn Source>> {
    let began = Instant::now();
    let clock = move || began.elapsed().as_nanos() as u64;
    let (source, own_pace): (Box<dyn Source>, Pace) =
        match spec.kind.part().open(spec, host, host_name)? {
            Opened::Live(source) => (ranged(source, 0, spec.events), Pace::Max),
            Opened::Canned(Opener { pace, .. }) => {
                let (again, name) = (spec.clone(), host_name.to_string());
                let open = Box::new(move || chain(&again, host, &name));
                (Box::new(Reopened::new(open, taken, Box::new(clock))?), pace)
            }
        };
    Ok(match spec.pace.unwrap_or(own_pace) {
        Pace::Max => source,
        pace => Box::new(Paced::new(source, pace, Box::new(clock))),
    })
}

/// The source from its beginning, with range and loop.
fn chain(spec: &SourceSpec, host: u32, host_name: &str) -> anyhow::Result<Box<dyn Source>> {
    let Opened::Canned(Opener { mut open, .. }) = spec.kind.part().open(spec, host, host_name)?
    else {
        anyhow::bail!("a live source is not opened twice");
    };
    let (start, events) = (spec.start, spec.events);
    let mut pass = move || open().map(|inner| ranged(inner, start, events));
    Ok(match spec.loops {
        Some(1) => pass()?,
        passes => Box::new(Looped::new(Box::new(pass), passes)?),
    })
}

/// The events `start..start + events` of a source.
fn ranged(inner: Box<dyn Timed>, start: u64, events: Option<u64>) -> Box<dyn Timed> {
    if start == 0 && events.is_none() {
        return inner;
    }
    Box::new(Range::new(inner, start, events))
}
