//! Reload under traffic: who is not concerned does not notice.

use crate::daemon::{Config, Running};
use crate::lab::Lab;
use crate::sandbox::in_lab;
use crate::traffic::{Transfer, assert_pings, ping, wait_reachable};
use crate::wait::{seconds, wait_until};

/// Node 1 in the middle dials nodes 0 and 2.
fn line(lab: &Lab) -> [std::rc::Rc<Running>; 3] {
    let hosts = ["a", "b", "c"].map(|name| lab.host(name));
    let links = [lab.link(&hosts[0], &hosts[1]), lab.link(&hosts[2], &hosts[1])];
    let ends = [Config::new(1), Config::new(3)];
    let middle = Config { peers: links.iter().map(|link| link.ends[0].uri()).collect(), ..Config::new(2) };
    let [first, last] = ends;
    [
        Running::start(lab, &hosts[0], first),
        Running::start(lab, &hosts[1], middle),
        Running::start(lab, &hosts[2], last),
    ]
}

fn interface_index(node: &Running) -> String {
    let text = node.host.ip(&["-o", "link", "show", "dev", "pine0"]);
    text.split(':').next().expect("a line begins with the number").to_owned()
}

#[test]
fn a_transfer_across_reloads_of_all_nodes_on_its_way_loses_nothing() {
    in_lab(&[], |lab| {
        const FILE: u64 = 64 << 20;
        let nodes = line(lab);
        let (from, to) = (&nodes[0], &nodes[2]);
        wait_reachable(&from.host, to.address(), seconds(20));
        let before = nodes.each_ref().map(|node| (node.pid(), interface_index(node), node.peers().len()));
        let transfer = Transfer::start(&from.host, &to.host, to.address(), FILE, FILE / 2);
        wait_until("an eighth has arrived", seconds(30), || transfer.received() > FILE / 8);
        for node in &nodes {
            let report = node.reload(|config| {
                config.listen.push("tls://[::]:7464".to_owned());
                config.more_peering = "max_inbound = 100\nmax_inbound_per_source = 10".to_owned();
                config.inbound = Some("[{ from = \"any\", protocol = \"tcp\" }]".to_owned());
                config.mtu = 1_400;
            });
            let restarts = report["changes"].as_array().unwrap().iter().filter(|change| change["effect"] == "restart");
            assert_eq!(restarts.count(), 1, "the MTU: {report}");
        }
        transfer.go_on();
        transfer.finish();
        for (node, (pid, index, peers)) in nodes.iter().zip(before) {
            assert_eq!((node.pid(), interface_index(node), node.peers().len()), (pid, index, peers));
            assert!(!node.log_text().contains("is down"), "{}", node.log_text());
        }
        // And not for want of trying: the new policy is in force.
        assert_pings(&from.host, to.address());
    });
}

#[test]
fn pings_go_on_while_the_file_is_read_again_and_again() {
    in_lab(&[], |lab| {
        let nodes = line(lab);
        let (from, to) = (&nodes[0], &nodes[2]);
        wait_reachable(&from.host, to.address(), seconds(20));
        let pings = std::thread::scope(|scope| {
            let (host, address) = (from.host.clone(), to.address());
            let pinging = scope.spawn(move || ping(&host, address, "-c 100 -i 0.02 -W 5"));
            for n in 0..10 {
                nodes[1].reload(|config| config.more_peering = format!("max_inbound = {}", 100 + n));
            }
            pinging.join().unwrap()
        });
        assert!(pings.sent == 100 && pings.received == 100, "{}", pings.text);
    });
}
