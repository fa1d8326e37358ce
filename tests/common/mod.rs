//! What several test targets share.
pub mod graphs;
pub mod packets;
