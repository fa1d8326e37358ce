//! The pure parts of the end-to-end benchmark (`benches/netns`): reading what other programs print, medians, tables. A bench has no tests
//! of its own, so they are here.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(dead_code, reason = "shared with the benchmark, which uses the rest")]

#[path = "../benches/netns/parse.rs"]
mod parse;
#[path = "../benches/netns/readings.rs"]
mod readings;
#[path = "../benches/netns/stats.rs"]
mod stats;
#[path = "../benches/netns/table.rs"]
mod table;
#[path = "../benches/netns/transport.rs"]
mod transport;

use readings::{Reading, Results, Unit};

#[test]
fn the_median_is_the_middle_or_the_mean_of_the_two_around_it() {
    assert_eq!(stats::median(&[]), None);
    assert_eq!(stats::median(&[7.0]), Some(7.0));
    assert_eq!(stats::median(&[9.0, 1.0, 2.0]), Some(2.0));
    assert_eq!(stats::median(&[4.0, 1.0, 2.0, 9.0]), Some(3.0));
}

#[test]
fn a_percentile_is_a_value_that_was_measured() {
    let hundred: Vec<f64> = (1..=100).rev().map(f64::from).collect();
    assert_eq!(stats::percentile(&hundred, 99.0), Some(99.0));
    assert_eq!(stats::percentile(&hundred, 50.0), Some(50.0));
    assert_eq!(stats::percentile(&[3.0, 5.0], 99.0), Some(5.0));
    assert_eq!(stats::percentile(&[3.0], 0.0), Some(3.0));
    assert_eq!(stats::percentile(&[], 99.0), None);
}

#[test]
fn ratios_are_of_rounds_that_both_have() {
    let ours = [Some(2.0), None, Some(9.0), Some(8.0)];
    let theirs = [Some(1.0), Some(1.0), Some(3.0), Some(2.0)];
    assert_eq!(stats::paired_ratio(&ours, &theirs), Some(3.0));
    assert_eq!(stats::paired_ratio(&[Some(1.0)], &[None]), None);
    assert_eq!(stats::paired_ratio(&[Some(1.0)], &[Some(0.0)]), None);
}

#[test]
fn reads_what_iperf3_received() {
    let text = r#"{"start": {}, "end": {"sum_sent": {"bytes": 9, "bits_per_second": 8.0},
        "sum_received": {"start": 0, "seconds": 1.0, "bytes": 1000, "bits_per_second": 8000.5, "sender": true}}}"#;
    assert_eq!(parse::iperf3(text), Ok(parse::Transfer { bytes: 1000.0, bits_per_second: 8000.5 }));
}

#[test]
fn rejects_what_iperf3_says_when_it_fails() {
    for (text, complaint) in [
        (r#"{"error": "unable to connect"}"#, "unable to connect"),
        (r#"{"end": {}}"#, "no bytes"),
        (r#"{"end": {"sum_received": {"bytes": 0, "bits_per_second": 0}}}"#, "nothing"),
        ("iperf3: oops", "did not print JSON"),
    ] {
        let error = parse::iperf3(text).unwrap_err();
        assert!(error.contains(complaint), "{error}");
    }
}

#[test]
fn reads_round_trip_times_and_nothing_else() {
    let text = "PING 600::1(600::1) 56 data bytes\n64 bytes from 600::1: icmp_seq=1 ttl=64 time=0.045 ms\n\
                64 bytes from 600::1: icmp_seq=3 ttl=64 time=12 ms\n\n\
                3 packets transmitted, 2 received, 33% packet loss, time 402ms\nrtt min/avg/max/mdev = 0.0/0.1/0.2/0.0 ms\n";
    assert_eq!(parse::ping_times(text), [0.045, 12.0]);
}

#[test]
fn reads_processor_time_also_of_programs_with_odd_names() {
    let stat = "7 (a) b (c) S 1 7 7 0 -1 4194560 100 0 0 0 41 17 0 0 20 0 1 0 5 0 0";
    assert_eq!(parse::cpu_ticks(stat), Some(58));
    assert_eq!(parse::cpu_ticks("7 (a) S 1"), None);
}

#[test]
fn reads_memory() {
    let status = "Name:\tVmRSS\nVmHWM:\t   20480 kB\nVmRSS:\t    1024 kB\n";
    assert_eq!(parse::status_kib(status, "VmHWM"), Some(20_480));
    assert_eq!(parse::status_kib(status, "VmRSS"), Some(1024));
    assert_eq!(parse::status_kib(status, "VmSwap"), None);
}

#[test]
fn tables_show_medians_and_compare_with_the_best_other() {
    let peers = ["pump", "ours", "yggdrasil", "mycelium"].map(str::to_owned).to_vec();
    let mut results = Results::new(peers, 2);
    let rates = [[10.0, 20.0], [5.0, 10.0], [1.0, 1.0], [2.0, 4.0]];
    for (peer, rounds) in rates.iter().enumerate() {
        for (round, rate) in rounds.iter().enumerate() {
            results.add("pair", peer, round, &[Reading::new("TCP", Unit::Gbps, *rate)]);
        }
    }
    // Less is better: of the others, yggdrasil is the one to beat.
    for (peer, time) in [(1, 1.0), (2, 2.0), (3, 150.0)] {
        results.add("idle", peer, 0, &[Reading::new("ping", Unit::Milliseconds, time)]);
    }
    results.repeated.push("round 1, idle, ours: away".to_owned());
    results.failures.push("round 2, idle, ours: gone".to_owned());
    let expected = "\
| case | measured | unit | pump | ours | yggdrasil | mycelium |
|---|---|---|---:|---:|---:|---:|
| pair | TCP | Gbit/s | 15.0 | 7.50 | 1.00 | 3.00 |
| idle | ping | ms | – | 1.00 | 2.00 | 150 |

| case | measured | better | ours / pump | ours / best other overlay |
|---|---|---|---:|---:|
| pair | TCP | more | 0.50 | 2.50 |
| idle | ping | less | – | 0.50 |

Failed, and was measured again: round 1, idle, ours: away

Failed: round 2, idle, ours: gone
";
    assert_eq!(table::markdown(&results, &[1]), expected);
}

#[test]
fn several_of_ours_are_also_compared_with_the_first() {
    let mut results = Results::new(["before", "after"].map(str::to_owned).to_vec(), 1);
    results.add("pair", 0, 0, &[Reading::new("TCP", Unit::Gbps, 2.0)]);
    results.add("pair", 1, 0, &[Reading::new("TCP", Unit::Gbps, 3.0)]);
    let text = table::markdown(&results, &[0, 1]);
    assert!(text.contains("| case | measured | better | after / before |\n"), "{text}");
    assert!(text.contains("| pair | TCP | more | 1.50 |\n"), "{text}");
}

#[test]
fn each_transport_is_listened_on_and_dialled_by_its_own_scheme() {
    let (directory, address) = (std::path::Path::new("/run/bench/3/0"), [10, 0, 1, 1].into());
    for (name, listen, dial) in [
        ("tcp", "tcp://[::]:7463", "tcp://10.0.1.1:7463"),
        ("tls", "tls://[::]:7464", "tls://10.0.1.1:7464"),
        ("ws", "ws://[::]:7465", "ws://10.0.1.1:7465"),
        ("wss", "wss://[::]:7466", "wss://10.0.1.1:7466?key=c0ffee"),
        ("quic", "quic://[::]:7464", "quic://10.0.1.1:7464"),
        ("unix", "unix:///run/bench/3/0/peers.sock", "unix:///run/bench/3/0/peers.sock"),
    ] {
        let settings: toml::Table = transport::settings(name).unwrap().parse().unwrap();
        let uri = settings["peering"]["listen"][0].as_str().unwrap();
        assert_eq!(transport::listen_at(uri, directory), listen);
        assert_eq!(transport::dial(uri, directory, address, "c0ffee").as_deref(), Some(dial));
        assert_eq!(transport::uses_cables(uri), name != "unix");
        // What a host is told has to be what the daemon understands.
        assert!(listen.parse::<pinecone::config::ListenUri>().is_ok() && scheme_of(dial) == scheme_of(listen));
    }
    assert_eq!(transport::settings("sctp"), None);
    let with_options = "tls://192.0.2.1:7464?password=0123456789abcdef";
    assert_eq!(transport::dial(with_options, directory, address, "").as_deref(), Some("tls://10.0.1.1:7464"));
    assert_eq!(transport::dial("nonsense", directory, address, ""), None);
}

fn scheme_of(uri: &str) -> &str {
    uri.split("://").next().unwrap()
}
