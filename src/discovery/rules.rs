//! `[[discovery.interface]]`: what is done on which interfaces, beyond whether they take part at all.

use serde::{Deserialize, Serialize};

use super::interface::{BadPattern, glob, is_pattern};
use crate::link::PeerPassword;

/// The least urgent priority that can be configured: as Yggdrasil's.
pub const MAX_PRIORITY: u8 = 254;

/// What is done on an interface that takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conduct {
    /// Whether neighbours that announce themselves are dialled.
    pub listen: bool,
    /// Whether we announce ourselves, and take the neighbours that dial us.
    pub beacon: bool,
    /// The priority of peerings with neighbours there; the lowest carries.
    pub priority: u8,
}

impl Default for Conduct {
    fn default() -> Self {
        Self { listen: true, beacon: true, priority: 0 }
    }
}

/// One `[[discovery.interface]]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InterfaceRule {
    /// Which interfaces: a name, with `*` and `?`.
    pattern: Pattern,
    #[serde(default = "yes")]
    listen: bool,
    #[serde(default = "yes")]
    beacon: bool,
    #[serde(default)]
    priority: Priority,
    /// What both sides of peerings there have to know.
    #[serde(default)]
    password: Option<PeerPassword>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
struct Pattern(String);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "i64", into = "i64")]
struct Priority(u8);

const fn yes() -> bool {
    true
}

impl TryFrom<String> for Pattern {
    type Error = BadPattern;

    fn try_from(text: String) -> Result<Self, BadPattern> {
        if !text.starts_with('!') && is_pattern(&text) { Ok(Self(text)) } else { Err(BadPattern::new(text)) }
    }
}

impl From<Pattern> for String {
    fn from(pattern: Pattern) -> Self {
        pattern.0
    }
}

impl TryFrom<i64> for Priority {
    type Error = &'static str;

    fn try_from(number: i64) -> Result<Self, Self::Error> {
        let number = u8::try_from(number).ok().filter(|number| *number <= MAX_PRIORITY);
        number.map(Self).ok_or("a priority is a number from 0 (carries first) to 254")
    }
}

impl From<Priority> for i64 {
    fn from(priority: Priority) -> Self {
        priority.0.into()
    }
}

/// All rules; of those that match an interface the first counts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct InterfaceRules(Vec<InterfaceRule>);

impl InterfaceRules {
    /// What is done on the interface of this name.
    pub fn conduct(&self, name: &str) -> Conduct {
        self.rule(name).map_or_else(Conduct::default, |rule| Conduct {
            listen: rule.listen,
            beacon: rule.beacon,
            priority: rule.priority.0,
        })
    }

    /// The password of peerings on the interface of this name.
    pub fn password(&self, name: &str) -> Option<&PeerPassword> {
        self.rule(name)?.password.as_ref()
    }

    fn rule(&self, name: &str) -> Option<&InterfaceRule> {
        self.0.iter().find(|rule| glob(rule.pattern.0.as_bytes(), name.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(text: &str) -> Result<InterfaceRules, String> {
        #[derive(Deserialize)]
        struct File {
            interface: InterfaceRules,
        }
        toml::from_str::<File>(text).map(|file| file.interface).map_err(|error| error.to_string())
    }

    #[test]
    fn the_first_rule_that_matches_counts_and_what_it_leaves_out_stays_as_it_is() {
        let rules = rules(
            "[[interface]]\npattern = 'wlan0'\npriority = 5\n[[interface]]\npattern = 'w*'\nlisten = false\nbeacon = false\n",
        )
        .unwrap();
        assert_eq!(rules.conduct("wlan0"), Conduct { priority: 5, ..Conduct::default() });
        assert_eq!(rules.conduct("wwan0"), Conduct { listen: false, beacon: false, priority: 0 });
        assert_eq!(rules.conduct("eth0"), Conduct::default());
        assert_eq!(InterfaceRules::default().conduct("eth0"), Conduct::default());
    }

    #[test]
    fn a_password_is_that_of_the_rule_that_counts() {
        let rules =
            rules("[[interface]]\npattern = 'wlan*'\npassword = '0123456789abcdef'\n[[interface]]\npattern = '*'\n")
                .unwrap();
        assert_eq!(rules.password("wlan1").map(PeerPassword::reveal), Some("0123456789abcdef"));
        assert_eq!(rules.password("eth0"), None);
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for (bad, words) in [
            ("pattern = '!eth0'", "no pattern of interface names"),
            ("pattern = ''", "no pattern of interface names"),
            ("pattern = 'eth0'\npriority = 255", "from 0 (carries first) to 254"),
            ("pattern = 'eth0'\npriority = -1", "from 0 (carries first) to 254"),
            ("pattern = 'eth0'\nspeak = true", "unknown field"),
            ("pattern = 'eth0'\npassword = 'short'", "a peering password has 16 to 128 characters"),
            ("listen = true", "missing field `pattern`"),
        ] {
            let error = rules(&format!("[[interface]]\n{bad}\n")).unwrap_err();
            assert!(error.contains(words), "{bad}: {error}");
        }
    }
}
