//! From the configuration to the ventilator's parts.

use crate::flow::past::{Inheritance, Journal, inherit};
use crate::flow::{Flow, Limits};
use crate::pump::timeline::{Rules, Timeline};
use crate::pump::{Options, Pump};
use ami_proto::config::Config;
use ami_proto::data_path::ids::host_number;
use ami_shm::{Leftover, RingConfig, RingError, RingReader, RingWriter};
use ami_source::source::Source;
use ami_source::url::{Epoch, Overload, SourceSpec};

/// Room in the ring file for what must outlive the ventilator.
const JOURNAL: usize = 1 << 20;

/// The pump of a source, into a ring that was made for this life.
pub fn make_pump(
    config: &Config,
    spec: &SourceSpec,
    identity: String,
    source: Box<dyn Source>,
    ring: RingWriter,
) -> Pump {
    let flow = Flow::new(ring.epoch(), limits(config));
    let timeline = Timeline::new(rules(config, spec, source.canned()));
    let options = options(config, spec, identity, source.clocked());
    Pump::new(source, ring, flow, timeline, options)
}

/// Limits of the flow.
fn limits(config: &Config) -> Limits {
    Limits {
        credits: config.ventilator.credits as u64,
        // Of 0 the ventilator makes a number as it runs, see `Processors`.
        busy_lanes: config.ventilator.busy_lanes.max(1),
        flushes_in_flight: config.ventilator.flushes_in_flight,
        repeat_ns: config.collector.resend_ms * 1_000_000,
    }
}

/// Options of the pump, for a source whose timestamps grow as time passes or not.
fn options(config: &Config, spec: &SourceSpec, source: String, clocked: bool) -> Options {
    Options {
        source,
        host: host_number(&config.instance.host),
        chunk_events: config.ventilator.chunk_events,
        chunk_bytes: config.ventilator.chunk_bytes.min(config.ventilator.ring_bytes / 16),
        workers: config.ventilator.workers,
        wait_for_graph: config.ventilator.wait_for_graph,
        drop: drops(config, spec),
        clocked: clocked && spec.epoch != Epoch::Counter,
        idle_close_ns: config.heartbeat.idle_close_ms * 1_000_000,
        cap_ns: config.heartbeat.cap_ms * 1_000_000,
    }
}

fn drops(config: &Config, spec: &SourceSpec) -> bool {
    match config.ventilator.overload.as_str() {
        "drop" => true,
        "block" => false,
        _ => spec.overload == Overload::Drop,
    }
}

/// How this source's timestamps become heartbeats.
fn rules(config: &Config, spec: &SourceSpec, canned: bool) -> Rules {
    let counter = spec.epoch == Epoch::Counter;
    let skew = config.ventilator.max_skew_s.saturating_mul(1_000_000_000);
    Rules {
        period: if counter { config.heartbeat.events } else { config.period_ns() },
        max_skew: (!canned && !counter).then_some(skew),
        max_back: skew,
        confirm: config.ventilator.skew_confirm,
    }
}

/// Rings of this instance and host.
fn prefix(config: &Config, host: &str) -> String {
    format!("ami-{}-{host}-", config.instance.name)
}

/// The rings of dead lives of this instance and host, and what they left.
pub fn dead_rings(config: &Config, host: &str) -> (Vec<Leftover>, Inheritance) {
    let found = ami_shm::leftovers(&config.ventilator.ring_dir, &prefix(config, host));
    let dead: Vec<Leftover> =
        found.unwrap_or_default().into_iter().filter(|leftover| !leftover.alive).collect();
    let mut journals = Vec::new();
    for leftover in &dead {
        let path = leftover.path.display();
        let Ok(ring) = RingReader::open(&leftover.path) else { continue };
        let Some(journal) = ring.journal_read() else { continue };
        match Journal::decode(&journal, ring.tally_read().as_deref()) {
            Ok(journal) => {
                tracing::info!(ring = %path, epoch = journal.life.epoch, "taking over from a dead ventilator");
                journals.push(journal);
            }
            Err(error) => tracing::warn!(
                ring = %path, %error,
                "what a dead ventilator left cannot be read: its undecided events are not declared"
            ),
        }
    }
    (dead, inherit(journals))
}

/// The ring of this life. Those of dead lives make room for it only if they must: until this life
/// has written its own journal they are all that is known.
///
/// # Errors
/// When there is no room or no permission for it.
pub fn make_ring(
    config: &Config,
    host: &str,
    epoch: u64,
    dead: &[Leftover],
) -> anyhow::Result<RingWriter> {
    let path = config.ventilator.ring_dir.join(format!("{}{epoch}.ring", prefix(config, host)));
    let ring = RingConfig {
        capacity: config.ventilator.ring_bytes,
        lanes: config.ventilator.lanes,
        journal: JOURNAL.max(config.ventilator.flushes_in_flight.saturating_mul(512)),
        huge_pages: config.ventilator.huge_pages,
        populate: true,
    };
    match RingWriter::create(&path, epoch, &ring) {
        Err(RingError::NoSpace { .. }) if !dead.is_empty() => {
            remove(dead);
            Ok(RingWriter::create(&path, epoch, &ring)?)
        }
        made => Ok(made?),
    }
}

/// Removes the rings of dead lives.
pub fn remove(dead: &[Leftover]) {
    for leftover in dead {
        tracing::info!(ring = %leftover.path.display(), "removing the ring of a dead ventilator");
        if let Err(error) = leftover.remove() {
            tracing::warn!(%error, "the ring of a dead ventilator stays");
        }
    }
}
