//! `pineconed`: an IPv6 overlay over Pinecone routes, encrypted end to end.
//!
//! The library has two halves, and the first knows nothing of the second.
//!
//! *The pure half* decides everything and touches nothing: no socket, file, clock, thread or operating-system randomness.
//! The time comes in as an argument, input through `handle_*`, output through `poll_*`. The daemon, the simulator, the
//! property tests and the fuzzers all drive the same [`Node`](node::Node).
//!
//! *The shell* does everything and decides nothing: it moves bytes between the operating system and the pure half.
//!
//! Behind both stands what fuzzers call: the decoders of either.
//!
//! Modules are listed in the order of their layers; a module uses only those above it. `tests/layering.rs` enforces both rules.

// What integration tests share, they share with the unit tests that read the same golden vectors.
#[cfg(test)]
extern crate self as pinecone;

// ── pure: vocabulary ─────────────────────────────────────────────────────────────────────────────────────────────────
pub mod time;
pub mod rng;
pub mod buf;
pub mod bounded;
pub mod keys;
pub mod addr;
pub mod drops;
// ── pure: protocol ───────────────────────────────────────────────────────────────────────────────────────────────────
pub mod wire;
pub mod link;
pub mod router;
pub mod session;
pub mod ip;
pub mod node;
// ── pure: around the node ────────────────────────────────────────────────────────────────────────────────────────────
pub mod dns;
pub mod admission;
pub mod discovery;
pub mod redial;
pub mod config;
pub mod proxy;
pub mod metrics;
pub mod control;
pub mod sim;
// ── shell: side effects ──────────────────────────────────────────────────────────────────────────────────────────────
pub mod shell;
// ── for fuzzers ──────────────────────────────────────────────────────────────────────────────────────────────────────
pub mod fuzzing;
