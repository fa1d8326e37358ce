//! The table of peerings, from dialling or accepting to the end, and the way of frames from the node's queues to their tasks.
//!
//! One batch per peering is under way at a time, so that frames queue in the node, where they have priorities and take turns, and
//! not in channels and sockets, where they would have neither.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::sync::{mpsc, watch};
use tokio::task::{AbortHandle, JoinSet};

use crate::admission::{Admission, Limits, MAX_INBOUND, Refusal};
use crate::config::PeerUri;
use crate::keys::{Keypair, PublicKey};
use crate::link::window::SendWindow;
use crate::link::{LinkConfig, PasswordKey, PeerPassword, ProofConfig, Side};
use crate::node::{Node, PeerPolicy};
use crate::rng::Rng;
use crate::router::{MAX_PORT, PeerKind, Port};
use crate::shell::clock::Clock;
use crate::shell::lan::LanDial;
use crate::shell::netlink::Snapshot;
use crate::shell::peer_task::{self, BATCH_BYTES, BATCH_FRAMES, Batch, Channels, FromPeer, PeeringId, Written};
use crate::shell::transport::quic::Dialler;
use crate::shell::transport::tls::NodeTls;
use crate::shell::transport::underlay::Underlay;
use crate::shell::transport::{self, Connection, DialError, Ends, Incoming, tcp};
use crate::shell::wanted::MAX_WANTED;
use crate::time::Instant;
use crate::wire::extensions::Extensions;
use crate::wire::hello::{HELLO_LEN, Hello};

const _: () = assert!(MAX_INBOUND + MAX_WANTED < MAX_PORT as usize);
/// Batches of all peerings that wait for the core: two turns of it, at most 1 MiB.
const EVENT_QUEUE: usize = 8;

/// Where a peering comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// We dial this peer for as long as the daemon runs.
    Wanted(Arc<str>),
    /// It dialled us.
    Inbound,
    /// A neighbour on this link, by the number of its interface, that we dialled or that dialled us.
    Lan {
        /// The link.
        interface: u32,
        /// The key that we dialled; none if it dialled us.
        dialled: Option<PublicKey>,
    },
}

impl Origin {
    /// Whether the other side dialled.
    pub(crate) fn is_inbound(&self) -> bool {
        matches!(self, Self::Inbound | Self::Lan { dialled: None, .. })
    }
}

/// One peering.
#[derive(Debug)]
pub(crate) struct Peering {
    /// Where it comes from.
    pub(crate) origin: Origin,
    /// Whether the key that it must have was written into its URI.
    pub(crate) pinned: bool,
    /// What is wanted of it.
    pub(crate) policy: PeerPolicy,
    /// What carries it.
    pub(crate) kind: PeerKind,
    /// Where it was dialled or came from, for people.
    pub(crate) uri: String,
    /// Its connection, once there is one.
    pub(crate) ends: Option<Ends>,
    /// Who the peer is, once it is up.
    pub(crate) up: Option<PeerIs>,
    batches: mpsc::Sender<Batch>,
    /// Whether a batch is under way.
    writing: bool,
    /// Whether the node has frames for it that we were told of.
    has_frames: bool,
    /// Bytes that the next batch may have.
    room: usize,
    task: AbortHandle,
}

/// The peer of a peering that is up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PeerIs {
    /// Its key.
    pub(crate) key: PublicKey,
    /// Whether it has proven that.
    pub(crate) proven: bool,
    /// The port that it has at the node.
    pub(crate) port: Port,
}

/// What peerings tell the core.
pub(crate) struct PeerInputs {
    /// Connections, frames, ends.
    pub(crate) events: mpsc::Receiver<FromPeer>,
    /// Peerings that finished writing a batch.
    pub(crate) written: mpsc::UnboundedReceiver<Written>,
}

/// All peerings. Their tasks end when this is dropped.
#[derive(Debug)]
pub(crate) struct Peerings {
    table: BTreeMap<PeeringId, Peering>,
    ports: BTreeMap<Port, PeeringId>,
    tasks: JoinSet<()>,
    next_id: u64,
    events: mpsc::Sender<FromPeer>,
    written: mpsc::UnboundedSender<Written>,
    greeting: Greeting,
    rng: Rng,
    tls: Arc<NodeTls>,
    underlay: Arc<Underlay>,
    /// How often the network has changed, for those that follow.
    network: watch::Sender<u64>,
    clock: Clock,
    /// Who of those that connect gets a place.
    pub(crate) admission: Admission,
}

/// What every peering of ours says of itself.
#[derive(Clone, Debug)]
pub(crate) struct Greeting {
    keypair: Arc<Keypair>,
    hello: [u8; HELLO_LEN],
    proves: bool,
}

impl Greeting {
    /// A node that understands `extensions`.
    pub(crate) fn new(keypair: Arc<Keypair>, extensions: Extensions) -> Self {
        let (extension_version, bits) = (extensions.version(), extensions.bits());
        let hello = Hello { key: keypair.public(), extension_version, extensions: bits }.encode(&keypair);
        Self { keypair, hello, proves: extensions.contain(Extensions::LINK_PROOF) }
    }
}

impl Peerings {
    /// No peerings. `rng` makes their nonces.
    pub(crate) fn new(
        greeting: Greeting,
        limits: Limits,
        rng: Rng,
        tls: Arc<NodeTls>,
        clock: Clock,
    ) -> (Self, PeerInputs) {
        let (events, events_to_core) = mpsc::channel(EVENT_QUEUE);
        // Holds at most one message per peering: each has one batch under way.
        let (written, written_to_core) = mpsc::unbounded_channel();
        let peerings = Self {
            table: BTreeMap::new(),
            ports: BTreeMap::new(),
            tasks: JoinSet::new(),
            next_id: 0,
            events,
            written,
            greeting,
            rng,
            tls,
            underlay: Arc::default(),
            network: watch::Sender::new(0),
            clock,
            admission: Admission::new(limits, clock.now()),
        };
        (peerings, PeerInputs { events: events_to_core, written: written_to_core })
    }

    /// How connections are made from now on.
    pub(crate) fn set_underlay(&mut self, underlay: Arc<Underlay>) {
        self.underlay = underlay;
    }

    /// Dials a peer of the configuration.
    pub(crate) fn dial(&mut self, name: Arc<str>, uri: PeerUri) -> PeeringId {
        let expects = Expects { key: uri.key, password: password_key(uri.password.as_ref()) };
        let (text, pinned, policy) = (name.to_string(), uri.key.is_some(), uri.policy);
        let dialler = Dialler {
            tls: Arc::clone(&self.tls),
            underlay: Arc::clone(&self.underlay),
            network: self.network.subscribe(),
        };
        let connect = async move { transport::dial(&uri, &dialler).await };
        let id = self.start(Origin::Wanted(name), PeerKind::Remote, text, expects, connect);
        if let Some(peering) = self.table.get_mut(&id) {
            (peering.pinned, peering.policy) = (pinned, policy);
        }
        id
    }

    /// Dials a neighbour, who has to have the key that it announced.
    pub(crate) fn dial_neighbour(&mut self, dial: LanDial) -> PeeringId {
        let LanDial { address, interface: (interface, name), key, password } = dial;
        let origin = Origin::Lan { interface, dialled: Some(key) };
        let underlay = Arc::clone(&self.underlay);
        let connect = async move { tcp::connect_in_time(address, underlay.binding(Some(&name))).await };
        let expects = Expects { key: Some(key), password };
        self.start(origin, PeerKind::Lan, format!("tcp://{address}"), expects, connect)
    }

    /// Takes in a connection that came to us, and says whose place it got if that has to be closed for it.
    ///
    /// # Errors
    /// It gets no place.
    pub(crate) fn accept(
        &mut self,
        incoming: Incoming,
        origin: Origin,
        (password, policy): (PasswordKey, PeerPolicy),
    ) -> Result<(PeeringId, Option<PeeringId>), Refusal> {
        let ends = incoming.ends();
        let yields = self.admission.admit(self.next_id, ends.remote.source(), self.clock.now())?;
        let kind = if origin == Origin::Inbound { PeerKind::Remote } else { PeerKind::Lan };
        let id = self.start(origin, kind, incoming.uri(), Expects { key: None, password }, incoming.open());
        self.connected(id, ends);
        if let Some(peering) = self.table.get_mut(&id) {
            peering.policy = policy;
        }
        Ok((id, yields.map(PeeringId)))
    }

    /// The peering, if it has not ended.
    pub(crate) fn get(&self, id: PeeringId) -> Option<&Peering> {
        self.table.get(&id)
    }

    /// The peering at a port.
    pub(crate) fn at_port(&self, port: Port) -> Option<PeeringId> {
        self.ports.get(&port).copied()
    }

    /// Whether the peering is up.
    pub(crate) fn is_up(&self, id: PeeringId) -> bool {
        self.get(id).is_some_and(|peering| peering.up.is_some())
    }

    /// The peering has a connection.
    pub(crate) fn connected(&mut self, id: PeeringId, ends: Ends) {
        if let Some(peering) = self.table.get_mut(&id) {
            peering.ends = Some(ends);
        }
    }

    /// The node gave the peering a port.
    pub(crate) fn up(&mut self, id: PeeringId, peer: PeerIs) {
        if let Some(peering) = self.table.get_mut(&id) {
            peering.up = Some(peer);
            self.ports.insert(peer.port, id);
            self.admission.established(id.0, self.clock.now());
        }
    }

    /// Forgets a peering and ends its task, which closes the connection.
    pub(crate) fn remove(&mut self, id: PeeringId) -> Option<Peering> {
        let peering = self.table.remove(&id)?;
        peering.task.abort();
        self.admission.ended(id.0, self.clock.now());
        if let Some(PeerIs { port, .. }) = peering.up {
            self.ports.remove(&port);
        }
        Some(peering)
    }

    /// Peerings with somebody who claims to have this key and has not proven it.
    pub(crate) fn claiming(&self, key: &PublicKey) -> Vec<PeeringId> {
        let claims = |peering: &Peering| peering.up.is_some_and(|peer| peer.key == *key && !peer.proven);
        self.table.iter().filter(|(_, peering)| claims(peering)).map(|(id, _)| *id).collect()
    }

    /// Whether there is a peering whose other side has proven to have this key.
    pub(crate) fn is_proven(&self, key: &PublicKey) -> bool {
        self.table.values().any(|peering| peering.up.is_some_and(|peer| peer.key == *key && peer.proven))
    }

    /// All peerings that came about over LAN discovery, up or not, with their links.
    pub(crate) fn neighbours(&self) -> Vec<(PeeringId, u32)> {
        let link = |(id, peering): (&PeeringId, &Peering)| match peering.origin {
            Origin::Lan { interface, .. } => Some((*id, interface)),
            _ => None,
        };
        self.table.iter().filter_map(link).collect()
    }

    /// All peerings that are up.
    pub(crate) fn all_up(&self) -> Vec<PeeringId> {
        self.ports.values().copied().collect()
    }

    /// Tells those that can do something about it.
    pub(crate) fn network_changed(&self) {
        self.network.send_modify(|changes| *changes += 1);
    }

    /// Peerings whose address of ours was there before and is not any more. Those that can move to another one have none.
    pub(crate) fn lost(&self, before: &Snapshot, after: &Snapshot) -> Vec<PeeringId> {
        let is_lost = |address: IpAddr| before.owner(address).is_some() && after.owner(address).is_none();
        let lost =
            self.table.iter().filter(|(_, peering)| peering.ends.and_then(|ends| ends.local).is_some_and(is_lost));
        lost.map(|(id, _)| *id).collect()
    }

    /// The node has frames for a port.
    pub(crate) fn has_frames(&mut self, port: Port, node: &mut Node, now: Instant) {
        let Some(id) = self.at_port(port) else { return };
        if let Some(peering) = self.table.get_mut(&id) {
            peering.has_frames = true;
            peering.feed(node, now);
        }
    }

    /// A peering's batch is written.
    pub(crate) fn batch_written(&mut self, written: Written, node: &mut Node, now: Instant) {
        if let Some(peering) = self.table.get_mut(&written.id) {
            peering.writing = false;
            peering.room = written.room.min(BATCH_BYTES);
            if let Some(PeerIs { port, .. }) = peering.up {
                node.set_frame_len(port, written.frame_len);
                if let Some(round_trip) = written.round_trip {
                    node.set_round_trip(port, round_trip);
                }
            }
            peering.feed(node, now);
        }
    }

    /// Collects tasks that ended. Returns a peering whose task panicked: a fault of ours, that costs this peering and no other.
    pub(crate) fn poll_panicked(&mut self, cx: &mut Context<'_>) -> Option<PeeringId> {
        while let Poll::Ready(Some(result)) = self.tasks.poll_join_next(cx) {
            if let Err(error) = result
                && error.is_panic()
            {
                return self.table.iter().find(|(_, peering)| peering.task.id() == error.id()).map(|(id, _)| *id);
            }
        }
        None
    }

    fn link_config(&mut self, side: Side, expects: Expects) -> LinkConfig {
        let Greeting { keypair, hello, proves } = &self.greeting;
        let (keypair, nonce, password) = (Arc::clone(keypair), self.rng.bytes(), expects.password);
        let plain = LinkConfig::plain(*hello, keypair.public());
        let proof = proves.then_some(ProofConfig { keypair, nonce, side, password });
        LinkConfig { expected_key: expects.key, proof, ..plain }
    }

    fn start(
        &mut self,
        origin: Origin,
        kind: PeerKind,
        uri: String,
        expects: Expects,
        connect: impl Future<Output = Result<Connection, DialError>> + Send + 'static,
    ) -> PeeringId {
        let id = PeeringId(self.next_id);
        self.next_id += 1;
        let (batches, batches_to_task) = mpsc::channel(1);
        let channels =
            Channels { id, events: self.events.clone(), batches: batches_to_task, written: self.written.clone() };
        let side = if origin.is_inbound() { Side::Listener } else { Side::Dialler };
        let config = self.link_config(side, expects);
        // What comes before the hello counts too when others connect to us: there are only so many places for them.
        let hello_since = (origin == Origin::Inbound).then(|| self.clock.now());
        let task = self.tasks.spawn(peer_task::run(connect, config, channels, self.clock, hello_since));
        let (writing, has_frames, room) = (false, false, SendWindow::default().room());
        let (ends, up, pinned, policy) = (None, None, false, PeerPolicy::default());
        let peering = Peering { origin, pinned, policy, kind, uri, ends, up, batches, writing, has_frames, room, task };
        self.table.insert(id, peering);
        id
    }
}

/// Of the password that a URI may have.
pub(crate) fn password_key(password: Option<&PeerPassword>) -> PasswordKey {
    password.map(PeerPassword::key).unwrap_or_default()
}

/// What the other side has to have.
struct Expects {
    /// Its key.
    key: Option<PublicKey>,
    /// The password of the peering.
    password: PasswordKey,
}

impl Peering {
    /// Hands the task the next batch, if it is not busy with one and there is one.
    fn feed(&mut self, node: &mut Node, now: Instant) {
        let Some(PeerIs { port, .. }) = self.up else { return };
        if self.writing || !self.has_frames {
            return;
        }
        let (mut batch, mut bytes) = (Batch::new(), 0);
        while batch.len() < BATCH_FRAMES && bytes < self.room {
            let Some(frame) = node.poll_transmit(port, now) else {
                self.has_frames = false;
                break;
            };
            bytes += frame.len();
            batch.push(frame);
        }
        // Fails only if the task has ended; its last event is on the way.
        self.writing = !batch.is_empty() && self.batches.try_send(batch).is_ok();
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;
    use crate::admission::MAX_PENDING_PER_SOURCE;
    use crate::config::Scheme;
    use crate::keys::Seed;
    use crate::link::{Carrier, HELLO_TIMEOUT, LinkError};
    use crate::shell::transport::Remote;
    use crate::time::Duration;

    fn peerings() -> (Peerings, PeerInputs) {
        let pair = Arc::new(Keypair::from_seed(&Seed([1; 32])));
        let greeting = Greeting::new(pair, Extensions::NONE);
        Peerings::new(greeting, Limits::default(), Rng::new([1; 32]), NodeTls::for_tests(1), Clock::of_runtime())
    }

    fn incoming(remote: &str, local: &str) -> (Incoming, tokio::io::DuplexStream) {
        let (near, far) = tokio::io::duplex(1_000);
        let ends =
            Ends { remote: Remote::Ip(remote.parse().unwrap()), local: local.parse().ok(), carrier: Carrier::Tcp };
        let connection = Connection { stream: Box::new(near), ends };
        (Incoming::Stream { scheme: Scheme::Tcp, tls: NodeTls::for_tests(1), connection }, far)
    }

    /// The connection as if it had come to another kind of listener.
    fn with_scheme(incoming: Incoming, scheme: Scheme) -> Incoming {
        match incoming {
            Incoming::Stream { tls, connection, .. } => Incoming::Stream { scheme, tls, connection },
            quic => quic,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_place_is_free_again_when_the_connection_has_ended() {
        let (mut peerings, mut inputs) = peerings();
        for _ in 0..3 * crate::admission::MAX_PENDING_PER_SOURCE {
            let (connection, far) = incoming("192.0.2.7:1", "192.0.2.1");
            let (id, _) = peerings.accept(connection, Origin::Inbound, Default::default()).unwrap();
            drop(far);
            loop {
                let FromPeer { id: from, event } = inputs.events.recv().await.unwrap();
                assert_eq!(from, id);
                if matches!(event, peer_task::PeerEvent::Closed(_)) {
                    break;
                }
            }
            assert!(peerings.remove(id).is_some());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_transport_says_first_counts_towards_the_time_for_the_hello() {
        let request = b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
            Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
        for upgrades in [true, false] {
            let (mut peerings, mut inputs) = peerings();
            let (mut incoming, mut far) = incoming("192.0.2.7:1", "192.0.2.1");
            incoming = with_scheme(incoming, Scheme::Ws);
            let start = tokio::time::Instant::now();
            peerings.accept(incoming, Origin::Inbound, Default::default()).unwrap();
            tokio::time::sleep(HELLO_TIMEOUT * 6 / 10).await;
            if upgrades {
                far.write_all(request).await.unwrap();
            }
            let why = loop {
                if let peer_task::PeerEvent::Closed(why) = inputs.events.recv().await.unwrap().event {
                    break why;
                }
            };
            match why {
                peer_task::PeerClosed::Link(LinkError::HelloTimeout) => assert!(upgrades),
                peer_task::PeerClosed::Dial(DialError::Upgrade { .. }) => assert!(!upgrades),
                other => panic!("{other:?}"),
            }
            assert!(start.elapsed() < HELLO_TIMEOUT + Duration::from_millis(100), "{:?}", start.elapsed());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_tls_handshake_holds_one_pending_place_for_as_long_as_a_hello_may_take() {
        for scheme in [Scheme::Tls, Scheme::Wss] {
            let (mut peerings, mut inputs) = peerings();
            let start = tokio::time::Instant::now();
            let mut kept = Vec::new();
            for n in 0..MAX_PENDING_PER_SOURCE + 1 {
                let (incoming, far) = incoming("192.0.2.7:1", "192.0.2.1");
                kept.push(far);
                let accepted =
                    peerings.accept(with_scheme(incoming, scheme), Origin::Inbound, Default::default()).is_ok();
                assert_eq!(accepted, n < MAX_PENDING_PER_SOURCE);
            }
            for far in &mut kept[..MAX_PENDING_PER_SOURCE] {
                // The beginning of a ClientHello, and no more.
                far.write_all(&[22, 3, 1, 1, 0, 1]).await.unwrap();
            }
            for _ in 0..MAX_PENDING_PER_SOURCE {
                let FromPeer { id, event } = inputs.events.recv().await.unwrap();
                let peer_task::PeerEvent::Closed(peer_task::PeerClosed::Dial(error)) = event else {
                    panic!("{event:?}")
                };
                assert!(matches!(error, DialError::Tls { .. } | DialError::TimedOut(_)), "{error}");
                assert!(peerings.remove(id).is_some());
            }
            assert!(start.elapsed() < HELLO_TIMEOUT + Duration::from_millis(100), "{:?}", start.elapsed());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn peerings_are_lost_with_the_address_they_use_and_not_with_one_that_was_never_there() {
        let (mut peerings, _inputs) = peerings();
        let (with_address, _a) = incoming("198.51.100.1:1", "192.0.2.1");
        let (without, _b) = incoming("198.51.100.2:1", "192.0.2.99");
        let (with_address, _) = peerings.accept(with_address, Origin::Inbound, Default::default()).unwrap();
        peerings.accept(without, Origin::Inbound, Default::default()).unwrap();
        let eth0 = crate::shell::netlink::Interface {
            running: true,
            addresses: vec![("192.0.2.1".parse().unwrap(), 24)],
            ..Default::default()
        };
        let before = Snapshot { interfaces: vec![eth0.clone()] };
        assert!(peerings.lost(&before, &before).is_empty());
        let down = Snapshot { interfaces: vec![crate::shell::netlink::Interface { running: false, ..eth0 }] };
        assert_eq!(peerings.lost(&before, &down), [with_address]);
    }
}
