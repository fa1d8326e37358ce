//! The filter as its users see it: packets out, packets in, verdicts.

use proptest::prelude::*;

use super::*;
use crate::addr::{Address, Subnet};
use crate::ip::tests::packet;

const SYN: u8 = 0x02;
const ACK: u8 = 0x10;
const SYN_ACK: u8 = 0x12;
const RST: u8 = 0x04;
const FIN_ACK: u8 = 0x11;

fn us() -> PublicKey {
    PublicKey([0x91; 32])
}

fn friend() -> PublicKey {
    PublicKey([0x92; 32])
}

fn stranger() -> PublicKey {
    PublicKey([0x93; 32])
}

fn ip(key: PublicKey) -> Ipv6Addr {
    Address::of(&key).ip()
}

fn tcp(from: PublicKey, to: PublicKey, ports: (u16, u16), flags: u8) -> Vec<u8> {
    packet(ip(from), ip(to), protocol::TCP, &tcp_header(ports, flags))
}

fn tcp_header(ports: (u16, u16), flags: u8) -> Vec<u8> {
    let mut header = [ports.0.to_be_bytes(), ports.1.to_be_bytes()].concat();
    header.extend([0, 0, 0, 0, 0, 0, 0, 0, 0x50, flags, 0, 0, 0, 0, 0, 0]);
    header
}

fn udp(from: PublicKey, to: PublicKey, ports: (u16, u16)) -> Vec<u8> {
    let header = [ports.0.to_be_bytes(), ports.1.to_be_bytes(), [0, 8], [0, 0]].concat();
    packet(ip(from), ip(to), protocol::UDP, &header)
}

fn echo(from: PublicKey, to: PublicKey, kind: u8, id: u8) -> Vec<u8> {
    packet(ip(from), ip(to), protocol::ICMPV6, &[kind, 0, 0, 0, 0, id, 0, 1])
}

fn fragment(whole: &[u8], offset: u16, more: bool, id: u8) -> Vec<u8> {
    let view = Ipv6View::parse(whole).unwrap();
    let mut payload = vec![view.next_header(), 0];
    payload.extend((offset << 3 | u16::from(more)).to_be_bytes());
    payload.extend([0, 0, 0, id]);
    payload.extend(view.payload());
    packet(view.source(), view.destination(), 44, &payload)
}

fn at(seconds: u64) -> Instant {
    Instant::from_micros(seconds * 1_000_000)
}

/// A firewall with a clock, after the grace of its start.
struct Host {
    firewall: Firewall,
    now: Instant,
}

impl Host {
    fn with(policy: Policy) -> Self {
        Self { firewall: Firewall::new(policy, Instant::ZERO), now: at(1000) }
    }

    fn with_rules(text: &str) -> Self {
        #[derive(serde::Deserialize)]
        struct File {
            inbound: Policy,
        }
        Self::with(toml::from_str::<File>(&format!("inbound = [{text}]")).unwrap().inbound)
    }

    fn sends(&mut self, packet: &[u8]) -> &mut Self {
        self.firewall.note_outbound(&Ipv6View::parse(packet).unwrap(), self.now);
        self
    }

    fn admits(&mut self, from: PublicKey, packet: &[u8]) -> bool {
        self.firewall.check_inbound(&Ipv6View::parse(packet).unwrap(), &from, self.now) == InboundVerdict::Allow
    }

    fn waits(&mut self, seconds: u64) -> &mut Self {
        self.now = self.now + Duration::from_secs(seconds);
        self
    }
}

fn closed() -> Host {
    Host::with(Policy::Established)
}

#[test]
fn others_cannot_open_anything_by_default() {
    let mut host = closed();
    assert!(!host.admits(friend(), &tcp(friend(), us(), (5000, 22), SYN)));
    assert!(!host.admits(friend(), &tcp(friend(), us(), (5000, 22), ACK)));
    assert!(!host.admits(friend(), &tcp(friend(), us(), (5000, 22), RST)));
    assert!(!host.admits(friend(), &udp(friend(), us(), (5000, 53))));
    assert!(!host.admits(friend(), &packet(ip(friend()), ip(us()), 47, &[0; 8])));
    assert!(!host.admits(friend(), &packet(ip(friend()), ip(us()), 59, &[])));
    assert_eq!(host.firewall.flow_count(), 0);
}

#[test]
fn an_open_host_admits_whatever_comes() {
    let mut host = Host::with(Policy::Open);
    assert!(host.admits(friend(), &tcp(friend(), us(), (5000, 22), SYN)));
    assert!(host.admits(friend(), &packet(ip(friend()), ip(us()), 60, &[])));
    host.sends(&udp(us(), friend(), (1, 2)));
    assert_eq!(host.firewall.flow_count(), 0);
}

#[test]
fn connections_that_are_older_than_a_stricter_policy_go_on_and_new_ones_are_refused() {
    let mut host = Host::with(Policy::Open);
    host.sends(&tcp(us(), friend(), (4000, 443), SYN)).waits(3_600);
    host.firewall.set_policy(Policy::Established, host.now);
    assert!(host.admits(friend(), &tcp(friend(), us(), (443, 4000), ACK)), "nobody remembered it while all was open");
    assert!(!host.admits(friend(), &tcp(friend(), us(), (443, 4000), SYN)));
    host.sends(&tcp(us(), friend(), (4000, 443), ACK));
    assert!(host.admits(friend(), &tcp(friend(), us(), (443, 4000), ACK)));
    host.waits(600);
    assert!(host.admits(friend(), &tcp(friend(), us(), (443, 4000), ACK)), "now it is remembered");
    assert!(!host.admits(friend(), &tcp(friend(), us(), (443, 4001), ACK)), "and the time is over for others");
}

#[test]
fn answers_come_back_to_the_ports_and_addresses_they_were_asked_from() {
    let mut host = closed();
    host.sends(&udp(us(), friend(), (4000, 53))).sends(&tcp(us(), friend(), (4001, 443), SYN));
    assert!(host.admits(friend(), &udp(friend(), us(), (53, 4000))));
    assert!(host.admits(friend(), &tcp(friend(), us(), (443, 4001), SYN_ACK)));
    assert!(!host.admits(friend(), &udp(friend(), us(), (54, 4000))));
    assert!(!host.admits(friend(), &udp(friend(), us(), (53, 4001))));
    assert!(!host.admits(friend(), &udp(friend(), us(), (443, 4001))));
    assert!(!host.admits(stranger(), &udp(stranger(), us(), (53, 4000))));
}

#[test]
fn protocols_without_ports_are_answered_by_whom_we_sent_to() {
    let mut host = closed();
    host.sends(&packet(ip(us()), ip(friend()), 47, &[0; 8]));
    assert!(host.admits(friend(), &packet(ip(friend()), ip(us()), 47, &[1; 8])));
    assert!(!host.admits(friend(), &packet(ip(friend()), ip(us()), 50, &[1; 8])));
    assert!(!host.admits(stranger(), &packet(ip(stranger()), ip(us()), 47, &[1; 8])));
}

#[test]
fn ping_works_both_ways_and_replies_need_a_request() {
    let mut host = closed();
    assert!(host.admits(friend(), &echo(friend(), us(), 128, 1)));
    host.sends(&echo(us(), friend(), 129, 1));
    assert_eq!(host.firewall.flow_count(), 0);
    assert!(!host.admits(friend(), &echo(friend(), us(), 129, 7)));
    host.sends(&echo(us(), friend(), 128, 7));
    assert!(host.admits(friend(), &echo(friend(), us(), 129, 7)));
    assert!(!host.admits(friend(), &echo(friend(), us(), 129, 8)));
    assert!(!host.waits(60).admits(friend(), &echo(friend(), us(), 129, 7)));
    assert!(!host.admits(friend(), &echo(friend(), us(), 134, 7)), "router advertisements are not answers");
}

#[test]
fn a_quiet_connection_lives_two_hours_and_an_unanswered_one_four_minutes() {
    let mut host = closed();
    host.sends(&tcp(us(), friend(), (4000, 22), SYN)).sends(&tcp(us(), friend(), (4001, 22), SYN));
    assert!(host.admits(friend(), &tcp(friend(), us(), (22, 4000), SYN_ACK)));
    host.waits(240);
    assert!(!host.admits(friend(), &tcp(friend(), us(), (22, 4001), SYN_ACK)));
    host.waits(7_100);
    assert!(host.admits(friend(), &tcp(friend(), us(), (22, 4000), ACK)));
    host.waits(200);
    assert!(!host.admits(friend(), &tcp(friend(), us(), (22, 4000), ACK)), "what comes in does not keep a flow alive");
}

#[test]
fn the_other_side_cannot_open_a_connection_through_an_old_one() {
    let mut host = closed();
    host.sends(&tcp(us(), friend(), (4000, 22), SYN));
    assert!(host.admits(friend(), &tcp(friend(), us(), (22, 4000), SYN)), "simultaneous open");
    assert!(host.admits(friend(), &tcp(friend(), us(), (22, 4000), SYN_ACK)));
    assert!(!host.admits(friend(), &tcp(friend(), us(), (22, 4000), SYN)));
    assert!(host.admits(friend(), &tcp(friend(), us(), (22, 4000), FIN_ACK)));
    host.sends(&tcp(us(), friend(), (4000, 22), FIN_ACK));
    assert!(!host.admits(friend(), &tcp(friend(), us(), (22, 4000), SYN)));
    assert!(host.admits(friend(), &tcp(friend(), us(), (22, 4000), ACK)), "the last acknowledgement");
    assert!(!host.waits(240).admits(friend(), &tcp(friend(), us(), (22, 4000), ACK)));
}

#[test]
fn ports_can_be_used_again_after_a_connection_ended() {
    for end in [RST, FIN_ACK] {
        let mut host = closed();
        host.sends(&tcp(us(), friend(), (4000, 22), SYN));
        assert!(host.admits(friend(), &tcp(friend(), us(), (22, 4000), SYN_ACK)));
        host.sends(&tcp(us(), friend(), (4000, 22), end));
        assert!(host.admits(friend(), &tcp(friend(), us(), (22, 4000), end)));
        host.waits(10).sends(&tcp(us(), friend(), (4000, 22), SYN));
        assert!(host.admits(friend(), &tcp(friend(), us(), (22, 4000), SYN_ACK)));
        assert!(host.waits(3_600).admits(friend(), &tcp(friend(), us(), (22, 4000), ACK)));
    }
}

#[test]
fn connections_older_than_the_daemon_go_on() {
    let mut host = closed();
    host.now = at(10);
    assert!(
        host.admits(friend(), &tcp(friend(), us(), (22, 4000), ACK)),
        "the other side speaks first, right after a start"
    );
    assert!(!host.admits(friend(), &tcp(friend(), us(), (22, 4000), SYN)));
    assert!(!host.admits(friend(), &tcp(friend(), us(), (22, 4000), RST)));
    host.sends(&tcp(us(), friend(), (4000, 22), ACK)).waits(200);
    assert!(host.admits(friend(), &tcp(friend(), us(), (22, 4000), ACK)));
    assert!(!host.admits(friend(), &tcp(friend(), us(), (22, 4001), ACK)), "the grace is over");
    host.sends(&tcp(us(), friend(), (4001, 22), ACK));
    assert!(host.admits(friend(), &tcp(friend(), us(), (22, 4001), ACK)));
}

#[test]
fn rules_admit_and_count_what_they_name() {
    let key = friend();
    let mut host = Host::with_rules(&format!(
        r#"{{ from = "{key}", protocol = "tcp", port = 22 }}, {{ from = "any", protocol = "udp", port = "8000-8100" }}"#
    ));
    assert!(host.admits(friend(), &tcp(friend(), us(), (5000, 22), SYN)));
    assert!(host.admits(friend(), &tcp(friend(), us(), (5000, 22), ACK)));
    assert!(!host.admits(friend(), &tcp(friend(), us(), (5000, 23), SYN)));
    assert!(!host.admits(stranger(), &tcp(stranger(), us(), (5000, 22), SYN)));
    assert!(host.admits(stranger(), &udp(stranger(), us(), (5000, 8050))));
    host.sends(&udp(us(), stranger(), (9000, 53)));
    assert!(host.admits(stranger(), &udp(stranger(), us(), (53, 9000))));
    assert_eq!(host.firewall.rule_hits().map(|(_, hits)| hits).collect::<Vec<_>>(), [2, 1]);
}

#[test]
fn connections_that_a_rule_admits_take_no_room_and_end_with_the_rule() {
    let mut host = Host::with_rules(r#"{ from = "any", protocol = "tcp", port = 22 }"#);
    for port in 0..1000 {
        assert!(host.admits(stranger(), &tcp(stranger(), us(), (port, 22), SYN)));
        host.sends(&tcp(us(), stranger(), (22, port), SYN_ACK)).sends(&tcp(us(), stranger(), (22, port), ACK));
    }
    assert_eq!(host.firewall.flow_count(), 0);
    host.sends(&tcp(us(), friend(), (4000, 443), SYN));
    host.firewall.set_policy(Policy::Established, host.now);
    assert!(!host.admits(stranger(), &tcp(stranger(), us(), (7, 22), ACK)));
    assert!(host.admits(friend(), &tcp(friend(), us(), (443, 4000), SYN_ACK)), "flows outlive a change of the rules");
}

#[test]
fn errors_pass_when_they_come_from_where_our_packet_went() {
    let mut host = Host::with_rules(r#"{ from = "any", protocol = "tcp", port = 22 }"#);
    let question = udp(us(), friend(), (4000, 53));
    let unanswered = udp(us(), friend(), (4001, 53));
    let served = tcp(us(), friend(), (22, 5000), ACK);
    host.sends(&question);
    let too_big = |from: PublicKey, about: &[u8]| icmp::packet_too_big(1300, ip(from), about).unwrap();
    assert!(host.admits(friend(), &too_big(friend(), &question)));
    assert!(host.admits(friend(), &too_big(friend(), &served)), "path MTU of a connection that a rule admits");
    assert!(host.admits(friend(), &too_big(friend(), &echo(us(), friend(), 129, 1))));
    assert!(!host.admits(friend(), &too_big(friend(), &unanswered)));
    assert!(!host.admits(stranger(), &too_big(stranger(), &question)), "errors about others' conversations");
    let garbage = packet(ip(friend()), ip(us()), protocol::ICMPV6, &[2, 0, 0, 0, 0, 0, 5, 0, 1, 2, 3]);
    assert!(!host.admits(friend(), &garbage));
}

#[test]
fn an_error_may_quote_the_start_of_a_packet_only() {
    let mut host = closed();
    let whole = [tcp_header((4000, 22), ACK), vec![0; 3000]].concat();
    let large = packet(ip(us()), ip(friend()), protocol::TCP, &whole);
    host.sends(&large);
    assert!(host.admits(friend(), &icmp::packet_too_big(1300, ip(friend()), &large).unwrap()));
}

#[test]
fn a_router_may_report_for_the_hosts_behind_it() {
    let mut host = closed();
    let mut behind = Subnet::of(&friend()).ip().octets();
    behind[15] = 5;
    let question = packet(ip(us()), behind.into(), protocol::UDP, &[0, 1, 0, 2, 0, 8, 0, 0]);
    host.sends(&question);
    let error = icmp::unreachable(Unreachable::AddressUnreachable, ip(friend()), &question).unwrap();
    assert!(host.admits(friend(), &error));
}

#[test]
fn the_first_fragment_decides_for_the_others() {
    let mut host = closed();
    host.sends(&udp(us(), friend(), (4000, 53)));
    let (answer, other) = (udp(friend(), us(), (53, 4000)), udp(friend(), us(), (53, 4001)));
    assert!(!host.admits(friend(), &fragment(&answer, 185, false, 1)), "its first has not come");
    assert!(host.admits(friend(), &fragment(&answer, 0, true, 1)));
    assert!(host.admits(friend(), &fragment(&answer, 185, false, 1)));
    assert!(!host.admits(friend(), &fragment(&answer, 185, false, 2)));
    assert!(!host.admits(friend(), &fragment(&other, 0, true, 3)));
    assert!(!host.admits(friend(), &fragment(&other, 185, false, 3)));
    assert!(!host.waits(60).admits(friend(), &fragment(&answer, 185, false, 1)));
}

#[test]
fn a_first_fragment_must_show_the_whole_tcp_header() {
    let mut host = closed();
    host.sends(&tcp(us(), friend(), (4000, 22), SYN));
    let split = packet(ip(friend()), ip(us()), protocol::TCP, &tcp_header((22, 4000), SYN)[..13]);
    assert!(!host.admits(friend(), &fragment(&split, 0, true, 1)));
}

#[test]
fn who_tries_to_open_something_is_told_that_it_is_prohibited() {
    let told = |packet: &[u8]| refusal(ip(us()), packet).is_some();
    assert!(told(&tcp(friend(), us(), (5000, 22), SYN)));
    assert!(told(&udp(friend(), us(), (5000, 22))));
    assert!(!told(&tcp(friend(), us(), (5000, 22), ACK)));
    assert!(!told(&tcp(friend(), us(), (5000, 22), RST)));
    assert!(!told(&echo(friend(), us(), 129, 1)));
    // And it arrives: the one who asked expects news about its question.
    let mut asking = closed();
    let question = tcp(friend(), us(), (5000, 22), SYN);
    asking.sends(&question);
    assert!(asking.admits(us(), &refusal(ip(us()), &question).unwrap()));
}

/// Flags, ports and direction of a TCP or UDP packet between us and one of two others.
fn steps() -> impl Strategy<Value = Vec<(bool, bool, bool, u16, u16, u8, u64)>> {
    prop::collection::vec((any::<bool>(), any::<bool>(), any::<bool>(), 0u16..3, 0u16..3, 0u8..32, 0u64..100), 0..200)
}

proptest! {
    #[test]
    fn only_who_was_written_to_gets_in_and_nobody_else_fills_the_table(steps in steps()) {
        let mut host = closed();
        let mut written = std::collections::BTreeSet::new();
        for (outbound, is_tcp, known, ours, theirs, flags, pause) in steps {
            host.waits(pause);
            let other = if known { friend() } else { stranger() };
            let (from, to, ports) = if outbound { (us(), other, (ours, theirs)) } else { (other, us(), (theirs, ours)) };
            let bytes = if is_tcp { tcp(from, to, ports, flags) } else { udp(from, to, ports) };
            let flow = (is_tcp, known, ours, theirs);
            if outbound {
                host.sends(&bytes);
                written.insert(flow);
            } else {
                let before = host.firewall.flow_count();
                let admitted = host.admits(other, &bytes);
                prop_assert!(!admitted || written.contains(&flow));
                prop_assert_eq!(host.firewall.flow_count(), before);
            }
        }
    }

    #[test]
    fn any_packet_gets_a_verdict(next in any::<u8>(), payload in prop::collection::vec(any::<u8>(), 0..200), out in any::<bool>()) {
        let mut host = closed();
        let bytes = packet(ip(friend()), ip(us()), next, &payload);
        if out {
            host.sends(&bytes);
        }
        let is_echo_request = next == protocol::ICMPV6 && payload.len() >= 8 && payload[0] == 128;
        let walks = [0, 43, 44, 51, 60, 135, 139, 140].contains(&next);
        prop_assert!(!host.admits(friend(), &bytes) || is_echo_request || walks);
        let _ = refusal(ip(us()), &bytes);
    }
}

fn question(key: PublicKey, protocol: Protocol, port: Option<u16>) -> Question {
    Question { address: ip(key), key: Some(key), protocol, port }
}

#[test]
fn every_packet_is_counted_once_under_what_decided_about_it() {
    let mut host = Host::with_rules(r#"{ from = "any", protocol = "tcp", port = 22 }"#);
    host.sends(&udp(us(), friend(), (4000, 53)));
    assert!(host.admits(friend(), &udp(friend(), us(), (53, 4000))));
    assert!(host.admits(friend(), &echo(friend(), us(), 128, 1)));
    assert!(host.admits(friend(), &tcp(friend(), us(), (5000, 22), SYN)));
    assert!(host.admits(friend(), &fragment(&tcp(friend(), us(), (5000, 22), ACK), 0, true, 9)));
    assert!(host.admits(friend(), &fragment(&tcp(friend(), us(), (5000, 22), ACK), 1, false, 9)));
    assert!(!host.admits(friend(), &tcp(friend(), us(), (5000, 23), SYN)));
    assert!(!host.admits(friend(), &packet(ip(friend()), ip(us()), 60, &[])));
    let status = host.firewall.status();
    let counted: Vec<(&str, u64)> =
        status.decisions.iter().map(|(name, count)| (name.as_str(), *count)).filter(|(_, count)| *count > 0).collect();
    assert_eq!(counted, [("echo_request", 1), ("flow", 1), ("later_fragment", 1), ("refused", 2), ("rule", 2)]);
    assert_eq!((status.policy.as_str(), status.rules.len(), status.rules[0].packets), ("rules", 1, 2));
    assert_eq!((status.rules[0].number, status.rules[0].rule.as_str()), (1, "tcp 22 from any"));
}

#[test]
fn explanations_name_the_rule_that_decides_and_what_would_let_a_refused_packet_in() {
    let (mine, theirs) = (friend(), stranger());
    let mut host = Host::with_rules(&format!(
        r#"{{ from = "{mine}", protocol = "tcp", port = 22 }}, {{ from = "any", protocol = "udp", port = "5000-5010" }}"#
    ));
    let explained = host.firewall.explain(&question(mine, Protocol::Tcp, Some(22)));
    assert_eq!((explained.allowed, explained.rule, explained.decided_by.as_str()), (true, Some(1), "rule"));
    let explained = host.firewall.explain(&question(theirs, Protocol::Tcp, Some(22)));
    assert_eq!((explained.allowed, explained.rule, explained.decided_by.as_str()), (false, None, "refused"));
    assert_eq!(explained.near.len(), 1);
    assert!(explained.near[0].starts_with("rule 1") && explained.near[0].ends_with("another sender"), "{explained:?}");
    let explained = host.firewall.explain(&question(theirs, Protocol::Udp, Some(5011)));
    assert!(explained.near[0].ends_with("another port"), "{explained:?}");
    // What it says to write does what it says.
    let rule = explained.to_allow.unwrap();
    let mut mended = Host::with_rules(&rule);
    assert!(mended.admits(theirs, &udp(theirs, us(), (1, 5011))) && !mended.admits(mine, &udp(mine, us(), (1, 5011))));
    assert!(host.firewall.explain(&question(theirs, Protocol::Icmp, None)).allowed);
    host.sends(&udp(us(), theirs, (4000, 53)));
    assert_eq!(host.firewall.explain(&question(theirs, Protocol::Tcp, Some(1))).flows, 1);
    assert!(Host::with(Policy::Open).firewall.explain(&question(theirs, Protocol::Any, None)).allowed);
}

#[test]
fn neither_a_scan_by_this_host_nor_a_flood_from_outside_makes_the_tables_grow_beyond_their_bounds() {
    let mut host = closed();
    for port in 0..=u16::MAX {
        host.sends(&udp(us(), friend(), (port, 53)));
        host.sends(&tcp(us(), stranger(), (port, 443), SYN));
    }
    assert_eq!(host.firewall.flow_count(), flows::CAPACITY);
    for port in 0..=u16::MAX {
        let _ = host.admits(stranger(), &udp(stranger(), us(), (port, port ^ 0x5555)));
    }
    assert_eq!(host.firewall.flow_count(), flows::CAPACITY);
    assert!(host.firewall.table_bytes() < 8 << 20, "{}", host.firewall.table_bytes());
}

proptest! {
    #[test]
    fn an_explanation_agrees_with_what_becomes_of_the_packet(
        rules in prop::collection::vec((0usize..4, 0usize..4, 0u16..4), 0..5), sender in 0usize..2, udp_packet: bool, port in 0u16..4,
    ) {
        let sources = ["any".to_owned(), friend().to_string(), ip(stranger()).to_string(), "600::/7".to_owned()];
        let rules: Vec<String> = rules.iter().map(|(source, protocol, port)| {
            let from = &sources[*source];
            match protocol {
                0 => format!(r#"{{ from = "{from}" }}"#),
                1 => format!(r#"{{ from = "{from}", protocol = "tcp", port = {port} }}"#),
                2 => format!(r#"{{ from = "{from}", protocol = "udp", port = "0-{port}" }}"#),
                _ => format!(r#"{{ from = "{from}", protocol = "icmp" }}"#),
            }
        }).collect();
        let mut host = Host::with_rules(&rules.join(","));
        let sender = [friend(), stranger()][sender];
        let (protocol, packet) = if udp_packet {
            (Protocol::Udp, udp(sender, us(), (9, port)))
        } else {
            (Protocol::Tcp, tcp(sender, us(), (9, port), SYN))
        };
        let explained = host.firewall.explain(&question(sender, protocol, Some(port)));
        prop_assert_eq!(explained.allowed, host.admits(sender, &packet));
        let hit = host.firewall.rule_hits().position(|(_, hits)| hits == 1).map(|index| index + 1);
        prop_assert_eq!(explained.rule, hit);
    }
}
