//! Stock Matrix homeservers that only have the mesh between them: Synapse as it comes from PyPI, Dendrite as it comes
//! from its Go module, and what people do with them.
//!
//! Nothing here is specific to us but the addresses: the homeservers, their settings and the calls of the client API are those that
//! anybody would use. Hosts are network namespaces, as in the `netns` tests. Where Python, Go or a homeserver cannot be had the tests are skipped,
//! which standard error says; with `CI=true` that is a failure instead.
//!
//! What takes longer is ignored by `cargo test` and run by `.ci/matrix --all`. `docs/testing.md` has the details, `docs/matrix.md` what
//! the figures are.
//!
//! Support: `venv` (Synapse's Python), `http` (requests to the local homeserver), `homeserver` (one process), `user` (somebody with an
//! account), `line` (the network), `packages` (programs for Node); hosts and daemons come from the `netns` tests. Tests: all other modules.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(clippy::disallowed_methods, reason = "these tests watch the real clock")]

#[path = "../netns/daemon.rs"]
#[allow(dead_code, reason = "shared with the netns tests, which use the rest")]
mod daemon;
#[path = "../netns/lab.rs"]
#[allow(dead_code, reason = "shared with the netns tests, which use the rest")]
mod lab;
#[path = "../interop/program.rs"]
#[allow(dead_code, reason = "shared with the interop tests, which use the rest")]
mod program;
#[path = "../netns/sandbox.rs"]
#[allow(dead_code, reason = "shared with the netns tests, which use the rest")]
mod sandbox;
#[path = "../netns/traffic.rs"]
#[allow(dead_code, reason = "shared with the netns tests, which use the rest")]
mod traffic;
#[path = "../netns/wait.rs"]
mod wait;

mod homeserver;
mod http;
mod line;
mod packages;
mod user;
mod venv;

mod browser;
mod client;
mod command;
mod dendrite;
mod figures;
mod rooms;
