//! A ring of eight whose links are cut one after the other, at random, under a transfer by iperf3.

use std::io::{BufRead, BufReader};
use std::net::Ipv6Addr;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::lab::{Cut, Host, Lab};
use crate::mesh::Mesh;
use crate::sandbox::in_lab_for;
use crate::wait::{eventually, seconds, wait_until};

const NODES: u8 = 8;
/// Half of the ring: both ways around are four hops.
const FAR: usize = 4;
/// Between two cuts, and how long a link stays cut.
const PERIOD: Duration = seconds(10);
const CUT_FOR: Duration = seconds(5);
/// iperf3 says what arrived this often.
const INTERVAL: f64 = 0.1;
const LONGEST_STALL: f64 = 1.0;
/// Bits a second, so that eight daemons of a debug build do not starve each other on a small machine: then a stall would be the machine's.
const RATE: &str = "40M";

/// What the receiving iperf3 says: when each interval in which something arrived ended, in seconds after the beginning.
type Arrivals = Arc<Mutex<Vec<f64>>>;

/// An iperf3 that receives until it is stopped.
struct Receiver {
    programs: [Child; 2],
    arrivals: Arrivals,
    reader: Option<JoinHandle<()>>,
}

impl Receiver {
    /// Bytes go from `from` to `to`.
    fn start(from: &Host, to: &Host, address: Ipv6Addr) -> Self {
        let bind = address.to_string();
        let mut server = Command::new("iperf3");
        let mut server = from.spawn(server.args(["-s", "-1", "-B", &bind, "--forceflush"]).stdout(Stdio::piped()));
        let mut lines = BufReader::new(server.stdout.take().expect("piped")).lines();
        assert!(
            lines.any(|line| line.is_ok_and(|line| line.contains("listening"))),
            "iperf3 does not listen on {bind}"
        );
        let mut client = Command::new("iperf3");
        client.args(["-c", &bind, "-R", "-t", "1000", "-b", RATE, "-i", &INTERVAL.to_string(), "--forceflush"]);
        let mut client = to.spawn(client.stdout(Stdio::piped()));
        let arrivals = Arrivals::default();
        let (list, stdout) = (Arc::clone(&arrivals), client.stdout.take().expect("piped"));
        let reader = std::thread::spawn(move || {
            for end in BufReader::new(stdout).lines().map_while(Result::ok).filter_map(|line| arrived_by(&line)) {
                list.lock().expect("nobody panics with it").push(end);
            }
        });
        Self { programs: [server, client], arrivals, reader: Some(reader) }
    }

    fn last(&self) -> Option<f64> {
        self.arrivals.lock().expect("nobody panics with it").last().copied()
    }

    /// The longest time without a byte, from this time on, and when that was.
    fn longest_stall(&self, from: f64) -> (f64, f64) {
        let arrivals = self.arrivals.lock().expect("nobody panics with it");
        let stalls =
            arrivals.windows(2).filter(|pair| pair[0] >= from).map(|pair| (pair[1] - pair[0] - INTERVAL, pair[0]));
        stalls.max_by(|a, b| a.0.total_cmp(&b.0)).expect("something arrived")
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        for program in &mut self.programs {
            let _ = program.kill();
            let _ = program.wait();
        }
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }
}

/// When the interval of a line ended, if anything arrived in it: `[  5]   0.10-0.20   sec   512 KBytes  41.9 Mbits/sec`.
fn arrived_by(line: &str) -> Option<f64> {
    let words: Vec<_> = line.split_whitespace().collect();
    let at = words.iter().position(|word| *word == "sec")?;
    let end = words.get(at.checked_sub(1)?)?.split_once('-')?.1.parse().ok()?;
    let bytes: f64 = words.get(at + 1)?.parse().ok()?;
    (bytes > 0.0).then_some(end)
}

#[test]
fn what_iperf3_says_is_understood() {
    assert_eq!(arrived_by("[  5]   0.10-0.20   sec   512 KBytes  41.9 Mbits/sec"), Some(0.2));
    assert_eq!(arrived_by("[  5]   7.00-7.10   sec  0.00 Bytes  0.00 bits/sec"), None);
    assert_eq!(arrived_by("[ ID] Interval           Transfer     Bitrate"), None);
}

/// How many cuts, and what the random choices begin with.
fn plan() -> (usize, u64) {
    let number = |name: &str| std::env::var(name).ok().and_then(|value| value.parse().ok());
    (number("PINECONE_RING_CUTS").map_or(3, |count| count as usize), number("PINECONE_RING_SEED").unwrap_or(1))
}

/// Both ways around the ring are known to a node and answer: no link is missing.
fn is_whole(mesh: &Mesh, from: usize, to: usize) -> bool {
    let path = mesh.nodes[from].ctl(&format!("path {}", mesh.address(to)));
    let candidates = path["candidates"].as_array().cloned().unwrap_or_default();
    let measured = candidates.iter().filter(|it| it["probes_answered"].as_u64() >= Some(3));
    let peers: std::collections::BTreeSet<_> = measured.map(|it| it["first_peer"].to_string()).collect();
    peers.len() >= 2 && mesh.nodes.iter().all(|node| node.peers().len() == 2)
}

fn transfer_goes_on(lab: &Lab, how: Cut) {
    let edges: Vec<_> = (0..usize::from(NODES)).map(|n| (n, (n + 1) % usize::from(NODES))).collect();
    let mesh = Mesh::build(lab, NODES, &edges);
    mesh.wait_reachable(0, FAR);
    let receiver = Receiver::start(&mesh.hosts[0], &mesh.hosts[FAR], mesh.address(0));
    let ring_is_whole = || is_whole(&mesh, 0, FAR) && is_whole(&mesh, FAR, 0);
    wait_until("both ways around the ring are known", seconds(30), ring_is_whole);
    let begun = eventually("bytes arrive", seconds(10), || receiver.last());

    let (count, mut random) = plan();
    for _ in 0..count {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let link = (random >> 33) as usize % mesh.links.len();
        let (cut, before) = (Instant::now(), receiver.last().unwrap_or_default());
        mesh.links[link].cut(how);
        wait_until("the link was cut for a while", CUT_FOR * 2, || cut.elapsed() > CUT_FOR);
        let (stall, _) = receiver.longest_stall(before - 1.0);
        println!("at {before:.1} s link {link} {how:?}: nothing for {stall:.1} s");
        mesh.links[link].mend(how);
        // Never two at once: the next one is cut when this one carries again.
        wait_until("the ring is closed again", seconds(60), ring_is_whole);
        wait_until("it is time for the next cut", PERIOD * 2, || cut.elapsed() > PERIOD);
    }
    let end = receiver.last().unwrap_or_default();
    wait_until("bytes arrive still", seconds(10), || receiver.last().is_some_and(|last| last > end));
    let (stall, at) = receiver.longest_stall(begun);
    println!("{count} cuts in {:.0} s: the longest stall is {stall:.1} s, at {at:.1} s", end - begun);
    assert!(stall <= LONGEST_STALL, "nothing arrived for {stall:.1} s, at {at:.1} s");
}

/// The whole of it is two minutes: `PINECONE_RING_CUTS=12`; `PINECONE_RING_SEED` makes other choices.
#[test]
fn a_transfer_around_a_ring_never_stalls_for_a_second_when_random_links_go_down() {
    in_lab_for(seconds(500), &["iperf3"], |lab| transfer_goes_on(lab, Cut::Down));
}

/// A link that swallows everything looks up to both its ends.
#[test]
fn a_transfer_around_a_ring_never_stalls_for_a_second_when_random_links_fall_silent() {
    in_lab_for(seconds(500), &["iperf3"], |lab| transfer_goes_on(lab, Cut::Silent));
}
