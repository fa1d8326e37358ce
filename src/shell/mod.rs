//! The shell: all side effects, no decisions.
//!
//! It moves bytes between the operating system and the pure half: sockets, the TUN, timers, files, signals. One thread, one
//! runtime: the `core_loop` owns the only `Node` and the TUN, one task per peering owns a stream and its `Link`, and batches
//! of frames pass between them over bounded channels.

pub mod clock;
pub mod config_file;
pub(crate) mod confine;
pub mod control_socket;
pub(crate) mod core_loop;
pub(crate) mod cpu;
pub mod daemon;
pub mod files;
pub mod key_file;
pub(crate) mod lan;
pub(crate) mod listening;
pub mod logging;
pub mod metrics;
pub(crate) mod netlink;
pub mod password_file;
pub(crate) mod peer_task;
pub mod preflight;
pub(crate) mod peerings;
pub(crate) mod readiness;
pub mod reload;
pub(crate) mod resolved;
pub(crate) mod socket_file;
pub(crate) mod timer;
pub(crate) mod transport;
pub(crate) mod tun;
pub(crate) mod wanted;
