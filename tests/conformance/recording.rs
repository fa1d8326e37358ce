//! The session on record: two reference nodes on one TCP peering for twelve seconds.

use std::time::Duration;

use pinecone::keys::{Keypair, PublicKey};

use crate::vectors::{Value, Vectors, hex, text_of};

/// One of the two nodes. Their private keys are on record too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// The node that dialled, with the lower key.
    K10,
    /// The node that accepted, with the higher key: the root.
    K30,
}

/// One handshake or frame.
#[derive(Clone, Debug)]
pub(crate) struct Recorded {
    /// When it was seen, counted from the connection.
    pub(crate) at: Duration,
    pub(crate) sender: Side,
    pub(crate) kind: String,
    pub(crate) bytes: Vec<u8>,
    /// Its main fields.
    pub(crate) fields: Value,
}

impl Side {
    pub(crate) fn keypair(self) -> Keypair {
        Vectors::load("captured").pair_of(&Value::from(format!("{self:?}")))
    }

    pub(crate) fn key(self) -> PublicKey {
        self.keypair().public()
    }

    pub(crate) fn other(self) -> Self {
        match self {
            Self::K10 => Self::K30,
            Self::K30 => Self::K10,
        }
    }
}

/// Everything that was recorded, in the order of time.
pub(crate) fn session() -> Vec<Recorded> {
    let vectors = Vectors::load("captured");
    let frames = vectors.cases("frames").iter();
    frames
        .map(|frame| Recorded {
            at: Duration::from_secs_f64(frame["t"].as_f64().unwrap()),
            sender: if frame["sender"] == "K10" { Side::K10 } else { Side::K30 },
            kind: text_of(&frame["kind"]).to_owned(),
            bytes: hex(&frame["hex"]),
            fields: frame["decoded"].clone(),
        })
        .collect()
}
