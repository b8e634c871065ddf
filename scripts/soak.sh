#!/usr/bin/env bash
# Elections of real processes while things go wrong, drawn by a seed, until the time is over. Stops at the first that is not
# right, says its seed, and leaves everything in target/tmp/soak.
#   ./scripts/soak.sh --hours N [--seed S]
set -euo pipefail
cd "$(dirname "$0")/.."

hours='' seed=$RANDOM$RANDOM
while [ $# -gt 0 ]; do
  case "$1" in
    --hours) hours=${2:?"--hours N"}; shift 2 ;;
    --seed) seed=${2:?"--seed S"}; shift 2 ;;
    *) hours=''; break ;;
  esac
done
[ -n "$hours" ] || { echo "usage: $0 --hours N [--seed S]" >&2; exit 2; }

CONCLAVE_LEDGER_BIN=${CONCLAVE_LEDGER_BIN:-$(scripts/devnet/ledger.sh --build)}
export CONCLAVE_LEDGER_BIN CONCLAVE_SOAK_HOURS=$hours CONCLAVE_SOAK_SEED=$seed
cargo build --workspace --bins --locked
exec cargo test --workspace --locked --test chaos -- --include-ignored --exact soak --nocapture
