//! What a node is told at its start, and the defaults of that.

use crate::ip::firewall::Policy;
use crate::node::routes::RouteConfig;
use crate::router::{Profile, Rules, Transit};
use crate::wire::extensions::Extensions;

/// What a node is told at its start.
#[derive(Clone)]
pub struct NodeConfig {
    /// The MTU of our interface, told to the other side of every session.
    pub mtu: u16,
    /// The group password's hash; zeros without one.
    pub psk: [u8; 32],
    /// Whether this CPU has instructions for AES-256-GCM.
    pub aes: bool,
    /// What others may open towards this host.
    pub firewall: Policy,
    /// Most entries in the snake's routing table.
    pub max_routes: usize,
    /// Most sessions at a time.
    pub max_sessions: usize,
    /// How the router decides, and when.
    pub profile: Profile,
    /// Whether we carry what others send to others.
    pub transit: Transit,
    /// Source routes.
    pub routes: RouteConfig,
}

impl NodeConfig {
    /// What peers have to be told that this node understands, apart from what concerns the link.
    pub const fn extensions(&self) -> Extensions {
        let transit = if self.profile.rules.transit { self.transit.extensions() } else { Extensions::NONE };
        self.rules().extensions().and(transit)
    }

    /// The router's rules. A node that never carries takes no part in source routes, so that none leads through it.
    pub(super) const fn rules(&self) -> Rules {
        let rules = self.profile.rules;
        Rules { source_routes: rules.source_routes && !matches!(self.transit, Transit::Never), ..rules }
    }
}

impl std::fmt::Debug for NodeConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { mtu, psk: _, aes, firewall, max_routes, max_sessions, profile, transit, routes } = self;
        f.debug_struct("NodeConfig")
            .field("mtu", mtu)
            .field("aes", aes)
            .field("firewall", firewall)
            .field("max_routes", max_routes)
            .field("max_sessions", max_sessions)
            .field("profile", profile)
            .field("transit", transit)
            .field("routes", routes)
            .finish_non_exhaustive()
    }
}

impl Default for NodeConfig {
    fn default() -> Self {
        Self {
            mtu: 65_000,
            psk: [0; 32],
            aes: false,
            firewall: Policy::Established,
            max_routes: 65_536,
            max_sessions: 4_096,
            profile: Profile::improved(),
            transit: Transit::Full,
            routes: RouteConfig::default(),
        }
    }
}
