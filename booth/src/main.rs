//! The command `booth`.

use clap::Parser as _;
use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    booth::cli::main(booth::cli::Args::parse()).await
}
