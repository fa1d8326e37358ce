//! Route notices, an extension: who loses a peering tells those who count on it, instead of letting them find out.
//!
//! Each key whose bootstrap left by the lost peering is told that it has to bootstrap again, by the way that its bootstrap came; until it
//! does, whoever hears of it on the way tries another one with the bootstrap that it kept. Where bootstraps came by the lost peering and
//! went on, the way to their keys is withdrawn, by the way that they went. Every step follows a route that a bootstrap left, and no route is
//! followed twice in a direction. So a notice ends, and a peer can disturb no routes but those that lead through itself, which it could as
//! well not serve. It can make a node bootstrap earlier, within limits.

use std::collections::BTreeMap;

use super::{PeerMisbehaved, Port, Router};
use crate::drops::DropReason;
use crate::keys::PublicKey;
use crate::time::Instant;
use crate::wire::extensions::Extensions;
use crate::wire::frame;
use crate::wire::notice::{RouteNotice, RouteTrouble};

/// Keys in the notices of one peering, each second. Each costs a look-up, far less than the signature check that put the route there.
pub(super) const RATE: u32 = 1_000;
/// All keys of a network of some size can go through one peering, and be lost at once.
pub(super) const BURST: u32 = 4_096;

/// Keys to be told of, by where to.
pub(super) type Told = BTreeMap<Port, Vec<PublicKey>>;

impl Router {
    /// What the loss of a peering is to be told to whom. To be asked before its routes are forgotten.
    pub(super) fn notices_of_loss(&self, lost: Port) -> [(RouteTrouble, Told); 2] {
        let (mut broken, mut withdrawn) = (Told::new(), Told::new());
        if self.config.rules.notices {
            for (key, route) in self.snake.routes.iter() {
                if route.next == Some(lost) && !route.is_reported {
                    broken.entry(route.via).or_default().push(*key);
                } else if let Some(next) = route.next
                    && route.via == lost
                {
                    withdrawn.entry(next).or_default().push(*key);
                }
            }
        }
        [(RouteTrouble::Broken, broken), (RouteTrouble::Withdrawn, withdrawn)]
    }

    /// Sends notices to those who understand them.
    pub(super) fn tell(&mut self, trouble: RouteTrouble, told: Told) {
        for (port, keys) in told {
            if !self.peers.get(port).is_some_and(|peer| peer.extensions.contain(Extensions::ROUTE_NOTICES)) {
                continue;
            }
            for notice in RouteNotice::about(&keys) {
                match frame::route_notice(trouble, &notice) {
                    Ok(frame) => self.send(port, frame),
                    Err(_) => self.drops.count(DropReason::FrameOverflow),
                }
            }
        }
    }

    /// Takes a route notice and passes on what concerns others.
    pub(super) fn handle_notice(
        &mut self,
        from: Port,
        trouble: RouteTrouble,
        body: &[u8],
        now: Instant,
    ) -> Result<(), PeerMisbehaved> {
        let Some(peer) = self.peers.get_mut(from) else { return Ok(()) };
        if !self.config.rules.notices || !peer.extensions.contain(Extensions::ROUTE_NOTICES) {
            self.drops.count(DropReason::UnknownFrame);
            return Ok(());
        }
        let notice = RouteNotice::parse(body)?;
        let keys = u32::try_from(notice.keys().len()).unwrap_or(u32::MAX);
        if !peer.notices.take(keys, now) {
            self.drops.count(DropReason::RateLimited);
            return Ok(());
        }
        let mut told = Told::new();
        for key in notice.keys() {
            let onward = match trouble {
                RouteTrouble::Broken => self.way_on_broke(key, from, now),
                RouteTrouble::Withdrawn => self.snake.withdraw(key, from, now),
            };
            if let Some(port) = onward {
                told.entry(port).or_default().push(*key);
            }
        }
        self.tell(trouble, told);
        Ok(())
    }

    /// A bootstrap that left by `port` did not get where it was to go; returns who is to know.
    fn way_on_broke(&mut self, key: &PublicKey, port: Port, now: Instant) -> Option<Port> {
        if *key == self.own {
            self.bootstrap_is_said_to_be_lost(port, now);
            return None;
        }
        let route = self.snake.routes.get_mut(key).filter(|route| route.next == Some(port) && !route.is_reported)?;
        route.lose_way_on();
        let route = *route;
        self.hand_over(key, &route, now);
        Some(route.via)
    }
}
