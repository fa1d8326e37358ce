//! Peerings over TLS: between two daemons, as WebSockets, and through a web server that speaks TLS for the daemon behind it.

use std::process::{Child, Command, Stdio};

use nix::sys::signal::Signal;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use serde_json::Value;

use crate::daemon::{Config, Running, public_key};
use crate::lab::{Host, Lab, Link};
use crate::mesh::Mesh;
use crate::sandbox::in_lab;
use crate::traffic::{Transfer, assert_pings, wait_reachable};
use crate::wait::{seconds, wait_until};

/// As a web server in front of a node does it: TLS ends here, and what is inside goes on as it is.
/// Arguments: address, port, certificate, private key, port behind.
const PROXY: &str = "
import socket, ssl, sys, threading
address, port, certificate, key, behind = sys.argv[1:]
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(certificate, key)
context.set_alpn_protocols(['http/1.1'])
listener = socket.create_server((address, int(port)))
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
def serve(plain):
    try:
        outside = context.wrap_socket(plain, server_side=True)
    except (OSError, ssl.SSLError):
        return
    inside = socket.create_connection(('127.0.0.1', int(behind)))
    threading.Thread(target=pump, args=(outside, inside), daemon=True).start()
    pump(inside, outside)
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
";

#[test]
fn nodes_that_peer_over_tls_reach_each_other_through_one_another() {
    in_lab(&[], |lab| {
        let mesh = Mesh::line_with(lab, 3, |_, config| {
            config.listen = vec!["tls://[::]:7464".to_owned()];
            for uri in &mut config.peers {
                *uri = uri.replace("tcp://", "tls://").replace(":7463", ":7464");
            }
        });
        mesh.wait_reachable(0, 2);
        assert_pings(&mesh.hosts[0], mesh.address(2));
        Transfer::complete(&mesh.hosts[2], &mesh.hosts[0], mesh.address(0), 32 << 20);
        for node in &mesh.nodes {
            let is_tls = |peer: &Value| peer["uri"].as_str().unwrap().starts_with("tls://");
            assert!(node.peers().iter().all(|peer| is_tls(peer) && peer["authenticated"] == true));
        }
    });
}

/// Two linked hosts, and a daemon on the first.
fn listener(lab: &Lab, uri: &str) -> (Link, std::rc::Rc<Running>) {
    let link = lab.link(&lab.host("listener"), &lab.host("dialler"));
    let daemon = Running::start(lab, &link.ends[0].host, Config { listen: vec![uri.to_owned()], ..Config::new(1) });
    (link, daemon)
}

fn dialler(lab: &Lab, link: &Link, peer: String) -> std::rc::Rc<Running> {
    Running::start(lab, &link.ends[1].host, Config { listen: vec![], peers: vec![peer], ..Config::new(2) })
}

#[test]
fn a_node_is_dialled_as_a_secure_websocket_by_its_key_and_by_no_other() {
    in_lab(&[], |lab| {
        let (link, listener) = listener(lab, "wss://[::]:443");
        let host = &link.ends[1].host;
        let uri = |key: u8| format!("wss://{}:443/pinecone?key={}", link.ends[0].v4, public_key(key));
        let right = dialler(lab, &link, uri(1));
        wait_reachable(host, listener.address(), seconds(15));
        assert_pings(host, listener.address());
        right.stop(Signal::SIGTERM);
        let wrong = Config { listen: vec![], peers: vec![uri(3)], ..Config::new(4) };
        let wrong = Running::start(lab, host, wrong);
        wait_until("the wrong key is refused", seconds(15), || {
            wrong.log_text().contains("this peer is configured with ?key=")
        });
        assert!(wrong.peers().is_empty());
    });
}

/// Writes a CA, and a web server's certificate and private key for this address.
fn web_server_files(directory: &std::path::Path, address: String) {
    let mut params = CertificateParams::new([]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new([address]).unwrap().signed_by(&key, &ca).unwrap();
    let files = [("ca.pem", ca.pem()), ("server.pem", certificate.pem()), ("server.key", key.serialize_pem())];
    for (name, text) in files {
        std::fs::write(directory.join(name), text).unwrap();
    }
}

fn start_proxy(host: &Host, directory: &std::path::Path, address: String) -> Child {
    let file = |name: &str| directory.join(name).display().to_string();
    let arguments = [address, "443".into(), file("server.pem"), file("server.key"), "7465".into()];
    let mut python = Command::new("python3");
    host.spawn(python.arg("-c").arg(PROXY).args(arguments).stdin(Stdio::null()))
}

#[test]
fn a_node_behind_a_web_server_with_a_certificate_of_a_ca_is_reached_and_not_without_that_ca() {
    in_lab(&["python3"], |lab| {
        let (link, listener) = listener(lab, "ws://127.0.0.1:7465");
        let (host, address) = (&link.ends[1].host, link.ends[0].v4.to_string());
        web_server_files(&listener.directory, address.clone());
        let mut proxy = start_proxy(&link.ends[0].host, &listener.directory, address.clone());
        let uri = format!("wss://{address}:443/any/path?key={}", public_key(1));
        let stranger = dialler(lab, &link, uri.clone());
        wait_until("the CA is missed", seconds(20), || stranger.log_text().contains("peering.tls_ca_file"));
        assert!(stranger.peers().is_empty());
        stranger.stop(Signal::SIGTERM);
        let ca_file = Some(listener.directory.join("ca.pem"));
        let config = Config { listen: vec![], peers: vec![uri], ca_file, ..Config::new(3) };
        Running::start(lab, host, config);
        wait_reachable(host, listener.address(), seconds(15));
        assert_pings(host, listener.address());
        proxy.kill().unwrap();
        proxy.wait().unwrap();
    });
}

#[test]
fn other_programs_find_tls_1_3_and_nothing_older_and_no_way_in_without_a_certificate() {
    in_lab(&["openssl"], |lab| {
        let (link, listener) = listener(lab, "tls://[::]:7464");
        let address = format!("{}:7464", link.ends[0].v4);
        let client = |arguments: &[&str]| {
            let all = [&["s_client", "-connect", &address, "-alpn", "pinecone"], arguments].concat();
            let output = link.ends[1].host.output("openssl", &all);
            String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
        };
        let old = client(&["-tls1_2"]);
        assert!(old.contains("alert protocol version"), "{old}");
        let new = client(&["-tls1_3", "-ign_eof"]);
        assert!(new.contains("TLSv1.3") && new.to_lowercase().contains("ed25519"), "{new}");
        assert!(new.contains(&public_key(1).to_string()), "the certificate names the key: {new}");
        assert!(!new.contains("New Session Ticket arrived"), "{new}");
        assert!(new.contains("alert certificate required"), "{new}");
        assert!(listener.peers().is_empty());
    });
}
