//! `ami-ctl graph …`: show, check and edit graphs through the manager.

mod edit;
mod follow;
mod show;
mod validate;
mod watch;

use crate::client::system::System;
use std::path::PathBuf;
use std::process::ExitCode;

pub use edit::{outcome, parameter};

/// What to do.
#[derive(Debug, clap::Subcommand)]
pub enum Graph {
    /// All graphs
    List,
    /// One graph as JSON
    Show {
        /// The graph
        graph: String,
        /// A version of it; the newest unless given
        #[arg(long)]
        version: Option<u64>,
    },
    /// Check files; against the fields on offer, if a manager is there
    Validate {
        /// Graph files; - is standard input
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
    /// The JSON Schema of graphs, for editors
    Schema,
    /// Make the graphs in these files the newest versions
    Apply {
        /// Graph files; - is standard input
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
        /// Follow the file and the code that it names: apply each change that is good, until Ctrl-C
        #[arg(long)]
        watch: bool,
        /// Against which version
        #[command(flatten)]
        base: Base,
        /// How it is made
        #[command(flatten)]
        manner: Manner,
    },
    /// Set parameters of one node
    Set {
        /// The graph
        graph: String,
        /// The node
        node: String,
        /// Parameters: JSON, or text where it is not; null removes one
        #[arg(required = true, value_name = "KEY=VALUE", value_parser = edit::parameter)]
        parameters: Vec<(String, serde_json::Value)>,
        /// Against which version
        #[command(flatten)]
        base: Base,
        /// How it is made
        #[command(flatten)]
        manner: Manner,
    },
    /// Remove a graph, or one node of it
    Rm {
        /// The graph
        graph: String,
        /// The node; the whole graph without it
        node: Option<String>,
        /// Against which version
        #[command(flatten)]
        base: Base,
        /// How it is made
        #[command(flatten)]
        manner: Manner,
    },
    /// What changed between two versions
    Diff {
        /// The graph
        graph: String,
        /// From this version; the one before unless given
        #[arg(long, value_name = "VERSION")]
        from: Option<u64>,
        /// To this version; the newest unless given
        #[arg(long, value_name = "VERSION")]
        to: Option<u64>,
    },
    /// Who changed what, when
    History {
        /// The graph
        graph: String,
    },
    /// Make an old version the newest again
    Rollback {
        /// The graph
        graph: String,
        /// The version to go back to
        version: u64,
        /// Against which version
        #[command(flatten)]
        base: Base,
        /// How it is made
        #[command(flatten)]
        manner: Manner,
    },
    /// Discard accumulated state
    Reset {
        /// The graph
        graph: String,
        /// Nodes; all without any
        nodes: Vec<String>,
        /// How it is made
        #[command(flatten)]
        manner: Manner,
    },
}

/// What an edit was made against.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct Base {
    /// The version that this edit was made against: refused if there is a newer one
    #[arg(long, value_name = "VERSION")]
    base: Option<u64>,
}

/// How an edit is made.
#[derive(Debug, Clone, Copy, Default, clap::Args)]
pub struct Manner {
    /// Do not wait until the version is in effect on all members
    #[arg(long)]
    no_wait: bool,
    /// Give up waiting after this time; the version stays
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    timeout: u64,
}

/// Runs one of them.
///
/// # Errors
/// When a file is wrong, the manager does not answer, or it refuses.
pub fn run(graph: &Graph, system: &System) -> anyhow::Result<ExitCode> {
    match graph {
        Graph::List => show::list(system),
        Graph::Show { graph, version } => show::show(system, graph, *version),
        Graph::Diff { graph, from, to } => show::diff(system, graph, *from, *to),
        Graph::History { graph } => show::history(system, graph),
        Graph::Schema => {
            crate::print::json(&ami_graph::graph::spec::GraphSpec::json_schema())?;
            Ok(ExitCode::SUCCESS)
        }
        Graph::Validate { files } => validate::run(system, files),
        edit => edit::run(system, edit),
    }
}
