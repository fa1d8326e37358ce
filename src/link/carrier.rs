//! What carries a link, as far as the identity of the peer is concerned.

use crate::keys::PublicKey;

/// What is underneath a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carrier {
    /// Plain TCP: anyone on the path can read and change it.
    Tcp,
    /// A WebSocket that ends at a plain HTTP server, ours or one in front of ours (`wss://` to a proxy is one too).
    WebSocket,
    /// A Unix socket.
    Unix,
    /// A channel that is encrypted from node to node (TLS, QUIC) and whose own handshake proved the peer's key.
    Channel {
        /// The key that was proven.
        key: PublicKey,
        /// What both ends of this channel know and no other channel has: the exporter of RFC 9266 (`tls-exporter`).
        binding: [u8; 32],
    },
}

impl Carrier {
    /// The key that the carrier proved, if it does that.
    pub fn proven_key(&self) -> Option<PublicKey> {
        match self {
            Self::Channel { key, .. } => Some(*key),
            Self::Tcp | Self::WebSocket | Self::Unix => None,
        }
    }
}
