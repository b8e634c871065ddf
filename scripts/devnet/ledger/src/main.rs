//! A local Solana ledger for the demo and the tests: Surfpool, offline, loopback only.
//!
//! Differs from plain Surfpool where that would let a test pass for the wrong reason: signatures are
//! always checked (`skipSigVerify` is ignored), cheatcodes are locked out before the ledger says that it
//! is ready, and the genesis hash stays the same when a kept data directory is opened again.

use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::PathBuf,
    time::Duration,
};

use clap::Parser;
use crossbeam_channel::{Receiver, Sender, unbounded};
use surfpool_core::{
    start_local_surfnet,
    surfnet::svm::{SurfnetSvm, SurfnetSvmConfig},
};
use surfpool_types::{RpcConfig, SimnetCommand, SimnetConfig, SimnetEvent, SurfpoolConfig};
use tokio::signal::unix::{SignalKind, signal};

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// A local Solana ledger (Surfpool, offline). Prints `ready rpc=http://127.0.0.1:PORT` when it serves.
#[derive(Parser)]
struct Args {
    /// JSON-RPC port on 127.0.0.1; 0 takes a free one.
    #[arg(long, default_value_t = 8899)]
    rpc_port: u16,
    /// WebSocket port on 127.0.0.1; 0 takes a free one.
    #[arg(long, default_value_t = 8900)]
    ws_port: u16,
    /// Length of a slot in milliseconds (a real cluster: 400); a transaction is final after 31 slots.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u64).range(5..=10_000))]
    slot_ms: u64,
    /// Directory that keeps the ledger (SQLite); it survives kill -9. Without it, memory only.
    #[arg(long)]
    data: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let mut args = Args::parse();
    args.rpc_port = claim_port(args.rpc_port)?;
    args.ws_port = claim_port(args.ws_port)?;
    let mut stop = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;

    let database = match &args.data {
        Some(directory) => {
            fs::create_dir_all(directory)?;
            Some(directory.join("ledger.sqlite").to_string_lossy().into_owned())
        }
        None => None,
    };
    let (mut svm, events, geyser_events) = SurfnetSvm::new_with_db(
        database.as_deref(),
        SurfnetSvmConfig {
            slot_time: args.slot_ms,
            instruction_profiling_enabled: false,
            ..SurfnetSvmConfig::default()
        },
    )?;
    if let Some(directory) = &args.data {
        let path = directory.join("genesis");
        if !path.exists() {
            // Written whole or not at all: a torn file would be a different cluster for ever.
            let draft = directory.join("genesis.new");
            fs::write(&draft, svm.genesis_config.hash().to_string())?;
            fs::rename(&draft, &path)?;
        }
        svm.cached_genesis_hash = Some(fs::read_to_string(&path)?.trim().parse()?);
    }

    let config = SurfpoolConfig {
        simnets: vec![SimnetConfig {
            offline_mode: true,
            remote_rpc_url: None,
            slot_time: args.slot_ms,
            instruction_profiling_enabled: false,
            ..SimnetConfig::default()
        }],
        rpc: RpcConfig {
            bind_host: "127.0.0.1".into(),
            bind_port: args.rpc_port,
            ws_port: args.ws_port,
            ..RpcConfig::default()
        },
        ..SurfpoolConfig::default()
    };
    let (commands, from_clients) = unbounded();
    let (to_ledger, for_ledger) = unbounded();
    std::thread::spawn(move || always_check_signatures(&from_clients, &to_ledger));

    let port = args.rpc_port;
    std::thread::spawn(move || watch(&events, port));

    let (ended, running) = tokio::sync::oneshot::channel();
    let runtime = tokio::runtime::Handle::current();
    let for_loop = commands.clone();
    // A thread of its own: the ledger's loop waits on blocking channels.
    std::thread::spawn(move || {
        let serving = start_local_surfnet(svm, config, for_loop, for_ledger, geyser_events);
        let _ = ended.send(runtime.block_on(serving).map_err(|error| error.to_string()));
    });
    let stopper = tokio::spawn(async move {
        tokio::select! { _ = stop.recv() => {}, _ = interrupt.recv() => {} }
        // The ledger writes its store out and leaves its loop.
        let _ = commands.send(SimnetCommand::Terminate(None));
    });
    let outcome = running.await?;
    stopper.abort();
    outcome?;
    // The RPC servers' threads may outlive the loop; nothing is left for them to serve.
    std::process::exit(0)
}

/// Passes commands on; `skipSigVerify` of `sendTransaction` is dropped, as a real node has no such thing.
fn always_check_signatures(clients: &Receiver<SimnetCommand>, ledger: &Sender<SimnetCommand>) {
    for command in clients {
        let command = match command {
            SimnetCommand::ProcessTransaction(key, transaction, status, skip_preflight, _) => {
                SimnetCommand::ProcessTransaction(key, transaction, status, skip_preflight, None)
            }
            other => other,
        };
        if ledger.send(command).is_err() {
            return;
        }
    }
}

/// Drains the ledger's events (it would stop if they piled up), locks cheatcodes out, says `ready`.
fn watch(events: &Receiver<SimnetEvent>, port: u16) {
    for event in events {
        match event {
            SimnetEvent::CoreStarted(_) => match lock_cheatcodes(port) {
                Ok(()) => println!("ready rpc=http://127.0.0.1:{port}"),
                Err(error) => {
                    eprintln!("cheatcodes could not be locked out: {error}");
                    std::process::exit(1);
                }
            },
            SimnetEvent::ErrorLog(_, text) => eprintln!("ledger: {text}"),
            SimnetEvent::Aborted(text) => {
                eprintln!("ledger aborted: {text}");
                std::process::exit(1);
            }
            _ => {}
        }
    }
}

/// Tells the ledger, over its own RPC, to refuse every cheatcode from now on.
fn lock_cheatcodes(port: u16) -> Result<(), Failure> {
    let body = serde_json::json!({
        "jsonrpc": "2.0", "id": 1,
        "method": "surfnet_disableCheatcode", "params": ["all", { "lockout": true }],
    })
    .to_string();
    let mut stream = TcpStream::connect_timeout(&SocketAddr::from(([127, 0, 0, 1], port)), Duration::from_secs(5))?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    write!(
        stream,
        "POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    if !answer.starts_with("HTTP/1.1 200") || answer.contains("\"error\"") || !answer.contains("\"result\"") {
        return Err(answer.into());
    }
    Ok(())
}

/// Checks that a port is free, or picks one.
fn claim_port(port: u16) -> Result<u16, Failure> {
    let listener = TcpListener::bind(("127.0.0.1", port))
        .map_err(|error| format!("port {port} on 127.0.0.1 cannot be used: {error}; choose another"))?;
    Ok(listener.local_addr()?.port())
}
