//! What `[[discovery.interface]]` and `peering.allowed_keys.lan` change.

use super::*;

/// Discovery on one Ethernet link with one rule for it.
fn discovery_with(rule: &str) -> Discovery {
    let rules =
        toml::from_str::<BTreeMap<String, InterfaceRules>>(&format!("r = [{{ pattern = 'eth*', {rule} }}]")).unwrap();
    let mut discovery =
        Discovery::new(DiscoveryConfig { rules: rules["r"].clone(), ..config(1) }, Rng::new([1; 32]), Instant::ZERO);
    let _ = discovery.handle_interface_up(ethernet(1), Instant::ZERO);
    discovery
}

#[test]
fn an_interface_where_we_do_not_announce_ourselves_still_finds_others() {
    let mut discovery = discovery_with("beacon = false");
    discovery.handle_beacon(ETH, v6(9), &beacon(9), at(1.0)).unwrap();
    while let Some(now) = discovery.poll_timeout().filter(|now| *now < at(60.0)) {
        discovery.handle_timeout(now);
    }
    assert_eq!((transmits(&mut discovery).len(), dials(&mut discovery)[0].key), (0, key(9)));
}

#[test]
fn an_interface_where_nobody_is_looked_for_still_announces_us() {
    let mut discovery = discovery_with("listen = false, priority = 7");
    assert_eq!(discovery.handle_beacon(ETH, v6(9), &beacon(9), at(1.0)), Err(BeaconIgnored::NotListening(ETH)));
    discovery.handle_timeout(at(5.0));
    assert!(!transmits(&mut discovery).is_empty() && dials(&mut discovery).is_empty());
    assert_eq!(discovery.conduct(ETH), Some(Conduct { listen: false, beacon: true, priority: 7 }));
}

#[test]
fn an_interface_where_neither_is_done_takes_no_part() {
    let mut discovery = discovery_with("listen = false, beacon = false");
    assert!(!discovery.handle_interface_up(ethernet(1), Instant::ZERO));
    assert_eq!((discovery.poll_timeout(), discovery.conduct(ETH)), (None, None));
}

#[test]
fn neighbours_whose_keys_are_not_allowed_are_not_dialled() {
    let allowed: KeyList = serde_json::from_str(&format!("[\"{}\"]", key(8))).unwrap();
    let mut discovery = Discovery::new(DiscoveryConfig { allowed, ..config(1) }, Rng::new([1; 32]), Instant::ZERO);
    assert!(discovery.handle_interface_up(ethernet(1), Instant::ZERO));
    assert_eq!(discovery.handle_beacon(ETH, v6(9), &beacon(9), at(1.0)), Err(BeaconIgnored::NotAllowed(key(9))));
    discovery.handle_beacon(ETH, v6(8), &beacon(8), at(1.0)).unwrap();
    discovery.handle_timeout(at(5.0));
    assert_eq!(dials(&mut discovery).iter().map(|dial| dial.key).collect::<Vec<_>>(), [key(8)]);
}
