//! The `ami-ctl` command: see the crate documentation.

use std::process::ExitCode;

fn main() -> ExitCode {
    ami_ctl::cli::main()
}
