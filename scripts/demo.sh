#!/bin/sh
# Real elections on this machine, from keys to an audited result on a local ledger, in one command.
#
#   ./scripts/demo.sh                                  the bundled elections: about 20,000 real ballots
#   ./scripts/demo.sh --limit 200                      a quick look
#   ./scripts/demo.sh --keep DIR --hsm softhsm --json  and so on: `./scripts/demo.sh --help`
#
# Needs Rust 1.95 and a C compiler, nothing else. The first run builds everything (ledger included), later ones nothing.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)

command -v cargo >/dev/null || { echo "missing: cargo. Install Rust 1.95 or newer (https://rustup.rs)." >&2; exit 1; }
command -v cc >/dev/null || { echo "missing: a C compiler, cc (Debian: apt-get install gcc libc6-dev)." >&2; exit 1; }

case "${CARGO_TARGET_DIR:-}" in
    "") target=$root/target ;;
    /*) target=$CARGO_TARGET_DIR ;;
    *) target=$PWD/$CARGO_TARGET_DIR ;;
esac

echo "building the programs (release; the first time takes some minutes)" >&2
(cd "$root" && CARGO_TARGET_DIR=$target cargo build --release --locked --bins \
    -p coordinator -p trustee -p ceremony -p booth -p audit -p solana-anchor) >&2
echo "building the local ledger (the first time takes some minutes)" >&2
ledger=$("$root/scripts/devnet/ledger.sh" --build)

exec "$target/release/ceremony" demo --ledger "$ledger" "$@"
