//! A node of the library over real TCP sockets: `Router` and one `Link` per peering, driven by one blocking thread.
//!
//! The daemon hands application data out as IP packets of authenticated sessions only. This node can originate bare traffic by key
//! or by coordinates, as any reference node does, and tells what it receives. It keeps the reference's intervals, which the daemon
//! does not. Everything that its peers send is inspected.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use pinecone::buf::PacketBuf;
use pinecone::keys::{Keypair, PublicKey, Seed};
use pinecone::link::{Link, LinkConfig, LinkEvent};
use pinecone::router::{PeerKind, Port, Router, RouterConfig, RouterEvent, Verdict};
use pinecone::time::{self, UnixClock, UnixMillis};
use pinecone::wire::coords::Coords;
use pinecone::wire::extensions::Extensions;
use pinecone::wire::frame::{self, Frame};
use pinecone::wire::hello::Hello;

use crate::inspector::{Inspector, Kind};

/// The reference gives a write this long; so do we.
const WRITE_LIMIT: Duration = Duration::from_secs(3);

/// What the application of a node gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Received {
    pub(crate) from: PublicKey,
    pub(crate) payload: Vec<u8>,
    /// Whether the frame had destination coordinates when it came.
    pub(crate) by_tree: bool,
}

/// A peering as its node sees it.
#[derive(Clone, Debug)]
pub(crate) struct PeeringState {
    pub(crate) key: PublicKey,
    pub(crate) up_for: Duration,
}

/// A running node. Dropping it closes its peerings.
pub(crate) struct TestNode {
    pub(crate) key: PublicKey,
    pub(crate) address: SocketAddr,
    inputs: Sender<Input>,
    thread: Option<JoinHandle<()>>,
}

type Connection = u64;
type Call = Box<dyn FnOnce(&mut Core) + Send>;

enum Input {
    Connected(TcpStream),
    Bytes(Connection, Vec<u8>),
    Closed(Connection),
    Call(Call),
    Quit,
}

/// What the thread of a node owns.
pub(crate) struct Core {
    keypair: Arc<Keypair>,
    hello: [u8; 104],
    zero: Instant,
    pub(crate) router: Router,
    peerings: BTreeMap<Connection, Peering>,
    connections: Connection,
    received: Vec<Received>,
    /// Broken rules and closed peerings, as text.
    complaints: Vec<String>,
    inputs: Sender<Input>,
}

struct Peering {
    link: Link,
    stream: TcpStream,
    inspector: Inspector,
    port: Option<Port>,
    up_since: Instant,
}

impl TestNode {
    /// A node with this private key, listening on a free port of 127.0.0.1. It announces no extension.
    pub(crate) fn start(seed: [u8; 32]) -> Self {
        Self::start_with_extensions(seed, 0, 0)
    }

    /// As [`TestNode::start`], with other bytes 1 to 3 of the handshake.
    pub(crate) fn start_with_extensions(seed: [u8; 32], extension_version: u8, extensions: u16) -> Self {
        let keypair = Arc::new(Keypair::from_seed(&Seed(seed)));
        let key = keypair.public();
        let hello = Hello { key, extension_version, extensions }.encode(&keypair);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let (inputs, queue) = channel();
        let accepted = inputs.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if accepted.send(Input::Connected(stream)).is_err() {
                    return;
                }
            }
        });
        let core = Core::new(keypair, hello, inputs.clone());
        let thread = std::thread::spawn(move || core.run(&queue));
        Self { key, address, inputs, thread: Some(thread) }
    }

    /// Dials a peer.
    pub(crate) fn connect(&self, to: SocketAddr) {
        self.inputs.send(Input::Connected(TcpStream::connect(to).unwrap())).unwrap();
    }

    /// Runs something on the node's own thread.
    pub(crate) fn with<R: Send + 'static>(&self, run: impl FnOnce(&mut Core) -> R + Send + 'static) -> R {
        let (answer, result) = channel();
        let call: Call = Box::new(move |core| {
            let _ = answer.send(run(core));
        });
        self.inputs.send(Input::Call(call)).unwrap();
        result.recv().expect("the node runs")
    }

    /// Sends a payload, by key or, if they are given, by coordinates.
    pub(crate) fn send(&self, to: PublicKey, coordinates: Option<&Coords>, payload: &[u8]) {
        let (coordinates, mut payload) = (coordinates.cloned(), PacketBuf::from(payload));
        self.with(move |core| {
            let verdict = core.router.originate(&to, coordinates.as_ref(), &mut payload, core.now());
            core.act(verdict, payload);
        });
    }

    /// What came for the application since the last call.
    pub(crate) fn take_received(&self) -> Vec<Received> {
        self.with(|core| std::mem::take(&mut core.received))
    }

    /// Where the node is in the tree, and below which root.
    pub(crate) fn place(&self) -> (PublicKey, Vec<u64>) {
        self.with(|core| (core.router.root().key, core.router.coords().as_slice().to_vec()))
    }

    /// The next lower key that bootstraps to this node.
    pub(crate) fn descending(&self) -> Option<PublicKey> {
        self.with(|core| core.router.snake_status(core.now()).descending)
    }

    /// All peerings that are up.
    pub(crate) fn peerings(&self) -> Vec<PeeringState> {
        self.with(|core| core.peerings.values().filter_map(Peering::state).collect())
    }

    /// Every rule that a peer broke so far, and every peering that ended by an error.
    pub(crate) fn complaints(&self) -> Vec<String> {
        self.with(|core| {
            let now = Instant::now();
            core.peerings.values_mut().for_each(|peering| peering.inspector.check_silence(now));
            let broken = core.peerings.values().flat_map(|peering| peering.inspector.violations.iter());
            broken.chain(&core.complaints).cloned().collect()
        })
    }

    /// Cuts all peerings.
    pub(crate) fn disconnect_all(&self) {
        self.with(|core| {
            let connections: Vec<_> = core.peerings.keys().copied().collect();
            connections.into_iter().for_each(|connection| core.close(connection));
        });
    }
}

impl Drop for TestNode {
    fn drop(&mut self) {
        let _ = self.inputs.send(Input::Quit);
        // The listening thread ends with the test process; a last connection would only tell it earlier.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

impl Core {
    fn new(keypair: Arc<Keypair>, hello: [u8; 104], inputs: Sender<Input>) -> Self {
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
        let unix = UnixMillis(u64::try_from(unix).unwrap());
        let config = RouterConfig { initial_sequence: unix.0, ..RouterConfig::default() };
        let start = time::Instant::ZERO;
        let router = Router::new(config, keypair.clone(), UnixClock::new(unix, start), start);
        let (peerings, received, complaints) = (BTreeMap::new(), vec![], vec![]);
        let zero = Instant::now();
        Self { keypair, hello, zero, router, peerings, connections: 0, received, complaints, inputs }
    }

    pub(crate) fn now(&self) -> time::Instant {
        time::Instant::ZERO + self.zero.elapsed()
    }

    /// How many frames of a kind came, over all peerings that are up.
    pub(crate) fn count(&self, kind: Kind) -> usize {
        self.peerings.values().map(|peering| peering.inspector.count(kind)).sum()
    }

    fn run(mut self, queue: &Receiver<Input>) {
        loop {
            let input = match self.deadline() {
                Some(wait) => queue.recv_timeout(wait),
                None => queue.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            match input {
                Ok(Input::Connected(stream)) => self.connected(stream),
                Ok(Input::Bytes(connection, bytes)) => self.handle_bytes(connection, &bytes),
                Ok(Input::Closed(connection)) => self.close(connection),
                Ok(Input::Call(call)) => call(&mut self),
                Err(RecvTimeoutError::Timeout) => {}
                Ok(Input::Quit) | Err(RecvTimeoutError::Disconnected) => break,
            }
            self.handle_timeouts();
            self.close_misbehaved();
            self.transmit();
        }
        self.peerings.values().for_each(|peering| drop(peering.stream.shutdown(Shutdown::Both)));
    }

    fn deadline(&self) -> Option<Duration> {
        let links = self.peerings.values().filter_map(|peering| peering.link.poll_timeout().map(|(at, _)| at));
        let next = links.chain(self.router.poll_timeout().map(|(at, _)| at)).min()?;
        Some(next.saturating_since(self.now()))
    }

    fn connected(&mut self, stream: TcpStream) {
        stream.set_nodelay(true).unwrap();
        stream.set_write_timeout(Some(WRITE_LIMIT)).unwrap();
        self.connections += 1;
        let (connection, inputs) = (self.connections, self.inputs.clone());
        let mut reader = stream.try_clone().unwrap();
        std::thread::spawn(move || {
            let mut buffer = vec![0; 1 << 16];
            while let Ok(len @ 1..) = reader.read(&mut buffer) {
                if inputs.send(Input::Bytes(connection, buffer[..len].to_vec())).is_err() {
                    return;
                }
            }
            let _ = inputs.send(Input::Closed(connection));
        });
        let config = LinkConfig::plain(self.hello, self.keypair.public());
        let (link, up_since) = (Link::new(config, self.now()), Instant::now());
        let inspector = Inspector::new(up_since);
        self.peerings.insert(connection, Peering { link, stream, inspector, port: None, up_since });
    }

    fn handle_bytes(&mut self, connection: Connection, mut bytes: &[u8]) {
        let now = self.now();
        if let Some(peering) = self.peerings.get_mut(&connection) {
            peering.inspector.feed(bytes, Instant::now());
        }
        while !bytes.is_empty() {
            let Some(peering) = self.peerings.get_mut(&connection) else { return };
            let room = peering.link.read_buffer();
            let len = room.len().min(bytes.len());
            room[..len].copy_from_slice(&bytes[..len]);
            bytes = &bytes[len..];
            if let Err(error) = peering.link.handle_read(len, now) {
                return self.fail(connection, &error);
            }
            while let Some(event) = self.peerings.get_mut(&connection).and_then(|peering| peering.link.poll_event()) {
                self.handle_event(connection, event);
            }
        }
    }

    fn handle_event(&mut self, connection: Connection, event: LinkEvent) {
        let now = self.now();
        match event {
            LinkEvent::Up { key, .. } => match self.router.add_peer(key, PeerKind::Remote, Extensions::NONE, now) {
                Ok(port) => drop(self.peerings.get_mut(&connection).map(|peering| peering.port = Some(port))),
                Err(error) => self.fail(connection, &error),
            },
            LinkEvent::Frame(frame) => {
                let Some(port) = self.peerings.get(&connection).and_then(|peering| peering.port) else { return };
                if let Err(error) = self.handle_frame(port, frame) {
                    self.fail(connection, &error);
                }
            }
        }
    }

    fn handle_frame(&mut self, from: Port, mut bytes: PacketBuf) -> Result<(), String> {
        let now = self.now();
        match frame::parse(&bytes).map_err(|error| error.to_string())? {
            Frame::Traffic(_) => {
                let verdict = self.router.forward(from, &mut bytes, now).map_err(|error| error.to_string())?;
                self.act(verdict, bytes);
                Ok(())
            }
            frame => self.router.handle_protocol_frame(from, &frame, now).map_err(|error| error.to_string()),
        }
    }

    fn act(&mut self, verdict: Verdict, frame: PacketBuf) {
        match verdict {
            Verdict::Forward(port) => self.write(port, &frame),
            Verdict::Deliver(delivery) => self.received.push(Received {
                from: delivery.source_key,
                payload: frame[delivery.payload_at..].to_vec(),
                by_tree: matches!(frame::parse(&frame), Ok(Frame::Traffic(frame)) if !frame.destination.is_empty()),
            }),
            Verdict::Drop(_) => {}
        }
    }

    fn handle_timeouts(&mut self) {
        let now = self.now();
        if self.router.poll_timeout().is_some_and(|(at, _)| at <= now) {
            self.router.handle_timeout(now);
        }
        let due =
            self.peerings.iter().filter(|(_, peering)| peering.link.poll_timeout().is_some_and(|(at, _)| at <= now));
        for connection in due.map(|(connection, _)| *connection).collect::<Vec<_>>() {
            let result = self.peerings.get_mut(&connection).map(|peering| peering.link.handle_timeout(now));
            if let Some(Err(error)) = result {
                self.fail(connection, &error);
            }
        }
    }

    fn transmit(&mut self) {
        let connections: Vec<_> = self.peerings.keys().copied().collect();
        for connection in connections {
            while let Some(bytes) = self.peerings.get_mut(&connection).and_then(|peering| peering.link.poll_transmit())
            {
                self.write_to(connection, &bytes);
            }
        }
        while let Some((port, frame)) = self.router.poll_transmit() {
            self.write(port, &frame);
        }
    }

    /// Peers whose announcements had to wait for their check, and failed it.
    fn close_misbehaved(&mut self) {
        while let Some(event) = self.router.poll_event() {
            if let RouterEvent::PeerMisbehaved { port, why } = event
                && let Some(connection) = self.connection_of(port)
            {
                self.fail(connection, &why);
            }
        }
    }

    fn connection_of(&self, port: Port) -> Option<Connection> {
        self.peerings.iter().find(|(_, peering)| peering.port == Some(port)).map(|(connection, _)| *connection)
    }

    fn write(&mut self, port: Port, frame: &[u8]) {
        if let Some(connection) = self.connection_of(port) {
            self.write_to(connection, frame);
        }
    }

    fn write_to(&mut self, connection: Connection, bytes: &[u8]) {
        let now = self.now();
        let Some(peering) = self.peerings.get_mut(&connection) else { return };
        if peering.stream.write_all(bytes).is_ok() {
            return peering.link.handle_written(now);
        }
        self.close(connection);
    }

    fn fail(&mut self, connection: Connection, error: &dyn std::fmt::Display) {
        self.complaints.push(format!("peering {connection} ends: {error}"));
        self.close(connection);
    }

    fn close(&mut self, connection: Connection) {
        let Some(peering) = self.peerings.remove(&connection) else { return };
        let _ = peering.stream.shutdown(Shutdown::Both);
        self.complaints.extend(peering.inspector.violations);
        if let Some(port) = peering.port {
            self.router.remove_peer(port, self.now());
        }
    }
}

impl Peering {
    fn state(&self) -> Option<PeeringState> {
        self.port?;
        let (_, key) = self.inspector.hello?;
        Some(PeeringState { key, up_for: self.up_since.elapsed() })
    }
}
