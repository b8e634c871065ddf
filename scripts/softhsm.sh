#!/bin/sh
# Makes a throw-away SoftHSM token, for tests and the demo. It protects nothing: never use it for a real election.
#
#   scripts/softhsm.sh DIR LABEL PINFILE
#
# DIR      gets softhsm2.conf and tokens/. Tokens that are used by several processes at a time need one each: SoftHSM
#          2.6 stops a process (assertion in SlotManager.cpp) that reads two tokens while others write them.
# LABEL    names the token; if it is there already, nothing happens
# PINFILE  holds its user PIN; made with a random one (mode 600) if it is not there
#
# Prints the path of the PKCS#11 module. Whoever uses the token needs SOFTHSM2_CONF=DIR/softhsm2.conf in its
# environment before it loads the module.
set -eu
umask 077

if [ $# -ne 3 ]; then
    echo "usage: $0 DIR LABEL PINFILE" >&2
    exit 2
fi
dir=$1 label=$2 pinfile=$3

module=
for candidate in "${SOFTHSM2_MODULE:-}" \
    /usr/lib/softhsm/libsofthsm2.so \
    /usr/lib/*/softhsm/libsofthsm2.so \
    /usr/lib64/pkcs11/libsofthsm2.so \
    /usr/local/lib/softhsm/libsofthsm2.so \
    /opt/homebrew/lib/softhsm/libsofthsm2.so; do
    if [ -n "$candidate" ] && [ -f "$candidate" ]; then
        module=$candidate
        break
    fi
done
if [ -z "$module" ] || ! command -v softhsm2-util >/dev/null; then
    echo "SoftHSM2 is missing: apt-get install softhsm2" >&2
    exit 1
fi

random_digits() {
    od -An -N12 -tu4 /dev/urandom | tr -d ' \n'
}

mkdir -p "$dir"
dir=$(cd "$dir" && pwd)
mkdir -p "$dir/tokens"
if [ ! -f "$dir/softhsm2.conf" ]; then
    # Renamed into place, so that two of us at once leave one whole file.
    cat >"$dir/softhsm2.conf.$$" <<CONF
directories.tokendir = $dir/tokens
objectstore.backend = file
log.level = ERROR
slots.removable = false
CONF
    mv "$dir/softhsm2.conf.$$" "$dir/softhsm2.conf"
fi
if [ ! -f "$pinfile" ]; then
    random_digits >"$pinfile"
fi

SOFTHSM2_CONF=$dir/softhsm2.conf
export SOFTHSM2_CONF
if ! softhsm2-util --show-slots | grep -q "^ *Label: *$label *\$"; then
    # The tool takes PINs only as arguments. Acceptable here, and only here: the token is worth nothing.
    softhsm2-util --init-token --free --label "$label" \
        --so-pin "$(random_digits)" --pin "$(cat "$pinfile")" >/dev/null
fi
echo "$module"
