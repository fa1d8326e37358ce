//! What is wanted of single peerings: which of several carries, and how much it is given to carry.

use std::net::UdpSocket;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::daemon::{Config, Running};
use crate::lab::{Cut, Lab};
use crate::mesh::Mesh;
use crate::sandbox::in_lab;
use crate::traffic::{Stop, assert_pings, first_reply, median_ms, ping, wait_reachable};
use crate::wait::{seconds, wait_until};

fn number(peer: &Value, field: &str) -> u64 {
    peer[field].as_u64().unwrap()
}

#[test]
fn the_peering_with_the_lowest_priority_carries_and_a_backup_takes_over() {
    in_lab(&[], |lab| {
        let (a, b) = (lab.host("a"), lab.host("b"));
        let links = [lab.link(&a, &b), lab.link(&a, &b)];
        let mut config = Config::new(1);
        config.listen = vec![
            format!("tcp://{}:7463?priority=9", links[0].ends[0].v4),
            format!("tcp://{}:7463?priority=1", links[1].ends[0].v4),
        ];
        let listener = Running::start(lab, &a, config);
        let mut config = Config::new(2);
        config.peers =
            vec![format!("{}?priority=9", links[0].ends[0].uri()), format!("{}?priority=1", links[1].ends[0].uri())];
        let dialler = Running::start(lab, &b, config);
        let carrier = |node: &Running| {
            let peers = node.peers();
            let carrying: Vec<_> = peers.iter().filter(|peer| peer["carries"] == true).collect();
            (peers.len(), carrying.first().map_or(u64::MAX, |peer| number(peer, "priority")), carrying.len())
        };
        wait_until("both sides chose the better of both links", seconds(15), || {
            carrier(&listener) == (2, 1, 1) && carrier(&dialler) == (2, 1, 1)
        });
        wait_reachable(&b, listener.address(), seconds(15));
        let by_priority = |priority: u64| {
            dialler
                .peers()
                .iter()
                .filter(|peer| number(peer, "priority") == priority)
                .map(|peer| number(peer, "sent_bytes"))
                .sum::<u64>()
        };
        let before = (by_priority(1), by_priority(9));
        let pings = ping(&b, listener.address(), "-c 50 -i 0.02 -s 1000 -W 2");
        assert_eq!(pings.received, 50, "{}", pings.text);
        let grown = (by_priority(1) - before.0, by_priority(9) - before.1);
        println!("priority 1 sent {} bytes, priority 9 {}", grown.0, grown.1);
        assert!(grown.0 > 50_000 && grown.1 < 10_000, "{grown:?}");
        links[1].cut(Cut::Down);
        let after = first_reply(&b, listener.address(), seconds(10)).expect("the backup takes over");
        println!("the backup took over within {after:?}");
        assert_pings(&a, dialler.address());
        links[1].mend(Cut::Down);
        wait_until("the better link carries again", seconds(30), || {
            carrier(&listener) == (2, 1, 1) && carrier(&dialler) == (2, 1, 1)
        });
        assert_pings(&b, listener.address());
    });
}

#[test]
fn a_cap_is_held_within_five_percent_and_pings_pass_what_waits() {
    const RATE: f64 = 10_000_000.0;
    in_lab(&[], |lab| {
        let mesh = Mesh::line_with(lab, 2, |n, config| {
            if n == 1 {
                config.peers[0] += "?max_rate=10M";
            }
        });
        mesh.wait_reachable(1, 0);
        let (from, to) = (mesh.address(1), mesh.address(0));
        let flooding = AtomicBool::new(true);
        let received = || number(&mesh.nodes[0].peers()[0], "received_bytes");
        let host = &mesh.hosts[1];
        std::thread::scope(|scope| {
            let _stop = Stop(&flooding);
            let flood = scope.spawn(|| {
                let socket = host.within(|| UdpSocket::bind((from, 0))).unwrap();
                let start = Instant::now();
                // Three times what may pass.
                for n in 1_u32.. {
                    if !flooding.load(Ordering::Relaxed) {
                        break;
                    }
                    let _ = socket.send_to(&[7; 1_200], (to, 9));
                    std::thread::sleep((Duration::from_micros(320) * n).saturating_sub(start.elapsed()));
                }
            });
            let start = received();
            wait_until("the flood arrives", seconds(10), || received() > start + 1_000_000);
            let (before, clock) = (received(), Instant::now());
            let pings = ping(host, to, "-c 60 -i 0.1 -W 2");
            let rate = (received() - before) as f64 * 8.0 / clock.elapsed().as_secs_f64();
            flooding.store(false, Ordering::Relaxed);
            println!("{:.3} Mbit/s; {}", rate / 1e6, pings.text.lines().last().unwrap_or_default());
            assert!((0.95..1.05).contains(&(rate / RATE)), "{rate} bit/s of {RATE}");
            assert!(pings.received >= 58, "{}", pings.text);
            // What waits would take a second and more.
            assert!(median_ms(&pings.text) < 50.0, "{}", pings.text);
            flood.join().unwrap();
        });
    });
}

/// Starts a node in `host` that listens there as `listen` says, and one next to it that dials as `option` says.
fn listener_and_dialler(lab: &Lab, listen: &str, options: [&str; 2]) -> (Rc<Running>, [Rc<Running>; 2]) {
    let a = lab.host("a");
    let hosts = [lab.host("b"), lab.host("c")];
    let links = [lab.link(&a, &hosts[0]), lab.link(&a, &hosts[1])];
    let mut config = Config::new(1);
    config.listen = vec![listen.to_owned()];
    let listener = Running::start(lab, &a, config);
    let mut n = 2;
    let diallers = [0, 1].map(|index| {
        let mut config = Config::new(n);
        n += 1;
        config.peers = vec![format!("{}{}", links[index].ends[0].uri(), options[index])];
        Running::start(lab, &hosts[index], config)
    });
    (listener, diallers)
}

#[test]
fn a_listener_with_a_password_takes_those_who_know_it_and_tells_others_what_is_missing() {
    in_lab(&[], |lab| {
        let listen = "tcp://[::]:7463?password=correct-horse-battery-staple";
        let options = ["?password=correct-horse-battery-staple", ""];
        let (listener, [knows, does_not]) = listener_and_dialler(lab, listen, options);
        wait_until("who knows the password is a peer", seconds(15), || {
            knows.peers().iter().any(|peer| peer["authenticated"] == true)
        });
        wait_until("who does not is told why not", seconds(15), || {
            does_not.ctl("peers")["waiting"][0]["last_error"].as_str().is_some_and(|why| why.contains("?password="))
        });
        assert_eq!(listener.peers().len(), 1, "{:?}", listener.peers());
        assert!(listener.ctl("status")["refused"]["wrong_password"].as_u64() >= Some(1));
        let log = listener.log_text();
        assert!(log.contains("another ?password=") && !log.contains("correct-horse"), "{log}");
        assert!(!knows.log_text().contains("correct-horse"), "{}", knows.log_text());
        assert!(!format!("{:?}", knows.peers()).contains("correct-horse"));
    });
}

#[test]
fn a_node_that_never_carries_keeps_apart_those_whom_it_alone_could_join() {
    in_lab(&[], |lab| {
        let mesh = Mesh::line_with(lab, 3, |n, config| {
            if n == 1 {
                config.transit = "never";
            }
        });
        let [a, leaf, b] = [0, 1, 2].map(|n| (&mesh.hosts[n], mesh.nodes[n].address()));
        for (from, to) in [(a, leaf), (leaf, a), (b, leaf), (leaf, b)] {
            wait_reachable(from.0, to.1, seconds(15));
            assert_pings(from.0, to.1);
        }
        let through = ping(a.0, b.1, "-c 5 -i 0.2 -W 1");
        assert_eq!(through.received, 0, "{}", through.text);
        assert_eq!(mesh.nodes[1].ctl("status")["frames_forwarded"], 0);
        assert!(mesh.nodes[0].peers().iter().all(|peer| peer["transit"] == "never"));
    });
}
