# The menu.
check:
    cargo check --workspace --all-targets --locked
test:
    ./scripts/test.sh
quick:
    ./scripts/test.sh --quick
demo *ARGS:
    ./scripts/demo.sh {{ARGS}}
bench:
    cargo bench -p benches
ci:
    .ci/run
