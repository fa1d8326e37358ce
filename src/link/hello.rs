//! The exchange of hellos: neither side waits for the other's, and each decides for itself whether the other will do.

use super::proof::Proving;
use super::{HELLO_TIMEOUT, LinkConfig, LinkError};
use crate::time::Instant;
use crate::wire::extensions::Extensions;
use crate::wire::hello::{HELLO_LEN, Hello};

/// The peer's hello is still to come.
#[derive(Debug)]
pub(super) struct AwaitingHello {
    config: Box<LinkConfig>,
    /// When it has to be here in full.
    pub(super) deadline: Instant,
}

/// What a good hello leads to.
pub(super) enum Greeted {
    /// The link is up; whether the carrier has proven the key.
    Up(Hello, bool),
    /// First the keys have to be proven.
    Prove(Box<Proving>),
}

impl AwaitingHello {
    pub(super) fn new(config: LinkConfig, now: Instant) -> Self {
        Self { config: Box::new(config), deadline: now + HELLO_TIMEOUT }
    }

    /// Whether to peer with who sent this hello. The reference peers with itself (pitfall 4); we see no use in a peering that
    /// occupies two ports and leads nowhere.
    pub(super) fn check(&self, bytes: &[u8; HELLO_LEN]) -> Result<Greeted, LinkError> {
        let LinkConfig { own_hello, own_key, expected_key, carrier, proof } = &*self.config;
        let hello = Hello::parse_and_verify(bytes)?;
        if hello.key == *own_key {
            return Err(LinkError::OwnKey);
        }
        if let Some(carrier) = carrier.proven_key().filter(|carrier| *carrier != hello.key) {
            return Err(LinkError::CarrierKey { carrier, hello: hello.key });
        }
        match expected_key {
            Some(expected) if *expected != hello.key => {
                return Err(LinkError::WrongKey { expected: *expected, actual: hello.key });
            }
            _ => {}
        }
        let can_prove =
            Extensions::announced(hello.extension_version, hello.extensions).contain(Extensions::LINK_PROOF);
        match proof {
            Some(proof) if can_prove => {
                Ok(Greeted::Prove(Box::new(Proving::new(proof.clone(), *carrier, *own_hello, *bytes, hello))))
            }
            Some(proof) if proof.password.is_some() => Err(LinkError::NoPassword),
            _ => Ok(Greeted::Up(hello, carrier.proven_key().is_some())),
        }
    }
}
