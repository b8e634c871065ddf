# Sourced by fund.sh, anchor.sh and verify.sh: defines `tool`, which builds (if need be) and runs anchor-tool.
here=$(cd "$(dirname "$0")" && pwd)
tool() {
    cargo run --quiet --locked --manifest-path "$here/../../Cargo.toml" -p solana-anchor --bin anchor-tool -- "$@"
}
