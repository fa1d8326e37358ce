//! Our nodes and nodes of the reference implementation in one network: real Go processes, built from the reference's own module
//! (`go/`), against our program and our library.
//!
//! Everything here is seen from outside: what `pineconectl` and the Go node's debugging page say, and what arrives. Where Go or its
//! modules are missing the tests are skipped, which standard error says; with `CI=true` that is a failure instead.
//!
//! Support: `program` (builds the Go node), `go_node` (runs one), `network` (mixed networks on the loopback interface); our own nodes
//! and the namespaces come from the `conformance` and `netns` tests. Tests: all other modules.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(clippy::disallowed_methods, reason = "these tests watch the real clock")]

/// Our program as a pure router on the loopback interface, and with a TUN in a namespace.
mod daemon {
    pub(crate) use crate::lab_daemon::{Config, Running, seeds_by_key};
    pub(crate) use crate::loopback_daemon::Daemon;
}

#[path = "../conformance/inspector.rs"]
#[allow(dead_code, reason = "shared with the conformance tests, which use the rest")]
mod inspector;
#[path = "../netns/lab.rs"]
#[allow(dead_code, reason = "shared with the netns tests, which use the rest")]
mod lab;
#[path = "../netns/daemon.rs"]
#[allow(dead_code, reason = "shared with the netns tests, which use the rest")]
mod lab_daemon;
#[path = "../conformance/daemon.rs"]
#[allow(dead_code, reason = "shared with the conformance tests, which use the rest")]
mod loopback_daemon;
#[path = "../netns/sandbox.rs"]
#[allow(dead_code, reason = "shared with the netns tests, which use the rest")]
mod sandbox;
#[path = "../conformance/test_node.rs"]
#[allow(dead_code, reason = "shared with the conformance tests, which use the rest")]
mod test_node;
#[path = "../netns/traffic.rs"]
#[allow(dead_code, reason = "shared with the netns tests, which use the rest")]
mod traffic;
#[path = "../netns/wait.rs"]
mod wait;

mod go_node;
mod network;
#[allow(dead_code, reason = "shared with the matrix tests, which use the rest")]
mod program;

mod churn;
mod dendrite;
mod lan;
mod middle;
mod networks;
mod peering;
mod routes;
mod sessions;
mod tunnel;
mod websocket;
