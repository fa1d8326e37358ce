//! Two nodes' sessions and a wire between them, in virtual time: messages can be delayed, lost, doubled and changed.
#![expect(unreachable_pub, reason = "a test's module is private, its items are for the test")]

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use pinecone::buf::PacketBuf;
use pinecone::drops::DropReason;
use pinecone::keys::{Keypair, PublicKey, Seed};
use pinecone::rng::Rng;
use pinecone::session::{Opened, Sealed, SessionConfig, SessionEvent, Sessions};
use pinecone::time::{Duration, Instant, UnixClock, UnixMillis};

pub const A: usize = 0;
pub const B: usize = 1;

pub const START: Instant = Instant::from_micros(1_000_000_000);

pub fn millis(n: u64) -> Duration {
    Duration::from_millis(n)
}

pub fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

pub fn keypair(n: u8) -> Arc<Keypair> {
    Arc::new(Keypair::from_seed(&Seed([n; 32])))
}

pub fn config() -> SessionConfig {
    SessionConfig { psk: [0; 32], mtu: 1280, max_sessions: 64, aes: false }
}

/// A packet that can be told from others.
pub fn packet(n: u32) -> PacketBuf {
    let mut bytes = [0x60; 40];
    bytes[4..8].copy_from_slice(&n.to_be_bytes());
    PacketBuf::from(&bytes[..])
}

pub fn sessions(n: u8, config: SessionConfig, seed: u8, unix: u64, now: Instant) -> Sessions {
    let clock = UnixClock::new(UnixMillis(unix), now);
    Sessions::new(config, keypair(n), Rng::new([seed; 32]), clock, now)
}

/// One end, with what a node does for it: packets that are not ready wait for `Up`.
pub struct Host {
    pub sessions: Sessions,
    pub key: PublicKey,
    pub config: SessionConfig,
    number: u8,
    boots: u8,
    pub waiting: VecDeque<PacketBuf>,
    /// Numbers of the packets that arrived.
    pub received: Vec<u32>,
    pub events: Vec<SessionEvent>,
    pub drops: Vec<DropReason>,
}

impl Host {
    fn new(number: u8, config: SessionConfig, now: Instant) -> Self {
        Self {
            sessions: sessions(number, config.clone(), number, unix_at(now), now),
            key: keypair(number).public(),
            config,
            number,
            boots: 0,
            waiting: VecDeque::new(),
            received: Vec::new(),
            events: Vec::new(),
            drops: Vec::new(),
        }
    }

    pub fn was_up(&self) -> bool {
        self.events.iter().any(|event| matches!(event, SessionEvent::Up(_)))
    }

    pub fn was_down(&self) -> bool {
        self.events.iter().any(|event| matches!(event, SessionEvent::Down(_)))
    }
}

/// The wall clock that all nodes share unless a test sets it.
pub fn unix_at(now: Instant) -> u64 {
    1_700_000_000_000 + now.as_micros() / 1000
}

/// A message on its way.
#[derive(Clone, Debug)]
pub struct Flight {
    pub from: usize,
    pub at: Instant,
    pub bytes: Vec<u8>,
}

impl Flight {
    pub fn kind(&self) -> u8 {
        self.bytes[0]
    }
}

/// Decides about a message: the delays after which its copies arrive; none if it is lost.
type Weather = Box<dyn FnMut(&mut Flight) -> Vec<Duration>>;

pub struct Net {
    pub now: Instant,
    pub hosts: [Host; 2],
    flying: BTreeMap<(Instant, u64), (usize, PacketBuf)>,
    sent: u64,
    pub latency: Duration,
    weather: Option<Weather>,
    /// All messages that were sent.
    pub log: Vec<Flight>,
}

impl Net {
    pub fn new() -> Self {
        Self::with(config(), config())
    }

    pub fn with(a: SessionConfig, b: SessionConfig) -> Self {
        Self {
            now: START,
            hosts: [Host::new(1, a, START), Host::new(2, b, START)],
            flying: BTreeMap::new(),
            sent: 0,
            latency: millis(10),
            weather: None,
            log: Vec::new(),
        }
    }

    /// Both ends have a session, made by `A`, and nothing is under way.
    pub fn established() -> Self {
        let mut net = Self::new();
        net.send(A, 0);
        net.run(seconds(1));
        assert_eq!(net.hosts[B].received, [0], "the first packet arrives");
        assert!(net.is_up(A) && net.is_up(B));
        net.hosts[B].received.clear();
        net.log.clear();
        net
    }

    pub fn set_weather(&mut self, weather: impl FnMut(&mut Flight) -> Vec<Duration> + 'static) {
        self.weather = Some(Box::new(weather));
    }

    pub fn clear_weather(&mut self) {
        self.weather = None;
    }

    /// Loses what `lost` says.
    pub fn lose(&mut self, mut lost: impl FnMut(&Flight) -> bool + 'static) {
        let latency = self.latency;
        self.set_weather(move |flight| if lost(flight) { vec![] } else { vec![latency] });
    }

    pub fn key(&self, host: usize) -> PublicKey {
        self.hosts[host].key
    }

    pub fn is_up(&self, host: usize) -> bool {
        self.hosts[host].sessions.is_established(&self.key(1 - host))
    }

    /// Gives the packet with this number to the host's sessions.
    pub fn send(&mut self, from: usize, number: u32) {
        self.give(from, packet(number));
        self.drain(from);
    }

    /// Does something with a host's sessions, and sends what comes of it.
    pub fn act<T>(&mut self, host: usize, act: impl FnOnce(&mut Sessions, PublicKey, Instant) -> T) -> T {
        let (other, now) = (self.key(1 - host), self.now);
        let result = act(&mut self.hosts[host].sessions, other, now);
        self.drain(host);
        result
    }

    /// Puts a message onto the wire as if `from` had sent it.
    pub fn inject(&mut self, from: usize, bytes: &[u8]) {
        self.fly(from, PacketBuf::from(bytes));
    }

    /// Loses everything that the host knew. Its clock is `clock_change` milliseconds off from then on.
    pub fn restart(&mut self, host: usize, clock_change: i64) {
        let now = self.now;
        let Host { number, config, boots, .. } = &self.hosts[host];
        let (number, config, boots) = (*number, config.clone(), boots.wrapping_add(1));
        let unix = unix_at(now).saturating_add_signed(clock_change);
        self.hosts[host] = Host {
            sessions: sessions(number, config.clone(), number.wrapping_add(boots.wrapping_mul(16)), unix, now),
            boots,
            ..Host::new(number, config, now)
        };
    }

    /// Lets time pass.
    pub fn run(&mut self, span: Duration) {
        let end = self.now + span;
        while let Some(next) = self.next_instant().filter(|next| *next <= end) {
            self.now = self.now.max(next);
            self.step();
        }
        self.now = end;
    }

    /// Messages of this type that were sent since the log was cleared.
    pub fn sent_of(&self, kind: u8) -> Vec<&Flight> {
        self.log.iter().filter(|flight| flight.kind() == kind).collect()
    }

    fn next_instant(&self) -> Option<Instant> {
        let arrival = self.flying.keys().next().map(|(at, _)| *at);
        let deadlines = self.hosts.iter().filter_map(|host| host.sessions.poll_timeout().map(|(at, _)| at));
        arrival.into_iter().chain(deadlines).min()
    }

    fn step(&mut self) {
        while let Some(entry) = self.flying.first_entry().filter(|entry| entry.key().0 <= self.now) {
            let (from, message) = entry.remove();
            self.deliver(from, message);
        }
        for host in [A, B] {
            let due = self.hosts[host].sessions.poll_timeout().is_some_and(|(at, _)| at <= self.now);
            if due {
                self.hosts[host].sessions.handle_timeout(self.now);
                self.drain(host);
            }
        }
    }

    fn deliver(&mut self, from: usize, message: PacketBuf) {
        let key = self.key(from);
        let to = &mut self.hosts[1 - from];
        match to.sessions.open(&key, message, self.now) {
            Ok(Opened::Packet(packet)) => {
                to.received.push(u32::from_be_bytes([packet[4], packet[5], packet[6], packet[7]]));
            }
            Ok(Opened::Nothing | Opened::Route(_)) => {}
            Err(reason) => to.drops.push(reason),
        }
        self.drain(1 - from);
    }

    fn give(&mut self, from: usize, packet: PacketBuf) {
        let to = self.key(1 - from);
        match self.hosts[from].sessions.seal(&to, packet, self.now) {
            Sealed::Ready(message) => self.fly_after_messages(from, message),
            Sealed::NotReady(packet) => self.hosts[from].waiting.push_back(packet),
            Sealed::Drop(reason) => self.hosts[from].drops.push(reason),
        }
    }

    fn fly_after_messages(&mut self, from: usize, message: PacketBuf) {
        self.drain_messages(from);
        self.fly(from, message);
    }

    /// What a node does after every call: messages, then events.
    fn drain(&mut self, host: usize) {
        self.drain_messages(host);
        while let Some(event) = self.hosts[host].sessions.poll_event() {
            self.hosts[host].events.push(event);
            if matches!(event, SessionEvent::Up(_)) {
                for packet in std::mem::take(&mut self.hosts[host].waiting) {
                    self.give(host, packet);
                }
            }
        }
    }

    fn drain_messages(&mut self, host: usize) {
        while let Some((to, message)) = self.hosts[host].sessions.poll_transmit() {
            assert_eq!(to, self.key(1 - host));
            self.fly(host, message);
        }
    }

    fn fly(&mut self, from: usize, message: PacketBuf) {
        let mut flight = Flight { from, at: self.now, bytes: message.to_vec() };
        let delays = match &mut self.weather {
            Some(weather) => weather(&mut flight),
            None => vec![self.latency],
        };
        self.log.push(flight.clone());
        for delay in delays {
            self.sent += 1;
            self.flying.insert((self.now + delay, self.sent), (from, PacketBuf::from(&flight.bytes[..])));
        }
    }
}
