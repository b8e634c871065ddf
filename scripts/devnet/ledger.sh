#!/bin/sh
# Builds (if need be) and runs the local Solana ledger. Arguments go to it: --rpc-port, --ws-port, --slot-ms, --data.
# `ledger.sh --build` only builds and prints where the binary is.
#
# CARGO_TARGET_DIR is not used: the ledger's build is big, never changes with ours, and is kept apart.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
target=${CONCLAVE_LEDGER_TARGET:-$here/ledger/target}
binary=$target/debug/ledger

if [ ! -x "$binary" ] ||
    [ -n "$(find "$here/ledger" -path "$here/ledger/target" -prune -o -type f -newer "$binary" -print)" ]; then
    echo "ledger: building (about 10 CPU minutes, once)" >&2
    (cd "$here/ledger" && CARGO_TARGET_DIR=$target cargo build --locked --quiet) >&2
    # Cargo does not touch a binary that needed no linking; without this every start would ask it again.
    touch "$binary"
fi

if [ "${1:-}" = --build ]; then
    echo "$binary"
    exit 0
fi
exec "$binary" "$@"
