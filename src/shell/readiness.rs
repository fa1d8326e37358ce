//! Tells the service manager that the daemon is ready or stopping: the protocol of sd_notify(3), which is one datagram.

use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// Sends `state` (lines of `NAME=value`) to the service manager, if there is one that wants to know.
pub(crate) fn notify(state: &str) {
    let Some(path) = std::env::var_os("NOTIFY_SOCKET") else { return };
    if let Err(error) = send(path.as_bytes(), state) {
        tracing::warn!("cannot tell the service manager ({}): {error}", path.to_string_lossy());
    }
}

fn send(path: &[u8], state: &str) -> io::Result<()> {
    let address = match path.split_first() {
        Some((b'@', name)) => SocketAddr::from_abstract_name(name)?,
        _ => SocketAddr::from_pathname(std::ffi::OsStr::from_bytes(path))?,
    };
    UnixDatagram::unbound()?.send_to_addr(state.as_bytes(), &address)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_arrives_at_sockets_with_a_path_and_with_an_abstract_name() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let abstract_name = format!("pineconed-test-{}", std::process::id());
        let with_path = UnixDatagram::bind(&path).unwrap();
        let with_name =
            UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(abstract_name.as_bytes()).unwrap()).unwrap();
        send(path.as_os_str().as_bytes(), "READY=1").unwrap();
        send(format!("@{abstract_name}").as_bytes(), "STOPPING=1").unwrap();
        for (socket, expected) in [(with_path, "READY=1"), (with_name, "STOPPING=1")] {
            let mut read = [0; 32];
            let len = socket.recv(&mut read).unwrap();
            assert_eq!(std::str::from_utf8(&read[..len]), Ok(expected));
        }
    }
}
