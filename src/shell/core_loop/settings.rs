//! What can be changed while the core runs: the last step of a reload, which cannot fail any more.

use std::sync::Arc;

use tokio::sync::oneshot;
use zeroize::Zeroizing;

use super::Core;
use crate::admission::{AllowedKeys, Direction, Limits};
use crate::config::PeerUri;
use crate::discovery::DiscoveryConfig;
use crate::dns::Responder;
use crate::ip::firewall::Policy;
use crate::rng::Rng;
use crate::shell::lan::Lan;
use crate::shell::peer_task::PeeringId;
use crate::shell::peerings::{Origin, Peering};
use crate::shell::transport::underlay::Underlay;
use crate::shell::wanted::{MAX_WANTED, NotAdded};
use crate::time::Instant;

/// All of it, as the file says now. What is the same as before changes nothing.
pub(crate) struct Settings {
    /// Peers that the file had and has no more, or has with other options.
    pub(crate) gone: Vec<PeerUri>,
    /// All peers of the file.
    pub(crate) peers: Vec<PeerUri>,
    /// How connections are made from now on.
    pub(crate) underlay: Arc<Underlay>,
    /// Refuse peers that do not prove their keys.
    pub(crate) require_authenticated: bool,
    /// Whose peerings are wanted.
    pub(crate) allowed: AllowedKeys,
    /// How many inbound peerings.
    pub(crate) limits: Limits,
    /// LAN discovery, and randomness for it; none if it is off.
    pub(crate) discovery: Option<(DiscoveryConfig, Rng)>,
    /// The firewall's policy, if it changed.
    pub(crate) firewall: Option<Policy>,
    /// Who answers for names; none if nobody does.
    pub(crate) dns: Option<Responder>,
    /// The group password's hash.
    pub(crate) psk: Zeroizing<[u8; 32]>,
    /// Whether AES-256-GCM may be agreed on.
    pub(crate) aes: bool,
    /// Whether packets take source routes.
    pub(crate) source_routes: bool,
}

/// Settings, and where to tell that they are in force, with what did not fit.
pub(crate) type Apply = (Box<Settings>, oneshot::Sender<Vec<String>>);

impl Core {
    /// Does what the settings say. Peerings that are wanted as before go on.
    pub(super) fn apply(&mut self, (settings, done): Apply, now: Instant) {
        let Settings {
            gone,
            peers,
            underlay,
            require_authenticated,
            allowed,
            limits,
            discovery,
            firewall,
            dns,
            psk,
            aes,
            source_routes,
        } = *settings;
        self.dns = dns;
        self.peerings.set_underlay(underlay);
        self.peerings.admission.set_limits(limits);
        (self.require_authenticated, self.allowed) = (require_authenticated, allowed);
        if let Some(policy) = firewall {
            self.node.set_firewall(policy, now);
        }
        self.node.set_aes(aes);
        self.node.set_source_routes(source_routes);
        self.node.set_psk(&psk, now);
        self.set_discovery(discovery, now);
        self.close_unwanted(now);
        let warnings = self.set_peers(&gone, peers, now);
        // Whoever asked may have gone.
        let _ = done.send(warnings);
    }

    fn set_discovery(&mut self, discovery: Option<(DiscoveryConfig, Rng)>, now: Instant) {
        match (&mut self.lan, discovery) {
            (Some(lan), Some((config, _))) => lan.set_rules(config, &self.network, now),
            (None, Some((config, rng))) => {
                let mut lan = Lan::new(config, rng, now);
                lan.network_changed(&self.network, now);
                self.lan = Some(lan);
            }
            (_, None) => self.lan = None,
        }
        for (id, interface) in self.peerings.neighbours() {
            if !self.lan.as_ref().is_some_and(|lan| lan.takes_part(interface)) {
                self.close(id, "peers are not looked for on this link any more", now);
            }
        }
    }

    /// Ends peerings that would not be let in now.
    fn close_unwanted(&mut self, now: Instant) {
        for id in self.peerings.all_up() {
            let Some(Peering { origin, pinned, up: Some(peer), .. }) = self.peerings.get(id) else { continue };
            let direction = direction(origin, *pinned);
            if let Err(why) = self.allowed.check(&peer.key, direction) {
                let reason = format!("the peer has the key {}, and {why}", peer.key);
                self.close(id, &reason, now);
            } else if self.require_authenticated && !peer.proven {
                self.close(id, "it has not proven its key, and peering.require_authenticated is set now", now);
            }
        }
    }

    fn set_peers(&mut self, gone: &[PeerUri], peers: Vec<PeerUri>, now: Instant) -> Vec<String> {
        let removed: Vec<PeeringId> = gone.iter().filter_map(|uri| self.wanted.remove(uri).flatten()).collect();
        for id in removed {
            self.close(id, "the configuration does not name the peer like this any more", now);
        }
        let mut warnings = Vec::new();
        for uri in peers {
            let text = uri.to_string();
            // It is there, or a peer of `peer add` is with the same endpoint: that is what is wanted.
            if self.wanted.add(uri, now) == Err(NotAdded::Full) {
                warnings.push(format!("peering.peers: {text} is left out: there are {MAX_WANTED} peers already"));
            }
        }
        warnings
    }
}

/// How a peering came about, as the lists of allowed keys see it.
pub(super) fn direction(origin: &Origin, pinned: bool) -> Direction {
    match origin {
        Origin::Inbound => Direction::Inbound,
        Origin::Wanted(_) => Direction::Outbound { pinned },
        Origin::Lan { .. } => Direction::Lan,
    }
}
