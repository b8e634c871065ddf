//! The coordinator shard: `coordinator init`, `coordinator run`.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use coordinator::config::Config;
use coordinator::enrol::{self, NewShard};
use coordinator::run;
use runtime::{Shutdown, telemetry};

#[derive(Parser)]
#[command(version, about = "A coordinator shard: orders, relays, records; holds nothing that opens a ballot.")]
struct Arguments {
    /// What to log: a level, or `info,coordinator=debug`.
    #[arg(long, global = true, default_value = "info")]
    log: String,
    /// Log as JSON, one object a line.
    #[arg(long, global = true)]
    log_json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Makes the keys of a new shard, its configuration, and the enrolment that the `ceremony` tool collects.
    Init {
        /// Directory of the shard; made if it is not there.
        #[arg(long)]
        dir: PathBuf,
        /// Its name.
        #[arg(long)]
        name: String,
        /// HOST:PORT at which trustees, officials and other shards reach it.
        #[arg(long)]
        address: String,
        /// HOST:PORT at which voters and the public reach it.
        #[arg(long)]
        public_address: String,
        /// The circle file, relative to the directory.
        #[arg(long, default_value = "circle.toml")]
        circle: PathBuf,
        /// JSON-RPC of the Solana cluster; twice for two that have to agree.
        #[arg(long)]
        rpc: Vec<String>,
    },
    /// Runs the shard.
    Run {
        /// Its configuration.
        #[arg(long)]
        config: PathBuf,
    },
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    telemetry::init(arguments.log_json, &arguments.log)?;
    match arguments.command {
        Command::Init { dir, name, address, public_address, circle, rpc } => {
            let enrolment = enrol::init(&NewShard { dir: dir.clone(), name, address, public_address, circle, rpc })?;
            println!("{}", dir.join("enrol.toml").display());
            println!("identity {}\ntls pin  {}", enrolment.identity, enrolment.tls_pin);
            Ok(())
        }
        Command::Run { config } => {
            let config = Config::load(&config)?;
            runtime::limits::allow_open_files();
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
            let served: anyhow::Result<()> = runtime.block_on(async {
                let shutdown = Shutdown::on_signals().context("signal handlers")?;
                if let Some(address) = config.metrics {
                    runtime::metrics::serve(address, &protocol::invariants::WATCHED)?;
                }
                let running = run::start(&config, &shutdown).await?;
                running.ended().await?;
                Ok(())
            });
            // Blocking work under way is not waited for: everything that counts is durable.
            runtime.shutdown_timeout(std::time::Duration::from_secs(2));
            served
        }
    }
}
