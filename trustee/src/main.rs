//! The trustee's daemon and its operator's commands.

use std::process::ExitCode;

fn main() -> ExitCode {
    trustee::cli::main()
}
