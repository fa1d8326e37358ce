//! All sessions of a node: found by key, by deadline, and by who is to go when there are too many.
//!
//! Three classes have their own order of age, so that no stranger can push out what works:
//!
//! * *answered*: we answered an initiation, and nothing shows yet that it was not a replay. Only other such entries make room for one.
//! * *calling*: somebody here asked for it. Makes room by the former, then by its own.
//! * *established*: keys were confirmed at some time. Makes room for another one if it was not used lately.
//!
//! The first two share a quarter of the limit.

use std::collections::{BTreeMap, BTreeSet};

use super::entry::{ACTIVE_FOR, Session};
use super::shared::Slot;
use super::timers::FAR_FUTURE;
use crate::keys::PublicKey;
use crate::time::{Duration, Instant};

/// How exact the order of age is: it is not rewritten for every packet.
const AGE_GRAIN: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    Answered,
    Calling,
    Established,
}

impl Class {
    fn of(session: &Session) -> Self {
        match session {
            Session { confirmed: true, .. } => Self::Established,
            Session { handshake: Some(_), .. } | Session { owes_down: true, .. } => Self::Calling,
            _ => Self::Answered,
        }
    }
}

struct Entry {
    session: Session,
    /// How the entry is filed: under which deadline, in which class, with which age.
    deadline: Instant,
    class: Class,
    used: Instant,
}

/// The sessions.
#[derive(Default)]
pub(super) struct Table {
    entries: Vec<Option<Box<Entry>>>,
    free: Vec<Slot>,
    by_key: BTreeMap<PublicKey, Slot>,
    deadlines: BTreeSet<(Instant, Slot)>,
    by_age: [BTreeSet<(Instant, Slot)>; 3],
    most_pending: usize,
    most_established: usize,
}

impl Table {
    /// Memory of the entries and their indexes, in bytes: a B-tree's nodes are two thirds full on average.
    pub(super) fn bytes(&self) -> usize {
        const INDEXES: usize = size_of::<(PublicKey, Slot)>() + 2 * size_of::<(Instant, Slot)>();
        self.by_key.len() * (size_of::<Entry>() + INDEXES * 3 / 2)
    }

    /// For at most `limit` sessions; at least two.
    pub(super) fn new(limit: usize) -> Self {
        let most_pending = (limit / 4).max(1);
        Self { most_pending, most_established: limit.saturating_sub(most_pending).max(1), ..Self::default() }
    }

    pub(super) fn len(&self) -> usize {
        self.by_key.len()
    }

    /// All that are taken.
    pub(super) fn slots(&self) -> Vec<Slot> {
        self.by_key.values().copied().collect()
    }

    pub(super) fn find(&self, key: &PublicKey) -> Option<Slot> {
        self.by_key.get(key).copied()
    }

    pub(super) fn get(&self, slot: Slot) -> Option<&Session> {
        self.entries.get(slot as usize)?.as_deref().map(|entry| &entry.session)
    }

    pub(super) fn get_mut(&mut self, slot: Slot) -> Option<&mut Session> {
        self.entries.get_mut(slot as usize)?.as_deref_mut().map(|entry| &mut entry.session)
    }

    /// The sessions in the order of their keys.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Session> {
        self.by_key.values().filter_map(|slot| self.get(*slot))
    }

    /// Files a session that `make` builds for its slot. Room has to be there.
    pub(super) fn insert(&mut self, make: impl FnOnce(Slot) -> Session) -> Slot {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.entries.push(None);
            Slot::try_from(self.entries.len() - 1).unwrap_or(Slot::MAX)
        });
        let session = make(slot);
        let (class, used) = (Class::of(&session), session.used);
        self.by_key.insert(session.peer.key, slot);
        self.by_age[class as usize].insert((used, slot));
        self.deadlines.insert((FAR_FUTURE, slot));
        if let Some(place) = self.entries.get_mut(slot as usize) {
            *place = Some(Box::new(Entry { session, deadline: FAR_FUTURE, class, used }));
        }
        slot
    }

    /// Takes a session out. Its indexes are for the caller to release.
    pub(super) fn remove(&mut self, slot: Slot) -> Option<Session> {
        let entry = self.entries.get_mut(slot as usize)?.take()?;
        self.free.push(slot);
        self.by_key.remove(&entry.session.peer.key);
        self.by_age[entry.class as usize].remove(&(entry.used, slot));
        self.deadlines.remove(&(entry.deadline, slot));
        Some(entry.session)
    }

    /// Who has to go before another session can be filed that somebody here asked for: `Ok(None)` if nobody.
    pub(super) fn victim_for_call(&self) -> Option<Slot> {
        if self.pending() < self.most_pending {
            return None;
        }
        self.oldest(Class::Answered).or_else(|| self.oldest(Class::Calling))
    }

    /// The same for an initiation that we want to answer.
    ///
    /// # Errors
    /// [`Full`] if only sessions that are worth more would make room.
    pub(super) fn victim_for_answer(&self) -> Result<Option<Slot>, Full> {
        if self.pending() < self.most_pending {
            return Ok(None);
        }
        self.oldest(Class::Answered).map(Some).ok_or(Full)
    }

    /// Who has to go because there are too many established sessions since `newcomer` is one: the one that was used least
    /// lately or, if all are in use and nobody here asked for it, the newcomer itself.
    pub(super) fn victim_of(&self, newcomer: Slot, asked_for: bool, now: Instant) -> Option<Slot> {
        let established = &self.by_age[Class::Established as usize];
        if established.len() <= self.most_established {
            return None;
        }
        let (used, oldest) = *established.iter().find(|(_, slot)| *slot != newcomer)?;
        if asked_for || used.has_passed(ACTIVE_FOR, now) { Some(oldest) } else { Some(newcomer) }
    }

    /// Established sessions that may have been used since `since`.
    pub(super) fn used_since(&self, since: Instant) -> Vec<Slot> {
        let from = since - AGE_GRAIN;
        self.by_age[Class::Established as usize].range((from, 0)..).map(|(_, slot)| *slot).collect()
    }

    /// The deadline that comes first.
    pub(super) fn first_deadline(&self) -> Option<(Instant, Slot)> {
        self.deadlines.first().copied()
    }

    /// Files a session again after anything may have changed. Returns whether it became an established one.
    pub(super) fn settle(&mut self, slot: Slot, deadline: Instant) -> bool {
        let Some(entry) = self.entries.get_mut(slot as usize).and_then(Option::as_deref_mut) else { return false };
        entry.session.unsettled = false;
        entry.session.wake = FAR_FUTURE;
        refile(&mut self.deadlines, slot, &mut entry.deadline, deadline);
        let (class, used) = (Class::of(&entry.session), entry.session.used);
        let became_established = class == Class::Established && entry.class != class;
        self.by_age[entry.class as usize].remove(&(entry.used, slot));
        self.by_age[class as usize].insert((used, slot));
        (entry.class, entry.used) = (class, used);
        became_established
    }

    /// Files a session again after a packet: the deadline only if it is earlier, the age only if it is much younger.
    pub(super) fn touch(&mut self, slot: Slot) {
        let Some(entry) = self.entries.get_mut(slot as usize).and_then(Option::as_deref_mut) else { return };
        if entry.session.wake < entry.deadline {
            let wake = std::mem::replace(&mut entry.session.wake, FAR_FUTURE);
            refile(&mut self.deadlines, slot, &mut entry.deadline, wake);
        }
        if entry.used.has_passed(AGE_GRAIN, entry.session.used) {
            let used = entry.session.used;
            refile(&mut self.by_age[entry.class as usize], slot, &mut entry.used, used);
        }
    }

    fn pending(&self) -> usize {
        self.by_age[Class::Answered as usize].len() + self.by_age[Class::Calling as usize].len()
    }

    fn oldest(&self, class: Class) -> Option<Slot> {
        self.by_age[class as usize].first().map(|(_, slot)| *slot)
    }
}

/// There is no room for another session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Full;

fn refile(order: &mut BTreeSet<(Instant, Slot)>, slot: Slot, filed: &mut Instant, at: Instant) {
    if *filed != at {
        order.remove(&(*filed, slot));
        order.insert((at, slot));
        *filed = at;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::{Keypair, Seed};
    use crate::session::handshake::Peer;

    fn at(seconds: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(seconds)
    }

    fn insert(table: &mut Table, n: u8, class: Class, used: Instant) -> Slot {
        let peer = Peer::new(Keypair::from_seed(&Seed([n; 32])).public()).unwrap();
        table.insert(|slot| {
            let mut session = Session::new(peer, slot, used);
            session.confirmed = class == Class::Established;
            session.owes_down = class == Class::Calling;
            session
        })
    }

    #[test]
    fn an_answered_initiation_pushes_out_nothing_but_its_like() {
        let mut table = Table::new(8);
        insert(&mut table, 1, Class::Established, at(0));
        let calling = insert(&mut table, 2, Class::Calling, at(0));
        assert_eq!(table.victim_for_answer(), Ok(None));
        let answered = insert(&mut table, 3, Class::Answered, at(1));
        assert_eq!(table.victim_for_answer(), Ok(Some(answered)));
        assert_eq!(table.victim_for_call(), Some(answered));
        table.remove(answered);
        insert(&mut table, 4, Class::Calling, at(1));
        assert_eq!(table.victim_for_answer(), Err(Full));
        assert_eq!(table.victim_for_call(), Some(calling));
    }

    #[test]
    fn of_too_many_established_sessions_the_longest_idle_goes_and_an_active_one_only_if_we_asked() {
        let mut table = Table::new(4);
        let slots: Vec<Slot> = (1..=4).map(|n| insert(&mut table, n, Class::Established, at(u64::from(n)))).collect();
        assert_eq!(table.victim_of(slots[3], false, at(20)), Some(slots[0]));
        assert_eq!(table.victim_of(slots[3], false, at(5)), Some(slots[3]));
        assert_eq!(table.victim_of(slots[3], true, at(5)), Some(slots[0]));
        table.remove(slots[1]);
        assert_eq!(table.victim_of(slots[3], false, at(20)), None);
    }

    #[test]
    fn a_session_is_filed_by_its_deadline_age_and_class_and_leaves_nothing_behind() {
        let mut table = Table::new(8);
        let slot = insert(&mut table, 1, Class::Calling, at(0));
        assert!(!table.settle(slot, at(50)));
        table.get_mut(slot).unwrap().confirmed = true;
        assert!(table.settle(slot, at(60)));
        assert!(!table.settle(slot, at(60)));
        let session = table.get_mut(slot).unwrap();
        session.arm(Some(at(10)));
        session.used = at(30);
        table.touch(slot);
        assert_eq!(table.first_deadline(), Some((at(10), slot)));
        assert_eq!(table.used_since(at(30)), [slot]);
        assert!(table.used_since(at(32)).is_empty());
        assert!(table.remove(slot).is_some() && table.remove(slot).is_none());
        assert_eq!((table.len(), table.first_deadline(), table.used_since(at(0)).len()), (0, None, 0));
        assert_eq!(insert(&mut table, 2, Class::Answered, at(0)), slot);
    }
}
