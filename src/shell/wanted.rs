//! The peers that we dial for as long as the daemon runs: those of the configuration and those of `peer add`.
//!
//! When to dial is decided by [`Redial`]; here is what people want to know about it, and which peering belongs to which URI.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::config::PeerUri;
use crate::control::WaitingPeer;
use crate::redial::{DEFAULT_MAX_BACKOFF, Redial};
use crate::rng::Rng;
use crate::shell::peer_task::PeeringId;
use crate::time::{Duration, Instant};

/// Most peers: far fewer than ports, because it is others who dial a hub.
pub(crate) const MAX_WANTED: usize = 253;

/// All peers that we dial.
#[derive(Debug)]
pub(crate) struct Wanted {
    redial: Redial,
    peers: BTreeMap<Arc<str>, Peer>,
}

#[derive(Debug)]
struct Peer {
    uri: PeerUri,
    failures: u32,
    last_error: Option<String>,
    /// The attempt under way, or the peering.
    peering: Option<PeeringId>,
}

/// Why a peer cannot be added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotAdded {
    /// It is there.
    AlreadyThere,
    /// There are [`MAX_WANTED`].
    Full,
}

/// What a failed attempt means for the log.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Failed {
    /// Until the next attempt.
    pub(crate) next_in: Duration,
    /// Whether it failed for the same reason as last time, and everybody knows.
    pub(crate) known: bool,
}

impl Wanted {
    /// No peers.
    pub(crate) fn new(rng: Rng) -> Self {
        Self { redial: Redial::new(rng), peers: BTreeMap::new() }
    }

    /// A peer to be dialled from now on.
    pub(crate) fn add(&mut self, uri: PeerUri, now: Instant) -> Result<(), NotAdded> {
        if self.peers.values().any(|peer| peer.uri.same_endpoint(&uri)) {
            return Err(NotAdded::AlreadyThere);
        }
        if self.peers.len() >= MAX_WANTED {
            return Err(NotAdded::Full);
        }
        let name: Arc<str> = uri.to_string().into();
        self.redial.add(&name, uri.max_backoff.unwrap_or(DEFAULT_MAX_BACKOFF), now);
        self.peers.insert(name, Peer { uri, failures: 0, last_error: None, peering: None });
        Ok(())
    }

    /// A peer not to be dialled any more. `None` if there was none; else the peering to close, if there is one.
    pub(crate) fn remove(&mut self, uri: &PeerUri) -> Option<Option<PeeringId>> {
        let (name, _) = self.peers.iter().find(|(_, peer)| peer.uri.same_endpoint(uri))?;
        let name = Arc::clone(name);
        self.redial.remove(&name);
        self.peers.remove(&name).map(|peer| peer.peering)
    }

    /// A peer to dial now. Tell [`Wanted::dialling`] under which name the attempt goes.
    pub(crate) fn poll_dial(&mut self, now: Instant) -> Option<(Arc<str>, PeerUri)> {
        let name = self.redial.poll_dial(now)?;
        let uri = self.peers.get(&name)?.uri.clone();
        Some((name, uri))
    }

    /// The attempt at `name` goes under `id`.
    pub(crate) fn dialling(&mut self, name: &str, id: PeeringId) {
        if let Some(peer) = self.peers.get_mut(name) {
            peer.peering = Some(id);
        }
    }

    /// The peering is up.
    pub(crate) fn up(&mut self, name: &str, now: Instant) {
        self.redial.handle_up(name, now);
        if let Some(peer) = self.peers.get_mut(name) {
            (peer.failures, peer.last_error) = (0, None);
        }
    }

    /// The attempt failed or the peering ended. `None` if nobody waits for this peer.
    pub(crate) fn ended(&mut self, name: &str, reason: &str, now: Instant) -> Option<Failed> {
        let peer = self.peers.get_mut(name)?;
        peer.peering = None;
        let known = peer.last_error.as_deref() == Some(reason);
        peer.last_error = Some(reason.to_owned());
        if let Some(next_in) = self.redial.handle_down(name, now) {
            return Some(Failed { next_in, known: false });
        }
        peer.failures = peer.failures.saturating_add(1);
        self.redial.handle_failed(name, now).map(|next_in| Failed { next_in, known })
    }

    /// The network changed: dial at once.
    pub(crate) fn kick(&mut self, now: Instant) {
        self.redial.kick(now);
    }

    /// When [`Wanted::poll_dial`] wants to be called.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.redial.poll_timeout()
    }

    /// How many peers are connected, and how many are not.
    pub(crate) fn count(&self, is_up: impl Fn(PeeringId) -> bool) -> (usize, usize) {
        let up = self.peers.values().filter(|peer| peer.peering.is_some_and(&is_up)).count();
        (up, self.peers.len() - up)
    }

    /// The peers without a peering, for people. `is_up` tells which peerings are up.
    pub(crate) fn waiting(&self, is_up: impl Fn(PeeringId) -> bool, now: Instant) -> Vec<WaitingPeer> {
        let waiting = self.peers.iter().filter(|(_, peer)| !peer.peering.is_some_and(&is_up));
        waiting
            .map(|(name, peer)| WaitingPeer {
                uri: name.to_string(),
                failures: peer.failures,
                last_error: peer.last_error.clone(),
                next_attempt_seconds: self.redial.next_attempt(name).map(|at| at.saturating_since(now).as_secs_f64()),
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: PeeringId = PeeringId(1);

    fn at(seconds: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(seconds)
    }

    fn uri(text: &str) -> PeerUri {
        text.parse().unwrap()
    }

    fn wanted() -> Wanted {
        let mut wanted = Wanted::new(Rng::new([1; 32]));
        wanted.add(uri("tcp://192.0.2.1:7463"), at(0)).unwrap();
        wanted
    }

    #[test]
    fn one_endpoint_is_wanted_once_whatever_its_options() {
        let mut wanted = wanted();
        assert_eq!(wanted.add(uri("tcp://192.0.2.1:7463?max_backoff=5s"), at(0)), Err(NotAdded::AlreadyThere));
        assert_eq!(wanted.remove(&uri("tcp://192.0.2.1:7463?max_backoff=9s")), Some(None));
        assert_eq!(wanted.remove(&uri("tcp://192.0.2.1:7463")), None);
        assert_eq!(wanted.poll_dial(at(0)), None);
    }

    #[test]
    fn removing_a_peer_tells_which_peering_to_close() {
        let mut wanted = wanted();
        let (name, _) = wanted.poll_dial(at(0)).unwrap();
        wanted.dialling(&name, ID);
        assert_eq!(wanted.remove(&uri("tcp://192.0.2.1:7463")), Some(Some(ID)));
        assert_eq!(wanted.ended(&name, "we closed it", at(1)), None);
    }

    #[test]
    fn waiting_peers_are_shown_with_the_reason_and_the_next_attempt() {
        let mut wanted = wanted();
        let (name, _) = wanted.poll_dial(at(0)).unwrap();
        wanted.dialling(&name, ID);
        assert_eq!(wanted.waiting(|_| false, at(0))[0].next_attempt_seconds, None, "an attempt is under way");
        let first = wanted.ended(&name, "refused", at(1)).unwrap();
        assert!(!first.known);
        let shown = &wanted.waiting(|_| false, at(1))[0];
        assert_eq!((shown.failures, shown.last_error.as_deref()), (1, Some("refused")));
        assert!((shown.next_attempt_seconds.unwrap() - first.next_in.as_secs_f64()).abs() < 1e-3);
        wanted.poll_dial(at(100)).unwrap();
        assert!(wanted.ended(&name, "refused", at(100)).unwrap().known, "the log has it already");
        wanted.poll_dial(at(200)).unwrap();
        wanted.dialling(&name, ID);
        wanted.up(&name, at(200));
        assert!(wanted.waiting(|id| id == ID, at(200)).is_empty());
        assert!(!wanted.ended(&name, "refused", at(300)).unwrap().known, "a lost peering is always worth a line");
    }

    #[test]
    fn there_is_room_for_so_many_peers_and_no_more() {
        let mut wanted = wanted();
        let add = |port: usize, wanted: &mut Wanted| wanted.add(uri(&format!("tcp://192.0.2.2:{port}")), at(0));
        assert!((1..MAX_WANTED).all(|port| add(port, &mut wanted).is_ok()));
        assert_eq!(add(MAX_WANTED, &mut wanted), Err(NotAdded::Full));
    }
}
