//! What a changed file changes: every key, and whether a daemon that runs can follow it.
//!
//! One table names all keys ([`KEYS`]). A key that the table leaves out does not compile, so nobody adds one without deciding what a
//! reload does with it; `config.example.toml` says the same to people, and a test compares the two.

use std::fmt::{self, Debug, Display};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{
    Config, ControlSection, DiscoverySection, DnsSection, FirewallSection, ListenUri, LogFilter, LogFormat, LogSection,
    MetricsListen, MetricsSection, NodeSection, PeerUri, PeeringSection, ProxyUri, ServiceSection, SessionCipher,
    SessionSection, TunName, TunSection,
};
use crate::admission::AllowedKeys;
use crate::discovery::{InterfacePatterns, InterfaceRules};
use crate::dns::names::PetNames;
use crate::ip::firewall::Policy;
use crate::router::Transit;

/// When a change takes effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// At a reload.
    Reload,
    /// At the next start.
    Restart,
}

impl Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Reload => "reload",
            Self::Restart => "restart",
        })
    }
}

/// One key that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// `section.key`.
    pub key: String,
    /// What differs, without secrets.
    pub what: String,
    /// When it counts.
    pub effect: Effect,
}

macro_rules! keys {
    ($($section:ident: $Section:ident { $($key:ident = $effect:ident),* $(,)? })*) => {
        /// Every key, and when a change of it takes effect.
        pub const KEYS: &[(&str, Effect)] =
            &[$($((concat!(stringify!($section), ".", stringify!($key)), Effect::$effect),)*)*];

        /// What differs between two configurations, in the order of [`KEYS`].
        pub fn between(before: &Config, after: &Config) -> Vec<Change> {
            let Config { $($section: _),* } = before;
            let mut changes = Vec::new();
            $(
                let $Section { $($key: _),* } = &before.$section;
                $(
                    if before.$section.$key != after.$section.$key {
                        changes.push(Change {
                            key: concat!(stringify!($section), ".", stringify!($key)).to_owned(),
                            what: before.$section.$key.change_to(&after.$section.$key),
                            effect: Effect::$effect,
                        });
                    }
                )*
            )*
            changes
        }

        /// What a daemon that runs with `before` runs with after it reloaded `after`: what needs a restart stays as it was.
        pub fn reloaded(before: &Config, after: &Config) -> Config {
            let mut config = after.clone();
            $($(
                if Effect::$effect == Effect::Restart {
                    config.$section.$key = before.$section.$key.clone();
                }
            )*)*
            config
        }
    };
}

keys! {
    node: NodeSection { private_key_file = Restart, transit = Restart, answer_trace = Restart }
    tun: TunSection { name = Restart, mtu = Restart, offload = Restart, fd = Restart, netns = Restart }
    peering: PeeringSection {
        listen = Reload, peers = Reload, require_authenticated = Reload, proxy = Reload, fwmark = Restart,
        tls_ca_file = Restart, allowed_keys = Reload, max_inbound = Reload, max_inbound_per_source = Reload,
    }
    session: SessionSection { password_file = Reload, cipher = Reload, source_routes = Reload, seal_sources = Restart }
    discovery: DiscoverySection { enabled = Reload, interfaces = Reload, interface = Reload }
    firewall: FirewallSection { inbound = Reload }
    dns: DnsSection { enabled = Reload, systemd_resolved = Restart, names = Reload }
    control: ControlSection { socket = Restart, group = Reload }
    service: ServiceSection { confine = Restart }
    metrics: MetricsSection { listen = Restart }
    log: LogSection { level = Reload, format = Restart }
}

/// Says how one value became another.
trait ChangeTo {
    fn change_to(&self, after: &Self) -> String;
}

macro_rules! shown_by {
    ($show:expr => $($type:ty),*) => {
        $(impl ChangeTo for $type {
            fn change_to(&self, after: &Self) -> String {
                let show: fn(&$type) -> String = $show;
                format!("{} → {}", show(self), show(after))
            }
        })*
    };
}

shown_by!(|value| value.to_string() => bool, MetricsListen, u16, u32, usize, LogFilter);
shown_by!(|value| format!("{value:?}") => PathBuf, String);
shown_by!(|value| value.as_ref().map_or_else(|| "none".to_owned(), |value| format!("{value:?}")) =>
    Option<i32>, Option<PathBuf>, Option<String>);
// Without the login.
shown_by!(|value| value.as_ref().map_or_else(|| "none".to_owned(), ToString::to_string) => Option<ProxyUri>);
shown_by!(|value| match value {
    TunName::None => "none".to_owned(),
    TunName::Named(name) => name.to_string(),
} => TunName);
shown_by!(|value| format!("{value:?}").to_lowercase() => LogFormat, SessionCipher, Transit);

/// Lists: what goes and what comes.
macro_rules! list {
    ($($type:ty),*) => {
        $(impl ChangeTo for Vec<$type> {
            fn change_to(&self, after: &Self) -> String {
                let missing = |from: &Self, sign: &str, to: &Self| -> Vec<String> {
                    from.iter().filter(|entry| !to.contains(entry)).map(|entry| format!("{sign}{entry}")).collect()
                };
                let all = [missing(self, "−", after), missing(after, "+", self)].concat();
                if all.is_empty() { "in another order".to_owned() } else { all.join(" ") }
            }
        })*
    };
}

list!(PeerUri, ListenUri);

/// Lists of keys and rules: too long to be told in a line.
macro_rules! opaque {
    ($($type:ty),*) => {
        $(impl ChangeTo for $type {
            fn change_to(&self, _: &Self) -> String {
                "changed".to_owned()
            }
        })*
    };
}

opaque!(AllowedKeys, InterfacePatterns, InterfaceRules, PetNames);

impl ChangeTo for Policy {
    fn change_to(&self, after: &Self) -> String {
        let show = |policy: &Self| match policy {
            Self::Open => "open".to_owned(),
            other if other.rules().is_empty() => "established".to_owned(),
            other => format!("{} rules", other.rules().len()),
        };
        format!("{} → {}", show(self), show(after))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> Config {
        Config::parse(text, "test").unwrap()
    }

    fn said(before: &str, after: &str) -> Vec<String> {
        let changes = between(&config(before), &config(after));
        changes.into_iter().map(|change| format!("{} ({}): {}", change.key, change.effect, change.what)).collect()
    }

    #[test]
    fn equal_files_differ_in_nothing() {
        assert_eq!(said("tun.mtu = 1280", "[tun]\nmtu = 1280"), Vec::<String>::new());
    }

    #[test]
    fn changes_say_what_differs_and_when_it_counts() {
        let before = "peering.peers = ['tcp://192.0.2.1:1', 'tcp://192.0.2.2:2']\nfirewall.inbound = 'open'";
        let after = "peering.peers = ['tcp://192.0.2.2:2', 'tcp://192.0.2.3:3']\n[tun]\nmtu = 1280\nname = 'none'";
        assert_eq!(
            said(before, after),
            [
                "tun.name (restart): pine0 → none",
                "tun.mtu (restart): 65000 → 1280",
                "peering.peers (reload): −tcp://192.0.2.1:1 +tcp://192.0.2.3:3",
                "firewall.inbound (reload): open → established",
            ]
        );
    }

    #[test]
    fn no_secret_is_told() {
        let with_login = "peering.proxy = 'socks5://joshua:hunter2@127.0.0.1:1'\n\
             peering.peers = ['tcp://192.0.2.1:1?proxy=socks5://joshua:hunter2@127.0.0.1:1']";
        let all = said("", with_login).join("\n");
        assert!(all.contains("127.0.0.1:1") && !all.contains("hunter2"), "{all}");
    }

    #[test]
    fn what_needs_a_restart_stays_as_it_was_until_then() {
        let (before, after) = (config("tun.mtu = 1280"), config("tun.mtu = 1500\nlog.level = 'debug'"));
        let running = reloaded(&before, &after);
        assert_eq!((running.tun.mtu, running.log.level.as_str()), (1280, "debug"));
        let left: Vec<_> = between(&running, &after).into_iter().map(|change| change.key).collect();
        assert_eq!(left, ["tun.mtu"], "and the next reload says so again");
    }
}
