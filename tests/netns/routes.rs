//! Source routes between real daemons: the fast arm is taken, what is cut is left, and people see which way packets go.

use std::net::{SocketAddr, UdpSocket};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::daemon::{Config, Running, seeds_by_key};
use crate::delay::Delay;
use crate::lab::{Host, Lab};
use crate::mesh::Mesh;
use crate::sandbox::{in_lab, in_lab_for};
use crate::traffic::wait_reachable;
use crate::wait::{seconds, wait_until};

/// Between two packets of a flow: a hundred a second.
const PERIOD: Duration = Duration::from_millis(10);
/// How long an arm takes, one way and twice as it has two links.
const SLOW: Duration = Duration::from_millis(30);
const FAST: Duration = Duration::from_millis(1);

type Packets = Vec<(Instant, Option<Duration>)>;

/// Numbered datagrams from one host to another.
struct Flow {
    ended: Arc<AtomicBool>,
    /// When each was sent, and how long it took if it arrived.
    packets: Arc<Mutex<Packets>>,
    threads: Vec<std::thread::JoinHandle<()>>,
}

impl Flow {
    fn start(from: &Host, to: &Host, address: std::net::Ipv6Addr) -> Self {
        let receiver = to.within(|| UdpSocket::bind((address, 0))).expect("the address is on this host");
        receiver.set_read_timeout(Some(Duration::from_millis(100))).expect("a positive time");
        let target = SocketAddr::from((address, receiver.local_addr().expect("bound").port()));
        let sender = from.within(|| UdpSocket::bind("[::]:0")).expect("a free port");
        let (ended, packets) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Vec::new())));
        let (end, list) = (Arc::clone(&ended), Arc::clone(&packets));
        let send = std::thread::spawn(move || {
            let begin = Instant::now();
            for number in 0_u32.. {
                if end.load(Ordering::SeqCst) {
                    return;
                }
                std::thread::sleep((begin + PERIOD * number).saturating_duration_since(Instant::now()));
                list.lock().expect("nobody panics with it").push((Instant::now(), None));
                let _ = sender.send_to(&number.to_be_bytes(), target);
            }
        });
        let (end, list) = (Arc::clone(&ended), Arc::clone(&packets));
        let receive = std::thread::spawn(move || {
            let mut buffer = [0; 4];
            while !end.load(Ordering::SeqCst) {
                if receiver.recv(&mut buffer).is_ok_and(|len| len == 4) {
                    let mut packets: std::sync::MutexGuard<'_, Packets> = list.lock().expect("nobody panics with it");
                    if let Some((sent, took)) = packets.get_mut(u32::from_be_bytes(buffer) as usize) {
                        assert!(took.is_none(), "a packet came twice");
                        *took = Some(sent.elapsed());
                    }
                }
            }
        });
        Self { ended, packets, threads: vec![send, receive] }
    }

    /// Packets that were sent in a span of time: how many, and how many of them arrived.
    fn between(&self, from: Instant, to: Instant) -> (usize, usize) {
        let packets = self.packets.lock().expect("nobody panics with it");
        let sent: Vec<_> = packets.iter().filter(|(sent, _)| (from..to).contains(sent)).collect();
        (sent.len(), sent.iter().filter(|(_, took)| took.is_some()).count())
    }

    /// The median of what the last so many took, if they arrived.
    fn lately(&self, count: usize) -> Option<Duration> {
        let packets = self.packets.lock().expect("nobody panics with it");
        let mut took: Vec<_> = packets.iter().rev().filter_map(|(_, took)| *took).take(count).collect();
        took.sort();
        took.get(took.len() / 2).copied().filter(|_| took.len() == count)
    }

    /// Stops, and waits until nothing is under way.
    fn end(mut self) {
        self.ended.store(true, Ordering::SeqCst);
        for thread in self.threads.drain(..) {
            thread.join().expect("no packet came twice");
        }
    }
}

/// Four daemons: the first and the last, and two between them, of which one is far from both.
struct Diamond {
    hosts: Vec<Host>,
    nodes: Vec<Rc<Running>>,
    /// First to left, left to last, first to right, right to last.
    cables: Vec<Delay>,
}

const LEFT: usize = 1;
const RIGHT: usize = 2;

impl Diamond {
    fn build(lab: &Lab, adjust: impl Fn(usize, &mut Config)) -> Self {
        let hosts: Vec<_> = (0..4).map(|n| lab.host(&format!("n{n}"))).collect();
        let mut configs: Vec<_> = seeds_by_key(4).into_iter().map(Config::new).collect();
        let mut cables = Vec::new();
        for (from, to, delay) in [(0, LEFT, SLOW), (3, LEFT, SLOW), (0, RIGHT, FAST), (3, RIGHT, FAST)] {
            let link = lab.link(&hosts[from], &hosts[to]);
            let cable = Delay::new(&hosts[from], SocketAddr::from((link.ends[1].v4, 7463)), delay);
            configs[from].peers.push(format!("{}?max_backoff=1s", cable.uri));
            cables.push(cable);
        }
        configs.iter_mut().enumerate().for_each(|(n, config)| adjust(n, config));
        let nodes: Vec<_> =
            hosts.iter().zip(configs).map(|(host, config)| Running::prepare(lab, host, config)).collect();
        nodes.iter().for_each(|node| node.spawn());
        nodes.iter().for_each(|node| node.wait_ready());
        wait_reachable(&hosts[0], nodes[3].address(), seconds(15));
        Self { hosts, nodes, cables }
    }

    /// The node that the route of the first to the last one begins with.
    fn first_peer(&self) -> Option<usize> {
        let path = path(&self.nodes[0], &self.nodes[3]);
        let used = path["candidates"].as_array()?.iter().find(|it| it["used"] == true)?;
        (0..4).find(|n| self.key(*n) == used["first_peer"])
    }

    fn key(&self, n: usize) -> String {
        self.nodes[n].ctl("status")["public_key"].as_str().expect("a key").to_owned()
    }

    fn wait_for_first_peer(&self, peer: usize) {
        wait_until(&format!("the route begins with node {peer}"), seconds(20), || self.first_peer() == Some(peer));
    }
}

fn path(from: &Running, to: &Running) -> Value {
    from.ctl(&format!("path {}", to.address()))
}

fn traffic_moves(lab: &Lab, adjust: impl Fn(usize, &mut Config), is_sealed: bool) {
    let diamond = Diamond::build(lab, adjust);
    let begun = Instant::now();
    let flow = Flow::start(&diamond.hosts[0], &diamond.hosts[3], diamond.nodes[3].address());
    diamond.wait_for_first_peer(RIGHT);
    println!("on the fast arm {:?} after the first packet", begun.elapsed());
    let both_known = || {
        let path = path(&diamond.nodes[0], &diamond.nodes[3]);
        let candidates = path["candidates"].as_array().expect("a list");
        assert!(candidates.iter().all(|it| it["sealed"] == is_sealed), "{path}");
        candidates.iter().filter(|it| it["rtt_seconds"].is_number()).count() >= 2
    };
    wait_until("both arms are known and measured", seconds(15), both_known);
    wait_until("packets come by the fast arm", seconds(10), || flow.lately(20).is_some_and(|took| took < SLOW));

    for cable in [2, 3] {
        diamond.cables[cable].cut();
        let cut = Instant::now();
        diamond.wait_for_first_peer(LEFT);
        wait_until("packets come by the slow arm", seconds(10), || flow.lately(50).is_some_and(|took| took > SLOW));
        wait_until("what was sent has had its time", seconds(5), || cut.elapsed() > seconds(2));
        let (sent, arrived) = flow.between(cut - seconds(1), cut + seconds(1));
        println!("cable {cable} cut: {} of {sent} packets lost", sent - arrived);
        assert!(sent - arrived <= 2, "{} of {sent} packets lost", sent - arrived);
        diamond.cables[cable].mend();
        let peers = |n: usize| diamond.nodes[n].peers().len();
        wait_until("the peering is back", seconds(15), || peers(RIGHT) == 2);
        let mended = Instant::now();
        diamond.wait_for_first_peer(RIGHT);
        println!("back on the fast arm {:?} after the peering", mended.elapsed());
        wait_until("packets are quick again", seconds(10), || flow.lately(20).is_some_and(|took| took < SLOW));
    }
    flow.end();
}

#[test]
fn traffic_moves_to_the_fast_arm_and_back_when_it_is_cut_losing_at_most_two_packets() {
    in_lab(&[], |lab| traffic_moves(lab, |_, _| (), true));
}

#[test]
fn open_routes_move_as_sealed_ones_do() {
    let open = |_, config: &mut Config| config.more.push_str("\n[session]\nseal_sources = false\n");
    in_lab(&[], |lab| traffic_moves(lab, open, false));
}

#[test]
fn a_trace_names_the_nodes_on_the_way_but_for_one_that_hides() {
    in_lab(&[], |lab| {
        let mesh = Mesh::line_with(lab, 4, |n, config| config.answer_trace = n != 2);
        mesh.wait_reachable(0, 3);
        let trace = mesh.nodes[0].ctl(&format!("trace {}", mesh.address(3)));
        assert_eq!(trace["reached"], true, "{trace}");
        let states: Vec<_> = trace["hops"].as_array().expect("hops").iter().map(|hop| hop["state"].clone()).collect();
        assert_eq!(states, ["this node", "forwards", "hidden", "destination"], "{trace}");
        let keys: Vec<_> = trace["hops"].as_array().expect("hops").iter().map(|hop| hop["key"].clone()).collect();
        let key = |n: usize| mesh.nodes[n].ctl("status")["public_key"].clone();
        assert_eq!(keys, [key(0), key(1), Value::Null, key(3)], "{trace}");
        assert_eq!(trace["hops"][0]["link"], "tcp", "{trace}");
    });
}

/// How many cuts, and how long between them.
fn cuts() -> (u32, Duration) {
    match std::env::var("PINECONE_RING_CUTS").ok().and_then(|count| count.parse().ok()) {
        Some(count) => (count, seconds(10)),
        None => (3, seconds(4)),
    }
}

/// The whole of it is twelve cuts, one every ten seconds: `PINECONE_RING_CUTS=12`.
#[test]
fn a_ring_whose_links_are_cut_one_after_the_other_keeps_its_flows() {
    in_lab_for(seconds(400), &[], |lab| {
        let hosts: Vec<_> = (0..8).map(|n| lab.host(&format!("n{n}"))).collect();
        let mut configs: Vec<_> = seeds_by_key(8).into_iter().map(Config::new).collect();
        let cables: Vec<_> = (0..8)
            .map(|n| {
                let link = lab.link(&hosts[n], &hosts[(n + 1) % 8]);
                let cable = Delay::new(&hosts[n], SocketAddr::from((link.ends[1].v4, 7463)), FAST);
                configs[n].peers.push(format!("{}?max_backoff=1s", cable.uri));
                cable
            })
            .collect();
        let nodes: Vec<_> =
            hosts.iter().zip(configs).map(|(host, config)| Running::prepare(lab, host, config)).collect();
        nodes.iter().for_each(|node| node.spawn());
        nodes.iter().for_each(|node| node.wait_ready());
        wait_reachable(&hosts[0], nodes[4].address(), seconds(15));
        let flow = Flow::start(&hosts[0], &hosts[4], nodes[4].address());
        let routed = || path(&nodes[0], &nodes[4])["candidates"].as_array().is_some_and(|it| it.len() >= 2);
        wait_until("both ways around the ring are known", seconds(30), routed);

        let (count, pause) = cuts();
        let begun = Instant::now();
        for n in 0..count {
            // Links all around the ring, in an order that is none.
            let cable = &cables[(n as usize * 5 + 2) % 8];
            cable.cut();
            let cut = Instant::now();
            wait_until("the cable lay cut for a while", pause + seconds(1), || cut.elapsed() > pause / 2);
            cable.mend();
            let up = || nodes.iter().all(|node| node.peers().len() == 2);
            wait_until("the ring is closed again", seconds(20), up);
            wait_until("both ways are known again", seconds(30), routed);
        }
        wait_until("packets arrive", seconds(10), || flow.lately(50).is_some());
        let (longest, lost) = {
            let packets = flow.packets.lock().expect("nobody panics with it");
            let arrived: Vec<_> = packets.iter().filter(|(sent, took)| *sent > begun && took.is_some()).collect();
            let gaps = arrived.windows(2).map(|pair| pair[1].0 - pair[0].0).max().unwrap_or_default();
            let sent = packets.iter().filter(|(sent, _)| *sent > begun && sent.elapsed() > seconds(1)).count();
            let came = arrived.iter().filter(|(sent, _)| sent.elapsed() > seconds(1)).count();
            (gaps, sent - came)
        };
        println!("{count} cuts: {lost} packets lost, the longest gap {longest:?}");
        assert!(longest <= seconds(1), "nothing arrived for {longest:?}");
        flow.end();
    });
}
