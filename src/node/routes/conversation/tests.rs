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
}

impl Bench {
    fn new() -> Self {
        let mut conversation = Conversation::new(START);
        for _ in 0..BUSY_PACKETS {
            conversation.note_packet(START);
        }
        assert!(conversation.is_busy);
        let rtts = vec![(0, Some(millis(20)))];
        Self { conversation, now: START, rtts, arriving: Vec::new(), answers: Vec::new(), searches: 0 }
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
