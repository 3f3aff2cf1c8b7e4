//! `ami-worker`: see the crate documentation for what a worker does.

use ami_proto::process::daemon;
use std::process::ExitCode;

fn main() -> ExitCode {
    daemon::main(daemon::Definition {
        name: "ami-worker",
        about: "Runs the worker stage of the graphs over the events in this host's ring",
        role: |_| None,
        check: |_| Ok(()),
        run: ami_worker::run,
    })
}
