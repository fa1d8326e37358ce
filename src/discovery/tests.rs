//! Discovery on links with neighbours of both kinds: ours, and plain Pinecone nodes that dial at once.

mod rules;

use std::net::Ipv4Addr;

use proptest::prelude::*;

use super::*;
use crate::rng::Rng;

const ETH: u32 = 2;
const PORT: u16 = 7463;

fn key(n: u8) -> PublicKey {
    PublicKey([n; 32])
}

fn ethernet(host: u8) -> Interface {
    Interface {
        index: ETH,
        name: "eth0".to_owned(),
        multicast: true,
        point_to_point: false,
        v4: vec![(Ipv4Addr::new(192, 168, 1, host), 24)],
        v6_link_local: true,
    }
}

fn v4(host: u8) -> SocketAddr {
    (Ipv4Addr::new(192, 168, 1, host), BEACON_PORT).into()
}

fn v6(host: u8) -> SocketAddr {
    format!("[fe80::{host}%{ETH}]:{BEACON_PORT}").parse().unwrap()
}

fn at(seconds: f64) -> Instant {
    Instant::ZERO + Duration::from_secs_f64(seconds)
}

fn beacon(n: u8) -> [u8; Beacon::LEN] {
    Beacon { key: key(n), port: PORT }.encode()
}

fn config(n: u8) -> DiscoveryConfig {
    let interfaces = InterfacePatterns::default();
    DiscoveryConfig {
        own_key: key(n),
        port: PORT,
        interfaces,
        rules: InterfaceRules::default(),
        allowed: KeyList::default(),
        own_interface: Some("pine0".to_owned()),
    }
}

/// Discovery of node `n` on one Ethernet link.
fn discovery(n: u8) -> Discovery {
    let mut discovery = Discovery::new(config(n), Rng::new([n; 32]), Instant::ZERO);
    assert!(discovery.handle_interface_up(ethernet(n), Instant::ZERO));
    discovery
}

fn transmits(discovery: &mut Discovery) -> Vec<Transmit> {
    std::iter::from_fn(|| discovery.poll_transmit()).collect()
}

fn dials(discovery: &mut Discovery) -> Vec<Dial> {
    std::iter::from_fn(|| discovery.poll_dial()).collect()
}

fn up(id: u64, n: u8, inbound: bool, authenticated: bool) -> PeeringUp {
    PeeringUp { id: PeeringId(id), key: key(n), interface: ETH, family: Family::V6, inbound, authenticated }
}

/// The same over IPv4.
fn over_v4(up: PeeringUp) -> PeeringUp {
    PeeringUp { family: Family::V4, ..up }
}

#[test]
fn beacons_go_out_at_once_over_both_families_and_slow_down_on_a_quiet_link() {
    let mut discovery = discovery(1);
    let first = transmits(&mut discovery);
    assert_eq!(first.iter().map(|transmit| transmit.family).collect::<Vec<_>>(), [Family::V4, Family::V6]);
    assert!(first.iter().all(|transmit| transmit.interface == ETH && transmit.datagram == beacon(1)));
    let mut count = [0; 4];
    while let Some(now) = discovery.poll_timeout().filter(|now| *now < at(240.0)) {
        discovery.handle_timeout(now);
        count[(now.as_micros() / 60_000_000) as usize] += transmits(&mut discovery).len() / 2;
    }
    assert!((27..=34).contains(&count[0]), "{count:?}");
    assert!(count[1..].iter().all(|count| (5..=8).contains(count)), "{count:?}");
}

#[test]
fn a_newcomer_makes_beacons_quick_again() {
    let mut discovery = discovery(1);
    while let Some(now) = discovery.poll_timeout().filter(|now| *now < at(200.0)) {
        discovery.handle_timeout(now);
    }
    discovery.handle_beacon(ETH, v6(9), &beacon(9), at(200.0)).unwrap();
    assert!(discovery.poll_timeout().unwrap() <= at(202.0));
}

#[test]
fn unsuitable_interfaces_do_not_take_part() {
    let mut discovery = Discovery::new(config(1), Rng::new([1; 32]), Instant::ZERO);
    let mut refuses = |change: fn(&mut Interface)| {
        let mut interface = ethernet(1);
        change(&mut interface);
        !discovery.handle_interface_up(interface, Instant::ZERO)
    };
    assert!(refuses(|interface| interface.multicast = false));
    assert!(refuses(|interface| interface.point_to_point = true));
    assert!(refuses(|interface| interface.name = "pine0".to_owned()), "our own interface");
    assert!(refuses(|interface| (interface.v4, interface.v6_link_local) = (vec![], false)));
    let excluding = InterfacePatterns::try_from(vec!["*".to_owned(), "!eth*".to_owned()]).unwrap();
    let mut discovery =
        Discovery::new(DiscoveryConfig { interfaces: excluding, ..config(1) }, Rng::new([1; 32]), Instant::ZERO);
    assert!(!discovery.handle_interface_up(ethernet(1), Instant::ZERO));
    assert_eq!((discovery.poll_transmit(), discovery.poll_timeout()), (None, None));
    let heard = discovery.handle_beacon(ETH, v6(9), &beacon(9), Instant::ZERO);
    assert_eq!(heard, Err(BeaconIgnored::OtherInterface(ETH)));
}

#[test]
fn telling_the_same_interface_again_changes_nothing() {
    let mut discovery = discovery(1);
    transmits(&mut discovery);
    assert!(discovery.handle_interface_up(ethernet(1), at(1.0)));
    assert_eq!(discovery.poll_transmit(), None);
    let renumbered = Interface { v4: vec![(Ipv4Addr::new(10, 0, 0, 1), 8)], ..ethernet(1) };
    assert!(discovery.handle_interface_up(renumbered, at(1.0)));
    assert_eq!(transmits(&mut discovery).len(), 2);
}

#[test]
fn the_higher_key_dials_at_once_and_the_lower_waits() {
    let mut high = discovery(9);
    high.handle_beacon(ETH, v6(1), &beacon(1), at(1.0)).unwrap();
    let address = format!("[fe80::1%{ETH}]:{PORT}").parse().unwrap();
    assert_eq!(dials(&mut high), [Dial { address, interface: ETH, key: key(1) }]);

    let mut low = discovery(1);
    low.handle_beacon(ETH, v4(9), &beacon(9), at(1.0)).unwrap();
    low.handle_timeout(at(1.49));
    assert_eq!(low.poll_dial(), None);
    low.handle_timeout(at(2.5));
    assert_eq!(dials(&mut low)[0].address, "192.168.1.9:7463".parse().unwrap());
}

#[test]
fn beacons_of_both_families_lead_to_one_dial() {
    let mut discovery = discovery(9);
    for second in 1..10 {
        discovery.handle_beacon(ETH, v4(1), &beacon(1), at(second.into())).unwrap();
        discovery.handle_beacon(ETH, v6(1), &beacon(1), at(second.into())).unwrap();
    }
    assert_eq!(dials(&mut discovery).len(), 1);
    assert_eq!(discovery.handle_peering_up(up(1, 1, false, true), at(10.0)), PeeringVerdict::Keep);
    for second in 10..100 {
        discovery.handle_beacon(ETH, v6(1), &beacon(1), at(second.into())).unwrap();
        discovery.handle_timeout(at(second.into()));
    }
    assert_eq!(dials(&mut discovery), []);
}

#[test]
fn a_neighbour_that_dials_us_is_not_dialled() {
    let mut low = discovery(1);
    low.handle_beacon(ETH, v6(9), &beacon(9), at(1.0)).unwrap();
    assert_eq!(low.handle_peering_up(up(1, 9, true, false), at(1.2)), PeeringVerdict::Keep);
    low.handle_timeout(at(5.0));
    assert_eq!(low.poll_dial(), None);
}

#[test]
fn one_key_on_two_links_gets_a_peering_on_each() {
    let mut discovery = discovery(9);
    let wlan = Interface { index: 3, name: "wlan0".to_owned(), ..ethernet(9) };
    assert!(discovery.handle_interface_up(wlan, Instant::ZERO));
    for interface in [ETH, 3] {
        discovery.handle_beacon(interface, v6(1), &beacon(1), at(1.0)).unwrap();
    }
    assert_eq!(dials(&mut discovery).iter().map(|dial| dial.interface).collect::<Vec<_>>(), [ETH, 3]);
}

#[test]
fn of_two_peerings_both_sides_keep_the_one_that_the_higher_key_dialled() {
    // (1) dialled by node 9, (2) dialled by node 1; each side sees them in either order.
    for authenticated in [true, false] {
        for first_dialled_by_high in [true, false] {
            for node in [1u8, 9] {
                let mut discovery = discovery(node);
                let other = 10 - node;
                let peering = |id: u64| up(id, other, (id == 1) == (node == 1), authenticated);
                let (first, second) = if first_dialled_by_high { (1, 2) } else { (2, 1) };
                assert_eq!(discovery.handle_peering_up(peering(first), at(1.0)), PeeringVerdict::Keep);
                let verdict = if second == 1 { PeeringVerdict::Replace(PeeringId(2)) } else { PeeringVerdict::Close };
                assert_eq!(discovery.handle_peering_up(peering(second), at(1.1)), verdict);
                // The end of the one that is closed makes nobody dial.
                discovery.handle_peering_down(PeeringId(2), at(1.2));
                discovery.handle_beacon(ETH, v6(other), &beacon(other), at(1.3)).unwrap();
                discovery.handle_timeout(at(20.0));
                assert_eq!(discovery.poll_dial(), None);
            }
        }
    }
}

#[test]
fn the_peering_that_a_plain_node_wants_over_the_other_ip_version_stays() {
    let mut discovery = discovery(9);
    discovery.handle_beacon(ETH, v6(1), &beacon(1), at(1.0)).unwrap();
    assert_eq!(dials(&mut discovery).len(), 1);
    assert_eq!(discovery.handle_peering_up(up(1, 1, false, false), at(1.1)), PeeringVerdict::Keep);
    assert_eq!(discovery.handle_peering_up(over_v4(up(2, 1, true, false)), at(1.2)), PeeringVerdict::Keep);
    // Over each of them one is enough: for the plain node too, which only wants to know that there is any.
    assert_eq!(discovery.handle_peering_up(up(3, 1, true, false), at(1.3)), PeeringVerdict::Close);
    assert_eq!(discovery.handle_peering_up(over_v4(up(4, 1, true, false)), at(1.4)), PeeringVerdict::Close);
    // The end of either makes us dial only once the other is gone too.
    discovery.handle_peering_down(PeeringId(1), at(20.0));
    discovery.handle_beacon(ETH, v6(1), &beacon(1), at(20.0)).unwrap();
    assert_eq!(dials(&mut discovery), []);
    discovery.handle_peering_down(PeeringId(2), at(21.0));
    discovery.handle_beacon(ETH, v6(1), &beacon(1), at(21.0)).unwrap();
    assert_eq!(dials(&mut discovery).len(), 1);
}

#[test]
fn a_recorded_hello_displaces_no_neighbour_and_a_proven_key_displaces_a_recorded_hello() {
    let mut discovery = discovery(9);
    assert_eq!(discovery.handle_peering_up(up(1, 1, true, false), at(1.0)), PeeringVerdict::Keep);
    assert_eq!(discovery.handle_peering_up(up(2, 1, true, false), at(2.0)), PeeringVerdict::Close);
    let proven = discovery.handle_peering_up(up(3, 1, true, true), at(3.0));
    assert_eq!(proven, PeeringVerdict::Replace(PeeringId(1)));
    assert_eq!(discovery.handle_peering_up(up(4, 1, false, false), at(4.0)), PeeringVerdict::Close);
    let restarted = discovery.handle_peering_up(up(5, 1, true, true), at(5.0));
    assert_eq!(restarted, PeeringVerdict::Replace(PeeringId(3)));
}

#[test]
fn failures_make_the_waits_longer_and_turn_to_the_other_family() {
    let mut discovery = discovery(9);
    let (mut now, mut began, mut families) = (at(1.0), Vec::new(), Vec::new());
    while now < at(400.0) {
        discovery.handle_beacon(ETH, v4(1), &beacon(1), now).unwrap();
        discovery.handle_beacon(ETH, v6(1), &beacon(1), now).unwrap();
        for dial in dials(&mut discovery) {
            began.push(now);
            families.push(dial.address.is_ipv6());
            discovery.handle_dial_failed(&dial.key, ETH, now);
        }
        now = now + Duration::from_millis(100);
        discovery.handle_timeout(now);
    }
    let waits: Vec<_> = began.windows(2).map(|pair| pair[1].saturating_since(pair[0]).as_secs_f64()).collect();
    assert!(waits[0] >= 1.8 && waits[0] < 2.5 && waits[1] > 3.5 && waits[2] > 7.0, "{waits:?}");
    assert!(waits.iter().all(|wait| *wait < 67.0) && waits.len() < 12, "{waits:?}");
    assert!(families.windows(2).all(|pair| pair[0] != pair[1]), "{families:?}");
}

#[test]
fn a_neighbour_that_comes_back_after_a_lasting_peering_is_dialled_at_once() {
    let mut discovery = discovery(9);
    discovery.handle_beacon(ETH, v6(1), &beacon(1), at(1.0)).unwrap();
    assert_eq!(dials(&mut discovery).len(), 1);
    assert_eq!(discovery.handle_peering_up(up(1, 1, false, true), at(1.1)), PeeringVerdict::Keep);
    discovery.handle_beacon(ETH, v6(1), &beacon(1), at(50.0)).unwrap();
    discovery.handle_peering_down(PeeringId(1), at(51.0));
    assert_eq!(dials(&mut discovery).len(), 1);
    // One that ends at once is treated as a failure.
    assert_eq!(discovery.handle_peering_up(up(2, 1, false, true), at(51.1)), PeeringVerdict::Keep);
    discovery.handle_peering_down(PeeringId(2), at(51.2));
    assert_eq!(dials(&mut discovery), []);
}

#[test]
fn a_neighbour_that_went_silent_is_not_dialled() {
    let mut discovery = discovery(9);
    discovery.handle_beacon(ETH, v6(1), &beacon(1), at(1.0)).unwrap();
    assert_eq!(discovery.handle_peering_up(up(1, 1, true, true), at(1.1)), PeeringVerdict::Keep);
    dials(&mut discovery);
    discovery.handle_dial_failed(&key(1), ETH, at(2.0));
    discovery.handle_peering_down(PeeringId(1), at(100.0));
    discovery.handle_timeout(at(160.0));
    assert_eq!(dials(&mut discovery), []);
    discovery.handle_beacon(ETH, v6(1), &beacon(1), at(161.0)).unwrap();
    assert_eq!(dials(&mut discovery).len(), 1);
}

#[test]
fn a_dial_whose_end_nobody_tells_does_not_block_the_neighbour_for_ever() {
    let mut discovery = discovery(9);
    discovery.handle_beacon(ETH, v6(1), &beacon(1), at(1.0)).unwrap();
    assert_eq!(dials(&mut discovery).len(), 1);
    for second in 2..40 {
        discovery.handle_beacon(ETH, v6(1), &beacon(1), at(second.into())).unwrap();
        discovery.handle_timeout(at(second.into()));
    }
    assert_eq!(dials(&mut discovery).len(), 1);
}

#[test]
fn useless_datagrams_are_named_and_have_no_effect() {
    let mut discovery = discovery(9);
    let mut hear = |from: SocketAddr, datagram: &[u8]| discovery.handle_beacon(ETH, from, datagram, at(1.0));
    assert_eq!(hear(v6(1), &beacon(1)[..33]), Err(BeaconIgnored::TooShort(33)));
    assert_eq!(hear(v6(1), &[]), Err(BeaconIgnored::TooShort(0)));
    assert_eq!(hear(v6(9), &beacon(9)), Ok(()), "our own");
    let portless = Beacon { key: key(1), port: 0 }.encode();
    assert_eq!(hear(v6(1), &portless), Err(BeaconIgnored::NoPort(v6(1))));
    for elsewhere in ["8.8.8.8:60606", "192.168.2.1:60606", "[2001:db8::1]:60606", "127.0.0.1:60606"] {
        let from = elsewhere.parse().unwrap();
        assert_eq!(hear(from, &beacon(1)), Err(BeaconIgnored::NotOnLink(from)));
    }
    assert_eq!(dials(&mut discovery), []);
}

#[test]
fn a_liar_makes_us_dial_seldom_and_does_not_keep_others_out() {
    let mut discovery = discovery(200);
    let mut dialled = Vec::new();
    for n in 0..60_000u32 {
        let now = at(f64::from(n) / 1000.0);
        let mut key = [0; 32];
        key[..4].copy_from_slice(&n.to_be_bytes());
        let lie = Beacon { key: PublicKey(key), port: 22 }.encode();
        let _ = discovery.handle_beacon(ETH, v6((n / 100 % 250) as u8), &lie, now);
        if n % 2000 == 500 {
            discovery.handle_beacon(ETH, v6(255), &beacon(1), now).unwrap();
        }
        discovery.handle_timeout(now);
        for dial in dials(&mut discovery) {
            discovery.handle_dial_failed(&dial.key, ETH, now);
            dialled.push(dial.key);
        }
    }
    assert!(dialled.len() <= (60 * DIAL_RATE + DIAL_BURST) as usize, "{}", dialled.len());
    assert!(dialled.contains(&key(1)));
    assert!(discovery.neighbours.len() <= MAX_NEIGHBOURS && discovery.due.len() <= MAX_NEIGHBOURS);
}

#[test]
fn what_others_say_about_a_neighbours_address_counts_once_the_known_one_has_failed() {
    let mut discovery = discovery(1);
    discovery.handle_beacon(ETH, v6(9), &beacon(9), at(1.0)).unwrap();
    discovery.handle_beacon(ETH, v6(66), &beacon(9), at(1.1)).unwrap();
    let moved = Beacon { key: key(9), port: 99 }.encode();
    discovery.handle_beacon(ETH, v6(9), &moved, at(1.2)).unwrap();
    discovery.handle_timeout(at(3.0));
    assert_eq!(dials(&mut discovery)[0].address.to_string(), "[fe80::9%2]:99");
    discovery.handle_dial_failed(&key(9), ETH, at(4.0));
    discovery.handle_beacon(ETH, v6(66), &beacon(9), at(5.0)).unwrap();
    discovery.handle_timeout(at(9.0));
    assert_eq!(dials(&mut discovery)[0].address.to_string(), format!("[fe80::66%2]:{PORT}"));
}

#[test]
fn an_address_is_believed_a_few_keys_only() {
    let mut discovery = discovery(200);
    let heard: Vec<_> = (1..20).map(|n| discovery.handle_beacon(ETH, v6(1), &beacon(n), at(1.0))).collect();
    assert_eq!(heard.iter().filter(|heard| heard.is_ok()).count(), MAX_KEYS_PER_ADDRESS);
    assert_eq!(heard[18], Err(BeaconIgnored::TooManyKeys(v6(1))));
}

#[test]
fn an_interface_that_goes_down_takes_its_neighbours_along() {
    let mut discovery = discovery(1);
    discovery.handle_beacon(ETH, v6(9), &beacon(9), at(1.0)).unwrap();
    discovery.handle_interface_down(ETH);
    discovery.handle_timeout(at(10.0));
    assert_eq!((discovery.poll_dial(), discovery.poll_transmit(), discovery.poll_timeout()), (None, None, None));
    assert!(discovery.handle_interface_up(ethernet(1), at(20.0)));
    discovery.handle_beacon(ETH, v6(9), &beacon(9), at(20.0)).unwrap();
    discovery.handle_timeout(at(22.0));
    assert_eq!(dials(&mut discovery).len(), 1);
}

/// Two nodes of ours on one link, with a delay for datagrams and connections; returns what each dialled in a minute.
fn meet(a: u8, b: u8, start_of_b: f64, delay: f64) -> (usize, usize) {
    let mut nodes = [(discovery(a), a, at(0.0)), (discovery(b), b, at(start_of_b))];
    let mut dialled = [0, 0];
    let mut on_the_way: BTreeSet<(Instant, u64, usize, bool, bool)> = BTreeSet::new();
    let (mut serial, mut now) = (0, Instant::ZERO);
    while now < at(60.0) {
        for i in 0..2 {
            let (discovery, _, start) = &mut nodes[i];
            if now < *start {
                continue;
            }
            discovery.handle_timeout(now);
            for transmit in transmits(discovery) {
                serial += 1;
                on_the_way.insert((
                    now + Duration::from_secs_f64(delay),
                    serial,
                    1 - i,
                    false,
                    transmit.family == Family::V6,
                ));
            }
            for _ in dials(discovery) {
                dialled[i] += 1;
                serial += 1;
                on_the_way.insert((now + Duration::from_secs_f64(2.0 * delay), serial, i, true, false));
                on_the_way.insert((now + Duration::from_secs_f64(2.0 * delay), serial, 1 - i, true, true));
            }
        }
        while let Some((at, id, to, is_peering, flag)) = on_the_way.first().copied().filter(|first| first.0 <= now) {
            on_the_way.remove(&(at, id, to, is_peering, flag));
            let other = nodes[1 - to].1;
            let (discovery, _, start) = &mut nodes[to];
            if is_peering {
                let _ = discovery.handle_peering_up(up(id, other, flag, true), now);
            } else if now >= *start {
                let from = if flag { v6(other) } else { v4(other) };
                discovery.handle_beacon(ETH, from, &beacon(other), now).unwrap();
            }
        }
        now = now + Duration::from_millis(1);
    }
    (dialled[0], dialled[1])
}

#[test]
fn two_nodes_of_ours_make_one_peering() {
    assert_eq!(meet(1, 9, 0.0, 0.002), (0, 1));
    assert_eq!(meet(9, 1, 0.0, 0.1), (1, 0));
    assert_eq!(meet(1, 9, 0.4, 0.02), (1, 0), "the higher key has heard nothing when the wait is over");
    assert_eq!(meet(9, 1, 30.0, 0.02), (1, 0));
}

proptest! {
    #[test]
    fn no_neighbour_is_dialled_twice_at_a_time_or_while_it_is_a_peer(
        steps in prop::collection::vec((0u8..8, 1u8..5, any::<bool>(), 0u64..3000), 1..400), own in 1u8..6,
    ) {
        let mut discovery = Discovery::new(config(own), Rng::new([own; 32]), Instant::ZERO);
        prop_assert!(discovery.handle_interface_up(ethernet(own), Instant::ZERO));
        let (mut now, mut serial, mut count) = (Instant::ZERO, 0, 0);
        let mut dialling: BTreeMap<PublicKey, Instant> = BTreeMap::new();
        let mut peerings: BTreeMap<(PublicKey, Family), PeeringId> = BTreeMap::new();
        for (step, n, flag, pause) in steps {
            now = now + Duration::from_millis(pause);
            let family = if pause % 2 == 0 { Family::V4 } else { Family::V6 };
            // Dials whose end is not told run out by themselves.
            dialling.retain(|_, began| !began.has_passed(DIAL_DEADLINE, now));
            for step in [7, step] {
                match step {
                    0..=3 => {
                        let heard = discovery.handle_beacon(ETH, if flag { v4(n) } else { v6(n) }, &beacon(n), now);
                        prop_assert_eq!(heard, Ok(()));
                    }
                    4 => {
                        let inbound = dialling.remove(&key(n)).is_none();
                        serial += 1;
                        let place = (key(n), family);
                        match discovery.handle_peering_up(PeeringUp { family, ..up(serial, n, inbound, flag) }, now) {
                            PeeringVerdict::Close => prop_assert!(peerings.contains_key(&place)),
                            PeeringVerdict::Keep => prop_assert_eq!(peerings.insert(place, PeeringId(serial)), None),
                            PeeringVerdict::Replace(old) => {
                                prop_assert_eq!(peerings.insert(place, PeeringId(serial)), Some(old));
                            }
                        }
                    }
                    5 => {
                        if let Some(id) = peerings.remove(&(key(n), family)) {
                            discovery.handle_peering_down(id, now);
                        }
                    }
                    6 => {
                        discovery.handle_dial_failed(&key(n), ETH, now);
                        dialling.remove(&key(n));
                    }
                    _ => discovery.handle_timeout(now),
                }
                for dial in dials(&mut discovery) {
                    prop_assert!(dial.key != key(own));
                    prop_assert!(peerings.keys().all(|(key, _)| *key != dial.key));
                    prop_assert!(dialling.insert(dial.key, now).is_none());
                    count += 1;
                }
            }
        }
        prop_assert!(count <= u64::from(DIAL_BURST) + u64::from(DIAL_RATE) * (now.as_micros() / 1_000_000 + 1));
        prop_assert!(discovery.poll_timeout().is_some());
    }
}
