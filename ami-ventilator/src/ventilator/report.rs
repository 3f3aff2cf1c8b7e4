//! What a ventilator says about itself: metrics and state.

use crate::pump::Pump;
use crate::pump::watchdog::State;
use crate::ventilator::Ventilator;
use ami_proto::health::metrics::Metrics;
use ami_proto::process::daemon::{Daemon, now_ns};
use std::collections::BTreeSet;
use std::time::Instant;

/// How often each field is seen, per second of wall time.
#[derive(Default)]
pub struct FieldRates {
    before: Vec<u64>,
    at: Option<Instant>,
    /// Fields that once were in no event yet.
    never: BTreeSet<String>,
}

impl FieldRates {
    fn set(&mut self, pump: &Pump, metrics: &Metrics) {
        let elapsed = self.at.map_or(0.0, |at| at.elapsed().as_secs_f64());
        let seen: Vec<(&str, u64)> = pump.fields_seen().collect();
        if elapsed > 0.0 && self.before.len() == seen.len() {
            for ((name, now), before) in seen.iter().zip(&self.before) {
                let rate = now.saturating_sub(*before) as f64 / elapsed;
                metrics.set(&format!("ami_field_rate{{field=\"{name}\"}}"), rate);
            }
        }
        let events = pump.counts.taken > 0;
        for (name, count) in pump.event_fields_seen() {
            let never = events && count == 0;
            // Nothing is said of fields that came from the beginning.
            if never || self.never.contains(name) {
                let metric = format!("ami_field_never_present{{field=\"{name}\"}}");
                metrics.set(&metric, f64::from(u8::from(never)));
                self.never.insert(name.to_owned());
            }
        }
        self.before = seen.into_iter().map(|(_, count)| count).collect();
        self.at = Some(Instant::now());
    }
}

impl Ventilator {
    pub(super) fn report(&mut self, daemon: &Daemon) {
        if !self.reporter.due() {
            return;
        }
        let (counts, metrics) = (&self.pump.counts, &daemon.metrics);
        metrics.set("ami_events_total", counts.taken as f64);
        metrics.set("ami_late_events_total", counts.late as f64);
        metrics.set("ami_foreign_messages_total", self.foreign.total() as f64);
        metrics.set("ami_heartbeats_total", counts.heartbeats as f64);
        for (reason, count) in &counts.dropped {
            metrics.set(&format!("ami_dropped_events_total{{reason=\"{reason}\"}}"), *count as f64);
        }
        for (name, count) in self.pump.source_counters() {
            metrics.set(&format!("ami_source_total{{what=\"{name}\"}}"), count as f64);
        }
        self.rates.set(&self.pump, metrics);
        self.watch_metrics(metrics);
        metrics.set("ami_quarantined_units_total", self.quarantine.units as f64);
        for file in &self.quarantine.files {
            let name = format!("ami_quarantined_unit{{file=\"{}\"}}", file.display());
            metrics.set(&name, 1.0);
        }
        let ring = &self.pump.ring;
        metrics.set("ami_ring_bytes", ring.capacity() as f64);
        metrics.set("ami_ring_used_bytes", (ring.capacity() - ring.free()) as f64);
        metrics.set("ami_lanes", self.seats.len() as f64);
        metrics.set("ami_flushes_in_flight", self.pump.flow.in_flight() as f64);
        metrics.set("ami_flushes_decided_total", self.pump.flow.watermark() as f64);
        metrics.set("ami_units_pending", self.pump.flow.pending_units() as f64);
        let conditions = self.pump.conditions();
        metrics.set("ami_run", f64::from(conditions.run));
        // No step is no number.
        metrics.set("ami_step", conditions.step.map_or(f64::NAN, f64::from));
        metrics.set("ami_drained", f64::from(u8::from(self.pump.drained())));
        let schema = self.pump.schema().map(|s| (**s).clone());
        self.reporter.schema(schema);
        self.reporter.state(self.state.name());
        self.reporter.send(daemon);
    }

    /// How the source is, how old its data are, and what is kept of them.
    fn watch_metrics(&self, metrics: &Metrics) {
        for state in State::ALL {
            let name = format!("ami_source_state{{state=\"{}\"}}", state.label());
            let is = state.label() == self.state.label();
            metrics.set(&name, f64::from(u8::from(is)));
        }
        metrics.set("ami_source_silence_seconds", self.watchdog.silence().as_secs_f64());
        if let Some(newest) = self.pump.newest().filter(|_| !self.counter) {
            let offset = now_ns() as f64 - newest as f64;
            metrics.set("ami_source_clock_offset_seconds", offset / 1e9);
        }
        let backlog = self.pump.flow.backlog();
        metrics.set("ami_kept_ratio", self.pump.thinner.share());
        // The name before, for one release.
        metrics.set("ami_kept_share", self.pump.thinner.share());
        metrics.set("ami_undone_heartbeats", backlog.heartbeats as f64);
        metrics.set("ami_waiting_events", backlog.waiting as f64);
    }
}
