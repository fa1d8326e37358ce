//! The body of the fuzz target `dns`: any bytes as a question. What is answered is a response to it that can be read, short, and says nothing
//! about names that are not ours.

use std::sync::LazyLock;

use simple_dns::{Packet, PacketFlag, RCODE};

use super::answer::answer;
use super::names::PetNames;
use crate::keys::PublicKey;

static NAMES: LazyLock<PetNames> = LazyLock::new(|| {
    let mut names = PetNames::default();
    assert!(names.add("home", PublicKey([0xaa; 32])).is_ok());
    names
});

/// Answers the bytes.
pub fn fuzz_dns(data: &[u8]) {
    let Some(bytes) = answer(data, &NAMES, |_| Some(PublicKey([0xbb; 32]))) else { return };
    // Twice the longest name, and the fixed parts.
    assert!(bytes.len() < 1200 && bytes.starts_with(&data[..2]));
    let reply = Packet::parse(&bytes);
    assert!(reply.as_ref().is_ok_and(|reply| reply.has_flags(PacketFlag::RESPONSE)));
    let Ok(reply) = reply else { return };
    if reply.rcode() != RCODE::NoError {
        assert!(reply.answers.is_empty());
    }
}
