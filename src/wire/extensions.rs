//! What nodes of ours understand beyond plain Pinecone, as their hellos say it.
//!
//! Extension frames have types from 0x10 up and go only to peers that announced them. A plain Pinecone node sends zeros and ignores ours.

/// The version of the extension bits that we announce. Later versions may add bits, but none means something else than before.
const VERSION: u8 = 1;

/// A set of extensions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extensions(u16);

impl Extensions {
    /// Plain Pinecone.
    pub const NONE: Self = Self(0);
    /// [`RouteNotice`](super::notice::RouteNotice) frames.
    pub const ROUTE_NOTICES: Self = Self(1);
    /// [`LinkMessage`](super::proof::LinkMessage) frames: both sides prove their keys before anything else counts.
    pub const LINK_PROOF: Self = Self(2);
    /// Policies of transit are understood, bit 4; the two that follow say which one the node has, if it is not that of every node.
    pub const TRANSIT: Self = Self(1 << 4);
    /// The node carries nothing for others.
    pub const NEVER_TRANSIT: Self = Self(1 << 5);
    /// The node carries for others where there is no other way.
    pub const AVOID_TRANSIT: Self = Self(1 << 6);
    /// [`Route`](super::route) frames: path requests, and frames with the hops that they are to take.
    pub const SOURCE_ROUTES: Self = Self(8);
    /// Bits that mean something to us.
    const KNOWN: u16 = Self::ROUTE_NOTICES.0
        | Self::LINK_PROOF.0
        | Self::SOURCE_ROUTES.0
        | Self::TRANSIT.0
        | Self::NEVER_TRANSIT.0
        | Self::AVOID_TRANSIT.0;

    /// What a hello announces with this version and these bits. Bits that we do not know are left out.
    pub const fn announced(version: u8, bits: u16) -> Self {
        if version == 0 { Self::NONE } else { Self(bits & Self::KNOWN) }
    }

    /// The version to announce them with: 0 if there are none.
    pub const fn version(self) -> u8 {
        if self.0 == 0 { 0 } else { VERSION }
    }

    /// The bits to announce them with.
    pub const fn bits(self) -> u16 {
        self.0
    }

    /// These and `others`.
    pub const fn and(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }

    /// Whether all of `others` are among them.
    pub const fn contain(self, others: Self) -> bool {
        self.0 & others.0 == others.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_announced_is_what_is_understood() {
        for extensions in
            [Extensions::NONE, Extensions::ROUTE_NOTICES, Extensions::ROUTE_NOTICES.and(Extensions::LINK_PROOF)]
        {
            assert_eq!(Extensions::announced(extensions.version(), extensions.bits()), extensions);
        }
        assert!(Extensions::ROUTE_NOTICES.contain(Extensions::NONE));
        assert!(!Extensions::NONE.contain(Extensions::ROUTE_NOTICES));
    }

    #[test]
    fn version_0_has_no_extensions_and_unknown_bits_are_none() {
        assert_eq!(Extensions::announced(0, 0xffff), Extensions::NONE);
        assert_eq!(Extensions::announced(1, !Extensions::KNOWN), Extensions::NONE);
        assert_eq!(Extensions::announced(2, 0xffff).bits(), Extensions::KNOWN);
    }
}
