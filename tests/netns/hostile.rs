//! Garbage from the host and from the underlay changes nothing for anybody else.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use pinecone::keys::{Keypair, Seed};

use crate::daemon::{Config, Running, public_key, seeds_by_key};
use crate::lab::Host;
use crate::mesh::Mesh;
use crate::packets::Injector;
use crate::sandbox::in_lab;
use crate::traffic::{assert_pings, ping, random_bytes};
use crate::wait::{seconds, wait_until};

/// How long a node keeps a connection on which nothing proper comes: Pinecone gives the hello 10 s and frames 5 s.
const PATIENCE: std::time::Duration = seconds(15);

#[test]
fn packets_with_foreign_source_addresses_go_nowhere() {
    in_lab(&[], |lab| {
        let mesh = Mesh::line(lab, 2);
        mesh.wait_reachable(0, 1);
        let host = &mesh.hosts[0];
        // One that is nobody's, and the receiver's own neighbour's: ours with another last byte.
        for foreign in ["6ff:1:2:3::4", "7ff:1:2:3::4"] {
            host.ip(&["address", "add", &format!("{foreign}/128"), "dev", "pine0", "nodad"]);
            let before = mesh.nodes[0].drops(&["foreign_source"]);
            let pings = ping(host, mesh.address(1), &format!("-I {foreign} -c 5 -i 0.1 -W 1"));
            assert!(pings.sent == 5 && pings.received == 0, "{}", pings.text);
            let counted = mesh.nodes[0].drops(&["foreign_source"]) - before;
            println!("{counted} of 5 dropped for their source: {}", pings.text);
            assert!(counted > 0, "the drops were not counted");
        }
        assert_pings(&mesh.hosts[1], mesh.address(0));
        assert!(ping(host, mesh.address(1), &format!("-I {} -c 3 -i 0.1", mesh.address(0))).received == 3);
    });
}

#[test]
fn garbage_on_the_interface_changes_nothing() {
    in_lab(&[], |lab| {
        let mesh = Mesh::line(lab, 2);
        mesh.wait_reachable(0, 1);
        let (own, far) = (mesh.address(0).octets(), mesh.address(1).octets());
        let (pid, peers) = (mesh.nodes[0].pid(), mesh.nodes[0].peer_keys());
        let tun = Injector::towards(&mesh.hosts[0], mesh.address(1));
        let mut random = 7;
        let mut taken = 0;
        for round in 0..2000 {
            let len = 1 + usize::from(random_bytes(&mut random, 8)[2]) * 6;
            let mut packet = random_bytes(&mut random, len);
            if round % 2 == 0 && len >= 40 {
                // Better disguised: an IPv6 header between the two nodes, with nonsense as length, next header and content.
                packet[0] = 0x60;
                packet[8..24].copy_from_slice(&own);
                packet[24..40].copy_from_slice(&far);
            }
            if round % 4 == 0 && len >= 40 {
                packet[4..6].copy_from_slice(&((len - 40) as u16).to_be_bytes());
            }
            taken += u32::from(tun.send(&packet));
        }
        assert!(taken > 500, "the interface took only {taken} packets");
        wait_until("the garbage is dropped and counted", seconds(10), || {
            mesh.nodes[0].drops(&["malformed_packet", "foreign_source", "not_overlay", "hop_limit"]) > 200
        });
        assert_pings(&mesh.hosts[0], mesh.address(1));
        assert_pings(&mesh.hosts[1], mesh.address(0));
        assert_eq!((mesh.nodes[0].pid(), mesh.nodes[0].peer_keys()), (pid, peers));
        assert!(mesh.nodes.iter().all(|node| node.is_running()));
    });
}

#[test]
fn garbage_on_the_peering_port_changes_nothing() {
    in_lab(&[], |lab| {
        let attack = Attack::prepare(lab);
        let mut random = 11;
        for round in 0..100 {
            let len = usize::from(random_bytes(&mut random, 8)[3]) * 20;
            let garbage = random_bytes(&mut random, len);
            // Closing early, or waiting to be thrown out, which wrong first bytes cause at once.
            let mut stream = attack.connect();
            let _ = stream.write_all(&garbage);
            if round % 10 == 0 && len > 104 {
                assert_closed(stream, "garbage");
            }
        }
        let hello = hello(250);
        for len in [1, 8, 40, 103] {
            attack.connect().write_all(&hello[..len]).unwrap();
        }
        for at in [0, 7, 20, 100] {
            let mut wrong = hello;
            wrong[at] ^= 1;
            let mut stream = attack.connect();
            stream.write_all(&wrong).unwrap();
            assert_closed(stream, &format!("a hello with byte {at} changed"));
        }
        attack.changed_nothing();
    });
}

#[test]
fn connections_that_never_finish_their_hello_are_closed() {
    in_lab(&[], |lab| {
        let attack = Attack::prepare(lab);
        let streams: Vec<_> = (0..100)
            .map(|n| {
                let mut stream = attack.connect();
                stream.write_all(&hello(250)[..n]).unwrap();
                stream
            })
            .collect();
        // While they all hang there, everybody else goes on.
        attack.pings_are_answered();
        for stream in streams {
            assert_closed(stream, "an unfinished hello");
        }
        attack.changed_nothing();
    });
}

#[test]
fn malformed_frames_close_the_peering_they_came_from_and_no_other() {
    in_lab(&[], |lab| {
        let attack = Attack::prepare(lab);
        for (name, frame) in malformed_frames() {
            let mut stream = attack.connect();
            stream.write_all(&hello(250)).unwrap();
            let mut theirs = [0; 104];
            stream.set_read_timeout(Some(seconds(5))).unwrap();
            stream.read_exact(&mut theirs).expect("a valid hello is answered");
            stream.write_all(&frame).unwrap();
            assert_closed(stream, name);
        }
        attack.changed_nothing();
    });
}

#[test]
fn a_replayed_hello_does_not_disturb_the_node_it_was_taken_from() {
    in_lab(&[], |lab| {
        let attack = Attack::prepare(lab);
        // Hellos are constant: whoever saw one can send it. Node 1 is the attacked node's peer, node 0 the attacked itself.
        let seeds = seeds_by_key(3);
        let streams: Vec<_> = [1, 0, 1, 2]
            .map(|n| {
                let mut stream = attack.connect();
                let _ = stream.write_all(&hello(seeds[n]));
                stream
            })
            .into();
        attack.pings_are_answered();
        drop(streams);
        attack.changed_nothing();
    });
}

#[test]
fn a_peer_with_another_key_than_the_pinned_one_is_refused() {
    in_lab(&[], |lab| {
        let (a, b) = (lab.host("a"), lab.host("b"));
        let uri = lab.link(&a, &b).ends[0].uri();
        let dialled = Running::start(lab, &a, Config::new(1));
        let mut config = Config::new(2);
        config.peers = vec![format!("{uri}?key={}", public_key(3))];
        let dialler = Running::start(lab, &b, config);
        wait_until("the dialler gave up twice", seconds(20), || {
            dialler.ctl("peers")["waiting"][0]["failures"].as_u64() >= Some(2)
        });
        assert!(dialler.peers().is_empty());
        let mut config = Config::new(4);
        config.listen = vec!["tcp://[::]:7473".to_owned()];
        config.tun = "none".to_owned();
        config.peers = vec![format!("{uri}?key={}", public_key(1))];
        let right = Running::start(lab, &b, config);
        wait_until("the pinned peer is a peer", seconds(10), || right.peer_keys() == [public_key(1).to_string()]);
        assert_eq!(dialled.peer_keys(), [public_key(4).to_string()]);
    });
}

/// Nodes 0 — 1 — 2, and an attacker who can reach node 0.
pub(crate) struct Attack {
    pub(crate) mesh: Mesh,
    pub(crate) attacker: Host,
    /// Where node 0 takes TCP peerings, and one port further those over TLS and QUIC.
    pub(crate) target: SocketAddr,
    peers: Vec<String>,
}

impl Attack {
    pub(crate) fn prepare(lab: &crate::lab::Lab) -> Self {
        let mesh = Mesh::line_with(lab, 3, |n, config| {
            if n == 0 {
                config.listen.extend(["tls://[::]:7464", "quic://[::]:7464"].map(str::to_owned));
            }
        });
        let attacker = lab.host("attacker");
        let link = lab.link(&mesh.hosts[0], &attacker);
        mesh.wait_reachable(2, 0);
        let peers = mesh.nodes[0].peer_keys();
        Self { target: (link.ends[0].ip(), 7463).into(), mesh, attacker, peers }
    }

    fn connect(&self) -> TcpStream {
        let target = self.target;
        self.attacker.within(|| TcpStream::connect_timeout(&target, seconds(5))).expect("the target accepts")
    }

    fn pings_are_answered(&self) {
        assert_pings(&self.mesh.hosts[2], self.mesh.address(0));
        assert_pings(&self.mesh.hosts[0], self.mesh.address(2));
    }

    /// The attacker's peerings are gone, the others are as they were.
    pub(crate) fn changed_nothing(&self) {
        let target = &self.mesh.nodes[0];
        wait_until("only the true peers are left", PATIENCE, || target.peer_keys() == self.peers);
        self.pings_are_answered();
        assert!(target.is_running());
        let youngest =
            target.peers().iter().map(|peer| peer["uptime_seconds"].as_f64().unwrap()).fold(f64::MAX, f64::min);
        let uptime = target.ctl("status")["uptime_seconds"].as_f64().unwrap();
        assert!(youngest > uptime / 2.0, "a true peering was re-made {youngest} s ago, {uptime} s after the start");
    }
}

/// The hello of the key that is `seed` 32 times, byte by byte as the wire has it (Pinecone v0.11).
pub(crate) fn hello(seed: u8) -> [u8; 104] {
    let pair = Keypair::from_seed(&Seed([seed; 32]));
    let mut bytes = [0; 104];
    bytes[0] = 1;
    bytes[7] = 0x3b;
    bytes[8..40].copy_from_slice(&pair.public().0);
    let signature = pair.sign(&bytes[..40]);
    bytes[40..].copy_from_slice(&signature);
    bytes
}

/// Frames that no node may take, with what is wrong with them.
fn malformed_frames() -> Vec<(&'static str, Vec<u8>)> {
    let frame = |kind: u8, len: u16, body: &[u8]| {
        let mut bytes = vec![0x70, 0x69, 0x6e, 0x65, 0, kind, 0, 0];
        bytes.extend(len.to_be_bytes());
        bytes.extend(body);
        bytes
    };
    vec![
        ("a length of 0", frame(0, 0, &[])),
        ("a length below the header's", frame(0, 9, &[])),
        ("another magic", b"PINE\0\0\0\0\0\x0a".to_vec()),
        ("an announcement without a length", frame(1, 10, &[])),
        ("an announcement with half a length", frame(1, 11, &[0])),
        ("an announcement that promises more than it has", frame(1, 14, &[0xff, 0xff, 0, 0])),
        ("an announcement without hops", frame(1, 12 + 33, &[&[0, 33], &[7; 33][..]].concat())),
        ("a bootstrap without a body", frame(2, 10, &[])),
        ("a bootstrap with truncated keys", frame(2, 50, &[0; 40])),
        ("traffic without coordinates", frame(3, 12, &[0, 0])),
        ("traffic whose coordinates are longer than it", frame(3, 20, &[0, 0, 0xff, 0xff, 0, 0, 1, 2, 3, 4])),
        ("traffic with truncated keys", frame(3, 30, &[0; 20])),
        ("a broadcast without a body", frame(4, 10, &[])),
        ("a frame of which only the header comes", frame(3, 65_535, &[])),
        ("a frame that stops in the middle", frame(3, 65_535, &[0; 1000])),
    ]
}

/// The other side closes this connection before its patience is over.
fn assert_closed(mut stream: TcpStream, why: &str) {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let start = std::time::Instant::now();
    let mut bytes = [0; 4096];
    // It may send its own hello and frames first, but not for ever.
    while start.elapsed() < PATIENCE {
        match stream.read(&mut bytes) {
            Ok(0) => return,
            Ok(_) => (),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => break,
            // A reset.
            Err(_) => return,
        }
    }
    panic!("{why}: the connection is still open after {PATIENCE:?}");
}
