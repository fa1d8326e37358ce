use super::*;

const START: Instant = Instant::from_micros(1_000_000_000);

fn after(millis: u64) -> Instant {
    START + Duration::from_millis(millis)
}

fn millis(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn hop(port: u16) -> Hop {
    Hop { port, epoch: 1 }
}

/// A busy conversation whose wishes are met at once: probes of a way take what `rtt` says of it, or get lost.
struct Bench {
    conversation: Conversation,
    now: Instant,
    rtts: Vec<(u64, Option<Duration>)>,
    /// Of a hundred messages by a way so many arrive.
    arriving: Vec<(u64, u32)>,
    answers: Vec<(Instant, u64, u64)>,
    searches: u32,
    /// Of which way each probe was, in their order.
    probes: Vec<u64>,
    /// Whether a packet of the other side comes with each of ours, while the way in use works.
    is_answered: bool,
}

impl Bench {
    fn new() -> Self {
        let mut conversation = Conversation::new(START);
        for _ in 0..BUSY_PACKETS {
            conversation.note_packet(START);
        }
        assert!(conversation.is_busy);
        let rtts = vec![(0, Some(millis(20)))];
        Self {
            conversation,
            now: START,
            rtts,
            arriving: Vec::new(),
            answers: Vec::new(),
            searches: 0,
            probes: Vec::new(),
            is_answered: false,
        }
    }

    /// A route is found, whose first hop is that of this port.
    fn find(&mut self, id: u64, port: u16, rtt: Option<u64>) {
        self.set(id, rtt);
        self.conversation.requested(id, hop(port), self.now);
        let hops = vec![hop(port + 100)];
        let wanted = self.conversation.reply(id, Label { label: 2 * id, mask: 0 }, Some(hops), self.now);
        self.meet(wanted);
    }

    fn set(&mut self, id: u64, rtt: Option<u64>) {
        self.rtts.retain(|(of, _)| *of != id);
        self.rtts.push((id, rtt.map(millis)));
    }

    fn meet(&mut self, wanted: Vec<Wanted>) {
        for wanted in wanted {
            match wanted {
                Wanted::Search(_) => self.searches += 1,
                Wanted::Say(id, RouteMessage::Probe { id: named, token }) => {
                    assert_eq!(id, named);
                    self.probes.push(id);
                    match self.conversation.candidate(id) {
                        Some(candidate) => candidate.losses.sent(),
                        None => self.conversation.ordinary_losses.sent(),
                    }
                    if let Some((_, Some(rtt))) = self.rtts.iter().find(|(of, _)| *of == id) {
                        self.answers.push((self.now + *rtt, id, token));
                    }
                }
                other => panic!("{other:?}"),
            }
        }
    }

    /// Lets time pass while packets go, a hundred a second.
    fn run(&mut self, span: u64) {
        let end = self.now + millis(span);
        while self.now < end {
            self.now = self.now + millis(10);
            self.conversation.note_packet(self.now);
            match self.conversation.current() {
                Some(candidate) => candidate.losses.sent(),
                None => self.conversation.ordinary_losses.sent(),
            }
            let now = self.now;
            let using = self.conversation.using.unwrap_or(0);
            if self.is_answered && self.rtts.iter().any(|(of, rtt)| *of == using && rtt.is_some()) {
                self.conversation.note_heard(now);
            }
            for (_, id, token) in self.answers.extract_if(.., |(at, ..)| *at <= now).collect::<Vec<_>>() {
                let share = self.arriving.iter().find(|(of, _)| *of == id).map_or(100, |(_, share)| *share);
                let ordinary = self.conversation.ordinary_losses.sent_at_probe;
                let sent = self.conversation.candidate(id).map_or(ordinary, |it| it.losses.sent_at_probe);
                let wanted = self.conversation.probed(id, token, sent * share / 100, now);
                self.meet(wanted);
            }
            if self.conversation.deadline() <= now {
                let wanted = self.conversation.handle_timeout(now);
                self.meet(wanted);
            }
        }
    }
}

#[test]
fn a_few_packets_in_a_short_time_make_a_conversation_and_silence_ends_it() {
    let mut slow = Conversation::new(START);
    assert!((0..10).all(|n| !slow.note_packet(after(n * 2_000))));
    let mut quick = Conversation::new(START);
    assert_eq!((0..4).filter(|n| quick.note_packet(after(n * 500))).count(), 1);
    assert!(!quick.is_over(after(10_000)) && quick.is_over(after(16_500)));
}

#[test]
fn the_quicker_of_two_routes_is_used_and_the_way_without_one_before() {
    let mut bench = Bench::new();
    bench.run(100);
    assert_eq!((bench.conversation.using, bench.searches), (None, 1));
    bench.find(1, 1, Some(40));
    bench.find(2, 2, Some(5));
    bench.run(500);
    assert_eq!((bench.conversation.using, bench.conversation.reason), (Some(2), Reason::First));
}

#[test]
fn a_clearly_quicker_route_is_noticed_within_seconds_and_a_slightly_quicker_one_changes_nothing() {
    let mut bench = Bench::new();
    bench.find(1, 1, Some(20));
    bench.run(5_000);
    assert_eq!(bench.conversation.using, Some(1));
    bench.find(2, 2, Some(17));
    bench.run(5_000);
    assert_eq!(bench.conversation.using, Some(1));
    bench.find(3, 3, Some(5));
    bench.run(200);
    assert_eq!((bench.conversation.using, bench.conversation.reason), (Some(3), Reason::Quickest));
}

#[test]
fn routes_that_take_turns_in_being_quicker_are_changed_less_and_less_often() {
    let mut bench = Bench::new();
    bench.find(1, 1, Some(5));
    bench.find(2, 2, Some(20));
    bench.set(0, Some(100));
    let mut changes = 0;
    for turn in 0..30 {
        let (quick, slow) = if turn % 2 == 0 { (2, 1) } else { (1, 2) };
        bench.set(quick, Some(5));
        bench.set(slow, Some(20));
        let before = bench.conversation.using;
        bench.run(4_000);
        changes += u32::from(before != bench.conversation.using);
    }
    assert!((3..10).contains(&changes), "{changes} changes in two minutes");
}

#[test]
fn a_route_that_broke_is_followed_by_the_next_best_at_once_and_by_a_search() {
    let mut bench = Bench::new();
    bench.find(1, 1, Some(5));
    bench.find(2, 2, Some(10));
    bench.run(2_000);
    let searches = bench.searches;
    bench.conversation.broke(1, bench.now);
    assert_eq!((bench.conversation.using, bench.conversation.reason), (Some(2), Reason::FellOver));
    bench.run(20);
    assert_eq!(bench.searches, searches + 1);
    assert!(bench.conversation.lose(hop(2), bench.now));
    assert_eq!((bench.conversation.using, bench.conversation.reason), (None, Reason::Broke));
}

#[test]
fn a_route_that_does_not_answer_is_dropped_within_two_seconds_and_one_that_never_did_is_never_used() {
    let mut bench = Bench::new();
    bench.find(1, 1, Some(5));
    bench.find(2, 2, None);
    bench.run(3_000);
    assert_eq!(bench.conversation.using, Some(1));
    assert!(bench.conversation.candidate(2).is_none());
    bench.set(1, None);
    bench.answers.clear();
    bench.run(2_000);
    assert!(bench.conversation.using.is_none() && bench.conversation.candidate(1).is_none());
}

#[test]
fn a_route_that_answers_probes_and_drops_the_rest_is_found_out_and_not_tried_again_soon() {
    let mut bench = Bench::new();
    bench.arriving.push((1, 10));
    bench.find(1, 1, Some(5));
    bench.run(5_000);
    assert_eq!(bench.conversation.using, None);
    bench.find(2, 1, Some(5));
    bench.run(1_000);
    assert!(bench.conversation.candidates.is_empty(), "the same way under another number");
    bench.run(60_000);
    bench.find(3, 1, Some(5));
    bench.run(1_000);
    assert_eq!(bench.conversation.using, Some(3));
}

#[test]
fn a_way_without_route_that_loses_nearly_everything_is_not_gone_back_to() {
    let mut bench = Bench::new();
    bench.arriving.push((0, 10));
    bench.find(1, 1, Some(60));
    bench.run(6_000);
    assert_eq!(bench.conversation.using, Some(1), "slower, but packets arrive");
    bench.run(50_000);
    assert_eq!(bench.conversation.using, Some(1));
}

#[test]
fn a_peer_is_reached_directly_unless_a_route_is_clearly_quicker() {
    let mut bench = Bench::new();
    bench.conversation.set_neighbour(true);
    bench.find(1, 1, Some(19));
    bench.run(3_000);
    assert_eq!((bench.conversation.using, bench.conversation.reason), (None, Reason::NotBetter));
    bench.find(2, 2, Some(5));
    bench.run(1_000);
    assert_eq!(bench.conversation.using, Some(2));
}

#[test]
fn routes_and_requests_are_bounded_and_the_best_are_kept() {
    let mut bench = Bench::new();
    for id in 1..60 {
        bench.find(id, id as u16, Some(500 - id));
        bench.run(50);
        assert!(bench.conversation.candidates.len() <= MOST);
    }
    bench.run(5_000);
    assert!(bench.conversation.candidates.len() <= KEPT);
    for id in 100..200 {
        bench.conversation.requested(id, hop(1), bench.now);
    }
    assert!(bench.conversation.requests.len() <= MOST_REQUESTS);
    let wanted = bench.conversation.reply(100, Label::default(), Some(vec![hop(3)]), bench.now);
    assert!(wanted.is_empty(), "an answer to a request that is forgotten");
}

#[test]
fn answers_that_nobody_asked_for_change_nothing() {
    let mut bench = Bench::new();
    bench.find(1, 1, Some(20));
    bench.run(1_000);
    let count = bench.conversation.candidates.len();
    assert!(bench.conversation.reply(77, Label::default(), Some(vec![hop(9)]), bench.now).is_empty());
    assert!(bench.conversation.reply(1, Label::default(), Some(vec![hop(9)]), bench.now).is_empty(), "a replay");
    bench.conversation.probed(1, 99_999, 0, bench.now);
    bench.conversation.broke(55, bench.now);
    assert_eq!((bench.conversation.candidates.len(), bench.conversation.using), (count, Some(1)));
}

#[test]
fn the_session_s_silence_ends_the_use_of_a_route() {
    let mut bench = Bench::new();
    bench.find(1, 1, Some(5));
    bench.run(1_000);
    bench.conversation.silent(bench.now);
    assert_eq!(bench.conversation.using, None);
}

#[test]
fn the_way_in_use_is_probed_every_second_and_the_others_every_three() {
    let mut bench = Bench::new();
    for (id, rtt) in [(1, 5), (2, 10), (3, 15), (4, 18)] {
        bench.find(id, id as u16, Some(rtt));
    }
    bench.run(5_000);
    bench.probes.clear();
    bench.run(30_000);
    let count = |id| bench.probes.iter().filter(|of| **of == id).count();
    assert_eq!(bench.conversation.using, Some(1));
    assert!((29..=31).contains(&count(1)), "{}", count(1));
    assert!([0, 2, 3, 4].into_iter().all(|id| (9..=11).contains(&count(id))), "{:?}", bench.probes);
}

#[test]
fn all_ways_are_probed_at_once_when_the_one_in_use_misses_a_probe_or_breaks() {
    for is_broken in [false, true] {
        let mut bench = Bench::new();
        for (id, rtt) in [(1, 5), (2, 10), (3, 15)] {
            bench.find(id, id as u16, Some(rtt));
        }
        bench.run(4_100);
        bench.probes.clear();
        if is_broken {
            bench.conversation.broke(1, bench.now);
        } else {
            bench.set(1, None);
            while bench.conversation.current().unwrap().measure.misses() == 0 {
                bench.run(10);
            }
        }
        bench.run(20);
        assert!([0, 2, 3].into_iter().all(|id| bench.probes.contains(&id)), "{:?}", bench.probes);
    }
}

#[test]
fn a_standby_route_that_became_quicker_is_used_within_four_seconds() {
    let mut bench = Bench::new();
    bench.find(1, 1, Some(20));
    bench.find(2, 2, Some(30));
    bench.run(10_000);
    bench.set(2, Some(5));
    bench.run(3_200);
    assert_eq!(bench.conversation.using, Some(2));
}

#[test]
fn a_way_that_falls_silent_under_a_lively_exchange_is_left_at_the_first_probe_that_it_misses() {
    let mut bench = Bench::new();
    bench.is_answered = true;
    bench.find(1, 1, Some(5));
    bench.find(2, 2, Some(10));
    bench.run(5_300);
    assert_eq!(bench.conversation.using, Some(1));
    bench.set(1, None);
    bench.run(460);
    assert_eq!((bench.conversation.using, bench.conversation.reason), (Some(2), Reason::FellOver));
}

#[test]
fn a_probe_that_is_lost_while_packets_are_answered_moves_nothing() {
    let mut bench = Bench::new();
    bench.is_answered = true;
    bench.find(1, 1, Some(5));
    bench.find(2, 2, Some(10));
    bench.run(5_300);
    for _ in 0..10 {
        // What is asked now gets lost, and what is asked after that not.
        bench.set(1, None);
        bench.is_answered = false;
        bench.answers.clear();
        let probes = bench.probes.len();
        while !bench.probes[probes..].contains(&1) {
            bench.conversation.note_heard(bench.now);
            bench.run(10);
        }
        bench.set(1, Some(5));
        bench.is_answered = true;
        bench.run(3_000);
        assert_eq!(bench.conversation.using, Some(1));
    }
}

#[test]
fn a_node_that_answers_no_request_is_asked_seldom() {
    let mut bench = Bench::new();
    bench.run(15_000);
    let before = bench.searches;
    bench.run(60_000);
    assert!((4..=5).contains(&before) && (3..=5).contains(&(bench.searches - before)), "{before}, {}", bench.searches);
}

#[test]
fn the_room_that_routes_need_is_that_of_the_longest_that_was_found() {
    let mut bench = Bench::new();
    assert_eq!(bench.conversation.overhead(150), 150);
    let hops: Vec<Hop> = (0..40).map(hop).collect();
    bench.conversation.requested(7, hop(1), bench.now);
    bench.conversation.reply(7, Label::default(), Some(hops), bench.now);
    assert_eq!(bench.conversation.overhead(150), 150 + 14 + 240);
    bench.conversation.broke(7, bench.now);
    assert_eq!(bench.conversation.overhead(150), 150 + 14 + 240);
    bench.find(8, 1, Some(5));
    assert_eq!(bench.conversation.overhead(10), 10 + 14 + 240, "a sealed one has a label instead of keys");
}

#[test]
fn a_route_that_was_measured_and_found_slow_is_not_measured_again_at_every_search() {
    let mut bench = Bench::new();
    for id in 1..=5 {
        bench.find(id, id as u16, Some(20 * id));
    }
    bench.run(4_000);
    assert!(bench.conversation.candidate(5).is_none());
    bench.find(6, 5, Some(100));
    assert!(bench.conversation.candidate(6).is_none(), "the same way");
    bench.run(12_000);
    bench.find(7, 5, Some(5));
    bench.run(1_000);
    assert_eq!(bench.conversation.using, Some(7), "it has become quicker");
}
