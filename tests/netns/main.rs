//! The daemon as its users see it: real processes, real TUN interfaces, real links, in network namespaces of one machine.
//!
//! Nothing here looks into the daemon: the tests know the configuration file, the command line, `pineconectl … --json` and what
//! other programs (ping, iperf3, a web server) experience. Each test runs in a sandbox of its own (`sandbox`), so that tests run
//! in parallel, as root or as an ordinary user, and leave nothing behind even if they are killed. `docs/testing.md` says how to
//! run one and how to look at a failure.
//!
//! Support: `sandbox` (where a test runs), `wait` (deadlines instead of sleeps), `lab` (hosts, links, cuts), `daemon` (one
//! daemon and its `pineconectl`), `delay` (slow cables), `hosts_file` (names of the underlay), `mesh` (ready-made networks), `traffic` (pings and transfers), `packets` (capture and
//! injection). Tests: all other modules.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(clippy::disallowed_methods, reason = "these tests watch the real clock")]

mod daemon;
mod delay;
mod hosts_file;
mod lab;
mod mesh;
mod packets;
mod sandbox;
mod traffic;
mod wait;

mod changes;
mod dialling;
mod encrypted;
mod floods;
mod host;
mod hostile;
mod icmp;
mod lab_itself;
mod names;
mod neighbours;
mod offload;
mod placed;
mod policy;
mod prefix;
mod quic;
mod reach;
mod ring;
mod routes;
mod reload;
mod transports;
mod underlay;
