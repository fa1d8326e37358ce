//! Peerings that come up and that end: who has to be told, and what it means for the next attempt.

use super::Core;
use super::settings::direction;
use crate::admission::Refusal;
use crate::control::events::Event;
use crate::discovery::PeeringVerdict;
use crate::node::{PeerInfo, PeerPolicy};
use crate::shell::confine;
use crate::shell::peer_task::{PeerUp, PeeringId};
use crate::shell::peerings::{Origin, PeerIs, Peering};
use crate::time::Instant;

impl Core {
    /// A peering is up, if it may be.
    pub(super) fn peer_up(
        &mut self,
        id: PeeringId,
        PeerUp { key, proven: authenticated, extensions }: PeerUp,
        now: Instant,
    ) {
        let Some(peering) = self.peerings.get(id) else { return };
        let (ends, peering_uri) = (peering.ends, peering.uri.clone());
        let direction = direction(&peering.origin, peering.pinned);
        // First: what is remembered of proofs is for those who may be peers.
        if let Err(why) = self.allowed.check(&key, direction) {
            self.refuse(why, &format!("{key} at {peering_uri}"), now);
            self.close(id, &format!("the peer has the key {key}, and {why}"), now);
            return;
        }
        if let Err(reason) = self.check_identity(&key, authenticated, now) {
            let why = if self.require_authenticated { Refusal::Unproven } else { Refusal::Claimed };
            self.refuse(why, &format!("{key} at {peering_uri}"), now);
            self.close(id, reason, now);
            return;
        }
        let Some(peering) = self.peerings.get(id) else { return };
        let (uri, origin) = (peering.uri.clone(), peering.origin.clone());
        let (kind, inbound) = (peering.kind, origin.is_inbound());
        let policy = match (&origin, &self.lan) {
            (Origin::Lan { interface, .. }, Some(lan)) => {
                PeerPolicy { priority: lan.priority(*interface), ..peering.policy }
            }
            _ => peering.policy,
        };
        let info = PeerInfo { key, kind, uri: uri.clone(), inbound, authenticated, extensions };
        let verdict = match (&origin, ends, &mut self.lan) {
            (Origin::Lan { interface, .. }, Some(ends), Some(lan)) => lan.peering_up(id, *interface, ends, &info, now),
            _ => PeeringVerdict::Keep,
        };
        if verdict == PeeringVerdict::Close {
            self.close(id, "there is a peering with this neighbour on this link already", now);
            return;
        }
        match self.node.add_peer(info, now) {
            Ok(port) => {
                self.peerings.up(id, PeerIs { key, proven: authenticated, port });
                self.node.set_policy(port, policy, now);
                if let Origin::Wanted(name) = &origin {
                    self.wanted.up(name, now);
                }
                self.tell(Event::PeerUp { key, port, uri: uri.clone(), authenticated });
                let note = if authenticated { "" } else { ", unauthenticated" };
                self.log.say(now, &format!("peering with {} is up: {uri}, port {port}{note}", key.short()));
            }
            Err(error) => self.close(id, &error.to_string(), now),
        }
        if let PeeringVerdict::Replace(old) = verdict {
            self.close(PeeringId(old.0), "another peering with this neighbour replaces it", now);
        }
    }

    /// Ends a peering, or takes note that it ended.
    pub(super) fn close(&mut self, id: PeeringId, reason: &str, now: Instant) {
        let Some(Peering { origin, uri, up, .. }) = self.peerings.remove(id) else { return };
        if let Some(PeerIs { key, port, .. }) = up {
            self.node.remove_peer(port, now);
            self.tell(Event::PeerDown { key, port, uri: uri.clone(), reason: reason.to_owned() });
            self.log.say(now, &format!("peering with {} is down: {uri}: {reason}", key.short()));
        }
        match origin {
            Origin::Wanted(name) => {
                let Some(failed) = self.wanted.ended(&name, reason, now) else { return };
                let next = failed.next_in.as_secs_f32();
                let hint = if self.confinement.wanted { confine::hint(reason) } else { "" };
                if up.is_none() && !failed.known {
                    self.tell(Event::DialFailed { uri: name.to_string(), reason: reason.to_owned() });
                    tracing::info!("no peering with {name}: {reason}{hint}; next attempt in {next:.2} s");
                } else {
                    tracing::debug!("no peering with {name}: {reason}; next attempt in {next:.2} s");
                }
            }
            Origin::Lan { interface, dialled } => {
                if up.is_none() {
                    tracing::debug!("no peering with {uri}: {reason}");
                }
                let Some(lan) = &mut self.lan else { return };
                lan.peering_down(id, now);
                if let Some(key) = dialled {
                    lan.dial_failed(&key, interface, now);
                }
            }
            Origin::Inbound if up.is_none() => tracing::debug!("no peering with {uri}: {reason}"),
            Origin::Inbound => {}
        }
    }
}
