//! `ami-gateway`: see the crate documentation for what it serves.

use ami_proto::process::daemon;
use std::process::ExitCode;

fn main() -> ExitCode {
    daemon::main(daemon::Definition {
        name: "ami-gateway",
        about: "Serves published features in other systems' protocols (karabo-bridge)",
        role: |_| Some("gateway"),
        check: ami_gateway::check,
        run: ami_gateway::run,
    })
}
