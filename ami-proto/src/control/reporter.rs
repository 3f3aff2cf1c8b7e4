//! A member's side of the manager: reads announcements, sends reports. Never waits for it.

use crate::codec;
use crate::config::Config;
use crate::control::manager_to_members::Announce;
use crate::control::member_to_manager::{NodeErrors, Prepared, Report, Role};
use crate::process::daemon::{Daemon, now_ns};
use crate::socket::endpoint::Endpoint;
use crate::socket::{self, Inlet, Queue, Socket};
use ami_graph::data::schema::Schema;
use std::time::{Duration, Instant};

/// How often a member reports when nothing changes.
const INTERVAL: Duration = Duration::from_secs(1);
/// How soon it tries again when the manager did not take a report: it may just be starting.
const AGAIN: Duration = Duration::from_millis(100);

/// The two sockets to the manager, and what was said last.
pub struct Reporter {
    announcements: Inlet,
    reports: Socket,
    report: Report,
    sent: Option<Instant>,
    /// The manager took the last report.
    taken: bool,
    /// systemd knows the state.
    told: bool,
    frames: Vec<zmq::Message>,
}

impl Reporter {
    /// Connects; the manager may come later, or never.
    ///
    /// # Errors
    /// When an address is senseless.
    pub fn new(
        context: &socket::Context,
        config: &Config,
        daemon: &Daemon,
        role: Role,
        name: &str,
    ) -> Result<Reporter, socket::SocketError> {
        let queue = Queue::Bounded(64);
        let announcements = socket::connect(
            context,
            zmq::SUB,
            queue,
            &Endpoint::Graphs.connect(config),
            "manager's graphs",
        )?;
        let reports = socket::connect(
            context,
            zmq::PUSH,
            queue,
            &Endpoint::Reports.connect(config),
            "manager's reports",
        )?;
        let report = Report {
            role,
            name: name.to_string(),
            host: config.instance.host.clone(),
            pid: std::process::id(),
            life: daemon.life,
            state: "starting".into(),
            version: 0,
            prepared: None,
            schema: None,
            metrics: Vec::new(),
            nodes: Vec::new(),
        };
        // Reports of a stopped manager are worth nothing: an exit does not wait for them.
        let _ = reports.set_linger(0);
        Ok(Reporter {
            announcements: announcements.into(),
            reports,
            report,
            sent: None,
            taken: false,
            told: false,
            frames: Vec::new(),
        })
    }

    /// To wait for announcements.
    pub fn inlet(&self) -> &Inlet {
        &self.announcements
    }

    /// The next announcement of those that were there at the last wait, with the graph set's JSON.
    pub fn announcement(&mut self) -> Option<(Announce, Vec<u8>)> {
        while self.announcements.receive(&mut self.frames).ok()? {
            match &self.frames[..] {
                [header, json] => match codec::decode(header) {
                    Ok(announce) => return Some((announce, json.to_vec())),
                    Err(error) => tracing::warn!(%error, "announcement ignored"),
                },
                frames => {
                    tracing::warn!(frames = frames.len(), "announcement ignored: not two frames");
                }
            }
        }
        None
    }

    /// Answers a version in preparation.
    pub fn prepared(&mut self, version: u64, refused: Vec<String>) {
        self.report.prepared = Some(Prepared { version, refused });
        self.sent = None;
    }

    /// The version in effect here.
    pub fn active(&mut self, version: u64) {
        if self.report.version != version {
            self.report.version = version;
            self.sent = None;
        }
    }

    /// How it is.
    pub fn state(&mut self, state: &str) {
        if self.report.state != state {
            self.report.state = state.to_string();
            self.sent = None;
            self.told = false;
        }
    }

    /// Fields on offer.
    pub fn schema(&mut self, schema: Option<Schema>) {
        self.report.schema = schema;
        self.sent = None;
    }

    /// Nodes with errors.
    pub fn nodes(&mut self, nodes: Vec<NodeErrors>) {
        self.report.nodes = nodes;
    }

    /// Whether a report is due by time or because something changed: gather numbers then.
    pub fn due(&self) -> bool {
        let interval = if self.taken { INTERVAL } else { AGAIN };
        self.sent.is_none_or(|s| s.elapsed() >= interval)
    }

    /// Sends the report.
    pub fn send(&mut self, daemon: &Daemon) {
        if !std::mem::replace(&mut self.told, true) {
            daemon.status(&self.report.state);
        }
        self.sent = Some(Instant::now());
        self.report.metrics = daemon.metrics.snapshot();
        self.report.metrics.push(("ami_metrics_port".into(), f64::from(daemon.metrics_port)));
        self.report.metrics.push(("ami_report_time_ns".into(), now_ns() as f64));
        // A full queue means that nobody reads: the next report says it all again.
        self.taken = matches!(socket::send(&self.reports, [codec::encode(&self.report)]), Ok(true));
    }
}
