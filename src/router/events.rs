//! What the router has to tell its caller, bounded because repeated news replace older ones.

use std::collections::{BTreeMap, VecDeque};

use super::{PeerMisbehaved, Port, RouterEvent};
use crate::keys::PublicKey;
use crate::wire::tree::Root;

/// Most reports of wakeup broadcasts that wait. The caller fetches events after every input, and one input makes one
/// report.
const AWAKE: usize = 64;

/// Events that wait to be fetched.
#[derive(Debug, Default)]
pub(super) struct Events {
    misbehaved: BTreeMap<Port, PeerMisbehaved>,
    root_changed: bool,
    coordinates_changed: bool,
    awake: VecDeque<PublicKey>,
}

impl Events {
    pub(super) fn misbehaved(&mut self, port: Port, why: PeerMisbehaved) {
        self.misbehaved.insert(port, why);
    }

    pub(super) fn root_changed(&mut self) {
        self.root_changed = true;
    }

    pub(super) fn coordinates_changed(&mut self) {
        self.coordinates_changed = true;
    }

    pub(super) fn awake(&mut self, key: PublicKey) {
        if self.awake.len() >= AWAKE {
            self.awake.pop_front();
        }
        self.awake.push_back(key);
    }

    /// Forgets what concerns a peering that ended.
    pub(super) fn forget(&mut self, port: Port) {
        self.misbehaved.remove(&port);
    }

    /// The next event; `root` is the one that is followed at present.
    pub(super) fn pop(&mut self, root: Root) -> Option<RouterEvent> {
        if let Some((port, why)) = self.misbehaved.pop_first() {
            return Some(RouterEvent::PeerMisbehaved { port, why });
        }
        if std::mem::take(&mut self.root_changed) {
            return Some(RouterEvent::RootChanged(root));
        }
        if std::mem::take(&mut self.coordinates_changed) {
            return Some(RouterEvent::CoordinatesChanged);
        }
        self.awake.pop_front().map(RouterEvent::WakeupBroadcast)
    }
}
