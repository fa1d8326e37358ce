//! How our nodes behave on the wire, judged against the Pinecone specification and against bytes that reference nodes wrote.
//!
//! No reference node runs here, only the WebSocket libraries of one (`websocket`). What stands in for it is what it left on
//! record: `tests/vectors/captured.json`, a session between two reference nodes whose private keys are known, so that ours
//! can take the place of either and must send the same bytes; and the malformed frames with the reference's reaction.
//! `docs/pinecone-compatibility.md` says what that proves and what it leaves open.
//!
//! Support: `recording` (the session on record), `inspector` (an independent reader that judges all we send), `test_node` (a node of
//! the library over real sockets, which can originate traffic of any kind), `daemon` (our program on the loopback interface).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(clippy::disallowed_methods, reason = "these tests watch the real clock")]

mod daemon;
mod inspector;
mod network;
mod recording;
mod test_node;
#[path = "../common/vectors.rs"]
mod vectors;
#[path = "../netns/wait.rs"]
mod wait;

mod churn;
mod inspector_itself;
mod networks;
mod reference_bytes;
mod replay;
mod table;
mod websocket;
