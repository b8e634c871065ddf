//! Anchors by hand: money for an address, what it holds, its anchors, and a trial of the whole way.

use std::{
    fs::File,
    io::Read as _,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Instant,
};

use anyhow::{Context as _, bail};
use clap::{Parser, Subcommand};
use ed25519_dalek::{Signer as _, SigningKey};
use serde_json::json;
use solana_anchor::{
    AnchorIntent, DEVNET_GENESIS, FoundAnchor, Ledger, LedgerConfig, address_text, parse_address, parse_signature,
    signature_text,
};

const LAMPORTS_PER_SOL: f64 = 1e9;

/// Money, balances and anchors on a Solana cluster.
#[derive(Parser)]
struct Args {
    /// RPC address; give it twice and both must agree.
    #[arg(long = "url", global = true, default_value = "http://127.0.0.1:8899")]
    urls: Vec<String>,
    /// Genesis hash that the cluster must have, or `devnet`. Without it, whatever cluster answers is taken.
    #[arg(long, global = true)]
    genesis: Option<String>,
    /// Print one line of JSON.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Print the cluster's genesis hash.
    Genesis,
    /// Ask for test money (local ledger, devnet) and wait until it has arrived.
    Fund {
        /// The group's address, base58.
        address: String,
        /// How much; devnet gives little at a time.
        #[arg(long, default_value_t = 1.0)]
        sol: f64,
    },
    /// Print what an address holds, in lamports.
    Balance {
        /// The address, base58.
        address: String,
    },
    /// List the final anchors of a group, each signature checked.
    Find {
        /// The group's address, base58.
        group: String,
    },
    /// Read one anchor by its transaction signature and check it.
    Show {
        /// The signature, base58.
        signature: String,
    },
    /// Anchor a text with one ordinary key: tries out RPC, faucet and cluster before an election depends on them.
    Trial {
        /// The text.
        text: String,
        /// A Solana key file (JSON, as solana-keygen writes it). Without it, a key that is thrown away.
        #[arg(long)]
        key: Option<PathBuf>,
    },
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let args = Args::parse();
    match run(&args).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(args: &Args) -> anyhow::Result<()> {
    let genesis = match args.genesis.as_deref() {
        None => None,
        Some("devnet") => Some(parse_address(DEVNET_GENESIS)?),
        Some(text) => Some(parse_address(text).context("--genesis")?),
    };
    let ledger = Ledger::new(&LedgerConfig { urls: args.urls.clone(), genesis, ..LedgerConfig::default() })?;
    let genesis = ledger.check_cluster().await?;
    match &args.command {
        Command::Genesis => say(args, &json!({ "genesis": address_text(&genesis) }), &address_text(&genesis)),
        Command::Fund { address, sol } => {
            let lamports = lamports(*sol)?;
            let balance = ledger.request_airdrop(&parse_address(address)?, lamports).await?;
            say(
                args,
                &json!({ "address": address, "lamports": balance }),
                &format!("{address} holds {balance} lamports"),
            );
        }
        Command::Balance { address } => {
            let balance = ledger.balance(&parse_address(address)?).await?;
            say(args, &json!({ "address": address, "lamports": balance }), &balance.to_string());
        }
        Command::Find { group } => {
            let found = ledger.find_anchors(&parse_address(group)?).await?;
            let lines: Vec<_> = found.iter().map(line).collect();
            say(args, &json!({ "anchors": found.iter().map(object).collect::<Vec<_>>() }), &lines.join("\n"));
            if found.is_empty() {
                bail!("{group} has signed no final anchor on this cluster");
            }
        }
        Command::Show { signature } => match ledger.read_anchor(&parse_signature(signature)?).await? {
            Some(anchor) => say(args, &object(&anchor), &line(&anchor)),
            None => bail!("{signature} is final, but no anchor: it failed, or is another kind of transaction"),
        },
        Command::Trial { text, key } => trial(args, &ledger, text, key.as_deref()).await?,
    }
    Ok(())
}

/// Funds (if need be), makes a nonce account (if need be), anchors, reads back.
async fn trial(args: &Args, ledger: &Ledger, text: &str, key: Option<&Path>) -> anyhow::Result<()> {
    const SEED: &str = "conclave-trial";
    let key = match key {
        Some(path) => read_key(path)?,
        None => throwaway_key()?,
    };
    let group = key.verifying_key().to_bytes();
    let note = |step: &str| eprintln!("{step}");
    note(&format!("address {}", address_text(&group)));
    let rent = ledger.nonce_rent().await?;
    if ledger.balance(&group).await? < rent.saturating_mul(2) {
        ledger.request_airdrop(&group, lamports(0.1)?).await?;
        note("funded");
    }
    let nonce = match ledger.nonce_value(&group, SEED).await? {
        Some(nonce) => nonce,
        None => {
            let recent_blockhash = ledger.latest_blockhash().await?;
            let intent = AnchorIntent::CreateNonce { group, seed: SEED.into(), lamports: rent, recent_blockhash };
            let signature = key.sign(&intent.message()?).to_bytes();
            ledger.submit_and_finalize(&intent, &signature, |step| note(&format!("nonce account: {step:?}"))).await?;
            ledger.nonce_value(&group, SEED).await?.context("the nonce account is final and cannot be read")?
        }
    };
    let intent = AnchorIntent::Memo { group, seed: SEED.into(), nonce, text: text.into() };
    let signature = key.sign(&intent.message()?).to_bytes();
    let started = Instant::now();
    let landed = ledger.submit_and_finalize(&intent, &signature, |step| note(&format!("anchor: {step:?}"))).await?;
    let seconds = started.elapsed().as_secs_f64();
    let signature = signature_text(&landed.signature);
    let object =
        json!({ "group": address_text(&group), "signature": signature, "slot": landed.slot, "seconds": seconds });
    say(args, &object, &format!("{signature} is final in slot {}, after {seconds:.1} s", landed.slot));
    Ok(())
}

fn say(args: &Args, object: &serde_json::Value, text: &str) {
    if args.json {
        println!("{object}");
    } else {
        println!("{text}");
    }
}

fn line(anchor: &FoundAnchor) -> String {
    format!("slot {} {} \"{}\"", anchor.slot, signature_text(&anchor.signature), anchor.memo.text)
}

fn object(anchor: &FoundAnchor) -> serde_json::Value {
    json!({
        "signature": signature_text(&anchor.signature),
        "slot": anchor.slot,
        "group": address_text(&anchor.memo.group),
        "nonce": address_text(&anchor.memo.nonce),
        "text": anchor.memo.text,
    })
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bounded on the line before")]
fn lamports(sol: f64) -> anyhow::Result<u64> {
    if !(1e-9..=1_000_000.0).contains(&sol) {
        bail!("{sol} SOL: expected between 0.000000001 and 1000000");
    }
    Ok((sol * LAMPORTS_PER_SOL).round() as u64)
}

fn throwaway_key() -> anyhow::Result<SigningKey> {
    let mut seed = [0; 32];
    File::open("/dev/urandom")?.read_exact(&mut seed)?;
    Ok(SigningKey::from_bytes(&seed))
}

fn read_key(path: &Path) -> anyhow::Result<SigningKey> {
    let context = || format!("{}: expected a key file of solana-keygen (64 numbers)", path.display());
    let mut text = String::new();
    File::open(path).with_context(|| path.display().to_string())?.take(1_000).read_to_string(&mut text)?;
    let bytes: Vec<u8> = serde_json::from_str(&text).with_context(context)?;
    let bytes: [u8; 64] = bytes.try_into().ok().with_context(context)?;
    SigningKey::from_keypair_bytes(&bytes).with_context(context)
}
