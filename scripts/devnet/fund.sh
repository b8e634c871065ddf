#!/bin/sh
# fund.sh ADDRESS [--sol 1] [--url URL] [--genesis HASH|devnet]: test money for an address (local ledger, devnet).
set -eu
[ $# -ge 1 ] || { sed -n 2p "$0" >&2; exit 2; }
. "$(dirname "$0")/tool.sh"
tool fund "$@"
