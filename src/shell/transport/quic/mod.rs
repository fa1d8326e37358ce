//! QUIC: protocol frames on one stream, traffic frames as datagrams beside it.
//!
//! ```text
//! link messages, protocol frames ── the one bidirectional stream ── in order, again if lost
//! traffic frames ────────────────── datagrams (RFC 9221), cut by `link::fragment` ── lost if lost, none waits for another
//! ```
//!
//! So a lost packet holds up nothing but itself: TCP inside the overlay recovers from it, as on any network, and not TCP below TCP.
//! A connection is not bound to addresses: if that of the dialling side changes, it goes on from the new one (RFC 9000 §9).
//!
//! - `settings`: all numbers, with their reasons;
//! - `socket`: UDP sockets; `path`: what is known of a connection's path; `stream`: the stream; `datagrams`: what is beside it;
//! - `dial`, `listen`: how connections come about; `roam`: how they follow the host from network to network.

mod datagrams;
mod dial;
mod listen;
mod path;
mod roam;
mod settings;
mod socket;
mod stream;
#[cfg(test)]
mod tests;

pub(crate) use dial::{Dialler, dial};
pub(crate) use listen::{Incoming, Listener, listen};

use std::net::SocketAddr;

use quinn::{Connection as QuicConnection, ConnectionError};
use rustls::pki_types::CertificateDer;

use super::DialError;
use super::tls::{self, NodeTlsError};
use crate::keys::PublicKey;
use crate::link::Carrier;

/// TLS's word for a certificate that our own rules refuse (RFC 8446 §6.2, `certificate_unknown`).
const CERTIFICATE_UNKNOWN: u8 = 46;

/// Why there is no QUIC connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum QuicError {
    /// The handshake failed, or the connection ended during it.
    #[error(transparent)]
    Connection(#[from] ConnectionError),
    /// The address cannot be dialled.
    #[error(transparent)]
    Address(#[from] quinn::ConnectError),
    /// A fault of ours.
    #[error(transparent)]
    Settings(#[from] NodeTlsError),
    /// The certificate is none of a node.
    #[error("the other side's certificate is not that of a node")]
    NotANode,
    /// Somebody else answered.
    #[error(
        "the other side does not have the key {expected} that this peer is configured with (?key=): correct the key if the peer's has \
         changed, otherwise somebody else answers at this address"
    )]
    WrongKey {
        /// The key that the peer was configured with.
        expected: PublicKey,
    },
    /// The other side did not open the stream.
    #[error("the other side opened no stream in time")]
    NoStream,
}

impl QuicError {
    fn with(self, address: SocketAddr) -> DialError {
        DialError::Quic { address, source: self }
    }

    /// Why dialling failed; the connection only knows that TLS did not like the certificate.
    fn of_dialling(error: ConnectionError, pin: Option<PublicKey>) -> Self {
        match (error, pin) {
            (ConnectionError::TransportError(error), Some(expected)) if is_refused_certificate(&error) => {
                Self::WrongKey { expected }
            }
            (ConnectionError::TransportError(error), None) if is_refused_certificate(&error) => Self::NotANode,
            (error, _) => Self::Connection(error),
        }
    }
}

fn is_refused_certificate(error: &quinn_proto::TransportError) -> bool {
    error.code == quinn_proto::TransportErrorCode::crypto(CERTIFICATE_UNKNOWN)
}

/// What the handshake says of the peer.
fn carrier(connection: &QuicConnection) -> Result<Carrier, QuicError> {
    let identity =
        connection.peer_identity().and_then(|identity| identity.downcast::<Vec<CertificateDer<'static>>>().ok());
    let certificates = identity.ok_or(QuicError::NotANode)?;
    let export = |out: &mut [u8; 32], label: &[u8]| connection.export_keying_material(out, label, b"").is_ok();
    tls::channel(&certificates, export).ok_or(QuicError::NotANode)
}
