//! How long things take on the mesh and, with the same homeservers on the same machine, over bare cables. Not a test: it prints a table for
//! `docs/matrix.md`. `.ci/matrix --figures` runs it.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::json;

use crate::homeserver::Homeserver;
use crate::lab::{Cut, Host, Lab, Link};
use crate::line::Line;
use crate::sandbox::in_lab_for;
use crate::user::User;
use crate::venv;
use crate::wait::{seconds, wait_until};

const SOON: Duration = seconds(60);
/// Rooms that somebody is invited to.
const ROOMS: usize = 9;
/// Messages per pair.
const MESSAGES: usize = 60;
/// How long C is away.
const OUTAGE: Duration = seconds(10);
/// Addresses that are nobody's and that Synapse does not refuse (RFC 9637); they stay in these namespaces.
const PLAIN: [&str; 3] = ["3fff:0:1::2", "3fff:0:1::1", "3fff:0:3::2"];

#[test]
#[ignore = "takes three minutes and measures: .ci/matrix --figures"]
fn figures_on_the_mesh() {
    if !venv::is_there("figures_on_the_mesh") {
        return;
    }
    in_lab_for(seconds(400), &[], |lab| {
        let line = Line::build(lab);
        let servers = line.synapses([0, 1, 2], &json!({}));
        measure("mesh", &servers, &|away| {
            if away {
                line.nodes[2].stop(Signal::SIGTERM);
            } else {
                line.nodes[2].spawn();
            }
        });
    });
}

#[test]
#[ignore = "takes three minutes and measures: .ci/matrix --figures"]
fn figures_over_bare_cables() {
    if !venv::is_there("figures_over_bare_cables") {
        return;
    }
    in_lab_for(seconds(400), &[], |lab| {
        let (hosts, cable) = bare_line(lab);
        let servers = [0, 1, 2].map(|n| bare_synapse(&hosts[n], PLAIN[n]));
        servers.iter().for_each(Homeserver::wait_ready);
        measure("cable", &servers, &|away| if away { cable.cut(Cut::Silent) } else { cable.mend(Cut::Silent) });
    });
}

/// The same three hosts without daemons, the middle one a router. The cable is C's.
fn bare_line(lab: &Lab) -> ([Host; 3], Link) {
    let hosts = ["a", "b", "c"].map(|name| lab.host(name));
    let left = lab.link(&hosts[1], &hosts[0]);
    let right = lab.link(&hosts[1], &hosts[2]);
    for (link, middle, end) in [(&left, PLAIN[1], PLAIN[0]), (&right, "3fff:0:3::1", PLAIN[2])] {
        for (at, address) in link.ends.iter().zip([middle, end]) {
            at.host.ip(&["addr", "add", &format!("{address}/64"), "dev", &at.interface, "nodad"]);
        }
        link.ends[1].host.ip(&["-6", "route", "add", "3fff::/20", "via", middle]);
    }
    hosts[1].within(|| std::fs::write("/proc/sys/net/ipv6/conf/all/forwarding", "1")).unwrap();
    (hosts, right)
}

/// The same settings for another address.
fn bare_synapse(host: &Host, address: &str) -> Homeserver {
    let directory = format!("/run/lab/{}-matrix", host.name());
    let key = format!("{directory}.key");
    std::fs::create_dir_all("/run/lab").unwrap();
    let ctl = |arguments: &[&str]| {
        let output = host.output(env!("CARGO_BIN_EXE_pineconectl"), arguments);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    ctl(&["key", "generate", &key]);
    ctl(&["matrix", "init", "--server", "synapse", "--key-file", &key, "--dir", &directory]);
    let name = format!("[{address}]:8448");
    let settings = json!({ "server_name": name, "federation_certificate_verification_whitelist": ["3fff:*"] });
    Homeserver::synapse(host, &name, &std::path::Path::new(&directory).join("synapse.yaml"), &settings)
}

fn measure(over: &str, servers: &[Homeserver; 3], outage: &dyn Fn(bool)) {
    let [alice, bob, carol] = [(0, "alice"), (1, "bob"), (2, "carol")].map(|(n, name)| servers[n].register(name));
    for (hops, guest) in [("one hop", &bob), ("two hops", &carol)] {
        let times: Vec<[Duration; 3]> = (0..ROOMS).map(|_| join_once(&alice, guest)).collect();
        for (at, what) in ["invitation seen", "join call", "invitation to member seen"].into_iter().enumerate() {
            print(over, &format!("{what}, {hops}"), times.iter().map(|times| times[at]).collect());
        }
    }
    let room = alice.create_room(&json!({ "preset": "public_chat" }));
    for guest in [&bob, &carol] {
        guest.join(&room, &alice);
        alice.wait_for_member(&room, guest, SOON);
    }
    for (hops, listener) in [("own homeserver", &alice), ("one hop", &bob), ("two hops", &carol)] {
        // So that nothing else is in its first answer.
        alice.say(&room, hops);
        listener.wait_for_message(&room, hops, SOON);
        let times = (0..MESSAGES).map(|n| {
            let text = format!("{hops} {n}");
            let start = Instant::now();
            alice.say(&room, &text);
            listener.wait_for_message(&room, &text, SOON);
            start.elapsed()
        });
        print(over, &format!("message, {hops}"), times.collect());
    }
    let times = (0..3).map(|round| recover_once(&room, &alice, &carol, round, outage));
    print(over, "all of 20 messages after 10 s outage", times.collect());
}

/// Times until the guest sees the invitation, of the call that joins, and until the host sees the guest.
fn join_once(host: &User<'_>, guest: &User<'_>) -> [Duration; 3] {
    let room = host.create_room(&json!({ "preset": "private_chat" }));
    host.sync(Duration::ZERO);
    guest.sync(Duration::ZERO);
    let start = Instant::now();
    host.invite(&room, guest);
    guest.wait_for_invite(&room, SOON);
    let invited = start.elapsed();
    let join = Instant::now();
    guest.join(&room, host);
    let joined = join.elapsed();
    host.wait_for_member(&room, guest, SOON);
    [invited, joined, start.elapsed()]
}

fn recover_once(room: &str, alice: &User<'_>, carol: &User<'_>, round: usize, outage: &dyn Fn(bool)) -> Duration {
    let start = Instant::now();
    outage(true);
    let texts: Vec<_> = (0..20).map(|n| format!("away {round} {n}")).collect();
    texts.iter().for_each(|text| {
        alice.say(room, text);
    });
    wait_until("the outage is over", 2 * OUTAGE, || start.elapsed() >= OUTAGE);
    outage(false);
    let back = Instant::now();
    texts.iter().for_each(|text| {
        carol.wait_for_message(room, text, seconds(120));
    });
    back.elapsed()
}

/// One line: median, and what 95 of a hundred stay below.
fn print(over: &str, what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let at = |percent: usize| times[(times.len() * percent / 100).min(times.len() - 1)].as_secs_f64() * 1e3;
    println!("FIGURE | {over} | {what} | {:.0} | {:.0} | n = {}", at(50), at(95), times.len());
}
