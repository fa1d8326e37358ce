//! Two ways to be a Pinecone router: to the letter of the reference, or with what makes a network quicker and costs no compatibility.
//!
//! Both speak the same frames and mix in one network. The strict profile is what measurements compare with; each rule can be switched
//! on its own, so that its worth can be measured too (`docs/routing-quality.md` has the numbers).

use super::Timings;
use crate::wire::extensions::Extensions;

/// Where a router goes beyond the reference's rules. Each makes decisions of its own nodes alone, and what a plain
/// Pinecone node gets to see stays the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Rules {
    /// A bootstrap that went by is handed on when a nearer successor of its key shows up, and when the peering that it left by is lost.
    /// Where networks meet, two keys that pass one node are joined at once instead of one interval later for each key between them.
    pub hand_over: bool,
    /// A root that raises its sequence is still the same root: bootstraps, coordinates and neighbours stay good.
    pub one_root: bool,
    /// A node whose parent moves goes along if that cannot make a loop, and takes a second parent at once that is no deeper than it ever
    /// was under this root, instead of leaving the tree for a second.
    pub second_parent: bool,
    /// An announcement that says what its sender said last is no news. The reference takes one from its parent for a sign that the parent
    /// hangs below it, and a node that follows its parent's moves would pass it on to all, again and again.
    pub no_repeats: bool,
    /// A root that comes and goes has to wait, longer each time, and what many changes in a row call for is spaced out.
    pub damping: bool,
    /// Wakeup broadcasts are hints: of those that arrive in a burst only the first are checked, remembered and passed on.
    pub few_hints: bool,
    /// Who loses a peering tells the nodes whose routes went through it, as far as they announced to understand that: see
    /// [`Extensions::ROUTE_NOTICES`].
    pub notices: bool,
    /// Of several peerings with one node the one with the lowest priority carries, and when one of them ends another inherits its routes.
    pub siblings: bool,
    /// Nodes that do not want to carry for others are left out where there is another way.
    pub transit: bool,
    /// Frames can say themselves which peerings they take, as far as those at both ends announced to understand that: see
    /// [`Extensions::SOURCE_ROUTES`].
    pub source_routes: bool,
}

impl Rules {
    /// None of them: the reference's rules.
    pub const fn strict() -> Self {
        Self {
            hand_over: false,
            one_root: false,
            second_parent: false,
            no_repeats: false,
            damping: false,
            few_hints: false,
            notices: false,
            siblings: false,
            transit: false,
            source_routes: false,
        }
    }

    /// All of them.
    pub const fn improved() -> Self {
        Self {
            hand_over: true,
            one_root: true,
            second_parent: true,
            no_repeats: true,
            damping: true,
            few_hints: true,
            notices: true,
            siblings: true,
            transit: true,
            source_routes: true,
        }
    }
}

impl Rules {
    /// What peers have to be told that we understand.
    pub const fn extensions(&self) -> Extensions {
        let notices = if self.notices { Extensions::ROUTE_NOTICES } else { Extensions::NONE };
        notices.and(if self.source_routes { Extensions::SOURCE_ROUTES } else { Extensions::NONE })
    }
}

impl Default for Rules {
    fn default() -> Self {
        Self::improved()
    }
}

/// Rules and intervals that go together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Profile {
    /// What is decided otherwise than at the reference.
    pub rules: Rules,
    /// When things are done.
    pub timings: Timings,
}

impl Profile {
    /// Exactly the reference's rules and timers.
    pub const fn strict() -> Self {
        Self { rules: Rules::strict(), timings: Timings::reference() }
    }

    /// What the daemon runs.
    pub const fn improved() -> Self {
        Self { rules: Rules::improved(), timings: Timings::eager() }
    }
}

impl Default for Profile {
    fn default() -> Self {
        Self::improved()
    }
}
