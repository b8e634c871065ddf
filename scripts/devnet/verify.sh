#!/bin/sh
# verify.sh GROUP_ADDRESS [--url URL [--url URL]] [--genesis HASH|devnet] [--json]: a group's final anchors, checked.
set -eu
[ $# -ge 1 ] || { sed -n 2p "$0" >&2; exit 2; }
. "$(dirname "$0")/tool.sh"
tool find "$@"
