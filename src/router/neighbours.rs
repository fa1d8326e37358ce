//! The peers on our root by their coordinates: which of them is nearest to a place in the tree.
//!
//! A frame by coordinates asks this at every node, so it must not cost more at a node with many peers. The distance to a peer
//! is the sum of both depths less twice what their coordinates have in common (specification §5), and in the order of the coordinates those
//! that have a beginning in common stand together:
//!
//! ```text
//! [1]        [1 4]      [1 4 2]    [1 7 3]    [6 1]        asked for: [1 4 9]
//! |---------------- begin with [] ---------------|        shallowest: [1],   at most 1 + 3 - 0 away
//! |----------- begin with [1] ---------|                  shallowest: [1],   at most 1 + 3 - 2 away
//!            |- begin with [1 4] -|                       shallowest: [1 4], at most 2 + 3 - 4 away: the nearest
//! ```
//!
//! So one goes along the destination, from where it parts from some of the peers to the next such place; each is found by binary search,
//! and the shallowest of the peers from here to there is looked up in a table made beforehand (a *sparse table*: the best of every run
//! whose length is a power of two). That takes O(forks × log peers), where forks are the places at which the peers' branches part: at
//! most the depth of the tree. The table is made anew when an announcement changes what is in it.

use super::Port;
use crate::wire::coords::Coords;

/// Depth and, among equals, place in the order of preference: the lowest is to be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Merit {
    depth: usize,
    preference: usize,
}

/// Peers with their coordinates.
#[derive(Debug, Default)]
pub(super) struct Neighbours {
    /// By coordinates, the preferred first among equals.
    sorted: Vec<(Coords, Merit)>,
    /// The preferred first.
    ports: Vec<Port>,
    /// Where each peer stands in `sorted`, by its port.
    places: Vec<(Port, usize)>,
    /// The best of `sorted[i..i + 2ᵏ]` at `[k][i]`.
    best: Vec<Vec<Merit>>,
}

impl Neighbours {
    /// Takes peers in the order of preference.
    pub(super) fn new(preferred: impl IntoIterator<Item = (Port, Coords)>) -> Self {
        let mut ports = Vec::new();
        let mut sorted = Vec::new();
        for (preference, (port, coords)) in preferred.into_iter().enumerate() {
            ports.push(port);
            let depth = coords.len();
            sorted.push((coords, Merit { depth, preference }));
        }
        sorted.sort_unstable();
        let port_at = |(place, (_, merit)): (usize, &(Coords, Merit))| (ports[merit.preference], place);
        let mut places: Vec<_> = sorted.iter().enumerate().map(port_at).collect();
        places.sort_unstable();
        let best = sparse_table(sorted.iter().map(|(_, merit)| *merit).collect());
        Self { sorted, ports, places, best }
    }

    /// The peer that is nearest to `to`, with its distance in hops; of several the one that is preferred. Never the peer `except`.
    pub(super) fn nearest(&self, to: &[u64], except: Port) -> Option<(usize, Port)> {
        let except = self.place(except);
        let (mut start, mut end) = (0, self.sorted.len());
        let mut nearest: Option<(usize, usize)> = None;
        while let Some(run) = self.sorted.get(start..end).filter(|run| !run.is_empty()) {
            let common = common(run[0].0.as_slice(), run[run.len() - 1].0.as_slice());
            let shared = self::common(&run[0].0.as_slice()[..common], to);
            if let Some(Merit { depth, preference }) = self.best_of(start, end, except) {
                // Too much for those that have more in common with `to`; they come again further on.
                let found = (depth + to.len() - 2 * shared, preference);
                nearest = Some(nearest.map_or(found, |before| before.min(found)));
            }
            if shared < common || shared == to.len() {
                break;
            }
            // Those that end here come before those that go on.
            let at = |coords: &Coords| coords.as_slice().get(shared).copied();
            let before = run.partition_point(|(coords, _)| at(coords) < Some(to[shared]));
            let same = run[before..].partition_point(|(coords, _)| at(coords) == Some(to[shared]));
            (start, end) = (start + before, start + before + same);
        }
        nearest.map(|(distance, preference)| (distance, self.ports[preference]))
    }

    /// The peer at `to`, the preferred one if there are several. Never the peer `except`.
    pub(super) fn at(&self, to: &[u64], except: Port) -> Option<Port> {
        let start = self.sorted.partition_point(|(coords, _)| coords.as_slice() < to);
        let here = self.sorted[start..].iter().take_while(|(coords, _)| coords.as_slice() == to);
        here.map(|(_, merit)| self.ports[merit.preference]).find(|port| *port != except)
    }

    /// Where the peer stands in the order of the coordinates.
    fn place(&self, port: Port) -> Option<usize> {
        let found = self.places.binary_search_by_key(&port, |(port, _)| *port).ok()?;
        Some(self.places[found].1)
    }

    /// The best from `start` up to `end`, without the one at `except`.
    fn best_of(&self, start: usize, end: usize, except: Option<usize>) -> Option<Merit> {
        match except.filter(|place| (start..end).contains(place)) {
            None => self.best_in(start, end),
            Some(place) => {
                let parts = [self.best_in(start, place), self.best_in(place + 1, end)];
                parts.into_iter().flatten().min()
            }
        }
    }

    fn best_in(&self, start: usize, end: usize) -> Option<Merit> {
        // Two runs whose length is a power of two cover every other; that they overlap does no harm.
        let power = (end - start).checked_ilog2()?;
        let row = &self.best[power as usize];
        Some(row[start].min(row[end - (1 << power)]))
    }

    /// Everyone, as (port, coordinates).
    #[cfg(test)]
    pub(super) fn iter(&self) -> impl Iterator<Item = (Port, &Coords)> {
        self.sorted.iter().map(|(coords, merit)| (self.ports[merit.preference], coords))
    }
}

/// How many of the first ports are the same.
fn common(a: &[u64], b: &[u64]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

/// The best of every run whose length is a power of two.
fn sparse_table(single: Vec<Merit>) -> Vec<Vec<Merit>> {
    let mut rows = vec![single];
    let mut half = 1;
    while let Some(last) = rows.last().filter(|last| last.len() > half) {
        rows.push(last.iter().zip(&last[half..]).map(|(left, right)| *left.min(right)).collect());
        half *= 2;
    }
    rows
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What the answers have to be: each peer is looked at.
    fn by_scan(peers: &[(Port, Coords)], to: &[u64], except: Port) -> (Option<(usize, Port)>, Option<Port>) {
        let others = || peers.iter().filter(|(port, _)| *port != except);
        let nearest =
            others().map(|(port, coords)| (coords.distance_to(to), *port)).min_by_key(|(distance, _)| *distance);
        (nearest, others().find(|(_, coords)| coords.as_slice() == to).map(|(port, _)| *port))
    }

    /// Few ports, so that branches are shared.
    fn coords() -> impl Strategy<Value = Vec<u64>> {
        prop::collection::vec(1_u64..4, 0..7)
    }

    proptest! {
        #[test]
        fn the_nearest_peer_is_the_one_that_a_look_at_each_of_them_finds(
            peers in prop::collection::vec(coords(), 0..40),
            to in coords(),
            except in 0..42_u16,
        ) {
            let peers: Vec<_> = (1..).zip(peers.into_iter().map(Coords::new)).collect();
            let neighbours = Neighbours::new(peers.clone());
            let found = (neighbours.nearest(&to, except), neighbours.at(&to, except));
            prop_assert_eq!(found, by_scan(&peers, &to, except));
        }
    }

    #[test]
    fn of_peers_at_the_same_distance_the_preferred_one_is_taken() {
        let place = |ports: &[u64]| Coords::new(ports.to_vec());
        let neighbours = Neighbours::new([(9, place(&[2])), (3, place(&[1])), (5, place(&[2]))]);
        assert_eq!(neighbours.nearest(&[4], 0), Some((2, 9)));
        assert_eq!(neighbours.nearest(&[2, 1], 9), Some((1, 5)));
        assert_eq!((neighbours.at(&[2], 0), neighbours.at(&[2], 9), neighbours.at(&[3], 0)), (Some(9), Some(5), None));
    }
}
