//! Reload: the configuration file read again and followed, whole or not at all.
//!
//! What can fail comes first and changes nothing: the file, what it names, and the listeners that it adds. Then the core takes the settings
//! in one turn, and the old listeners go. Peerings that are wanted as before, the interface and sessions do not notice.
//!
//! What needs a restart ([`Effect::Restart`]) is told and left as it is, so that the next reload tells it again.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};
use zeroize::Zeroizing;

use crate::admission::Limits;
use crate::config::changes::{self, Change, Effect};
use crate::config::{Config, SessionCipher};
use crate::control::{Answer, Failure, FailureKind, ReloadReport, Reply};
use crate::discovery::DiscoveryConfig;
use crate::dns::Responder;
use crate::keys::PublicKey;
use crate::rng::Rng;
use crate::shell::clock::Clock;
use crate::shell::config_file::{self, Source};
use crate::shell::core_loop::Accepted;
use crate::shell::core_loop::settings::{Apply, Settings};
use crate::shell::cpu::has_aes;
use crate::shell::listening::{Accepting, Listening, NotOpened, Opened};
use crate::shell::readiness::Manager;
use crate::shell::transport::ListenError;
use crate::shell::transport::tls::NodeTls;
use crate::shell::transport::underlay::Underlay;
use crate::shell::{confine, listening, logging, password_file, socket_file};

/// Reloads that wait for their turn. Nobody needs more than one; a flood of them is refused.
pub(crate) const QUEUE: usize = 4;

/// Somebody wants a reload, or only to know what it would do. Without an answer it is a signal's.
pub(crate) struct ReloadCall {
    /// Only look.
    pub(crate) dry_run: bool,
    /// Where the answer goes.
    pub(crate) reply: Option<oneshot::Sender<Reply>>,
}

/// How the daemon was told what to run with.
#[derive(Clone, Debug, Default)]
pub struct Startup {
    /// The file that was named on the command line.
    pub named: Option<PathBuf>,
    /// Whether the log's level was given outside the file, which goes before what the file says.
    pub level_is_given: bool,
}

/// Does reloads, one after the other. Owns the listeners.
pub(crate) struct Reloader {
    pub(crate) startup: Startup,
    /// What the daemon runs with.
    pub(crate) running: Config,
    pub(crate) listening: Listening,
    /// The listener for neighbours, while discovery is on.
    pub(crate) neighbours: Option<Accepting>,
    pub(crate) tls: Arc<NodeTls>,
    pub(crate) accepted: mpsc::Sender<Accepted>,
    pub(crate) core: mpsc::Sender<Apply>,
    pub(crate) own_key: PublicKey,
    /// The name of our interface, if there is one.
    pub(crate) own_interface: Option<String>,
    pub(crate) manager: Manager,
    pub(crate) rng: Rng,
    pub(crate) clock: Clock,
}

/// What the file says, and what it names, read.
struct Read {
    config: Config,
    source: Source,
    psk: Zeroizing<[u8; 32]>,
    group: u32,
}

impl Reloader {
    /// Until nobody can call any more.
    pub(crate) async fn run(mut self, mut calls: mpsc::Receiver<ReloadCall>) {
        while let Some(ReloadCall { dry_run, reply }) = calls.recv().await {
            if !dry_run {
                self.manager.reloading(self.clock.monotonic());
            }
            let result = self.reload(dry_run).await;
            if !dry_run {
                tell_log(&result);
                self.manager.tell("READY=1");
            }
            if let Some(reply) = reply {
                let _ = reply.send(result.map(Answer::Reload));
            }
        }
    }

    async fn reload(&mut self, dry_run: bool) -> Result<ReloadReport, Failure> {
        let Read { config, source, psk, group } = self.read().await?;
        let changes = changes::between(&self.running, &config);
        let mut warnings = config.warnings();
        let is_changed = |key: &str| changes.iter().any(|change| change.key == key);
        if self.startup.level_is_given && is_changed("log.level") {
            warnings.push("log.level: the level was given with --log-level or PINECONE_LOG, and that stays".to_owned());
        }
        let report =
            |warnings| ReloadReport { source: source.to_string(), dry_run, changes: changes.clone(), warnings };
        if dry_run {
            return Ok(report(warnings));
        }
        let target = changes::reloaded(&self.running, &config);
        let underlay = Arc::new(Underlay::new(&target));
        let opened = self.open(&target, &underlay)?;
        if is_changed("control.group") {
            let path = &self.running.control.socket;
            // The last that can fail, as it takes effect at once.
            std::os::unix::fs::chown(path, None, Some(group)).map_err(|error| {
                let path = path.display();
                unchanged(&format!(
                    "control.group: cannot give {path} to the group: {error}; the daemon's user has to be one of its members, \
                     or restart the daemon"
                ))
            })?;
        }
        let neighbours = self.open_for_neighbours(&target, &underlay);
        let settings = self.settings(&target, underlay, psk, neighbours.as_ref(), is_changed("firewall.inbound"));
        let (done_sender, done) = oneshot::channel();
        let stopping = |()| Failure::new(FailureKind::Stopping, "the daemon is stopping");
        self.core.send((Box::new(settings), done_sender)).await.map_err(|_| stopping(()))?;
        warnings.extend(done.await.map_err(|_| stopping(()))?);
        self.listening.replace(&target.peering.listen, opened, &self.accepted);
        self.neighbours = neighbours;
        if !self.startup.level_is_given && is_changed("log.level") {
            logging::set_level(&target.log.level);
        }
        self.running = target;
        Ok(report(warnings))
    }

    /// Reads the file and what it names. In a thread of its own: whoever may write the file may have put a pipe there.
    async fn read(&self) -> Result<Read, Failure> {
        let named = self.startup.named.clone();
        let read = move || -> Result<Read, String> {
            let (config, source) = config_file::load(named.as_deref()).map_err(|error| error.to_string())?;
            let psk = password_file::psk(&config.session).map_err(|error| error.to_string())?;
            let group = match config.control.group.as_deref() {
                None => nix::unistd::getegid().as_raw(),
                Some(name) => socket_file::group_id(name)
                    .map_err(|_| format!("control.group: this host has no group {name}; create it with `groupadd {name}`, or name another"))?,
            };
            Ok(Read { config, source, psk: Zeroizing::new(psk), group })
        };
        let outcome = tokio::task::spawn_blocking(read).await;
        let hinted = |error: String| {
            let hint = if self.running.service.confine { confine::hint(&error) } else { "" };
            unchanged(&format!("{error}{hint}"))
        };
        outcome.map_err(|error| hinted(error.to_string()))?.map_err(hinted)
    }

    fn open(&self, target: &Config, underlay: &Underlay) -> Result<Opened, Failure> {
        let opened = self.listening.open(&target.peering.listen, &self.tls, underlay);
        opened.map_err(|NotOpened { uri, error }| {
            let advice = match error {
                ListenError::InUse(_) => "; if it is this daemon, a restart moves the listener",
                ListenError::NotAllowed(_) => "; or restart the daemon",
                _ => "",
            };
            unchanged(&format!("peering.listen: {uri}: {error}{advice}"))
        })
    }

    /// The listener for neighbours: the one that there is, a new one, or none. Where it cannot be opened, discovery stays off, as at the start.
    fn open_for_neighbours(&mut self, target: &Config, underlay: &Underlay) -> Option<Accepting> {
        if !target.discovery.enabled {
            return None;
        }
        self.neighbours.take().or_else(|| listening::for_neighbours(&self.tls, underlay, &self.accepted))
    }

    fn settings(
        &mut self,
        target: &Config,
        underlay: Arc<Underlay>,
        psk: Zeroizing<[u8; 32]>,
        neighbours: Option<&Accepting>,
        firewall_changed: bool,
    ) -> Settings {
        let peering = &target.peering;
        let gone = self.running.peering.peers.iter().filter(|uri| !peering.peers.contains(uri)).cloned().collect();
        let port = neighbours.and_then(Accepting::port);
        let discovery = port
            .map(|port| (discovery_config(target, self.own_key, port, self.own_interface.clone()), self.rng.fork()));
        Settings {
            gone,
            peers: peering.peers.clone(),
            underlay,
            require_authenticated: peering.require_authenticated,
            allowed: peering.allowed_keys.clone(),
            limits: Limits { inbound: peering.max_inbound, per_source: peering.max_inbound_per_source },
            discovery,
            firewall: firewall_changed.then(|| target.firewall.inbound.clone()),
            psk,
            dns: target.dns.enabled.then(|| Responder::new(self.own_key, target.dns.names.clone())),
            aes: may_use_aes(target),
            source_routes: target.session.source_routes,
        }
    }
}

/// Whether sessions may agree on AES-256-GCM.
pub(crate) fn may_use_aes(config: &Config) -> bool {
    config.session.cipher == SessionCipher::Auto && has_aes()
}

/// What discovery is told; it listens on `port`.
pub(crate) fn discovery_config(
    config: &Config,
    own_key: PublicKey,
    port: u16,
    own_interface: Option<String>,
) -> DiscoveryConfig {
    DiscoveryConfig {
        own_key,
        port,
        interfaces: config.discovery.interfaces.clone(),
        rules: config.discovery.interface.clone(),
        allowed: config.peering.allowed_keys.lan.clone(),
        own_interface,
    }
}

fn unchanged(why: &str) -> Failure {
    Failure::new(FailureKind::BadConfig, format!("nothing was changed: {why}"))
}

fn tell_log(result: &Result<ReloadReport, Failure>) {
    let report = match result {
        Ok(report) => report,
        Err(failure) => return tracing::error!("reload: {failure}"),
    };
    if report.changes.is_empty() {
        tracing::info!("reload of {}: nothing is different", report.source);
    }
    for Change { key, what, effect } in &report.changes {
        match effect {
            Effect::Reload => tracing::info!("reload: {key}: {what}"),
            Effect::Restart => tracing::warn!("reload: {key}: {what}: takes effect at the next start only"),
        }
    }
    report.warnings.iter().for_each(|warning| tracing::warn!("reload: {warning}"));
}
