//! Answers requests of the control socket: some from the node at once, some when the node has found out.

use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::oneshot;

use super::Core;
use crate::addr::{Address, Destination};
use crate::config::PeerUri;
use crate::control::{Answer, Failure, FailureKind, Peers, Reply, Request, TargetText};
use crate::metrics::Snapshot;
use crate::node::status::Status;
use crate::node::{RequestId, Target};
use crate::shell::control_socket::Call;
use crate::shell::reload::ReloadCall;
use crate::shell::wanted::{MAX_WANTED, NotAdded};
use crate::time::{Duration, Instant};

impl Core {
    /// Answers a request, now or later.
    pub(super) fn answer(&mut self, (request, reply): Call, now: Instant) {
        let answer = match request {
            Request::Lookup { target, timeout } => {
                let id = self.node.lookup(destination(target), timeout, now);
                return self.ask(id, reply, target, timeout);
            }
            Request::Ping { target, timeout } => {
                let id = self.node.ping(target, timeout, now);
                return self.ask(id, reply, target, timeout);
            }
            Request::Trace { target, timeout } => {
                let id = self.node.trace(target, timeout, now);
                return self.ask(id, reply, target, timeout);
            }
            Request::Path { target, timeout } => {
                let id = self.node.path(target, timeout, now);
                return self.ask(id, reply, target, timeout);
            }
            Request::Status => {
                let refused = self.peerings.admission.refusals().map(|(reason, count)| (reason.to_owned(), count));
                let (refused, confinement) = (refused.collect(), Box::new(self.confinement.clone()));
                Ok(Answer::Status(Status { refused, confinement, ..self.node.status(now) }))
            }
            Request::Peers => Ok(Answer::Peers(Peers {
                peers: self.node.peers(now),
                waiting: self.wanted.waiting(|id| self.peerings.is_up(id), now),
            })),
            Request::Tree => Ok(Answer::Tree(self.node.tree())),
            Request::Snake => Ok(Answer::Snake(self.node.snake(now))),
            Request::Sessions => Ok(Answer::Sessions(self.node.sessions(now))),
            Request::Reload { dry_run } => return self.reload(dry_run, reply),
            // The control socket answers it, without us.
            Request::Watch => Ok(Answer::Done),
            Request::Metrics => Ok(Answer::Metrics(Box::new(self.snapshot(now)))),
            Request::Firewall => Ok(Answer::Firewall(self.node.firewall())),
            Request::FirewallExplain { source, protocol, port } => {
                Ok(Answer::Explanation(self.node.explain_firewall(source, protocol, port)))
            }
            Request::PeerAdd { uri } => self.add_peer(uri, now),
            Request::PeerRemove { uri } => self.remove_peer(&uri, now),
        };
        // Whoever asked may have gone.
        let _ = reply.send(answer);
    }

    /// The numbers that metrics are made of.
    fn snapshot(&self, now: Instant) -> Snapshot {
        let (connected, waiting) = self.wanted.count(|id| self.peerings.is_up(id));
        Snapshot {
            node: self.node.measures(now),
            refused: self.peerings.admission.all_refusals().map(|(reason, count)| (reason.to_owned(), count)).collect(),
            dialled_connected: connected,
            dialled_waiting: waiting,
        }
    }

    /// The node has the answer to a question, or gave it up.
    pub(super) fn answered(&mut self, id: RequestId, answer: Option<Answer>) {
        let Some((reply, nobody)) = self.questions.remove(&id) else { return };
        let _ = reply.send(answer.ok_or_else(|| Failure::new(FailureKind::Unreachable, nobody)));
    }

    fn ask(&mut self, id: RequestId, reply: oneshot::Sender<Reply>, target: Target, timeout: Duration) {
        let nobody = format!("nobody answered for {} within {} s", TargetText(target), timeout.as_secs_f64());
        self.questions.insert(id, (reply, nobody));
    }

    /// Reloads are done beside the core, which only takes what comes of them.
    fn reload(&self, dry_run: bool, reply: oneshot::Sender<Reply>) {
        let call = ReloadCall { dry_run, reply: Some(reply) };
        if let Err(TrySendError::Full(call) | TrySendError::Closed(call)) = self.reloads.try_send(call)
            && let Some(reply) = call.reply
        {
            let message = "several reloads are under way; try again when they are done";
            let _ = reply.send(Err(Failure::new(FailureKind::Busy, message)));
        }
    }

    fn add_peer(&mut self, uri: PeerUri, now: Instant) -> Reply {
        let text = uri.to_string();
        match self.wanted.add(uri, now) {
            Ok(()) => {
                tracing::info!("peer added: {text}");
                Ok(Answer::Done)
            }
            Err(NotAdded::AlreadyThere) => {
                Err(Failure::new(FailureKind::AlreadyThere, format!("{text} is one of our peers already")))
            }
            Err(NotAdded::Full) => {
                let message = format!("there are {MAX_WANTED} peers already; remove one first");
                Err(Failure::new(FailureKind::Other, message))
            }
        }
    }

    fn remove_peer(&mut self, uri: &PeerUri, now: Instant) -> Reply {
        let Some(peering) = self.wanted.remove(uri) else {
            let message = format!("{uri} is not one of the peers that we dial; `pineconectl peers` lists them");
            return Err(Failure::new(FailureKind::NotThere, message));
        };
        tracing::info!("peer removed: {uri}");
        if let Some(id) = peering {
            self.close(id, "the peer was removed", now);
        }
        Ok(Answer::Done)
    }
}

/// What a lookup asks for: a key stands for its node's address.
fn destination(target: Target) -> Destination {
    match target {
        Target::Address(destination) => destination,
        Target::Key(key) => Destination::Node(Address::of(&key)),
    }
}
