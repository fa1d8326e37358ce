//! What several integration tests share.
#![allow(dead_code, unreachable_pub, reason = "each test target uses some of this")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "what is not as it should be is a failed test"
)]

pub mod daemon;
pub mod graphs;
pub mod packets;
pub mod vectors;
