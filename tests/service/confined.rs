//! What the running process can still do to its host, as the kernel sees it, and that everything still works.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use nix::sys::signal::Signal;

use crate::manager::{Service, eventually, free_port, stderr, stdout};

/// Every thread has this in its status.
#[track_caller]
fn all_have(service: &Service, field: &str, value: &str) {
    let of_threads = service.proc_status(field);
    assert!(of_threads.iter().all(|found| found == value), "{field}: {of_threads:?}");
}

fn confinement(service: &Service) -> serde_json::Value {
    service.json(&["status"])["confinement"].clone()
}

/// A name that is looked up, so that there are threads that do it.
const NAME: &str = "peering.peers = ['tcp://nobody.invalid:1', 'tcp://localhost:1']";

#[test]
fn a_running_daemon_has_no_capability_no_new_privileges_and_a_filter_in_every_thread() {
    let service = Service::ready(&format!("peering.listen = []\n{NAME}"));
    eventually("names are looked up", || (service.proc_status("CapEff").len() > 1).then_some(()));
    for field in ["CapEff", "CapPrm", "CapInh", "CapAmb"] {
        all_have(&service, field, "0000000000000000");
    }
    all_have(&service, "NoNewPrivs", "1");
    all_have(&service, "Seccomp", "2");
    let confinement = confinement(&service);
    assert_eq!(confinement["wanted"], true);
    assert_eq!(confinement["system_calls"], "filtered");
    assert!(confinement["capabilities"].as_array().unwrap().is_empty());
    assert!(!service.log().contains("this is a bug"), "{}", service.log());
    let text = stdout(&service.ctl(&["status"]));
    assert!(text.contains("confinement") && text.contains("system calls filtered; capabilities none"), "{text}");
}

#[test]
fn it_can_be_switched_off() {
    let service = Service::ready("peering.listen = []\nservice.confine = false");
    all_have(&service, "Seccomp", "0");
    all_have(&service, "NoNewPrivs", "0");
    let confinement = confinement(&service);
    assert_eq!(confinement["wanted"], false);
    assert!(confinement["files"].as_str().unwrap().contains("service.confine = false"));
}

#[test]
fn a_capability_stays_where_something_configured_needs_it_and_the_reason_is_told() {
    if !nix::unistd::geteuid().is_root() {
        println!("skipped: only root has capabilities to keep");
        return;
    }
    let service = Service::ready("peering.listen = []\npeering.fwmark = 7");
    // CAP_NET_ADMIN is number 12.
    all_have(&service, "CapEff", "0000000000001000");
    let kept = confinement(&service)["capabilities"][0].as_str().unwrap().to_owned();
    assert!(kept.contains("CAP_NET_ADMIN") && kept.contains("peering.fwmark"), "{kept}");
}

#[test]
fn names_are_looked_up_and_every_refusal_is_the_network_s() {
    let service = Service::ready(&format!("peering.listen = []\n{NAME}"));
    let waiting = eventually("both were tried", || {
        let waiting = service.json(&["peers"])["waiting"].clone();
        waiting.as_array().unwrap().iter().all(|peer| peer["last_error"].is_string()).then_some(waiting)
    });
    let text = waiting.to_string();
    assert!(text.contains("Connection refused"), "localhost has an address: {text}");
    assert!(text.contains("cannot resolve nobody.invalid"), "{text}");
    assert!(!text.contains("os error 38") && !text.contains("os error 13"), "{text}");
}

#[test]
fn all_transports_work_confined() {
    let ports = [free_port(), free_port(), free_port(), free_port(), free_port()];
    let [tcp, tls, ws, wss, quic] = ports;
    let sockets = tempfile::tempdir().unwrap();
    let unix = format!("unix://{}/peers.sock", sockets.path().display());
    let listen = format!(
        "peering.listen = ['tcp://127.0.0.1:{tcp}', 'tls://127.0.0.1:{tls}', 'ws://127.0.0.1:{ws}', \
         'wss://127.0.0.1:{wss}', 'quic://127.0.0.1:{quic}', '{unix}']"
    );
    let listening = Service::ready(&listen);
    let key = listening.json(&["status"])["public_key"].as_str().unwrap().to_owned();
    let uris = [
        format!("tcp://127.0.0.1:{tcp}"),
        format!("tls://127.0.0.1:{tls}"),
        format!("ws://127.0.0.1:{ws}"),
        format!("wss://127.0.0.1:{wss}?key={key}"),
        format!("quic://127.0.0.1:{quic}"),
        unix,
        format!("tcp://localhost:{tcp}"),
    ];
    for uri in uris {
        let service = Service::ready("peering.listen = []");
        all_have(&service, "Seccomp", "2");
        assert!(service.ctl(&["peer", "add", &uri]).status.success());
        let waited = service.ctl(&["wait", "--peers", "1", "--route", &key, "--timeout", "20"]);
        assert!(waited.status.success(), "{uri}: {}{}", stderr(&waited), service.log());
    }
    let mut listening = listening;
    listening.signal(Signal::SIGTERM);
    assert!(listening.end().success());
    assert_eq!(fs::read_dir(sockets.path()).unwrap().count(), 0, "its socket is removed");
}

#[test]
fn a_confined_daemon_reloads_what_it_named_and_says_why_it_cannot_reach_other_files() {
    let service = Service::ready("peering.listen = []");
    if confinement(&service)["files"] != "full" {
        assert!(std::env::var_os("CI").is_none(), "this kernel has no Landlock to test");
        println!("skipped: {}", confinement(&service)["files"]);
        return;
    }
    let password = |directory: &std::path::Path| {
        let path = directory.join("password");
        fs::write(&path, "correct horse battery staple").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        format!("peering.listen = []\nsession.password_file = '{}'", path.display())
    };
    // Beside the configuration, which is read again.
    service.configure(&password(service.path("x").parent().unwrap()));
    let near = service.ctl(&["reload"]);
    assert!(near.status.success(), "{}", stderr(&near));
    let elsewhere = tempfile::tempdir().unwrap();
    service.configure(&password(elsewhere.path()));
    let far = service.ctl(&["reload"]);
    let message = stderr(&far);
    assert_eq!(far.status.code(), Some(1));
    assert!(message.contains("Permission denied") && message.contains("restart it if that changed"), "{message}");
}

#[test]
fn new_listeners_of_a_reload_open_under_the_filter() {
    let sockets = tempfile::tempdir().unwrap();
    let unix = |name: &str| format!("'unix://{}/{name}'", sockets.path().display());
    let service = Service::ready(&format!("peering.listen = [{}]", unix("one")));
    let (tcp, quic) = (free_port(), free_port());
    let more = format!("{}, 'tcp://127.0.0.1:{tcp}', 'quic://127.0.0.1:{quic}'", unix("two"));
    service.configure(&format!("peering.listen = [{more}]"));
    let output = service.ctl(&["reload"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let mut names: Vec<_> = fs::read_dir(sockets.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["two", "two.lock"]);
    let peer = Service::ready(&format!("peering.listen = []\npeering.peers = ['quic://127.0.0.1:{quic}']"));
    assert!(peer.ctl(&["wait", "--peers", "1", "--timeout", "20"]).status.success());
}
