//! What happens while a client watches: the answers to `watch`, one line each, for as long as the connection lasts.
//!
//! Each client has a queue of [`QUEUE`] events in the daemon. One that reads too slowly loses the oldest, and is told how many.

use serde::{Deserialize, Serialize};

use crate::keys::PublicKey;
use crate::router::Port;

/// Most events that wait for a client.
pub const QUEUE: usize = 256;

/// An event and when it happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Happened {
    /// Seconds since the Unix epoch, by the daemon's clock.
    pub time: f64,
    /// What.
    #[serde(flatten)]
    pub event: Event,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The first line: from here on nothing is missed unless `lost` says so.
    Watching,
    /// Events that this client did not take in time.
    Lost {
        /// How many.
        count: u64,
    },
    /// A peering came up.
    PeerUp {
        /// The peer's key.
        key: PublicKey,
        /// The port it has at our node.
        port: Port,
        /// Where it was dialled or came from.
        uri: String,
        /// Whether the link proved the key.
        authenticated: bool,
    },
    /// A peering ended.
    PeerDown {
        /// The peer's key.
        key: PublicKey,
        /// The port it had.
        port: Port,
        /// Where it was dialled or came from.
        uri: String,
        /// Why it ended.
        reason: String,
    },
    /// A peer that we dial was not reached, for another reason than the last time.
    DialFailed {
        /// Where.
        uri: String,
        /// Why.
        reason: String,
    },
    /// We follow another root.
    RootChanged {
        /// Its key.
        root: PublicKey,
    },
    /// Our coordinates are others.
    CoordinatesChanged {
        /// From the root down to us.
        coordinates: Vec<u64>,
    },
    /// A session came up.
    SessionUp {
        /// The other node's key.
        key: PublicKey,
        /// Its address.
        address: String,
    },
    /// A session ended.
    SessionDown {
        /// The other node's key.
        key: PublicKey,
        /// Its address.
        address: String,
    },
    /// Of a kind that this version does not know.
    #[serde(other)]
    Unknown,
}
