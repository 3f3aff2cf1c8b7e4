//! What a facility's formats and wires become: events and transitions, the same for every reader.
//!
//! ```text
//! sim │ xtc2 ─► range (start, events) ─► looped (loop) ─► reopened (errors, restarts) ─► paced (pace) ─► reader
//! ```
//!
//! [`SourceSpec`] reads a source URL; [`open`] builds the chain it describes. What a source promises
//! is [`source::Source`]; `tests/source_contract.rs` holds every source and adaptor to it. The reader
//! is the ventilator, or a program that goes over a whole recorded run.

pub mod adaptors;
mod brackets;
mod hints;
mod identity;
pub mod inspect;
pub mod sim;
pub mod source;
pub mod timed;
pub mod url;
pub mod xtc2;

pub use identity::identity;
pub use timed::Timed;
pub use url::{Epoch, Overload, Pace, SourceKind, SourceSpec};

use adaptors::looped::Looped;
use adaptors::paced::Paced;
use adaptors::range::Range;
use adaptors::reopened::Reopened;
use sim::{SimConfig, SimSource};
use source::Source;
use std::sync::Arc;
use std::time::Instant;
use xtc2::{Xtc2Options, Xtc2Source};

/// What a pass over the source is made of, and the pace it wants when the URL names none.
struct Opener {
    open: Box<dyn FnMut() -> anyhow::Result<Box<dyn Timed>>>,
    pace: Pace,
}

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
    let pace = opener(spec, host, host_name)?.pace;
    let began = Instant::now();
    let clock = move || began.elapsed().as_nanos() as u64;
    let (again, name) = (spec.clone(), host_name.to_string());
    let open = Box::new(move || chain(&again, host, &name));
    let source = Box::new(Reopened::new(open, taken, Box::new(clock))?);
    Ok(match spec.pace.unwrap_or(pace) {
        Pace::Max => source,
        pace => Box::new(Paced::new(source, pace, Box::new(clock))),
    })
}

/// The source from its beginning, with range and loop.
fn chain(spec: &SourceSpec, host: u32, host_name: &str) -> anyhow::Result<Box<dyn Source>> {
    let mut open = opener(spec, host, host_name)?.open;
    let (start, events) = (spec.start, spec.events);
    let mut ranged = move || -> anyhow::Result<Box<dyn Timed>> {
        let inner = open()?;
        Ok(if start > 0 || events.is_some() {
            Box::new(Range::new(inner, start, events))
        } else {
            inner
        })
    };
    Ok(match spec.loops {
        Some(1) => ranged()?,
        passes => Box::new(Looped::new(Box::new(ranged), passes)?),
    })
}

fn opener(spec: &SourceSpec, host: u32, host_name: &str) -> anyhow::Result<Opener> {
    match &spec.kind {
        SourceKind::Sim { name, rate_hz, seed } => {
            let mut config = SimConfig::load(name)?;
            config.rate_hz = rate_hz.unwrap_or(config.rate_hz);
            config.seed = seed.unwrap_or(config.seed);
            if let Some(events) = spec.events {
                // The range adaptor skips `start` of them, so the simulation closes by itself.
                config.events = Some(spec.start.saturating_add(events));
            }
            let pace = config.pace()?;
            let model = Arc::new(sim::Model::new(&config, host, host_name)?);
            let open = Box::new(move || -> anyhow::Result<Box<dyn Timed>> {
                Ok(Box::new(SimSource::new(model.clone())))
            });
            Ok(Opener { open, pace })
        }
        SourceKind::Xtc2(paths) => {
            let (paths, options) = (paths.clone(), Xtc2Options { epoch: spec.epoch });
            let open = Box::new(move || -> anyhow::Result<Box<dyn Timed>> {
                Ok(Box::new(Xtc2Source::open(&paths, &options)?))
            });
            Ok(Opener { open, pace: Pace::Max })
        }
    }
}
