//! `ami-ctl node …`: code of your own, written, looked at and tried before it is in a graph.

mod check;
mod code;
mod columns;
mod describe;
mod events;
mod inputs;
mod new;
mod report;
mod source;
mod workshop;

pub use code::Code;
pub use workshop::{INTERRUPTED, Workshop};

use crate::client::system::{Globals, System};
use ami_python::DEFAULT_ENV;
use std::path::PathBuf;
use std::process::ExitCode;

/// What `--set` does there beside what it does everywhere.
const SET: &str = "--set PARAM=VALUE (no dot in the name) sets a parameter of the node. \
                   Give every --set behind `check`: they replace those before it.";

/// What to do.
#[derive(Debug, clap::Subcommand)]
pub enum Node {
    /// Write a file with a node to begin with
    New(new::Args),
    /// Inputs, outputs and parameters of the nodes in a file
    Describe(Which),
    /// Run a node on events: values, cost, failures, and whether it may be split over workers
    #[command(after_help = SET)]
    Check(check::Args),
}

/// Which code, and what runs it.
#[derive(Debug, clap::Args)]
pub struct Which {
    /// The file, and which node in it if there are several
    #[arg(value_name = "FILE[:NAME]")]
    code: PathBuf,
    /// The environment that runs it, of [python.envs] in the configuration
    #[arg(long, value_name = "NAME", default_value = DEFAULT_ENV)]
    env: String,
}

/// Runs one of them.
///
/// # Errors
/// When a file cannot be read or written, or the code is wrong.
pub fn run(node: &Node, globals: &Globals) -> anyhow::Result<ExitCode> {
    match node {
        Node::New(args) => new::run(args, globals.json),
        Node::Describe(which) => describe::run(which, &System::find(globals)?),
        Node::Check(args) => {
            // `--set` of the configuration has a dot in its key, a parameter in Python cannot.
            let (parameters, globals) = check::parameters(globals)?;
            check::run(args, parameters, &System::find(&globals)?)
        }
    }
}
