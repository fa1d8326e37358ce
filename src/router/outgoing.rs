//! Protocol frames on their way out, bounded per port.
//!
//! An announcement is not queued but *owed*: it is made when it is fetched, so a storm towards a slow peer leaves one
//! announcement, the latest. Other frames wait in order; when there are too many the oldest goes, because its sender
//! repeats it every few seconds anyway and the later ones are more recent.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::Port;
use crate::buf::PacketBuf;

/// Most frames that wait per port. Bootstraps and broadcasts are small, but each occupies a buffer of 2 KiB, so this is
/// half a megabyte; it is also the bootstraps of 1,000 nodes over one second.
const DEPTH: usize = 256;

/// Something to send to a port.
#[derive(Debug)]
pub(super) enum Outgoing {
    /// Our present announcement.
    Announcement,
    /// A frame as it is.
    Frame(PacketBuf),
}

#[derive(Debug, Default)]
struct Queue {
    announcement: bool,
    frames: VecDeque<PacketBuf>,
}

/// The queues of all ports. Only those that hold something are in the map.
#[derive(Debug, Default)]
pub(super) struct Queues {
    queues: BTreeMap<Port, Queue>,
    /// Ports whose queue was empty and is not any more, until somebody asks.
    woken: BTreeSet<Port>,
}

impl Queues {
    /// Owes `port` our announcement.
    pub(super) fn announce(&mut self, port: Port) {
        self.queue(port).announcement = true;
    }

    /// Appends `frame`. Returns whether another one was dropped for it.
    #[must_use]
    pub(super) fn push(&mut self, port: Port, frame: PacketBuf) -> bool {
        let frames = &mut self.queue(port).frames;
        frames.push_back(frame);
        frames.len() > DEPTH && frames.pop_front().is_some()
    }

    /// The next thing to send to `port`, the announcement first: what follows may depend on it.
    pub(super) fn pop(&mut self, port: Port) -> Option<Outgoing> {
        let queue = self.queues.get_mut(&port)?;
        let next = if std::mem::take(&mut queue.announcement) {
            Some(Outgoing::Announcement)
        } else {
            queue.frames.pop_front().map(Outgoing::Frame)
        };
        if queue.frames.is_empty() {
            self.queues.remove(&port);
            self.woken.remove(&port);
        }
        next
    }

    /// The lowest port for which something waits.
    pub(super) fn first_waiting(&self) -> Option<Port> {
        self.queues.first_key_value().map(|(port, _)| *port)
    }

    /// A port whose queue filled since it was last empty; each is named once.
    pub(super) fn pop_woken(&mut self) -> Option<Port> {
        self.woken.pop_first()
    }

    /// Forgets what waits for `port`; returns how many frames that were.
    pub(super) fn forget(&mut self, port: Port) -> usize {
        self.woken.remove(&port);
        self.queues.remove(&port).map_or(0, |queue| queue.frames.len())
    }

    /// Frames that wait for `port`, an owed announcement included.
    #[cfg(test)]
    pub(super) fn len(&self, port: Port) -> usize {
        self.queues.get(&port).map_or(0, |queue| usize::from(queue.announcement) + queue.frames.len())
    }

    fn queue(&mut self, port: Port) -> &mut Queue {
        self.queues.entry(port).or_insert_with(|| {
            self.woken.insert(port);
            Queue::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(n: usize) -> PacketBuf {
        PacketBuf::from(&n.to_be_bytes()[..])
    }

    #[test]
    fn many_owed_announcements_are_one_and_go_first() {
        let mut queues = Queues::default();
        assert!(!queues.push(1, frame(7)));
        queues.announce(1);
        queues.announce(1);
        assert!(matches!(queues.pop(1), Some(Outgoing::Announcement)));
        assert!(matches!(queues.pop(1), Some(Outgoing::Frame(bytes)) if bytes[..] == frame(7)[..]));
        assert!(queues.pop(1).is_none());
        assert!(queues.first_waiting().is_none());
    }

    #[test]
    fn a_full_queue_drops_its_oldest_frame() {
        let mut queues = Queues::default();
        let dropped = (0..DEPTH + 3).filter(|n| queues.push(2, frame(*n))).count();
        assert_eq!((dropped, queues.len(2)), (3, DEPTH));
        assert!(matches!(queues.pop(2), Some(Outgoing::Frame(bytes)) if bytes[..] == frame(3)[..]));
    }

    #[test]
    fn a_port_is_woken_once_until_its_queue_was_empty() {
        let mut queues = Queues::default();
        queues.announce(3);
        let _ = queues.push(3, frame(1));
        assert_eq!((queues.pop_woken(), queues.pop_woken()), (Some(3), None));
        let _ = (queues.pop(3), queues.pop(3));
        queues.announce(3);
        assert_eq!(queues.pop_woken(), Some(3));
        assert_eq!(queues.forget(3), 0);
        assert_eq!(queues.first_waiting(), None);
    }
}
