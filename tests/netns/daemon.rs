//! One daemon: its configuration, its process, and what its `pineconectl` says.

use std::cell::{Cell, RefCell};
use std::fmt::Write as _;
use std::fs::File;
use std::net::Ipv6Addr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::rc::Rc;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use pinecone::addr::Address;
use pinecone::keys::{Keypair, PublicKey, Seed};
use serde_json::Value;

use crate::lab::{Host, Lab};
use crate::wait::{eventually, seconds, wait_until};

/// Where the two programs are, if not where cargo built them for this test: for runs from a copied test binary.
const BINARIES: &str = "PINECONE_LAB_BINARIES";
/// Set to `off`: all daemons that no test asks otherwise of run without segmentation offload.
const OFFLOAD: &str = "PINECONE_LAB_OFFLOAD";
/// Lines of a failed test's logs that are printed: enough for what led to the failure, not the whole life.
const LOG_LINES: usize = 60;
/// An unprivileged user id that no file here belongs to: nobody.
const NOBODY: u32 = 65534;

/// What goes into the configuration file. Discovery is off unless asked for: topologies are what a test says they are.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// The private key is this byte, 32 times.
    pub(crate) seed: u8,
    pub(crate) tun: String,
    pub(crate) mtu: u16,
    pub(crate) offload: bool,
    /// More lines of `[tun]`.
    pub(crate) more_tun: String,
    /// The number of a descriptor of the interface `tun` that the daemon is given. It has to exist.
    pub(crate) passed: Option<i32>,
    pub(crate) listen: Vec<String>,
    pub(crate) peers: Vec<String>,
    /// `peering.tls_ca_file`.
    pub(crate) ca_file: Option<PathBuf>,
    pub(crate) discovery: bool,
    /// `node.transit`.
    pub(crate) transit: &'static str,
    /// Whether it says who it is when it is traced.
    pub(crate) answer_trace: bool,
    /// More sections.
    pub(crate) more: String,
    /// More lines of `[peering]`, and of `[discovery]`.
    pub(crate) more_peering: String,
    pub(crate) more_discovery: String,
    /// `firewall.inbound` as TOML; `None` leaves the default in force.
    pub(crate) inbound: Option<String>,
    /// Whether the daemon runs without privileges: as nobody where that is possible.
    pub(crate) unprivileged: bool,
}

impl Config {
    pub(crate) fn new(seed: u8) -> Self {
        Self {
            seed,
            tun: "pine0".to_owned(),
            mtu: 65_000,
            offload: std::env::var_os(OFFLOAD).is_none_or(|value| value != "off"),
            more_tun: String::new(),
            passed: None,
            listen: vec!["tcp://[::]:7463".to_owned()],
            peers: vec![],
            ca_file: None,
            discovery: false,
            transit: "full",
            answer_trace: true,
            more: String::new(),
            more_peering: String::new(),
            more_discovery: String::new(),
            inbound: Some("\"open\"".to_owned()),
            unprivileged: false,
        }
    }

    fn toml(&self, directory: &Path) -> String {
        let directory = directory.display();
        let mut text = format!(
            "[node]\nprivate_key_file = \"{directory}/node.key\"\ntransit = {:?}\nanswer_trace = {}\n\n[tun]\nname = {:?}\nmtu = {}\noffload = {}\n{}\n\n\
             [peering]\nlisten = {:?}\npeers = {:?}\n{}\n\n[discovery]\nenabled = {}\n{}\n\n\
             [control]\nsocket = \"{directory}/control.sock\"\n{}",
            self.transit,
            self.answer_trace,
            self.tun,
            self.mtu,
            self.offload,
            self.more_tun,
            self.listen,
            self.peers,
            self.more_peering,
            self.discovery,
            self.more_discovery,
            self.more
        );
        if let Some(file) = &self.ca_file {
            text = text.replace("[peering]\n", &format!("[peering]\ntls_ca_file = \"{}\"\n", file.display()));
        }
        if let Some(inbound) = &self.inbound {
            let _ = write!(text, "\n[firewall]\ninbound = {inbound}\n");
        }
        text
    }
}

/// The seeds 1 to `n`, lowest public key first: the last one is everybody's root.
pub(crate) fn seeds_by_key(n: u8) -> Vec<u8> {
    let mut seeds: Vec<u8> = (1..=n).collect();
    seeds.sort_by_key(|seed| public_key(*seed));
    seeds
}

/// The public key that belongs to a [`Config::seed`].
pub(crate) fn public_key(seed: u8) -> PublicKey {
    Keypair::from_seed(&Seed([seed; 32])).public()
}

/// A daemon's process and files. May be stopped and started again.
pub(crate) struct Running {
    pub(crate) host: Host,
    pub(crate) directory: PathBuf,
    config: Option<Config>,
    child: RefCell<Option<Child>>,
    stopped: Cell<bool>,
}

impl Running {
    /// Starts a daemon with this configuration and waits until it answers.
    pub(crate) fn start(lab: &Lab, host: &Host, config: Config) -> Rc<Self> {
        let daemon = Self::prepare(lab, host, config);
        daemon.spawn();
        daemon.wait_ready();
        daemon
    }

    /// Writes key and configuration of a daemon, but does not start it.
    pub(crate) fn prepare(lab: &Lab, host: &Host, config: Config) -> Rc<Self> {
        // Several daemons may run on a host: the seed tells them apart.
        let directory = PathBuf::from(format!("/run/lab/{}-{}", host.name(), config.seed));
        std::fs::create_dir_all(&directory).expect("/run is ours");
        let key = directory.join("node.key");
        std::fs::write(&key, format!("{}\n", format!("{:02x}", config.seed).repeat(32))).expect("/run is ours");
        std::fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("our file");
        std::fs::write(directory.join("pineconed.toml"), config.toml(&directory)).expect("/run is ours");
        if config.unprivileged && !crate::sandbox::in_user_namespace() {
            for path in [&directory, &key] {
                std::os::unix::fs::chown(path, Some(NOBODY), Some(NOBODY)).expect("we are root");
            }
        }
        Self::remembered(lab, host, directory, Some(config))
    }

    /// Starts a daemon without any configuration, in a file system where nobody ever started one, and waits until it answers.
    pub(crate) fn start_on_defaults(lab: &Lab, host: &Host) -> Rc<Self> {
        let directory = PathBuf::from(format!("/run/lab/{}", host.name()));
        std::fs::create_dir_all(&directory).expect("/run is ours");
        let daemon = Self::remembered(lab, host, directory, None);
        daemon.spawn();
        daemon.wait_ready();
        daemon
    }

    fn remembered(lab: &Lab, host: &Host, directory: PathBuf, config: Option<Config>) -> Rc<Self> {
        let child = RefCell::default();
        let daemon = Rc::new(Self { host: host.clone(), directory, config, child, stopped: Cell::new(true) });
        lab.remember(daemon.clone());
        daemon
    }

    /// Changes the configuration file, as an editor does, and has the daemon read it again.
    pub(crate) fn reload(&self, change: impl FnOnce(&mut Config)) -> Value {
        let mut config = self.config.clone().expect("it has a configuration");
        change(&mut config);
        let new = self.directory.join("new");
        std::fs::write(&new, config.toml(&self.directory)).expect("/run is ours");
        std::fs::rename(&new, self.directory.join("pineconed.toml")).expect("/run is ours");
        self.ctl("reload")
    }

    /// Starts the process and returns at once.
    pub(crate) fn spawn(&self) {
        let log = File::options().create(true).append(true).open(self.log()).expect("/run is ours");
        let mut command = self.command();
        command.stdin(std::process::Stdio::null()).stdout(log.try_clone().expect("a second handle")).stderr(log);
        let child = self.host.spawn(&mut command);
        self.child.replace(Some(child));
        self.stopped.set(false);
    }

    fn command(&self) -> Command {
        let daemon = binary("pineconed");
        let Some(config) = &self.config else {
            // The fresh file systems are this process's alone, so that two such daemons do not share a key.
            let script = "mount -t tmpfs lab /var/lib && mount -t tmpfs lab /run && exec \"$0\"";
            let mut command = Command::new("unshare");
            command.args(["--mount", "sh", "-c", script]).arg(daemon);
            return command;
        };
        let mut command = if config.unprivileged {
            // A copy: where the build lies, others may not be allowed to look.
            let copy = self.directory.join("pineconed");
            std::fs::copy(&daemon, &copy).expect("/run is ours");
            let mut command = Command::new("setpriv");
            if !crate::sandbox::in_user_namespace() {
                command.args(["--reuid", &NOBODY.to_string(), "--regid", &NOBODY.to_string(), "--clear-groups"]);
            }
            command.args(["--inh-caps=-all", "--bounding-set=-all", "--no-new-privs"]).arg(copy);
            command
        } else {
            Command::new(daemon)
        };
        command.arg("--config").arg(self.directory.join("pineconed.toml"));
        if let Some(fd) = config.passed { passing(fd, &config.tun, &command) } else { command }
    }

    /// Waits until `pineconectl` gets an answer.
    pub(crate) fn wait_ready(&self) {
        wait_until(&format!("the daemon on {} answers", self.host.name()), seconds(10), || {
            assert!(self.is_running(), "the daemon on {} ended at its start", self.host.name());
            self.try_ctl("status").is_some()
        });
    }

    pub(crate) fn pid(&self) -> Pid {
        let child = self.child.borrow();
        let id = child.as_ref().expect("the daemon was started").id();
        Pid::from_raw(id.try_into().expect("a process id"))
    }

    pub(crate) fn is_running(&self) -> bool {
        self.child.borrow_mut().as_mut().is_some_and(|child| child.try_wait().expect("our own child").is_none())
    }

    /// Sends a signal that is meant to end the daemon, and waits until it did.
    pub(crate) fn stop(&self, signal: Signal) -> ExitStatus {
        self.stopped.set(true);
        kill(self.pid(), signal).expect("the daemon runs");
        eventually(&format!("the daemon ends on {signal}"), seconds(10), || {
            self.child.borrow_mut().as_mut().expect("it was started").try_wait().expect("our own child")
        })
    }

    /// It ended by itself, and was meant to.
    pub(crate) fn ended(&self) {
        self.stopped.set(true);
    }

    /// Kills the process if there is one; for the end of the lab.
    pub(crate) fn kill(&self) {
        if let Some(mut child) = self.child.borrow_mut().take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Fails the test if the daemon died by itself or panicked.
    pub(crate) fn check_at_end(&self) {
        let name = self.host.name();
        assert!(self.stopped.get() || self.is_running(), "the daemon on {name} died");
        assert!(!self.log_text().contains("panicked at"), "the daemon on {name} panicked");
    }

    /// What `pineconectl COMMAND --json` says; it must succeed.
    pub(crate) fn ctl(&self, command: &str) -> Value {
        self.try_ctl(command).unwrap_or_else(|| panic!("{}: pineconectl {command} gives no answer", self.host.name()))
    }

    /// The exit code of `pineconectl COMMAND --json`.
    pub(crate) fn ctl_exit_code(&self, command: &str) -> Option<i32> {
        self.ctl_command(command).output().expect("pineconectl starts").status.code()
    }

    fn try_ctl(&self, command: &str) -> Option<Value> {
        let output = self.ctl_command(command).output().expect("pineconectl starts");
        output.status.success().then(|| serde_json::from_slice(&output.stdout).expect("--json prints JSON"))
    }

    fn ctl_command(&self, line: &str) -> Command {
        let program = binary("pineconectl");
        let mut command = if self.config.is_some() {
            Command::new(program)
        } else {
            let mut command = Command::new("nsenter");
            command.args(["--mount", "--target", &self.pid().to_string()]).arg(program);
            command
        };
        command.args(line.split(' ')).arg("--json");
        if self.config.is_some() {
            command.arg("--socket").arg(self.socket());
        }
        command
    }

    /// The control socket.
    pub(crate) fn socket(&self) -> PathBuf {
        self.directory.join("control.sock")
    }

    /// The overlay address, derived from the key or, on defaults, as the daemon tells it.
    pub(crate) fn address(&self) -> Ipv6Addr {
        match &self.config {
            Some(config) => Address::of(&public_key(config.seed)).ip(),
            None => {
                self.ctl("status")["address"].as_str().expect("a status has an address").parse().expect("an address")
            }
        }
    }

    /// The peers' keys, sorted. A key appears once for each peering.
    pub(crate) fn peer_keys(&self) -> Vec<String> {
        let mut keys: Vec<_> = self.peers().iter().map(|peer| text(&peer["key"])).collect();
        keys.sort();
        keys
    }

    /// All peerings as `pineconectl peers --json` prints them.
    pub(crate) fn peers(&self) -> Vec<Value> {
        self.ctl("peers")["peers"].as_array().expect("peers are an array").clone()
    }

    /// The key of the root that this node follows.
    pub(crate) fn root(&self) -> String {
        text(&self.ctl("status")["root"])
    }

    /// How many packets and frames the daemon dropped for these reasons.
    pub(crate) fn drops(&self, labels: &[&str]) -> u64 {
        let drops = &self.ctl("status")["drops"];
        labels.iter().map(|label| drops[*label].as_u64().unwrap_or(0)).sum()
    }

    pub(crate) fn log_text(&self) -> String {
        std::fs::read_to_string(self.log()).unwrap_or_default()
    }

    /// Prints the end of the log, for a test that failed.
    pub(crate) fn print_log(&self) {
        let text = self.log_text();
        let lines: Vec<_> = text.lines().collect();
        println!("── log of {} ({})", self.host.name(), self.directory.display());
        for line in &lines[lines.len().saturating_sub(LOG_LINES)..] {
            println!("{line}");
        }
        if self.is_running() {
            for command in ["status", "peers", "sessions"] {
                let output = self.ctl_command(command).output().expect("pineconectl starts");
                let value: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
                println!("── {command} of {}: {value}", self.host.name());
            }
        }
    }

    fn log(&self) -> PathBuf {
        self.directory.join("log")
    }
}

/// The same, by a program that opens the interface for it first and gives it the descriptor.
fn passing(fd: i32, interface: &str, command: &Command) -> Command {
    // TUNSETIFF with IFF_TUN and IFF_NO_PI.
    let script = format!(
        "import fcntl, os, struct, sys\n\
         tun = os.open('/dev/net/tun', os.O_RDWR)\n\
         fcntl.ioctl(tun, 0x400454ca, struct.pack('16sH22x', b'{interface}', 0x1001))\n\
         os.dup2(tun, {fd}, inheritable=True)\n\
         os.execvp(sys.argv[1], sys.argv[1:])\n"
    );
    let mut passing = Command::new("python3");
    passing.args(["-c", &script]).arg(command.get_program()).args(command.get_args());
    passing
}

/// The path of one of the two programs.
pub(crate) fn binary(name: &str) -> PathBuf {
    if let Some(directory) = std::env::var_os(BINARIES) {
        return PathBuf::from(directory).join(name);
    }
    PathBuf::from(match name {
        "pineconed" => env!("CARGO_BIN_EXE_pineconed"),
        _ => env!("CARGO_BIN_EXE_pineconectl"),
    })
}

fn text(value: &Value) -> String {
    value.as_str().expect("a JSON string").to_owned()
}
