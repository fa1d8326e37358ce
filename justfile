# Shortcuts for https://just.systems; everything here is a plain command too.

# Every test.
test:
    cargo test

# What a change must pass, without the steps that need root.
check:
    cargo fmt --check
    cargo clippy --all-targets -- -D warnings
    cargo clippy --bench instructions -- -D warnings
    RUSTDOCFLAGS="-D warnings" cargo doc --no-deps

# What a packet takes on its way through a node: in time, and in instructions against the committed counts.
bench:
    cargo bench --bench data_path
    .ci/instructions

# The counts of instructions as they are now, to be committed.
accept-instructions:
    .ci/instructions --accept

# Five nodes on this machine, shown and removed.
demo:
    cargo build --release
    sudo contrib/demo

# Everything, as CI does it (as root).
ci:
    .ci/run
