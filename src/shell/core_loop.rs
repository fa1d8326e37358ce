//! The only owner of the node and the TUN: takes what comes from both sides, lets the node decide, and hands out what it says.
//!
//! The loop runs in turns. A turn takes a bounded amount from every input, then drains the node's outputs, then lets the
//! peerings' tasks run; so no input starves another, and the node's queues never grow by more than a turn before its frames are on
//! their way. While there is more to take the next turn follows at once, otherwise the loop sleeps until an input has something or a
//! deadline comes.

mod admit;
mod come_and_go;
mod requests;
pub(crate) mod settings;
mod watch;

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::sync::{mpsc, oneshot};

use crate::admission::AllowedKeys;
use crate::buf::PacketBuf;
use crate::control::Reply;
use crate::dns::Responder;
use crate::drops::DropReason;
use crate::link::PasswordKey;
use crate::link::ProvenKeys;
use crate::node::status::{Confinement, Status};
use crate::node::{Event as NodeEvent, Node, PeerPolicy, RequestId};
use crate::router::Port;
use crate::shell::clock::{Clock, MAX_WAIT, SleepWatch};
use crate::shell::control_socket::{Call, Watchers};
use crate::shell::core_loop::settings::Apply;
use crate::shell::lan::Lan;
use crate::shell::netlink::Snapshot;
use crate::shell::peer_task::{Batch, FromPeer, PeerEvent, PeeringId};
use crate::shell::peerings::{PeerInputs, PeerIs, Peerings};
use crate::shell::readiness::Pulse;
use crate::shell::reload::ReloadCall;
use crate::shell::timer::Timer;
use crate::shell::transport::Incoming;
use crate::shell::tun::Tun;
use crate::shell::wanted::Wanted;
use crate::time::{Duration, Instant};

/// Packets taken from the TUN per turn.
const TUN_PACKETS: usize = 64;
/// Bytes taken from the TUN per turn, if that is reached first: some 100 µs of encryption.
const TUN_BYTES: usize = 256 << 10;
/// Messages of peerings per turn; each is a batch of at most 64 frames.
const PEER_EVENTS: usize = 4;
/// Requests, connections and the like per turn. They are rare; a flood of them is to be slow.
const RARE_EVENTS: usize = 4;
/// Times that the node may act on deadlines per turn.
const DEADLINES: usize = 8;
/// Lines about peers in the log per [`LOG_INTERVAL`]; what others can cause must not fill it.
const LOG_LINES: u32 = 30;
const LOG_INTERVAL: Duration = Duration::from_secs(10);

/// A connection that came to one of our listeners.
pub(crate) struct Accepted {
    /// The connection.
    pub(crate) incoming: Incoming,
    /// Whether it came to the listener whose port our beacons announce.
    pub(crate) lan: bool,
    /// What who connects has to know; that of a LAN is its interface's.
    pub(crate) password: PasswordKey,
    /// What is wanted of peerings that come to this listener.
    pub(crate) policy: PeerPolicy,
}

/// What the core is made of.
pub(crate) struct CoreParts {
    /// The node.
    pub(crate) node: Node,
    /// The host's interface.
    pub(crate) tun: Tun,
    /// Answers the host's questions for names, if it is to.
    pub(crate) dns: Option<Responder>,
    /// All peerings, and what they tell.
    pub(crate) peerings: (Peerings, PeerInputs),
    /// Whom to dial.
    pub(crate) wanted: Wanted,
    /// Connections that came in.
    pub(crate) accepted: mpsc::Receiver<Accepted>,
    /// Requests from the control socket.
    pub(crate) calls: mpsc::Receiver<Call>,
    /// LAN discovery, if it is on.
    pub(crate) lan: Option<Lan>,
    /// The network as it is, and as it changes.
    pub(crate) network: (Arc<Snapshot>, mpsc::Receiver<Arc<Snapshot>>),
    /// Who does reloads, and the settings that come of them.
    pub(crate) reloads: (mpsc::Sender<ReloadCall>, mpsc::Receiver<Apply>),
    /// Where to tell that we are alive.
    pub(crate) pulse: Pulse,
    /// What the process gave up.
    pub(crate) confinement: Confinement,
    /// Refuse peers whose key the transport did not prove.
    pub(crate) require_authenticated: bool,
    /// Whose peerings are wanted.
    pub(crate) allowed: AllowedKeys,
    /// Who watches what happens.
    pub(crate) watchers: Watchers,
    /// The clock.
    pub(crate) clock: Clock,
}

/// The core loop. A future that ends only when the TUN is gone; dropping it closes all peerings.
pub(crate) struct Core {
    node: Node,
    tun: Tun,
    dns: Option<Responder>,
    peerings: Peerings,
    inputs: PeerInputs,
    wanted: Wanted,
    accepted: mpsc::Receiver<Accepted>,
    calls: mpsc::Receiver<Call>,
    lan: Option<Lan>,
    network: Arc<Snapshot>,
    network_changes: mpsc::Receiver<Arc<Snapshot>>,
    reloads: mpsc::Sender<ReloadCall>,
    settings: mpsc::Receiver<Apply>,
    pulse: Pulse,
    confinement: Confinement,
    /// Who waits for the answer to which question, and what to say if there is none.
    questions: BTreeMap<RequestId, (oneshot::Sender<Reply>, String)>,
    require_authenticated: bool,
    allowed: AllowedKeys,
    watchers: Watchers,
    proven: ProvenKeys,
    clock: Clock,
    timer: Timer,
    sleep: SleepWatch,
    /// When we last looked for what nobody tells us: sleep, and the end of the TUN.
    checked: Instant,
    log: LogBudget,
}

/// Lines about peers that the log still takes.
struct LogBudget {
    left: u32,
    since: Instant,
}

impl Core {
    /// A core that has not run yet. Must be made within the runtime.
    pub(crate) fn new(parts: CoreParts) -> Self {
        let CoreParts {
            node,
            tun,
            dns,
            peerings,
            wanted,
            accepted,
            calls,
            mut lan,
            network,
            reloads,
            pulse,
            confinement,
            require_authenticated,
            allowed,
            watchers,
            clock,
        } = parts;
        let now = clock.now();
        if let Some(lan) = &mut lan {
            lan.network_changed(&network.0, now);
        }
        Self {
            node,
            tun,
            dns,
            peerings: peerings.0,
            inputs: peerings.1,
            wanted,
            accepted,
            calls,
            lan,
            network: network.0,
            network_changes: network.1,
            reloads: reloads.0,
            settings: reloads.1,
            pulse,
            confinement,
            questions: BTreeMap::new(),
            require_authenticated,
            allowed,
            watchers,
            proven: ProvenKeys::default(),
            clock,
            timer: Timer::new(clock),
            sleep: clock.slept(),
            checked: now,
            log: LogBudget { left: LOG_LINES, since: now },
        }
    }

    /// Runs until the TUN fails for good; returns why.
    pub(crate) async fn run(mut self) -> io::Error {
        std::future::poll_fn(|cx| self.poll_turn(cx)).await
    }

    /// One turn.
    fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        let mut more = self.take_from_peers(cx);
        match self.take_from_tun(cx) {
            Ok(full) => more |= full,
            Err(error) => return Poll::Ready(error),
        }
        more |= self.take_rare(cx);
        let now = self.clock.now();
        if self.checked.has_passed(MAX_WAIT, now) {
            self.checked = now;
            if self.tun.is_gone() {
                return Poll::Ready(io::Error::new(io::ErrorKind::NotFound, "it was deleted"));
            }
            if let Some(span) = self.sleep.check() {
                self.woke_up(span, now);
            }
        }
        more |= self.act_on_deadlines(now);
        self.drain(now);
        self.pulse.beat(now, || status_line(&self.node.status(now)));
        let lan = self.lan.as_ref().and_then(Lan::poll_timeout);
        let deadlines = [self.node.poll_timeout(), self.wanted.poll_timeout(), lan, self.pulse.poll_timeout()];
        let deadline = deadlines.into_iter().flatten().min();
        let deadline = deadline.map_or(now + MAX_WAIT, |deadline| deadline.min(now + MAX_WAIT));
        if self.timer.poll(deadline, now, cx).is_ready() || more {
            // Behind the tasks that this turn has woken.
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }

    /// Events of peerings. True if there may be more.
    fn take_from_peers(&mut self, cx: &mut Context<'_>) -> bool {
        let now = self.clock.now();
        while let Poll::Ready(Some(written)) = self.inputs.written.poll_recv(cx) {
            self.peerings.batch_written(written, &mut self.node, now);
        }
        for _ in 0..PEER_EVENTS {
            let Poll::Ready(Some(event)) = self.inputs.events.poll_recv(cx) else { return false };
            self.peer_event(event, self.clock.now());
        }
        true
    }

    /// Packets of the host. True if there may be more.
    fn take_from_tun(&mut self, cx: &mut Context<'_>) -> io::Result<bool> {
        let mut bytes = 0;
        let now = self.clock.now();
        for _ in 0..TUN_PACKETS {
            let Poll::Ready(packet) = self.tun.poll_recv(cx) else { return Ok(false) };
            let packet = packet?;
            bytes += packet.len();
            if let Some(answer) = self.dns.as_ref().and_then(|dns| dns.answer(&packet, |ip| self.node.known_owner(ip)))
            {
                self.hand_over(answer);
            } else {
                self.node.handle_tun_packet(packet, now);
            }
            if bytes >= TUN_BYTES {
                break;
            }
        }
        Ok(true)
    }

    /// Connections, requests, changes of the network. True if there may be more.
    fn take_rare(&mut self, cx: &mut Context<'_>) -> bool {
        if let Some(id) = self.peerings.poll_panicked(cx) {
            tracing::error!("a peering's task failed; this is a bug in pineconed, please report it");
            self.close(id, "an internal error", self.clock.now());
        }
        let now = self.clock.now();
        let more_beacons = self.lan.as_mut().is_some_and(|lan| lan.poll_heard(now, cx));
        for taken in 0..=RARE_EVENTS {
            let now = self.clock.now();
            if let Poll::Ready(Some(accepted)) = self.accepted.poll_recv(cx) {
                self.accept(accepted);
            } else if let Poll::Ready(Some(call)) = self.calls.poll_recv(cx) {
                self.answer(call, now);
            } else if let Poll::Ready(Some(snapshot)) = self.network_changes.poll_recv(cx) {
                self.network_changed(snapshot, now);
            } else if let Poll::Ready(Some(apply)) = self.settings.poll_recv(cx) {
                self.apply(apply, now);
            } else {
                return more_beacons;
            }
            if taken == RARE_EVENTS {
                break;
            }
        }
        true
    }

    /// Whatever is due. True if something still is.
    fn act_on_deadlines(&mut self, now: Instant) -> bool {
        while let Some((name, uri)) = self.wanted.poll_dial(now) {
            let id = self.peerings.dial(Arc::clone(&name), uri);
            self.wanted.dialling(&name, id);
        }
        if let Some(lan) = &mut self.lan {
            if lan.poll_timeout().is_some_and(|at| at <= now) {
                lan.handle_timeout(now);
            }
            while let Some(dial) = lan.poll_dial() {
                self.peerings.dial_neighbour(dial);
            }
        }
        for _ in 0..DEADLINES {
            if self.node.poll_timeout().is_none_or(|at| at > now) {
                return false;
            }
            self.node.handle_timeout(now);
        }
        true
    }

    /// Hands out all that the node has.
    fn drain(&mut self, now: Instant) {
        while let Some(event) = self.node.poll_event() {
            self.node_event(event, now);
        }
        while let Some(packet) = self.node.poll_tun_packet() {
            self.hand_over(Ok(packet));
        }
        while let Some(port) = self.node.poll_ready_port() {
            self.peerings.has_frames(port, &mut self.node, now);
        }
    }

    /// Hands a packet to the host, or counts why there is none.
    fn hand_over(&mut self, packet: Result<PacketBuf, DropReason>) {
        let sent = packet.and_then(|packet| {
            self.tun.send(packet).map_err(|error| {
                tracing::trace!(%error, "the host did not take a packet");
                DropReason::TunWrite
            })
        });
        if let Err(reason) = sent {
            self.node.count_drop(reason);
        }
    }

    fn peer_event(&mut self, FromPeer { id, event }: FromPeer, now: Instant) {
        if self.peerings.get(id).is_none() {
            // We closed it, and it did not know yet.
            return;
        }
        match event {
            PeerEvent::Connected(ends) => self.peerings.connected(id, ends),
            PeerEvent::Up(up) => self.peer_up(id, up, now),
            PeerEvent::Frames(frames) => self.frames(id, frames, now),
            PeerEvent::Dropped(reason, count) => self.node.count_drops(reason, count),
            PeerEvent::Closed(closed) => {
                self.count_wrong_password(id, &closed, now);
                self.close(id, &closed.to_string(), now);
            }
        }
    }

    fn frames(&mut self, id: PeeringId, frames: Batch, now: Instant) {
        let Some(PeerIs { port, .. }) = self.peerings.get(id).and_then(|peering| peering.up) else { return };
        for frame in frames {
            if let Err(why) = self.node.handle_frame(port, frame, now) {
                self.close(id, &why.to_string(), now);
                return;
            }
        }
    }

    fn node_event(&mut self, event: NodeEvent, now: Instant) {
        self.tell_watchers(&event);
        match event {
            NodeEvent::ClosePeer { port, why } => self.close_port(port, &why.to_string(), now),
            NodeEvent::RootChanged(root) => self.log.say(now, &format!("the root of the tree is {}", root.short())),
            NodeEvent::CoordinatesChanged => {}
            NodeEvent::SessionUp(key) => tracing::debug!("session with {} is up", key.short()),
            NodeEvent::SessionDown(key) => tracing::debug!("session with {} is down", key.short()),
            NodeEvent::Lookup(id, answer) => self.answered(id, answer.map(crate::control::Answer::Lookup)),
            NodeEvent::Ping(id, answer) => self.answered(id, answer.map(crate::control::Answer::Ping)),
            NodeEvent::Trace(id, answer) => self.answered(id, answer.map(crate::control::Answer::Trace)),
            NodeEvent::Path(id, answer) => self.answered(id, answer.map(crate::control::Answer::Path)),
        }
    }

    fn close_port(&mut self, port: Port, reason: &str, now: Instant) {
        if let Some(id) = self.peerings.at_port(port) {
            self.close(id, reason, now);
        }
    }

    /// Peers that are away are dialled at once; connections from an address that is gone are closed now rather than when silence shows it.
    fn network_changed(&mut self, snapshot: Arc<Snapshot>, now: Instant) {
        tracing::debug!("the network changed");
        self.peerings.network_changed();
        for id in self.peerings.lost(&self.network, &snapshot) {
            self.close(id, "the address it used is gone", now);
        }
        if let Some(lan) = &mut self.lan {
            lan.network_changed(&snapshot, now);
        }
        self.network = snapshot;
        self.wanted.kick(now);
    }

    /// The peers have taken us for dead by now.
    fn woke_up(&mut self, span: Duration, now: Instant) {
        tracing::info!("woke up after {} s of sleep", span.as_secs());
        for id in self.peerings.all_up() {
            self.close(id, "this machine slept", now);
        }
        self.wanted.kick(now);
    }
}

/// The node in a line, for the service manager.
fn status_line(status: &Status) -> String {
    let root = if status.root == status.public_key { "this node".to_owned() } else { status.root.short().to_string() };
    format!("{} peers, {} sessions, root {root}, {}", status.peers, status.sessions, status.address)
}

impl LogBudget {
    /// Logs a line that peers can cause, as long as they do not cause too many.
    fn say(&mut self, now: Instant, line: &str) {
        if self.since.has_passed(LOG_INTERVAL, now) {
            (self.left, self.since) = (LOG_LINES, now);
        }
        match self.left {
            0 => tracing::debug!("{line}"),
            1 => tracing::info!("{line} (more such lines follow at level debug only)"),
            _ => tracing::info!("{line}"),
        }
        self.left = self.left.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests;
