//! What the service manager is told, and when.

use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::manager::{LIMIT, Service, eventually, free_port, stderr};

#[test]
fn it_is_ready_when_everything_answers_and_says_how_it_goes() {
    let port = free_port();
    let mut service = Service::start(&format!("peering.listen = ['tcp://127.0.0.1:{port}']"));
    service.hears("READY=1");
    assert!(TcpStream::connect(("127.0.0.1", port)).is_ok(), "the listener is there");
    assert!(service.ctl(&["status"]).status.success(), "the control socket is there");
    let status = service.hears("STATUS=").pop().unwrap();
    assert!(status.starts_with("STATUS=0 peers, 0 sessions, root this node, 6"), "{status}");
}

#[test]
fn a_listener_that_cannot_be_had_is_told_before_readiness() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let mut service = Service::start(&format!("peering.listen = ['tcp://127.0.0.1:{port}']"));
    assert_eq!(service.end().code(), Some(1));
    assert!(service.log().contains("another program does"), "{}", service.log());
    let mut told = Vec::new();
    while let Some(message) = service.message(Duration::from_millis(1)) {
        told.push(message);
    }
    assert!(!told.iter().any(|message| message.contains("READY")), "{told:?}");
}

#[test]
fn the_status_line_follows_the_peers() {
    let port = free_port();
    let mut one = Service::ready(&format!("peering.listen = ['tcp://127.0.0.1:{port}']"));
    let other = Service::ready(&format!("peering = {{ listen = [], peers = ['tcp://127.0.0.1:{port}'] }}"));
    one.hears("STATUS=1 peers");
    drop(other);
    one.hears("STATUS=0 peers");
}

#[test]
fn the_watchdog_hears_the_core_and_not_a_process_that_merely_exists() {
    let mut service = Service::start_with("peering.listen = []", &[("WATCHDOG_USEC", "200000")]);
    service.hears("READY=1");
    for _ in 0..5 {
        service.hears("WATCHDOG=1");
    }
    service.signal(Signal::SIGSTOP);
    // What was sent before it stopped.
    while service.message(Duration::from_millis(500)).is_some() {}
    service.signal(Signal::SIGCONT);
    service.hears("WATCHDOG=1");
}

#[test]
fn a_watchdog_of_another_process_is_not_ours() {
    let variables = [("WATCHDOG_USEC", "100000"), ("WATCHDOG_PID", "1")];
    let mut service = Service::start_with("peering.listen = []", &variables);
    service.hears("READY=1");
    service.hears("STATUS=");
    assert_eq!(service.message(Duration::from_millis(600)), None, "the status is as it was");
}

#[test]
fn it_says_that_it_stops_and_has_stopped_within_two_seconds_whatever_it_waits_for() {
    // A peer that takes the connection and says nothing, and one whose name nobody resolves.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let peers = format!("'tcp://127.0.0.1:{port}', 'tcp://nobody.invalid:1', 'tls://127.0.0.1:{port}'");
    let mut service = Service::ready(&format!("peering = {{ listen = [], peers = [{peers}] }}"));
    silent.accept().unwrap();
    service.signal(Signal::SIGTERM);
    let start = Instant::now();
    service.hears("STOPPING=1");
    assert!(service.end().success());
    let taken = start.elapsed();
    println!("stopped after {taken:?}");
    assert!(taken < Duration::from_secs(2), "{taken:?}");
    assert!(!service.path("control.sock").exists());
}

#[test]
fn a_reload_is_told_with_its_time_and_its_end() {
    let mut service = Service::ready("log.level = 'info'\npeering.listen = []");
    let before = monotonic_now();
    service.signal(Signal::SIGHUP);
    let told = service.hears("RELOADING=1").pop().unwrap();
    let (_, time) = told.split_once("\nMONOTONIC_USEC=").expect("both in one message");
    let time: u128 = time.parse().unwrap();
    assert!((before..=monotonic_now()).contains(&time), "{before} {time}");
    service.hears("READY=1");
    // A file with a mistake ends the reload too, and not the daemon.
    service.configure("tun.mtu = 12");
    service.signal(Signal::SIGHUP);
    service.hears("RELOADING=1");
    service.hears("READY=1");
    eventually("the log says so", || service.log().contains("reload: nothing was changed").then_some(()));
    assert!(service.log().contains("pineconed.toml:5:11: tun.mtu: "), "{}", service.log());
}

/// Microseconds of CLOCK_MONOTONIC.
fn monotonic_now() -> u128 {
    let time = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC).unwrap();
    Duration::from(time).as_micros()
}

#[test]
fn wait_waits_for_the_daemon_for_peers_and_for_routes() {
    let port = free_port();
    let one = Service::ready(&format!("peering.listen = ['tcp://127.0.0.1:{port}']"));
    assert_eq!(one.ctl(&["wait", "--timeout", "5"]).status.code(), Some(0));
    let late = one.ctl(&["wait", "--peers", "1", "--timeout", "0.3"]);
    assert_eq!((late.status.code(), stderr(&late).contains("0 of 1 peers")), (Some(5), true), "{late:?}");
    let start = Instant::now();
    let other = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| one.ctl(&["wait", "--peers", "1", "--timeout", "20"]));
        let other = Service::ready(&format!("peering = {{ listen = [], peers = ['tcp://127.0.0.1:{port}'] }}"));
        assert_eq!(waiting.join().unwrap().status.code(), Some(0));
        other
    });
    assert!(start.elapsed() < LIMIT);
    let key = other.json(&["status"])["public_key"].as_str().unwrap().to_owned();
    assert_eq!(one.ctl(&["wait", "--route", &key, "--timeout", "20"]).status.code(), Some(0));
    let nobody = one.ctl(&["wait", "--route", "600::1", "--timeout", "0.5"]);
    assert_eq!(
        (nobody.status.code(), stderr(&nobody).contains("600::1 does not answer")),
        (Some(5), true),
        "{nobody:?}"
    );
    drop(one);
    let no_daemon = other.ctl(&["wait", "--peers", "1", "--timeout", "0.3"]);
    assert_eq!(no_daemon.status.code(), Some(5), "{no_daemon:?}");
}
