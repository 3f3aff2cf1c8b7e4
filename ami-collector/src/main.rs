//! `ami-collector`: see the crate documentation for what a collector does.

use ami_proto::config::CollectorRole;
use ami_proto::process::daemon;
use std::process::ExitCode;

fn main() -> ExitCode {
    daemon::main(daemon::Definition {
        name: "ami-collector",
        about: "Merges partials: of a host's workers (collector.role=host) or of all hosts (root)",
        role: |config| match config.collector.role {
            CollectorRole::Host => Some("collector"),
            CollectorRole::Root => Some("root"),
        },
        check: |_| Ok(()),
        run: ami_collector::run,
    })
}
