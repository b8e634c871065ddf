//! The command `ceremony`.

use clap::Parser as _;
use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    ceremony::cli::main(ceremony::cli::Args::parse()).await
}
