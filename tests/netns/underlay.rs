//! What is between peers besides a cable: proxies, routing rules that go by a mark, NAT, a path that swallows everything; and no network at all,
//! where a Unix socket does.

use std::process::{Child, Command, Stdio};
use std::rc::Rc;

use nix::sys::signal::Signal;

use crate::daemon::{Config, Running, public_key};
use crate::lab::{Cut, Host, Lab, Link};
use crate::mesh::Mesh;
use crate::sandbox::in_lab;
use crate::traffic::{Transfer, assert_pings, wait_reachable};
use crate::wait::{seconds, wait_until};

/// The name of the peer, which has no address anywhere but at the proxy.
const NAME: &str = "hidden.test";
/// The proxy wants to know who asks.
const LOGIN: &str = "joshua:hunter2";
/// SOCKS5 and CONNECT on one port, for one login and one name, whatever port is asked for there. It takes no addresses.
/// Arguments: address, port, the name, the name's address, user:password.
const PROXY: &str = "
import base64, socket, sys, threading
address, port, name, behind, login = sys.argv[1:]
user, password = login.split(':')
def exactly(stream, count):
    data = b''
    while len(data) < count:
        more = stream.recv(count - len(data))
        if not more:
            raise OSError('closed')
        data += more
    return data
def counted(stream):
    return exactly(stream, exactly(stream, 1)[0])
def socks(stream):
    if 2 not in counted(stream):
        return
    stream.sendall(b'\\x05\\x02')
    exactly(stream, 1)
    if (counted(stream), counted(stream)) != (user.encode(), password.encode()):
        return
    stream.sendall(b'\\x01\\x00')
    if exactly(stream, 4) != b'\\x05\\x01\\x00\\x03' or counted(stream) != name.encode():
        return
    wanted = int.from_bytes(exactly(stream, 2), 'big')
    return wanted, b'\\x05\\x00\\x00\\x01\\x00\\x00\\x00\\x00\\x00\\x00'
def connect(stream):
    head = b'C'
    while not head.endswith(b'\\r\\n\\r\\n'):
        head += exactly(stream, 1)
    lines = head.decode().split('\\r\\n')
    if lines[0].split(':')[0] != 'CONNECT ' + name:
        return
    if not any(line.endswith('Basic ' + base64.b64encode(login.encode()).decode()) for line in lines):
        return
    return int(lines[0].split(':')[1].split()[0]), b'HTTP/1.1 200 Connected\\r\\n\\r\\n'
def pump(source, sink):
    try:
        while data := source.recv(65536):
            sink.sendall(data)
    except OSError:
        pass
    for end in (source, sink):
        try:
            end.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
def serve(outside):
    try:
        asked = socks(outside) if exactly(outside, 1) == b'\\x05' else connect(outside)
        if asked is None:
            return outside.close()
        inside = socket.create_connection((behind, asked[0]))
        outside.sendall(asked[1])
    except OSError:
        return outside.close()
    threading.Thread(target=pump, args=(outside, inside), daemon=True).start()
    pump(inside, outside)
listener = socket.create_server((address, int(port)))
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
";

/// A host that dials, one that listens, and the proxy between them, which forwards no packets.
struct BehindProxy {
    dialling: Host,
    listening: Host,
    listener: Rc<Running>,
    at: String,
    proxy: Child,
}

impl BehindProxy {
    fn new(lab: &Lab, listen: &str) -> Self {
        let (dialling, between, listening) = (lab.host("dialler"), lab.host("proxy"), lab.host("listener"));
        let (near, far) = (lab.link(&dialling, &between), lab.link(&between, &listening));
        let listener = Running::start(lab, &listening, Config { listen: vec![listen.to_owned()], ..Config::new(1) });
        let address = near.end_at(&between).v4.to_string();
        let behind = far.end_at(&listening).v4.to_string();
        let mut python = Command::new("python3");
        python.arg("-c").arg(PROXY).args([&address, "1080", NAME, &behind, LOGIN]).stdin(Stdio::null());
        let proxy = between.spawn(&mut python);
        Self { dialling, listening, listener, at: format!("{LOGIN}@{address}:1080"), proxy }
    }

    /// A node that dials the listener's name by this URI and options, through the proxy, reaches it.
    fn reaches(mut self, lab: &Lab, uri: &str, options: &str, kind: &str) {
        let peer = format!("{uri}?{options}proxy={kind}://{}", self.at);
        let config = Config { listen: vec![], peers: vec![peer], ..Config::new(2) };
        let dialler = Running::start(lab, &self.dialling, config);
        wait_reachable(&self.dialling, self.listener.address(), seconds(20));
        assert_pings(&self.dialling, self.listener.address());
        Transfer::complete(&self.dialling, &self.listening, self.listener.address(), 8 << 20);
        for told in [dialler.log_text(), dialler.ctl("peers").to_string()] {
            assert!(!told.contains("hunter2") && !told.contains("joshua"), "the login is shown: {told}");
        }
        self.proxy.kill().unwrap();
        self.proxy.wait().unwrap();
    }
}

#[test]
fn a_peer_whose_name_only_a_socks5_proxy_knows_is_reached_through_it() {
    in_lab(&["python3"], |lab| {
        let net = BehindProxy::new(lab, "tcp://[::]:7463");
        net.reaches(lab, &format!("tcp://{NAME}:7463"), "", "socks5");
    });
}

#[test]
fn a_peer_is_reached_through_http_connect_by_websocket() {
    in_lab(&["python3"], |lab| {
        let net = BehindProxy::new(lab, "ws://[::]:80");
        net.reaches(lab, &format!("ws://{NAME}:80/any/path"), "", "http");
    });
}

#[test]
fn tls_runs_from_node_to_node_through_a_socks5_proxy() {
    in_lab(&["python3"], |lab| {
        let net = BehindProxy::new(lab, "tls://[::]:7464");
        net.reaches(lab, &format!("tls://{NAME}:7464"), &format!("key={}&", public_key(1)), "socks5");
    });
}

#[test]
fn a_secure_websocket_runs_from_node_to_node_through_http_connect() {
    in_lab(&["python3"], |lab| {
        let net = BehindProxy::new(lab, "wss://[::]:443");
        net.reaches(lab, &format!("wss://{NAME}:443/any/path"), &format!("key={}&", public_key(1)), "http");
    });
}

#[test]
fn nodes_without_any_network_peer_over_a_unix_socket_again_after_a_crash() {
    in_lab(&[], |lab| {
        const SOCKET: &str = "unix:///run/lab/peers.sock";
        let (a, b) = (lab.host("a"), lab.host("b"));
        let listener = Running::start(lab, &a, Config { listen: vec![SOCKET.to_owned()], ..Config::new(1) });
        let config = Config { listen: vec![], peers: vec![SOCKET.to_owned()], ..Config::new(2) };
        let dialler = Running::start(lab, &b, config);
        wait_reachable(&b, listener.address(), seconds(15));
        Transfer::complete(&a, &b, dialler.address(), 8 << 20);
        // The socket file stays behind, and must not be in the way.
        listener.stop(Signal::SIGKILL);
        listener.spawn();
        listener.wait_ready();
        wait_reachable(&b, listener.address(), seconds(20));
        assert_pings(&b, listener.address());
    });
}

/// `a` and `b` on both sides of a router, and how they reach it.
fn routed(lab: &Lab) -> (Host, Host, Host, [Link; 2]) {
    let (a, router, b) = (lab.host("a"), lab.host("router"), lab.host("b"));
    let links = [lab.link(&a, &router), lab.link(&router, &b)];
    router.within(|| std::fs::write("/proc/sys/net/ipv4/ip_forward", "1").expect("the namespace is ours"));
    (a, router, b, links)
}

fn marked_with(mark: u32) -> String {
    format!("fwmark = {mark}")
}

#[test]
fn marked_sockets_take_the_routes_that_rules_give_them_and_others_do_not() {
    in_lab(&[], |lab| {
        let (a, router, b, links) = routed(lab);
        // Either host knows the way to the other for marked packets alone, so answers of the listener have to be marked too.
        for (host, link) in [(&a, &links[0]), (&b, &links[1])] {
            host.within(|| {
                for file in ["all/rp_filter".to_owned(), format!("{}/rp_filter", link.end_at(host).interface)] {
                    let file = format!("/proc/sys/net/ipv4/conf/{file}");
                    std::fs::write(file, "0").expect("the namespace is ours");
                }
            });
            let via = link.end_at(&router).v4.to_string();
            host.ip(&["route", "add", "default", "via", &via, "table", "42"]);
            host.ip(&["rule", "add", "fwmark", "42", "table", "42"]);
        }
        let listen = vec!["tcp://[::]:7463".to_owned(), "quic://[::]:7463".to_owned()];
        let listener = Running::start(lab, &b, Config { listen, more_peering: marked_with(42), ..Config::new(1) });
        for (n, scheme) in [(2, "tcp"), (4, "quic")] {
            let peers = vec![format!("{scheme}://{}:7463", links[1].end_at(&b).v4)];
            let config = |seed, mark| Config {
                listen: vec![],
                peers: peers.clone(),
                more_peering: marked_with(mark),
                ..Config::new(seed)
            };
            let unmarked = Running::start(lab, &a, config(n, 0));
            wait_until("the way is missed", seconds(15), || unmarked.log_text().contains("unreachable"));
            assert!(unmarked.peers().is_empty());
            unmarked.stop(Signal::SIGTERM);
            let marked = Running::start(lab, &a, config(n + 1, 42));
            wait_reachable(&a, listener.address(), seconds(20));
            assert_pings(&a, listener.address());
            marked.stop(Signal::SIGTERM);
        }
    });
}

#[test]
fn a_path_that_swallows_everything_is_noticed_and_its_peer_dialled_again_when_it_is_back() {
    in_lab(&[], |lab| {
        let mesh = Mesh::line(lab, 2);
        mesh.wait_reachable(0, 1);
        mesh.links[0].cut(Cut::Silent);
        let cut = std::time::Instant::now();
        // Silence counts after five seconds; the rest is for a busy machine.
        for node in &mesh.nodes {
            wait_until("the silence is noticed", seconds(10), || node.peers().is_empty());
        }
        println!("noticed {:.2} s after the cut", cut.elapsed().as_secs_f64());
        mesh.links[0].mend(Cut::Silent);
        mesh.wait_reachable(0, 1);
        assert_pings(&mesh.hosts[0], mesh.address(1));
    });
}

#[test]
fn a_node_behind_nat_is_reached_over_the_tcp_connection_that_it_dialled() {
    in_lab(&[], |lab| {
        let (inside, nat, outside, links) = routed(lab);
        inside.ip(&["route", "add", "default", "via", &links[0].end_at(&nat).v4.to_string()]);
        nat.nft(&format!(
            "add table ip nat; add chain ip nat out {{ type nat hook postrouting priority srcnat; }}; \
             add rule ip nat out oifname {} masquerade",
            links[1].end_at(&nat).interface
        ));
        let public = Running::start(lab, &outside, Config::new(1));
        let config = Config { listen: vec![], peers: vec![links[1].end_at(&outside).uri()], ..Config::new(2) };
        let hidden = Running::start(lab, &inside, config);
        wait_reachable(&outside, hidden.address(), seconds(15));
        assert_pings(&outside, hidden.address());
        Transfer::complete(&outside, &inside, hidden.address(), 8 << 20);
        assert!(public.peers()[0]["uri"].as_str().unwrap().contains(&links[1].end_at(&nat).v4.to_string()));
    });
}
