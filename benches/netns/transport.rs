//! Which transport pineconed's peerings take, and how a host is dialled that listens on it. Pure: tested by `tests/bench_netns.rs`.

use std::net::Ipv4Addr;
use std::path::Path;

/// Transports by name, with the place to listen at that makes `ours@NAME` without a `--ours-config NAME=…`.
const LISTEN: &[(&str, &str)] = &[
    ("tcp", "tcp://[::]:7463"),
    ("tls", "tls://[::]:7464"),
    ("ws", "ws://[::]:7465"),
    ("wss", "wss://[::]:7466"),
    ("quic", "quic://[::]:7464"),
    ("unix", UNIX),
];
/// The scheme of Unix sockets. The path behind it is of no account: each host has a file of its own.
const UNIX: &str = "unix://";

/// The settings for the transport of this name.
pub(crate) fn settings(name: &str) -> Option<String> {
    let (_, uri) = LISTEN.iter().find(|(known, _)| *known == name)?;
    Some(format!("peering.listen = [{uri:?}]"))
}

/// Whether peerings by this URI go over the cables.
pub(crate) fn uses_cables(listen: &str) -> bool {
    !listen.starts_with(UNIX)
}

/// Where a host with this directory listens, if the settings say `listen`.
pub(crate) fn listen_at(listen: &str, directory: &Path) -> String {
    if uses_cables(listen) { listen.to_owned() } else { format!("{UNIX}{}/peers.sock", directory.display()) }
}

/// How others dial that host, which has this address and key; `None` if `listen` is no place to listen at.
pub(crate) fn dial(listen: &str, directory: &Path, address: Ipv4Addr, key: &str) -> Option<String> {
    if !uses_cables(listen) {
        return Some(listen_at(listen, directory));
    }
    let (scheme, rest) = listen.split_once("://")?;
    let place = rest.split(['?', '/']).next()?;
    let (_, port) = place.rsplit_once(':')?;
    // A node that answers for itself there is told from a web server by its key.
    let options = if scheme == "wss" { format!("?key={key}") } else { String::new() };
    Some(format!("{scheme}://{address}:{port}{options}"))
}
