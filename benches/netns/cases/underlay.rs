//! Cables that are not perfect: they lose packets, or are slow. TCP inside TCP shows its worst side there.

use super::Settings;
use crate::bed::Bed;
use crate::lab::Link;
use crate::overlay::Overlay;
use crate::peers::Peer;
use crate::readings::{Reading, Unit};
use crate::tools::{Tcp, ping, tcp_and_ping};

/// Packets that each direction of the cable loses, in percent.
const LOSS: u8 = 1;
/// Rates of the cable, in Mbit/s: a home's upstream, and a slow Ethernet.
const RATES: &[u64] = &[10, 100];
/// What the cable's queue holds, in time: an ordinary router's, not a bloated one's.
const QUEUE: &str = "50ms";
/// Enough for one flow not to fill a queue by itself.
const FLOWS: u32 = 4;

/// One stream over a cable that loses packets at random.
pub(crate) fn loss(peer: &dyn Peer, settings: &Settings) -> Vec<Reading> {
    if is_none_of_its_business(peer) {
        return Vec::new();
    }
    let bed = Bed::line(2, &settings.underlay_cc);
    // Otherwise what is lost is a whole 64 KB segment and not a packet: cut where the packets are made, as a real interface does.
    for end in &bed.links[0].ends {
        end.host.ip(&["link", "set", &end.interface, "gso_max_segs", "1"]);
    }
    let overlay = Overlay::start(peer, &bed);
    bed.links[0].lose(LOSS);
    let load = settings.tcp(1, false);
    let (transfer, pings) = tcp_and_ping(bed.first(), bed.last(), overlay.target(), load);
    let mut readings = vec![Reading::new("TCP, 1 stream", Unit::Gbps, transfer.bits_per_second / 1e9)];
    readings.extend(pings.readings("ping under load"));
    readings.push(pings.answered("pings answered"));
    readings
}

/// Several streams over slow cables: how much of the rate arrives, and how long everybody else waits for it.
pub(crate) fn rate(peer: &dyn Peer, settings: &Settings) -> Vec<Reading> {
    if is_none_of_its_business(peer) {
        return Vec::new();
    }
    RATES.iter().flat_map(|rate| at_rate(*rate, peer, settings)).collect()
}

fn at_rate(mbps: u64, peer: &dyn Peer, settings: &Settings) -> Vec<Reading> {
    let bed = Bed::line(2, &settings.underlay_cc);
    slow_down(&bed.links[0], mbps);
    let overlay = Overlay::start(peer, &bed);
    let named = |what: &str| format!("{mbps} Mbit/s: {what}");
    let rest = ping(bed.first(), overlay.target(), 50, std::time::Duration::from_millis(10));
    let mut readings = rest.readings(&named("ping at rest"));
    // Ends of TCP's slow start and of whatever the peer does besides are a small part of this.
    let seconds = settings.seconds.max(10);
    let load = Tcp { seconds, ..settings.tcp(FLOWS, false) };
    let (transfer, pings) = tcp_and_ping(bed.first(), bed.last(), overlay.target(), load);
    let used = transfer.bits_per_second / (mbps as f64 * 1e6) * 100.0;
    readings.push(Reading::new(&named("used by 4 streams"), Unit::Percent, used));
    readings.extend(pings.readings(&named("ping under load")));
    readings.push(pings.answered(&named("pings answered")));
    readings
}

/// Whether the peer takes no cable, which is said then.
fn is_none_of_its_business(peer: &dyn Peer) -> bool {
    let is_not = !peer.uses_cables();
    if is_not {
        eprintln!("!!! SKIPPED {}: its peerings take no cable", peer.name());
    }
    is_not
}

/// Limits both directions of a cable.
fn slow_down(link: &Link, mbps: u64) {
    let rate = format!("{mbps}mbit");
    // A timer's tick (4 ms at worst) at that rate, or the bucket could never be filled as fast as it is meant to be; and a few packets.
    let burst = (mbps * 1_000_000 / 8 / 250).max(8 * 1514).to_string();
    for end in &link.ends {
        let add = ["qdisc", "add", "dev", &end.interface, "root", "tbf", "rate", &rate, "burst", &burst];
        let output = end.host.output("tc", &[&add[..], &["latency", QUEUE]].concat());
        assert!(output.status.success(), "tc: {}", String::from_utf8_lossy(&output.stderr));
    }
}
