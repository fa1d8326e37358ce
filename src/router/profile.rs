//! Two ways to be a Pinecone router: to the letter of the reference, or with what makes a network quicker and costs no compatibility.
//!
//! Both speak the same frames and mix in one network. The strict profile is what measurements compare with; each rule can be switched
//! on its own, so that its worth can be measured too (`docs/routing-quality.md` has the numbers).

use super::Timings;

/// Where a router goes beyond the reference's rules. Each makes decisions of its own nodes alone; what is on the wire stays the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Rules {}

impl Rules {
    /// None of them: the reference's rules.
    pub const fn strict() -> Self {
        Self {}
    }

    /// All of them.
    pub const fn improved() -> Self {
        Self {}
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
