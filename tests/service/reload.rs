//! Reload: all of a file or nothing of it, and nobody notices who is not concerned.

use std::net::TcpStream;

use serde_json::Value;

use crate::manager::{Service, eventually, free_port, stderr, stdout};

fn listener(port: u16, more: &str) -> String {
    format!("peering.listen = ['tcp://127.0.0.1:{port}']\n{more}")
}

fn dialler(ports: &[u16], more: &str) -> String {
    let peers: Vec<String> = ports.iter().map(|port| format!("tcp://127.0.0.1:{port}")).collect();
    format!("peering.listen = []\npeering.peers = {peers:?}\n{more}")
}

fn key(service: &Service) -> String {
    service.json(&["status"])["public_key"].as_str().unwrap().to_owned()
}

/// The peering with this node.
fn peering(service: &Service, with: &str) -> Option<Value> {
    service.json(&["peers"])["peers"].as_array().unwrap().iter().find(|peer| peer["key"] == with).cloned()
}

fn is_peered(service: &Service, with: &str) -> Option<Value> {
    eventually("the peering is up", || peering(service, with)).into()
}

#[test]
fn peers_come_and_go_and_the_others_stay() {
    let (port_a, port_b, port_c) = (free_port(), free_port(), free_port());
    let (a, b) = (Service::ready(&listener(port_a, "")), Service::ready(&listener(port_b, "")));
    let c = Service::ready(&listener(port_c, ""));
    let service = Service::ready(&dialler(&[port_a, port_b], ""));
    let (key_a, key_b, key_c) = (key(&a), key(&b), key(&c));
    let before = is_peered(&service, &key_a).unwrap();
    is_peered(&service, &key_b);

    service.configure(&dialler(&[port_a, port_c], ""));
    let report = service.json(&["reload"]);
    assert_eq!(report["changes"][0]["key"], "peering.peers");
    assert_eq!(report["changes"][0]["effect"], "reload");
    is_peered(&service, &key_c);
    assert_eq!(peering(&service, &key_b), None, "it is closed when the answer is there");
    let after = peering(&service, &key_a).unwrap();
    assert!(after["uptime_seconds"].as_f64() >= before["uptime_seconds"].as_f64(), "{before} {after}");
    assert!(!a.log().contains("is down"), "{}", a.log());
}

#[test]
fn a_dry_run_shows_what_would_change_and_what_needs_a_restart_and_changes_nothing() {
    let port = free_port();
    let service = Service::ready(&listener(port, ""));
    service.configure(&listener(free_port(), "tun.mtu = 1280\nlog.level = 'debug'"));
    let output = service.ctl(&["reload", "--dry-run"]);
    let text = stdout(&output);
    assert!(output.status.success());
    assert!(text.contains("tun.mtu: 65000 → 1280  (needs a restart)"), "{text}");
    assert!(text.contains(&format!("peering.listen: −tcp://127.0.0.1:{port} +tcp://127.0.0.1:")), "{text}");
    assert!(text.contains("would change 2 of its keys"), "{text}");
    assert!(TcpStream::connect(("127.0.0.1", port)).is_ok());
    // Done for real, the restart is all that is left.
    assert!(service.ctl(&["reload"]).status.success());
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
    let left = service.json(&["reload"]);
    assert_eq!(left["changes"].as_array().unwrap().len(), 1, "{left}");
    assert_eq!((&left["changes"][0]["key"], &left["changes"][0]["effect"]), (&"tun.mtu".into(), &"restart".into()));
}

#[test]
fn a_file_with_a_mistake_changes_nothing_and_the_mistake_is_named_with_its_place() {
    let port = free_port();
    let mut service = Service::ready(&listener(port, ""));
    for (more, words) in [
        ("peering.listen = []\npeering.peers = ['tcp://192.0.2.1']", "pineconed.toml:6:18: peering.peers[0]: "),
        ("peering.listen = []\nlog.volume = 11", "unknown key"),
        ("peering.listen = []\nthis is no TOML", "pineconed.toml:6:"),
        ("peering.listen = []\nsession.password_file = '/nonexistent/password'", "/nonexistent/password is not there"),
        ("peering.listen = []\ncontrol.group = 'no-such-group'", "control.group: this host has no group no-such-group"),
        ("peering.listen = ['tcp://192.0.2.77:7463']", "192.0.2.77:7463"),
    ] {
        service.configure(more);
        for arguments in [&["reload"][..], &["reload", "--dry-run"]] {
            if words == "192.0.2.77:7463" && arguments.len() == 2 {
                // Whether one can listen shows when one does.
                continue;
            }
            let output = service.ctl(arguments);
            let message = stderr(&output);
            assert_eq!(output.status.code(), Some(1), "{more}");
            assert!(message.contains("nothing was changed") && message.contains(words), "{message}");
        }
        assert!(TcpStream::connect(("127.0.0.1", port)).is_ok(), "{more}: still listening");
        assert!(service.is_running());
    }
}

#[test]
fn listeners_that_stay_keep_their_connections_and_new_ones_take_some() {
    let (old, new) = (free_port(), free_port());
    let service = Service::ready(&listener(old, ""));
    let peer = Service::ready(&dialler(&[old], ""));
    is_peered(&service, &key(&peer));
    let both = format!("peering.listen = ['tcp://127.0.0.1:{old}?priority=3', 'ws://127.0.0.1:{new}']");
    service.configure(&both);
    assert!(service.ctl(&["reload"]).status.success());
    assert!(!peer.log().contains("is down"), "{}", peer.log());
    let over_ws = Service::ready(&format!("peering.listen = []\npeering.peers = ['ws://127.0.0.1:{new}']"));
    is_peered(&service, &key(&over_ws));
    let another = Service::ready(&dialler(&[old], ""));
    let with_priority = is_peered(&service, &key(&another)).unwrap();
    assert_eq!(with_priority["priority"], 3, "who comes now comes under the new options");
}

#[test]
fn who_is_not_allowed_any_more_is_sent_away() {
    let port = free_port();
    let service = Service::ready(&listener(port, ""));
    let (friend, stranger) = (Service::ready(&dialler(&[port], "")), Service::ready(&dialler(&[port], "")));
    let (friend_key, stranger_key) = (key(&friend), key(&stranger));
    is_peered(&service, &friend_key);
    is_peered(&service, &stranger_key);
    let allowed =
        format!("peering.require_authenticated = true\npeering.allowed_keys = {{ inbound = ['{friend_key}'] }}");
    service.configure(&listener(port, &allowed));
    assert!(service.ctl(&["reload"]).status.success());
    assert_eq!(peering(&service, &stranger_key), None);
    assert!(peering(&service, &friend_key).is_some());
    service.configure(&listener(port, ""));
    assert!(service.ctl(&["reload"]).status.success());
    is_peered(&service, &stranger_key);
}

#[test]
fn the_log_level_and_the_group_of_the_control_socket_follow() {
    let service = Service::ready("peering.listen = []");
    service.configure("peering.listen = []\nlog.level = 'trace'");
    assert!(service.ctl(&["reload"]).status.success());
    eventually("there is more in the log", || service.log().contains("TRACE").then_some(()));
    // Only root can give a file to a group that it is not in.
    if nix::unistd::geteuid().is_root() {
        use std::os::unix::fs::MetadataExt;
        let service = Service::ready("peering.listen = []\nservice.confine = false");
        service.configure("peering.listen = []\nservice.confine = false\ncontrol.group = '1'");
        assert!(service.ctl(&["reload"]).status.success());
        assert_eq!(std::fs::metadata(service.path("control.sock")).unwrap().gid(), 1);
    }
}

#[test]
fn another_group_password_ends_the_sessions_of_the_old_group() {
    let port = free_port();
    let listening = Service::ready(&listener(port, ""));
    let dialling = Service::ready(&dialler(&[port], ""));
    let target = key(&dialling);
    is_peered(&listening, &target);
    assert!(listening.ctl(&["ping", &target, "-c", "1"]).status.success());
    let password = |service: &Service| {
        let path = service.path("password");
        std::fs::write(&path, "correct horse battery staple").unwrap();
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        format!("session.password_file = '{}'", path.display())
    };
    listening.configure(&listener(port, &password(&listening)));
    assert!(listening.ctl(&["reload"]).status.success());
    let refused = listening.ctl(&["ping", &target, "-c", "1", "--timeout", "1"]);
    assert_eq!(refused.status.code(), Some(5), "the other side is not of the group");
    dialling.configure(&dialler(&[port], &password(&dialling)));
    assert!(dialling.ctl(&["reload"]).status.success());
    assert!(listening.ctl(&["wait", "--route", &target, "--timeout", "20"]).status.success());
}
