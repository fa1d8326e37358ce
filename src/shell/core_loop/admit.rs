//! Who is let in: connections at the door, and peers once they said who they are.

use super::{Accepted, Core};
use crate::admission::{Refusal, connection_from};
use crate::keys::PublicKey;
use crate::link::LinkError;
use crate::shell::peer_task::{PeerClosed, PeeringId};
use crate::shell::peerings::Origin;
use crate::time::Instant;

impl Core {
    pub(super) fn accept(&mut self, Accepted { incoming, lan, password, policy }: Accepted) {
        let ends = incoming.ends();
        let remote = ends.remote;
        let (origin, password) = if lan {
            let found = self.lan.as_ref().and_then(|lan| {
                let interface = lan.interface_of(ends, &self.network)?;
                Some((interface, lan.password(interface)))
            });
            let Some((interface, password)) = found else {
                tracing::debug!(%remote, "turned a connection away: it came over no link that we look for peers on");
                return;
            };
            (Origin::Lan { interface, dialled: None }, password)
        } else {
            (Origin::Inbound, password)
        };
        match self.peerings.accept(incoming, origin, (password, policy)) {
            Ok((_, None)) => {}
            Ok((_, Some(yields))) => {
                let uri = self.peerings.get(yields).map_or_else(String::new, |peering| peering.uri.clone());
                self.refuse(Refusal::MadeRoom, &connection_from(uri), self.clock.now());
                self.close(yields, &Refusal::MadeRoom.to_string(), self.clock.now());
            }
            Err(why) => self.refuse(why, &connection_from(remote), self.clock.now()),
        }
    }

    /// Who knocks with a wrong password is turned away like any other; whom we dial, the log of dialling tells about.
    pub(super) fn count_wrong_password(&mut self, id: PeeringId, closed: &PeerClosed, now: Instant) {
        let PeerClosed::Link(LinkError::WrongPassword | LinkError::NoPassword) = closed else { return };
        if let Some(peering) = self.peerings.get(id).filter(|peering| peering.origin.is_inbound()) {
            let what = connection_from(peering.uri.clone());
            self.refuse(Refusal::Password, &what, now);
        }
    }

    /// Counts somebody who is turned away, and tells the log now and then.
    pub(super) fn refuse(&mut self, why: Refusal, what: &str, now: Instant) {
        match self.peerings.admission.refuse(why, what, now) {
            Some(line) => tracing::warn!("{line}"),
            None => tracing::debug!("turned {what} away: {why}"),
        }
    }

    /// Whether who came with this key may be taken for its owner. Where the owner has proven it, those who had only claimed it are sent away.
    pub(super) fn check_identity(&mut self, key: &PublicKey, proven: bool, now: Instant) -> Result<(), &'static str> {
        if proven {
            self.proven.handle_proof(*key, now);
            for id in self.peerings.claiming(key) {
                self.close(id, "the owner of this key has proven it elsewhere, and this peer has not", now);
            }
            return Ok(());
        }
        if self.require_authenticated {
            return Err(
                "the other side cannot prove its key (a plain Pinecone node), and peering.require_authenticated is set",
            );
        }
        if self.peerings.is_proven(key) || !self.proven.believes_claim(key, now) {
            return Err(
                "the owner of this key has proven it before and this peer does not: somebody replays a recorded hello",
            );
        }
        Ok(())
    }
}
