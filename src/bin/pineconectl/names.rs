//! Nodes by the names that this host has for them (`dns.names` of the daemon's configuration), for commands that are about a node.
//!
//! The daemon's own responder is asked, where the interface has it: no resolver of the host needs to be set up for that, and none is bothered.

use std::net::{Ipv6Addr, UdpSocket};
use std::time::Duration;

use pinecone::addr::Destination;
use pinecone::control::{TargetError, parse_target};
use pinecone::dns::names::is_label;
use pinecone::dns::{ADDRESS, PORT, SUFFIX, name};
use pinecone::node::Target;
use simple_dns::rdata::RData;
use simple_dns::{CLASS, Name, Packet, Question, TYPE};

use crate::error::{CommandError, Kind};

/// The answer is made on this host.
const PATIENCE: Duration = Duration::from_secs(2);

/// A node as people name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Whom {
    /// By address or key.
    Target(Target),
    /// By a name of this host's; only what stands before our suffix.
    PetName(String),
}

/// Reads an address, a key, a name under `pinecone.internal`, or only what stands before that.
pub(crate) fn parse_whom(text: &str) -> Result<Whom, TargetError> {
    let error = match parse_target(text) {
        Ok(target) => return Ok(Whom::Target(target)),
        Err(error) => error,
    };
    let label = name::label_of(text).unwrap_or(text);
    if is_label(label) { Ok(Whom::PetName(label.to_owned())) } else { Err(error) }
}

/// Finds out whom a name is for.
pub(crate) fn find(whom: &Whom) -> Result<Target, CommandError> {
    let label = match whom {
        Whom::Target(target) => return Ok(*target),
        Whom::PetName(label) => label,
    };
    let name = format!("{label}.{SUFFIX}");
    let failed = |error: std::io::Error| {
        let message = format!(
            "cannot ask [{ADDRESS}]:{PORT} who {name} is: {error}; is pineconed running, with an interface and dns.enabled? An address or a \
             key works without"
        );
        CommandError::new(Kind::Failure, message)
    };
    let address = ask(&name).map_err(failed)?;
    let target = address.and_then(Destination::of).map(Target::Address);
    target.ok_or_else(|| {
        let message = format!(
            "{label:?} is no node: neither an overlay address nor a public key of 64 hexadecimal digits, nor a name in dns.names of \
             pineconed.toml"
        );
        CommandError::new(Kind::Failure, message)
    })
}

fn ask(name: &str) -> std::io::Result<Option<Ipv6Addr>> {
    // The socket is connected, so nobody else can answer, and this host's kernel lets nobody else have the address.
    let id = 1;
    let mut packet = Packet::new_query(id);
    let name = Name::new(name).map_err(std::io::Error::other)?;
    packet.questions.push(Question::new(name, TYPE::AAAA.into(), CLASS::IN.into(), false));
    let socket = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0))?;
    socket.connect((ADDRESS, PORT))?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.send(&packet.build_bytes_vec().map_err(std::io::Error::other)?)?;
    let mut bytes = [0; 1500];
    let len = socket.recv(&mut bytes)?;
    let answer = Packet::parse(bytes.get(..len).unwrap_or_default()).map_err(std::io::Error::other)?;
    Ok(answer.answers.iter().find_map(|record| match &record.rdata {
        RData::AAAA(found) if answer.id() == id => Some(found.address.into()),
        _ => None,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_from_addresses_keys_and_slips_of_the_pen() {
        let pet = |text: &str| parse_whom(text) == Ok(Whom::PetName("homeserver".to_owned()));
        assert!(pet("homeserver") && pet("homeserver.pinecone.internal"));
        assert!(matches!(parse_whom("600::1"), Ok(Whom::Target(_))));
        let by_key = name::name_of(&pinecone::keys::PublicKey([9; 32]));
        assert!(matches!(parse_whom(&by_key), Ok(Whom::Target(Target::Key(_)))));
        for wrong in ["", "fd00::1", "a b", "example.org", "a.b.pinecone.internal"] {
            assert!(parse_whom(wrong).is_err(), "{wrong}");
        }
    }
}
