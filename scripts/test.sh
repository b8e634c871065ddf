#!/usr/bin/env bash
# All tests, as CI runs them. Installs what it needs where it may (Debian, root), and says what is missing where it may not.
#   ./scripts/test.sh            everything
#   ./scripts/test.sh --quick    without the local ledger, the whole-election runs and the simulator
set -euo pipefail
cd "$(dirname "$0")/.."

quick=false
case "${1:-}" in
  "") ;;
  --quick) quick=true ;;
  *) echo "usage: $0 [--quick]" >&2; exit 2 ;;
esac

say() { printf '\n== %s\n' "$*"; }

need_package() { # command-or-file package
  if command -v "$1" >/dev/null 2>&1 || [ -e "$1" ]; then return 0; fi
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    say "installing $2"
    apt-get install -y -q "$2" >/dev/null 2>&1 || { apt-get update -q >/dev/null && apt-get install -y -q "$2" >/dev/null; }
  fi
  if command -v "$1" >/dev/null 2>&1 || [ -e "$1" ]; then return 0; fi
  echo "missing: $1. Install the package $2 (Debian: apt-get install $2) and run this again." >&2
  return 1
}

command -v cargo >/dev/null || { echo "missing: cargo. Install Rust 1.95 or newer (https://rustup.rs)." >&2; exit 1; }
need_package cc gcc
need_package softhsm2-util softhsm2

say "format"
cargo fmt --all --check

say "build"
cargo build --workspace --all-targets --locked

say "unit, property, vector, real-TLS and token tests"
if cargo nextest --version >/dev/null 2>&1; then
  cargo nextest run --workspace --locked --no-fail-fast
else
  cargo test --workspace --locked --no-fail-fast
fi

if ! $quick; then
  say "local ledger"
  ledger=$(scripts/devnet/ledger.sh --build)
  export CONCLAVE_LEDGER_BIN="$ledger"

  say "anchoring on the local ledger"
  cargo test --workspace --locked --test ledger -- --include-ignored --test-threads 1

  say "whole elections: real processes, real ledger, kill -9, audit"
  cargo test --workspace --locked --test elections -- --include-ignored --test-threads 1

  say "real processes under chaos: kill -9, stopped processes, cut networks, full disks, old folders; audit"
  cargo test --workspace --locked --test chaos -- --include-ignored --test-threads 1

  say "the toy group: the same elections as with the real curves"
  toy=tests/toy/target
  cargo test --release --locked --manifest-path tests/toy/Cargo.toml --target-dir "$toy" -p toy-elections

  say "simulator: real curves, then the toy group: fixed seeds"
  cargo build --release --locked -p tests --bin simulate
  cargo build --release --locked --manifest-path tests/toy/Cargo.toml --target-dir "$toy" -p simulate-toy
  cargo run --release --locked -q -p tests --bin simulate -- --seeds 0..100
  "$toy/release/simulate-toy" --seeds 0..4000

  say "known bugs behind switches: each is found by the test that docs/testing.md names"
  cargo test -p protocol --locked --features bugs bugs::
fi

say "clippy"
cargo clippy --workspace --all-targets --locked -- -D clippy::unwrap_used -D clippy::panic -D clippy::disallowed_methods

say "all tests passed"
