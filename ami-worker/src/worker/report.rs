//! What a worker reports: numbers, code that failed, state.

use super::Worker;
use ami_proto::process::daemon::Daemon;
use std::time::{Duration, Instant};

impl Worker {
    pub(super) fn report(&mut self, daemon: &Daemon) {
        if !self.reporter.due() {
            return;
        }
        let elapsed = self.since.elapsed().as_secs_f64();
        daemon.metrics.set("ami_events_total", self.work.events as f64);
        daemon.metrics.set("ami_foreign_messages_total", self.foreign.total() as f64);
        daemon.metrics.set("ami_units_total", self.work.done as f64);
        daemon.metrics.set("ami_bytes_total", self.work.bytes as f64);
        if elapsed > 0.2 {
            daemon.metrics.set("ami_busy_ratio", self.busy.as_secs_f64() / elapsed);
            // The name before, for one release.
            daemon.metrics.set("ami_busy_fraction", self.busy.as_secs_f64() / elapsed);
            (self.busy, self.since) = (Duration::ZERO, Instant::now());
        }
        self.python.metrics().into_iter().for_each(|(name, n)| daemon.metrics.set(name, n));
        self.python.tidy();
        self.reporter.nodes(self.python.failures());
        if self.seat.is_none() {
            self.reporter.state("waiting for the ventilator");
        } else if self.work.done > 0 {
            self.reporter.state("running");
        } else {
            self.reporter.state("idle");
        }
        self.reporter.send(daemon);
    }
}
