//! The gateway's loop: features in, trains out, requests answered.

use crate::heartbeats::Gathering;
use crate::karabo::{Karabo, Pattern};
use ami_proto::client::store::{Store, Subscription};
use ami_proto::config::Config;
use ami_proto::control::member_to_manager::Role;
use ami_proto::control::reporter::Reporter;
use ami_proto::process::daemon::Daemon;
use ami_proto::security::credentials::is_open;
use ami_proto::socket;
use anyhow::ensure;
use std::time::Duration;

/// Longest sleep; everything that matters wakes it earlier.
const TICK: Duration = Duration::from_millis(100);
/// Most features taken before requests have their turn.
const BATCH: usize = 256;

/// Checks what the configuration's form does not show.
///
/// # Errors
/// When there is nothing to serve, or no such way.
pub fn check(config: &Config) -> anyhow::Result<()> {
    let gateway = &config.gateway;
    ensure!(
        !gateway.karabo.is_empty(),
        "nothing to serve: give gateway.karabo an address, as tcp://*:45000"
    );
    Pattern::read(&gateway.karabo_pattern).map(|_| ())
}

/// Runs until asked to stop.
///
/// # Errors
/// When sockets cannot be made.
pub fn run(config: &Config, daemon: &mut Daemon) -> anyhow::Result<()> {
    let mut server = Server::new(config, daemon)?;
    daemon.ready(&format!("karabo-bridge at {}", config.gateway.karabo));
    while !daemon.stopping() {
        server.turn(daemon)?;
    }
    Ok(())
}

struct Server {
    features: Subscription,
    gathering: Gathering,
    karabo: Karabo,
    reporter: Reporter,
    taken: u64,
    garbled: u64,
}

impl Server {
    fn new(config: &Config, daemon: &Daemon) -> anyhow::Result<Server> {
        let gateway = &config.gateway;
        let prefixes: Vec<String> = match &gateway.graphs[..] {
            [] => vec![String::new()],
            graphs => graphs.iter().map(|graph| format!("{graph}/")).collect(),
        };
        if is_open(&gateway.karabo) {
            let address = &gateway.karabo;
            tracing::warn!(
                address,
                "open to the network without keys: whoever reaches it can read"
            );
        }
        let karabo = Karabo::bind(&gateway.karabo, Pattern::read(&gateway.karabo_pattern)?)?;
        Ok(Server {
            features: Store::new(config).subscribe(&prefixes)?,
            gathering: Gathering::default(),
            karabo,
            reporter: Reporter::new(&daemon.context, config, daemon, Role::Gateway, "gateway")?,
            taken: 0,
            garbled: 0,
        })
    }

    fn turn(&mut self, daemon: &mut Daemon) -> anyhow::Result<()> {
        for _ in 0..BATCH {
            if !self.feature()? {
                break;
            }
        }
        self.karabo.serve()?;
        while self.reporter.announcement().is_some() {}
        self.report(daemon);
        daemon.beat();
        let inlets = [self.features.inlet(), self.reporter.inlet()];
        let requests = self.karabo.wakes()?;
        Ok(socket::wait_for_any(inlets.into_iter(), std::iter::once(requests), TICK)?)
    }

    /// Takes the next feature; false when none is there.
    fn feature(&mut self) -> anyhow::Result<bool> {
        match self.features.next(Duration::ZERO) {
            Ok(None) => return Ok(false),
            Ok(Some(feature)) => {
                self.taken += 1;
                if let Some(heartbeat) = self.gathering.take(feature) {
                    self.karabo.publish(&heartbeat)?;
                }
            }
            Err(ami_proto::client::error::ClientError::Garbled { reason, .. }) => {
                self.garbled += 1;
                if self.garbled.is_power_of_two() {
                    tracing::warn!(reason, total = self.garbled, "feature left out");
                }
            }
            Err(error) => return Err(error.into()),
        }
        Ok(true)
    }

    fn report(&mut self, daemon: &Daemon) {
        if !self.reporter.due() {
            return;
        }
        let (metrics, counts) = (&daemon.metrics, self.karabo.counts);
        for (name, value) in [
            ("ami_features_total", self.taken),
            ("ami_features_garbled_total", self.garbled),
            ("ami_heartbeats_torn_total", self.gathering.torn),
            ("ami_karabo_trains_total", counts.trains),
            ("ami_karabo_sent_total", counts.sent),
            ("ami_karabo_unsent_total", counts.unsent),
            ("ami_karabo_requests_total", counts.requests),
            ("ami_karabo_bad_requests_total", counts.bad_requests),
        ] {
            metrics.set(name, value as f64);
        }
        metrics.set("ami_karabo_clients", self.karabo.peers() as f64);
        let state = if self.taken > 0 { "running" } else { "waiting for features" };
        self.reporter.state(state);
        self.reporter.send(daemon);
    }
}
