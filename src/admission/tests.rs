use super::*;

/// Admission and connections that are numbered one after the other.
struct Gate {
    admission: Admission,
    next: u64,
    now: Instant,
}

impl Gate {
    fn new(limits: Limits) -> Self {
        Self { admission: Admission::new(limits, Instant::ZERO), next: 0, now: Instant::ZERO }
    }

    fn wait(&mut self, span: Duration) {
        self.now = self.now + span;
    }

    fn connect(&mut self, from: &str) -> Result<u64, Refusal> {
        self.next += 1;
        let displaced = self.admission.admit(self.next, from.parse().unwrap(), self.now)?;
        if let Some(displaced) = displaced {
            self.admission.ended(displaced, self.now);
        }
        Ok(self.next)
    }

    /// Connects and says hello at once.
    fn peer(&mut self, from: &str) -> Result<u64, Refusal> {
        let id = self.connect(from)?;
        self.admission.established(id, self.now);
        Ok(id)
    }
}

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_source_has_no_more_peerings_than_configured_however_slowly_they_come() {
    let mut gate = Gate::new(Limits { inbound: 100, per_source: 3 });
    for n in 0..3 {
        gate.peer(&format!("2001:db8::{n}")).unwrap();
        gate.wait(SECOND);
    }
    assert_eq!(gate.peer("2001:db8::99"), Err(Refusal::SourceFull), "a /64 is one source");
    assert!(gate.peer("2001:db8:0:1::1").is_ok() && gate.peer("192.0.2.1").is_ok());
    gate.admission.ended(1, gate.now);
    assert!(gate.peer("2001:db8::99").is_ok(), "its place is free again");
}

#[test]
fn neighbours_on_one_link_are_sources_of_their_own() {
    let mut gate = Gate::new(Limits { inbound: 100, per_source: 1 });
    assert!(gate.peer("fe80::1").is_ok() && gate.peer("fe80::2").is_ok());
    assert_eq!(gate.peer("fe80::2"), Err(Refusal::SourceFull));
}

#[test]
fn there_are_no_more_peerings_in_all_than_configured() {
    let mut gate = Gate::new(Limits { inbound: 5, per_source: 64 });
    let accepted = (1..=10).filter(|n| gate.peer(&format!("192.0.2.{n}")).is_ok()).count();
    assert_eq!((accepted, gate.peer("192.0.2.200")), (5, Err(Refusal::Full)));
}

#[test]
fn strangers_leave_places_for_those_who_had_a_peering_for_a_while() {
    let mut gate = Gate::new(Limits { inbound: 80, per_source: 64 });
    let friend = gate.peer("203.0.113.1").unwrap();
    gate.wait(KNOWN_AFTER);
    gate.admission.ended(friend, gate.now);
    let accepted = (0..100).filter(|n| gate.peer(&format!("192.0.2.{n}")).is_ok()).count();
    assert_eq!((accepted, gate.peer("198.51.100.1")), (70, Err(Refusal::Full)));
    assert!((0..10).all(|_| gate.peer("203.0.113.1").is_ok()));
    assert_eq!(gate.peer("203.0.113.1"), Err(Refusal::Full));
}

#[test]
fn a_long_peering_is_not_forgotten_for_those_who_came_meanwhile() {
    let mut gate = Gate::new(Limits::default());
    let friend = gate.peer("203.0.113.1").unwrap();
    for n in 0..MAX_SOURCES {
        let id = gate.peer(&format!("2001:db8:{n:x}::1")).unwrap();
        gate.wait(KNOWN_AFTER);
        gate.admission.ended(id, gate.now);
    }
    gate.admission.ended(friend, gate.now);
    assert!(gate.admission.known.get(&"203.0.113.1".parse().unwrap()).is_some());
}

#[test]
fn one_source_cannot_take_all_places_of_connections_without_a_hello() {
    let mut gate = Gate::new(Limits::default());
    let accepted = (0..100).filter(|n| gate.connect(&format!("2001:db8::{n:x}")).is_ok()).count();
    assert_eq!((accepted, gate.connect("2001:db8::1")), (MAX_PENDING_PER_SOURCE, Err(Refusal::SourcePending)));
    let more = (0..100).filter(|n| gate.connect(&format!("198.51.100.{n}")).is_ok()).count();
    assert_eq!(more, MAX_PENDING_STRANGERS - MAX_PENDING_PER_SOURCE);
    assert_eq!(gate.connect("203.0.113.1"), Err(Refusal::Pending));
}

#[test]
fn a_flood_from_one_source_is_slowed_down_and_nobody_else_notices() {
    let mut gate = Gate::new(Limits::default());
    let (mut through, mut honest) = (0, 0);
    for n in 0..2_000 {
        gate.wait(SECOND / 200);
        // It says hello and goes, so that no limit of places holds it.
        if let Ok(id) = gate.peer("192.0.2.66") {
            gate.admission.ended(id, gate.now);
            through += 1;
        }
        if n % 200 == 0 {
            honest += u32::from(gate.peer(&format!("198.51.100.{}", n / 200)).is_ok());
        }
    }
    assert_eq!(honest, 10);
    assert!((100..=BURST_PER_SOURCE + 10 * RATE_PER_SOURCE + 1).contains(&through), "{through}");
}

#[test]
fn a_flood_from_a_thousand_sources_keeps_out_no_peer_that_was_here_before() {
    let mut gate = Gate::new(Limits::default());
    let known = gate.peer("203.0.113.1").unwrap();
    gate.wait(KNOWN_AFTER);
    gate.admission.ended(known, gate.now);
    let (mut back, mut strangers) = (0, 0);
    for n in 0..20_000_u32 {
        gate.wait(SECOND / 2_000);
        // Nothing is ever said on these.
        let _ = gate.connect(&format!("10.0.{}.{}", n % 4, n % 250));
        if n % 1_000 == 0 {
            let id = gate.peer("203.0.113.1");
            back += u32::from(id.is_ok());
            id.into_iter().for_each(|id| gate.admission.ended(id, gate.now));
            strangers += u32::from(gate.peer(&format!("198.51.100.{}", n / 1_000)).is_ok());
        }
    }
    assert_eq!(back, 20, "a peer that it knew for half a minute comes in at every attempt");
    println!("{strangers} of 20 strangers came in at their first attempt");
}

#[test]
fn strangers_that_say_nothing_make_room_for_others_after_a_fair_time() {
    let mut gate = Gate::new(Limits::default());
    for n in 0..MAX_PENDING_STRANGERS {
        gate.connect(&format!("198.51.{}.1", n.max(1))).unwrap();
    }
    gate.connect("203.0.113.1").unwrap_err();
    gate.wait(GRACE);
    let displaced = gate.admission.admit(1_000, "203.0.113.1".parse().unwrap(), gate.now).unwrap();
    assert_eq!(displaced, Some(1), "the oldest of a source that has two");
}

#[test]
fn a_peering_that_did_not_last_makes_nobody_known() {
    let mut gate = Gate::new(Limits::default());
    let id = gate.peer("192.0.2.1").unwrap();
    gate.wait(KNOWN_AFTER / 2);
    gate.admission.ended(id, gate.now);
    gate.wait(KNOWN_AFTER);
    assert!(gate.admission.known.is_empty());
    // While one that lasts is there, one that does not changes nothing.
    gate.peer("192.0.2.1").unwrap();
    let short = gate.peer("192.0.2.1").unwrap();
    gate.admission.ended(short, gate.now);
    assert_eq!(gate.admission.known.len(), 1);
}

#[test]
fn what_strangers_can_fill_is_bounded() {
    let mut gate = Gate::new(Limits::default());
    for n in 0..3 * MAX_SOURCES as u32 {
        gate.wait(SECOND / 100);
        let _ = gate.peer(&std::net::Ipv4Addr::from(n).to_string()).map(|id| gate.admission.ended(id, gate.now));
    }
    let gate = &gate.admission;
    assert!(gate.rates.len() <= MAX_SOURCES && gate.known.len() <= MAX_SOURCES);
    assert!(gate.places.is_empty() && gate.by_source.is_empty() && gate.pending.is_empty());
}

#[test]
fn refusals_are_counted_by_reason_and_logged_once_a_minute() {
    let mut admission = Admission::new(Limits::default(), Instant::ZERO);
    let mut say = |seconds: u64| admission.refuse(Refusal::TooFast, "x", Instant::ZERO + SECOND * seconds as u32);
    assert!(
        say(0).is_some_and(|line| line.starts_with("turned x away: more connections") && !line.contains("more since"))
    );
    assert!((1..60).all(|at| say(at).is_none()));
    assert!(say(60).is_some_and(|line| line.contains("(59 more")));
    assert_eq!(admission.refusals().collect::<Vec<_>>(), [("too_fast", 61)]);
    assert!(admission.refuse(Refusal::KeyLan, "y", Instant::ZERO).is_some(), "another reason");
    let labels: std::collections::BTreeSet<_> = Refusal::ALL.iter().map(|it| it.label()).collect();
    assert_eq!(labels.len(), Refusal::ALL.len());
}
