//! Labels that we handed out, and the paths that others found to us: by which we know what is in sealed frames, and answer probes the way they
//! came.
//!
//! Only who has a session with us can make entries, and each a bounded number of them; the ones that were not used for longest go first.

use std::collections::BTreeMap;

use crate::bounded::TokenBucket;
use crate::keys::PublicKey;
use crate::rng::Rng;
use crate::session::Label;
use crate::time::Instant;
use crate::wire::route::Hop;

/// Entries for one node: the routes that it uses, those that it tries, and our own searches for it.
const PER_NODE: usize = 24;
/// Nodes at a time.
const NODES: usize = 512;
/// Path requests of one node that are answered, each second, and saved up: a search takes four.
const REQUESTS: (u32, u32) = (10, 20);
/// Probes of one node, and news of broken routes to it.
const PROBES: (u32, u32) = (50, 100);
const NEWS: (u32, u32) = (5, 5);

/// Which packets of a route have which mark: what its frames show if they are open. Never 0.
pub(super) const fn mark_of(id: u64) -> u8 {
    (id % 255) as u8 + 1
}

/// The way back of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::node) struct Back {
    pub(in crate::node) first: Hop,
    pub(in crate::node) hops: Vec<Hop>,
    pub(in crate::node) label: Label,
}

/// One label that we handed out.
#[derive(Clone, Debug)]
struct Given {
    label: Label,
    used: Instant,
    /// Messages that came with it.
    received: u32,
    /// The path that it is for, by the other side's number; 0 if it is for what comes back of our own search.
    id: u64,
    back: Option<Back>,
}

#[derive(Debug)]
struct Partner {
    given: Vec<Given>,
    /// Messages that came by tree or snake.
    received: u32,
    requests: TokenBucket,
    probes: TokenBucket,
    news: TokenBucket,
}

/// All labels that we handed out.
#[derive(Debug, Default)]
pub(in crate::node) struct Labels {
    partners: BTreeMap<PublicKey, Partner>,
    by_label: BTreeMap<u64, PublicKey>,
}

/// What a node may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::node) enum Wish {
    Request,
    Probe,
    News,
}

impl Labels {
    /// Whether a node may have this now.
    pub(in crate::node) fn admit(&mut self, to: &PublicKey, wish: Wish, now: Instant) -> bool {
        let partner = self.partner(to, now);
        match wish {
            Wish::Request => partner.requests.take(1, now),
            Wish::Probe => partner.probes.take(1, now),
            Wish::News => partner.news.take(1, now),
        }
    }

    /// Hands out a label (or none, if frames are to be open) for the path `id` of a node's, or with 0 for what comes back of our search.
    pub(in crate::node) fn give(
        &mut self,
        to: &PublicKey,
        (id, back): (u64, Option<Back>),
        sealed: bool,
        rng: &mut Rng,
        now: Instant,
    ) -> Label {
        let mut label = Label::default();
        while sealed && (label.label == 0 || self.by_label.contains_key(&label.label)) {
            label = Label { label: rng.u64() & !1, mask: rng.u32() };
        }
        let partner = self.partner(to, now);
        // A node that restarted counts its paths anew.
        let again = partner.given.iter().position(|given| given.id == id && id != 0);
        let oldest = || partner.given.iter().enumerate().min_by_key(|(_, given)| given.used).map(|(at, _)| at);
        let gone = again.or_else(|| oldest().filter(|_| partner.given.len() >= PER_NODE));
        let gone = gone.map(|at| partner.given.swap_remove(at).label.label);
        partner.given.push(Given { label, used: now, received: 0, id, back });
        gone.map(|gone| self.by_label.remove(&gone));
        if sealed {
            self.by_label.insert(label.label, *to);
        }
        label
    }

    /// Whose message a sealed frame with this label carries, and what its index is masked with.
    pub(in crate::node) fn find(&self, label: u64) -> Option<(PublicKey, u32)> {
        let of = self.by_label.get(&(label & !1))?;
        let given = &self.partners.get(of)?.given;
        given.iter().find(|given| given.label.label == label & !1).map(|given| (*of, given.label.mask))
    }

    /// A message with this label was authentic.
    pub(in crate::node) fn count(&mut self, label: u64, now: Instant) {
        let Some(of) = self.by_label.get(&(label & !1)) else { return };
        let Some(partner) = self.partners.get_mut(of) else { return };
        if let Some(given) = partner.given.iter_mut().find(|given| given.label.label == label & !1) {
            given.received = given.received.wrapping_add(1);
            given.used = now;
        }
    }

    /// An open frame came by its route, and was authentic.
    pub(in crate::node) fn count_marked(&mut self, of: &PublicKey, mark: u8, now: Instant) {
        // Of several paths with the same mark only one is in use, whichever that is.
        for given in self.marked(of, mark) {
            given.received = given.received.wrapping_add(1);
            given.used = now;
        }
    }

    /// A message came by tree or snake, and was authentic.
    pub(in crate::node) fn count_ordinary(&mut self, of: &PublicKey) {
        if let Some(partner) = self.partners.get_mut(of) {
            partner.received = partner.received.wrapping_add(1);
        }
    }

    /// Whether there is a path of a node's with this mark.
    pub(in crate::node) fn has_marked(&mut self, of: &PublicKey, mark: u8) -> bool {
        self.marked(of, mark).next().is_some()
    }

    /// How many messages came by a path of a node's (with 0 by tree or snake), and the way back.
    pub(in crate::node) fn path(&self, of: &PublicKey, id: u64) -> (u32, Option<&Back>) {
        let Some(partner) = self.partners.get(of) else { return (0, None) };
        let given = partner.given.iter().rfind(|given| given.id == id && id != 0);
        given.map_or((partner.received, None), |given| (given.received, given.back.as_ref()))
    }

    /// Forgets a node.
    pub(in crate::node) fn forget(&mut self, of: &PublicKey) {
        for given in self.partners.remove(of).into_iter().flat_map(|partner| partner.given) {
            self.by_label.remove(&given.label.label);
        }
    }

    fn marked(&mut self, of: &PublicKey, mark: u8) -> impl Iterator<Item = &mut Given> {
        let given = self.partners.get_mut(of).into_iter().flat_map(|partner| &mut partner.given);
        given.filter(move |given| given.id != 0 && mark_of(given.id) == mark)
    }

    fn partner(&mut self, of: &PublicKey, now: Instant) -> &mut Partner {
        if !self.partners.contains_key(of) && self.partners.len() >= NODES {
            let used = |partner: &Partner| partner.given.iter().map(|given| given.used).max();
            let oldest = self.partners.iter().min_by_key(|(_, partner)| used(partner)).map(|(key, _)| *key);
            oldest.iter().for_each(|key| self.forget(key));
        }
        let bucket = |(rate, burst)| TokenBucket::new(rate, burst, now);
        self.partners.entry(*of).or_insert_with(|| Partner {
            given: Vec::new(),
            received: 0,
            requests: bucket(REQUESTS),
            probes: bucket(PROBES),
            news: bucket(NEWS),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Duration;

    fn key(n: u16) -> PublicKey {
        let mut key = [9; 32];
        key[..2].copy_from_slice(&n.to_be_bytes());
        PublicKey(key)
    }

    fn at(seconds: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(seconds)
    }

    #[test]
    fn a_label_leads_to_its_node_and_is_forgotten_when_it_was_not_used_for_longest() {
        let (mut labels, mut rng) = (Labels::default(), Rng::new([1; 32]));
        let given: Vec<_> =
            (0..PER_NODE).map(|n| labels.give(&key(1), (n as u64 + 1, None), true, &mut rng, at(n as u64))).collect();
        labels.count(given[0].label | 1, at(100));
        assert_eq!(labels.path(&key(1), 1).0, 1);
        labels.give(&key(1), (99, None), true, &mut rng, at(101));
        assert_eq!(labels.find(given[0].label + 1), Some((key(1), given[0].mask)));
        assert_eq!(labels.find(given[1].label), None, "the second is the oldest now");
        labels.forget(&key(1));
        assert!(labels.find(given[0].label).is_none() && labels.by_label.is_empty());
    }

    #[test]
    fn nodes_are_bounded_and_so_is_what_each_may_ask_for() {
        let (mut labels, mut rng) = (Labels::default(), Rng::new([1; 32]));
        for n in 0..NODES as u16 + 10 {
            labels.give(&key(n), (1, None), true, &mut rng, at(u64::from(n)));
        }
        assert_eq!((labels.partners.len(), labels.by_label.len()), (NODES, NODES));
        let admitted = (0..100).filter(|_| labels.admit(&key(600), Wish::Request, at(1_000))).count();
        assert_eq!(admitted, REQUESTS.1 as usize);
    }

    #[test]
    fn open_frames_are_counted_by_their_mark() {
        let (mut labels, mut rng) = (Labels::default(), Rng::new([1; 32]));
        assert_eq!(labels.give(&key(1), (300, None), false, &mut rng, at(0)), Label::default());
        assert!(labels.has_marked(&key(1), mark_of(300)) && !labels.has_marked(&key(1), mark_of(301)));
        labels.count_marked(&key(1), mark_of(300), at(1));
        assert_eq!(labels.path(&key(1), 300).0, 1);
        assert!(labels.by_label.is_empty() && labels.find(0).is_none());
    }
}
