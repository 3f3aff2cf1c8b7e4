//! From the configuration to the ventilator's parts.

use crate::flow::Limits;
use crate::pump::Options;
use crate::sources::url::{Epoch, Overload, SourceSpec};
use crate::timeline::Rules;
use ami_proto::config::Config;
use ami_shm::{RingConfig, RingWriter};

/// Room in the ring file for what must outlive the ventilator.
const JOURNAL: usize = 1 << 20;

/// Limits of the flow.
pub fn limits(config: &Config) -> Limits {
    Limits {
        credits: config.ventilator.credits as u64,
        flushes_in_flight: config.ventilator.flushes_in_flight,
        repeat_ns: config.collector.resend_ms * 1_000_000,
    }
}

/// Options of the pump.
pub fn options(config: &Config, spec: &SourceSpec, host: u32) -> Options {
    Options {
        host,
        chunk_events: config.ventilator.chunk_events,
        chunk_bytes: config.ventilator.chunk_bytes.min(config.ventilator.ring_bytes / 16),
        workers: config.ventilator.workers,
        wait_for_graph: config.ventilator.wait_for_graph,
        drop: drops(config, spec),
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
pub fn rules(config: &Config, spec: &SourceSpec, canned: bool) -> Rules {
    let counter = spec.epoch == Epoch::Counter;
    let skew = config.ventilator.max_skew_s.saturating_mul(1_000_000_000);
    Rules {
        period: if counter { config.heartbeat.events } else { config.period_ns() },
        max_skew: (!canned && !counter).then_some(skew),
        max_back: skew,
        confirm: config.ventilator.skew_confirm,
    }
}

/// The ring of this life; those of dead ones of this instance and host are removed.
///
/// # Errors
/// When there is no room or no permission for it.
pub fn make_ring(config: &Config, host: &str, epoch: u64) -> anyhow::Result<RingWriter> {
    let dir = &config.ventilator.ring_dir;
    let prefix = format!("ami-{}-{host}-", config.instance.name);
    for leftover in ami_shm::leftovers(dir, &prefix).unwrap_or_default() {
        if !leftover.alive {
            tracing::info!(ring = %leftover.path.display(), "removing the ring of a dead ventilator");
            let _ = leftover.remove();
        }
    }
    let ring = RingConfig {
        capacity: config.ventilator.ring_bytes,
        lanes: config.ventilator.lanes,
        journal: JOURNAL,
        huge_pages: config.ventilator.huge_pages,
        populate: false,
    };
    Ok(RingWriter::create(&dir.join(format!("{prefix}{epoch}.ring")), epoch, &ring)?)
}
