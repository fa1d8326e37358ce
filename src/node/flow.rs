//! Which frames belong together: what an [outbox](super::outbox) has to be fair between.
//!
//! A relay sees who talks to whom, and no more. Of our own packets we see what is inside, so that a download and a ping between the same two
//! nodes are two flows. A flow must not depend on what changes from packet to packet (a checksum, a fragment's offset): its packets would
//! overtake each other, and each would have the precedence of a flow that has just begun.
//!
//! The hash is a few multiplications, and anybody can make collisions: by which they could take part in another flow's queue. They can do
//! that anyway, as nothing in a frame's header is authenticated and each packet's ports are its sender's choice.

use crate::ip::{IPV6_HEADER_LEN, protocol};
use crate::wire::frame;

/// Names a flow: a hash of what identifies it.
pub type Flow = u64;

/// Handshakes, lookups and control messages: rare and small, in a flow of their own.
pub(super) const PROTOCOL_FLOW: Flow = 0;

const FRAGMENT: u8 = 44;
const ECHO_REQUEST: u8 = 128;
const ECHO_REPLY: u8 = 129;

/// The flow of one of our own IPv6 packets: addresses, protocol, and the ports or what is in their place. [`PROTOCOL_FLOW`] for what is none.
pub(super) fn of_packet(packet: &[u8]) -> Flow {
    let (Some(next), Some(addresses)) = (packet.get(6), packet.get(8..IPV6_HEADER_LEN)) else { return PROTOCOL_FLOW };
    let field = |at: usize| packet.get(at..at + 4).map_or([0; 4], |field| [field[0], field[1], field[2], field[3]]);
    let [a, b, c, d] = field(IPV6_HEADER_LEN);
    let selector = match *next {
        // The identifier of an echo is that of the program which asks; the two bytes before it are the checksum.
        protocol::ICMPV6 if matches!(a, ECHO_REQUEST | ECHO_REPLY) => {
            let [high, low, _, _] = field(IPV6_HEADER_LEN + 4);
            [a, b, high, low]
        }
        protocol::ICMPV6 => [a, b, 0, 0],
        // All fragments of a packet have its identification.
        FRAGMENT => field(IPV6_HEADER_LEN + 4),
        // Ports, the SPI of ESP, or what else there is at this place.
        _ => [a, b, c, d],
    };
    let selector = u64::from(u32::from_be_bytes(selector)) << 8 | u64::from(*next);
    mix(hash(addresses), selector)
}

/// The flow of a frame that we relay: who talks to whom. [`PROTOCOL_FLOW`] for what is no traffic frame.
pub(super) fn of_frame(frame: &[u8]) -> Flow {
    frame::traffic_keys(frame).map_or(PROTOCOL_FLOW, |keys| hash(keys))
}

/// The flow of sealed frames: whatever has the same label.
pub(super) const fn of_label(label: u64) -> Flow {
    mix(1, label)
}

fn hash(bytes: &[u8]) -> u64 {
    bytes.as_chunks().0.iter().fold(0, |hash, word| mix(hash, u64::from_be_bytes(*word)))
}

/// Both halves of a product, each bit of which depends on all of both factors.
const fn mix(hash: u64, word: u64) -> u64 {
    // The fractional digits of the square roots of two and of three.
    let product = ((hash ^ word) as u128 ^ 0x6a09_e667_f3bc_c908) * 0xbb67_ae85_84ca_a73b;
    (product >> 64) as u64 ^ product as u64
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::buf::PacketBuf;
    use crate::keys::PublicKey;
    use crate::wire::coords::Coords;
    use crate::wire::frame::TrafficHeader;
    use crate::wire::snake::Watermark;

    fn packet(next: u8, payload: &[u8]) -> Vec<u8> {
        let mut packet = vec![0x60, 0, 0, 0, 0, 0, next, 64];
        packet.extend([[0x06; 16], [0x07; 16]].concat());
        packet.extend(payload);
        packet
    }

    #[test]
    fn all_pings_of_a_program_are_one_flow_and_those_of_another_a_second() {
        let ping = |checksum: u8, id: u8, sequence: u8| {
            of_packet(&packet(protocol::ICMPV6, &[ECHO_REQUEST, 0, checksum, 7, 0, id, 0, sequence]))
        };
        assert_eq!(ping(1, 5, 1), ping(2, 5, 2));
        assert_ne!(ping(1, 5, 1), ping(1, 6, 1));
    }

    #[test]
    fn all_fragments_of_a_packet_are_one_flow() {
        let fragment = |offset: u8, id: u8| of_packet(&packet(FRAGMENT, &[protocol::UDP, 0, offset, 0, 0, 0, 0, id]));
        assert_eq!(fragment(0, 3), fragment(8, 3));
        assert_ne!(fragment(0, 3), fragment(0, 4));
    }

    #[test]
    fn connections_protocols_and_ends_tell_flows_apart() {
        let mut flows = BTreeSet::new();
        for port in 0..=u8::MAX {
            flows.insert(of_packet(&packet(protocol::TCP, &[0, port, 0, 80])));
            flows.insert(of_packet(&packet(protocol::UDP, &[0, port, 0, 80])));
            let mut other = packet(protocol::TCP, &[0, port, 0, 80]);
            other[39] = 9;
            flows.insert(of_packet(&other));
        }
        assert_eq!(flows.len(), 3 * 256);
    }

    #[test]
    fn a_relay_tells_who_talks_to_whom_whatever_way_the_frame_goes() {
        let flow = |from: u8, to: u8, coords: &[u64]| {
            let mut frame = PacketBuf::from(&b"hello"[..]);
            let header = TrafficHeader {
                version: 0,
                extra: 0,
                hop_limit: 10,
                destination: &Coords::new(coords.to_vec()),
                source: &Coords::new(vec![300]),
                destination_key: &PublicKey([to; 32]),
                source_key: &PublicKey([from; 32]),
                watermark: Watermark::NONE,
            };
            frame::emit_traffic(&mut frame, &header).unwrap();
            of_frame(&frame)
        };
        assert_eq!(flow(1, 2, &[1, 2, 3]), flow(1, 2, &[]));
        let flows: BTreeSet<_> = (0..40).flat_map(|from| (0..40).map(move |to| flow(from, to, &[5]))).collect();
        assert_eq!(flows.len(), 40 * 40);
    }

    #[test]
    fn what_is_too_short_for_a_flow_has_that_of_the_protocol() {
        for len in 0..IPV6_HEADER_LEN {
            assert_eq!(of_packet(&vec![0x60; len]), PROTOCOL_FLOW);
        }
        assert_eq!(of_frame(&frame::keepalive()), PROTOCOL_FLOW);
    }
}
