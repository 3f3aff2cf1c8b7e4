//! The one table of addresses: who binds what, and its place in the run directory.

use crate::config::Config;
use crate::security::keys::Role;

/// An address of the system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // the table below says what each is
pub enum Endpoint {
    Ventilator,
    Collector,
    Root,
    Decisions,
    Results,
    Store,
    Query,
    Manager,
    Graphs,
    Reports,
}

/// Endpoint, its ipc file in the run directory, its default tcp port, what it is.
pub const ENDPOINTS: [(Endpoint, &str, u16, &str); 10] = [
    (Endpoint::Ventilator, "ventilator.in", 5560, "ventilator's intake (PULL)"),
    (Endpoint::Collector, "collector.in", 5561, "host collector's intake (PULL)"),
    (Endpoint::Root, "root.in", 5562, "root collector's intake (PULL)"),
    (Endpoint::Decisions, "root.pub", 5563, "root's acknowledgements and decisions (PUB)"),
    (Endpoint::Results, "results.pub", 5564, "root's results (XPUB)"),
    (Endpoint::Store, "store.pub", 5570, "features to clients (XPUB)"),
    (Endpoint::Query, "store.query", 5571, "queries of clients (ROUTER)"),
    (Endpoint::Manager, "manager.cmd", 5572, "commands (ROUTER)"),
    (Endpoint::Graphs, "manager.pub", 5573, "graphs to members (PUB)"),
    (Endpoint::Reports, "manager.in", 5574, "reports of members (PULL)"),
];

impl Endpoint {
    fn configured(self, config: &Config) -> &str {
        let e = &config.endpoints;
        match self {
            Endpoint::Ventilator => &e.ventilator,
            Endpoint::Collector => &e.collector,
            Endpoint::Root => &e.root,
            Endpoint::Decisions => &e.decisions,
            Endpoint::Results => &e.results,
            Endpoint::Store => &e.store,
            Endpoint::Query => &e.query,
            Endpoint::Manager => &e.manager,
            Endpoint::Graphs => &e.graphs,
            Endpoint::Reports => &e.reports,
        }
    }

    /// Name of its ipc file in the run directory.
    pub fn file(self) -> &'static str {
        ENDPOINTS.iter().find(|e| e.0 == self).map_or("", |e| e.1)
    }

    /// What a peer's key must allow where security is on. What a client of the manager may do is
    /// decided command by command.
    pub const fn need(self) -> Role {
        match self {
            Endpoint::Store | Endpoint::Query | Endpoint::Manager => Role::View,
            _ => Role::Daemon,
        }
    }

    /// Where its owner binds.
    pub fn bind(self, config: &Config) -> String {
        match self.configured(config) {
            "" => format!("ipc://{}/{}", config.instance.run_dir.display(), self.file()),
            address => address.to_string(),
        }
    }

    /// Where the others connect: an address that listens on every interface is reached by loopback.
    pub fn connect(self, config: &Config) -> String {
        let address = self.bind(config);
        address.replacen("tcp://*", "tcp://127.0.0.1", 1).replacen(
            "tcp://0.0.0.0",
            "tcp://127.0.0.1",
            1,
        )
    }
}
