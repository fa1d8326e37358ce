//! Beacons as bytes, and where they go (Pinecone's multicast discovery; wire spec §12).

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

use crate::keys::PublicKey;

/// UDP port that beacons are sent from and to.
pub const BEACON_PORT: u16 = 60_606;
/// Group for beacons over IPv4.
pub const GROUP_V4: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 114);
/// Group for beacons over IPv6, link-local scope.
pub const GROUP_V6: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x114);

/// "The node with this key accepts peerings at this TCP port of the address that this came from." Unauthenticated.
///
/// ```text
/// byte   0 … 31       32   33
///        public key   TCP port (big endian)
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Beacon {
    /// Who sends it.
    pub key: PublicKey,
    /// Where it accepts TCP peerings.
    pub port: u16,
}

impl Beacon {
    /// Length of a beacon in bytes.
    pub const LEN: usize = PublicKey::LEN + 2;

    /// The datagram to send.
    pub fn encode(&self) -> [u8; Self::LEN] {
        let mut out = [0; Self::LEN];
        out[..PublicKey::LEN].copy_from_slice(&self.key.0);
        out[PublicKey::LEN..].copy_from_slice(&self.port.to_be_bytes());
        out
    }

    /// Reads a datagram; bytes behind the port are ignored, as the reference does. `None` if it is too short.
    pub fn parse(datagram: &[u8]) -> Option<Self> {
        let (key, rest) = datagram.split_first_chunk()?;
        let (port, _) = rest.split_first_chunk()?;
        Some(Self { key: PublicKey(*key), port: u16::from_be_bytes(*port) })
    }
}

/// An IP version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// The one that an address is of; one of IPv4 written as IPv6 is to be unwrapped before.
    pub fn of(address: SocketAddr) -> Self {
        if address.is_ipv4() { Self::V4 } else { Self::V6 }
    }

    /// Where beacons go on the interface with this index.
    pub fn group(self, interface: u32) -> SocketAddr {
        match self {
            Self::V4 => (GROUP_V4, BEACON_PORT).into(),
            Self::V6 => SocketAddrV6::new(GROUP_V6, BEACON_PORT, 0, interface).into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_beacon_is_the_key_and_the_port() {
        let beacon = Beacon { key: PublicKey([7; 32]), port: 0x1d27 };
        let bytes = beacon.encode();
        assert_eq!((bytes.len(), &bytes[31..]), (34, &[7, 0x1d, 0x27][..]));
        assert_eq!(Beacon::parse(&bytes), Some(beacon));
        assert_eq!(Beacon::parse(&[&bytes[..], b"more"].concat()), Some(beacon));
        assert!((0..34).all(|len| Beacon::parse(&bytes[..len]).is_none()));
    }

    #[test]
    fn ipv6_beacons_are_bound_to_their_interface() {
        assert_eq!(Family::V6.group(3).to_string(), "[ff02::114%3]:60606");
        assert_eq!(Family::V4.group(3).to_string(), "224.0.0.114:60606");
    }
}
