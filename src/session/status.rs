//! What the sessions tell about themselves.
//!
//! Ages and spans are seconds with fractions, sizes are bytes, keys are 64 hexadecimal digits.

use serde::{Deserialize, Serialize};

use crate::keys::PublicKey;

/// One session.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SessionStatus {
    /// The other node's key.
    pub key: PublicKey,
    /// Its overlay address.
    pub address: String,
    /// `handshaking` or `established`.
    pub state: String,
    /// The cipher of the current keys, if established.
    pub cipher: Option<String>,
    /// Seconds since the current keys were agreed.
    pub key_age_seconds: Option<f64>,
    /// Seconds since anything authentic came.
    pub last_received_seconds: Option<f64>,
    /// Its coordinates as it told us inside the session.
    pub coordinates: Option<Vec<u64>>,
    /// How frames to it are routed now: `route`, `tree` or `snake`.
    pub routed_by: String,
    /// The other side's interface MTU.
    pub mtu: Option<u16>,
    /// Bytes of packets received.
    pub received_bytes: u64,
    /// Bytes of packets sent.
    pub sent_bytes: u64,
}
