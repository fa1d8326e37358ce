//! Every way a packet or frame can end other than by delivery, and its counter.
//!
//! Nothing is dropped without a reason: code that lets a packet go returns or counts one of these. The label is what metrics
//! and `pineconectl status` show.

macro_rules! drop_reasons {
    ($($(#[$doc:meta])* $name:ident = $label:literal,)*) => {
        /// Why a packet or frame was dropped.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum DropReason { $($(#[$doc])* $name,)* }

        impl DropReason {
            /// All reasons, in the order of their declaration.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The label of the counter: lower case, words joined by `_`.
            pub const fn label(self) -> &'static str {
                match self { $(Self::$name => $label,)* }
            }
        }
    };
}

drop_reasons! {
    // From the host's side.
    /// The TUN handed us something that is not a well-formed IPv6 packet.
    MalformedPacket = "malformed_packet",
    /// A packet from the host whose source is neither our address nor in our /64.
    ForeignSource = "foreign_source",
    /// A packet from the host to an address outside the overlay, or a multicast one.
    NotOverlay = "not_overlay",
    /// The hop limit is used up.
    HopLimit = "hop_limit",
    /// Larger than what fits a frame or than the other side's interface takes.
    TooBig = "too_big",
    /// Nobody answered for the address in time.
    NoRouteToKey = "no_route_to_key",
    /// Waited for an address or a session until newer packets or the age limit displaced it.
    WaitingRoom = "waiting_room",
    /// The firewall does not allow it in.
    FirewallInbound = "firewall_inbound",
    // Frames of peers.
    /// A frame, or what it carries, cannot be decoded.
    MalformedFrame = "malformed_frame",
    /// A datagram of a peering that is no frame, no fragment of one, or contradicts another fragment.
    BadFragment = "bad_fragment",
    /// Fragments of a frame did not come, or not in time.
    FragmentsMissing = "fragments_missing",
    /// Datagrams came faster than they were taken.
    DatagramOverflow = "datagram_overflow",
    /// A frame of a type that we do not know.
    UnknownFrame = "unknown_frame",
    /// A bootstrap whose signature is wrong.
    BadSignature = "bad_signature",
    /// A bootstrap or broadcast of another root.
    OtherRoot = "other_root",
    /// A bootstrap or broadcast that is not newer than what we have.
    Stale = "stale",
    /// Our own bootstrap or broadcast came back.
    OwnReturned = "own_returned",
    /// The peer spent its budget of signature checks.
    CheckBudget = "check_budget",
    /// A table is full, and the peer has its fair share of it.
    TableFull = "table_full",
    // Forwarding.
    /// No next hop by coordinates or by key.
    NoNextHop = "no_next_hop",
    /// The next hop is where the frame came from.
    BackToSender = "back_to_sender",
    /// The next hop's watermark is worse than the frame's: it would loop.
    WorseWatermark = "worse_watermark",
    /// It is for others, and node.transit says that we carry nothing for them.
    TransitRefused = "transit_refused",
    /// The frame would outgrow 65,535 bytes.
    FrameOverflow = "frame_overflow",
    /// The frame's hop limit is used up.
    FrameHopLimit = "frame_hop_limit",
    /// The way out of a source-routed frame is broken and its way back too, or that of a path request is.
    RouteBroken = "route_broken",
    /// A sealed frame with a label that we did not hand out, or not lately.
    UnknownLabel = "unknown_label",
    /// A path request, or something else about routes, while session.source_routes is false.
    RoutesRefused = "routes_refused",
    /// The peering's queue is full.
    QueueFull = "queue_full",
    /// The peering went away with the frame in its queue.
    PeeringClosed = "peering_closed",
    /// The frame ended here by closeness, and what it carries is only for the key itself.
    NotForUs = "not_for_us",
    // Sessions.
    /// A payload of a type that we do not know, or a malformed session message.
    MalformedMessage = "malformed_message",
    /// A data message of a session that we do not have.
    UnknownSession = "unknown_session",
    /// Authentication failed.
    Forged = "forged",
    /// The counter was seen before or is too old.
    Replayed = "replayed",
    /// A session, a table of sessions or a rate is at its limit.
    SessionLimit = "session_limit",
    /// The packet inside does not come from an address of its sender, or is not for us.
    SpoofedSource = "spoofed_source",
    /// A lookup answer that nobody asked for, or with a wrong signature.
    BadAnswer = "bad_answer",
    /// Lookups, resets, cookies, route notices or path requests beyond their rate.
    RateLimited = "rate_limited",
    /// The TUN did not take the packet.
    TunWrite = "tun_write",
}

/// One counter per reason.
#[derive(Clone, Debug)]
pub struct DropCounters([u64; DropReason::ALL.len()]);

impl Default for DropCounters {
    fn default() -> Self {
        Self([0; DropReason::ALL.len()])
    }
}

impl DropCounters {
    /// Counts one drop.
    pub fn count(&mut self, reason: DropReason) {
        self.add(reason, 1);
    }

    /// Counts `n` drops.
    pub fn add(&mut self, reason: DropReason, n: u64) {
        self.0[reason as usize] += n;
    }

    /// How many there were for `reason`.
    pub fn get(&self, reason: DropReason) -> u64 {
        self.0[reason as usize]
    }

    /// Forgets what was counted for `reason`, and says how much that was.
    pub fn take(&mut self, reason: DropReason) -> u64 {
        std::mem::take(&mut self.0[reason as usize])
    }

    /// Reasons that occurred, with their counts.
    pub fn iter(&self) -> impl Iterator<Item = (DropReason, u64)> {
        DropReason::ALL.iter().map(|reason| (*reason, self.get(*reason))).filter(|(_, count)| *count > 0)
    }

    /// Adds all of `other`'s counts.
    pub fn merge(&mut self, other: &Self) {
        for (sum, count) in self.0.iter_mut().zip(other.0) {
            *sum += count;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_distinct_and_counters_independent() {
        let labels: std::collections::BTreeSet<_> = DropReason::ALL.iter().map(|reason| reason.label()).collect();
        assert_eq!(labels.len(), DropReason::ALL.len());
        let mut counters = DropCounters::default();
        counters.count(DropReason::Forged);
        let mut sum = counters.clone();
        sum.merge(&counters);
        assert_eq!(sum.iter().collect::<Vec<_>>(), [(DropReason::Forged, 2)]);
    }
}
