//! Nodes reach each other, directly and through others, and what they say stays between them.

use std::io::{Read, Write};
use std::net::{Ipv6Addr, TcpListener, TcpStream, UdpSocket};
use std::process::{Command, Stdio};

use crate::lab::Host;
use crate::mesh::Mesh;
use crate::packets::Capture;
use crate::sandbox::in_lab;
use crate::traffic::{Transfer, assert_pings, echo_datagrams, fetch, first_reply, iperf, random_bytes};
use crate::wait::{eventually, seconds};

/// Size of the files that are sent through relays.
const FILE: u64 = 64 << 20;

#[test]
fn two_nodes_reach_each_other_both_ways() {
    in_lab(&["iperf3"], |lab| {
        let mesh = Mesh::line(lab, 2);
        mesh.wait_reachable(0, 1);
        assert_pings(&mesh.hosts[0], mesh.address(1));
        assert_pings(&mesh.hosts[1], mesh.address(0));
        for (reverse, direction) in [(false, "to"), (true, "from")] {
            let rate = iperf(&mesh.hosts[0], &mesh.hosts[1], mesh.address(1), 2, reverse);
            println!("{rate:.0} Mbit/s {direction} the other node");
            // Far below what any machine does; a stalled connection has less.
            assert!(rate > 5.0, "{rate} Mbit/s {direction} the other node");
        }
    });
}

#[test]
fn nodes_peer_over_ipv6_as_over_ipv4() {
    in_lab(&[], |lab| {
        let hosts = [lab.host("a"), lab.host("b")];
        let link = lab.link(&hosts[0], &hosts[1]);
        let mut configs = [1, 2].map(crate::daemon::Config::new);
        configs[1].peers.push(link.ends[0].uri_v6());
        let [config_a, config_b] = configs;
        let a = crate::daemon::Running::start(lab, &hosts[0], config_a);
        let b = crate::daemon::Running::start(lab, &hosts[1], config_b);
        assert!(first_reply(&hosts[0], b.address(), seconds(10)).is_some());
        assert_pings(&hosts[1], a.address());
    });
}

#[test]
fn a_relay_joins_websocket_and_tcp_peerings() {
    in_lab(&[], |lab| {
        let mesh = Mesh::line_with(lab, 3, |n, config| match n {
            1 => config.listen.push("ws://[::]:7480".to_owned()),
            2 => config.peers = vec!["ws://10.0.2.1:7480".to_owned()],
            _ => (),
        });
        mesh.wait_reachable(0, 2);
        assert_pings(&mesh.hosts[2], mesh.address(0));
        Transfer::complete(&mesh.hosts[0], &mesh.hosts[2], mesh.address(2), FILE / 4);
        assert!(mesh.nodes[2].peers()[0]["uri"].as_str().unwrap().starts_with("ws://"));
    });
}

#[test]
fn the_ends_of_a_line_reach_each_other_through_the_middle() {
    in_lab(&[], |lab| exchange_everything(&Mesh::line(lab, 3)));
}

#[test]
fn a_node_without_an_interface_relays_for_others() {
    in_lab(&[], |lab| {
        let mesh = Mesh::line_with(lab, 3, |n, config| {
            if n == 1 {
                config.tun = "none".to_owned();
            }
        });
        exchange_everything(&mesh);
        assert!(!mesh.hosts[1].has_interface("pine0"));
    });
}

/// Pings, a file each way and datagrams between the ends of a line of three.
fn exchange_everything(mesh: &Mesh) {
    let (a, c) = (&mesh.hosts[0], &mesh.hosts[2]);
    mesh.wait_reachable(0, 2);
    assert_pings(a, mesh.address(2));
    assert_pings(c, mesh.address(0));
    Transfer::complete(a, c, mesh.address(2), FILE);
    Transfer::complete(c, a, mesh.address(0), FILE / 8);
    echo_datagrams(a, c, mesh.address(2), 100, 1200);
    echo_datagrams(a, c, mesh.address(2), 1, 60_000);
    // The direct way does not exist: only the middle node can have carried all that.
    assert_eq!(mesh.nodes[0].peers().len(), 1);
    assert_eq!(mesh.nodes[2].peers().len(), 1);
}

#[test]
fn a_relay_sees_nothing_of_what_it_carries() {
    const MARKER: &[u8] = b"the quick brown marker of this very test";
    in_lab(&[], |lab| {
        let mesh = Mesh::line(lab, 3);
        mesh.wait_reachable(0, 2);
        let relay = Capture::start(&mesh.hosts[1], &[MARKER, b"pine"]);
        let end = Capture::start(&mesh.hosts[0], &[MARKER]);
        say(MARKER, &mesh.hosts[0], &mesh.hosts[2], mesh.address(2));
        let [marked, pine] = relay.finish()[..] else { panic!("two needles, two counts") };
        // On the end's interface the same packets are plain: the marker was sent, and the capture finds it.
        assert!(end.finish()[0] >= 20, "the marker was not sent");
        assert!(pine >= 20, "the relay's frames were not captured: {pine}");
        assert_eq!(marked, 0, "the relay saw plain text");
    });
}

/// Says `text` over and over, in twenty datagrams and over TCP.
fn say(text: &[u8], from: &Host, to: &Host, address: Ipv6Addr) {
    let receiver = to.within(|| UdpSocket::bind((address, 0))).unwrap();
    receiver.set_read_timeout(Some(seconds(5))).unwrap();
    let sender = from.within(|| UdpSocket::bind("[::]:0")).unwrap();
    let mut datagram = [0; 2048];
    for _ in 0..20 {
        sender.send_to(&text.repeat(10), receiver.local_addr().unwrap()).unwrap();
        assert!(receiver.recv(&mut datagram).unwrap() == text.len() * 10);
    }
    let listener = to.within(|| TcpListener::bind((address, 0))).unwrap();
    let mut stream = from.within(|| TcpStream::connect(listener.local_addr().unwrap())).unwrap();
    stream.write_all(&text.repeat(1000)).unwrap();
    drop(stream);
    let mut heard = vec![];
    listener.accept().unwrap().0.read_to_end(&mut heard).unwrap();
    assert_eq!(heard.len(), text.len() * 1000);
}

#[test]
fn a_web_server_behind_two_relays_is_an_ordinary_web_server() {
    in_lab(&["python3"], |lab| {
        let mesh = Mesh::line(lab, 4);
        mesh.wait_reachable(0, 3);
        let directory = mesh.nodes[3].directory.join("www");
        let page = random_bytes(&mut 42, 1 << 20);
        std::fs::create_dir(&directory).unwrap();
        std::fs::write(directory.join("page"), &page).unwrap();
        let address = mesh.address(3).to_string();
        let mut server = Command::new("python3");
        server.args(["-m", "http.server", "--bind", &address, "8080"]).current_dir(&directory);
        let mut server = mesh.hosts[3].spawn(server.stdout(Stdio::null()).stderr(Stdio::null()));
        assert!(fetch(&mesh.hosts[0], mesh.address(3), 8080, "/page") == page, "the page arrived changed");
        server.kill().unwrap();
        server.wait().unwrap();
    });
}

#[test]
fn in_a_tree_of_ten_nodes_everybody_reaches_everybody() {
    const COUNT: usize = 10;
    in_lab(&[], |lab| {
        let mut seed = std::env::var("PINECONE_LAB_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1_u64);
        println!("the tree is drawn from PINECONE_LAB_SEED={seed}");
        let mut draw = |below: usize| (random_bytes(&mut seed, 8)[3] as usize) % below;
        let edges: Vec<_> = (1..COUNT).map(|n| (draw(n), n)).collect();
        println!("edges: {edges:?}");
        let mesh = Mesh::build(lab, COUNT as u8, &edges);
        let addresses: Vec<_> = (0..COUNT).map(|n| mesh.address(n)).collect();
        let root = eventually("all follow the highest key", seconds(15), || {
            let roots: Vec<_> = mesh.nodes.iter().map(|node| node.root()).collect();
            roots.iter().all(|root| *root == roots[0]).then(|| roots[0].clone())
        });
        assert_eq!(root, mesh.nodes[COUNT - 1].ctl("status")["public_key"].as_str().unwrap());
        std::thread::scope(|scope| {
            for (n, host) in mesh.hosts.iter().enumerate() {
                let addresses = &addresses;
                scope.spawn(move || {
                    for (m, address) in addresses.iter().enumerate() {
                        assert!(first_reply(host, *address, seconds(20)).is_some(), "{n} cannot reach {m}");
                    }
                });
            }
        });
    });
}
