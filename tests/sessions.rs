//! Sessions as their users see them: two nodes, a wire that does its worst, virtual time.

mod sessions_net;

use std::collections::BTreeSet;

use pinecone::buf::PacketBuf;
use pinecone::drops::DropReason;
use pinecone::keys::PublicKey;
use pinecone::session::{Opened, Sealed, SessionConfig, SessionEvent, Sessions};
use pinecone::time::Instant;
use pinecone::wire::coords::Coords;
use pinecone::wire::session::{COOKIE, DATA, DATA_OVERHEAD, DataHeader, INIT, RESET, RESPONSE};
use proptest::prelude::*;
use sessions_net::*;

// ── agreeing on keys ─────────────────────────────────────────────────────────────────────────────────────────────────

#[test]
fn a_packet_waits_for_the_handshake_and_then_arrives() {
    let mut net = Net::new();
    net.send(A, 7);
    assert_eq!(net.hosts[A].waiting.len(), 1);
    assert!(!net.is_up(A));
    net.run(millis(30));
    assert_eq!(net.hosts[B].received, [7]);
    assert!(net.is_up(A) && net.is_up(B));
    assert_eq!(net.hosts[A].events[..1], [SessionEvent::Up(net.key(B))]);
    assert_eq!(net.hosts[B].events[..1], [SessionEvent::Up(net.key(A))]);
    let kinds: Vec<u8> = net.log.iter().map(|flight| flight.kind()).collect();
    assert_eq!(kinds, [INIT, RESPONSE, DATA, DATA], "one round trip, a keepalive, the packet");
}

#[test]
fn connect_and_ping_bring_a_session_up_without_a_packet() {
    let mut net = Net::new();
    net.act(A, |sessions, to, now| sessions.connect(&to, now));
    net.run(seconds(1));
    assert!(net.is_up(A) && net.is_up(B));

    let mut net = Net::new();
    net.act(A, |sessions, to, now| sessions.ping(&to, 42, now));
    net.run(seconds(1));
    let pong = SessionEvent::Pong { key: net.key(B), id: 42, rtt: millis(20) };
    assert!(net.hosts[A].events.contains(&pong), "{:?}", net.hosts[A].events);
    assert_eq!(net.hosts[A].sessions.peer_mtu(&net.key(B)), Some(1280));
}

#[test]
fn a_sealed_packet_is_32_bytes_longer_and_anything_but_a_packet_is_refused() {
    let mut net = Net::established();
    net.act(A, |sessions, to, now| {
        let Sealed::Ready(message) = sessions.seal(&to, packet(1), now) else { panic!("not ready") };
        assert_eq!(message.len(), packet(1).len() + DATA_OVERHEAD);
        let refused = |sessions: &mut Sessions, bytes: &[u8]| match sessions.seal(&to, PacketBuf::from(bytes), now) {
            Sealed::Drop(reason) => reason,
            other => panic!("{other:?}"),
        };
        assert_eq!(refused(sessions, &[]), DropReason::MalformedPacket);
        assert_eq!(refused(sessions, &[0x45; 40]), DropReason::MalformedPacket);
        assert_eq!(refused(sessions, &[0x60; 65_535]), DropReason::TooBig);
    });
}

#[test]
fn keys_that_nobody_can_own_and_our_own_key_are_no_destination() {
    let mut net = Net::new();
    let own = net.key(A);
    let mut neutral = PublicKey::ZERO;
    neutral.0[0] = 1;
    // The y-coordinate 2 is on no point.
    let mut no_point = PublicKey::ZERO;
    no_point.0[0] = 2;
    for (key, expected) in
        [(neutral, DropReason::NoRouteToKey), (no_point, DropReason::NoRouteToKey), (own, DropReason::OwnReturned)]
    {
        net.act(A, |sessions, _, now| {
            let sealed = sessions.seal(&key, packet(1), now);
            assert!(matches!(sealed, Sealed::Drop(reason) if reason == expected), "{sealed:?}");
            sessions.connect(&key, now);
            assert!(sessions.is_empty() && sessions.poll_transmit().is_none());
        });
    }
}

#[test]
fn the_cipher_is_aes_only_if_both_cpus_have_it() {
    for (a, b, expected) in [
        (false, false, "ChaCha20-Poly1305"),
        (true, false, "ChaCha20-Poly1305"),
        (false, true, "ChaCha20-Poly1305"),
        (true, true, "AES-256-GCM"),
    ] {
        let mut net = Net::with(SessionConfig { aes: a, ..config() }, SessionConfig { aes: b, ..config() });
        net.send(A, 1);
        net.run(seconds(1));
        net.send(B, 2);
        net.run(seconds(1));
        assert_eq!((&net.hosts[B].received[..], &net.hosts[A].received[..]), (&[1][..], &[2][..]));
        for host in [A, B] {
            let status = net.hosts[host].sessions.status(net.now);
            assert_eq!((status[0].state.as_str(), status[0].cipher.as_deref()), ("established", Some(expected)));
        }
    }
}

#[test]
fn nodes_with_different_group_passwords_have_no_session_and_the_attempt_ends() {
    let mut net = Net::with(SessionConfig { psk: [1; 32], ..config() }, config());
    net.send(A, 1);
    net.run(seconds(59));
    assert!(!net.is_up(A) && !net.is_up(B) && !net.hosts[A].was_down());
    assert!(net.hosts[A].drops.contains(&DropReason::Forged));
    net.run(seconds(10));
    assert!(net.hosts[A].was_down() && !net.hosts[A].was_up());
    net.log.clear();
    net.run(seconds(60));
    assert_eq!((net.log.len(), net.hosts[A].sessions.len()), (0, 0));
    assert!(net.hosts[B].sessions.is_empty() && net.hosts[B].received.is_empty());
}

#[test]
fn initiations_are_repeated_sooner_at_first_and_later_every_five_seconds() {
    let mut net = Net::new();
    net.lose(|_| true);
    net.send(A, 1);
    net.run(seconds(70));
    let times: Vec<f64> = net.log.iter().map(|flight| flight.at.saturating_since(START).as_secs_f64()).collect();
    let pauses: Vec<f64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!((0.5..=0.6).contains(&pauses[0]) && (0.62..=0.76).contains(&pauses[1]), "{pauses:?}");
    assert!(pauses[11..].iter().all(|pause| (4.999..=5.001).contains(pause)), "{pauses:?}");
    assert!(times.last().is_some_and(|last| *last < 60.0), "{times:?}");
}

#[test]
fn the_loss_of_any_one_message_delays_the_first_packets_by_little() {
    for lost in 0..8 {
        let mut net = Net::new();
        let mut count = 0;
        net.lose(move |_| {
            count += 1;
            count - 1 == lost
        });
        net.send(A, 1);
        net.send(B, 2);
        // A packet itself may be the one that is lost: then the next one has to come through.
        net.run(millis(1500));
        net.send(A, 3);
        net.send(B, 4);
        net.run(millis(1500));
        assert!(net.hosts[B].received.contains(&3), "message {lost} lost: {:?}", net.log);
        assert!(net.hosts[A].received.contains(&4), "message {lost} lost: {:?}", net.log);
    }
}

#[test]
fn the_loss_of_any_message_towards_a_silent_responder_is_made_good() {
    for lost in 0..5 {
        let mut net = Net::new();
        let mut count = 0;
        net.lose(move |_| {
            count += 1;
            count - 1 == lost
        });
        for number in 0..30 {
            net.send(A, number);
            net.run(millis(100));
        }
        net.run(seconds(1));
        let missing = 30 - net.hosts[B].received.len();
        assert!(missing <= 1, "message {lost} lost: {missing} packets missing");
    }
}

#[test]
fn both_may_start_at_the_same_time_and_end_up_with_the_same_keys() {
    let mut net = Net::new();
    net.send(A, 1);
    net.send(B, 2);
    net.run(seconds(1));
    assert_eq!((&net.hosts[B].received[..], &net.hosts[A].received[..]), (&[1][..], &[2][..]));
    net.send(A, 3);
    net.send(B, 4);
    net.run(seconds(100));
    assert_eq!((&net.hosts[B].received[..], &net.hosts[A].received[..]), (&[1, 3][..], &[2, 4][..]));
    assert_eq!(net.sent_of(INIT).len(), 2, "one initiation of each, and none after that");
}

// ── what attackers try ───────────────────────────────────────────────────────────────────────────────────────────────

#[test]
fn a_message_that_comes_twice_is_opened_once() {
    let mut net = Net::new();
    let latency = net.latency;
    net.set_weather(move |_| vec![latency, latency + millis(3), latency + millis(50)]);
    net.send(A, 1);
    net.run(millis(200));
    for number in 2..50 {
        net.send(A, number);
        net.run(millis(1));
    }
    net.run(millis(200));
    assert_eq!(net.hosts[B].received, (1..50).collect::<Vec<_>>());
    assert!(net.hosts[B].drops.contains(&DropReason::Replayed));
    assert!(net.hosts[B].drops.contains(&DropReason::Stale));
}

#[test]
fn messages_may_overtake_each_other() {
    let mut net = Net::established();
    let mut count = 0;
    net.set_weather(move |_| {
        count += 1;
        vec![millis(500 - (count * 7) % 400)]
    });
    for number in 0..2000 {
        net.send(A, number);
    }
    net.run(seconds(1));
    let received = &net.hosts[B].received;
    assert!(!received.is_sorted());
    assert_eq!(received.iter().copied().collect::<BTreeSet<_>>(), (0..2000).collect());
    assert_eq!(received.len(), 2000);
}

#[test]
fn a_changed_message_is_dropped_and_the_genuine_one_still_opens() {
    let mut net = Net::established();
    net.send(A, 1);
    let genuine = net.log[0].bytes.clone();
    for at in 0..genuine.len() {
        let mut forged = genuine.clone();
        forged[at] ^= 0x40;
        net.inject(A, &forged);
    }
    net.run(seconds(1));
    assert_eq!(net.hosts[B].received, [1]);
    assert!(net.is_up(A) && net.is_up(B));
    net.send(A, 2);
    net.run(seconds(1));
    assert_eq!(net.hosts[B].received, [1, 2]);
}

#[test]
fn a_session_belongs_to_the_key_that_agreed_on_it() {
    let mut net = Net::established();
    net.send(A, 1);
    let data = net.log[0].bytes.clone();
    let thief = keypair(9).public();
    let now = net.now;
    let opened = net.hosts[B].sessions.open(&thief, PacketBuf::from(&data[..]), now);
    assert_eq!(opened.err(), Some(DropReason::UnknownSession));
}

#[test]
fn an_initiation_counts_only_under_the_key_that_made_it_and_for_whom_it_was_made() {
    let mut net = Net::new();
    net.send(A, 1);
    let initiation = net.log[0].bytes.clone();
    let mut third = sessions(3, config(), 3, unix_at(net.now), net.now);
    let open =
        |sessions: &mut Sessions, from: &PublicKey| sessions.open(from, PacketBuf::from(&initiation[..]), START).err();
    assert_eq!(open(&mut third, &net.key(A)), Some(DropReason::Forged), "mac1 names the responder");
    let (thief, own) = (keypair(9).public(), net.key(B));
    assert_eq!(open(&mut net.hosts[B].sessions, &thief), Some(DropReason::Forged));
    assert_eq!(open(&mut net.hosts[B].sessions, &own), Some(DropReason::OwnReturned));
    assert!(net.hosts[B].sessions.is_empty() && net.hosts[B].sessions.poll_transmit().is_none());
}

#[test]
fn a_recorded_initiation_is_stale_and_gets_no_answer() {
    let mut net = Net::new();
    net.send(A, 1);
    net.run(seconds(2));
    let recorded = net.log[0].bytes.clone();
    net.log.clear();
    net.inject(A, &recorded);
    net.run(millis(500));
    assert_eq!(net.hosts[B].drops, [DropReason::Stale]);
    assert_eq!(net.log.len(), 1, "nothing but the recorded message itself: {:?}", net.log);

    // When nothing was heard for a while it may be a node whose clock was set back: asked once, without a curve operation.
    net.run(seconds(10));
    for _ in 0..8 {
        net.inject(A, &recorded);
        net.run(millis(100));
    }
    let answers: Vec<u8> = net.log.iter().filter(|flight| flight.from == B).map(|flight| flight.kind()).collect();
    assert_eq!(answers, [DATA]);
}

#[test]
fn a_recorded_handshake_gives_a_restarted_node_no_session_and_no_coordinates() {
    let mut net = Net::new();
    net.act(A, |sessions, _, now| sessions.set_own_coordinates(PublicKey::FULL, Coords::new(vec![1, 2]), now));
    net.send(A, 1);
    net.run(seconds(1));
    let recorded: Vec<_> = net.log.iter().filter(|flight| flight.from == A).cloned().collect();
    net.restart(B, 0);
    net.lose(|flight| flight.from == B);
    for flight in recorded {
        net.inject(A, &flight.bytes);
        net.run(millis(100));
    }
    net.lose(|_| true);
    assert!(!net.is_up(B) && net.hosts[B].received.is_empty() && net.hosts[B].events.is_empty());
    let key = net.key(A);
    assert_eq!(net.hosts[B].sessions.coordinates(&key), None);
    net.run(seconds(30));
    assert!(net.hosts[B].sessions.is_empty(), "half-open entries do not stay");
}

#[test]
fn under_load_initiations_are_answered_with_cookies_and_who_returns_one_is_let_in() {
    let mut net = Net::new();
    let now = net.now;
    let target = net.key(B);
    // Nodes all over the overlay call B within the same second.
    let mut answers = (0, 0);
    for n in 0..400u32 {
        let mut seed = [0xaa; 32];
        seed[..4].copy_from_slice(&n.to_be_bytes());
        let caller = std::sync::Arc::new(pinecone::keys::Keypair::from_seed(&pinecone::keys::Seed(seed)));
        let clock = pinecone::time::UnixClock::new(pinecone::time::UnixMillis(unix_at(now)), now);
        let rng = pinecone::rng::Rng::new(seed);
        let key = caller.public();
        let mut caller = Sessions::new(config(), caller, rng, clock, now);
        caller.connect(&target, now);
        let (_, initiation) = caller.poll_transmit().unwrap();
        let sessions = &mut net.hosts[B].sessions;
        let opened = sessions.open(&key, initiation, now);
        let (to, answer) = sessions.poll_transmit().unwrap();
        assert_eq!(to, key);
        match answer[0] {
            RESPONSE => answers.0 += 1,
            COOKIE => {
                assert_eq!(opened.err(), Some(DropReason::RateLimited));
                answers.1 += 1;
            }
            other => panic!("answered with {other}"),
        }
        assert!(sessions.poll_transmit().is_none());
    }
    assert_eq!(answers, (200, 200), "as many curve operations as the budget has, not one more");

    // One that listens gets in all the same, without waiting for its next repetition.
    net.latency = millis(1);
    net.send(A, 1);
    net.run(millis(100));
    assert_eq!(net.hosts[B].received, [1]);
    let kinds: Vec<u8> = net.log.iter().map(|flight| flight.kind()).collect();
    assert_eq!(kinds[..4], [INIT, COOKIE, INIT, RESPONSE]);
}

#[test]
fn initiations_with_a_wrong_mac_use_up_nothing() {
    let mut net = Net::new();
    net.latency = millis(0);
    net.send(A, 1);
    let mut forged = net.log[0].bytes.clone();
    let mac1 = forged.len() - 32;
    forged[mac1] ^= 1;
    net.log.clear();
    for _ in 0..1000 {
        net.inject(A, &forged);
    }
    net.run(millis(0));
    assert!(net.hosts[B].drops.iter().all(|reason| *reason == DropReason::Forged));
    assert_eq!((net.hosts[B].drops.len(), net.sent_of(COOKIE).len()), (1000, 0));
    assert_eq!(net.hosts[B].received, [1], "the genuine one was answered as if nothing had been");
}

#[test]
fn a_source_that_calls_without_end_is_challenged_while_others_are_answered() {
    let mut net = Net::new();
    net.lose(|flight| flight.from == B);
    for _ in 0..40 {
        net.restart(A, 0);
        net.send(A, 1);
        net.run(millis(20));
    }
    assert!(net.sent_of(COOKIE).len() > 20);
    let mut third = sessions(3, config(), 3, unix_at(net.now), net.now);
    let now = net.now;
    third.connect(&net.key(B), now);
    let (_, initiation) = third.poll_transmit().unwrap();
    let sessions = &mut net.hosts[B].sessions;
    assert!(sessions.open(&keypair(3).public(), initiation, now).is_ok());
    assert_eq!(sessions.poll_transmit().map(|(_, message)| message[0]), Some(RESPONSE));
}

#[test]
fn a_forged_cookie_is_ignored() {
    let mut net = Net::new();
    net.lose(|flight| flight.kind() == INIT);
    net.send(A, 1);
    let sender = &net.log[0].bytes[4..8];
    let forged = [&[COOKIE, 0, 0, 0][..], sender, &[7; 56]].concat();
    net.log.clear();
    net.inject(B, &forged);
    net.run(millis(100));
    assert_eq!((net.hosts[A].drops.as_slice(), net.sent_of(INIT).len()), (&[DropReason::Forged][..], 0));
}

#[test]
fn a_reset_counts_only_with_an_index_and_a_counter_that_we_used() {
    let mut net = Net::established();
    net.run(seconds(2));
    net.send(A, 1);
    net.run(millis(20));
    let data = net.log.last().unwrap().bytes.clone();
    let index = u32::from_be_bytes([data[4], data[5], data[6], data[7]]);
    let counter = u64::from(data[15]);
    net.log.clear();
    for header in [
        DataHeader { receiver: index ^ 1, counter },
        DataHeader { receiver: index, counter: counter + 1 },
        DataHeader { receiver: index, counter: u64::MAX },
    ] {
        net.inject(B, &header.reset());
        net.run(millis(20));
    }
    assert_eq!(net.sent_of(INIT).len(), 0);
    assert_eq!(net.hosts[A].drops, [DropReason::Forged; 3]);

    // Who is on the path can forge one: it costs a handshake, at most one a second, and the session works all the while.
    for number in 0..20 {
        net.inject(B, &DataHeader { receiver: index, counter }.reset());
        net.run(millis(50));
        net.send(A, number);
    }
    net.run(millis(50));
    assert!((1..=2).contains(&net.sent_of(INIT).len()), "{}", net.sent_of(INIT).len());
    assert_eq!(net.hosts[B].received, [&[1][..], &(0..20).collect::<Vec<_>>()].concat());
}

#[test]
fn data_for_unknown_sessions_is_answered_seldom_and_with_less() {
    let mut net = Net::new();
    for n in 0..200u32 {
        let header = DataHeader { receiver: n, counter: 5 };
        net.inject(A, &[&header.encode()[..], &[0; 30]].concat());
    }
    net.run(millis(100));
    let resets = net.sent_of(RESET);
    assert!((1..=8).contains(&resets.len()), "{}", resets.len());
    assert!(resets.iter().all(|reset| reset.bytes.len() == 16));
    assert_eq!(net.hosts[B].drops.len(), 200);
    assert!(net.hosts[A].drops.iter().all(|reason| *reason == DropReason::UnknownSession));
    assert_eq!(net.sent_of(INIT).len(), 0);
}

#[test]
fn strangers_initiations_push_out_no_session_that_works() {
    let mut net = Net::with(config(), SessionConfig { max_sessions: 8, ..config() });
    net.send(A, 1);
    net.run(seconds(1));
    let now = net.now;
    let target = net.key(B);
    for n in 10..60 {
        let mut stranger = sessions(n, config(), n, unix_at(now), now);
        stranger.connect(&target, now);
        let (_, initiation) = stranger.poll_transmit().unwrap();
        let _ = net.hosts[B].sessions.open(&keypair(n).public(), initiation, now);
        while net.hosts[B].sessions.poll_transmit().is_some() {}
        assert!(net.hosts[B].sessions.len() <= 8);
    }
    assert!(net.is_up(B) && !net.hosts[B].was_down());
    net.send(A, 2);
    net.run(seconds(1));
    assert_eq!(net.hosts[B].received, [1, 2]);
}

#[test]
fn of_too_many_sessions_the_longest_idle_is_ended_and_never_one_in_use() {
    let mut net = Net::with(config(), SessionConfig { max_sessions: 4, ..config() });
    let target = net.key(B);
    let mut others: Vec<(PublicKey, Sessions)> =
        (10..14).map(|n| (keypair(n).public(), sessions(n, config(), n, unix_at(net.now), net.now))).collect();
    // A's session stays in use while four others come, one every twelve seconds.
    net.send(A, 0);
    net.run(seconds(1));
    let mut ended = Vec::new();
    for (key, other) in &mut others {
        for number in 0..12 {
            net.send(A, number);
            net.run(seconds(1));
        }
        other.connect(&target, net.now);
        let here = &mut net.hosts[B].sessions;
        for _ in 0..2 {
            while let Some((_, message)) = other.poll_transmit() {
                here.open(key, message, net.now).unwrap();
            }
            while let Some((to, message)) = here.poll_transmit() {
                assert_eq!(to, *key);
                other.open(&target, message, net.now).unwrap();
            }
        }
        while let Some(event) = here.poll_event() {
            if let SessionEvent::Down(key) = event {
                ended.push(key);
            }
        }
        assert!(here.is_established(key) && here.is_established(&keypair(1).public()));
    }
    let first = others[0].0;
    assert_eq!(ended[..1], [first], "the longest idle one goes first");
    assert!(!ended.contains(&net.key(A)));
}

// ── as time passes ───────────────────────────────────────────────────────────────────────────────────────────────────

/// Sends every `pause` from each of `senders` for `span`; returns how many packets each sent.
fn traffic(net: &mut Net, senders: &[usize], pause: u64, span: u64) -> u32 {
    let end = net.now + millis(span);
    let mut number = 0;
    while net.now < end {
        for sender in senders {
            net.send(*sender, number);
        }
        number += 1;
        net.run(millis(pause));
    }
    net.run(millis(100));
    number
}

#[test]
fn keys_are_changed_every_two_minutes_under_traffic_and_nothing_is_lost() {
    for senders in [&[A, B][..], &[A], &[B]] {
        let mut net = Net::established();
        let count = traffic(&mut net, senders, 50, 600_000);
        for sender in senders {
            assert_eq!(net.hosts[1 - sender].received, (0..count).collect::<Vec<_>>(), "from {sender}");
        }
        let initiations = net.sent_of(INIT);
        assert!((3..=5).contains(&initiations.len()), "{senders:?}: {} initiations", initiations.len());
        assert!(net.hosts.iter().all(|host| host.drops.is_empty()));
        let ups = net.hosts[A].events.iter().filter(|event| matches!(event, SessionEvent::Up(_))).count();
        assert_eq!(ups, 1, "changing keys is no interruption");
    }
}

#[test]
fn keys_are_changed_in_a_storm_without_ending_the_session() {
    let mut net = Net::established();
    let mut rng = pinecone::rng::Rng::new([9; 32]);
    net.set_weather(move |_| match rng.below(10) {
        0 | 1 => vec![],
        2 => vec![millis(10 + rng.below(200)), millis(10 + rng.below(200))],
        _ => vec![millis(10 + rng.below(50))],
    });
    let count = traffic(&mut net, &[A, B], 50, 400_000);
    net.run(seconds(1));
    for host in [A, B] {
        let received = net.hosts[host].received.iter().collect::<BTreeSet<_>>().len();
        assert_eq!(received, net.hosts[host].received.len(), "each at most once");
        assert!(received > count as usize * 75 / 100, "{received} of {count}");
        assert!(!net.hosts[host].was_down());
    }
}

#[test]
fn keys_are_erased_after_three_minutes_and_the_next_packet_brings_others() {
    let mut net = Net::established();
    net.send(A, 1);
    net.run(seconds(181));
    let status = net.hosts[A].sessions.status(net.now);
    assert_eq!((status[0].state.as_str(), status[0].cipher.as_deref()), ("idle", None));
    assert!(!net.is_up(A) && !net.hosts[A].was_down());
    net.send(A, 2);
    net.run(seconds(1));
    assert_eq!(net.hosts[B].received, [1, 2]);
}

#[test]
fn an_idle_session_sends_nothing_at_all_and_is_dropped_after_ten_minutes() {
    let mut net = Net::established();
    net.run(seconds(3));
    net.log.clear();
    net.run(seconds(590));
    assert_eq!(net.log.len(), 0);
    assert_eq!((net.hosts[A].sessions.len(), net.hosts[B].sessions.len()), (1, 1));
    net.run(seconds(10));
    assert_eq!((net.hosts[A].sessions.len(), net.hosts[B].sessions.len()), (0, 0));
    assert!(net.hosts[A].was_down() && net.hosts[B].was_down());
    assert_eq!(net.hosts[A].sessions.poll_timeout(), None);
}

#[test]
fn control_messages_of_the_other_side_do_not_keep_a_session() {
    let mut net = Net::established();
    for id in 0..61 {
        net.run(seconds(10));
        net.act(A, |sessions, to, now| sessions.ping(&to, id, now));
    }
    assert_eq!(net.hosts[B].events.iter().filter(|event| matches!(event, SessionEvent::Down(_))).count(), 1);
    assert!(!net.hosts[A].was_down(), "who pings uses it");
}

#[test]
fn who_only_receives_shows_every_second_that_it_is_there() {
    let mut net = Net::established();
    traffic(&mut net, &[A], 100, 10_000);
    let keepalives = net.log.iter().filter(|flight| flight.from == B).count();
    assert!((8..=10).contains(&keepalives), "{keepalives}");
    net.log.clear();
    traffic(&mut net, &[A, B], 100, 10_000);
    assert!(net.log.iter().all(|flight| flight.bytes.len() > 60), "no keepalives when both send");
}

// ── losing each other ────────────────────────────────────────────────────────────────────────────────────────────────

#[test]
fn a_restart_of_either_side_is_overcome_within_two_seconds() {
    for restarted in [A, B] {
        for senders in [&[A][..], &[B], &[A, B]] {
            for at in [500, 3_000, 119_000] {
                let mut net = Net::established();
                traffic(&mut net, senders, 100, at);
                net.restart(restarted, 0);
                let back = net.now;
                for host in &mut net.hosts {
                    host.received.clear();
                }
                let mut number = 1000;
                let recovered = |net: &Net| senders.iter().all(|from| !net.hosts[1 - from].received.is_empty());
                while !recovered(&net) {
                    assert!(net.now.saturating_since(back) < seconds(2), "{restarted} restarted, {senders:?} send");
                    for sender in senders {
                        net.send(*sender, number);
                    }
                    number += 1;
                    net.run(millis(100));
                }
            }
        }
    }
}

#[test]
fn a_restart_with_the_clock_set_back_is_overcome_too() {
    for senders in [&[A][..], &[B], &[A, B]] {
        let mut net = Net::established();
        traffic(&mut net, senders, 100, 1_000);
        net.restart(A, -86_400_000);
        let back = net.now;
        for host in &mut net.hosts {
            host.received.clear();
        }
        let recovered = |net: &Net| senders.iter().all(|from| !net.hosts[1 - from].received.is_empty());
        while !recovered(&net) {
            assert!(net.now.saturating_since(back) < seconds(5), "{senders:?} send");
            for sender in senders {
                net.send(*sender, 5000);
            }
            net.run(millis(100));
        }
    }
}

#[test]
fn packets_are_held_back_while_nothing_is_heard_and_go_when_the_other_side_is_back() {
    let mut net = Net::established();
    net.run(seconds(5));
    net.lose(|_| true);
    net.send(A, 1);
    net.run(millis(5100));
    assert!(!net.is_up(A));
    net.send(A, 2);
    assert_eq!(net.hosts[A].waiting.len(), 1);
    net.run(seconds(25));
    net.clear_weather();
    net.run(seconds(6));
    assert_eq!(net.hosts[B].received, [2]);
    assert!(net.is_up(A) && !net.hosts[A].was_down());
}

#[test]
fn an_unreachable_node_is_given_up_a_minute_after_the_last_packet_for_it() {
    let mut net = Net::established();
    net.lose(|_| true);
    net.send(A, 1);
    net.run(seconds(30));
    net.send(A, 2);
    net.run(seconds(59));
    assert!(!net.hosts[A].was_down());
    net.run(seconds(7));
    assert!(net.hosts[A].was_down());
    net.log.clear();
    net.run(seconds(30));
    assert_eq!(net.log.len(), 0);
    // Another packet starts over.
    net.clear_weather();
    net.send(A, 3);
    net.run(seconds(1));
    assert!(net.hosts[B].received.contains(&3));
}

// ── coordinates ──────────────────────────────────────────────────────────────────────────────────────────────────────

fn move_to(net: &mut Net, host: usize, ports: &[u64]) {
    let coords = Coords::new(ports.to_vec());
    net.act(host, |sessions, _, now| sessions.set_own_coordinates(PublicKey::FULL, coords, now));
    // What is to be told at once is due at once.
    net.run(millis(0));
}

/// What `host` knows of the other side.
fn known(net: &Net, host: usize) -> Option<Vec<u64>> {
    let (root, coords) = net.hosts[host].sessions.coordinates(&net.key(1 - host))?;
    assert_eq!(*root, PublicKey::FULL);
    Some(coords.as_slice().to_vec())
}

#[test]
fn coordinates_are_told_in_the_handshake_and_to_active_sessions_at_once() {
    let mut net = Net::new();
    move_to(&mut net, A, &[1]);
    move_to(&mut net, B, &[2, 300]);
    net.send(A, 1);
    net.run(millis(50));
    assert_eq!((known(&net, A), known(&net, B)), (Some(vec![2, 300]), Some(vec![1])));
    move_to(&mut net, B, &[4, 5]);
    net.run(millis(10));
    assert_eq!(known(&net, A), Some(vec![4, 5]));
    assert!(net.hosts[A].events.contains(&SessionEvent::CoordinatesChanged(net.key(B))));
    move_to(&mut net, B, &[]);
    net.run(millis(210));
    assert_eq!(known(&net, A), Some(vec![]), "the root's coordinates are empty");
    net.log.clear();
    net.run(seconds(60));
    assert_eq!(net.log.len(), 0, "a receipt ends it: {:?}", net.log);
}

#[test]
fn many_changes_are_told_five_times_a_second_at_most_and_the_last_one_counts() {
    let mut net = Net::established();
    for n in 0..100 {
        move_to(&mut net, B, &[n]);
        net.run(millis(10));
    }
    net.run(millis(300));
    assert_eq!(known(&net, A), Some(vec![99]));
    let told = net.log.iter().filter(|flight| flight.from == B).count();
    assert!((4..=7).contains(&told), "{told}");
}

#[test]
fn a_hub_tells_all_its_sessions_in_bounded_portions() {
    let now = START;
    let hub_key = keypair(200).public();
    let mut hub = sessions(200, SessionConfig { max_sessions: 400, ..config() }, 200, unix_at(now), now);
    let mut others: Vec<(PublicKey, Sessions)> =
        (1..=150).map(|n| (keypair(n).public(), sessions(n, config(), n, unix_at(now), now))).collect();
    for (key, other) in &mut others {
        other.connect(&hub_key, now);
        for _ in 0..2 {
            while let Some((_, message)) = other.poll_transmit() {
                hub.open(key, message, now).unwrap();
            }
            while let Some((_, message)) = hub.poll_transmit() {
                other.open(&hub_key, message, now).unwrap();
            }
        }
    }
    assert!(others.iter().all(|(key, _)| hub.is_established(key)));

    hub.set_own_coordinates(PublicKey::FULL, Coords::new(vec![5]), now);
    let mut calls = 0;
    while hub.poll_timeout().is_some_and(|(at, _)| at <= now) {
        hub.handle_timeout(now);
        calls += 1;
        let mut told = 0;
        while let Some((to, message)) = hub.poll_transmit() {
            let (_, other) = others.iter_mut().find(|(key, _)| *key == to).unwrap();
            other.open(&hub_key, message, now).unwrap();
            told += 1;
        }
        assert!((1..=64).contains(&told), "{told} in one call");
    }
    assert_eq!(calls, 3);
    assert!(others.iter().all(|(_, other)| other.coordinates(&hub_key).is_some()));
}

#[test]
fn an_idle_session_hears_of_coordinates_when_it_is_used_again() {
    let mut net = Net::established();
    net.run(seconds(15));
    net.log.clear();
    move_to(&mut net, B, &[7]);
    net.run(seconds(5));
    assert_eq!((net.log.len(), known(&net, A)), (0, None));
    net.send(B, 1);
    net.run(millis(50));
    assert_eq!(known(&net, A), Some(vec![7]));

    net.run(seconds(15));
    move_to(&mut net, B, &[8]);
    net.send(A, 2);
    net.run(millis(50));
    assert_eq!(known(&net, A), Some(vec![8]), "also if the other side uses it");
}

#[test]
fn coordinates_that_got_lost_are_told_again() {
    let mut net = Net::established();
    let mut left = 2;
    net.lose(move |flight| {
        let lost = flight.from == B && left > 0;
        left -= usize::from(lost);
        lost
    });
    move_to(&mut net, B, &[7]);
    net.run(millis(50));
    assert_eq!(known(&net, A), None);
    net.run(seconds(4));
    assert_eq!(known(&net, A), Some(vec![7]));
}

#[test]
fn coordinates_that_come_late_do_not_replace_newer_ones() {
    let mut net = Net::established();
    let mut first = true;
    net.set_weather(move |flight| {
        let slow = flight.from == B && std::mem::take(&mut first);
        vec![millis(if slow { 600 } else { 10 })]
    });
    move_to(&mut net, B, &[1]);
    net.run(millis(250));
    move_to(&mut net, B, &[2]);
    net.run(seconds(2));
    assert_eq!(known(&net, A), Some(vec![2]));
}

#[test]
fn coordinates_are_not_used_while_frames_that_use_them_get_lost() {
    let mut net = Net::new();
    move_to(&mut net, B, &[7]);
    net.send(A, 1);
    net.run(seconds(3));
    let reconnects = net.sent_of(INIT).len();
    // The tree route is cut: what A sends arrives only while it uses the snake. The weather is told by the test.
    let by_tree = std::rc::Rc::new(std::cell::Cell::new(true));
    let cut = by_tree.clone();
    net.lose(move |flight| flight.from == A && cut.get());
    let mut seen = Vec::new();
    for number in 0..300 {
        by_tree.set(known(&net, A).is_some());
        net.send(A, number);
        net.run(millis(100));
        seen.push(known(&net, A).is_some());
    }
    let changes: Vec<usize> = (1..seen.len()).filter(|i| seen[*i] != seen[i - 1]).collect();
    assert!((24..=27).contains(&changes[0]), "doubted after 2.5 s: {changes:?}");
    let distrusts: Vec<usize> = changes.chunks_exact(2).map(|pair| pair[1] - pair[0]).collect();
    assert!((95..=115).contains(&distrusts[0]), "10 s of distrust: {changes:?}");
    assert_eq!(net.sent_of(INIT).len(), reconnects, "the session goes on by the snake");
    assert!(net.hosts[B].received.len() > 230, "{}", net.hosts[B].received.len());
}

#[test]
fn coordinates_too_deep_to_be_kept_are_told_as_none() {
    let mut net = Net::new();
    move_to(&mut net, B, &[1]);
    net.send(A, 1);
    net.run(millis(50));
    assert_eq!(known(&net, A), Some(vec![1]));
    move_to(&mut net, B, &[1; 500]);
    net.run(millis(250));
    assert_eq!(known(&net, A), None);
}

// ── everything at once ───────────────────────────────────────────────────────────────────────────────────────────────

/// What happens in one step of a random run.
#[derive(Clone, Debug)]
enum Step {
    Send(usize),
    Connect(usize),
    Move(usize, u64),
    Restart(usize),
    Wait(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (0..2usize).prop_map(Step::Send),
        1 => (0..2usize).prop_map(Step::Connect),
        1 => (0..2usize, 0..9u64).prop_map(|(host, port)| Step::Move(host, port)),
        1 => (0..2usize).prop_map(Step::Restart),
        4 => (0..40u64).prop_map(Step::Wait),
        2 => (100..3_000u64).prop_map(Step::Wait),
        1 => (20_000..70_000u64).prop_map(Step::Wait),
    ];
    prop::collection::vec(step, 1..40)
}

proptest! {
    #[test]
    fn whatever_happened_before_calm_weather_brings_a_session_that_stays(steps in steps(), seed in any::<u8>(), lost in 0..60u64) {
        let mut net = Net::new();
        let mut rng = pinecone::rng::Rng::new([seed; 32]);
        net.set_weather(move |_| {
            let delay = |rng: &mut pinecone::rng::Rng| millis(1 + if rng.below(4) == 0 { rng.below(2_000) } else { rng.below(50) });
            if rng.below(100) < lost {
                return vec![];
            }
            let copies = if rng.below(5) == 0 { 2 } else { 1 };
            (0..copies).map(|_| delay(&mut rng)).collect()
        });
        let mut number = 0;
        for step in steps {
            match step {
                Step::Send(from) => {
                    net.send(from, number);
                    number += 1;
                }
                Step::Connect(from) => net.act(from, |sessions, to, now| sessions.connect(&to, now)),
                Step::Move(host, port) => move_to(&mut net, host, &[port]),
                Step::Restart(host) => net.restart(host, 0),
                Step::Wait(span) => net.run(millis(span)),
            }
        }
        net.clear_weather();
        for host in &mut net.hosts {
            let distinct: BTreeSet<_> = host.received.iter().collect();
            prop_assert_eq!(distinct.len(), host.received.len(), "no packet comes twice");
        }
        // Calm: both keep sending; whatever was under way settles within seconds.
        let settle = net.now + seconds(12);
        while net.now < settle {
            net.send(A, number);
            net.send(B, number);
            number += 1;
            net.run(millis(250));
        }
        prop_assert!(net.is_up(A) && net.is_up(B));
        net.log.clear();
        for host in &mut net.hosts {
            host.received.clear();
            host.drops.clear();
        }
        let first = number;
        for _ in 0..40 {
            net.send(A, number);
            net.send(B, number);
            number += 1;
            net.run(millis(250));
        }
        let expected: Vec<u32> = (first..number).collect();
        prop_assert_eq!(&net.hosts[A].received, &expected);
        prop_assert_eq!(&net.hosts[B].received, &expected);
        // One regular change of keys can fall into these ten seconds, and both sides can start it: if messages overtook
        // each other in a crossed handshake, each may seal with keys that the other initiated.
        prop_assert!(net.sent_of(INIT).len() <= 2, "{} initiations", net.sent_of(INIT).len());
        for host in [A, B] {
            let own = net.hosts[host].sessions.status(net.now);
            prop_assert_eq!(own.len(), 1);
        }
    }

    #[test]
    fn two_nodes_that_start_at_about_the_same_time_agree_in_every_interleaving(
        offset in 0..60u64, delays in prop::collection::vec(1..80u64, 1..30), first_sends_twice in any::<bool>(),
    ) {
        let mut net = Net::new();
        let mut next = 0;
        net.set_weather(move |_| {
            next += 1;
            vec![millis(delays[next % delays.len()])]
        });
        net.send(A, 1);
        if first_sends_twice {
            net.send(A, 2);
        }
        net.run(millis(offset));
        net.send(B, 3);
        net.run(millis(450));
        let expected = if first_sends_twice { vec![1, 2] } else { vec![1] };
        let mut received = net.hosts[B].received.clone();
        received.sort_unstable();
        prop_assert_eq!(received, expected);
        prop_assert_eq!(&net.hosts[A].received, &[3]);
        // From here on the two use the keys without a word more than needed.
        net.clear_weather();
        net.run(seconds(2));
        net.log.clear();
        net.send(A, 4);
        net.send(B, 5);
        net.run(seconds(20));
        prop_assert!(net.hosts[B].received.contains(&4) && net.hosts[A].received.contains(&5));
        prop_assert_eq!(net.sent_of(INIT).len(), 0);
    }
}

#[test]
fn the_same_seeds_and_the_same_weather_give_the_same_messages() {
    let run = || {
        let mut net = Net::new();
        let mut count = 0u64;
        net.set_weather(move |_| {
            count += 1;
            if count.is_multiple_of(5) { vec![] } else { vec![millis(count % 30)] }
        });
        move_to(&mut net, A, &[3]);
        for number in 0..100 {
            net.send(A, number);
            net.send(B, number);
            net.run(millis(70));
        }
        net.log.iter().map(|flight| flight.bytes.clone()).collect::<Vec<_>>()
    };
    assert_eq!(run(), run());
}

#[test]
fn a_deadline_that_is_named_is_never_missed_and_handling_it_moves_it() {
    let mut net = Net::established();
    net.lose(|_| true);
    net.send(A, 1);
    let mut last = Instant::ZERO;
    for _ in 0..200 {
        let Some((at, _)) = net.hosts[A].sessions.poll_timeout() else { break };
        assert!(at > last, "{at:?} comes after {last:?}");
        last = at;
        net.hosts[A].sessions.handle_timeout(at);
        while net.hosts[A].sessions.poll_transmit().is_some() {}
    }
    assert_eq!(net.hosts[A].sessions.poll_timeout(), None, "in the end the session is gone");
}

#[test]
fn what_is_opened_is_what_was_sealed_at_every_size() {
    let mut net = Net::established();
    let (a, b, now) = (net.key(A), net.key(B), net.now);
    for len in [1, 2, 40, 1280, 9000, 65_000, 65_503] {
        let original: Vec<u8> = std::iter::once(0x6a).chain((1..len).map(|n| n as u8)).collect();
        let Sealed::Ready(message) = net.hosts[A].sessions.seal(&b, PacketBuf::from(&original[..]), now) else {
            panic!("not ready")
        };
        match net.hosts[B].sessions.open(&a, message, now) {
            Ok(Opened::Packet(opened)) => assert_eq!(*opened, original[..]),
            other => panic!("{len}: {other:?}"),
        }
    }
}
