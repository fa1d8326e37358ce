//! The exchange of hellos: neither side waits for the other's, and each decides for itself whether the other will do.

use super::{Carrier, HELLO_TIMEOUT, LinkConfig, LinkError};
use crate::keys::PublicKey;
use crate::time::Instant;
use crate::wire::hello::{HELLO_LEN, Hello};

/// The peer's hello is still to come.
#[derive(Debug)]
pub(super) struct AwaitingHello {
    own_key: PublicKey,
    expected_key: Option<PublicKey>,
    carrier: Carrier,
    /// When it has to be here in full.
    pub(super) deadline: Instant,
}

impl AwaitingHello {
    pub(super) fn new(config: &LinkConfig, now: Instant) -> Self {
        let &LinkConfig { own_key, expected_key, carrier, .. } = config;
        Self { own_key, expected_key, carrier, deadline: now + HELLO_TIMEOUT }
    }

    /// Whether to peer with who sent this hello. The reference peers with itself (pitfall 4); we see no use in a peering that
    /// occupies two ports and leads nowhere.
    pub(super) fn check(&self, bytes: &[u8; HELLO_LEN]) -> Result<Hello, LinkError> {
        let hello = Hello::parse_and_verify(bytes)?;
        if hello.key == self.own_key {
            return Err(LinkError::OwnKey);
        }
        if let Some(carrier) = self.carrier.proven_key().filter(|carrier| *carrier != hello.key) {
            return Err(LinkError::CarrierKey { carrier, hello: hello.key });
        }
        match self.expected_key {
            Some(expected) if expected != hello.key => Err(LinkError::WrongKey { expected, actual: hello.key }),
            _ => Ok(hello),
        }
    }
}
