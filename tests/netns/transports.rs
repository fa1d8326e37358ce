//! The same hardships for every transport that crosses a network: NAT, a path that is narrow in the middle and loses packets, addresses that change on
//! either side while something is under way, a path that swallows everything.

use std::rc::Rc;

use crate::daemon::{Config, Running, public_key};
use crate::hosts_file::HostsFile;
use crate::lab::{Cut, Host, Lab, Link};
use crate::sandbox::in_lab;
use crate::traffic::{Transfer, assert_pings, echo_datagrams, wait_reachable};
use crate::wait::{seconds, wait_until};

/// Where listeners listen, whatever the scheme.
const PORT: u16 = 7470;
/// The listener's key, which every URI names: `wss://` wants it, the others may have it.
const LISTENER: u8 = 1;

/// A node that takes peerings over one transport.
fn listener(lab: &Lab, host: &Host, scheme: &str) -> Rc<Running> {
    Running::start(lab, host, Config { listen: vec![format!("{scheme}://[::]:{PORT}")], ..Config::new(LISTENER) })
}

/// A node that dials it there, and listens nowhere.
fn dialler(lab: &Lab, host: &Host, scheme: &str, to: &str) -> Rc<Running> {
    let uri = format!("{scheme}://{to}:{PORT}?key={}", public_key(LISTENER));
    Running::start(lab, host, Config { listen: vec![], peers: vec![uri], ..Config::new(2) })
}

/// A link between routers carries packets of this size and no larger ones.
fn narrow(link: &Link, mtu: u16) {
    for end in &link.ends {
        end.host.ip(&["link", "set", &end.interface, "mtu", &mtu.to_string()]);
    }
}

/// inside ── NAT ── 1280 bytes ── router ── outside: neither end sees by itself that the path is narrow, and `outside` sees the NAT alone.
fn crosses_nat_a_narrow_path_and_losses(lab: &Lab, scheme: &str) {
    let [inside, nat, router, outside] = ["inside", "nat", "router", "outside"].map(|name| lab.host(name));
    let (lan, middle, far) = (lab.link(&inside, &nat), lab.link(&nat, &router), lab.link(&router, &outside));
    narrow(&middle, 1_280);
    for host in [&nat, &router] {
        host.within(|| std::fs::write("/proc/sys/net/ipv4/ip_forward", "1").expect("the namespace is ours"));
    }
    let via = |host: &Host, link: &Link, router: &Host| {
        host.ip(&["route", "add", "default", "via", &link.end_at(router).v4.to_string()]);
    };
    via(&inside, &lan, &nat);
    via(&nat, &middle, &router);
    via(&outside, &far, &router);
    nat.nft(&format!(
        "add table ip nat; add chain ip nat out {{ type nat hook postrouting priority srcnat; }}; \
         add rule ip nat out oifname {} masquerade",
        middle.end_at(&nat).interface
    ));
    let public = listener(lab, &outside, scheme);
    let hidden = dialler(lab, &inside, scheme, &far.end_at(&outside).v4.to_string());
    wait_reachable(&outside, hidden.address(), seconds(20));
    let peer = public.peers()[0].clone();
    let source = format!("{scheme}://{}:", middle.end_at(&nat).v4);
    assert!(peer["uri"].as_str().unwrap().starts_with(&source) && peer["authenticated"] == true, "{peer}");
    for size in [10, 1_232, 1_400, 20_000] {
        echo_datagrams(&inside, &outside, public.address(), 5, size);
    }
    Transfer::complete(&inside, &outside, public.address(), 8 << 20);
    Transfer::complete(&outside, &inside, hidden.address(), 8 << 20);
    for percent in [2, 5] {
        lan.lose(percent);
        Transfer::complete(&outside, &inside, hidden.address(), 2 << 20);
        lan.mend(Cut::Silent);
    }
    for node in [&public, &hidden] {
        assert_eq!(node.log_text().matches("is down").count(), 0, "the peering was lost");
    }
}

#[test]
fn tcp_crosses_nat_a_narrow_path_and_losses() {
    in_lab(&[], |lab| crosses_nat_a_narrow_path_and_losses(lab, "tcp"));
}

#[test]
fn tls_crosses_nat_a_narrow_path_and_losses() {
    in_lab(&[], |lab| crosses_nat_a_narrow_path_and_losses(lab, "tls"));
}

#[test]
fn websocket_crosses_nat_a_narrow_path_and_losses() {
    in_lab(&[], |lab| crosses_nat_a_narrow_path_and_losses(lab, "ws"));
}

#[test]
fn secure_websocket_crosses_nat_a_narrow_path_and_losses() {
    in_lab(&[], |lab| crosses_nat_a_narrow_path_and_losses(lab, "wss"));
}

#[test]
fn quic_crosses_nat_a_narrow_path_and_losses() {
    in_lab(&[], |lab| crosses_nat_a_narrow_path_and_losses(lab, "quic"));
}

/// The name of the listener.
const NAME: &str = "listener.test";

/// Two linked hosts, of which the second dials the first by its name.
struct Moving {
    link: Link,
    names: HostsFile,
    listener: Rc<Running>,
    dialler: Rc<Running>,
}

impl Moving {
    fn start(lab: &Lab, scheme: &str) -> Self {
        let link = lab.link(&lab.host("listener"), &lab.host("dialler"));
        let names = HostsFile::new();
        names.set(NAME, &[&link.ends[0].v4]);
        let listener = listener(lab, &link.ends[0].host, scheme);
        let dialler = dialler(lab, &link.ends[1].host, scheme, NAME);
        wait_reachable(&link.ends[1].host, listener.address(), seconds(20));
        Self { link, names, listener, dialler }
    }

    /// Starts a transfer to the listener, lets `change` happen in the middle of it, and waits until it is complete.
    fn transfer_across(&self, change: impl FnOnce()) {
        let [to, from] = &self.link.ends;
        let transfer = Transfer::start(&from.host, &to.host, self.listener.address(), 64 << 20, 32 << 20);
        wait_until("an eighth has arrived", seconds(30), || transfer.received() > 8 << 20);
        change();
        transfer.go_on();
        transfer.finish();
    }

    /// Gives one end another address instead of the one that it has.
    fn readdress(&self, end: usize, old: &str, new: &str) {
        let end = &self.link.ends[end];
        end.host.ip(&["addr", "del", &format!("{old}/24"), "dev", &end.interface]);
        end.host.ip(&["addr", "add", &format!("{new}/24"), "dev", &end.interface]);
    }
}

fn goes_on_after_changes_of_address_and_a_path_that_swallows_everything(lab: &Lab, scheme: &str) {
    let net = Moving::start(lab, scheme);
    let (to, from) = (net.link.ends[0].v4.to_string(), net.link.ends[1].v4.to_string());
    net.transfer_across(|| net.readdress(1, &from, "10.0.1.77"));
    // The listener gets another address, which its name has at the next attempt.
    net.transfer_across(|| {
        net.names.set(NAME, &[&"10.0.1.66"]);
        net.readdress(0, &to, "10.0.1.66");
    });
    net.link.cut(Cut::Silent);
    // Silence counts after five seconds; the rest is for a busy machine.
    for node in [&net.listener, &net.dialler] {
        wait_until("the silence is noticed", seconds(10), || node.peers().is_empty());
    }
    net.link.mend(Cut::Silent);
    wait_reachable(&net.link.ends[1].host, net.listener.address(), seconds(30));
    assert_pings(&net.link.ends[0].host, net.dialler.address());
}

#[test]
fn over_tcp_a_transfer_goes_on_after_changes_of_address_on_either_side() {
    in_lab(&[], |lab| goes_on_after_changes_of_address_and_a_path_that_swallows_everything(lab, "tcp"));
}

#[test]
fn over_tls_a_transfer_goes_on_after_changes_of_address_on_either_side() {
    in_lab(&[], |lab| goes_on_after_changes_of_address_and_a_path_that_swallows_everything(lab, "tls"));
}

#[test]
fn over_websocket_a_transfer_goes_on_after_changes_of_address_on_either_side() {
    in_lab(&[], |lab| goes_on_after_changes_of_address_and_a_path_that_swallows_everything(lab, "ws"));
}

#[test]
fn over_secure_websocket_a_transfer_goes_on_after_changes_of_address_on_either_side() {
    in_lab(&[], |lab| goes_on_after_changes_of_address_and_a_path_that_swallows_everything(lab, "wss"));
}

#[test]
fn over_quic_a_transfer_goes_on_after_changes_of_address_on_either_side() {
    in_lab(&[], |lab| goes_on_after_changes_of_address_and_a_path_that_swallows_everything(lab, "quic"));
}
