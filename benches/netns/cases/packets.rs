//! Small packets, and packets of an ordinary size: what large interfaces hide.

use std::time::Duration;

use super::Settings;
use crate::bed::{Bed, forward};
use crate::overlay::Overlay;
use crate::peers::Peer;
use crate::readings::{Reading, Unit};
use crate::tools::{flood, tcp};
use crate::traffic::first_reply;
use crate::wait::seconds;

/// Of a datagram: between a voice packet and a game's.
const SMALL: usize = 200;
/// Ethernet's.
const ORDINARY_MTU: u16 = 1500;

/// Datagrams of 200 bytes, as many as get through.
pub(crate) fn udp200(peer: &dyn Peer, settings: &Settings) -> Vec<Reading> {
    let bed = Bed::line(2, &settings.underlay_cc);
    let overlay = Overlay::start(peer, &bed);
    let before = overlay.cpu();
    let flood = flood(bed.first(), bed.last(), overlay.target(), SMALL, Duration::from_secs(settings.seconds));
    let used: f64 = overlay.cpu().iter().zip(before).map(|(after, before)| after - before).sum();
    let mut readings = vec![Reading::new("delivered", Unit::PerSecond, flood.per_second)];
    if overlay.has_daemons() {
        // Of delivered packets: what is thrown away after work was done for it makes the others dearer.
        readings.push(Reading::new("CPU of all daemons", Unit::MicrosPerPacket, used * 1e6 / flood.all as f64));
    }
    readings
}

/// A host behind the last one, with an Ethernet of its own, which is reached through the /64 that its router has in the overlay. Neither
/// end may send packets larger than 1500 bytes.
pub(crate) fn mtu1500(peer: &dyn Peer, settings: &Settings) -> Vec<Reading> {
    let mut bed = Bed::line(2, &settings.underlay_cc);
    let overlay = Overlay::start(peer, &bed);
    let Some(Some(subnet)) = overlay.subnets.last() else {
        eprintln!("!!! SKIPPED {}: it routes nothing for hosts behind it", peer.name());
        return Vec::new();
    };
    let link = bed.host_behind(ORDINARY_MTU);
    let segments = subnet.segments();
    let address = |last: u16| {
        let mut segments = segments;
        segments[7] = last;
        std::net::Ipv6Addr::from(segments)
    };
    for (end, last) in link.ends.iter().zip(1..) {
        end.host.ip(&["addr", "add", &format!("{}/64", address(last)), "dev", &end.interface, "nodad"]);
    }
    let [router, host] = &link.ends;
    forward(&router.host);
    host.host.ip(&["route", "add", "default", "via", &address(1).to_string(), "dev", &host.interface]);
    let reply = first_reply(bed.first(), address(2), seconds(10));
    assert!(reply.is_some(), "the host behind {} does not answer", router.host.name());
    let transfer = |(what, reverse): (&str, bool)| {
        let load = settings.tcp(1, reverse);
        let transfer = tcp(bed.first(), &host.host, address(2), load);
        Reading::new(what, Unit::Gbps, transfer.bits_per_second / 1e9)
    };
    [("TCP, 1 stream, to the host behind", false), ("TCP, 1 stream, from it", true)].map(transfer).into()
}
