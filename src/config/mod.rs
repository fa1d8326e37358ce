//! Configuration: TOML text to a typed [`Config`].
//!
//! This module reads text, never files: the shell hands it what it read, and the name to put into errors. Whatever a value
//! can be checked for without looking at the host is checked while it is read, so that the error can name its line; what
//! needs the host (may this key file be read? is that directory there?) is `pineconed check`'s and the daemon's.
//!
//! Rules of the format: every key has a default, an unknown key is an error, an empty string means "none" where a value is
//! optional, paths are absolute or relative to the working directory.

pub mod changes;
pub mod effective;
mod error;
mod metrics;
mod secret;
mod uri;
mod values;

use std::net::Ipv6Addr;
use std::path::PathBuf;

use serde::Deserialize;

pub use error::{ConfigError, Position};
pub use metrics::{MetricsListen, MetricsListenError};
pub use secret::{Secret, WeakSecret};
pub use uri::{
    Endpoint, Host, ListenAddress, ListenUri, Login, NetEndpoint, PeerUri, ProxyKind, ProxyUri, Rate, Scheme,
    SocketPath, UriError,
};
pub use values::{InterfaceName, LogFilter, LogFormat, SessionCipher, TunName, ValueError};

use values::{distinct, optional_group, optional_path, section};

use crate::admission::{AllowedKeys, DEFAULT_PER_SOURCE, MAX_INBOUND};
use crate::discovery::{InterfacePatterns, InterfaceRules};
use crate::dns::names::PetNames;
use crate::ip::firewall::Policy;
use crate::node::PeerPolicy;
use crate::router::Transit;

/// The port that peerings listen on unless told otherwise: the phone keys of PINE.
pub const DEFAULT_PORT: u16 = 7463;
/// The port that peerings over TLS listen on unless told otherwise.
pub const DEFAULT_TLS_PORT: u16 = 7464;
/// Where the daemon looks for its configuration if it is not told a file.
pub const DEFAULT_FILE: &str = "/etc/pinecone/pineconed.toml";
/// Where the private key lies unless told otherwise.
pub const DEFAULT_KEY_FILE: &str = "/var/lib/pinecone/node.key";
/// Where the control socket lies unless told otherwise.
pub const DEFAULT_SOCKET: &str = "/run/pinecone/pineconed.sock";

/// Everything that can be configured. [`Config::default`] is what an empty file means.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Who this node is.
    #[serde(deserialize_with = "section")]
    pub node: NodeSection,
    /// The host's interface to the overlay.
    #[serde(deserialize_with = "section")]
    pub tun: TunSection,
    /// Peerings by configuration.
    #[serde(deserialize_with = "section")]
    pub peering: PeeringSection,
    /// End-to-end sessions.
    #[serde(deserialize_with = "section")]
    pub session: SessionSection,
    /// Peerings found on the LAN.
    #[serde(deserialize_with = "section")]
    pub discovery: DiscoverySection,
    /// What others may open towards this host.
    #[serde(deserialize_with = "section")]
    pub firewall: FirewallSection,
    /// Names.
    #[serde(deserialize_with = "section")]
    pub dns: DnsSection,
    /// The control socket.
    #[serde(deserialize_with = "section")]
    pub control: ControlSection,
    /// The process.
    #[serde(deserialize_with = "section")]
    pub service: ServiceSection,
    /// Prometheus metrics.
    #[serde(deserialize_with = "section")]
    pub metrics: MetricsSection,
    /// The log.
    #[serde(deserialize_with = "section")]
    pub log: LogSection,
}

/// `[node]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NodeSection {
    /// File of the private key; made on the first start.
    pub private_key_file: PathBuf,
    /// Whether the node carries what others send to others.
    pub transit: Transit,
    /// Whether the node says who it is when somebody traces a path through it.
    pub answer_trace: bool,
}

/// `[tun]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TunSection {
    /// The interface, or none for a node that only routes for others.
    pub name: TunName,
    /// The interface's MTU in bytes.
    #[serde(deserialize_with = "values::mtu")]
    pub mtu: u16,
    /// Whether the kernel is asked for segmentation offload.
    pub offload: bool,
    /// An open TUN descriptor that was passed to the daemon, to be used instead of opening one.
    #[serde(deserialize_with = "values::descriptor")]
    pub fd: Option<i32>,
    /// The network namespace that the interface is in: a name under `/run/netns`, or a path; none for ours.
    #[serde(deserialize_with = "optional_path")]
    pub netns: Option<PathBuf>,
}

/// `[peering]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PeeringSection {
    /// Where to accept peerings.
    #[serde(deserialize_with = "distinct")]
    pub listen: Vec<ListenUri>,
    /// Whom to dial, for as long as the daemon runs.
    #[serde(deserialize_with = "distinct")]
    pub peers: Vec<PeerUri>,
    /// Refuse peerings whose link did not prove the peer's key.
    pub require_authenticated: bool,
    /// The proxy for peers whose URI names none.
    #[serde(deserialize_with = "values::optional_proxy")]
    pub proxy: Option<ProxyUri>,
    /// The mark of all sockets of peerings (`SO_MARK`); 0 is none.
    #[serde(deserialize_with = "values::fwmark")]
    pub fwmark: u32,
    /// PEM file of CAs that vouch for web servers at `wss://`, instead of those that the host trusts.
    #[serde(deserialize_with = "optional_path")]
    pub tls_ca_file: Option<PathBuf>,
    /// Whose peerings are wanted.
    #[serde(deserialize_with = "section")]
    pub allowed_keys: AllowedKeys,
    /// Most inbound peerings.
    #[serde(deserialize_with = "values::max_inbound")]
    pub max_inbound: usize,
    /// Most inbound peerings from one source.
    #[serde(deserialize_with = "values::max_inbound")]
    pub max_inbound_per_source: usize,
}

/// `[session]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SessionSection {
    /// File of the group password; none for sessions with anyone.
    #[serde(deserialize_with = "optional_path")]
    pub password_file: Option<PathBuf>,
    /// What packets are sealed with.
    pub cipher: SessionCipher,
    /// Whether packets take source routes.
    pub source_routes: bool,
    /// Whether frames by source routes show relays a label instead of both ends' keys.
    pub seal_sources: bool,
}

/// `[discovery]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DiscoverySection {
    /// Whether to look for peers on the LAN.
    pub enabled: bool,
    /// The interfaces to look on.
    pub interfaces: InterfacePatterns,
    /// What is done on which of them.
    pub interface: InterfaceRules,
}

/// `[firewall]`
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FirewallSection {
    /// What others may open towards this host.
    pub inbound: Policy,
}

/// `[dns]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DnsSection {
    /// Whether names are answered for.
    pub enabled: bool,
    /// Whether systemd-resolved, where it runs, is told where to ask for them.
    pub systemd_resolved: bool,
    /// What this host calls nodes.
    pub names: PetNames,
}

/// `[control]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ControlSection {
    /// Path of the control socket.
    #[serde(deserialize_with = "values::socket_path")]
    pub socket: PathBuf,
    /// A group whose members may use it besides the daemon's own user and root: a name or a number.
    #[serde(deserialize_with = "optional_group")]
    pub group: Option<String>,
}

/// `[service]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServiceSection {
    /// Whether the process gives up what it needs no more once it has started.
    pub confine: bool,
}

/// `[metrics]`
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MetricsSection {
    /// Where Prometheus can read them.
    pub listen: MetricsListen,
}

/// `[log]`
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogSection {
    /// What to log.
    pub level: LogFilter,
    /// How lines look.
    pub format: LogFormat,
}

impl Default for NodeSection {
    fn default() -> Self {
        Self { private_key_file: DEFAULT_KEY_FILE.into(), transit: Transit::Full, answer_trace: true }
    }
}

impl Default for SessionSection {
    fn default() -> Self {
        Self { password_file: None, cipher: SessionCipher::default(), source_routes: true, seal_sources: true }
    }
}

impl Default for TunSection {
    fn default() -> Self {
        Self { name: TunName::default(), mtu: values::MAX_MTU, offload: true, fd: None, netns: None }
    }
}

impl Default for DnsSection {
    fn default() -> Self {
        Self { enabled: true, systemd_resolved: true, names: PetNames::default() }
    }
}

impl Default for ControlSection {
    fn default() -> Self {
        Self { socket: DEFAULT_SOCKET.into(), group: None }
    }
}

impl Default for ServiceSection {
    fn default() -> Self {
        Self { confine: true }
    }
}

impl Default for PeeringSection {
    fn default() -> Self {
        let listen = [(Scheme::Tcp, DEFAULT_PORT), (Scheme::Tls, DEFAULT_TLS_PORT)].map(|(scheme, port)| ListenUri {
            scheme,
            address: (Ipv6Addr::UNSPECIFIED, port).into(),
            password: None,
            interface: None,
            policy: PeerPolicy::default(),
        });
        Self {
            listen: listen.into(),
            peers: Vec::new(),
            require_authenticated: false,
            proxy: None,
            fwmark: 0,
            tls_ca_file: None,
            allowed_keys: AllowedKeys::default(),
            max_inbound: MAX_INBOUND,
            max_inbound_per_source: DEFAULT_PER_SOURCE,
        }
    }
}

impl Default for DiscoverySection {
    fn default() -> Self {
        Self { enabled: true, interfaces: InterfacePatterns::default(), interface: InterfaceRules::default() }
    }
}

impl Config {
    /// Reads `text`; `file` is its name in errors.
    ///
    /// # Errors
    /// The first thing that is wrong, with its place: TOML syntax, an unknown key, a value that cannot be.
    pub fn parse(text: &str, file: &str) -> Result<Self, ConfigError> {
        let deserializer = toml::Deserializer::parse(text).map_err(|error| ConfigError::syntax(file, text, &error))?;
        serde_path_to_error::deserialize(deserializer).map_err(|error| ConfigError::value(file, text, &error))
    }

    /// What is allowed but probably not meant, in sentences.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if self.peering.allowed_keys.is_restricted() && !self.peering.require_authenticated {
            warnings.push(
                "peering.allowed_keys: links that do not prove the peer's key only claim it, and whoever has seen an allowed node's \
                 hello can repeat it; with peering.require_authenticated = true the lists hold against that too"
                    .to_owned(),
            );
        }
        if let MetricsListen::Tcp(address) = self.metrics.listen
            && !address.ip().to_canonical().is_loopback()
        {
            warnings.push(format!(
                "metrics.listen: whoever can reach {address} can read the metrics, which name this node's peers and its firewall's rules; they \
                 are neither encrypted nor protected by a password: prefer a loopback address, a socket, or an address that a firewall guards"
            ));
        }
        if self.peering.listen.is_empty() && self.peering.peers.is_empty() && !self.discovery.enabled {
            warnings.push(
                "peering.listen and peering.peers are both empty: this node will be alone until `pineconectl peer add`"
                    .to_owned(),
            );
        }
        warnings.extend(self.past_the_proxy());
        if self.tun.name == TunName::None && self.tun.fd.is_some() {
            warnings.push("tun.fd is not used while tun.name is \"none\"; remove one of the two".to_owned());
        }
        warnings
    }

    /// Peers that are never dialled, because they could only be past the proxy.
    fn past_the_proxy(&self) -> Option<String> {
        let proxy = self.peering.proxy.as_ref()?;
        let quic: Vec<_> = self.peering.peers.iter().filter(|peer| peer.scheme == Scheme::Quic).collect();
        let names = quic.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        (!quic.is_empty()).then(|| {
            format!(
                "peering.peers: {names} will never be dialled: quic:// goes through no proxy, and peering.proxy is {proxy}; use tls:// for such \
                 peers, or set peering.proxy = \"\" and give the others a ?proxy= of their own"
            )
        })
    }
}

#[cfg(test)]
mod tests;
