//! The router's behaviour where the golden vectors do not show it: limits, waiting, timers, and what we do better.

mod broadcast;
mod damping;
mod forward;
mod notices;
mod oracle;
mod random;
mod routes;
mod rules;
mod siblings;
mod snake;
mod tree;

use std::sync::Arc;

use super::{MAX_PORT, PeerKind, PeerMisbehaved, Port, Router, RouterConfig, RouterEvent};
use crate::keys::{Keypair, PublicKey, Seed};
use crate::time::{Duration, Instant, UnixClock, UnixMillis};
use crate::wire::extensions::Extensions;
use crate::wire::frame::{self, BootstrapFrame, Frame};
use crate::wire::snake::{Bootstrap, Watermark};
use crate::wire::tree::{Announcement, Root};

const START: Instant = Instant::from_micros(50_000_000);

fn at(seconds: u64) -> Instant {
    START + Duration::from_secs(seconds)
}

/// `N` key pairs in the order of their public keys: the last one would be root.
fn nodes<const N: usize>() -> [Arc<Keypair>; N] {
    let mut pairs: Vec<_> = (1..=N).map(|n| Arc::new(Keypair::from_seed(&Seed([n as u8; 32])))).collect();
    pairs.sort_by_key(|pair| pair.public());
    pairs.try_into().unwrap()
}

/// A router with this key, and the time that the reference would have started it with.
fn router(own: &Arc<Keypair>) -> Router {
    router_with(own, RouterConfig::default())
}

fn router_with(own: &Arc<Keypair>, config: RouterConfig) -> Router {
    Router::new(config, own.clone(), UnixClock::new(UnixMillis(1_000_000), START), START)
}

fn connect(router: &mut Router, peer: &Keypair, now: Instant) -> Port {
    router.add_peer(peer.public(), PeerKind::Remote, Extensions::NONE, now).unwrap()
}

/// What the last of `signers` announces: a tree in which each hangs below the one before it, at port 1.
fn chain(signers: &[&Keypair], sequence: u64) -> Announcement {
    let root = Announcement::as_root(Root { key: signers[0].public(), sequence });
    signers.iter().fold(root, |chain, signer| chain.extend(1, signer, None))
}

fn announce(router: &mut Router, from: Port, announcement: &Announcement, now: Instant) -> Result<(), PeerMisbehaved> {
    router.handle_protocol_frame(from, &Frame::Announcement(&announcement.encode()), now)
}

/// Brings up a peering whose other side announces `signers`, itself last.
fn peer(router: &mut Router, signers: &[&Keypair], sequence: u64, now: Instant) -> Port {
    let port = connect(router, signers[signers.len() - 1], now);
    announce(router, port, &chain(signers, sequence), now).unwrap();
    port
}

/// Hands the router a bootstrap of `node` that came to `from`.
fn bootstrap(router: &mut Router, from: Port, node: &Keypair, sequence: u64, now: Instant) {
    let payload = Bootstrap::sign(sequence, router.root(), node).encode();
    bootstrap_frame(router, from, node.public(), &payload, now);
}

fn bootstrap_frame(router: &mut Router, from: Port, destination: PublicKey, payload: &[u8], now: Instant) {
    let watermark = Watermark::NONE;
    let frame = BootstrapFrame { version: 0, extra: 0, hop_limit: 0, destination, watermark, payload };
    router.handle_protocol_frame(from, &Frame::Bootstrap(frame), now).unwrap();
}

/// Takes everything that waits to be sent, as (port, frame).
fn sent(router: &mut Router) -> Vec<(Port, Vec<u8>)> {
    std::iter::from_fn(|| router.poll_transmit()).map(|(port, frame)| (port, frame.to_vec())).collect()
}

/// The announcements among `sent`.
fn announcements(sent: &[(Port, Vec<u8>)]) -> Vec<(Port, Announcement)> {
    let announced = sent.iter().filter_map(|(port, bytes)| match frame::parse(bytes) {
        Ok(Frame::Announcement(payload)) => Some((*port, Announcement::parse(payload).unwrap())),
        _ => None,
    });
    announced.collect()
}

fn events(router: &mut Router) -> Vec<RouterEvent> {
    std::iter::from_fn(|| router.poll_event()).collect()
}

/// Lets time pass until `until`, with every timer on its time.
fn run(router: &mut Router, until: Instant) {
    while let Some((due, _)) = router.poll_timeout().filter(|(due, _)| *due <= until) {
        router.handle_timeout(due);
    }
}
