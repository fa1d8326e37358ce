//! Tells those who watch what happens.

use std::sync::Arc;

use super::{Core, NodeEvent};
use crate::addr::Address;
use crate::control::events::{Event, Happened};

impl Core {
    /// Tells all who watch. Costs nothing while nobody does, and never waits for anybody.
    pub(super) fn tell(&self, event: Event) {
        if self.watchers.receiver_count() > 0 {
            let time = self.clock.unix_now().0 as f64 / 1e3;
            // Nobody there any more: nobody to tell.
            let _ = self.watchers.send(Arc::new(Happened { time, event }));
        }
    }

    /// Tells what of a node's events is for people.
    pub(super) fn tell_watchers(&self, event: &NodeEvent) {
        if self.watchers.receiver_count() == 0 {
            return;
        }
        let address = |key| Address::of(key).to_string();
        match event {
            NodeEvent::RootChanged(root) => {
                self.tell(Event::RootChanged { root: *root });
                self.tell(self.coordinates());
            }
            NodeEvent::CoordinatesChanged => self.tell(self.coordinates()),
            NodeEvent::SessionUp(key) => self.tell(Event::SessionUp { key: *key, address: address(key) }),
            NodeEvent::SessionDown(key) => self.tell(Event::SessionDown { key: *key, address: address(key) }),
            NodeEvent::ClosePeer { .. }
            | NodeEvent::Lookup(..)
            | NodeEvent::Ping(..)
            | NodeEvent::Trace(..)
            | NodeEvent::Path(..) => {}
        }
    }

    fn coordinates(&self) -> Event {
        Event::CoordinatesChanged { coordinates: self.node.router().coords().as_slice().to_vec() }
    }
}
