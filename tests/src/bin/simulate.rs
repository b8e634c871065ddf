//! Simulated elections with the real curves. See `simulator`.

use std::process::ExitCode;

fn main() -> ExitCode {
    simulator::cli::main(simulator::cli::Group::Real)
}
