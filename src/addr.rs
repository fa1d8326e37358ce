//! Overlay addresses: IPv6 addresses and /64 prefixes derived from public keys, and the way back.
//!
//! ```text
//! byte   0      1      2 … 15
//!        0x06   z      112 bits of the key   node address
//!        0x07   z      48 bits | host part   routed prefix (/64)
//! ```
//!
//! `z` is the number of leading zero bits of the key, capped at 255; the bits that follow are those after these zeros and
//! the first one bit. (Leading zeros rather than ones: a key ground for a longer fixed part becomes a *low* key, and Pinecone
//! elects the highest as root.) Among keys with the same `z` the map keeps the order of keys, so an address names an
//! interval of key space, and the lowest key of that interval is where a lookup is sent: the snake hands a frame for a key
//! that nobody owns to the next higher one.

use std::net::Ipv6Addr;

use crate::keys::PublicKey;

/// The overlay's prefix, 0600::/7.
pub const PREFIX: Ipv6Addr = Ipv6Addr::new(0x0600, 0, 0, 0, 0, 0, 0, 0);
/// Length of [`PREFIX`] in bits.
pub const PREFIX_LEN: u8 = 7;

const NODE: u8 = 0x06;
const ROUTED: u8 = 0x07;
/// Key bits in a node address.
const ADDRESS_BITS: usize = 112;
/// Key bits in a routed prefix.
const SUBNET_BITS: usize = 48;
const KEY_BITS: usize = 256;

/// A node's own overlay address: `0x06`, the number of zeros, 112 key bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address(Ipv6Addr);

/// A node's routed /64: `0x07`, the number of zeros, 48 key bits, then 64 bits for the hosts behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Subnet(Ipv6Addr);

/// What an IPv6 destination means in the overlay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Destination {
    /// A node.
    Node(Address),
    /// Some host behind a node.
    Routed(Subnet),
}

impl Address {
    /// The address of the node with this key.
    pub fn of(key: &PublicKey) -> Self {
        Self(derive(NODE, ADDRESS_BITS, key))
    }

    /// The address as IPv6.
    pub fn ip(&self) -> Ipv6Addr {
        self.0
    }

    /// The lowest key that has this address.
    pub fn lowest_key(&self) -> PublicKey {
        lowest_key(ADDRESS_BITS, self.0)
    }
}

impl Subnet {
    /// The /64 that the node with this key may route; its host part is zero.
    pub fn of(key: &PublicKey) -> Self {
        Self(derive(ROUTED, SUBNET_BITS, key))
    }

    /// The prefix as IPv6, host part zero.
    pub fn ip(&self) -> Ipv6Addr {
        self.0
    }

    /// Whether `ip` lies in this /64.
    pub fn contains(&self, ip: Ipv6Addr) -> bool {
        self.0.octets()[..8] == ip.octets()[..8]
    }

    /// The lowest key that has this /64.
    pub fn lowest_key(&self) -> PublicKey {
        lowest_key(SUBNET_BITS, self.0)
    }
}

impl Destination {
    /// What `ip` means, or `None` if it is outside the overlay's prefix.
    pub fn of(ip: Ipv6Addr) -> Option<Self> {
        let bytes = ip.octets();
        match bytes[0] {
            NODE => Some(Self::Node(Address(ip))),
            ROUTED => {
                let mut prefix = [0; 16];
                prefix[..8].copy_from_slice(&bytes[..8]);
                Some(Self::Routed(Subnet(prefix.into())))
            }
            _ => None,
        }
    }

    /// The lowest key that a packet to this destination may be for.
    pub fn lowest_key(&self) -> PublicKey {
        match self {
            Self::Node(address) => address.lowest_key(),
            Self::Routed(subnet) => subnet.lowest_key(),
        }
    }

    /// Whether the node with this key is the one.
    pub fn belongs_to(&self, key: &PublicKey) -> bool {
        match self {
            Self::Node(address) => *address == Address::of(key),
            Self::Routed(subnet) => *subnet == Subnet::of(key),
        }
    }

    /// The destination as IPv6 (host part zero for a /64).
    pub fn ip(&self) -> Ipv6Addr {
        match self {
            Self::Node(address) => address.ip(),
            Self::Routed(subnet) => subnet.ip(),
        }
    }
}

/// Whether the owner of `key` may send from `ip`: its address, or one in its /64.
pub fn may_send_from(key: &PublicKey, ip: Ipv6Addr) -> bool {
    Destination::of(ip).is_some_and(|destination| destination.belongs_to(key))
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl std::fmt::Display for Subnet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/64", self.0)
    }
}

/// `first` byte, number of leading zeros, then `bits` key bits from after the first one bit (zeros past the key's end).
fn derive(first: u8, bits: usize, key: &PublicKey) -> Ipv6Addr {
    let zeros = leading_zeros(key);
    let mut out = [0; 16];
    out[0] = first;
    out[1] = zeros as u8;
    copy_bits(&key.0, zeros + 1, &mut out, 16, bits);
    out.into()
}

/// The inverse of [`derive`], with every unknown bit zero.
fn lowest_key(bits: usize, ip: Ipv6Addr) -> PublicKey {
    let bytes = ip.octets();
    let zeros = usize::from(bytes[1]);
    let mut key = [0; 32];
    key[zeros / 8] |= 0x80 >> (zeros % 8);
    copy_bits(&bytes, 16, &mut key, zeros + 1, bits);
    PublicKey(key)
}

/// Leading zero bits, capped at 255: the key 0 has the address of the key 1, whose bit 255 is the only one.
fn leading_zeros(key: &PublicKey) -> usize {
    let (high, low) = (be128(&key.0[..16]), be128(&key.0[16..]));
    let zeros = if high == 0 { 128 + low.leading_zeros() } else { high.leading_zeros() };
    (zeros as usize).min(KEY_BITS - 1)
}

fn be128(bytes: &[u8]) -> u128 {
    bytes.iter().fold(0, |sum, byte| (sum << 8) | u128::from(*byte))
}

/// Copies up to `count` bits, most significant first; stops where either side ends. `to` must be zero there.
fn copy_bits(from: &[u8], from_bit: usize, to: &mut [u8], to_bit: usize, count: usize) {
    let count = count.min((from.len() * 8).saturating_sub(from_bit)).min((to.len() * 8).saturating_sub(to_bit));
    let byte_at = |at: usize| u16::from(from.get(at).copied().unwrap_or(0));
    let mut copied = 0;
    while copied < count {
        // As many bits as the byte that is written to has room for; every packet asks for this, so not one at a time.
        let (source, target) = (from_bit + copied, to_bit + copied);
        let room = (8 - target % 8).min(count - copied);
        let window = (byte_at(source / 8) << 8 | byte_at(source / 8 + 1)) << (source % 8);
        let bits = (window >> 8) as u8 & (0xff << (8 - room)) as u8;
        to[target / 8] |= bits >> (target % 8);
        copied += room;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(start: &[u8]) -> PublicKey {
        let mut bytes = [0; 32];
        bytes[..start.len()].copy_from_slice(start);
        PublicKey(bytes)
    }

    #[test]
    fn drops_the_leading_zeros_and_the_first_one_bit() {
        // 0000 0000 0000 1|010 1011 1100 … : twelve zeros, the one, then 010 1011 1100 1101 …
        let address = Address::of(&key(&[0x00, 0x0a, 0xbc, 0xd0]));
        assert_eq!(address.ip().octets()[..5], [0x06, 12, 0b0101_0111, 0b1001_1010, 0]);
        assert_eq!(Address::of(&key(&[0xff; 32])).ip().octets()[..3], [0x06, 0, 0xff]);
        assert_eq!(Address::of(&key(&[0x80])).to_string(), "600::");
        assert_eq!(Subnet::of(&key(&[0xff; 32])).to_string(), "700:ffff:ffff:ffff::/64");
    }

    #[test]
    fn the_extremes_of_leading_zeros_have_addresses() {
        let mut one = [0; 32];
        one[31] = 1;
        assert_eq!(Address::of(&PublicKey(one)).to_string(), "6ff::");
        assert_eq!(Address::of(&PublicKey::ZERO), Address::of(&PublicKey(one)));
        assert_eq!(Address::of(&PublicKey(one)).lowest_key(), PublicKey(one));
        let mut low = [0; 32];
        low[16] = 0x01;
        low[20] = 0x77;
        assert_eq!(Address::of(&PublicKey(low)).lowest_key(), PublicKey(low));
    }

    #[test]
    fn foreign_addresses_are_no_destination() {
        for ip in ["::1", "200::1", "500::", "800::", "fe80::1", "ff02::1", "2001:db8::1"] {
            assert_eq!(Destination::of(ip.parse().unwrap()), None, "{ip}");
        }
    }

    proptest! {
        #[test]
        fn bits_are_copied_as_one_by_one(
            from in prop::collection::vec(any::<u8>(), 0..34), from_bit in 0usize..280, to_bit in 0usize..280, count in 0usize..280,
        ) {
            let (mut fast, mut slow) = ([0u8; 32], [0u8; 32]);
            copy_bits(&from, from_bit, &mut fast, to_bit, count);
            for n in 0..count {
                let (a, b) = (from_bit + n, to_bit + n);
                if a < from.len() * 8 && b < 256 {
                    slow[b / 8] |= (from[a / 8] >> (7 - a % 8) & 1) << (7 - b % 8);
                }
            }
            prop_assert_eq!(fast, slow);
        }
    }

    /// Keys with a random number of leading zeros: uniform ones hardly have any.
    fn keys() -> impl Strategy<Value = PublicKey> {
        (any::<[u8; 32]>(), 0usize..256).prop_map(|(bytes, zeros)| {
            let mut shifted = [0; 32];
            shifted[zeros / 8] |= 0x80 >> (zeros % 8);
            copy_bits(&bytes, 0, &mut shifted, zeros + 1, 256);
            PublicKey(shifted)
        })
    }

    proptest! {
        #[test]
        fn the_lowest_key_of_an_address_has_it_and_is_not_above_the_owner(key in keys()) {
            let (address, subnet) = (Address::of(&key), Subnet::of(&key));
            prop_assert_eq!(Address::of(&address.lowest_key()), address);
            prop_assert_eq!(Subnet::of(&subnet.lowest_key()), subnet);
            prop_assert!(subnet.lowest_key() <= address.lowest_key() && address.lowest_key() <= key);
        }

        #[test]
        fn among_keys_with_as_many_zeros_addresses_keep_the_order_of_keys(a in keys(), tail in any::<[u8; 32]>()) {
            let zeros = leading_zeros(&a);
            let mut b = [0; 32];
            b[zeros / 8] |= 0x80 >> (zeros % 8);
            copy_bits(&tail, 0, &mut b, zeros + 1, 256);
            let b = PublicKey(b);
            let (low, high) = if a <= b { (a, b) } else { (b, a) };
            prop_assert!(Address::of(&low) <= Address::of(&high));
            prop_assert!(Subnet::of(&low) <= Subnet::of(&high));
        }

        #[test]
        fn every_key_may_send_from_its_own_addresses_only(a in keys(), b in keys(), host in any::<u64>()) {
            let mut routed = Subnet::of(&a).ip().octets();
            routed[8..].copy_from_slice(&host.to_be_bytes());
            prop_assert!(may_send_from(&a, Address::of(&a).ip()));
            prop_assert!(may_send_from(&a, routed.into()));
            prop_assert!(Subnet::of(&a).contains(routed.into()));
            prop_assert_eq!(may_send_from(&b, Address::of(&a).ip()), Address::of(&a) == Address::of(&b));
        }

        #[test]
        fn any_address_in_the_prefix_leads_to_a_key_and_back(bytes in any::<[u8; 16]>(), routed in any::<bool>()) {
            let mut bytes = bytes;
            bytes[0] = if routed { ROUTED } else { NODE };
            let destination = Destination::of(bytes.into()).unwrap();
            let key = destination.lowest_key();
            // Bits past the end of the key are lost: such an address belongs to nobody.
            let short = usize::from(bytes[1]) + 1 + if routed { SUBNET_BITS } else { ADDRESS_BITS } > KEY_BITS;
            prop_assert!(short || destination.belongs_to(&key));
        }
    }
}
