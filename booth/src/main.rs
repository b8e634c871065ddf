//! The command `booth`.

use clap::Parser as _;
use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    booth::command::main(booth::command::Args::parse()).await
}
