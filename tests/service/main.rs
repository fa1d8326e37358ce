//! The daemon as a service: these tests play the service manager (NOTIFY_SOCKET, WATCHDOG_USEC, signals) and look at the process from outside
//! (/proc). Everything is on loopback, without an interface; what needs one is in `tests/netns`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(clippy::disallowed_methods, reason = "these tests watch the real clock")]

mod manager;

mod confined;
mod notify;
mod reload;
mod unit;
