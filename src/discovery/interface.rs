//! Which interfaces take part in discovery, and which addresses count as being on their link.

use std::net::{Ipv4Addr, SocketAddr};

use serde::{Deserialize, Serialize};

use super::beacon::Family;

/// An interface as the operating system describes it. Only interfaces that are up are told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interface {
    /// The operating system's number for it.
    pub index: u32,
    /// Its name, e.g. `eth0`.
    pub name: String,
    /// Whether it carries multicast.
    pub multicast: bool,
    /// Whether it has just one other end: a tunnel or a modem.
    pub point_to_point: bool,
    /// Its IPv4 addresses with the lengths of their prefixes.
    pub v4: Vec<(Ipv4Addr, u8)>,
    /// Whether it has an IPv6 link-local address.
    pub v6_link_local: bool,
}

impl Interface {
    /// The families that beacons can be sent with.
    pub(super) fn families(&self) -> impl Iterator<Item = Family> {
        let v4 = self.v4.iter().any(|(address, _)| !address.is_loopback() && !address.is_unspecified());
        [v4.then_some(Family::V4), self.v6_link_local.then_some(Family::V6)].into_iter().flatten()
    }

    /// Whether `address` can only be a host on this link: nobody elsewhere is dialled because of a beacon.
    pub(super) fn has_on_link(&self, address: SocketAddr) -> bool {
        match address {
            SocketAddr::V4(address) => self.v4.iter().any(|(own, len)| in_prefix(*address.ip(), *own, *len)),
            SocketAddr::V6(address) => self.v6_link_local && address.ip().is_unicast_link_local(),
        }
    }
}

/// Whether `address` is a host in the prefix that `own` is in. Not its network or broadcast address, where there are such.
fn in_prefix(address: Ipv4Addr, own: Ipv4Addr, len: u8) -> bool {
    // A shorter prefix is a misconfiguration; half of the Internet is not on a link.
    if !(8..=32).contains(&len) {
        return false;
    }
    let host_bits = u32::MAX.checked_shr(len.into()).unwrap_or(0);
    let host = address.to_bits() & host_bits;
    let is_host = len >= 31 || (host != 0 && host != host_bits);
    address.to_bits() & !host_bits == own.to_bits() & !host_bits && is_host
}

/// `discovery.interfaces`: patterns of names, such as `["*"]` or `["eth*", "!docker*"]`.
///
/// `*` stands for any characters and `?` for one. An interface takes part if some pattern without `!` matches its name (or
/// there is none but patterns with `!`) and no pattern with `!` does; their order does not matter. An empty list is no
/// interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<String>", into = "Vec<String>")]
pub struct InterfacePatterns(Vec<String>);

/// A pattern that cannot match any interface.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no pattern of interface names: write a name such as \"eth0\", with * and ? for any characters and one, and ! before it to exclude"
)]
pub struct BadPattern(String);

impl BadPattern {
    pub(super) const fn new(pattern: String) -> Self {
        Self(pattern)
    }
}

impl InterfacePatterns {
    /// Whether an interface of this name takes part.
    pub fn matches(&self, name: &str) -> bool {
        let mut only_exclusions = true;
        let mut included = false;
        for pattern in &self.0 {
            if let Some(excluded) = pattern.strip_prefix('!') {
                if glob(excluded.as_bytes(), name.as_bytes()) {
                    return false;
                }
            } else {
                only_exclusions = false;
                included |= glob(pattern.as_bytes(), name.as_bytes());
            }
        }
        included || (only_exclusions && !self.0.is_empty())
    }
}

impl Default for InterfacePatterns {
    fn default() -> Self {
        Self(vec!["*".to_owned()])
    }
}

impl TryFrom<Vec<String>> for InterfacePatterns {
    type Error = BadPattern;

    fn try_from(patterns: Vec<String>) -> Result<Self, BadPattern> {
        let is_good = |pattern: &String| is_pattern(pattern.strip_prefix('!').unwrap_or(pattern));
        match patterns.iter().find(|pattern| !is_good(pattern)) {
            Some(bad) => Err(BadPattern(bad.clone())),
            None => Ok(Self(patterns)),
        }
    }
}

impl From<InterfacePatterns> for Vec<String> {
    fn from(patterns: InterfacePatterns) -> Self {
        patterns.0
    }
}

/// Whether some name may match: no slash, no space, as the kernel has it. Its length is not checked: a pattern may be longer.
pub(super) fn is_pattern(text: &str) -> bool {
    !text.is_empty() && !text.contains(|c: char| c == '/' || c == '!' || c.is_whitespace() || c.is_control())
}

/// Whether `pattern` with its `*` and `?` matches all of `name`. Only the last `*` is ever reconsidered, so this is quadratic
/// at worst.
pub(super) fn glob(pattern: &[u8], name: &[u8]) -> bool {
    let (mut p, mut n) = (0, 0);
    let mut last_star: Option<(usize, usize)> = None;
    while n < name.len() {
        match pattern.get(p) {
            Some(b'*') => {
                last_star = Some((p, n));
                p += 1;
            }
            Some(c) if *c == b'?' || *c == name[n] => {
                p += 1;
                n += 1;
            }
            _ => {
                let Some((star, taken)) = last_star else { return false };
                last_star = Some((star, taken + 1));
                p = star + 1;
                n = taken + 1;
            }
        }
    }
    pattern[p..].iter().all(|c| *c == b'*')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn patterns(list: &[&str]) -> Result<InterfacePatterns, BadPattern> {
        list.iter().map(ToString::to_string).collect::<Vec<_>>().try_into()
    }

    #[test]
    fn exclusions_win_over_inclusions_in_any_order() {
        for list in [["eth*", "!eth1"], ["!eth1", "eth*"]] {
            let patterns = patterns(&list).unwrap();
            assert!(patterns.matches("eth0") && !patterns.matches("eth1") && !patterns.matches("wlan0"));
        }
        let all_but = patterns(&["!docker*", "!veth*"]).unwrap();
        assert!(all_but.matches("eth0") && !all_but.matches("docker0"));
        assert!(!patterns(&[]).unwrap().matches("eth0"));
        assert!(InterfacePatterns::default().matches("anything"));
    }

    #[test]
    fn stars_and_question_marks_stand_for_characters() {
        for (pattern, name, matches) in [
            ("en?s0", "enps0", true),
            ("en?s0", "ens0", false),
            ("*a*b", "xaab", true),
            ("*a*b", "xabc", false),
            ("**", "", true),
            ("eth0", "eth01", false),
            ("br-*", "br-", true),
        ] {
            assert_eq!(glob(pattern.as_bytes(), name.as_bytes()), matches, "{pattern} {name}");
        }
    }

    #[test]
    fn patterns_that_match_nothing_are_refused() {
        for bad in ["", "!", "eth 0", "a/b", "!!x"] {
            assert_eq!(patterns(&["*", bad]), Err(BadPattern(bad.to_owned())));
        }
    }

    #[test]
    fn only_hosts_on_the_link_are_on_the_link() {
        let v4 = vec![(Ipv4Addr::new(192, 168, 1, 7), 24), (Ipv4Addr::new(10, 0, 0, 1), 0)];
        let interface = Interface { v4, v6_link_local: true, ..Interface::default() };
        let on_link = |address: &str| interface.has_on_link(address.parse().unwrap());
        assert!(on_link("192.168.1.200:1") && on_link("192.168.1.7:1") && on_link("[fe80::1%2]:1"));
        for address in [
            "192.168.1.0:1",
            "192.168.1.255:1",
            "192.168.2.1:1",
            "10.0.0.2:1",
            "8.8.8.8:1",
            "[2001:db8::1]:1",
            "[::1]:1",
        ] {
            assert!(!on_link(address), "{address}");
        }
        assert!(in_prefix(Ipv4Addr::new(10, 0, 0, 0), Ipv4Addr::new(10, 0, 0, 1), 31), "both ends of a /31 are hosts");
    }

    proptest! {
        #[test]
        fn a_glob_agrees_with_trying_everything(pattern in "[ab*?]{0,6}", name in "[ab]{0,6}") {
            fn tries(pattern: &[u8], name: &[u8]) -> bool {
                match pattern.split_first() {
                    None => name.is_empty(),
                    Some((b'*', rest)) => (0..=name.len()).any(|taken| tries(rest, &name[taken..])),
                    Some((c, rest)) => name.split_first().is_some_and(|(n, left)| (*c == b'?' || c == n) && tries(rest, left)),
                }
            }
            prop_assert_eq!(glob(pattern.as_bytes(), name.as_bytes()), tries(pattern.as_bytes(), name.as_bytes()));
        }
    }
}
