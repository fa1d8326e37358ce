//! Packets that cannot be delivered are answered, never swallowed.

use pinecone::addr::Address;

use crate::daemon::{Config, Running, public_key};
use crate::mesh::Mesh;
use crate::sandbox::in_lab;
use crate::traffic::{Transfer, assert_pings, ping};

/// The seed of a key that no node here has.
const NOBODY: u8 = 200;

#[test]
fn an_address_that_nobody_owns_is_unreachable() {
    in_lab(&[], |lab| {
        let mesh = Mesh::line(lab, 3);
        mesh.wait_reachable(0, 2);
        let nobody = Address::of(&public_key(NOBODY)).ip();
        let pings = ping(&mesh.hosts[0], nobody, "-c 10 -i 0.5 -w 10");
        assert!(pings.received == 0 && pings.text.contains("unreachable"), "{}", pings.text);
        assert_pings(&mesh.hosts[0], mesh.address(2));
    });
}

#[test]
fn to_a_node_without_peers_everybody_is_unreachable() {
    in_lab(&[], |lab| {
        let host = lab.host("alone");
        let _daemon = Running::start(lab, &host, Config::new(1));
        let pings = ping(&host, Address::of(&public_key(NOBODY)).ip(), "-c 10 -i 0.5 -w 10");
        assert!(pings.received == 0 && pings.text.contains("unreachable"), "{}", pings.text);
    });
}

#[test]
fn a_node_that_went_away_becomes_unreachable() {
    in_lab(&[], |lab| {
        let mesh = Mesh::line(lab, 3);
        mesh.wait_reachable(0, 2);
        mesh.nodes[2].stop(nix::sys::signal::Signal::SIGKILL);
        let pings = ping(&mesh.hosts[0], mesh.address(2), "-c 60 -i 0.5 -w 30");
        assert!(pings.text.contains("unreachable"), "{}", pings.text);
    });
}

#[test]
fn nodes_with_different_mtus_agree_by_packet_too_big() {
    in_lab(&[], |lab| {
        let mesh = Mesh::line_with(lab, 3, |n, config| {
            if n == 2 {
                config.mtu = 1280;
            }
        });
        let (a, c) = (&mesh.hosts[0], &mesh.hosts[2]);
        mesh.wait_reachable(0, 2);
        let small = ping(a, mesh.address(2), "-c 3 -i 0.1 -W 5 -M do -s 1200");
        assert_eq!(small.received, 3, "{}", small.text);
        // Before any transfer, so that the kernel does not know the path's MTU yet.
        let large = ping(a, mesh.address(2), "-c 3 -i 0.2 -W 5 -M do -s 4000");
        let told = ["Packet too big: mtu=1280", "message too long, mtu: 1280", "mtu=1280"];
        assert!(large.received == 0 && told.iter().any(|text| large.text.contains(text)), "{}", large.text);
        let fragments = ping(a, mesh.address(2), "-c 3 -i 0.2 -W 5 -M dont -s 4000");
        assert_eq!(fragments.received, 3, "{}", fragments.text);
        Transfer::complete(a, c, mesh.address(2), 16 << 20);
        Transfer::complete(c, a, mesh.address(0), 16 << 20);
    });
}
