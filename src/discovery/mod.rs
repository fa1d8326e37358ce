//! LAN discovery, its pure half: when to send a beacon, whom to dial, whom to leave alone.
//!
//! Compatible with Pinecone's multicast discovery, so plain Pinecone nodes and ours find each other, and free of its faults:
//! we dial a neighbour once per interface although its beacons come over IPv4 and IPv6; a short datagram is one bad datagram
//! and no more.
//!
//! A plain Pinecone node wants a peering over each IP version, and looks at every beacon whether it has it. What we closed it
//! would dial again every few seconds. So a second peering over the other version stays; between two of ours none comes up,
//! since neither dials a neighbour that it is a peer of.
//!
//! Beacons are unauthenticated: anyone on the link can make us believe in any number of neighbours. So only addresses on that
//! link are dialled, at a limited rate, a limited number at a time, with a growing wait after each failure; whoever answers
//! must prove the announced key.
//!
//! Two nodes of ours would dial each other at the same moment. Therefore the one with the lower key waits a little, and should
//! it come to two peerings nevertheless, both keep the same one: see [`Discovery::handle_peering_up`].

mod beacon;
pub(crate) mod fuzz_body;
mod interface;
mod neighbour;
mod peering;
mod rules;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;

pub use beacon::{BEACON_PORT, Beacon, Family, GROUP_V4, GROUP_V6};
pub use interface::{BadPattern, Interface, InterfacePatterns};
use neighbour::Neighbour;
use peering::Peering;
pub use peering::{PeeringId, PeeringUp, PeeringVerdict};
pub use rules::{Conduct, InterfaceRule, InterfaceRules, MAX_PRIORITY};

use crate::admission::KeyList;
use crate::bounded::{BoundedMap, TokenBucket};
use crate::keys::PublicKey;
use crate::link::PeerPassword;
use crate::rng::Rng;
use crate::time::{Duration, Instant};

/// Between beacons while things change; the reference's interval.
const QUICK_INTERVAL: Duration = Duration::from_secs(2);
/// Between beacons on a quiet link. The reference never forgets a neighbour, and a newcomer announces itself.
const SLOW_INTERVAL: Duration = Duration::from_secs(10);
/// How long a change on a link keeps its beacons quick.
const QUICK_TIME: Duration = Duration::from_secs(60);
/// Neighbours remembered, over all links: far fewer than ports, because anybody on a link can make some up.
const MAX_NEIGHBOURS: usize = 253;
/// Keys believed per address: containers may share one, and a liar gets no further.
const MAX_KEYS_PER_ADDRESS: usize = 8;
/// Dials under way at a time.
const MAX_DIALS: usize = 16;
/// Dials per second, and at once after a pause.
const DIAL_RATE: u32 = 4;
const DIAL_BURST: u32 = 8;
/// A dial whose end was not told by then is over: connecting (5 s) and the hello (10 s) take less.
const DIAL_DEADLINE: Duration = Duration::from_secs(30);
/// A peering that ends earlier counts as a failed dial.
const UNSTABLE: Duration = Duration::from_secs(5);
/// The node with the lower key waits this long before it dials, and up to [`LOWER_KEY_SPREAD`] longer: time for a dial from
/// the other side to arrive over a slow radio link.
const LOWER_KEY_DELAY: Duration = Duration::from_millis(500);
const LOWER_KEY_SPREAD: Duration = Duration::from_millis(1000);

/// What discovery is told at its start.
#[derive(Clone, Debug)]
pub struct DiscoveryConfig {
    /// Our key: announced, and never dialled.
    pub own_key: PublicKey,
    /// The TCP port where this node accepts peerings from the link.
    pub port: u16,
    /// Which interfaces take part.
    pub interfaces: InterfacePatterns,
    /// What is done on which of them.
    pub rules: InterfaceRules,
    /// Whose beacons count.
    pub allowed: KeyList,
    /// Our own TUN interface, which never does.
    pub own_interface: Option<String>,
}

/// A datagram to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transmit {
    /// Index of the interface to send it from.
    pub interface: u32,
    /// With which family; [`Family::group`] is where to.
    pub family: Family,
    /// The beacon.
    pub datagram: [u8; Beacon::LEN],
}

/// A neighbour to dial over TCP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dial {
    /// Where to; a link-local address has the interface as its scope.
    pub address: SocketAddr,
    /// Index of the interface to dial from.
    pub interface: u32,
    /// The key that the other side must prove.
    pub key: PublicKey,
}

/// Why a datagram was no use. For logs: it changes nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BeaconIgnored {
    /// Shorter than a beacon: not from a Pinecone node.
    #[error("{0} bytes are too few for a beacon")]
    TooShort(usize),
    /// An interface that does not take part.
    #[error("interface {0} does not take part in discovery")]
    OtherInterface(u32),
    /// An interface where we look for nobody.
    #[error("nobody is looked for on interface {0}")]
    NotListening(u32),
    /// A key that is not allowed.
    #[error("the key {0} is not in peering.allowed_keys.lan")]
    NotAllowed(PublicKey),
    /// Announces port 0.
    #[error("{0} accepts no peerings")]
    NoPort(SocketAddr),
    /// From an address that is not on this link.
    #[error("{0} is not an address on this link")]
    NotOnLink(SocketAddr),
    /// The address announces too many keys.
    #[error("{0} announces more keys than one host can have")]
    TooManyKeys(SocketAddr),
}

/// A neighbour: a key on an interface.
type Target = (PublicKey, u32);

#[derive(Debug)]
struct Link {
    interface: Interface,
    conduct: Conduct,
    next_beacon: Instant,
    quick_until: Instant,
}

/// The state machine of discovery on all links.
#[derive(Debug)]
pub struct Discovery {
    config: DiscoveryConfig,
    rng: Rng,
    links: BTreeMap<u32, Link>,
    neighbours: BoundedMap<Target, Neighbour>,
    /// Neighbours to dial, by time.
    due: BTreeSet<(Instant, Target)>,
    /// Dials under way, with their deadlines.
    dialling: BTreeMap<Target, Instant>,
    peerings: BTreeMap<(Target, Family), Peering>,
    bucket: TokenBucket,
    /// The bucket is empty until then.
    paused_until: Instant,
    transmits: VecDeque<Transmit>,
    dials: VecDeque<Dial>,
}

impl Discovery {
    /// Discovery without interfaces so far.
    pub fn new(config: DiscoveryConfig, rng: Rng, now: Instant) -> Self {
        Self {
            config,
            rng,
            links: BTreeMap::new(),
            neighbours: BoundedMap::new(MAX_NEIGHBOURS),
            due: BTreeSet::new(),
            dialling: BTreeMap::new(),
            peerings: BTreeMap::new(),
            bucket: TokenBucket::new(DIAL_RATE, DIAL_BURST, now),
            paused_until: now,
            transmits: VecDeque::new(),
            dials: VecDeque::new(),
        }
    }

    /// Other rules. The caller hands in all interfaces again ([`Discovery::handle_interface_up`]) and closes peerings that have no place any
    /// more. Our key and port stay what they were.
    pub fn handle_rules(&mut self, interfaces: InterfacePatterns, rules: InterfaceRules, allowed: KeyList) {
        let is_unwanted = |key: &PublicKey| !allowed.allows(key);
        self.neighbours.retain(|(key, _), _| !is_unwanted(key));
        self.due.retain(|(_, (key, _))| !is_unwanted(key));
        self.dialling.retain(|(key, _), _| !is_unwanted(key));
        self.dials.retain(|dial| !is_unwanted(&dial.key));
        self.config = DiscoveryConfig { interfaces, rules, allowed, ..self.config.clone() };
    }

    /// An interface is up, or is still up and may have other addresses. Returns whether it takes part: the caller then joins
    /// the groups on it and hands in what it hears.
    #[must_use]
    pub fn handle_interface_up(&mut self, interface: Interface, now: Instant) -> bool {
        let conduct = self.config.rules.conduct(&interface.name);
        let takes_part = interface.multicast
            && (conduct.listen || conduct.beacon)
            && !interface.point_to_point
            && self.config.own_interface.as_ref() != Some(&interface.name)
            && self.config.interfaces.matches(&interface.name)
            && interface.families().next().is_some();
        if !takes_part {
            self.handle_interface_down(interface.index);
        } else if self
            .links
            .get(&interface.index)
            .is_none_or(|link| (&link.interface, link.conduct) != (&interface, conduct))
        {
            let index = interface.index;
            let link = Link { interface, conduct, next_beacon: now, quick_until: now + QUICK_TIME };
            self.links.insert(index, link);
            self.handle_timeout(now);
        }
        takes_part
    }

    /// An interface is down or gone. Its peerings end by themselves.
    pub fn handle_interface_down(&mut self, index: u32) {
        self.links.remove(&index);
        self.neighbours.retain(|(_, interface), _| *interface != index);
        self.due.retain(|(_, (_, interface))| *interface != index);
        self.dialling.retain(|(_, interface), _| *interface != index);
        self.dials.retain(|dial| dial.interface != index);
        self.transmits.retain(|transmit| transmit.interface != index);
    }

    /// What is done on an interface that takes part.
    pub fn conduct(&self, index: u32) -> Option<Conduct> {
        self.links.get(&index).map(|link| link.conduct)
    }

    /// The password of peerings over an interface that takes part.
    pub fn password(&self, index: u32) -> Option<&PeerPassword> {
        self.config.rules.password(&self.links.get(&index)?.interface.name)
    }

    /// A datagram came to [`BEACON_PORT`] on an interface.
    ///
    /// # Errors
    /// [`BeaconIgnored`] says why it was no use. Our own beacons, which multicast brings back, are no error.
    pub fn handle_beacon(
        &mut self,
        interface: u32,
        from: SocketAddr,
        datagram: &[u8],
        now: Instant,
    ) -> Result<(), BeaconIgnored> {
        let beacon = Beacon::parse(datagram).ok_or(BeaconIgnored::TooShort(datagram.len()))?;
        if beacon.key == self.config.own_key {
            return Ok(());
        }
        let link = self.links.get_mut(&interface).ok_or(BeaconIgnored::OtherInterface(interface))?;
        if !link.conduct.listen {
            return Err(BeaconIgnored::NotListening(interface));
        }
        if !self.config.allowed.allows(&beacon.key) {
            return Err(BeaconIgnored::NotAllowed(beacon.key));
        }
        if beacon.port == 0 {
            return Err(BeaconIgnored::NoPort(from));
        }
        if !link.interface.has_on_link(from) {
            return Err(BeaconIgnored::NotOnLink(from));
        }
        let target = (beacon.key, interface);
        if self.neighbours.get(&target).is_none() {
            let same_host =
                |((_, other), neighbour): &(&Target, &Neighbour)| *other == interface && neighbour.is_at(from);
            if self.neighbours.iter().filter(same_host).count() >= MAX_KEYS_PER_ADDRESS {
                return Err(BeaconIgnored::TooManyKeys(from));
            }
            // The newcomer may have missed our last beacon.
            link.quick_until = now + QUICK_TIME;
            link.next_beacon = link.next_beacon.min(now + QUICK_INTERVAL);
            if let Some((gone, Neighbour { due: Some(at), .. })) =
                self.neighbours.insert(target, Neighbour::heard_at(now))
            {
                self.due.remove(&(at, gone));
            }
        }
        self.neighbours.refresh(&target);
        if let Some(neighbour) = self.neighbours.get_mut(&target) {
            neighbour.hear(from, beacon.port, interface, now);
        }
        self.schedule(target, now);
        self.start_dials(now);
        Ok(())
    }

    /// A peering with a neighbour is up, whoever dialled. Says which to keep if there are two over one IP version.
    ///
    /// Both sides come to the same answer: an authenticated peering beats one that is not, then the one that the higher key
    /// dialled beats the other. Of two in the same direction the younger one stays (the neighbour started over) if it is
    /// authenticated, otherwise the older one: a recorded hello must not displace a neighbour.
    #[must_use]
    pub fn handle_peering_up(&mut self, up: PeeringUp, now: Instant) -> PeeringVerdict {
        let target = (up.key, up.interface);
        let not_polled = |dial: &Dial| (dial.key, dial.interface) == target;
        if !up.inbound || self.dials.iter().any(not_polled) {
            self.dialling.remove(&target);
            self.dials.retain(|dial| !not_polled(dial));
        }
        self.unschedule(&target);
        let place = (target, up.family);
        let verdict = match self.peerings.get(&place) {
            None => PeeringVerdict::Keep,
            Some(old) if old.yields_to(&up, &self.config.own_key) => PeeringVerdict::Replace(old.id),
            Some(_) => PeeringVerdict::Close,
        };
        if verdict != PeeringVerdict::Close {
            self.peerings.insert(place, Peering::of(&up, now));
        }
        self.start_dials(now);
        verdict
    }

    /// A peering is down. One that was closed in favour of another may be told too.
    pub fn handle_peering_down(&mut self, id: PeeringId, now: Instant) {
        let Some((place, peering)) = self.peerings.iter().find(|(_, peering)| peering.id == id).map(|(p, q)| (*p, *q))
        else {
            return;
        };
        self.peerings.remove(&place);
        let (target, _) = place;
        if let Some(link) = self.links.get_mut(&target.1) {
            link.quick_until = now + QUICK_TIME;
            link.next_beacon = link.next_beacon.min(now + QUICK_INTERVAL);
        }
        if peering.since.has_passed(UNSTABLE, now) {
            if let Some(neighbour) = self.neighbours.get_mut(&target) {
                neighbour.failures = 0;
            }
            self.schedule(target, now);
            self.start_dials(now);
        } else {
            self.failed(target, now);
        }
    }

    /// A [`Dial`] led to no peering: no connection, another key, a failed hello.
    pub fn handle_dial_failed(&mut self, key: &PublicKey, interface: u32, now: Instant) {
        let target = (*key, interface);
        if self.dialling.remove(&target).is_some() {
            self.failed(target, now);
            self.start_dials(now);
        }
    }

    /// The next beacon to send.
    #[must_use]
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.transmits.pop_front()
    }

    /// The next neighbour to dial. Its end is told by [`Discovery::handle_peering_up`] or [`Discovery::handle_dial_failed`].
    #[must_use]
    pub fn poll_dial(&mut self) -> Option<Dial> {
        self.dials.pop_front()
    }

    /// When to call [`Discovery::handle_timeout`].
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let beacon = self.links.values().map(|link| link.next_beacon).min();
        let dial =
            self.due.first().filter(|_| self.dialling.len() < MAX_DIALS).map(|(at, _)| (*at).max(self.paused_until));
        let deadline = self.dialling.values().copied().min();
        [beacon, dial, deadline].into_iter().flatten().min()
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.send_beacons(now);
        let over: Vec<_> = self.dialling.iter().filter(|(_, at)| **at <= now).map(|(target, _)| *target).collect();
        for target in over {
            self.dialling.remove(&target);
            self.failed(target, now);
        }
        self.start_dials(now);
    }

    fn send_beacons(&mut self, now: Instant) {
        let datagram = Beacon { key: self.config.own_key, port: self.config.port }.encode();
        let mut sent = false;
        for (index, link) in self.links.iter_mut().filter(|(_, link)| link.next_beacon <= now) {
            let families = link.interface.families().filter(|_| link.conduct.beacon);
            self.transmits.extend(families.map(|family| Transmit { interface: *index, family, datagram }));
            let interval = if now < link.quick_until { QUICK_INTERVAL } else { SLOW_INTERVAL };
            link.next_beacon = now + jittered(interval, &mut self.rng);
            sent = true;
        }
        if sent {
            // As good a moment as any to forget those who went away.
            let (due, peerings) = (&mut self.due, &self.peerings);
            self.neighbours.retain(|target, neighbour| {
                let kept = !neighbour.is_gone(now) || is_peer(peerings, target);
                if let Some(at) = neighbour.due.filter(|_| !kept) {
                    due.remove(&(at, *target));
                }
                kept
            });
        }
    }

    /// Plans a dial if there is neither a peering nor a dial nor a plan.
    fn schedule(&mut self, target: Target, now: Instant) {
        if is_peer(&self.peerings, &target) || self.dialling.contains_key(&target) {
            return;
        }
        let Some(neighbour) = self.neighbours.get_mut(&target).filter(|neighbour| neighbour.due.is_none()) else {
            return;
        };
        let mut at = now.max(neighbour.not_before);
        if self.config.own_key < target.0 {
            let spread = u64::try_from(LOWER_KEY_SPREAD.as_micros()).unwrap_or(u64::MAX);
            at = at + LOWER_KEY_DELAY + Duration::from_micros(self.rng.below(spread));
        }
        neighbour.due = Some(at);
        self.due.insert((at, target));
    }

    fn unschedule(&mut self, target: &Target) {
        if let Some(at) = self.neighbours.get_mut(target).and_then(|neighbour| neighbour.due.take()) {
            self.due.remove(&(at, *target));
        }
    }

    /// Starts the dials whose time has come, as far as rate and number allow.
    fn start_dials(&mut self, now: Instant) {
        while self.dialling.len() < MAX_DIALS && self.paused_until <= now {
            let Some((_, target)) = self.due.first().copied().filter(|(at, _)| *at <= now) else { return };
            let Some(address) =
                self.neighbours.get(&target).filter(|neighbour| neighbour.is_fresh(now)).and_then(Neighbour::address)
            else {
                self.unschedule(&target);
                continue;
            };
            if !self.bucket.take(1, now) {
                self.paused_until = now + Duration::from_secs(1) / DIAL_RATE;
                return;
            }
            self.unschedule(&target);
            if let Some(neighbour) = self.neighbours.get_mut(&target) {
                neighbour.tried = Some(Family::of(address));
            }
            self.dialling.insert(target, now + DIAL_DEADLINE);
            self.dials.push_back(Dial { address, interface: target.1, key: target.0 });
        }
    }

    /// A dial failed, or its peering did not last: later again.
    fn failed(&mut self, target: Target, now: Instant) {
        let Some(neighbour) = self.neighbours.get_mut(&target) else { return };
        let backoff = neighbour.fail();
        neighbour.not_before = now + jittered(backoff, &mut self.rng);
        self.schedule(target, now);
    }
}

/// Whether there is a peering with a neighbour over either IP version.
fn is_peer(peerings: &BTreeMap<(Target, Family), Peering>, target: &Target) -> bool {
    [Family::V4, Family::V6].iter().any(|family| peerings.contains_key(&(*target, *family)))
}

/// `span` ± 10 %, so that nodes that started together do not stay in step.
fn jittered(span: Duration, rng: &mut Rng) -> Duration {
    let percent = 90 + rng.below(21);
    span * u32::try_from(percent).unwrap_or(100) / 100
}

#[cfg(test)]
mod tests;
