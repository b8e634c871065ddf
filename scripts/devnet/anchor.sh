#!/bin/sh
# anchor.sh TEXT [--key FILE] [--url URL] [--genesis HASH|devnet]: the whole way with one ordinary key (a trial).
set -eu
[ $# -ge 1 ] || { sed -n 2p "$0" >&2; exit 2; }
. "$(dirname "$0")/tool.sh"
tool trial "$@"
