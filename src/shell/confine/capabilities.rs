//! Capabilities: none are left, but for those that something configured needs later.

use std::collections::BTreeSet;

use caps::{CapSet, Capability, CapsHashSet};

use crate::config::{Config, ListenAddress};

/// A capability that stays, and why.
pub(super) struct Needed {
    capability: Capability,
    why: &'static str,
}

/// Ports below this are for who has CAP_NET_BIND_SERVICE.
const PRIVILEGED_PORTS: u16 = 1024;

/// What the configuration needs after the start.
pub(super) fn needed(config: &Config, undoes: bool) -> Vec<Needed> {
    let mut needed = Vec::new();
    if config.peering.fwmark != 0 {
        let why = "peering.fwmark: every new socket is marked";
        needed.push(Needed { capability: Capability::CAP_NET_ADMIN, why });
    } else if undoes {
        let why = "the interface was there before: our address and route are taken off it at the end";
        needed.push(Needed { capability: Capability::CAP_NET_ADMIN, why });
    }
    let is_privileged = |address: &ListenAddress| matches!(address, ListenAddress::Ip(ip) if (1..PRIVILEGED_PORTS).contains(&ip.port()));
    if config.peering.listen.iter().any(|uri| is_privileged(&uri.address)) {
        let why = "peering.listen has a port below 1024: a reload may open another one";
        needed.push(Needed { capability: Capability::CAP_NET_BIND_SERVICE, why });
    }
    needed
}

/// Gives up all others. Returns those that are left, with the reasons; one that we never had is not there.
pub(super) fn drop_all_but(needed: &[Needed]) -> Vec<String> {
    let has = caps::read(None, CapSet::Permitted).unwrap_or_default();
    let keep: Vec<&Needed> = needed.iter().filter(|needed| has.contains(&needed.capability)).collect();
    let set: CapsHashSet = keep.iter().map(|needed| needed.capability).collect();
    // Only root may narrow the bounding set. Without new privileges nothing can come of it anyway.
    for capability in caps::all().difference(&set) {
        let _ = caps::drop(None, CapSet::Bounding, *capability);
    }
    let nothing = CapsHashSet::new();
    let steps = [
        (CapSet::Ambient, &nothing),
        (CapSet::Inheritable, &nothing),
        (CapSet::Effective, &set),
        (CapSet::Permitted, &set),
    ];
    for (which, to) in steps {
        if let Err(error) = caps::set(None, which, to) {
            tracing::warn!("cannot give up capabilities ({which:?}): {error}");
        }
    }
    keep.iter().map(|Needed { capability, why }| format!("{capability} ({why})")).collect()
}

/// All that we have.
pub(super) fn held() -> Vec<String> {
    let held: BTreeSet<String> =
        caps::read(None, CapSet::Effective).unwrap_or_default().into_iter().map(|held| held.to_string()).collect();
    held.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(text: &str, undoes: bool) -> Vec<Capability> {
        needed(&Config::parse(text, "test").unwrap(), undoes).iter().map(|needed| needed.capability).collect()
    }

    #[test]
    fn nothing_is_kept_but_what_something_configured_needs() {
        assert_eq!(kept("", false), []);
        assert_eq!(kept("", true), [Capability::CAP_NET_ADMIN]);
        assert_eq!(kept("peering.fwmark = 7", true), [Capability::CAP_NET_ADMIN]);
        assert_eq!(kept("peering.listen = ['wss://[::]:443']", false), [Capability::CAP_NET_BIND_SERVICE]);
        assert_eq!(kept("peering.listen = ['tcp://127.0.0.1:0', 'tcp://[::]:1024']", false), []);
    }
}
