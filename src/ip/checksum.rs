//! The Internet checksum of upper-layer protocols over IPv6 (RFC 1071, RFC 8200 §8.1).

use std::net::Ipv6Addr;

use etherparse::checksum::Sum16BitWords;

/// The checksum of `message`, an upper-layer header with its data and **zeros in its checksum field**, between these addresses.
///
/// Over a message that already holds its right checksum it is 0.
pub fn transport(source: Ipv6Addr, destination: Ipv6Addr, protocol: u8, message: &[u8]) -> u16 {
    let len = u32::try_from(message.len()).unwrap_or(u32::MAX);
    Sum16BitWords::new()
        .add_16bytes(source.octets())
        .add_16bytes(destination.octets())
        .add_4bytes(len.to_be_bytes())
        .add_2bytes([0, protocol])
        .add_slice(message)
        .ones_complement()
        .to_be()
}

/// What the checksum field holds while the checksum is left to somebody else: the sum, **not complemented**, of the pseudo header of a
/// message of `len` bytes.
pub fn pseudo_header(source: Ipv6Addr, destination: Ipv6Addr, protocol: u8, len: usize) -> u16 {
    let len = u32::try_from(len).unwrap_or(u32::MAX);
    !Sum16BitWords::new()
        .add_16bytes(source.octets())
        .add_16bytes(destination.octets())
        .add_4bytes(len.to_be_bytes())
        .add_2bytes([0, protocol])
        .ones_complement()
        .to_be()
}

/// The checksum of bytes whose field holds the [`pseudo_header`]'s sum.
pub fn of_partial(message: &[u8]) -> u16 {
    Sum16BitWords::new().add_slice(message).ones_complement().to_be()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// RFC 1071 §4.1, word by word.
    fn by_the_book(source: Ipv6Addr, destination: Ipv6Addr, protocol: u8, message: &[u8]) -> u16 {
        let mut bytes = [source.octets(), destination.octets()].concat();
        bytes.extend((message.len() as u32).to_be_bytes());
        bytes.extend([0, 0, 0, protocol]);
        bytes.extend(message);
        let mut sum =
            bytes.chunks(2).map(|pair| u64::from(pair[0]) << 8 | u64::from(*pair.get(1).unwrap_or(&0))).sum::<u64>();
        while sum > 0xffff {
            sum = (sum >> 16) + (sum & 0xffff);
        }
        !(sum as u16)
    }

    proptest! {
        #[test]
        fn it_is_the_checksum_of_the_rfc(
            source in any::<[u8; 16]>(), destination in any::<[u8; 16]>(), protocol in any::<u8>(),
            message in prop::collection::vec(any::<u8>(), 0..2000),
        ) {
            let ours = transport(source.into(), destination.into(), protocol, &message);
            prop_assert_eq!(ours, by_the_book(source.into(), destination.into(), protocol, &message));
        }

        #[test]
        fn a_checksum_left_to_somebody_else_comes_out_the_same(
            source in any::<[u8; 16]>(), destination in any::<[u8; 16]>(), protocol in any::<u8>(),
            mut message in prop::collection::vec(any::<u8>(), 8..200),
        ) {
            let (source, destination) = (source.into(), destination.into());
            message[2..4].fill(0);
            let whole = transport(source, destination, protocol, &message);
            let partial = pseudo_header(source, destination, protocol, message.len());
            message[2..4].copy_from_slice(&partial.to_be_bytes());
            prop_assert_eq!(of_partial(&message), whole);
        }

        #[test]
        fn a_message_with_its_checksum_sums_to_zero(mut message in prop::collection::vec(any::<u8>(), 8..200)) {
            message[2..4].fill(0);
            let sum = transport(Ipv6Addr::LOCALHOST, Ipv6Addr::LOCALHOST, 58, &message);
            message[2..4].copy_from_slice(&sum.to_be_bytes());
            prop_assert_eq!(transport(Ipv6Addr::LOCALHOST, Ipv6Addr::LOCALHOST, 58, &message), 0);
        }
    }
}
