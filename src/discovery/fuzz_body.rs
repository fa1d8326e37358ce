//! The body of the fuzz target `beacon`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

use super::{BEACON_PORT, Beacon, DIAL_BURST, DIAL_RATE, Discovery, DiscoveryConfig, Interface, MAX_DIALS};
use crate::keys::PublicKey;
use crate::rng::Rng;
use crate::time::{Duration, Instant};

/// The link that takes part.
const LINK: u32 = 2;
const OWN: PublicKey = PublicKey([7; 32]);

/// Datagrams on a LAN: each is a source (1 byte), a pause (1 byte, in 64 ms), a length (1 byte) and so many bytes. Nobody is dialled but who is
/// on that link and no node but others, and not more or faster than discovery allows, whatever is announced.
pub fn fuzz_beacon(data: &[u8]) {
    let (mut discovery, mut now, mut dialled, mut rest) = (on_ethernet(), Instant::ZERO, 0, data);
    while let Some(([source, pause, len], behind)) = rest.split_first_chunk() {
        let (datagram, behind) = behind.split_at(usize::from(*len).min(behind.len()));
        rest = behind;
        if let Some(beacon) = Beacon::parse(datagram) {
            assert!(datagram.starts_with(&beacon.encode()));
        }
        now = now + Duration::from_millis(64 * u64::from(*pause));
        discovery.handle_timeout(now);
        // Says why where it is of no use; any answer will do.
        let _ = discovery.handle_beacon(LINK + u32::from(source >> 7), address(*source), datagram, now);
        while let Some(dial) = discovery.poll_dial() {
            assert!(dial.interface == LINK && dial.key != OWN && dial.address.port() != 0);
            assert!(is_on_link(dial.address.ip()), "{} is dialled", dial.address);
            dialled += 1;
        }
        assert!(discovery.dialling.len() <= MAX_DIALS);
        assert!(
            dialled
                <= u64::from(DIAL_BURST) + 1 + now.saturating_since(Instant::ZERO).as_secs() * u64::from(DIAL_RATE + 1)
        );
        while let Some(transmit) = discovery.poll_transmit() {
            assert!(Beacon::parse(&transmit.datagram).is_some_and(|beacon| beacon.key == OWN));
        }
    }
}

fn on_ethernet() -> Discovery {
    let config = DiscoveryConfig {
        own_key: OWN,
        port: 7463,
        interfaces: Default::default(),
        rules: Default::default(),
        allowed: Default::default(),
        own_interface: None,
    };
    let mut discovery = Discovery::new(config, Rng::new([1; 32]), Instant::ZERO);
    let interface = Interface {
        index: LINK,
        name: "eth0".to_owned(),
        multicast: true,
        point_to_point: false,
        v4: vec![(Ipv4Addr::new(192, 168, 1, 1), 24)],
        v6_link_local: true,
    };
    assert!(discovery.handle_interface_up(interface, Instant::ZERO));
    discovery
}

/// A neighbour's address over either IP version, or one that is not on the link.
fn address(source: u8) -> SocketAddr {
    let host = source >> 2 & 15;
    match source % 4 {
        0 => (Ipv4Addr::new(192, 168, 1, host), BEACON_PORT).into(),
        1 => SocketAddrV6::new(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, host.into()), BEACON_PORT, 0, LINK).into(),
        2 => (Ipv4Addr::new(203, 0, 113, host), BEACON_PORT).into(),
        _ => (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, host.into()), BEACON_PORT).into(),
    }
}

fn is_on_link(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => matches!(address.octets(), [192, 168, 1, 1..=254]),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    }
}
