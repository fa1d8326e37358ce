//! What several integration tests share.

pub mod graphs;
pub mod packets;
pub mod vectors;
