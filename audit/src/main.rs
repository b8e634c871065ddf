//! `audit verify RECORD [--rpc URL] [--json]`

use audit::{Options, verify};
use clap::{Parser, Subcommand};
use std::{io::Write as _, path::PathBuf, process::ExitCode};

/// The stranger: an exported election record in; yes, or the first lie.
#[derive(Debug, Parser)]
#[command(version)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Judges a record. Exit code 0: valid; 1: invalid, with the first lie; 2: nothing to judge.
    Verify {
        /// Folder with the record.
        record: PathBuf,
        /// Solana RPC at which the anchors are looked up.
        #[arg(long, value_name = "URL")]
        rpc: Option<String>,
        /// One JSON object instead of text.
        #[arg(long)]
        json: bool,
    },
}

fn main() -> ExitCode {
    let Command::Verify { record, rpc, json } = Args::parse().command;
    let report = verify(&record, &Options { rpc });
    let text = if json { format!("{}\n", report.to_json()) } else { report.to_text() };
    // Whoever closed the pipe still gets the verdict, as exit code.
    let _ = std::io::stdout().write_all(text.as_bytes());
    ExitCode::from(report.verdict.exit_code())
}
