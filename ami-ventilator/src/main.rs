//! `ami-ventilator`: see the crate documentation for what a ventilator does.

use ami_proto::process::daemon;
use std::process::ExitCode;

fn main() -> ExitCode {
    if let Some(code) = ami_ventilator::cli::subcommand() {
        return code;
    }
    daemon::main(daemon::Definition {
        name: "ami-ventilator",
        about: ami_ventilator::cli::ABOUT,
        role: |_| Some("ventilator"),
        check: ami_ventilator::check,
        run: ami_ventilator::run,
    })
}
