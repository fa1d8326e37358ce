# Shortcuts for https://just.systems; everything here is a plain command too.

# Every test.
test:
    cargo test

# What a change must pass, without the steps that need root.
check:
    cargo fmt --check
    cargo clippy --all-targets -- -D warnings
    RUSTDOCFLAGS="-D warnings" cargo doc --no-deps

# Five nodes on this machine, shown and removed.
demo:
    cargo build --release
    sudo contrib/demo

# Everything, as CI does it (as root).
ci:
    .ci/run
