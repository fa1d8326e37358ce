//! Our program on the loopback interface, without a TUN: a pure router.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};

use pinecone::keys::{Keypair, PublicKey, Seed};
use serde_json::Value;
use tempfile::TempDir;

use crate::wait::{eventually, seconds};

/// A daemon's process and files. Dropping it kills the process and, if the test failed, prints the log.
pub(crate) struct Daemon {
    pub(crate) key: PublicKey,
    /// Where it listens for TCP.
    pub(crate) address: SocketAddr,
    /// Where it listens for WebSockets.
    pub(crate) websocket: SocketAddr,
    directory: TempDir,
    child: Option<Child>,
}

impl Daemon {
    /// Starts a daemon that dials these addresses, and waits until it answers.
    pub(crate) fn start(seed: [u8; 32], peers: &[SocketAddr]) -> Self {
        let peers: Vec<_> = peers.iter().map(|peer| format!("tcp://{peer}")).collect();
        Self::start_with_peers(seed, &peers)
    }

    /// As [`Daemon::start`], with URIs.
    pub(crate) fn start_with_peers(seed: [u8; 32], peers: &[String]) -> Self {
        let directory = TempDir::new().unwrap();
        let (address, websocket) = (free_address(), free_address());
        let path = directory.path().display();
        let config = format!(
            "[node]\nprivate_key_file = \"{path}/node.key\"\n[tun]\nname = \"none\"\n\
             [peering]\nlisten = [\"tcp://{address}\", \"ws://{websocket}\"]\npeers = {peers:?}\n\
             [discovery]\nenabled = false\n[control]\nsocket = \"{path}/control.sock\"\n"
        );
        let key_file = directory.path().join("node.key");
        std::fs::write(&key_file, data_encoding::HEXLOWER.encode(&seed)).unwrap();
        std::fs::set_permissions(&key_file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        std::fs::write(directory.path().join("pineconed.toml"), config).unwrap();
        let key = Keypair::from_seed(&Seed(seed)).public();
        let mut daemon = Self { key, address, websocket, directory, child: None };
        daemon.restart();
        daemon
    }

    /// Kills the process if it runs, and starts it again.
    pub(crate) fn restart(&mut self) {
        self.kill();
        let log = std::fs::File::options().create(true).append(true).open(self.directory.path().join("log")).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_pineconed"));
        command.arg("--config").arg(self.directory.path().join("pineconed.toml"));
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        self.child = Some(command.spawn().unwrap());
        eventually("the daemon answers", seconds(10), || {
            assert!(self.is_running(), "the daemon ended at its start");
            self.try_ctl("status")
        });
    }

    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| child.try_wait().unwrap().is_none())
    }

    /// What `pineconectl COMMAND --json` says.
    pub(crate) fn ctl(&self, command: &str) -> Value {
        self.try_ctl(command).unwrap_or_else(|| panic!("pineconectl {command} gives no answer"))
    }

    /// Where the node is in the tree, and below which root.
    pub(crate) fn place(&self) -> (PublicKey, Vec<u64>) {
        let tree = self.ctl("tree");
        let coordinates = tree["coordinates"].as_array().unwrap().iter().map(|port| port.as_u64().unwrap());
        (tree["root"].as_str().unwrap().parse().unwrap(), coordinates.collect())
    }

    /// The next lower key that bootstraps to this node.
    pub(crate) fn descending(&self) -> Option<PublicKey> {
        self.ctl("snake")["descending"].as_str().map(|key| key.parse().unwrap())
    }

    /// The keys of the peers, one for each peering.
    pub(crate) fn peer_keys(&self) -> Vec<PublicKey> {
        let answer = self.ctl("peers");
        answer["peers"].as_array().unwrap().iter().map(|peer| peer["key"].as_str().unwrap().parse().unwrap()).collect()
    }

    fn try_ctl(&self, command: &str) -> Option<Value> {
        let mut ctl = Command::new(env!("CARGO_BIN_EXE_pineconectl"));
        ctl.args([command, "--json", "--socket"]).arg(self.directory.path().join("control.sock"));
        let output = ctl.output().unwrap();
        output.status.success().then(|| serde_json::from_slice(&output.stdout).expect("--json prints JSON"))
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.directory.path().join("log")).unwrap_or_default();
            println!("── log of {:?}\n{log}", self.key);
        }
    }
}

/// An address that nobody listens on. Somebody might take it before the daemon does; then its start fails loudly.
fn free_address() -> SocketAddr {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap()
}
