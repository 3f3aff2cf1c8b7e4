//! The `ami-manager` daemon: see the crate documentation.

use ami_proto::process::daemon::{self, Definition};
use std::process::ExitCode;

fn main() -> ExitCode {
    daemon::main(Definition {
        name: "ami-manager",
        about: "Holds the versioned graphs, edited by several people at once",
        role: |_| Some("manager"),
        check: ami_manager::check,
        run: ami_manager::run,
    })
}
