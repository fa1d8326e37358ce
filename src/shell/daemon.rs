//! The daemon from start to stop: what is opened in which order, and what is undone.
//!
//! Order of start: private key, control socket (whose lock keeps a second daemon out before it touches anything), TUN, listeners,
//! dialling, readiness. Everything that can fail for a reason a person can mend fails before readiness is told.

use std::io;
use std::sync::Arc;

use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::addr::{Address, Subnet};
use crate::admission::Limits;
use crate::config::{Config, TunName};
use crate::dns::Responder;
use crate::keys::Keypair;
use crate::node::{Node, NodeConfig, RouteConfig};
use crate::rng::Rng;
use crate::router::Profile;
use crate::shell::clock::{Clock, random_seed};
use crate::shell::confine::confine;
use crate::shell::control_socket::{self, ControlSocket, ControlSocketError};
use crate::shell::core_loop::{Core, CoreParts};
use crate::shell::key_file::{self, KeyFileError, Origin};
use crate::shell::lan::Lan;
use crate::shell::listening::{self, Accepting, Listening};
use crate::shell::metrics::{self, MetricsListenFailed, MetricsListener};
use crate::shell::netlink::{self, Netlink, Snapshot};
use crate::shell::password_file::{self, PasswordFileError};
use crate::shell::peerings::{Greeting, PeerInputs, Peerings};
use crate::shell::readiness::{Manager, Pulse};
use crate::shell::reload::{self, ReloadCall, Reloader, Startup};
use crate::shell::resolved;
use crate::shell::transport::tls::{NodeTls, NodeTlsError};
use crate::shell::transport::underlay::Underlay;
use crate::shell::tun::Tun;
use crate::shell::tun::linux::{self, Added, TunError, TunParams};
use crate::shell::tun::netns::Namespace;
use crate::shell::wanted::Wanted;
use crate::time::{Duration, Instant};
use crate::wire::extensions::Extensions;

/// Most entries of the snake's routing table: some 20 MiB, and networks far larger than any that exist.
const MAX_ROUTES: usize = 65_536;
/// Most sessions: some 10 MiB.
const MAX_SESSIONS: usize = 4_096;
/// Requests and connections that wait for the core.
const RARE_QUEUE: usize = 16;
/// Task switches between looks at the sockets. A switch may be a whole turn of the core (some 100 µs), so the runtime's usual 61 would
/// leave a fresh frame unseen for milliseconds; a look costs one system call.
const EVENT_INTERVAL: u32 = 8;
/// Undoing what we did on the host may not hold up the stop, which takes 2 s at most in all.
const STOP_TIMEOUT: Duration = Duration::from_millis(1_500);
/// Time for peerings to say that they end: each needs a turn of the runtime or two.
const LAST_WORDS: Duration = Duration::from_millis(20);

/// Why the daemon did not start, or had to stop.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// No private key.
    #[error("node.private_key_file: {0}")]
    Key(#[from] KeyFileError),
    /// No group password.
    #[error(transparent)]
    Password(#[from] PasswordFileError),
    /// No control socket.
    #[error(transparent)]
    Control(#[from] ControlSocketError),
    /// No metrics.
    #[error(transparent)]
    Metrics(#[from] MetricsListenFailed),
    /// No interface.
    #[error("tun: {0}")]
    Tun(String),
    /// No certificate.
    #[error("{0}")]
    Tls(String),
    /// Nowhere to listen.
    #[error("peering.listen: {0}")]
    Listen(String),
    /// The interface went away.
    #[error("the interface {name} is gone: {source}")]
    TunGone {
        /// Its name.
        name: String,
        /// What reading from it gave.
        source: io::Error,
    },
    /// The operating system refused something that it never should.
    #[error("cannot {what}: {source}")]
    Os {
        /// What.
        what: &'static str,
        /// Why.
        source: io::Error,
    },
    /// A bug.
    #[error("the core stopped by itself; this is a bug in pineconed, please report it: {0}")]
    CoreFailed(String),
}

/// Runs the daemon until it is told to stop (SIGTERM, SIGINT).
///
/// # Errors
/// It could not start, or lost something that it cannot go on without.
pub fn run(config: Config, startup: Startup) -> Result<(), DaemonError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .event_interval(EVENT_INTERVAL)
        .build()
        .map_err(os("start the runtime"))?;
    let (seed, origin) = key_file::load_or_create(&config.node.private_key_file)?;
    if origin == Origin::Made {
        tracing::info!("made a new private key: {}", config.node.private_key_file.display());
    }
    let keypair = Arc::new(Keypair::from_seed(&seed));
    drop(seed);
    let result = runtime.block_on(serve(config, startup, keypair));
    stop(runtime);
    result
}

/// Name look-ups may hang in threads of their own; they are left behind.
fn stop(runtime: Runtime) {
    runtime.shutdown_timeout(Duration::ZERO);
}

async fn serve(config: Config, startup: Startup, keypair: Arc<Keypair>) -> Result<(), DaemonError> {
    let manager = Manager::from_environment();
    let mut signals = Signals::new().map_err(os("wait for signals"))?;
    let psk = password_file::psk(&config.session)?;
    let control = ControlSocket::bind(&config.control.socket, config.control.group.as_deref())?;
    let host = open_tun(&config, &keypair).await?;
    let (reloads, reload_calls) = mpsc::channel(reload::QUEUE);
    let undoes = host.added.is_something();
    let parts = Parts { startup, manager: manager.clone(), keypair, psk, control, reloads: reloads.clone(), undoes };
    let outcome = match start_core(config, parts, (host.tun, &host.name), reload_calls).await {
        Ok(mut core) => {
            manager.tell("READY=1");
            let outcome = tokio::select! {
                outcome = &mut core => Some(outcome),
                () = signals.stop(&reloads) => None,
            };
            manager.tell("STOPPING=1");
            // Ends the peerings. Those over UDP have last words that have to be sent by us, not by the kernel.
            core.abort();
            tokio::time::sleep(LAST_WORDS).await;
            match outcome {
                None => Ok(()),
                Some(Ok(source)) => Err(DaemonError::TunGone { name: host.name, source }),
                Some(Err(error)) => Err(DaemonError::CoreFailed(error.to_string())),
            }
        }
        Err(error) => Err(error),
    };
    let undo = linux::undo(&host.added, &host.netlink);
    if tokio::time::timeout(STOP_TIMEOUT, undo).await.is_err() {
        tracing::warn!("the kernel did not take our address and route off the interface in time");
    }
    outcome
}

/// What the core is started with, besides the configuration and the interface.
struct Parts {
    startup: Startup,
    manager: Manager,
    keypair: Arc<Keypair>,
    psk: [u8; 32],
    control: ControlSocket,
    reloads: mpsc::Sender<ReloadCall>,
    /// Whether something has to be undone on the interface at the end.
    undoes: bool,
}

/// The open interface.
struct HostSide {
    tun: Tun,
    name: String,
    added: Added,
    /// To the kernel, where the interface is.
    netlink: Netlink,
}

async fn open_tun(config: &Config, keypair: &Keypair) -> Result<HostSide, DaemonError> {
    let (address, subnet) = (Address::of(&keypair.public()), Subnet::of(&keypair.public()));
    tracing::info!("this node is {address}, routed prefix {subnet}, public key {}", keypair.public());
    let tun_error = |error: TunError| DaemonError::Tun(error.to_string());
    let section = &config.tun;
    let netns = section.netns.as_deref().map(Namespace::open).transpose().map_err(|error| tun_error(error.into()))?;
    let netlink = match &netns {
        Some(netns) => netns.within(Netlink::connect).map_err(|error| tun_error(error.into()))?,
        None => Netlink::connect(),
    };
    let netlink = netlink.map_err(os("ask the kernel about the network"))?;
    let name = match &section.name {
        TunName::None => {
            tracing::info!("no interface (tun.name = \"none\"): this node routes for others only");
            return Ok(HostSide { tun: Tun::None, name: String::new(), added: Added::default(), netlink });
        }
        TunName::Named(name) => name.to_string(),
    };
    let (fd, mtu, offload, netns) = (section.fd, section.mtu, section.offload, netns.map(Arc::new));
    let params = TunParams { name, fd, mtu, offload, address: address.ip(), subnet: subnet.ip(), netns };
    let (tun, name, added) = linux::open(&params, &netlink).await.map_err(tun_error)?;
    let place =
        section.netns.as_ref().map_or_else(String::new, |netns| format!(" in the namespace {}", netns.display()));
    tracing::info!("{name} is up{place}");
    // Who puts the interface elsewhere has another resolver there, or none.
    if config.dns.enabled && config.dns.systemd_resolved && section.netns.is_none() {
        resolved::announce(&name).await;
    }
    Ok(HostSide { tun: Tun::Kernel(tun), name, added, netlink })
}

/// Starts everything that runs beside the signals. It all ends with the runtime.
async fn start_core(
    config: Config,
    parts: Parts,
    (tun, interface): (Tun, &str),
    reload_calls: mpsc::Receiver<ReloadCall>,
) -> Result<JoinHandle<io::Error>, DaemonError> {
    let Parts { startup, manager, keypair, psk, control, reloads, undoes } = parts;
    let clock = Clock::new();
    let mut rng = Rng::new(random_seed().map_err(os("get random bytes"))?);
    let tls = NodeTls::new(Arc::clone(&keypair))?.with_ca_file(config.peering.tls_ca_file.clone());
    let tls = Arc::new(tls);
    let underlay = Arc::new(Underlay::new(&config));
    let node_config = node_config(&config, psk);
    let greeting = Greeting::new(Arc::clone(&keypair), node_config.extensions().and(Extensions::LINK_PROOF));
    let peerings = peerings(&config, greeting, (&tls, &underlay), rng.fork(), clock);
    let (node_seed, now, own_key) = (rng.bytes(), clock.now(), keypair.public());
    let node = Node::new(node_config, keypair, node_seed, now, clock.unix_now());

    let (accepted_sender, accepted) = mpsc::channel(RARE_QUEUE);
    let mut listening = Listening::default();
    let opened = listening
        .open(&config.peering.listen, &tls, &underlay)
        .map_err(|error| DaemonError::Listen(error.to_string()))?;
    listening.replace(&config.peering.listen, opened, &accepted_sender);
    let neighbours = config.discovery.enabled.then(|| listening::for_neighbours(&tls, &underlay, &accepted_sender));
    let neighbours = neighbours.flatten();
    // An interface of this name here is another one, if ours is elsewhere.
    let own_interface = Some(interface.to_owned()).filter(|name| !name.is_empty() && config.tun.netns.is_none());
    let lan = neighbours
        .as_ref()
        .and_then(Accepting::port)
        .map(|port| Lan::new(reload::discovery_config(&config, own_key, port, own_interface.clone()), rng.fork(), now));
    let (call_sender, calls) = mpsc::channel(RARE_QUEUE);
    if let Some(listener) = MetricsListener::bind(&config.metrics.listen)? {
        tracing::info!("metrics: {listener}");
        tokio::spawn(metrics::serve(listener, call_sender.clone(), clock));
    }
    let watchers = control_socket::watchers();
    tokio::spawn(control.serve(call_sender, watchers.clone()));
    tracing::info!("control socket: {}; try `pineconectl status`", config.control.socket.display());
    let (settings_sender, settings) = mpsc::channel(1);
    let network = watch_network().await;
    // Everything is open; nothing has been heard from anybody yet, and no thread been made.
    let confinement = confine(&config, startup.named.as_deref(), undoes);
    let parts = CoreParts {
        node,
        tun,
        dns: config.dns.enabled.then(|| Responder::new(own_key, config.dns.names.clone())),
        peerings,
        wanted: wanted(&config, rng.fork(), now),
        accepted,
        calls,
        lan,
        network,
        reloads: (reloads, settings),
        pulse: Pulse::new(manager.clone(), now),
        confinement,
        require_authenticated: config.peering.require_authenticated,
        allowed: config.peering.allowed_keys.clone(),
        watchers,
        clock,
    };
    let reloader = Reloader {
        startup,
        running: config,
        listening,
        neighbours,
        tls,
        accepted: accepted_sender,
        core: settings_sender,
        own_key,
        own_interface,
        manager,
        rng: rng.fork(),
        clock,
    };
    tokio::spawn(reloader.run(reload_calls));
    Ok(tokio::spawn(Core::new(parts).run()))
}

fn peerings(
    config: &Config,
    greeting: Greeting,
    (tls, underlay): (&Arc<NodeTls>, &Arc<Underlay>),
    rng: Rng,
    clock: Clock,
) -> (Peerings, PeerInputs) {
    let limits = Limits { inbound: config.peering.max_inbound, per_source: config.peering.max_inbound_per_source };
    let mut peerings = Peerings::new(greeting, limits, rng, Arc::clone(tls), clock);
    peerings.0.set_underlay(Arc::clone(underlay));
    peerings
}

fn node_config(config: &Config, psk: [u8; 32]) -> NodeConfig {
    NodeConfig {
        mtu: config.tun.mtu,
        psk,
        aes: reload::may_use_aes(config),
        firewall: config.firewall.inbound.clone(),
        max_routes: MAX_ROUTES,
        max_sessions: MAX_SESSIONS,
        profile: Profile::improved(),
        transit: config.node.transit,
        routes: RouteConfig {
            enabled: config.session.source_routes,
            seal: config.session.seal_sources,
            answer_trace: config.node.answer_trace,
        },
    }
}

fn wanted(config: &Config, rng: Rng, now: Instant) -> Wanted {
    let mut wanted = Wanted::new(rng);
    for uri in &config.peering.peers {
        // Named twice with different options: the first counts.
        if wanted.add(uri.clone(), now).is_err() {
            tracing::warn!("peering.peers: {uri} is left out: it is there already, or there are too many");
        }
    }
    wanted
}

/// The network as it is and as it changes; where it cannot be watched, peers are merely dialled again a little later.
async fn watch_network() -> (Arc<Snapshot>, mpsc::Receiver<Arc<Snapshot>>) {
    match netlink::watch().await {
        Ok(watched) => watched,
        Err(error) => {
            tracing::warn!("cannot watch for changes of the network: {error}");
            (Arc::default(), mpsc::channel(1).1)
        }
    }
}

/// The signals that mean something to us.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Waits until we are told to stop. Passes on what we are told to reload.
    async fn stop(&mut self, reloads: &mpsc::Sender<ReloadCall>) {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => break tracing::info!("stopping: SIGTERM"),
                _ = self.interrupt.recv() => break tracing::info!("stopping: SIGINT"),
                _ = self.hangup.recv() => {
                    tracing::info!("reload: SIGHUP");
                    // Full: one that has not read the file yet is among those that wait.
                    let _ = reloads.try_send(ReloadCall { dry_run: false, reply: None });
                }
            }
        }
    }
}

impl From<NodeTlsError> for DaemonError {
    fn from(error: NodeTlsError) -> Self {
        Self::Tls(error.to_string())
    }
}

fn os(what: &'static str) -> impl FnOnce(io::Error) -> DaemonError {
    move |source| DaemonError::Os { what, source }
}
