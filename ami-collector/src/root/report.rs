//! What the root reports: numbers, nodes, state.

use crate::root::Root;
use ami_graph::plan::Plan;
use ami_graph::wire::partial::NodeReport;
use ami_proto::control::member_to_manager::NodeErrors;
use ami_proto::health::metrics::Metrics;
use ami_proto::process::daemon::Daemon;

/// Most characters of a reason: it may list a thousand fields.
const MESSAGE: usize = 500;

impl Root {
    pub(super) fn report(&mut self, daemon: &Daemon) {
        if !self.reporter.due() {
            return;
        }
        let (counts, metrics) = (&self.counts, &daemon.metrics);
        metrics.set("ami_heartbeats_total", counts.heartbeats as f64);
        metrics.set("ami_complete_heartbeats_total", counts.complete as f64);
        metrics.set("ami_events_total", counts.events as f64);
        metrics.set("ami_late_events_total", counts.late as f64);
        metrics.set("ami_lost_events_total", counts.lost as f64);
        metrics.set("ami_mismatched_events_total", counts.mismatched as f64);
        metrics.set("ami_flushes_repeated_total", counts.known as f64);
        metrics.set("ami_foreign_messages_total", counts.foreign.total() as f64);
        metrics.set("ami_results_total", self.publisher.messages as f64);
        metrics.set("ami_results_conflated_total", self.outlet.conflated as f64);
        metrics.set("ami_open_heartbeats", self.frames.len() as f64);
        metrics.set("ami_lag_seconds", counts.lag_ns as f64 * 1e-9);
        // The name before, for one release.
        metrics.set("ami_lag_ns", counts.lag_ns as f64);
        for (node, report) in self.node_reports() {
            let name = format!("ami_node_seconds_total{{node=\"{node}\"}}");
            metrics.set(&name, report.cost_ns as f64 / 1e9);
        }
        self.python.metrics().into_iter().for_each(|(name, n)| metrics.set(name, n));
        self.python.tidy();
        let mut nodes = self.node_errors();
        nodes.extend(self.python.failures());
        self.reporter.nodes(nodes);
        self.report_checkpoint(metrics);
        let state = if counts.heartbeats > 0 { "running" } else { "waiting for data" };
        let broken = self.saver.broken.as_ref();
        let state = match broken {
            Some(reason) => format!("{state}; checkpoint not written: {reason}"),
            None => state.to_string(),
        };
        self.reporter.state(&state);
        self.reporter.send(daemon);
    }

    fn report_checkpoint(&self, metrics: &Metrics) {
        let counts = &self.saver.counts;
        let age = self.saver.written_at.map_or(-1.0, |at| at.elapsed().as_secs_f64());
        metrics.set("ami_checkpoints_total", counts.written as f64);
        metrics.set("ami_checkpoints_failed_total", counts.failed as f64);
        metrics.set("ami_checkpoint_bytes", counts.bytes as f64);
        metrics.set("ami_checkpoint_age_seconds", age);
        metrics.set("ami_checkpoint_copy_seconds_max", counts.copied.as_secs_f64());
        metrics.set("ami_checkpoint_write_seconds", counts.took.as_secs_f64());
    }

    /// Reports of all nodes with their names.
    fn node_reports(&self) -> Vec<(String, &NodeReport)> {
        let Some((plan, stage)) = &self.stage else { return Vec::new() };
        let named = names(plan);
        stage.reports().iter().filter_map(|r| Some((named(r.ordinal)?, r))).collect()
    }

    /// Nodes that failed on events, and those that have no value at all.
    fn node_errors(&self) -> Vec<NodeErrors> {
        let failed = self.node_reports().into_iter().filter(|(_, r)| r.errors > 0);
        let failed = failed.map(|(node, r)| NodeErrors {
            node,
            errors: r.errors,
            message: r.message.clone(),
        });
        failed.chain(self.without_value()).collect()
    }

    /// Nodes that are switched off, and those whose state is unusable.
    fn without_value(&self) -> Vec<NodeErrors> {
        let Some((plan, stage)) = &self.stage else { return Vec::new() };
        let off = plan.errors().iter().map(|error| {
            let node = error.node.as_deref().map_or(String::new(), |node| format!("/{node}"));
            (format!("{}{node}", error.graph), format!("switched off: {}", error.why()))
        });
        let named = names(plan);
        let failures = stage.failures().iter();
        let failures = failures.filter_map(|(o, reason)| Some((named(*o)?, reason.clone())));
        off.chain(failures)
            .map(|(node, reason)| NodeErrors {
                node,
                errors: 0,
                message: reason.chars().take(MESSAGE).collect(),
            })
            .collect()
    }
}

/// `graph/node` by ordinal.
fn names(plan: &Plan) -> impl Fn(u32) -> Option<String> {
    let names = plan.set().ordinals();
    move |ordinal| {
        let (graph, node) = names.get(ordinal as usize)?;
        Some(format!("{graph}/{node}"))
    }
}
