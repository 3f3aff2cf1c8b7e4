//! `ami-store`: see the crate documentation for what the store does.

use ami_proto::process::daemon;
use std::process::ExitCode;

fn main() -> ExitCode {
    daemon::main(daemon::Definition {
        name: "ami-store",
        about: "Keeps published features and serves them to clients",
        role: |_| Some("store"),
        check: |_| Ok(()),
        run: ami_store::run,
    })
}
